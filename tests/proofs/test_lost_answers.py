"""EC2 acts and its answer is lost, or the call is lost on its way: one run still makes everything exactly once.

The scenes of this module (two specs, built from nothing and corrected after every kind of drift) and its way of
counting the account serve the other proofs too.
"""

from __future__ import annotations

import functools
import json
import pickle
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from enireconcile.model import (
    Report,
)
from enireconcile.ownership import (
    NAME_TAG,
)
from tests.ec2 import Call, Drop, DropConnection, Fault, Hook, Settings
from tests.harness import SLOW, Harness, open_harness
from tests.two_enis import DRIFTS, Account

from .accounting import assert_exact
from .conftest import Proofs

RICH = """
version: 1
stack: rich
region: us-east-1
tags: {Project: proofs}
security_groups:
  front:
    description: Front doors
    ingress:
      - {protocol: tcp, ports: 443, sources: [0.0.0.0/0, "::/0"], description: https}
      - {protocol: icmp, sources: [self]}
    egress:
      - {protocol: tcp, ports: 5432, destinations: [back], description: database}
  back:
    ingress:
      - {protocol: tcp, ports: 5432, sources: [front]}
    egress: []
instances:
  router:
    image: {ssm: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}
    instance_type: t3.medium
    key_name: ops
    iam_instance_profile: web
  standby:
    image: {ssm: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64}
    instance_type: t3.micro
    state: stopped
network_interfaces:
  router-eth0:
    subnet: {default_for_az: us-east-1a}
    security_groups: [front]
    private_ip: 172.31.0.10
    source_dest_check: false
    description: outside
    attachment: {instance: router, device_index: 0, delete_on_termination: true}
  router-eth1:
    subnet: {default_for_az: us-east-1a}
    security_groups: [back]
    source_dest_check: false
    attachment: {instance: router, device_index: 1}
  standby-eth0:
    subnet: {default_for_az: us-east-1b}
    security_groups: [back]
    attachment: {instance: standby, device_index: 0}
  loose: {subnet: {default_for_az: us-east-1a}, ipv4_prefix_count: 1, description: spare}
elastic_ips:
  outside: {association: {network_interface: router-eth0}}
  inside: {lifecycle: {ignore: [association]}, association: {network_interface: router-eth1}}
  spare: {}
"""
STORY_CALLS = {
    "CreateSecurityGroup": 2,
    "AuthorizeSecurityGroupIngress": 1,
    "CreateNetworkInterface": 2,
    "AllocateAddress": 2,
    "AssociateAddress": 2,
    "RunInstances": 1,
}
RICH_CALLS = {
    "CreateSecurityGroup": 2,
    "AuthorizeSecurityGroupIngress": 2,
    "AuthorizeSecurityGroupEgress": 1,
    "RevokeSecurityGroupEgress": 2,
    "CreateNetworkInterface": 4,
    "AssignPrivateIpAddresses": 1,
    "ModifyNetworkInterfaceAttribute": 3,
    "AllocateAddress": 3,
    "AssociateAddress": 2,
    "DeleteTags": 1,
    "RunInstances": 2,
    "StopInstances": 1,
}


# ---- what others do to the rich account


def _id(harness: Harness, address: str) -> str:
    """The id of one of ours."""
    found = [record.id for record in _alive(harness) if record.tags.get(NAME_TAG) == address]
    assert len(found) == 1
    return str(found[0])


def _call(harness: Harness, action: str, **params: Any) -> None:
    """Another owner's call, and the time that it needs to take effect."""
    harness.strict.world.call(action, **params)
    harness.loop.now += 30


def _elsewhere(harness: Harness) -> None:
    """The second interface is moved to another index of its instance."""
    interface = _id(harness, "network_interfaces.router-eth1")
    instance = _id(harness, "instances.router")
    attachment = harness.strict.world.data.interfaces[interface].attachment
    assert attachment is not None
    _call(harness, "DetachNetworkInterface", AttachmentId=attachment.id)
    _call(harness, "AttachNetworkInterface", NetworkInterfaceId=interface, InstanceId=instance, DeviceIndex=2)


def _spare_used(harness: Harness) -> None:
    """The spare address is associated with the interface that is not attached."""
    interface, address = _id(harness, "network_interfaces.loose"), _id(harness, "elastic_ips.spare")
    _call(harness, "AssociateAddress", AllocationId=address, NetworkInterfaceId=interface)


def _power_swapped(harness: Harness) -> None:
    """What should run is stopped, and what should be stopped runs."""
    _call(harness, "StopInstances", InstanceIds=[_id(harness, "instances.router")])
    _call(harness, "StartInstances", InstanceIds=[_id(harness, "instances.standby")])


