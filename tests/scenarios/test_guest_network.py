"""``guest_network``: the user data of a launch configures the guest, with the addresses that EC2 gave."""

from __future__ import annotations

import base64
import email
import gzip
from pathlib import Path
from typing import Any

import pytest

from enireconcile.errors import SpecErrors
from enireconcile.model import Action
from enireconcile.outputs.json import plan_json
from enireconcile.outputs.text import plan_text
from tests.ec2 import DropConnection
from tests.harness import SLOW, STORY, Harness, open_harness

STORY_TEXT = STORY.read_text()
SPEC = STORY_TEXT.replace(
    "    instance_type: t2.micro\n", "    instance_type: t2.micro\n    guest_network: networkd\n"
)
OWN = (
    "#!/bin/bash\n"
    'dnf -y install httpd && echo "Testing ENI" > /var/www/html/index.html && systemctl enable --now httpd\n'
)


def _without_user_data(instead: str = "") -> str:
    start, end = SPEC.index("    user_data:"), SPEC.index("# Interfaces are resources")
    return SPEC[:start] + instead + SPEC[end:]


@pytest.fixture
def harness(tmp_path: Path) -> Any:
    with open_harness(tmp_path, SLOW) as opened:
        yield opened


def _user_data(harness: Harness) -> bytes:
    """That of the one running instance."""
    [instance] = [each for each in harness.strict.world.data.instances.values() if each.state == "running"]
    return base64.b64decode(instance.user_data or "")


def _parts(harness: Harness) -> list[bytes]:
    message = email.message_from_bytes(_user_data(harness))
    parts = [part for part in message.walk() if part.get_content_maintype() != "multipart"]
    return [bytes(part.get_payload(decode=True) or b"") for part in parts]


def _interfaces(harness: Harness) -> dict[str, dict[str, Any]]:
    found = harness.client().describe_network_interfaces()["NetworkInterfaces"]
    return {next(tag["Value"] for tag in each["TagSet"] if tag["Key"] == "Name"): each for each in found}


def _tags(harness: Harness) -> dict[str, str]:
    [instance] = harness.client().describe_instances(
        Filters=[{"Name": "instance-state-name", "Values": ["running"]}]
    )["Reservations"][0]["Instances"]
    return {tag["Key"]: tag["Value"] for tag in instance["Tags"]}


def test_a_launch_knows_the_mac_addresses(harness: Harness) -> None:
    """The interfaces are made first. The user's script is a part of its own, and runs as it did."""
    report = harness.apply(SPEC)
    assert (report.outcome, report.error) == ("converged", None)
    own, ours = _parts(harness)
    assert own.decode() == OWN
    assert ours.startswith(b"#cloud-config\n")
    for name, interface in _interfaces(harness).items():
        assert f"05-enireconcile-two-enis.{name}.network" in ours.decode()
        assert f"MACAddress={interface['MacAddress']}\n" in ours.decode()
        assert f"From={interface['PrivateIpAddress']}/32\n" in ours.decode()
    assert harness.plan(SPEC).empty


def test_the_hash_is_that_of_the_users_own(harness: Harness) -> None:
    """Another script is told as before; the same one is not, although what EC2 has is longer."""
    assert harness.apply(SPEC).outcome == "converged"
    with_it = _tags(harness)["enireconcile:user-data"]
    assert harness.plan(SPEC).warnings == ()
    [warning] = harness.plan(SPEC.replace("Testing ENI", "another page")).warnings
    assert "user_data has changed since the instance was launched" in warning
    assert harness.apply(SPEC, destroy=True).outcome == "converged"
    assert harness.apply(STORY_TEXT).outcome == "converged"
    assert _tags(harness)["enireconcile:user-data"] == with_it


def test_a_plan_shows_no_user_data(harness: Harness) -> None:
    plan = harness.plan(SPEC)
    launch = next(step for step in plan_json(plan, {})["steps"] if step["call"] == "RunInstances")
    assert launch["params"]["UserData"] == "(known after apply)"
    creates = {step.id for step in plan.steps if step.call == "CreateNetworkInterface"}
    assert creates <= set(launch["needs"])
    assert "guest_network" in plan_text(plan)


