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
        "specs.1.path: spec name 'edge' is given twice\n"
        "  hint: units are named after the file without its ending: rename one of the files",
    ),
    "a spec twice": (
        HEAD + ACCOUNT + SPECS + "  - {path: edge.yaml, where: {env: prod}}\n",
        "specs.1.path: spec 'edge.yaml' is given twice\n  hint: remove one of the two",
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
    "an empty file": ("", "1:1: the file is empty\n  hint: begin with `version: 1` and `fleet: NAME`"),
    "two documents": (HEAD + ACCOUNT + SPECS + "---\nfleet: b\n", "hint: one file is one fleet; "),
    "a tag that no account has": (
        HEAD + ACCOUNT + "specs:\n  - {path: edge.yaml, where: {envv: prod}}\n",
        "6:31: specs.0.where.envv: no account has the tag 'envv'\n  hint: did you mean `env`?",
    ),
    "a value that no account has": (
        HEAD + ACCOUNT + "specs:\n  - {path: edge.yaml, where: {env: prd}}\n",
        "6:36: specs.0.where.env: no account has the tag 'env' with the value 'prd'\n  hint: did you mean `prod`?",
    ),
    "tags of several accounts": (
        HEAD
        + ACCOUNT
        + '  - {id: "222222222222", tags: {env: dev, tier: web}, regions: [us-east-1]}\n'
        + "specs:\n  - {path: edge.yaml, where: {env: prod, tier: web}}\n",
        "specs.0.where: no account has all these tags",
    ),
    "a Region that no account has": (
        HEAD + ACCOUNT + "specs:\n  - {path: edge.yaml, regions: [us-west-1]}\n",
        "6:33: specs.0.regions.0: no account of this entry has the Region 'us-west-1'\n"
        "  hint: did you mean `us-east-1`?",
    ),
    "a state of S3 with one slash": (
        HEAD + "state: s3:/bucket/x\n" + ACCOUNT + SPECS,
        "3:8: state: 's3:/bucket/x' is no directory: did you mean s3://bucket/x?",
    ),
    "a state of S3 without a bucket": (
        HEAD + "state: s3://\n" + ACCOUNT + SPECS,
        "state: 's3://' has no valid bucket",
    ),
    "a state at a URL": (HEAD + "state: http://x/y\n" + ACCOUNT + SPECS, "state: 'http://x/y' is no directory"),
    "a state in the home directory": (
        HEAD + "state: ~/x\n" + ACCOUNT + SPECS,
        "state: '~/x': only a shell replaces ~",
    ),
    "a Region twice": (
        HEAD + 'accounts:\n  - {id: "111111111111", regions: [us-east-1, us-east-1]}\n' + SPECS,
        "4:47: accounts.0.regions.1: Region 'us-east-1' is given twice\n  hint: remove one of the two",
    ),
    "a Region of a spec twice": (
        HEAD + ACCOUNT + "specs:\n  - {path: edge.yaml, regions: [us-east-1, us-east-1]}\n",
        "specs.0.regions.1: Region 'us-east-1' is given twice",
    ),
    "a Region of discover twice": (
        HEAD + "discover: {organization: {regions: [us-east-1, us-east-1]}}\n" + SPECS,
        "discover.organization.regions.1: Region 'us-east-1' is given twice",
    ),
    "an organizational unit twice": (
        HEAD + "discover: {organization: {ous: [r-abcd, r-abcd], regions: [us-east-1]}}\n" + SPECS,
        "discover.organization.ous.1: organizational unit 'r-abcd' is given twice",
    ),
    "an account left out twice": (
        HEAD
        + 'discover: {organization: {exclude: ["222222222222", "222222222222"], regions: [us-east-1]}}\n'
        + SPECS,
        "discover.organization.exclude.1: account '222222222222' is given twice",
    ),
    "a canary twice": (
        HEAD + ACCOUNT + SPECS + "rollout: {canary: [prod-a, prod-a]}\n",
        "rollout.canary.1: account 'prod-a' is given twice",
    ),
    "the id of another account as name": (
        HEAD + ACCOUNT + '  - {id: "222222222222", name: "111111111111", regions: [us-east-1]}\n' + SPECS,
        "5:32: accounts.1.name: '111111111111' looks like the id of another account",
    ),
    "one role for all": (
        HEAD
        + "role: arn:aws:iam::111111111111:role/x\n"
        + ACCOUNT
        + '  - {id: "222222222222", name: prod-b, regions: [us-east-1]}\n'
        + SPECS,
        "3:7: role: the role is in account 111111111111, and the units of prod-b are in 222222222222\n"
        "  hint: write ${account.id} in it",
    ),
    "no wave": (
        HEAD + ACCOUNT + SPECS + "rollout: {waves: [0, 100%]}\n",
        "waves.0: must be more than 0, not '0'\n  hint: for example 5%, or 1 for one unit",
    ),
    "no failure": (
        HEAD + ACCOUNT + SPECS + "rollout: {stop_at: 0.0%}\n",
        "rollout.stop_at: must be more than 0, not '0.0%'",
    ),
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "discover: {organisation: {regions: [us-east-1]}}\n" + SPECS, "did you mean `organization`?"),
        (HEAD + ACCOUNT + "spec:\n  - {path: edge.yaml}\n", "did you mean `specs`?"),
        (HEAD + ACCOUNT + "specs:\n  - {pth: edge.yaml}\n", "did you mean `path`?"),
    ],
)
def test_a_key_that_is_misspelled_is_not_missing_besides(load, text: str, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SpecErrors) as refused:
        load(text)
    [problem] = refused.value.problems
    assert (problem.message, problem.hint) == ("unknown key", words)