def _rule(port: int, cidr: str = "0.0.0.0/0", **words: str) -> list[dict[str, Any]]:
    entry = {"CidrIp": cidr, **words}
    return [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [entry]}]


def _rules_added(harness: Harness) -> None:
    """Holes are made in both directions."""
    group = _id(harness, "security_groups.back")
    _call(harness, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=_rule(22))
    _call(harness, "AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=_rule(25))


def _rules_replaced(harness: Harness) -> None:
    """Both directions let something else through."""
    group, back = _id(harness, "security_groups.front"), _id(harness, "security_groups.back")
    pair = [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [{"GroupId": back}]}]
    _call(harness, "RevokeSecurityGroupEgress", GroupId=group, IpPermissions=pair)
    _call(harness, "AuthorizeSecurityGroupEgress", GroupId=group, IpPermissions=_rule(25))
    _call(harness, "RevokeSecurityGroupIngress", GroupId=group, IpPermissions=_rule(443))
    _call(harness, "AuthorizeSecurityGroupIngress", GroupId=group, IpPermissions=_rule(80))


def _rules_reworded(harness: Harness) -> None:
    """Rules get other descriptions."""
    group, back = _id(harness, "security_groups.front"), _id(harness, "security_groups.back")
    update = "UpdateSecurityGroupRuleDescriptions"
    _call(harness, f"{update}Ingress", GroupId=group, IpPermissions=_rule(443, Description="who wrote this"))
    entry = {"GroupId": back, "Description": "odd"}
    pair = [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [entry]}]
    _call(harness, f"{update}Egress", GroupId=group, IpPermissions=pair)


def _attributes(harness: Harness) -> None:
    """Tags, flags and words of interfaces are changed, and the flag on an attachment."""
    first = _id(harness, "network_interfaces.router-eth0")
    modify = functools.partial(_call, harness, "ModifyNetworkInterfaceAttribute", NetworkInterfaceId=first)
    modify(SourceDestCheck={"Value": True})
    modify(Description={"Value": "mine!"})
    modify(Groups=[_id(harness, "security_groups.back")])
    attachment = harness.strict.world.data.interfaces[first].attachment
    assert attachment is not None
    modify(Attachment={"AttachmentId": attachment.id, "DeleteOnTermination": False})
    everything = [record.id for record in _alive(harness)]
    _call(harness, "CreateTags", Resources=everything, Tags=[{"Key": "Project", "Value": "mine"}])


def _all_at_once(harness: Harness) -> None:
    """All of the above, before the next run."""
    for deed in (_spare_used, _rules_added, _rules_replaced, _attributes, _elsewhere, _power_swapped):
        deed(harness)
    # The description that is left over from what was replaced.
    back = _id(harness, "security_groups.back")
    front = _id(harness, "security_groups.front")
    entry = {"GroupId": front, "Description": "odd"}
    pair = [{"IpProtocol": "tcp", "FromPort": 5432, "ToPort": 5432, "UserIdGroupPairs": [entry]}]
    _call(harness, "UpdateSecurityGroupRuleDescriptionsIngress", GroupId=back, IpPermissions=pair)


# ---- scenes


@dataclass(frozen=True)
class Scene:
    """A spec (None: the story), what others did to what it had built (None: nothing is built yet), and the
    calls that an apply then makes."""

    text: str | None
    deed: Callable[[Harness], None] | None
    calls: Mapping[str, int]

    @property
    def places(self) -> list[tuple[str, int]]:
        """Every call of the scene: (action, which of its kind)."""
        return [(action, nth) for action, count in self.calls.items() for nth in range(1, count + 1)]


def _stranger(deed: Callable[[Account], None]) -> Callable[[Harness], None]:
    return lambda harness: deed(Account(harness))


