"""The commands of ``fleet`` on an estate, with real worker processes, and accounts of an organization."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import click
import pytest
from click.testing import CliRunner, Result
from moto.server import ThreadedMotoServer

from enireconcile.aws.organizations import Member
from enireconcile.cli.app import cli
from enireconcile.errors import EnireconcileError
from enireconcile.fleet import discovery, run
from enireconcile.fleet.dask import check_scheduler
from enireconcile.fleet.discovery import discovered
from enireconcile.fleet.file import load_fleet
from enireconcile.fleet.units import units_of
from tests.ec2.estate import Estate
from tests.fleet.estates import SPEC, account_id, write_fleet
from tests.harness import ENVIRONMENT


def fleet(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["fleet", *map(str, arguments)], standalone_mode=False)


@pytest.fixture(autouse=True)
def _fresh_processes() -> Iterator[None]:
    """Worker processes have the environment of the process from which they are forked: let it be this test's."""
    yield
    forkserver._forkserver._stop()  # type: ignore[attr-defined]


def last(result: Result) -> Any:
    return json.loads(result.stdout.splitlines()[-1])


def test_apply_then_apply_again(estate: Estate, tmp_path: Path) -> None:
    path = write_fleet(tmp_path, 3, ["edge"], more="rollout: {canary: [a3]}\n")
    estate.denied.add(account_id(2))
    files = ("--report", tmp_path / "r.json", "--metrics", tmp_path / "m.prom")
    ran = fleet("apply", "-y", path, "--output", "json", "--jobs", 2, *files)
    assert ran.return_value == 1
    report = json.loads((tmp_path / "r.json").read_text())
    assert last(ran) == report
    assert report["waves"] == [{"units": 2, "failed": 0}, {"units": 4, "failed": 2}]
    assert {each["unit"] for each in report["units"] if each["outcome"] == "failed"} == {
        "a2/us-east-1/edge",
        "a2/eu-west-1/edge",
    }
    metrics = (tmp_path / "m.prom").read_text()
    assert 'enireconcile_fleet_units{fleet="edge",command="apply",outcome="converged"} 4' in metrics
    assert 'enireconcile_fleet_unit_failed{fleet="edge",command="apply",unit="a2/us-east-1/edge",' in metrics
    again = fleet("apply", "-y", path, "--only", "a[13]/*")
    assert (again.return_value, again.stdout.splitlines()[-1].partition(":")[0]) == (0, "Unchanged")
    planned = fleet("plan", path, "--only", "a2/us-*", "--output", "json")
    assert (planned.return_value, last(planned)["totals"]["failed"]) == (1, 1)


def test_a_plan_says_what_would_change(estate: Estate, tmp_path: Path) -> None:
    path = write_fleet(tmp_path, 2, ["edge"], regions=["us-east-1"])
    text = fleet("plan", path).stdout
    for number in (1, 2):
        _, _, rest = text.partition(f"a{number}/us-east-1/edge: 3 to change\n")
        assert rest.lstrip().startswith("+ ")
        assert "elastic_ips.a" in rest
    assert "Planned: 2 units (2 with changes) in " in text
    *units, report = map(json.loads, fleet("plan", path, "--output", "json").stdout.splitlines())
    assert [len(each["plan"]["changes"]) for each in units] == [3, 3]
    assert {each["plan"]["account_id"] for each in units} == {account_id(1), account_id(2)}
    assert "plan" not in report["units"][0]
    assert fleet("apply", "-y", path).return_value == 0
    again = fleet("plan", path, "--output", "json").stdout.splitlines()
    assert [json.loads(line)["plan"] for line in again[:-1]] == [None, None]
    assert estate.worlds.keys() == {(account_id(1), "us-east-1"), (account_id(2), "us-east-1")}


def test_verify_says_how_many_checks_it_made(estate: Estate, tmp_path: Path) -> None:
    path = write_fleet(tmp_path, 2, ["edge"], regions=["us-east-1"])
    assert fleet("verify", path).stdout.startswith("Verified: 2 units (2 unchanged), no checks in ")
    assert estate.calls == []