def test_one_that_has_changed_is_told_or_replaces(harness: Harness) -> None:
    assert harness.apply(STORY_TEXT).outcome == "converged"
    [warning] = harness.plan(SPEC).warnings
    assert "no tag tells that the instance was launched with guest_network; EC2 sets it at launch only" in warning
    replacing = SPEC.replace("guest_network: networkd", "guest_network: ip\n    on_change: replace")
    actions = {change.address: change.action for change in harness.plan(replacing).changes}
    assert actions["instances.web"] is Action.REPLACE
    harness.loop.now += 60
    assert harness.apply(replacing).outcome == "converged"
    assert b"/usr/local/sbin/enireconcile-guest-two-enis" in _parts(harness)[1]
    assert harness.plan(replacing).empty


def test_an_interface_that_is_replaced_has_another_mac_address(harness: Harness) -> None:
    """Its instance is launched anew with it, and knows the new one."""
    replacing = SPEC.replace("guest_network: networkd", "guest_network: networkd\n    on_change: replace")
    assert harness.apply(replacing).outcome == "converged"
    before = _interfaces(harness)["web-eth0"]["MacAddress"]
    harness.loop.now += 60
    moved = replacing.replace(
        "security_groups: [my-sg-1]\n", "security_groups: [my-sg-1]\n    private_ip: 172.31.0.99\n"
    )
    assert harness.apply(moved).outcome == "converged"
    harness.loop.now += 60
    after = _interfaces(harness)["web-eth0"]
    ours = _parts(harness)[1].decode()
    assert before != after["MacAddress"]
    assert f"MACAddress={after['MacAddress']}\n" in ours
    assert before not in ours
    assert "From=172.31.0.99/32\n" in ours
    assert harness.plan(moved).empty


def test_a_lost_answer_tells_the_mac_address_all_the_same(harness: Harness) -> None:
    harness.strict.faults.add(DropConnection("CreateNetworkInterface", times=99, late=True))
    report = harness.apply(SPEC)
    assert (report.outcome, report.error) == ("converged", None)
    ours = _parts(harness)[1].decode()
    assert all(each["MacAddress"] in ours for each in _interfaces(harness).values())


@pytest.mark.parametrize("backend", ["networkd", "networkmanager", "ip"])
def test_without_user_data_it_is_the_part_alone(backend: str, harness: Harness) -> None:
    text = _without_user_data().replace("guest_network: networkd", f"guest_network: {backend}")
    assert harness.apply(text).outcome == "converged"
    made = _user_data(harness).decode()
    assert made.startswith("#cloud-config\n")
    for interface in _interfaces(harness).values():
        assert interface["MacAddress"] in made
    assert "enireconcile:user-data" not in _tags(harness)
    assert harness.plan(text).warnings == ()


