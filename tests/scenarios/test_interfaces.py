"""What an interface is, beside its addresses: description, check, card and index, flag, type, timeouts."""

from __future__ import annotations

from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Action, Impact
from tests.harness import Harness

IMAGE = '{name: "al2023-ami-2023*-x86_64", owner: amazon}'


def _spec(*, state: str = "running", kind: str = "c6in.32xlarge", **rows: str) -> str:
    """An instance with a primary interface, and further interfaces by name with the rest of their rows."""
    lines = [f"  {name}: {{subnet: {{default_for_az: us-east-1a}}, {row}}}" for name, row in rows.items()]
    return f"""
version: 1
stack: lab
region: us-east-1
instances:
  web: {{image: {IMAGE}, instance_type: {kind}, state: {state}}}
network_interfaces:
  eth0: {{subnet: {{default_for_az: us-east-1a}}, attachment: {{instance: web, device_index: 0}}}}
""" + "\n".join([*lines, ""])


def _alone(row: str) -> str:
    interface = f"a: {{subnet: {{default_for_az: us-east-1a}}{row}}}"
    return f"version: 1\nstack: lab\nregion: us-east-1\nnetwork_interfaces:\n  {interface}\n"


def _at(index: int, card: int = 0, more: str = "") -> str:
    return f"attachment: {{instance: web, device_index: {index}, network_card_index: {card}{more}}}"


def _interface(harness: Harness, name: str = "a") -> Any:
    filters = [{"Name": "tag:enireconcile:name", "Values": [f"network_interfaces.{name}"]}]
    [found] = harness.client().describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return found


def _modify(harness: Harness, **attribute: Any) -> None:
    """Another owner's hands on the interface ``a``."""
    harness.client().modify_network_interface_attribute(
        NetworkInterfaceId=_interface(harness)["NetworkInterfaceId"], **attribute
    )


def _converge(harness: Harness, spec: str) -> list[dict[str, Any]]:
    """Apply; a further apply calls nothing. The parameters of the mutating calls that it took, by call."""
    harness.strict.clear()
    report = harness.apply(spec)
    assert (report.outcome, report.error) == ("converged", None)
    calls = [{"call": call.action, **call.params} for call in harness.strict.mutating()]
    harness.strict.clear()
    assert harness.apply(spec).outcome == "unchanged"
    assert harness.strict.mutating() == []
    return calls


def _named(calls: list[dict[str, Any]]) -> list[str]:
    return [call["call"] for call in calls]


MODIFY = "ModifyNetworkInterfaceAttribute"


def test_a_description_is_added_and_removed(slow_harness: Harness) -> None:
    """Made with none, given one, changed by another tool, taken away: empty is a value like any other."""
    harness = slow_harness
    assert _named(_converge(harness, _alone(""))) == ["CreateNetworkInterface"]
    (call,) = _converge(harness, _alone(", description: to the lab"))
    assert call["Description"] == {"Value": "to the lab"}
    _modify(harness, Description={"Value": ""})
    assert _named(_converge(harness, _alone(", description: to the lab"))) == [MODIFY]
    (call,) = _converge(harness, _alone(""))
    assert (call["call"], _interface(harness)["Description"]) == (MODIFY, "")
    _modify(harness, Description={"Value": "mine"})
    assert [field.before for field in harness.plan(_alone("")).changes[0].fields] == ["mine"]
    _converge(harness, _alone(""))
    harness.client().delete_network_interface(NetworkInterfaceId=_interface(harness)["NetworkInterfaceId"])
    harness.loop.now += 60
    (call,) = _converge(harness, _alone(", description: anew"))
    assert (call["call"], call["Description"]) == ("CreateNetworkInterface", "anew")


def test_source_dest_check_is_the_interfaces_own(slow_harness: Harness) -> None:
    """Off takes a Modify after creation, on takes none. A change by another tool is undone."""
    harness = slow_harness
    assert _named(_converge(harness, _alone(", source_dest_check: false"))) == ["CreateNetworkInterface", MODIFY]
    _modify(harness, SourceDestCheck={"Value": True})
    assert [step.impact for step in harness.plan(_alone(", source_dest_check: false")).steps] == [Impact.SAFE]
    (call,) = _converge(harness, _alone(", source_dest_check: false"))
    assert call["SourceDestCheck"] == {"Value": False}
    # Left out means EC2's default, which drops what a router forwards.
    assert [step.impact for step in harness.plan(_alone("")).steps] == [Impact.DISRUPTIVE]
    _converge(harness, _alone(""))
    assert _interface(harness)["SourceDestCheck"] is True


