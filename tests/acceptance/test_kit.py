"""The acceptance kit, as a process, against the strict EC2."""

from __future__ import annotations

import json
import os
import pty
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import costs, failover, story
from tests.acceptance.account import TAG
from tests.acceptance.probes import PROBES
from tests.commands import Process, running
from tests.ec2 import EC2Server, Fail, Hook, Settings, World
from tests.ec2.world import AL2023

FAST = Settings(
    attach_delay=0.2,
    detach_delay=0.2,
    pending_delay=0.2,
    stop_delay=0.2,
    terminate_delay=0.2,
    eni_pending_delay=0.1,
    visibility_delay=0.1,
)
PROGRAM = ("-m", "tests.acceptance")
LONG = 840.0
"""Real seconds for a whole run on a busy machine."""


@pytest.fixture(autouse=True)
def _consent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENIRECONCILE_ACCEPTANCE", "yes")
    monkeypatch.setenv("AWS_REGION", "us-east-1")


@pytest.fixture
def server() -> Iterator[EC2Server]:
    """An account in which others have something, too."""
    with EC2Server(World(FAST)) as server:
        furnish(server.world)
        yield server


def furnish(world: World) -> None:
    """An instance, an interface, a group and an Elastic IP, with tags that resemble those of a run."""
    subnet = next(iter(world.data.subnets))
    specification = [{"ResourceType": "network-interface", "Tags": [{"Key": "Name", "Value": TAG}]}]
    launch(world, subnet)
    world.call("CreateNetworkInterface", SubnetId=subnet, TagSpecifications=specification)
    world.call("CreateSecurityGroup", GroupName=TAG, Description="theirs")
    world.call("AllocateAddress")


def launch(world: World, subnet: str, **more: Any) -> str:
    image = world.data.parameters[f"{AL2023}x86_64"]
    answer = world.call(
        "RunInstances", ImageId=image, InstanceType="t3.nano", MinCount=1, MaxCount=1, SubnetId=subnet, **more
    )
    return str(answer["Instances"][0]["InstanceId"])


def holdings(world: World) -> dict[str, str]:
    """Everything in the account but terminated instances, as EC2 itself knows it."""
    world.settle()
    data = world.data
    everything: list[dict[str, Any]] = [
        data.vpcs, data.subnets, data.gateways, data.route_tables, data.groups, data.interfaces, data.addresses,
        {key: each for key, each in data.instances.items() if each.state != "terminated"},
    ]  # fmt: skip
    return {key: repr(record) for records in everything for key, record in records.items()}


def settled(server: EC2Server) -> dict[str, str]:
    """The holdings once nothing is about to happen by itself."""
    while server.world.data.due:
        time.sleep(0.02)
        server.world.settle()
    return holdings(server.world)


def ended(run: Process) -> int:
    run.process.wait(LONG)
    return run.end()[0]


def written(out: Path) -> tuple[dict[str, Any], str]:
    """The difference file and the page of results of the only run."""
    [folder] = out.iterdir()
    return json.loads((folder / "differences.json").read_text()), (folder / "results.md").read_text()


@pytest.mark.timeout(900)
def test_the_whole_run(server: EC2Server, tmp_path: Path) -> None:
    """All scenes pass, the strict EC2 answers each probe as expected, and nothing is left or touched."""
    before = settled(server)
    with running(server, tmp_path, "run", "--yes", "--out", str(tmp_path / "out"), program=PROGRAM) as run:
        assert ended(run) == 0, run.stderr
    told, page = written(tmp_path / "out")
    assert told["differences"] == []
    assert told["Region"] == "us-east-1"
    assert page.startswith("# Acceptance run: passed\n")
    assert page.count("| passed |") == len(story.CHAPTER.scenes) + len(failover.CHAPTER.scenes)
    for measured in ("attach an interface", "detach an interface", "apply: create the story", "apply: fail over"):
        assert f"| {measured} | " in page
    assert f"EC2 and tests/ec2 ({len(PROBES)} questions)" in page
    assert server.world.settings.account_id not in page + json.dumps(told)
    assert holdings(server.world) == before


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_nothing(server: EC2Server, tmp_path: Path, number: signal.Signals) -> None:
    """In the middle of the program's first apply: the cleanup follows, and the results say so."""
    before = settled(server)
    server.faults.add(Hook(action="RunInstances", callback=lambda _: run.send(number)))
    with running(server, tmp_path, "run", "--yes", "--out", str(tmp_path / "out"), program=PROGRAM) as run:
        assert ended(run) == 130, run.stderr
    assert "interrupted: deleting everything" in run.stderr
    assert written(tmp_path / "out")[1].startswith("# Acceptance run: interrupted\n")
    assert holdings(server.world) == before
    with running(server, tmp_path, "clean", program=PROGRAM) as clean:
        assert (ended(clean), "nothing to delete" in clean.stderr) == (0, True)


