"""References to resources in user data and tags: known after apply, then compared by the text they stand for."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Action
from enireconcile.outputs.json import plan_json
from enireconcile.outputs.text import plan_text
from tests.ec2 import DropConnection
from tests.harness import SLOW, Harness, open_harness

SPEC = """\
version: 1
stack: refs
region: us-east-1
tags: {Entry: "http://${elastic_ips.web.public_ip}/"}
instances:
  web:
    image: {name: "al2023-ami-2023*-x86_64", owner: amazon}
    instance_type: t3.micro
    user_data: |
      #!/bin/sh
      echo ${elastic_ips.web.public_ip} ${network_interfaces.eth0.private_ip} ${HOME} ${network_interfaces.eth0.id}
network_interfaces:
  eth0:
    subnet: {default_for_az: us-east-1a}
    attachment: {instance: web, device_index: 0}
    tags:
      Self: ${network_interfaces.eth0.mac_address}
      Host: ${instances.web.id} in ${instances.web.availability_zone}
elastic_ips:
  web: {association: {network_interface: eth0}, tags: {Leads: "${network_interfaces.eth0.id}"}}
"""
"""A ring: user data names the addresses, the interface's tag the instance, the address's tag the interface."""


@pytest.fixture
def harness(tmp_path: Path) -> Any:
    with open_harness(tmp_path, SLOW) as opened:
        yield opened


def _tags(described: Any) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in described}


def _script(harness: Harness) -> str:
    [instance] = harness.strict.world.data.instances.values()
    return base64.b64decode(instance.user_data or "").decode()


def test_a_ring_of_references_converges_in_one_round(harness: Harness) -> None:
    """The address is allocated before the launch; what only exists later is set by a later call."""
    report = harness.apply(SPEC)
    assert (report.outcome, report.error) == ("converged", None)
    ec2 = harness.client()
    [interface] = ec2.describe_network_interfaces()["NetworkInterfaces"]
    [address] = ec2.describe_addresses()["Addresses"]
    [instance] = ec2.describe_instances()["Reservations"][0]["Instances"]
    public, private, eni = address["PublicIp"], interface["PrivateIpAddress"], interface["NetworkInterfaceId"]
    assert _script(harness) == f"#!/bin/sh\necho {public} {private} ${{HOME}} {eni}\n"
    assert _tags(address["Tags"])["Leads"] == eni
    tags = _tags(interface["TagSet"])
    assert tags["Self"] == interface["MacAddress"]
    assert tags["Host"] == f"{instance['InstanceId']} in us-east-1a"
    assert {_tags(each)["Entry"] for each in (address["Tags"], interface["TagSet"], instance["Tags"])} == {
        f"http://{public}/"
    }
    assert harness.apply(SPEC).outcome == "unchanged"
    assert harness.apply(SPEC, destroy=True).outcome == "converged"


def test_addresses_of_other_resources_are_known_as_early_as_theirs(harness: Harness) -> None:
    """The user data of an instance has its public address, and tags what `show` says of a resource."""
    spec = SPEC.replace("${elastic_ips.web.public_ip} ${network", "${instances.web.public_ip} ${network", 1)
    spec = spec.replace(
        "Self: ${network_interfaces.eth0.mac_address}", "Self: ${network_interfaces.eth0.public_ip}"
    )
    spec = spec.replace('Leads: "${network_interfaces.eth0.id}"', 'Leads: "${elastic_ips.web.private_ip}"')
    report = harness.apply(spec)
    assert (report.outcome, report.error) == ("converged", None)
    ec2 = harness.client()
    [interface] = ec2.describe_network_interfaces()["NetworkInterfaces"]
    [address] = ec2.describe_addresses()["Addresses"]
    assert f"echo {address['PublicIp']} {interface['PrivateIpAddress']} " in _script(harness)
    assert _tags(interface["TagSet"])["Self"] == address["PublicIp"]
    assert _tags(address["Tags"])["Leads"] == interface["PrivateIpAddress"]
    assert harness.apply(spec).outcome == "unchanged"


def test_the_address_of_an_instance_that_comes_too(harness: Harness) -> None:
    """It is that of its primary interface, and known before any launch: volumes get it, too."""
    instance = '{image: {name: "al2023-ami-2023*-x86_64", owner: amazon}, instance_type: t3.micro'
    text = (
        "version: 1\nstack: refs\nregion: us-east-1\ninstances:\n"
        f'  web: {instance}, volume_tags: {{V: v}}, tags: {{Peer: "${{instances.db.private_ip}}"}}}}\n'
        f"  db: {instance}}}\n"
        "network_interfaces:\n"
        "  w: {subnet: {default_for_az: us-east-1a}, attachment: {instance: web, device_index: 0}}\n"
        "  d: {subnet: {default_for_az: us-east-1a}, attachment: {instance: db, device_index: 0}}\n"
    )
    report = harness.apply(text)
    assert (report.outcome, report.error) == ("converged", None)
    world = harness.strict.world.data
    [address] = [each.ips[0] for each in world.interfaces.values() if each.tags["Name"] == "d"]
    peers = [each.tags.get("Peer") for each in (*world.instances.values(), *world.volumes.values())]
    assert sorted(filter(None, peers)) == [address, address]
    harness.loop.now += 60
    assert harness.plan(text).empty


def test_what_a_lost_answer_would_have_told_is_found(harness: Harness) -> None:
    """The interface is found by its tag after three losses, with the address that the user data names."""
    harness.strict.faults.add(DropConnection("CreateNetworkInterface", times=99, late=True))
    report = harness.apply(SPEC)
    assert (report.outcome, report.error) == ("converged", None)
    [interface] = harness.client().describe_network_interfaces()["NetworkInterfaces"]
    assert interface["PrivateIpAddress"] in _script(harness)


def test_a_plan_shows_what_is_known_after_apply(harness: Harness) -> None:
    plan = harness.plan(SPEC)
    text = plan_text(plan)
    assert "http://(known after apply)/" in text
    shown = plan_json(plan, {})
    [tags] = [
        field["after"]
        for change in shown["changes"]
        for field in change["fields"]
        if (change["address"], field["field"]) == ("elastic_ips.web", "tags")
    ]
    assert tags["Leads"] == {"ref": "network_interfaces.eth0.id"}
    assert tags["Entry"] == {"text": ["http://", {"ref": "elastic_ips.web.public_ip"}, "/"]}
    launch = next(step for step in shown["steps"] if step["call"] == "RunInstances")
    allocate = next(step for step in plan.steps if step.call == "AllocateAddress")
    assert allocate.id in launch["needs"]
    assert launch["params"]["UserData"] == "(known after apply)"


def test_another_public_address_is_another_user_data(harness: Harness) -> None:
    """Compared by the text that it stands for: the run warns, and replaces only where the row says so."""
    assert harness.apply(SPEC).outcome == "converged"
    harness.loop.now += 60
    ec2 = harness.client()
    [address] = ec2.describe_addresses()["Addresses"]
    ec2.disassociate_address(AssociationId=address["AssociationId"])
    ec2.release_address(AllocationId=address["AllocationId"])
    harness.loop.now += 60
    report = harness.apply(SPEC)
    assert (report.outcome, report.error) == ("converged", None)
    [address] = ec2.describe_addresses()["Addresses"]
    [interface] = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert _tags(interface["TagSet"])["Entry"] == f"http://{address['PublicIp']}/"
    [warning] = harness.plan(SPEC).warnings
    assert "user_data has changed since the instance was launched" in warning
    replacing = SPEC.replace("instance_type: t3.micro", "instance_type: t3.micro\n    on_change: replace")
    actions = {change.address: change.action for change in harness.plan(replacing).changes}
    assert actions["instances.web"] is Action.REPLACE
    harness.loop.now += 60
    assert harness.apply(replacing).outcome == "converged"
    assert address["PublicIp"] in _script_of_the_living(harness)
    assert harness.plan(replacing).empty


def _script_of_the_living(harness: Harness) -> str:
    [instance] = [each for each in harness.strict.world.data.instances.values() if each.state == "running"]
    return base64.b64decode(instance.user_data or "").decode()


def test_a_tag_by_hand_is_drift(harness: Harness) -> None:
    assert harness.apply(SPEC).outcome == "converged"
    harness.loop.now += 60
    [interface] = harness.client().describe_network_interfaces()["NetworkInterfaces"]
    harness.client().create_tags(
        Resources=[interface["NetworkInterfaceId"]], Tags=[{"Key": "Self", "Value": "mine"}]
    )
    harness.strict.clear()
    assert harness.apply(SPEC).outcome == "converged"
    assert harness.strict.actions(mutating=True) == ["CreateTags"]


def test_a_target_brings_what_its_user_data_refers_to(harness: Harness) -> None:
    plan = harness.plan(SPEC, partly=False)
    assert not plan.empty
    report = harness.apply(SPEC, targets=("instances.web",))
    assert report.error is None
    assert len(harness.client().describe_addresses()["Addresses"]) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("${elastic_ips.web.public_ip} $", "${elastic_ips.wbe.public_ip} $", "there is no elastic ip 'wbe'"),
        ("${elastic_ips.web.public_ip} $", "${elastic_ips.web.public} $", "have no 'public' to refer to"),
        ("${elastic_ips.web.public_ip} $", "${elastic_ips.web} $", "unknown reference"),
        ("${elastic_ips.web.public_ip} $", "${instances.web.id} $", "refers to the instance itself"),
        ("us-east-1a}", "'${elastic_ips.web.public_ip}'}", "only user data and tags can refer to resources"),
    ],
)
def test_a_wrong_reference_is_refused(old: str, new: str, message: str, harness: Harness) -> None:
    with pytest.raises(SpecErrors, match=message):
        harness.spec(SPEC.replace(old, new, 1))