@pytest.mark.usefixtures("estate")
def test_a_report_that_cannot_be_written_changes_no_outcome(tmp_path: Path) -> None:
    path, metrics = write_fleet(tmp_path, 1, ["edge"], regions=["us-east-1"]), tmp_path / "m.prom"
    ran = fleet("apply", "-y", path, "--report", "/dev/full", "--metrics", metrics)
    assert (ran.return_value, ran.stdout.partition(":")[0]) == (0, "Converged")
    assert "enireconcile_fleet_units" in metrics.read_text()


@pytest.mark.usefixtures("estate")
def test_locks_of_units(tmp_path: Path) -> None:
    """With the role of the unit, and with the state of the fleet."""
    path = write_fleet(tmp_path, 2, ["edge"], regions=["us-east-1"])
    scope = f"{account_id(2)}-us-east-1-edge"
    ran = fleet("unlock", "--only", "a2/*", path)
    assert (ran.return_value, ran.stdout) == (0, f"a2/us-east-1/edge:\n{scope}: not locked\n")
    (tmp_path / "state" / scope).mkdir(parents=True, mode=0o700)
    (tmp_path / "state" / scope / "lock").mkdir()
    (tmp_path / "state").chmod(0o700)
    told = json.loads(fleet("apply", "-y", "--only", "a2/*", "--output", "json", path).stdout.splitlines()[0])
    assert (told["outcome"], told["changes"]) == ("failed", 0)
    assert "`enireconcile fleet unlock --only a2/us-east-1/edge FLEET`" in told["error"]
    assert fleet("unlock", "-y", "--only", "a2/*", path).return_value == 0
    assert fleet("apply", "-y", "--only", "a2/*", path).return_value == 0


def test_a_spec_that_changes_or_goes_meanwhile_is_the_same_for_all(estate: Estate, tmp_path: Path) -> None:
    """The canary would prove nothing otherwise."""
    path = write_fleet(tmp_path, 2, ["edge"], regions=["us-east-1"], more="rollout: {canary: [a1]}\n")
    loaded = load_fleet(str(path))
    units = units_of(loaded)
    task = run._tasks(loaded, "apply", units, run.RunOptions())
    (tmp_path / "edge.yaml").unlink()
    texts = {json.loads(task(unit))["files"][unit.file] for unit in units}
    assert len(texts) == 1
    assert estate.calls == []


def test_units_and_validate(tmp_path: Path) -> None:
    path = write_fleet(tmp_path, 2, ["edge", "core"], regions=["us-east-1"])
    listed = json.loads(fleet("units", path, "--output", "json").stdout)
    assert listed[0] == {
        "unit": "a1/us-east-1/edge",
        "account_id": account_id(1),
        "account": "a1",
        "region": "us-east-1",
        "spec": "edge",
        "stack": "edge",
    }
    assert "a2/us-east-1/core" in fleet("units", path).stdout
    assert fleet("validate", path).stdout == f"{path}: valid (fleet edge, 4 units)\n"
    assert json.loads(fleet("validate", path, "--output", "json").stdout) == []


def test_units_in_columns(tmp_path: Path) -> None:
    path = write_fleet(tmp_path, 1, ["edge", "core-network"], regions=["us-east-1"])
    assert fleet("units", path).stdout.splitlines() == [
        f"a1/us-east-1/edge          {account_id(1)}  edge",
        f"a1/us-east-1/core-network  {account_id(1)}  core-network",
    ]


def mistakes(path: Path) -> list[str]:
    ran = fleet("validate", path, "--output", "json")
    assert ran.return_value == 1
    return [each["message"] for each in json.loads(ran.stdout)]


def test_validate_tells_every_mistake_as_data(tmp_path: Path) -> None:
    path = write_fleet(tmp_path, 1, ["edge", "core"])
    (tmp_path / "core.yaml").write_text("version: 1\nstack: core\nelastic_ip: {}\n")
    assert mistakes(path) == ["unknown key"]
    (tmp_path / "core.yaml").write_text(SPEC.format(stack="edge"))
    assert mistakes(path) == [f"stack edge is in {tmp_path / 'edge.yaml'}, too, in the same account and Region"]
    assert fleet("apply", "-y", path).exception is not None, "it is refused there, too"
    (tmp_path / "core.yaml").write_text(SPEC.format(stack="core").replace("${region}a", "us-east-1a"))
    assert any("us-east-1a" in each and "eu-west-1" in each for each in mistakes(path)), "the unit's Region counts"
    (tmp_path / "core.yaml").unlink()
    (tmp_path / "core.yaml").mkdir()
    assert any("directory" in each for each in mistakes(path))
    path.write_text("version: 1\n")
    assert "is missing" in mistakes(path)


