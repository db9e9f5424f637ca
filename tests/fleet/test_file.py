"""The fleet file: what it takes, and what its mistakes say."""

from __future__ import annotations

from pathlib import Path

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.fleet.file import Fleet, Portion, load_fleet, packed, unpacked
from enireconcile.spec.yamltree import Plain

HEAD = "version: 1\nfleet: edge\n"
ACCOUNT = 'accounts:\n  - {id: "111111111111", name: prod-a, tags: {env: prod}, regions: [us-east-1]}\n'
SPECS = "specs:\n  - {path: edge.yaml}\n"
WHOLE = """\
version: 1
fleet: edge
role: "arn:aws:iam::${account.id}:role/enireconcile"
external_id: abc
state: s3://bucket/prefix
accounts:
  - id: "111111111111"
    name: prod-a
    tags: {env: prod}
    regions: [us-east-1, eu-west-1]
    variables: {n: 3, q: "3"}
discover: {organization: {ous: [ou-ab12-34567890], exclude: ["222222222222"]}}
specs:
  - {path: edge.yaml, where: {env: prod}, regions: [us-east-1]}
rollout: {canary: [prod-a], waves: [10%, 100%], stop_at: 5%}
"""


@pytest.fixture
def load(tmp_path: Path):  # type: ignore[no-untyped-def]
    def load(text: str) -> Fleet:
        path = tmp_path / "fleet.yaml"
        path.write_text(text)
        return load_fleet(str(path))

    return load


def test_the_file_of_the_contract(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    fleet = load(WHOLE)
    account, spec = fleet.rows.accounts[0], fleet.rows.specs[0]
    assert fleet.role_of(account) == "arn:aws:iam::111111111111:role/enireconcile"
    assert (fleet.rows.external_id, fleet.rows.state) == ("abc", "s3://bucket/prefix")
    assert (account.regions, account.tags) == (("us-east-1", "eu-west-1"), {"env": "prod"})
    assert fleet.path_of(spec) == str(tmp_path / "edge.yaml")
    assert fleet.rows.discover is not None
    assert fleet.rows.discover.organization.exclude == ("222222222222",)
    assert fleet.rows.rollout is not None
    assert fleet.rows.rollout.waves == (Portion(percent=10.0), Portion(percent=100.0))
    assert fleet.rows.rollout.stop_at == Portion(percent=5.0)


def test_variables_keep_what_was_quoted(load) -> None:  # type: ignore[no-untyped-def]
    """A quoted 3 is text, and a spec that wants a number refuses it: also after the way to a worker."""
    variables = load(WHOLE).rows.accounts[0].variables
    again = unpacked(packed(dict(variables)))
    assert {name: isinstance(value, Plain) for name, value in again.items()} == {"n": True, "q": False}
    assert unpacked(packed((Plain("a"), {"b": ("c", None, Plain("plain"))}))) == ("a", {"b": ("c", None, "plain")})


WRONG = {
    "no version": ("fleet: edge\n" + ACCOUNT + SPECS, "1:1: version: is missing"),
    "another version": ("version: 2\nfleet: edge\n" + ACCOUNT + SPECS, "1:10: version: must be 1, not 2"),
    "no account": (HEAD + SPECS, "accounts: there is no account"),
    "no spec": (HEAD + ACCOUNT + "specs: []\n", "specs: there is no spec"),
    "unknown key": (
        HEAD + ACCOUNT + SPECS + "rollouts: {}\n",
        "rollouts: unknown key\n  hint: did you mean `rollout`",
    ),
    "no Region": (
        HEAD + 'accounts:\n  - {id: "111111111111"}\n' + SPECS,
        "accounts.0: account 111111111111 has no Region",
    ),
    "an account twice": (
        HEAD + ACCOUNT + '  - {id: "111111111111", regions: [us-east-1]}\n' + SPECS,
        "account '111111111111' is given twice",
    ),
    "a name twice": (
        HEAD + ACCOUNT + '  - {id: "222222222222", name: prod-a, regions: [us-east-1]}\n' + SPECS,
        "account name 'prod-a' is given twice",
    ),
    "a spec name twice": (
        HEAD + ACCOUNT + SPECS + "  - {path: other/edge.yaml}\n",
        "specs.1.path: spec name 'edge' is given twice",
    ),
    "an id without quotes": (
        HEAD + "accounts:\n  - {id: 11111111111, regions: [us-east-1]}\n" + SPECS,
        "accounts.0.id: must be the 12 digits of an account id",
    ),
    "no such Region": (
        HEAD + 'accounts:\n  - {id: "111111111111", regions: [us-east-1a]}\n' + SPECS,
        "accounts.0.regions.0: ",
    ),
    "a role that is none": (HEAD + "role: admin\n" + ACCOUNT + SPECS, "role: must be the ARN of an IAM role"),
    "a role with an unknown fact": (
        HEAD + 'role: "arn:aws:iam::${account.ids}:role/x"\n' + ACCOUNT + SPECS,
        "role: account prod-a has no 'account.ids'",
    ),
    "an external id alone": (HEAD + "external_id: abc\n" + ACCOUNT + SPECS, "external_id: is of no use without"),
    "no such canary": (
        HEAD + ACCOUNT + SPECS + "rollout: {canary: [prod-b]}\n",
        "rollout.canary.0: no account 'prod-b'\n  hint: did you mean `prod-a`",
    ),
    "waves that fall": (HEAD + ACCOUNT + SPECS + "rollout: {waves: [50%, 10%]}\n", "percentages must not fall"),
    "more than all": (
        HEAD + ACCOUNT + SPECS + "rollout: {stop_at: 101%}\n",
        "rollout.stop_at: must be a percentage or a number of units, not '101%'",
    ),
    "a null": (HEAD + ACCOUNT + SPECS + "state:\n", "state: has no value"),
    "no YAML": (HEAD + "accounts: [\n", "not valid YAML"),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_told_with_its_place(load, text: str, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpecErrors) as refused:
        load(text)
    assert words in str(refused.value)
    assert all(problem.line >= 1 and problem.file.endswith("fleet.yaml") for problem in refused.value.problems)


def test_all_mistakes_are_told_at_once(load) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpecErrors) as refused:
        load("version: 3\nfleet: Edge Fleet\nrole: 7\nspecs: {}\n")
    assert len(refused.value.problems) >= 3


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(SpecErrors, match="cannot be read: No such file"):
        load_fleet("nowhere.yaml")