def test_the_network_card_is_always_named(slow_harness: Harness) -> None:
    """Left out, EC2 has been seen to check the wrong card: at launch, on attaching, and on a card of its own."""
    harness = slow_harness
    launch = next(call for call in _converge(harness, _spec(a=_at(1))) if call["call"] == "RunInstances")
    assert [(slot["DeviceIndex"], slot["NetworkCardIndex"]) for slot in launch["NetworkInterfaces"]] == [
        (0, 0),
        (1, 0),
    ]
    calls = _converge(harness, _spec(a=_at(1, 1)))
    assert _named(calls) == ["DetachNetworkInterface", "AttachNetworkInterface"]
    assert (calls[1]["DeviceIndex"], calls[1]["NetworkCardIndex"]) == (1, 1)
    assert _interface(harness)["Attachment"]["NetworkCardIndex"] == 1
    (call,) = _converge(harness, _spec(a=_at(1, 1), b=_at(1)))[1:]
    assert (call["call"], call["NetworkCardIndex"]) == ("AttachNetworkInterface", 0)


def test_delete_on_termination_is_modified_where_it_differs(slow_harness: Harness) -> None:
    """At launch and on attaching it is false; only true takes a call, and only drift takes it back."""
    harness = slow_harness
    flag = ", delete_on_termination: true"
    calls = _converge(harness, _spec(a=_at(1, more=flag), b=_at(2)))
    assert _named(calls).count(MODIFY) == 1
    assert _interface(harness)["Attachment"]["DeleteOnTermination"] is True
    attachment = _interface(harness)["Attachment"]["AttachmentId"]
    _modify(harness, Attachment={"AttachmentId": attachment, "DeleteOnTermination": False})
    (call,) = _converge(harness, _spec(a=_at(1, more=flag), b=_at(2)))
    assert call["Attachment"] == {"AttachmentId": attachment, "DeleteOnTermination": True}
    # The flag is lost when the interface moves, and set again at its new place.
    calls = _converge(harness, _spec(a=_at(3, more=flag), b=_at(2)))
    assert _named(calls) == ["DetachNetworkInterface", "AttachNetworkInterface", MODIFY]
    (call,) = _converge(harness, _spec(a=_at(3), b=_at(2)))
    assert call["Attachment"]["DeleteOnTermination"] is False


TIMEOUTS = ", connection_tracking: {tcp_established_timeout: 3600, udp_timeout: 60}"


def test_timeouts_are_set_at_birth_and_kept(slow_harness: Harness) -> None:
    """Those that are written; another one, which another user has set, stays when one of ours is corrected."""
    harness = slow_harness
    (call,) = _converge(harness, _alone(TIMEOUTS))
    ours = {"TcpEstablishedTimeout": 3600, "UdpTimeout": 60}
    assert call["ConnectionTrackingSpecification"] == ours
    _modify(harness, ConnectionTrackingSpecification={"TcpEstablishedTimeout": 350, "UdpStreamTimeout": 90})
    (field,) = harness.plan(_alone(TIMEOUTS)).changes[0].fields
    assert field.before == {"tcp_established_timeout": 350, "udp_timeout": 30}
    assert _named(_converge(harness, _alone(TIMEOUTS))) == [MODIFY]
    assert _interface(harness)["ConnectionTrackingConfiguration"] == {**ours, "UdpStreamTimeout": 90}


def test_timeouts_change_and_are_left_alone(slow_harness: Harness) -> None:
    """One of them changes; left out, they are not looked at; EC2's defaults of UDP need no call."""
    harness = slow_harness
    _converge(harness, _alone(""))
    assert harness.plan(_alone(", connection_tracking: {udp_timeout: 30, udp_stream_timeout: 180}")).empty
    # That of established TCP depends on the type of the instance, so it is said.
    assert _named(_converge(harness, _alone(", connection_tracking: {tcp_established_timeout: 432000}"))) == [
        MODIFY
    ]
    _converge(harness, _alone(TIMEOUTS))
    (call,) = _converge(harness, _alone(TIMEOUTS.replace("3600", "7200")))
    assert call["ConnectionTrackingSpecification"] == {"TcpEstablishedTimeout": 7200, "UdpTimeout": 60}
    assert harness.plan(_alone("")).empty


