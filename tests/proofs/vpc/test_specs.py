"""Every spec in specs/ does what its page in docs/how-to/ says, seen from the clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.ec2 import Quotas, Settings
from tests.harness import Harness, open_harness
from tests.lab_vpc import lab
from tests.proofs.vpc.real import AMAZON_LINUX, answers, boot_first, has, image, launch, private_table, user_data
from tests.proofs.vpc.stage import SPECS, spec, staged, standing
from tests.vpc import Guest
from tests.vpc.guests import cloud_config, lacking_networkd, system
from tests.vpc.namespace import SILENCE
from tests.vpc.plane import CLIENT

pytestmark = pytest.mark.usefixtures("needs_namespaces")
ELSEWHERE = {
    "two-enis": "test_story",
    "ha-failover": "test_failover",
    "firewall-pair": "test_failover",
}
"""Specs that have a module of their own."""
FREE = Settings(quotas=Quotas(addresses=10))


def test_every_spec_has_a_test() -> None:
    here = {"dual-homed", "management-network", "many-addresses", "mail-host", "nat-appliance"}
    assert here | set(ELSEWHERE) == {path.stem for path in SPECS.glob("*.yaml")}


@pytest.fixture
def rich_harness(tmp_path: Path) -> Iterator[Harness]:
    """An account that may have ten Elastic IPs."""
    with open_harness(tmp_path / "state", FREE) as harness:
        yield harness


def _user_data(guest: Guest, harness: Harness) -> None:
    """The first boot: the instance's user data, as EC2 has it, with files of its own."""
    with system(guest.namespace, AMAZON_LINUX) as booted:
        boot_first(booted, harness, guest.instance_id)


@pytest.mark.parametrize(("name", "instance"), [("many-addresses", "relay"), ("mail-host", "mail")])
def test_many_addresses(rich_harness: Harness, name: str, instance: str) -> None:
    """Each Elastic IP answers with its private address, and what is bound to that one leaves by it."""
    with staged(rich_harness, spec(name)) as stage:
        host = stage.guest(instance)
        addresses = {
            each["PrivateIpAddress"]: each["PublicIp"]
            for each in rich_harness.client().describe_addresses()["Addresses"]
        }
        assert len(addresses) == (10 if name == "many-addresses" else 5)
        stage.configure(instance)
        stage.plane.outside.serve_http(lambda client: client)
        for private, public in addresses.items():
            host.serve_http(private, address=private, port=25)
            assert stage.plane.fetch(public, 25) == private
            assert host.fetch(CLIENT, source=private) == public


@pytest.mark.parametrize("by", ["user data", "guest"])
def test_dual_homed_media(harness: Harness, by: str) -> None:
    """Each role answers at its own address only, UDP from the address that it was asked at if its socket is bound
    to it. For a wildcard socket the kernel chooses the address, and chooses the other one.
    """
    if by == "user data" and (reason := lacking_networkd()):
        pytest.skip(reason)
    lab(harness)
    with staged(harness, spec("dual-homed")) as stage, ExitStack() as booted:
        sbc = stage.guest("sbc")
        sbc.serve_http("sip", port=5061)
        if by == "guest":
            stage.configure("sbc")
        else:
            part = user_data(harness, sbc.instance_id)
            of_image = image(stage, "sbc-signalling")["networkd"]
            booted.enter_context(cloud_config(sbc.namespace, of_image, part))
            has(sbc, "10.0.1.20", "10.0.1.21")
            answers(stage, "sbc-signalling", port=5061)
        signalling, media = stage.public("sbc-signalling"), stage.public("sbc-media")
        sbc.serve_udp("bound", 10000, "10.0.1.20", "10.0.1.21")
        sbc.serve_udp("wildcard", 10001)
        outside = stage.plane.outside
        assert outside.fetch(signalling, 5061) == "sip"
        assert outside.fetch(media, 5061, timeout=SILENCE) is None
        assert outside.ask_udp(media, 10000) == ("bound", media)
        assert outside.ask_udp(signalling, 10000, timeout=SILENCE) is None
        assert outside.ask_udp(media, 10001) == ("wildcard", signalling)


