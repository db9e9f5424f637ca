"""The fleet file: its rows, and from YAML to a validated ``Fleet`` with the place of every value.

It is read as a spec is: without type guessing, with all mistakes at once. No AWS code is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar

import click
from msgspec import Struct
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from enireconcile.cli.options import state_location
from enireconcile.errors import Problem, SpecErrors
from enireconcile.likeness import closest
from enireconcile.spec.loading import STDIN, problems_of, read_file
from enireconcile.spec.places import Path, Places, shown
from enireconcile.spec.row import Row
from enireconcile.spec.scalars import (
    MISSING_KEY,
    ROLE_ARN,
    UNKNOWN_KEY,
    AccountId,
    ExternalId,
    FreeText,
    Integer,
    Region,
    Text,
    described,
    mapping_of_items,
    matching,
    tuple_of_items,
    value_error,
)
from enireconcile.spec.suggest import Nearest
from enireconcile.spec.violations import Violation, violations
from enireconcile.spec.yamltree import FileSort, Plain

FLEET_FILE = FileSort(
    begin="begin with `version: 1` and `fleet: NAME`",
    name="give the path of a fleet file",
    divide="split it into several fleets",
    one="one file is one fleet; move the second document to a file of its own",
)
_LONGEST_KEY = 60
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
_REFERENCE = re.compile(r"\$\{([^{}]*)\}")


@dataclass(frozen=True)
class Portion:
    """A part of all units of a run: ``percent`` of them, or ``count``."""

    percent: float | None = None
    count: int | None = None

    def of(self, units: int) -> float:
        """How many units of that many."""
        return units * self.percent / 100 if self.percent is not None else float(self.count or 0)


def portion(value: object) -> object:
    """``5%``, or a number of units."""
    if isinstance(value, Portion):
        return value
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if match := re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", text):
        if (percent := float(match[1])) <= 100:
            return _above_0(Portion(percent=percent), text)
    elif re.fullmatch(r"\d{1,9}", text):
        return _above_0(Portion(count=int(text)), text)
    raise value_error(f"must be a percentage or a number of units, not {described(value)}", "for example 5% or 3")


def _above_0(portion: Portion, text: str) -> Portion:
    if not (portion.percent or portion.count):
        raise value_error(f"must be more than 0, not {shown(text)}", "for example 5%, or 1 for one unit")
    return portion


def _one(value: int) -> int:
    if value != 1:
        raise value_error(f"must be 1, not {value}", "this program reads version 1 of the fleet file")
    return value


def is_account_id(name: str) -> bool:
    """Whether a name looks like the id of an account."""
    return re.fullmatch("[0-9]{12}", name) is not None


def _state(value: str) -> str:
    try:
        return state_location(value)
    except click.BadParameter as error:
        raise value_error(error.message) from None


Name = Annotated[
    Text,
    matching(_NAME, "1 to 63 letters, digits, `.`, `_` or `-`", "for example prod-a"),
]
_Regions = Annotated[tuple[Region, ...], BeforeValidator(tuple_of_items)]
_Texts = Annotated[Mapping[Text, Text], BeforeValidator(mapping_of_items)]
_Portion = Annotated[Portion, BeforeValidator(portion)]
OuId = Annotated[
    Text,
    matching("(ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32})", "the id of an organizational unit"),
]


class Account(Row):
    """An account of the fleet."""

    example: ClassVar[str | None] = '`id: "111111111111"` and `regions: [us-east-1]`'

    id: AccountId = Field(description="The account id")
    name: Name | None = Field(None, description="The name in units; default: the id")
    tags: _Texts = Field(default_factory=dict, description="What `where` selects by")
    regions: _Regions = Field(default=(), description="The Regions; default: those of the spec's entry")
    variables: Annotated[Mapping[Text, Any], BeforeValidator(mapping_of_items)] = Field(
        default_factory=dict, description="Values for ${var.NAME}; they override `variables` of the spec"
    )

    @property
    def title(self) -> str:
        return self.name or self.id


class Organization(Row):
    """The accounts of AWS Organizations."""

    ous: Annotated[tuple[OuId, ...], BeforeValidator(tuple_of_items)] = Field(
        default=(), description="Organizational units, with those below them; default: the whole organization"
    )
    exclude: Annotated[tuple[AccountId, ...], BeforeValidator(tuple_of_items)] = Field(
        default=(), description="Accounts to leave out"
    )
    regions: _Regions = Field(default=(), description="The Regions of the accounts that are found")


class Discover(Row):
    """Where further accounts are found."""

    example: ClassVar[str | None] = "`organization: {ous: [ou-ab12-34567890]}`"

    organization: Organization = Field(description="Accounts of AWS Organizations")


class FleetSpec(Row):
    """A spec of the fleet, and which accounts and Regions have it."""

    example: ClassVar[str | None] = "`path: edge.yaml`"

    path: FreeText = Field(description="The spec file, relative to the fleet file")
    where: _Texts = Field(default_factory=dict, description="Tags that an account must have")
    regions: _Regions = Field(default=(), description="Only these Regions; default: all of the account")

    @property
    def name(self) -> str:
        """The last part of its units: the file's stem."""
        return FilePath(self.path).stem

    def fits(self, account: Account) -> bool:
        """Whether the account has the tags of ``where``."""
        return all(account.tags.get(key) == value for key, value in self.where.items())