@pytest.mark.parametrize("kind", ["efa", "efa-only", "trunk", "branch"])
def test_a_type_is_for_life(slow_harness: Harness, kind: str) -> None:
    """Made so, kept so; another one is another interface, which takes the place of the old one."""
    harness = slow_harness
    (call,) = _converge(harness, _alone(f", interface_type: {kind}"))
    assert (call["InterfaceType"], _interface(harness)["InterfaceType"]) == (kind, kind)
    before = _interface(harness)["NetworkInterfaceId"]
    (change,) = harness.plan(_alone("")).changes
    assert (change.action, change.impact, [field.field for field in change.fields]) == (
        Action.REPLACE,
        Impact.DESTRUCTIVE,
        ["interface_type"],
    )
    assert _named(_converge(harness, _alone(""))) == ["CreateNetworkInterface", "DeleteNetworkInterface"]
    after = _interface(harness)
    assert (after["InterfaceType"], after["NetworkInterfaceId"] != before) == ("interface", True)


def test_adapters_are_launched_with(slow_harness: Harness) -> None:
    """One on each card, handed to RunInstances: nothing is attached to an instance that runs."""
    spec = _spec(a=f"interface_type: efa, {_at(1)}", b=f"interface_type: efa-only, {_at(0, 1)}")
    calls = _named(_converge(slow_harness, spec))
    assert calls.count("CreateNetworkInterface") == 3
    assert calls[-1] == "RunInstances"
    assert "PrivateIpAddress" not in _interface(slow_harness, "b")


def test_an_adapter_is_not_attached_to_an_instance_that_runs(slow_harness: Harness) -> None:
    """EC2 would refuse it, after the interface was made; the plan says what to do, and that works."""
    harness = slow_harness
    row = f"interface_type: efa, {_at(1)}"
    _converge(harness, _spec())
    with pytest.raises(SpecErrors) as raised:
        harness.plan(_spec(a=row))
    (problem,) = raised.value.problems
    assert f"{problem.path}: {problem.message}" == (
        "network_interfaces.a: EC2 attaches and detaches efa interfaces on stopped instances only, "
        "and web is running"
    )
    assert problem.hint == "set `state: stopped` for instances.web, apply, and set it back"
    calls = _named(_converge(harness, _spec(state="stopped", a=row)))
    assert sorted(calls) == ["AttachNetworkInterface", "CreateNetworkInterface", "StopInstances"]
    assert calls.index("StopInstances") < calls.index("AttachNetworkInterface")
    assert _named(_converge(harness, _spec(a=row))) == ["StartInstances"]
    with pytest.raises(SpecErrors, match="and web is running"):
        harness.plan(_spec(a="interface_type: efa"))
    with pytest.raises(SpecErrors, match="and web is running"):
        harness.plan(_spec(), prune=True)


def test_an_adapter_is_attached_and_detached_before_the_instance_starts(slow_harness: Harness) -> None:
    """Another tool has stopped the instance: what changes on it changes first, also while it is still stopping."""
    harness = slow_harness
    row = f"interface_type: efa, {_at(1)}"
    _converge(harness, _spec(a=row))
    web = _interface(harness)["Attachment"]["InstanceId"]
    harness.client().stop_instances(InstanceIds=[web])
    assert _named(_converge(harness, _spec(a="interface_type: efa"))) == [
        "DetachNetworkInterface",
        "StartInstances",
    ]
    harness.client().stop_instances(InstanceIds=[web])
    assert _named(_converge(harness, _spec(a=row))) == ["AttachNetworkInterface", "StartInstances"]


def test_an_adapter_on_an_external_instance(slow_harness: Harness) -> None:
    """Its owner has to stop it: ours is only to attach."""
    harness = slow_harness
    _converge(harness, _spec())
    web = harness.client().describe_instances()["Reservations"][0]["Instances"][0]["InstanceId"]
    spec = f"""
version: 1
stack: other
region: us-east-1
instances: {{theirs: {{external: {web}}}}}
network_interfaces:
  a:
    subnet: {{default_for_az: us-east-1a}}
    interface_type: efa
    attachment: {{instance: theirs, device_index: 1}}
"""
    with pytest.raises(SpecErrors) as raised:
        harness.plan(spec)
    assert [problem.hint for problem in raised.value.problems] == ["stop theirs, apply, and start it again"]
    harness.client().stop_instances(InstanceIds=[web])
    harness.loop.now += 5
    assert _named(_converge(harness, spec)) == ["CreateNetworkInterface", "AttachNetworkInterface"]


def test_destroy_takes_adapters_with_their_instance(slow_harness: Harness) -> None:
    """Termination frees them, so nothing has to be detached while the instance runs."""
    _converge(slow_harness, _spec(a=f"interface_type: efa, {_at(1)}"))
    gone = slow_harness.apply("version: 1\nstack: lab\nregion: us-east-1\n", prune=True)
    assert (gone.outcome, gone.error) == ("converged", None)
    assert slow_harness.client().describe_network_interfaces()["NetworkInterfaces"] == []
