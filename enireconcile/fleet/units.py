"""The units of a fleet: every combination of account, Region and spec, in the order of the file."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from enireconcile.errors import Problem, TargetError
from enireconcile.fleet.file import Account, Fleet, packed, specs_without_units
from enireconcile.spec.places import shown
from enireconcile.spec.suggest import Nearest, hint_text
from enireconcile.spec.violations import Violation


class Unit(Struct, frozen=True):
    """One stack of a fleet. ``file`` is the path of its spec; ``variables`` are packed (``fleet.file.packed``)."""

    account: str
    account_id: str
    region: str
    spec: str
    file: str
    role: str | None = None
    external_id: str | None = None
    variables: Any = {}

    @property
    def name(self) -> str:
        """``ACCOUNT/REGION/SPEC``."""
        return f"{self.account}/{self.region}/{self.spec}"

    @property
    def lane(self) -> tuple[str, str]:
        """Account and Region: the units of one run one after another, for they share EC2's rate limits."""
        return self.account_id, self.region


def units_of(fleet: Fleet, discovered: Sequence[Account] = ()) -> list[Unit]:
    """All units, in the order of accounts, Regions and specs. Raises SpecErrors if there is none."""
    units = [*_units(fleet, [*fleet.rows.accounts, *discovered])]
    if not units:
        hint = "no account has the tags of `where` and the Region of a spec"
        raise fleet.errors([Violation(("specs",), "the fleet has no unit", hint)])
    return units


def _units(fleet: Fleet, accounts: Sequence[Account]) -> Iterator[Unit]:
    for account in accounts:
        wanted = [spec for spec in fleet.rows.specs if spec.fits(account)]
        for spec in wanted:
            if not (account.regions or spec.regions):
                message = f"account {account.title} has no Region for {spec.path}"
                hint = "write `regions` to the account, to the spec, or to `discover.organization`"
                raise fleet.errors([Violation(("specs", fleet.rows.specs.index(spec)), message, hint)])
        role = fleet.role_of(account) if wanted else None
        regions = account.regions or tuple(dict.fromkeys(region for spec in wanted for region in spec.regions))
        for region in regions:
            for spec in wanted:
                if region not in (spec.regions or account.regions):
                    continue
                yield Unit(
                    account=account.title,
                    account_id=account.id,
                    region=region,
                    spec=spec.name,
                    file=fleet.path_of(spec),
                    role=role,
                    external_id=fleet.rows.external_id,
                    variables=packed(dict(account.variables)),
                )


def without_units(fleet: Fleet, discovered: Sequence[Account], units: Sequence[Unit]) -> list[Problem]:
    """What to warn of: entries of ``specs``, their Regions, and accounts of the file that have no unit."""
    with_units = {unit.account_id for unit in units}
    hint = "no entry of `specs` has its tags and its Regions"
    idle = [
        Violation(("accounts", number), f"account {account.title} has no unit", hint)
        for number, account in enumerate(fleet.rows.accounts)
        if account.id not in with_units
    ]
    accounts = [*fleet.rows.accounts, *discovered]
    return fleet.problems([*idle, *specs_without_units(fleet.rows.specs, accounts, partly=True)])


def check_canaries(fleet: Fleet, units: Sequence[Unit]) -> None:
    """Raises SpecErrors for a canary that is no account of the fleet, discovered ones included."""
    known = {name for unit in units for name in (unit.account, unit.account_id)}
    known |= {name for account in fleet.rows.accounts for name in (account.id, account.title)}
    canaries = fleet.rows.rollout.canary if fleet.rows.rollout else ()
    unknown = [
        Violation(("rollout", "canary", number), f"no account {shown(name)}", Nearest(name, sorted(known)))
        for number, name in enumerate(canaries)
        if name not in known
    ]
    if unknown:
        raise fleet.errors(unknown)


class Shard(Struct, frozen=True):
    """The ``index``-th of ``count`` parts of a fleet, counted from 1."""

    index: int
    count: int

    def has(self, unit: Unit) -> bool:
        """Whether a unit is in this part. Units of one account and Region are always in the same."""
        return int(hashlib.sha256("/".join(unit.lane).encode()).hexdigest(), 16) % self.count == self.index - 1


def selected(units: Sequence[Unit], only: Sequence[str], shard: Shard | None) -> list[Unit]:
    """The units whose names match a pattern of ``only`` (all, if there is none), in this shard.

    Raises TargetError for a pattern that matches no unit of the fleet. A shard may be empty.
    """
    names = [unit.name for unit in units]
    for pattern in only:
        if not fnmatch.filter(names, pattern):
            hint = hint_text(Nearest(pattern, names, "`fleet units FLEET` lists all units"))
            raise TargetError(f"--only: no unit matches {shown(pattern)}", hint=hint)
    return [
        unit
        for unit in units
        if (not only or any(fnmatch.fnmatchcase(unit.name, pattern) for pattern in only))
        and (shard is None or shard.has(unit))
    ]