class Rollout(Row):
    """The order of an apply: canaries, then waves."""

    canary: Annotated[tuple[Text, ...], BeforeValidator(tuple_of_items)] = Field(
        default=(), description="Accounts, by name or id, that come first"
    )
    waves: Annotated[tuple[_Portion, ...], BeforeValidator(tuple_of_items)] = Field(
        default=(), description="How much of the fleet is done at the end of each wave"
    )
    stop_at: _Portion | None = Field(
        None, description="Begin no further unit when so many have failed; default: after a wave with a failure"
    )


class FleetFile(Row):
    """The whole file."""

    example: ClassVar[str | None] = "`version: 1` and `fleet: edge`"

    version: Annotated[Integer, AfterValidator(_one)] = Field(description="The version of the file format")
    fleet: Name = Field(description="The name of the fleet")
    role: Text | None = Field(
        None, description="The role to assume in each account; default: the credentials at hand"
    )
    external_id: ExternalId | None = Field(None, description="The external id that the role demands")
    state: Annotated[FreeText, AfterValidator(_state)] | None = Field(
        None,
        description="A directory, relative to the fleet file, or s3://bucket/prefix; used with the fleet's own "
        "credentials",
    )
    accounts: Annotated[tuple[Account, ...], BeforeValidator(tuple_of_items)] = Field(
        default=(), description="The accounts"
    )
    discover: Discover | None = Field(None, description="Where further accounts are found")
    specs: Annotated[tuple[FleetSpec, ...], BeforeValidator(tuple_of_items)] = Field(description="The specs")
    rollout: Rollout | None = Field(None, description="The order of an apply")


class Fleet(Struct, frozen=True):
    """A loaded fleet file. ``file`` is the path as the user gave it."""

    rows: FleetFile
    file: str
    places: Places

    @property
    def name(self) -> str:
        return self.rows.fleet

    def path_of(self, spec: FleetSpec) -> str:
        """The path of a spec, seen from the working directory."""
        path = str(FilePath(self.file).parent / spec.path)
        return f"./{path}" if path == STDIN else path

    def problems(self, found: Iterable[Violation]) -> list[Problem]:
        """The violations with their places in the fleet file."""
        return [*problems_of(list(found), self.file, self.places)]

    def errors(self, found: Iterable[Violation]) -> SpecErrors:
        """The violations as an error."""
        return SpecErrors(self.problems(found), _WHERE)

    def role_of(self, account: Account) -> str | None:
        """The ARN of the role in an account. Raises SpecErrors if the account can have none."""
        if self.rows.role is None:
            return None
        role = role_in(self.rows.role, account)
        if isinstance(role, Violation):
            raise self.errors([role])
        return role


_WHERE = "the fleet file"


def load_fleet(file: str) -> Fleet:
    """Read and validate a fleet file; its specs are not read. Raises SpecErrors with all mistakes."""
    tree = read_file(file, sort=FLEET_FILE)
    found = [
        Violation(path, "has no value", "remove the key, or write a value") for path in sorted(tree.nulls, key=str)
    ]
    rows: FleetFile | None = None
    if isinstance(tree.data, dict) and "stack" in tree.data and "fleet" not in tree.data:
        hint = "use `enireconcile plan` and the like, or name it under `specs` of a fleet file"
        raise SpecErrors([tree.places.problem(file, (), "this is a spec, not a fleet file", hint)], _WHERE)
    if tree.data is not None:
        told = {violation.path for violation in found} | tree.refused
        try:
            rows = FleetFile.model_validate(tree.data)
        except ValidationError as error:
            found += [
                each
                for each in _told_once(list(violations(error, FleetFile)))
                if not any(each.path[:length] in told for length in range(1, len(each.path) + 1))
            ]
        else:
            found += _check(rows)
    problems = [*tree.problems, *problems_of(found, file, tree.places)]
    if problems or rows is None:
        raise SpecErrors(problems, _WHERE)
    if rows.state is not None and not rows.state.startswith("s3://"):
        # A worker may have another working directory.
        rows = rows.model_copy(update={"state": str((FilePath(file).parent / rows.state).absolute())})
    return Fleet(rows, file, tree.places)