@pytest.mark.parametrize("command", ["validate", "units", "plan", "apply", "verify"])
def test_a_spec_that_cannot_be_read_is_a_mistake_of_the_fleet_file(
    estate: Estate, tmp_path: Path, command: str
) -> None:
    path = write_fleet(tmp_path, 1, ["edge", "core"], regions=["us-east-1"])
    (tmp_path / "core.yaml").rename(tmp_path / "cores.yaml")
    ran = fleet(command, path)
    assert str(ran.exception).splitlines() == [
        "1 problem in the fleet file",
        f"{path}:10:12: specs.1.path: 'core.yaml' cannot be read: No such file or directory",
        "  hint: did you mean `cores.yaml`?",
    ]
    (tmp_path / "core.yaml").mkdir()
    words = "specs.1.path: 'core.yaml' cannot be read: Is a directory\n  hint: name one spec file for each entry"
    assert words in str(fleet(command, path).exception)
    path.write_text(path.read_text().replace("core.yaml", "none/core.yaml"))
    words = "cannot be read: No such file or directory\n  hint: the path is relative to the fleet file"
    assert words in str(fleet(command, path).exception)
    path.write_text(path.read_text().replace("none/core.yaml", f"{'c' * 300}.yaml"))
    assert str(fleet(command, path).exception).endswith(" cannot be read: File name too long")
    assert estate.calls == []


@pytest.mark.parametrize("command", ["validate", "units", "plan", "apply", "verify"])
def test_a_variable_that_no_spec_has_is_a_mistake_of_the_fleet_file(
    estate: Estate, tmp_path: Path, command: str
) -> None:
    path = write_fleet(tmp_path, 2, ["edge", "core"], regions=["us-east-1"])
    text = path.read_text()
    path.write_text(text.replace("name: a2,", "name: a2, variables: {ops: 10.1.0.0/16, opps: 10.2.0.0/16},"))
    assert str(fleet(command, path).exception).splitlines() == [
        "1 problem in the fleet file",
        f"{path}:8:66: accounts.1.variables.opps: no spec has a variable 'opps'",
        "  hint: did you mean `ops`?",
    ]
    assert estate.calls == []


def test_variables_that_specs_use_without_declaring_them(tmp_path: Path) -> None:
    """One is in the spec, one in the user data file that only this account has."""
    path = write_fleet(tmp_path, 2, ["edge", "core"], regions=["us-east-1"])
    image = "{ssm: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}"
    (tmp_path / "edge.yaml").write_text(
        'version: 1\nstack: edge\ntags: {team: "${region} ${var.other} ${var.team}"}\nvariables: {boot: a}\n'
        "instances:\n"
        f'  web: {{instance_type: t3.micro, image: {image}, user_data_file: "${{var.boot}}.sh"}}\n'
        "network_interfaces:\n"
        '  e: {subnet: {default_for_az: "${region}a"}, attachment: {instance: web, device_index: 0}}\n'
    )
    (tmp_path / "a.sh").write_text("#!/bin/sh\n")
    (tmp_path / "b.sh").write_text("#!/bin/sh\necho ${var.greeting}\n")
    values = "{boot: b, team: blue, other: x, greeting: hello}"
    text = path.read_text().replace("name: a1,", "name: a1, variables: {team: red, other: x},")
    path.write_text(text.replace("name: a2,", f"name: a2, variables: {values},"))
    assert fleet("validate", path).return_value == 0
    path.write_text(path.read_text().replace("greeting:", "greetings:"))
    assert "did you mean `greeting`?" in str(fleet("validate", path).exception)


def test_a_spec_with_a_mistake_of_its_own_may_have_any_variable(tmp_path: Path) -> None:
    path = write_fleet(tmp_path, 1, ["edge", "core"], regions=["us-east-1"])
    path.write_text(path.read_text().replace("name: a1,", "name: a1, variables: {of_core: 1},"))
    (tmp_path / "core.yaml").write_text("version: 1\nstack: [\n")
    assert [words.partition(":")[0] for words in mistakes(path)] == ["not valid YAML"]