@pytest.mark.parametrize(("configured", "rp_filter"), [(False, 2), (True, 1), (True, 2)])
def test_the_nat_appliance_forwards(harness: Harness, configured: bool, rp_filter: int) -> None:
    """The private subnet's route leads to its inside interface: clients reach the internet by its Elastic IP.

    So do clients in other subnets; a guest that filters by reverse paths strictly needs a route back to them.
    """
    vpc, subnets = lab(harness)
    ec2 = harness.client()
    table = private_table(harness)
    client = launch(harness, subnets["lab-private"])
    other = harness.strict.world.add_subnet(vpc, "10.0.4.0/24", "us-east-1a")
    ec2.associate_route_table(RouteTableId=table, SubnetId=other)
    further = launch(harness, other)
    with staged(harness, spec("nat-appliance"), rp_filter=rp_filter) as stage:
        nat, guest = stage.guest("nat"), stage.plane.guest(client)
        nat.configure(stage.link("nat-inside"), metric=200)
        if configured:
            stage.configure("nat")
        _user_data(nat, harness)
        stage.plane.outside.serve_http(lambda client: client)
        assert guest.fetch(CLIENT) == stage.public("nat")
        distant = stage.plane.guest(further)
        if rp_filter == 1:
            assert distant.fetch(CLIENT, timeout=SILENCE) is None
            nat.ip(f"route add 10.0.0.0/16 via 10.0.3.1 dev {stage.link('nat-inside')}")
        assert distant.fetch(CLIENT) == stage.public("nat")
        ec2.delete_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0")
        stage.plane.sync()
        assert guest.fetch(CLIENT, timeout=SILENCE) is None
        stage.apply()
        assert guest.fetch(CLIENT) == stage.public("nat")
        # From outside, nothing begins.
        guest.serve_http("private")
        nat.serve_http("nat")
        assert stage.plane.fetch(stage.public("nat"), timeout=SILENCE) is None
        assert nat.fetch(guest.address, timeout=SILENCE) is None


def test_it_takes_the_place_of_a_nat_gateway(harness: Harness) -> None:
    """The client's next connection leaves from the NAT instance; with the route moved back, from the gateway."""
    _, subnets = lab(harness)
    ec2 = harness.client()
    table = private_table(harness)
    address = ec2.allocate_address()
    made = ec2.create_nat_gateway(SubnetId=subnets["lab-a"], AllocationId=address["AllocationId"])["NatGateway"]
    way = {
        "RouteTableId": table,
        "DestinationCidrBlock": "0.0.0.0/0",
        "NatGatewayId": made["NatGatewayId"],
    }
    ec2.create_route(**way)
    client = launch(harness, subnets["lab-private"])
    with standing(harness, spec("nat-appliance"), rp_filter=2) as stage:
        guest = stage.plane.guest(client)
        stage.plane.outside.serve_http(lambda client: client)
        assert guest.fetch(CLIENT) == address["PublicIp"]
        stage.apply()
        nat = stage.guest("nat")
        nat.boot()
        nat.configure(stage.link("nat-inside"), metric=200)
        _user_data(nat, harness)
        assert guest.fetch(CLIENT) == stage.public("nat")
        ec2.replace_route(**way)
        stage.plane.sync()
        assert guest.fetch(CLIENT) == address["PublicIp"]


@pytest.mark.parametrize("by", ["DHCP", "guest"])
def test_management_traffic_stays_on_its_leg(harness: Harness, by: str) -> None:
    """HTTPS by the public leg only, SSH by the other only and from its subnet; metrics alone may leave by it."""
    vpc, subnets = lab(harness)
    group = harness.client().create_security_group(GroupName="all", Description="all", VpcId=vpc)["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    harness.client().authorize_security_group_ingress(GroupId=group, IpPermissions=everything)
    operator = launch(harness, subnets["lab-mgmt"], SecurityGroupIds=[group])
    stranger = launch(harness, subnets["lab-a"])
    with staged(harness, spec("management-network")) as stage:
        app = stage.guest("app")
        if by == "guest":
            stage.configure("app")
        else:
            app.configure(stage.link("app-mgmt"), metric=200)
        app.serve_http("ssh", port=22)
        app.serve_http("https", port=443)
        public, own = stage.public("app"), stage.private("app-eth0")
        plane = stage.plane
        assert plane.fetch(public, 443) == "https"
        assert plane.fetch(public, 22, timeout=SILENCE) is None
        assert plane.guest(operator).fetch("10.0.2.10", 22) == "ssh"
        assert plane.guest(operator).fetch("10.0.2.10", 443, timeout=SILENCE) is None
        assert plane.guest(operator).fetch(own, 22, timeout=SILENCE) is None
        assert plane.guest(stranger).fetch("10.0.2.10", 22, timeout=SILENCE) is None
        plane.guest(operator).serve_http(lambda client: client, port=9090)
        plane.guest(operator).serve_http(lambda client: client)
        assert app.fetch(plane.guest(operator).address, 9090) == "10.0.2.10"
        assert app.fetch(plane.guest(operator).address, timeout=SILENCE) is None