def _told_once(found: Sequence[Violation]) -> Iterator[Violation]:
    """The violations without keys that are missing only because they are misspelled."""
    missing: dict[Path, list[str]] = {}
    for each in found:
        if each.message == MISSING_KEY:
            missing.setdefault(each.path[:-1], []).append(str(each.path[-1]))
    meant = {
        (*path, closest(str(each.path[-1])[:_LONGEST_KEY], missing[path]))
        for each in found
        if each.message == UNKNOWN_KEY and (path := each.path[:-1]) in missing
    }
    yield from (each for each in found if each.message != MISSING_KEY or each.path not in meant)


def _check(rows: FleetFile) -> Iterator[Violation]:
    """Mistakes between the rows."""
    if not rows.accounts and rows.discover is None:
        yield Violation(("accounts",), "there is no account", "add `accounts:` or `discover:`")
    if not rows.specs:
        yield Violation(("specs",), "there is no spec", "add `- path: FILE`")
    yield from _given_twice(rows)
    for number, account in enumerate(rows.accounts):
        path: Path = ("accounts", number)
        if not account.regions and not any(spec.regions for spec in rows.specs):
            yield Violation(path, f"account {account.title} has no Region", "add `regions: [us-east-1]`")
        if account.title != account.id and is_account_id(account.title):
            message = f"{shown(account.title)} looks like the id of another account"
            yield Violation((*path, "name"), message, "choose another name, or leave it out")
    if rows.accounts and rows.discover is None:
        yield from specs_without_units(rows.specs, rows.accounts)
    yield from _role_mistakes(rows)
    yield from _rollout_mistakes(rows)


def _given_twice(rows: FleetFile) -> Iterator[Violation]:
    yield from _twice([(("accounts", n, "id"), row.id) for n, row in enumerate(rows.accounts)], "account")
    yield from _twice(
        [(("accounts", n, "name"), row.name) for n, row in enumerate(rows.accounts) if row.name is not None],
        "account name",
        "rename one of the two",
    )
    paths: dict[str, Path] = {}
    for number, spec in enumerate(rows.specs):
        paths.setdefault(spec.path, ("specs", number, "path"))
    yield from _twice([(("specs", n, "path"), row.path) for n, row in enumerate(rows.specs)], "spec")
    hint = "units are named after the file without its ending: rename one of the files"
    yield from _twice([(path, FleetSpec(path=file).name) for file, path in paths.items()], "spec name", hint)
    lists: list[tuple[Path, Sequence[str], str]] = [
        *((("accounts", n, "regions"), row.regions, "Region") for n, row in enumerate(rows.accounts)),
        *((("specs", n, "regions"), row.regions, "Region") for n, row in enumerate(rows.specs)),
    ]
    if rows.discover is not None:
        at, wanted = ("discover", "organization"), rows.discover.organization
        lists += [
            ((*at, "ous"), wanted.ous, "organizational unit"),
            ((*at, "exclude"), wanted.exclude, "account"),
            ((*at, "regions"), wanted.regions, "Region"),
        ]
    if rows.rollout is not None:
        lists.append((("rollout", "canary"), rows.rollout.canary, "account"))
    for path, items, what in lists:
        yield from _twice([((*path, index), item) for index, item in enumerate(items)], what)


def _twice(
    named: Iterable[tuple[Path, str]], what: str, hint: str = "remove one of the two"
) -> Iterator[Violation]:
    seen: set[str] = set()
    for path, name in named:
        if name in seen:
            yield Violation(path, f"{what} {shown(name)} is given twice", hint)
        seen.add(name)