def test_what_has_no_unit_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_fleet(tmp_path, 2, ["edge"], regions=["us-east-1"])
    path.write_text(
        path.read_text()
        .replace("name: a1,", "name: a1, tags: {env: prod},")
        .replace("name: a2,", "name: a2, tags: {envv: prod},")
        .replace("path: edge.yaml", "path: edge.yaml, where: {env: prod}, regions: [us-east-1, us-east-2]")
    )
    ran = fleet("validate", path)
    assert ran.stdout == f"{path}: valid (fleet edge, 1 unit)\n"
    assert caplog.messages == [
        f"{path}:8:5: accounts.1: account a2 has no unit\n"
        "  hint: no entry of `specs` has its tags and its Regions",
        f"{path}:10:64: specs.0.regions.1: no account of this entry has the Region 'us-east-2'\n"
        "  hint: did you mean `us-east-1`?",
    ]


def test_each_unit_carries_its_own_files(tmp_path: Path) -> None:
    """A variable of the account may say which file is the user data."""
    path = write_fleet(tmp_path, 2, ["edge"], regions=["us-east-1"])
    image = "{ssm: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}"
    (tmp_path / "edge.yaml").write_text(
        "version: 1\nstack: edge\nvariables: {boot: none}\ninstances:\n"
        f'  web: {{instance_type: t3.micro, image: {image}, user_data_file: "${{var.boot}}.sh"}}\n'
        "network_interfaces:\n"
        "  e: {subnet: {default_for_az: us-east-1a}, attachment: {instance: web, device_index: 0}}\n"
    )
    text = path.read_text()
    for number in (1, 2):
        (tmp_path / f"a{number}.sh").write_text(f"#!/bin/sh\necho {number}\n")
        text = text.replace(f"name: a{number},", f"name: a{number}, variables: {{boot: a{number}}},")
    path.write_text(text)
    loaded = load_fleet(str(path))
    units = units_of(loaded)
    task = run._tasks(loaded, "apply", units, run.RunOptions())
    carried = [set(json.loads(task(unit))["files"]) for unit in units]
    spec = str(tmp_path / "edge.yaml")
    assert carried == [{spec, str(tmp_path / "a1.sh")}, {spec, str(tmp_path / "a2.sh")}]


@pytest.mark.parametrize("more", [("--report", "x", "--metrics", "x"), ("--report", "fleet.yaml")])
def test_no_file_is_written_over_another(estate: Estate, tmp_path: Path, more: tuple[str, ...]) -> None:
    path = write_fleet(tmp_path, 1, ["edge"])
    before = path.read_text()
    ran = fleet("apply", "-y", path, *(word if word.startswith("--") else tmp_path / word for word in more))
    assert "is the same file as" in str(ran.exception)
    assert (path.read_text(), estate.calls) == (before, [])


def test_no_approval_without_a_terminal(estate: Estate, tmp_path: Path) -> None:
    ran = fleet("apply", write_fleet(tmp_path, 1, ["edge"]))
    assert isinstance(ran.exception, EnireconcileError)
    assert (ran.exception.exit_code, estate.calls) == (3, [])
    assert "stdin is not a terminal" in str(ran.exception)


@pytest.mark.parametrize(
    ("shard", "index", "units"),
    [("1/1", None, 4), ("/1", "0", 4), ("1", "0", 4), ("/2", "1", None), ("3/2", None, None), ("/2", None, None)],
)
def test_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard: str, index: str | None, units: int | None
) -> None:
    if index is not None:
        monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_INDEX", index)
    path = write_fleet(tmp_path, 2, ["edge"])
    ran = fleet("units", path, "--shard", shard, "--output", "json")
    if index is None and units is None:
        assert "write I/N" in str(ran.exception) or "no part" in str(ran.exception)
    else:
        found = len(json.loads(ran.stdout))
        assert found == units if units is not None else found <= 4


NO_ADDRESSES = ("tcp://127.0.0.1", "127.0.0.1:8786", "http://127.0.0.1:8787", "tls://[x", "tls://a:99999", "")


