"""The units of a fleet: every combination of account, Region and spec, in the order of the file."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from enireconcile.errors import Problem, SpecErrors
from enireconcile.fleet.file import Account, Fleet, packed
from enireconcile.spec.places import shown
from enireconcile.spec.suggest import Nearest, hint_text


@dataclass(frozen=True)
class Unit:
    """One stack of a fleet. ``file`` is the path of its spec; ``variables`` are packed (``fleet.file.packed``)."""

    account: str
    account_id: str
    region: str
    spec: str
    file: str
    role: str | None = None
    external_id: str | None = None
    variables: Any = field(default_factory=dict)

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
        raise SpecErrors([fleet.problem(("specs",), "the fleet has no unit", hint)])
    return units


def _units(fleet: Fleet, accounts: Sequence[Account]) -> Iterator[Unit]:
    for account in accounts:
        regions = account.regions or tuple(
            dict.fromkeys(region for spec in fleet.rows.specs for region in spec.regions)
        )
        for region in regions:
            for spec in fleet.rows.specs:
                if spec.regions and region not in spec.regions:
                    continue
                if any(account.tags.get(key) != value for key, value in spec.where.items()):
                    continue
                yield Unit(
                    account=account.title,
                    account_id=account.id,
                    region=region,
                    spec=spec.name,
                    file=fleet.path_of(spec),
                    role=fleet.role_of(account),
                    external_id=fleet.rows.external_id,
                    variables=packed(dict(account.variables)),
                )


@dataclass(frozen=True)
class Shard:
    """The ``index``-th of ``count`` parts of a fleet, counted from 1."""

    index: int
    count: int

    def has(self, unit: Unit) -> bool:
        """Whether a unit is in this part. Units of one account and Region are always in the same."""
        return int(hashlib.sha256("/".join(unit.lane).encode()).hexdigest(), 16) % self.count == self.index - 1


def selected(units: Sequence[Unit], only: Sequence[str], shard: Shard | None) -> list[Unit]:
    """The units whose names match a pattern of ``only`` (all, if there is none), in this shard.

    Raises SpecErrors for a pattern that matches no unit of the fleet. A shard may be empty.
    """
    names = [unit.name for unit in units]
    problems = [
        Problem(
            "--only", 1, 1, "", f"no unit matches {shown(pattern)}", hint_text(Nearest(pattern, names, _UNITS))
        )
        for pattern in only
        if not fnmatch.filter(names, pattern)
    ]
    if problems:
        raise SpecErrors(problems)
    return [
        unit
        for unit in units
        if (not only or any(fnmatch.fnmatchcase(unit.name, pattern) for pattern in only))
        and (shard is None or shard.has(unit))
    ]


_UNITS = "`fleet units FLEET` lists all units"