BUILDS = {"the story": Scene(None, None, STORY_CALLS), "the rich one": Scene(RICH, None, RICH_CALLS)}
REPAIRS = {
    **{name: Scene(None, _stranger(deed), Counter(calls)) for name, (deed, calls, _) in DRIFTS.items()},
    "eth1 on another index": Scene(RICH, _elsewhere, {"DetachNetworkInterface": 1, "AttachNetworkInterface": 1}),
    "the spare address used": Scene(RICH, _spare_used, {"DisassociateAddress": 1}),
    "power the wrong way round": Scene(RICH, _power_swapped, {"StartInstances": 1, "StopInstances": 1}),
    "rules added": Scene(RICH, _rules_added, {"RevokeSecurityGroupIngress": 1, "RevokeSecurityGroupEgress": 1}),
    "rules replaced": Scene(
        RICH,
        _rules_replaced,
        {
            "AuthorizeSecurityGroupIngress": 1,
            "AuthorizeSecurityGroupEgress": 1,
            "RevokeSecurityGroupIngress": 1,
            "RevokeSecurityGroupEgress": 1,
        },
    ),
    "rules reworded": Scene(
        RICH,
        _rules_reworded,
        {
            "UpdateSecurityGroupRuleDescriptionsIngress": 1,
            "UpdateSecurityGroupRuleDescriptionsEgress": 1,
        },
    ),
    "attributes changed": Scene(RICH, _attributes, {"ModifyNetworkInterfaceAttribute": 4, "CreateTags": 11}),
}
ALL_AT_ONCE = Scene(
    RICH,
    _all_at_once,
    {
        "AttachNetworkInterface": 1,
        "AuthorizeSecurityGroupEgress": 1,
        "AuthorizeSecurityGroupIngress": 1,
        "CreateTags": 11,
        "DetachNetworkInterface": 1,
        "DisassociateAddress": 1,
        "ModifyNetworkInterfaceAttribute": 4,
        "RevokeSecurityGroupEgress": 2,
        "RevokeSecurityGroupIngress": 2,
        "StartInstances": 1,
        "StopInstances": 1,
        "UpdateSecurityGroupRuleDescriptionsIngress": 1,
    },
)


@dataclass(frozen=True)
class _Frozen:
    """An account, its dice, its clock, and the state directory beside it."""

    data: bytes
    dice: Any
    now: float
    files: Mapping[str, bytes]


@functools.cache
def _built(text: str | None) -> _Frozen:
    """The account after an undisturbed apply; built once a process."""
    with tempfile.TemporaryDirectory() as place, open_harness(Path(place), SLOW) as harness:
        assert harness.apply(text).outcome == "converged"
        world = harness.strict.world
        world.settle()
        files = {str(path.relative_to(place)): path.read_bytes() for path in Path(place).rglob("journal.jsonl")}
        return _Frozen(pickle.dumps(world.data), world.rng.getstate(), harness.loop.now, files)


def _thaw(harness: Harness, frozen: _Frozen) -> None:
    world = harness.strict.world
    world.data = pickle.loads(frozen.data)  # noqa: S301 - our own bytes
    world.rng.setstate(frozen.dice)
    harness.loop.now = frozen.now
    for name, content in frozen.files.items():
        path = harness.state / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@contextmanager
def at(scene: Scene, place: Path, settings: Settings = SLOW) -> Iterator[Harness]:
    """A harness in which the scene's apply is what comes next."""
    with open_harness(place, settings) as harness:
        if scene.deed is not None:
            _thaw(harness, _built(scene.text))
            # Built a while ago: what is as young as this could only be an old read's mistake.
            harness.loop.now += 60
            scene.deed(harness)
            harness.strict.clear()
        yield harness


# ---- the account, counted


def _alive(harness: Harness) -> list[Any]:
    """Everything that lives in the account, beyond what EC2 puts into a new one."""
    harness.strict.world.settle()
    data = harness.strict.world.data
    return [
        *(group for group in data.groups.values() if group.name != "default"),
        *(each for each in data.instances.values() if each.state not in ("shutting-down", "terminated")),
        *data.interfaces.values(),
        *data.addresses.values(),
    ]


def strangers_in(harness: Harness) -> list[str]:
    """The ids of what carries no name of ours."""
    return [record.id for record in _alive(harness) if NAME_TAG not in record.tags]


def ever_launched(harness: Harness) -> int:
    """How many instances EC2 lists, terminated ones among them."""
    return len(harness.strict.world.data.instances)


def assert_settled(harness: Harness, text: str | None, strangers: Sequence[str] = ()) -> None:
    """The account is exact, and another apply finds nothing to do."""
    harness.strict.faults.clear()
    harness.loop.now += 30
    harness.strict.world.settle()
    for interface in harness.strict.world.data.interfaces.values():
        # Another tool in the story sets a tag of its own, which stays.
        interface.tags.pop("Owner", None)
    assert_exact(harness.strict.world, harness.spec(text), strangers)
    harness.strict.clear()
    assert harness.apply(text).outcome == "unchanged"
    assert harness.strict.actions(mutating=True) == []


def key_of(call: Call) -> str:
    """What makes a call the same call again."""
    return f"{call.action} {json.dumps(call.params, sort_keys=True, default=str)}"