@pytest.mark.parametrize(
    ("shard", "index", "words"),
    [
        ("1/0", None, "one part at least"),
        ("/4", "x", "needs a number in JOB_COMPLETION_INDEX, not 'x'"),
        ("/4", "4", "no part 5 of 4 (JOB_COMPLETION_INDEX is 4); the first is 1/4, the last 4/4"),
        ("0/4", None, "no part 0 of 4; the first is 1/4, the last 4/4"),
    ],
)
def test_no_such_shard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard: str, index: str | None, words: str
) -> None:
    if index is not None:
        monkeypatch.setenv("JOB_COMPLETION_INDEX", index)
    ran = fleet("units", write_fleet(tmp_path, 1, ["edge"]), "--shard", shard)
    assert words in str(ran.exception)


class Certificates:
    tls_ca_file = tls_client_cert = tls_client_key = "/etc/dask/some.pem"


class NoCertificates:
    tls_ca_file = tls_client_cert = tls_client_key = None


@pytest.mark.parametrize(
    ("url", "security", "words"),
    [
        ("tcp://127.0.0.1:8786", NoCertificates, None),
        ("tcp://[::1]:8786", NoCertificates, None),
        ("tcp://localhost:8786", NoCertificates, None),
        ("tls://dask.internal:8786", Certificates, None),
        ("tls://dask.internal:8786", NoCertificates, "needs certificates"),
        ("tcp://dask.internal:8786", Certificates, "has no TLS"),
        ("tcp://10.0.0.1:8786", NoCertificates, "has no TLS"),
    ],
)
def test_a_scheduler_beyond_loopback_needs_certificates(url: str, security: Any, words: str | None) -> None:
    if words is None:
        check_scheduler(url, security)
    else:
        with pytest.raises(EnireconcileError, match=words):
            check_scheduler(url, security)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--engine", "dask"], "--engine dask needs --scheduler"),
        (["--scheduler", "tcp://127.0.0.1:8786"], "--scheduler is for --engine dask only"),
        *((["--engine", "dask", "--scheduler", url], "write tls://HOST:PORT") for url in NO_ADDRESSES),
    ],
)
def test_no_address_is_wrong_usage(tmp_path: Path, more: Sequence[str], words: str) -> None:
    ran = fleet("plan", *more, write_fleet(tmp_path, 1, ["edge"]))
    assert isinstance(ran.exception, click.UsageError)
    assert words in ran.exception.format_message()


# ---- AWS Organizations


@pytest.fixture
def organization(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Three accounts, two of them in an organizational unit below another; yields the id of the upper one."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST"))  # all servers of a process are one
    for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    client = boto3.client("organizations", region_name="us-east-1")
    client.create_organization(FeatureSet="ALL")
    root = client.list_roots()["Roots"][0]["Id"]
    upper = client.create_organizational_unit(ParentId=root, Name="upper")["OrganizationalUnit"]["Id"]
    lower = client.create_organizational_unit(ParentId=upper, Name="lower")["OrganizationalUnit"]["Id"]
    for name, parent in (("Shop A", upper), ("shop b", lower), ("other", root)):
        made = client.create_account(AccountName=name, Email=f"{name[-1]}@example.com")["CreateAccountStatus"]
        client.move_account(AccountId=made["AccountId"], SourceParentId=root, DestinationParentId=parent)
        client.tag_resource(ResourceId=made["AccountId"], Tags=[{"Key": "env", "Value": name[:4]}])
    yield upper
    server.stop()


def organization_fleet(folder: Path, more: str = "") -> Path:
    path = folder / "fleet.yaml"
    (folder / "edge.yaml").write_text(SPEC.format(stack="edge"))
    path.write_text(
        "version: 1\nfleet: edge\ndiscover: {organization: {regions: [us-east-1]}}\n"
        f"{more}specs:\n  - {{path: edge.yaml}}\n"
    )
    return path