def specs_without_units(
    specs: Sequence[FleetSpec], accounts: Sequence[Account], *, partly: bool = False
) -> Iterator[Violation]:
    """The entries that have no unit in these accounts, at the tag or the Region that none of them has.

    With ``partly`` also the Regions without a unit of entries that have some.
    """
    values: dict[str, set[str]] = {}
    for account in accounts:
        for key, value in account.tags.items():
            values.setdefault(key, set()).add(value)
    for number, spec in enumerate(specs):
        path: Path = ("specs", number)
        if wrong := list(_unknown_tags((*path, "where"), spec.where, values)):
            yield from wrong
            continue
        fitting = [account for account in accounts if spec.fits(account)]
        if not fitting:
            hint = "an account must have every tag of `where`; write two entries for either of two tags"
            yield Violation((*path, "where"), "no account has all these tags", hint)
        elif spec.regions and all(account.regions for account in fitting):
            known = {region for account in fitting for region in account.regions}
            missing = [(index, region) for index, region in enumerate(spec.regions) if region not in known]
            for index, region in missing if partly or len(missing) == len(spec.regions) else ():
                message = f"no account of this entry has the Region {shown(region)}"
                yield Violation((*path, "regions", index), message, Nearest(region, sorted(known)))


def _unknown_tags(path: Path, where: Mapping[str, str], values: Mapping[str, set[str]]) -> Iterator[Violation]:
    for key, value in where.items():
        if key not in values:
            hint = Nearest(key, sorted(values))
            yield Violation((*path, key), f"no account has the tag {shown(key)}", hint, on_key=True)
        elif value not in values[key]:
            message = f"no account has the tag {shown(key)} with the value {shown(value)}"
            yield Violation((*path, key), message, Nearest(value, sorted(values[key])))


def _role_mistakes(rows: FleetFile) -> Iterator[Violation]:
    if rows.role is None:
        if rows.external_id is not None:
            yield Violation(("external_id",), "is of no use without `role`", "add `role:`, or remove it")
        return
    # The id and the tags of accounts that are only discovered are known later.
    fixed = _ROLE_ACCOUNT.match(rows.role)
    some = fixed[1] if fixed else "123456789012"
    tags = {name.removeprefix("account.tags."): some for name in _REFERENCE.findall(rows.role)}
    for account in rows.accounts or (Account(id=some, tags=tags),):
        role = role_in(rows.role, account)
        if isinstance(role, Violation):
            yield role
            return


_ROLE_ACCOUNT = re.compile("arn:[a-z-]+:iam::([0-9]{12}):")


def role_in(text: str, account: Account) -> str | Violation:
    """The ARN of the role ``text`` in an account, or why it is none."""
    facts = {"account.id": account.id, "account.name": account.title}
    facts |= {f"account.tags.{key}": value for key, value in account.tags.items()}
    for name in _REFERENCE.findall(text):
        if name not in facts:
            message = f"account {account.title} has no {shown(name)}"
            hint = "write ${account.id}, ${account.name} or ${account.tags.KEY}"
            if name.startswith("account.tags."):
                hint = "give the account this tag, in the file or in AWS Organizations, or leave it out"
            return Violation(("role",), message, hint)
    arn = _REFERENCE.sub(lambda match: facts[match[1]], text)
    if not re.fullmatch(ROLE_ARN, arn):
        hint = "for example arn:aws:iam::${account.id}:role/enireconcile"
        return Violation(("role",), f"must be the ARN of an IAM role, not {shown(arn)}", hint)
    if (owner := arn.split(":")[4]) != account.id:
        message = f"the role is in account {owner}, and the units of {account.title} are in {account.id}"
        return Violation(("role",), message, "write ${account.id} in it")
    return arn


def _rollout_mistakes(rows: FleetFile) -> Iterator[Violation]:
    if rows.rollout is None:
        return
    known = {name for account in rows.accounts for name in (account.id, account.title)}
    for number, name in enumerate(rows.rollout.canary):
        if name not in known and rows.discover is None:
            yield Violation(
                ("rollout", "canary", number), f"no account {shown(name)}", Nearest(name, sorted(known))
            )
    percents = [each.percent for each in rows.rollout.waves if each.percent is not None]
    if percents != sorted(percents):
        hint = "a wave says how much is done at its end, with all before it: [10%, 100%]"
        yield Violation(("rollout", "waves"), "the percentages must not fall", hint)


def packed(value: Any) -> Any:
    """A value of the file as JSON that keeps what was written without quotes apart from text."""
    if isinstance(value, Plain):
        return {"plain": str(value)}
    if isinstance(value, Mapping):
        return {"mapping": {key: packed(item) for key, item in value.items()}}
    return [packed(item) for item in value] if isinstance(value, (tuple, list)) else value


def unpacked(value: Any) -> Any:
    """The value that ``packed`` packed."""
    if isinstance(value, dict):
        if "plain" in value:
            return Plain(value["plain"])
        return {key: unpacked(item) for key, item in value["mapping"].items()}
    return tuple(unpacked(item) for item in value) if isinstance(value, list) else value