@pytest.mark.timeout(300)
def test_ctrl_c_again_during_the_cleanup(server: EC2Server, tmp_path: Path) -> None:
    """It ends at once; the results say what is to do, and doing it leaves nothing."""
    before = settled(server)
    for action in ("RunInstances", "DeleteSubnet"):
        server.faults.add(Hook(action=action, callback=lambda _: run.send(signal.SIGINT)))
    args = ("run", "--yes", "--only", "failover", "--out", str(tmp_path / "out"))
    with running(server, tmp_path, *args, program=PROGRAM) as run:
        assert ended(run) == 130, run.stderr
    assert "- the cleanup was interrupted; run make acceptance-clean" in written(tmp_path / "out")[1]
    assert holdings(server.world) != before
    with running(server, tmp_path, "clean", "--yes", program=PROGRAM) as clean:
        assert ended(clean) == 0, clean.stderr
    assert holdings(server.world) == before


@pytest.mark.timeout(300)
def test_clean_after_a_kill(server: EC2Server, tmp_path: Path) -> None:
    """SIGKILL leaves everything; clean finds it by tag and deletes it in the order that EC2 demands."""
    before = settled(server)
    server.faults.add(Hook(action="RunInstances", callback=lambda _: run.send(signal.SIGKILL)))
    with running(server, tmp_path, "run", "--yes", "--out", str(tmp_path / "out"), program=PROGRAM) as run:
        assert ended(run) == -signal.SIGKILL
    assert holdings(server.world) != before
    with running(server, tmp_path, "clean", "--yes", program=PROGRAM) as clean:
        assert ended(clean) == 0, clean.stderr
    assert holdings(server.world) == before