@pytest.mark.usefixtures("organization")
def test_the_accounts_are_kept_for_the_organization_they_were_found_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment does not tell which organization the default profile is for, and keys of roles change."""
    client = boto3.client("organizations", region_name="us-east-1")
    fleet_file = load_fleet(str(organization_fleet(tmp_path)))
    config = tmp_path / "config"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    url = os.environ["AWS_ENDPOINT_URL"]
    monkeypatch.delenv("AWS_ENDPOINT_URL")

    def found(key: str, url: str, *, refresh: bool = False) -> bool:
        keys = f"aws_access_key_id={key}\naws_secret_access_key=x\n"
        config.write_text(f"[default]\nregion=us-east-1\nendpoint_url={url}\n{keys}")
        return "late" in {account.name for account in discovered(fleet_file, refresh=refresh)}

    assert not found("AKIAONE", url)
    client.create_account(AccountName="late", Email="late@example.com")
    assert not found("AKIAONE", url), "kept"
    assert not found("ASIATWO", url), "another key of the same account"
    other = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    other.start()
    host, port = other.get_host_and_port()
    assert found("AKIAONE", f"http://{host}:{port}"), "another endpoint is another organization"
    other.stop()
    assert not found("AKIAONE", url)
    assert found("AKIAONE", url, refresh=True)


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ([("500000000000", "prod")], {"500000000000": "prod"}),
        (
            [("100000000000", "prod"), ("500000000000", "prod")],
            {"100000000000": "100000000000", "500000000000": "500000000000"},
        ),
        (
            [("300000000000", "prod x"), ("400000000000", "prod-x"), ("600000000000", "-")],
            {number: number for number in ("300000000000", "400000000000", "600000000000")},
        ),
        (
            [("100000000000", "200000000000"), ("200000000000", "dev")],
            {"100000000000": "100000000000", "200000000000": "dev"},
        ),
        ([("100000000000", "in-the-file")], {"100000000000": "100000000000"}),
    ],
)
def test_names_that_several_accounts_have_are_their_ids(
    members: list[tuple[str, str]], names: dict[str, str]
) -> None:
    """When an account joins, a name never becomes that of another account."""
    found = discovery._named([Member(*each) for each in members], ["in-the-file"], ("us-east-1",))
    assert {account.id: account.name for account in found} == names


@pytest.mark.usefixtures("organization")
def test_with_discover_an_entry_without_units_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = organization_fleet(tmp_path)
    (tmp_path / "core.yaml").write_text(SPEC.format(stack="core"))
    path.write_text(path.read_text() + "  - {path: core.yaml, where: {evn: Shop}}\n")
    for command in ("validate", "units"):
        caplog.clear()
        assert fleet(command, path).return_value == 0
        told = [record.getMessage() for record in caplog.records if record.name == "enireconcile.told"]
        assert told == [
            f"{path}:6:31: specs.1.where.evn: no account has the tag 'evn'\n  hint: did you mean `env`?"
        ]


def test_accounts_of_an_organization(organization: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "fleet.yaml"
    (tmp_path / "edge.yaml").write_text(SPEC.format(stack="edge"))
    path.write_text(
        'version: 1\nfleet: edge\nrole: "arn:aws:iam::${account.id}:role/${account.tags.env}"\n'
        f"discover: {{organization: {{ous: [{organization}], regions: [us-east-1]}}}}\n"
        "specs:\n  - {path: edge.yaml}\nrollout: {canary: [Shop-A]}\n"
    )
    units = json.loads(fleet("units", path, "--output", "json").stdout)
    assert {each["unit"] for each in units} == {"Shop-A/us-east-1/edge", "shop-b/us-east-1/edge"}
    found = discovered(load_fleet(str(path)))
    assert {account.tags["env"] for account in found} == {"Shop", "shop"}
    path.write_text(path.read_text().replace("Shop-A", "Shop-Z"))
    assert "no account 'Shop-Z'" in str(fleet("units", path).exception)
    path.write_text(path.read_text().replace("tags.env", "tags.nothing").replace("Shop-Z", "Shop-A"))
    assert "has no 'account.tags.nothing'" in str(fleet("units", path).exception)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAANOTHERONE")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setattr(time, "sleep", lambda _: None)  # between botocore's attempts
    with pytest.raises(EnireconcileError, match="cannot read the organization"):
        discovered(load_fleet(str(path)))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "sandbox")
    with pytest.raises(
        EnireconcileError, match="cannot create the organizations client: Invalid endpoint: sandbox"
    ):
        discovered(load_fleet(str(path)))
