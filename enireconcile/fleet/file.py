"""The fleet file: its rows, and from YAML to a validated ``Fleet`` with the place of every value.

It is read as a spec is: without type guessing, with all mistakes at once. No AWS code is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Annotated, Any, ClassVar

from msgspec import Struct
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from enireconcile.errors import Problem, SpecErrors
from enireconcile.spec.loading import STDIN, read_file
from enireconcile.spec.places import Path, Places, shown
from enireconcile.spec.row import Row
from enireconcile.spec.scalars import (
    ROLE_ARN,
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
from enireconcile.spec.suggest import Nearest, hint_text
from enireconcile.spec.violations import Violation, violations
from enireconcile.spec.yamltree import Plain

MOST_ACCOUNTS = 10_000
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
            return Portion(percent=percent)
    elif re.fullmatch(r"\d{1,9}", text):
        return Portion(count=int(text))
    raise value_error(f"must be a percentage or a number of units, not {described(value)}", "for example 5% or 3")


def _one(value: int) -> int:
    if value != 1:
        raise value_error(f"must be 1, not {value}", "this program reads version 1 of the fleet file")
    return value


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
    state: FreeText | None = Field(
        None, description="A directory or s3://bucket/prefix, used with the fleet's own credentials"
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

    def problem(self, path: Path, message: str, hint: str | None = None) -> Problem:
        return self.places.problem(self.file, path, message, hint)

    def role_of(self, account: Account) -> str | None:
        """The ARN of the role in an account. Raises KeyError for a tag that a discovered account has not."""
        return None if self.rows.role is None else _substituted(self.rows.role, account)


def load_fleet(file: str) -> Fleet:
    """Read and validate a fleet file; its specs are not read. Raises SpecErrors with all mistakes."""
    tree = read_file(file)
    problems = list(tree.problems)
    found = [
        Violation(path, "has no value", "remove the key, or write a value") for path in sorted(tree.nulls, key=str)
    ]
    rows: FleetFile | None = None
    if isinstance(tree.data, dict) and "stack" in tree.data and "fleet" not in tree.data:
        hint = "use `enireconcile plan` and the like, or name it under `specs` of a fleet file"
        raise SpecErrors([tree.places.problem(file, (), "this is a spec, not a fleet file", hint)])
    if tree.data is not None:
        told = {violation.path for violation in found} | tree.refused
        try:
            rows = FleetFile.model_validate(tree.data)
        except ValidationError as error:
            found += [
                each
                for each in violations(error, FleetFile)
                if not any(each.path[:length] in told for length in range(1, len(each.path) + 1))
            ]
        else:
            found += _check(rows)
    problems += [
        tree.places.problem(file, each.path, each.message, hint_text(each.hint), on_key=each.on_key)
        for each in found
    ]
    if problems or rows is None:
        raise SpecErrors(problems)
    return Fleet(rows, file, tree.places)


def _check(rows: FleetFile) -> Iterator[Violation]:
    """Mistakes between the rows."""
    if not rows.accounts and rows.discover is None:
        yield Violation(("accounts",), "there is no account", "add `accounts:` or `discover:`")
    if not rows.specs:
        yield Violation(("specs",), "there is no spec", "add `- path: FILE`")
    yield from _twice([(("accounts", n, "id"), row.id) for n, row in enumerate(rows.accounts)], "account")
    yield from _twice(
        [(("accounts", n, "name"), row.title) for n, row in enumerate(rows.accounts)], "account name"
    )
    yield from _twice([(("specs", n, "path"), row.name) for n, row in enumerate(rows.specs)], "spec name")
    for number, account in enumerate(rows.accounts):
        if not account.regions and not any(spec.regions for spec in rows.specs):
            path: Path = ("accounts", number)
            yield Violation(path, f"account {account.title} has no Region", "add `regions: [us-east-1]`")
    yield from _role_mistakes(rows)
    yield from _rollout_mistakes(rows)


def _twice(named: Sequence[tuple[Path, str]], what: str) -> Iterator[Violation]:
    seen: set[str] = set()
    for path, name in named:
        if name in seen:
            yield Violation(path, f"{what} {shown(name)} is given twice", "remove or rename one of the two")
        seen.add(name)


def _role_mistakes(rows: FleetFile) -> Iterator[Violation]:
    if rows.role is None:
        if rows.external_id is not None:
            yield Violation(("external_id",), "is of no use without `role`", "add `role:`, or remove it")
        return
    # Tags of accounts that are only discovered are known later.
    tags = {name.removeprefix("account.tags."): "x" for name in _REFERENCE.findall(rows.role)}
    for account in rows.accounts or (Account(id="123456789012", tags=tags),):
        try:
            arn = _substituted(rows.role, account)
        except KeyError as missing:
            message = f"account {account.title} has no {shown(missing.args[0])}"
            yield Violation(("role",), message, "write ${account.id}, ${account.name} or ${account.tags.KEY}")
            return
        if not re.fullmatch(ROLE_ARN, arn):
            hint = "for example arn:aws:iam::${account.id}:role/enireconcile"
            yield Violation(("role",), f"must be the ARN of an IAM role, not {shown(rows.role)}", hint)
            return


def _substituted(text: str, account: Account) -> str:
    """The text with the facts of an account. Raises KeyError with the name of one that the account has not."""
    facts = {"account.id": account.id, "account.name": account.title}
    facts |= {f"account.tags.{key}": value for key, value in account.tags.items()}
    return _REFERENCE.sub(lambda match: facts[match[1]], text)


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