@pytest.mark.timeout(300)
def test_clean_of_what_is_hard_to_delete(server: EC2Server, tmp_path: Path) -> None:
    """Termination protection, groups that name each other, and the resources of one run of two."""

    def tagged(kind: str, run: str = "acc-1") -> dict[str, Any]:
        return {"TagSpecifications": [{"ResourceType": kind, "Tags": [{"Key": TAG, "Value": run}]}]}

    before, world = settled(server), server.world
    instance = launch(world, next(iter(world.data.subnets)), DisableApiTermination=True, **tagged("instance"))
    groups = [
        world.call("CreateSecurityGroup", GroupName=name, Description=name, **tagged("security-group"))["GroupId"]
        for name in ("one", "two")
    ]
    other = world.call("AllocateAddress", **tagged("elastic-ip", "acc-2"))["AllocationId"]
    settled(server)
    time.sleep(FAST.visibility_delay)
    for group, peer in (groups, reversed(groups)):
        pairs = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": peer}]}]
        world.call("AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=pairs)
        world.call("AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=pairs)
    with running(server, tmp_path, "clean", "--yes", "--run", "acc-1", program=PROGRAM) as clean:
        assert ended(clean) == 0, clean.stderr
    assert f"deleting instance {instance} (run acc-1)" in clean.stderr
    assert set(holdings(world)) - set(before) == {other}
    with running(server, tmp_path, "clean", "--yes", program=PROGRAM) as clean:
        assert ended(clean) == 0, clean.stderr
    assert set(holdings(world)) == set(before)


@pytest.mark.timeout(300)
def test_a_scene_that_fails(server: EC2Server, tmp_path: Path) -> None:
    """It is recorded with what the program said; the rest of its chapter is skipped; the cleanup follows."""
    before = settled(server)
    server.faults.add(Fail("AssociateAddress", times=9999, code="AuthFailure"))
    args = ("run", "--yes", "--only", "failover", "--out", str(tmp_path / "out"))
    with running(server, tmp_path, *args, program=PROGRAM) as run:
        assert ended(run) == 1, run.stderr
    page = written(tmp_path / "out")[1]
    assert page.startswith("# Acceptance run: failed\n")
    assert page.count("| skipped |") == len(failover.CHAPTER.scenes) - 1
    assert "expected exit code 0, got 5" in page
    assert "AuthFailure" in page
    assert holdings(server.world) == before


@pytest.mark.timeout(300)
def test_a_difference_is_written(tmp_path: Path) -> None:
    """An EC2 that answers a probe in another way: no failure, but a row in the file and on the page."""
    with EC2Server(World(replace(FAST, replays_deleted=True))) as server:
        args = ("run", "--yes", "--only", "probes", "--out", str(tmp_path / "out"))
        with running(server, tmp_path, *args, program=PROGRAM) as run:
            assert ended(run) == 0, run.stderr
    told, page = written(tmp_path / "out")
    [difference] = told["differences"]
    assert difference["probe"] == "a_token_of_a_deleted_interface"
    assert difference["expected"].startswith("InvalidNetworkInterfaceID.NotFound: ")
    assert difference["got"] == "the old answer"
    assert "| the old answer |" in page


def refusal(server: EC2Server, tmp_path: Path, *args: str) -> str:
    """What a refused command says. It changed nothing."""
    with running(server, tmp_path, *args, program=PROGRAM) as run:
        assert ended(run) == 3, run.stderr
    assert server.mutating() == []
    assert run.stderr.endswith("Nothing was changed.\n")
    return run.stderr


@pytest.mark.parametrize("command", ["run", "clean"])
def test_without_consent(server: EC2Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.delenv("ENIRECONCILE_ACCEPTANCE")
    said = refusal(server, tmp_path, command, "--yes")
    assert "Set ENIRECONCILE_ACCEPTANCE=yes" in said
    assert server.calls == []


def test_without_a_region(server: EC2Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    assert "No AWS Region is set." in refusal(server, tmp_path, "run", "--yes")


def test_without_credentials_that_work(server: EC2Server, tmp_path: Path) -> None:
    server.faults.add(Fail("GetCallerIdentity", times=9, code="InvalidClientTokenId"))
    assert "The AWS credentials do not work: " in refusal(server, tmp_path, "run", "--yes")


def test_without_a_terminal_to_ask(server: EC2Server, tmp_path: Path) -> None:
    """It says what it would make and what that costs, and asks before it makes anything."""
    said = refusal(server, tmp_path, "run")
    assert "in account 123456789012, us-east-1" in said
    assert f"at most ${costs.total():.2f} in 60 minutes" in said
    assert "Cannot ask for approval: stdin is not a terminal. Use --yes." in said


def test_not_approved(server: EC2Server, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        with running(server, tmp_path, "run", program=PROGRAM, stdin=theirs) as run:
            run.says("Continue?")
            os.write(ours, b"n\n")
            assert ended(run) == 3, run.stderr
    finally:
        os.close(ours)
        os.close(theirs)
    assert "Not approved. Nothing was changed." in run.stderr
    assert server.mutating() == []


def test_without_room_for_elastic_ips(server: EC2Server, tmp_path: Path) -> None:
    for _ in range(2):
        server.world.call("AllocateAddress")
    time.sleep(FAST.visibility_delay)
    said = refusal(server, tmp_path, "run", "--yes")
    assert "A run needs 3 Elastic IPs. The quota of us-east-1 is 5; 3 are in use." in said


def test_a_run_costs_less_than_a_dollar() -> None:
    assert 0.01 < costs.total() < 1