def test_gzip_stays_gzip(harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    packed = gzip.compress(OWN.encode())
    (tmp_path / "boot.gz").write_bytes(packed)
    text = _without_user_data("    user_data_file: boot.gz\n\n")
    assert harness.apply(text).outcome == "converged"
    own, ours = _parts(harness)
    assert own == packed
    assert ours.startswith(b"#cloud-config\n")
    assert harness.plan(text).warnings == ()


def test_it_counts_into_the_limit_of_user_data(harness: Harness) -> None:
    """Too long together: found before anything changes, with the row's place."""
    long = SPEC.replace("#!/bin/bash\n", "#!/bin/bash\n      # " + "x" * 16000 + "\n")
    with pytest.raises(SpecErrors, match=r"with guest_network, user data is \d{5} bytes long") as caught:
        harness.plan(long)
    assert caught.value.problems[0].path == "instances.web"


def test_windows_is_refused(harness: Harness) -> None:
    for image in harness.strict.world.data.images.values():
        image.platform = "Windows"
    with pytest.raises(SpecErrors, match="is an image of Windows, and guest_network needs cloud-init") as caught:
        harness.plan(SPEC)
    assert caught.value.problems[0].path == "instances.web.guest_network"


FAILOVER = """\
version: 1
stack: pair
region: us-east-1
defaults:
  instances:
    image: {name: "al2023-ami-2023*-x86_64", owner: amazon}
    instance_type: t3.small
    guest_network: networkd
instances: {a: {}, b: {}}
network_interfaces:
  a-eth0: {subnet: {default_for_az: us-east-1a}, attachment: {instance: a, device_index: 0}}
  b-eth0: {subnet: {default_for_az: us-east-1a}, attachment: {instance: b, device_index: 0}}
  service:
    subnet: {default_for_az: us-east-1a}
    attachment: {instances: [a, b], device_index: 1, failover: {health: running}}
"""


def test_every_candidate_boots_with_the_interface_that_may_come(harness: Harness) -> None:
    assert harness.apply(FAILOVER).outcome == "converged"
    service = _interfaces(harness)["service"]
    launched = [base64.b64decode(each.user_data or "") for each in harness.strict.world.data.instances.values()]
    assert len(launched) == 2
    assert all(f"MACAddress={service['MacAddress']}\n".encode() in each for each in launched)
    assert harness.plan(FAILOVER).empty


def test_a_target_brings_the_interfaces_that_may_come(harness: Harness) -> None:
    report = harness.apply(FAILOVER, targets=("instances.b",))
    assert report.error is None
    assert "service" in _interfaces(harness)


def test_addresses_that_ec2_chooses_are_refused(harness: Harness) -> None:
    counted = FAILOVER.replace("device_index: 0}}\n  b", "device_index: 0}, secondary_private_ip_count: 2}\n  b")
    with pytest.raises(SpecErrors) as caught:
        harness.spec(counted)
    [problem] = caught.value.problems
    assert problem.path == "network_interfaces.a-eth0.secondary_private_ip_count"
    assert "instances.a, which has guest_network" in problem.message
    assert "list them as secondary_private_ips" in str(problem.hint)


EFA = """\
version: 1
stack: cluster
region: us-east-1
instances:
  node:
    image: {name: "al2023-ami-2023*-x86_64", owner: amazon}
    instance_type: p4d.24xlarge
    guest_network: networkd
network_interfaces:
  f0:
    subnet: {default_for_az: us-east-1a}
    interface_type: efa
    attachment: {instance: node, device_index: 0}
  f1:
    subnet: {default_for_az: us-east-1a}
    interface_type: efa-only
    attachment: {instance: node, network_card_index: 1, device_index: 1}
"""


def test_an_efa_only_interface_is_no_device_in_the_guest(harness: Harness) -> None:
    assert harness.apply(EFA).outcome == "converged"
    made, interfaces = _user_data(harness).decode(), _interfaces(harness)
    assert interfaces["f0"]["MacAddress"] in made
    assert interfaces["f1"]["MacAddress"] not in made
    assert "network_interfaces." not in made
    assert harness.plan(EFA).empty


def test_what_a_subnet_gives_is_refused_and_none_is_not(harness: Harness) -> None:
    """In a subnet with AssignIpv6AddressOnCreation."""
    world = harness.strict.world
    vpc = world.add_vpc("10.9.0.0/16", ipv6_cidr="2001:db8::/56")
    world.add_subnet(vpc, "10.9.0.0/24", ipv6_cidr="2001:db8::/64", assign_ipv6=True, tags={"Name": "generous"})
    text = FAILOVER.replace("{default_for_az: us-east-1a}", "{tags: {Name: generous}}")
    with pytest.raises(SpecErrors, match="gives the interface an IPv6 address") as caught:
        harness.plan(text)
    assert {each.path for each in caught.value.problems} == {
        f"network_interfaces.{name}.subnet" for name in ("a-eth0", "b-eth0", "service")
    }
    none = text.replace("{tags: {Name: generous}}", "{tags: {Name: generous}}, ipv6_address_count: 0")
    none = none.replace(
        "    subnet: {tags: {Name: generous}}, ipv", "    subnet: {tags: {Name: generous}}\n    ipv"
    )
    assert harness.apply(none).outcome == "converged"
    assert all(not each["Ipv6Addresses"] for each in _interfaces(harness).values())