def made(harness: Harness, known: Collection[str] = ()) -> Counter[str]:
    """How often each action was carried out; a ClientToken used before, or ``known``, makes nothing."""
    counts: Counter[str] = Counter()
    seen = set(known)
    for call in harness.strict.mutating():
        token = call.params.get("ClientToken")
        if call.acted and token not in seen:
            counts[call.action] += 1
            if token is not None:
                seen.add(token)
    return counts


def tokens(harness: Harness) -> set[str]:
    """The ClientTokens that were used so far."""
    return {token for call in harness.strict.mutating() if (token := call.params.get("ClientToken"))}


# ---- the fault


@dataclass
class Lose(Fault):
    """The ``nth`` distinct call of ``action`` is lost ``times`` times in a row: its answer, or all of it.

    Without an ``action`` every mutating call is, and with 0 for ``nth`` every one of its kind.
    """

    action: str | None
    nth: int
    times: int
    late: bool
    lost: Counter[str] = field(default_factory=Counter, init=False)
    _seen: list[str] = field(default_factory=list, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def _lose(self, call: Call) -> None:
        if not call.mutates or self.action not in (None, call.action):
            return
        key = key_of(call)
        with self._lock:
            if key not in self._seen:
                self._seen.append(key)
            if self.nth not in (0, self._seen.index(key) + 1) or self.lost[key] == self.times:
                return
            self.lost[key] += 1
        raise Drop(call.action)

    def before(self, call: Call) -> None:
        # A repeat changes nothing any more: whether its answer is lost or itself is one and the same.
        if not self.late or self.lost[key_of(call)]:
            self._lose(call)

    def after(self, call: Call) -> None:
        if self.late:
            self._lose(call)


FOUND = ("AllocateAddress", "AssignPrivateIpAddresses")
WAYS = {"the answer": (True, 1), "the answer twice": (True, 2), "the call": (False, 1)}
"""What is lost: after acting or before it, and how often in a row."""


def _cases(scenes: Mapping[str, Scene], *ways: str) -> list[Any]:
    """A repeated CreateTags is like any other; what was asked for and is found is not asked for again."""
    return [
        pytest.param(scene, action, nth, *WAYS[way], id=f"{name}, {action} {nth}, {way}")
        for name, scene in scenes.items()
        for action, nth in scene.places
        for way in ways
        if (way != "the answer twice" or action not in FOUND) and (action != "CreateTags" or nth <= 2)
    ]


def _run(harness: Harness, scene: Scene, fault: Lose) -> Report:
    harness.strict.faults.add(fault)
    report = harness.apply(scene.text)
    assert set(fault.lost.values()) == {fault.times}
    return report


def _converges(scene: Scene, fault: Lose, place: Path, settings: Settings = SLOW) -> Report:
    """One run with this fault ends well, with every resource there once and nothing else."""
    with at(scene, place, settings) as harness:
        strangers, launched = strangers_in(harness), ever_launched(harness)
        report = _run(harness, scene, fault)
        assert (report.outcome, report.error) == ("converged", None)
        assert_settled(harness, scene.text, strangers)
        assert ever_launched(harness) == launched + scene.calls.get("RunInstances", 0)
        return report


# ---- the proofs


@pytest.mark.parametrize(
    "scene", [*BUILDS.values(), *REPAIRS.values(), ALL_AT_ONCE], ids=[*BUILDS, *REPAIRS, "all"]
)
def test_undisturbed_the_scene_is_these_calls(scene: Scene, tmp_path: Path) -> None:
    """Without faults a scene makes the calls that the proofs below disturb one by one."""
    with at(scene, tmp_path) as harness:
        strangers = strangers_in(harness)
        report = harness.apply(scene.text)
        assert (report.outcome, report.error) == ("converged", None)
        assert made(harness) == Counter(scene.calls)
        assert_settled(harness, scene.text, strangers)


@pytest.mark.parametrize(("scene", "action", "nth", "late", "times"), _cases(BUILDS, *WAYS))
def test_building_survives_a_lost_call(
    scene: Scene, action: str, nth: int, late: bool, times: int, tmp_path: Path, proofs: Proofs
) -> None:
    """While a spec is built from nothing, one call loses its answer, or is lost before it acts."""
    report = _converges(scene, Lose(action, nth, times, late), tmp_path)
    if action == "AllocateAddress" and not late:
        # EC2 may have acted: it is looked for as long as it may stay invisible, and only then made.
        assert report.seconds >= 30
    proofs.count("lost answers" if late else "lost calls")


@pytest.mark.parametrize(("scene", "action", "nth", "late", "times"), _cases(REPAIRS, "the answer", "the call"))
def test_a_correction_survives_a_lost_call(
    scene: Scene, action: str, nth: int, late: bool, times: int, tmp_path: Path, proofs: Proofs
) -> None:
    """While a drift is corrected, one call loses its answer, or is lost before it acts."""
    report = _converges(scene, Lose(action, nth, times, late), tmp_path)
    if action == "AllocateAddress" and not late:
        # EC2 may have acted: it is looked for as long as it may stay invisible, and only then made.
        assert report.seconds >= 30
    proofs.count("lost answers" if late else "lost calls")


@pytest.mark.parametrize("late", [True, False], ids=["its answer", "itself"])
@pytest.mark.parametrize(
    "scene", [*BUILDS.values(), *REPAIRS.values(), ALL_AT_ONCE], ids=[*BUILDS, *REPAIRS, "all"]
)
def test_every_call_of_a_run_is_lost_once(scene: Scene, late: bool, tmp_path: Path, proofs: Proofs) -> None:
    """Not one call in a run gets through at the first attempt, and still the run does."""
    _converges(scene, Lose(None, 0, 1, late), tmp_path)
    proofs.count("lost answers" if late else "lost calls", sum(scene.calls.values()))


# ---- and what was made stays invisible for long


def _hidden(harness: Harness, action: str, name: str, seconds: float) -> None:
    """The create of ``name`` acts and its answer is lost; what it made cannot be seen for so long."""

    def meant(call: Call) -> bool:
        return name in json.dumps(call.params.get("TagSpecifications", ""))

    def hide(_: Call) -> None:
        found = [record for record in _alive(harness) if record.tags.get(NAME_TAG) == name]
        found[0].visible_at = harness.loop.now + seconds

    harness.strict.faults.add(Hook(action, late=True, when=meant, callback=hide))
    harness.strict.faults.add(DropConnection(action, late=True, when=meant))


def test_an_address_that_shows_up_within_the_settle_time_is_found(harness: Harness, proofs: Proofs) -> None:
    """AllocateAddress has no token: its answer is lost, and the address is to be seen after 20 of 30 seconds."""
    _hidden(harness, "AllocateAddress", "elastic_ips.web-1", 20)
    report = harness.apply()
    assert report.outcome == "converged"
    assert 20 <= report.seconds <= 30
    assert made(harness)["AllocateAddress"] == 2
    assert_settled(harness, None)
    proofs.count("lost answers")


def test_a_longer_settle_time_holds_for_longer(harness: Harness, proofs: Proofs) -> None:
    """--settle-timeout 90s covers an address that cannot be seen for a minute."""
    harness.settle = 90
    _hidden(harness, "AllocateAddress", "elastic_ips.web-1", 60)
    assert harness.apply().outcome == "converged"
    assert made(harness)["AllocateAddress"] == 2
    assert_settled(harness, None)
    proofs.count("lost answers")


def test_beyond_the_settle_time_a_second_address_is_allocated_and_reported(harness: Harness) -> None:
    """An address that shows up after a minute comes too late for 30 seconds: it is an unused twin of the other."""
    _hidden(harness, "AllocateAddress", "elastic_ips.web-1", 60)
    report = harness.apply()
    assert report.outcome == "converged"
    assert 30 <= report.seconds <= 36
    twins = [a for a in harness.strict.world.data.addresses.values() if a.tags[NAME_TAG] == "elastic_ips.web-1"]
    assert len(twins) == 2

    harness.loop.now += 60
    harness.strict.clear()
    [useless] = [twin for twin in twins if twin.association_id is None]
    [useful] = [twin for twin in twins if twin.association_id is not None]
    told = f"{useless.id} is an unused twin of elastic_ips.web-1 ({useful.id}): `apply --prune` deletes it"
    assert told in harness.plan().warnings
    assert harness.apply().outcome == "unchanged"
    assert harness.strict.actions(mutating=True) == []

    assert harness.apply(prune=True).outcome == "converged"
    assert harness.strict.actions(mutating=True) == ["ReleaseAddress"]
    assert_settled(harness, None)


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("CreateSecurityGroup", "security_groups.my-sg-1"),
        ("CreateNetworkInterface", "network_interfaces.web-eth0"),
        ("RunInstances", "instances.web"),
    ],
)
def test_a_token_or_a_name_holds_for_any_time(action: str, name: str, harness: Harness, proofs: Proofs) -> None:
    """What carries a token, or a name unique to EC2, is there once, even if it stays unseen for a minute."""
    _hidden(harness, action, name, 60)
    report = harness.apply()
    assert (report.outcome, report.error) == ("converged", None)
    assert_settled(harness, None)
    assert ever_launched(harness) == 1
    proofs.count("lost answers")