def test_an_account_that_is_given_twice_is_told_once(load) -> None:  # type: ignore[no-untyped-def]
    row = '  - {id: "222222222222", regions: [us-east-1]}\n'
    with pytest.raises(SpecErrors) as refused:
        load(HEAD + ACCOUNT + row + row + SPECS)
    assert [problem.message for problem in refused.value.problems] == ["account '222222222222' is given twice"]


def test_a_file_of_many_mistakes_is_read_soon(load) -> None:  # type: ignore[no-untyped-def]
    rows = "".join(f'  - {{id: "{number:012d}", regons: [us-east-1]}}\n' for number in range(2000))
    with pytest.raises(SpecErrors) as refused:
        load(HEAD + "accounts:\n" + rows + SPECS)
    hints = [problem.hint for problem in refused.value.problems]
    assert (len(hints), hints[0], hints[-1]) == (2000, "did you mean `regions`?", None)


def test_with_discover_an_entry_may_be_without_units(load) -> None:  # type: ignore[no-untyped-def]
    """The accounts that it is for may be found, or come later."""
    discover = "discover: {organization: {regions: [us-east-1]}}\n"
    assert load(HEAD + ACCOUNT + discover + "specs:\n  - {path: edge.yaml, where: {team: a}}\n")


def test_a_relative_state_is_beside_the_fleet_file(load, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """As the paths of specs are, whatever the working directory is."""
    assert load(HEAD + "state: locks\n" + ACCOUNT + SPECS).rows.state == str(tmp_path / "locks")
    assert load(HEAD + "state: /var/lib/x\n" + ACCOUNT + SPECS).rows.state == "/var/lib/x"
    assert load(HEAD + ACCOUNT + SPECS).rows.state is None


def test_a_missing_file_is_an_error() -> None:
    with pytest.raises(SpecErrors) as refused:
        load_fleet("nowhere.yaml")
    assert str(refused.value).splitlines() == [
        "1 problem in the fleet file",
        "nowhere.yaml:1:1: cannot be read: No such file or directory",
        "  hint: give the path of a fleet file",
    ]
