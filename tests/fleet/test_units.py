"""Units, shards and patterns."""

from __future__ import annotations

from pathlib import Path

import pytest

from enireconcile.errors import SpecErrors, TargetError
from enireconcile.fleet.file import Account, Fleet, load_fleet
from enireconcile.fleet.units import Shard, Unit, selected, units_of

TEXT = """\
version: 1
fleet: edge
role: "arn:aws:iam::${account.id}:role/${account.tags.env}"
accounts:
  - {id: "111111111111", name: prod-a, tags: {env: prod}, regions: [us-east-1, eu-west-1], variables: {a: 1}}
  - {id: "222222222222", tags: {env: dev}, regions: [us-east-1]}
specs:
  - {path: specs/edge.yaml, where: {env: prod}}
  - {path: specs/core.yaml, regions: [us-east-1]}
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    path = tmp_path / "fleet.yaml"
    path.write_text(TEXT)
    return load_fleet(str(path))


def test_units_are_accounts_regions_and_specs(fleet: Fleet, tmp_path: Path) -> None:
    units = units_of(fleet)
    assert [unit.name for unit in units] == [
        "prod-a/us-east-1/edge",
        "prod-a/us-east-1/core",
        "prod-a/eu-west-1/edge",
        "222222222222/us-east-1/core",
    ]
    assert units[0].role == "arn:aws:iam::111111111111:role/prod"
    assert units[0].file == str(tmp_path / "specs" / "edge.yaml")
    assert units[0].lane == ("111111111111", "us-east-1")


def test_discovered_accounts_come_after_those_of_the_file(fleet: Fleet) -> None:
    found = Account(id="333333333333", name="lab", tags={"env": "prod"}, regions=("us-east-1",))
    assert [unit.name for unit in units_of(fleet, [found])][-2:] == ["lab/us-east-1/edge", "lab/us-east-1/core"]


def test_a_fleet_without_a_unit_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "version: 1\nfleet: edge\ndiscover: {organization: {regions: [us-east-1]}}\n"
        "specs:\n  - {path: edge.yaml, where: {env: prod}}\n"
    )
    fleet = load_fleet(str(path))
    with pytest.raises(SpecErrors, match=r"in the fleet file\n.*:4:1: specs: the fleet has no unit"):
        units_of(fleet, [Account(id="333333333333", tags={"env": "dev"}, regions=("us-east-1",))])


@pytest.mark.parametrize(
    ("role", "words"),
    [
        (
            "arn:aws:iam::111111111111:role/x",
            "3:7: role: the role is in account 111111111111, and the units of lab",
        ),
        ("arn:aws:iam::${account.id}:role/${account.tags.env}", "not 'arn:aws:iam::333333333333:role/a b'"),
        ("arn:aws:iam::${account.id}:role/${account.tags.team}", "account lab has no 'account.tags.team'"),
        ("arn:aws:iam::${account.tags.owner}:role/x", "the role is in account 444444444444, and the units of lab"),
    ],
)
def test_a_role_that_does_not_fit_a_discovered_account(tmp_path: Path, role: str, words: str) -> None:
    path = tmp_path / "fleet.yaml"
    path.write_text(
        f'version: 1\nfleet: edge\nrole: "{role}"\ndiscover: {{organization: {{regions: [us-east-1]}}}}\n'
        "specs:\n  - {path: edge.yaml}\n"
    )
    tags = {"env": "a b", "owner": "444444444444"}
    with pytest.raises(SpecErrors) as refused:
        units_of(
            load_fleet(str(path)), [Account(id="333333333333", name="lab", tags=tags, regions=("us-east-1",))]
        )
    assert words in str(refused.value)


def test_patterns_choose_units(fleet: Fleet) -> None:
    units = units_of(fleet)
    assert [unit.name for unit in selected(units, ["*/eu-*/*", "222*"], None)] == [
        "prod-a/eu-west-1/edge",
        "222222222222/us-east-1/core",
    ]
    with pytest.raises(TargetError, match="no unit matches 'prod-a/us-east-1/edgy'\n  hint: did you mean"):
        selected(units, ["prod-a/us-east-1/edgy"], None)


def test_shards_part_the_fleet_and_keep_lanes_together() -> None:
    units = [
        Unit(f"a{number}", f"{number:012d}", region, spec, f"{spec}.yaml")
        for number in range(40)
        for region in ("us-east-1", "eu-west-1")
        for spec in ("edge", "core")
    ]
    for count in (1, 2, 4, 7):
        parts = [selected(units, [], Shard(index, count)) for index in range(1, count + 1)]
        assert sorted(unit.name for part in parts for unit in part) == sorted(unit.name for unit in units)
        lanes = [{unit.lane for unit in part} for part in parts]
        assert sum(map(len, lanes)) == len({unit.lane for unit in units})
        assert all(parts), "no part is empty with so many lanes"
