"""The data plane does what EC2 does: one test for each thing that it lets pass, translates or drops."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from tests.ec2.lab import Lab

from . import dhcp, metadata
from .namespace import SILENCE
from .plane import CLIENT, DataPlane, Guest

pytestmark = pytest.mark.usefixtures("needs_namespaces")
HTTP = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80}
ANYWHERE = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
ALL = {"IpProtocol": "-1"}


class Town(Lab):
    """A lab whose groups let in what a test says, and whose interfaces can have public addresses."""

    def let_in(self, name: str, *permissions: dict[str, Any]) -> str:
        group = self.group(name)
        if permissions:
            self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=list(permissions))
        return group

    def forbid_out(self, group: str) -> None:
        self.ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[{**ALL, **ANYWHERE}])

    def public(self, eni: str) -> str:
        """A new Elastic IP of the interface."""
        allocation = self.eip()
        self.associate(allocation, eni)
        return str(self.show_address(allocation)["PublicIp"])

    def private(self, eni: str) -> str:
        return str(self.show_eni(eni)["PrivateIpAddress"])


@pytest.fixture
def town() -> Iterator[Town]:
    with Town() as town:
        yield town


def served(plane: DataPlane, instance: str, page: str = "page") -> Guest:
    """The guest, booted, with a web page."""
    guest = plane.guest(instance)
    guest.boot()
    guest.serve_http(page)
    return guest


def test_a_group_lets_in_what_its_rules_say(town: Town) -> None:
    """Nothing at first; then port 80, from which sources it says, and no other port."""
    group = town.let_in("web")
    eni = town.eni(Groups=[group])
    instance, public = town.instance(eni), town.public(eni)
    with DataPlane(town.ec2) as plane:
        web = served(plane, instance)
        web.serve_http("other", port=8080)
        assert plane.fetch(public, timeout=SILENCE) is None
        elsewhere = {"IpRanges": [{"CidrIp": "192.0.2.0/24"}]}
        town.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{**HTTP, **elsewhere}])
        plane.sync()
        assert plane.fetch(public, timeout=SILENCE) is None
        town.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{**HTTP, **ANYWHERE}])
        plane.sync()
        assert plane.fetch(public) == "page"
        assert plane.fetch(public, 8080, timeout=SILENCE) is None
        assert plane.dropped(eni)["ingress"]


def test_groups_are_stateful(town: Town) -> None:
    """A group without egress answers what it let in, and begins nothing; a group without ingress hears answers."""
    closed, asking = town.let_in("closed", {**HTTP, **ANYWHERE}), town.let_in("asking")
    town.forbid_out(closed)
    enis = [town.eni(Groups=[each]) for each in (closed, asking)]
    instances = [town.instance(each) for each in enis]
    with DataPlane(town.ec2) as plane:
        silent, client = (served(plane, each) for each in instances)
        assert client.fetch(town.private(enis[0])) == "page"
        assert silent.fetch(town.private(enis[1]), timeout=SILENCE) is None
        town.ec2.authorize_security_group_ingress(GroupId=asking, IpPermissions=[{**HTTP, **ANYWHERE}])
        plane.sync()
        assert silent.fetch(town.private(enis[1]), timeout=SILENCE) is None
        assert client.fetch(town.private(enis[0])) == "page"


def test_a_group_as_a_source_means_its_interfaces(town: Town) -> None:
    friends = town.let_in("friends")
    web = town.let_in("web", {**HTTP, "UserIdGroupPairs": [{"GroupId": friends}]})
    enis = [town.eni(Groups=[each]) for each in (web, friends, web)]
    instances = [town.instance(each) for each in enis]
    with DataPlane(town.ec2) as plane:
        _, friend, stranger = (served(plane, each) for each in instances)
        assert friend.fetch(town.private(enis[0])) == "page"
        assert stranger.fetch(town.private(enis[0]), timeout=SILENCE) is None


def test_the_gateway_translates_one_to_one(town: Town) -> None:
    """The guest sees the client's address, the internet the Elastic IP; without one, nothing goes out."""
    group = town.let_in("web", {**HTTP, **ANYWHERE})
    enis = [town.eni(Groups=[group]) for _ in range(2)]
    instances = [town.instance(each) for each in enis]
    public = town.public(enis[0])
    with DataPlane(town.ec2) as plane:
        web, hidden = (served(plane, each) for each in instances)
        web.serve_http(lambda client: client, port=8080)
        plane.outside.serve_http(lambda client: client)
        assert web.fetch(CLIENT) == public
        assert hidden.fetch(CLIENT, timeout=SILENCE) is None
        town.ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[{**HTTP, "FromPort": 8080, "ToPort": 8080, **ANYWHERE}]
        )
        plane.sync()
        assert plane.fetch(public, 8080) == CLIENT
        assert hidden.fetch(town.private(enis[0]), 8080) == town.private(enis[1])


def test_an_automatic_address_leads_to_its_instance(town: Town) -> None:
    group = town.let_in("web", {**HTTP, **ANYWHERE})
    instance = town.instance(SecurityGroupIds=[group], SubnetId=town.subnet())
    with DataPlane(town.ec2) as plane:
        served(plane, instance)
        assert plane.fetch(town.show_instance(instance)["PublicIpAddress"]) == "page"


def test_the_source_check_drops_answers_of_another_interface(town: Town) -> None:
    """DHCP on both: what asked at the second leaves by the first. Without the check it would arrive."""
    group = town.let_in("web", {**HTTP, **ANYWHERE})
    first, second = town.eni(Groups=[group]), town.eni(Groups=[group])
    instance = town.instance(first, second)
    town.public(first)
    public = town.public(second)
    with DataPlane(town.ec2, names="ens") as plane:
        web = served(plane, instance)
        assert web.links == {first: "ens5", second: "ens6"}
        web.configure("ens6", metric=200)
        assert plane.fetch(public, timeout=SILENCE) is None
        town.ec2.modify_network_interface_attribute(NetworkInterfaceId=first, SourceDestCheck={"Value": False})
        plane.sync()
        assert plane.fetch(public) == "page"


def test_a_route_to_an_interface_leads_through_its_guest(town: Town) -> None:
    """A client without a public address reaches the internet by a guest that forwards, if its check is off."""
    inside = town.let_in("inside", {**ALL, "IpRanges": [{"CidrIp": "172.31.0.0/16"}]})
    table = town.ec2.create_route_table(VpcId=town.vpc)["RouteTable"]["RouteTableId"]
    private = town.world.add_subnet(town.vpc, "172.31.200.0/24", "us-east-1a")
    town.ec2.associate_route_table(RouteTableId=table, SubnetId=private)
    outer, inner = town.eni(), town.eni(SubnetId=private, Groups=[inside])
    nat, client = town.instance(outer, inner), town.instance(town.eni(SubnetId=private))
    public = town.public(outer)
    town.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NetworkInterfaceId=inner)
    with DataPlane(town.ec2) as plane:
        plane.outside.serve_http(lambda client: client)
        appliance, guest = plane.guest(nat), plane.guest(client)
        appliance.boot()
        appliance.ip("link set eth1 up", f"address add {town.private(inner)}/24 dev eth1")
        appliance.sysctl("ipv4/ip_forward", 1)
        appliance.nft(
            "table ip nat { chain out { type nat hook postrouting priority srcnat; oifname eth0 masquerade; }; }"
        )
        guest.boot()
        assert guest.fetch(CLIENT, timeout=SILENCE) is None
        town.ec2.modify_network_interface_attribute(NetworkInterfaceId=inner, SourceDestCheck={"Value": False})
        plane.sync()
        assert guest.fetch(CLIENT) == public


def test_a_nat_gateway_translates(town: Town) -> None:
    """For those whose route leads to it; from outside, nothing begins. Once it is gone, so is the way."""
    table = town.world.add_route_table(town.vpc)
    private = town.world.add_subnet(town.vpc, "172.31.200.0/24", "us-east-1a")
    town.ec2.associate_route_table(RouteTableId=table, SubnetId=private)
    allocation = town.eip()
    made = town.ec2.create_nat_gateway(SubnetId=town.subnet(), AllocationId=allocation)["NatGateway"]
    town.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=made["NatGatewayId"])
    instance = town.instance(town.eni(SubnetId=private))
    public = town.show_address(allocation)["PublicIp"]
    with DataPlane(town.ec2, rp_filter=1) as plane:
        assert list(plane.guests) == [instance]
        plane.outside.serve_http(lambda client: client)
        guest = served(plane, instance)
        assert guest.fetch(CLIENT) == public
        assert plane.fetch(public, timeout=SILENCE) is None
        town.ec2.delete_nat_gateway(NatGatewayId=made["NatGatewayId"])
        plane.sync()
        assert guest.fetch(CLIENT, timeout=SILENCE) is None


def test_an_interface_takes_its_traffic_along(town: Town) -> None:
    """Detached it is dead; on another instance, with the same MAC address, it answers from there."""
    group = town.let_in("web", {**HTTP, **ANYWHERE})
    instances = [town.instance(town.eni()) for _ in range(2)]
    eni = town.eni(Groups=[group])
    public = town.public(eni)
    attachment = town.attach(eni, instances[0])
    with DataPlane(town.ec2) as plane:
        guests = [served(plane, each, each) for each in instances]
        name = guests[0].links[eni]
        mac = guests[0].run(["cat", f"/sys/class/net/{name}/address"]).stdout
        # Its default route is the better one.
        guests[0].ip("route del default")
        guests[0].configure(name)
        assert plane.fetch(public) == instances[0]
        town.ec2.detach_network_interface(AttachmentId=attachment)
        plane.sync()
        assert eni not in guests[0].links
        assert not guests[0].run(["ip", "link", "show", name], check=False).stdout
        assert plane.fetch(public, timeout=SILENCE) is None
        town.attach(eni, instances[1])
        plane.sync()
        assert guests[1].run(["cat", f"/sys/class/net/{name}/address"]).stdout == mac
        assert plane.fetch(public, timeout=SILENCE) is None
        guests[1].ip("route del default")
        guests[1].configure(name)
        assert plane.fetch(public) == instances[1]


def test_secondary_addresses_arrive(town: Town) -> None:
    """At once on the interface that has them now, if its guest has them too; claiming one by ARP moves nothing."""
    group = town.let_in("web", {**HTTP, **ANYWHERE})
    enis = [town.eni(Groups=[group]) for _ in range(2)]
    instances = [town.instance(each) for each in enis]
    client = town.instance(town.eni())
    floating = "172.31.0.99"
    town.ec2.assign_private_ip_addresses(NetworkInterfaceId=enis[0], PrivateIpAddresses=[floating])
    with DataPlane(town.ec2) as plane:
        for each in instances:
            served(plane, each, each).ip(f"address add {floating}/32 dev eth0")
        asking = plane.guest(client)
        asking.boot()
        assert asking.fetch(floating) == instances[0]
        # The other guest begins a conversation with it, and so tells its MAC address to all that listen.
        plane.guest(instances[1]).fetch(town.private(enis[0]), source=floating, timeout=SILENCE)
        assert asking.fetch(floating) == instances[0]
        town.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=enis[1], PrivateIpAddresses=[floating], AllowReassignment=True
        )
        plane.sync()
        assert asking.fetch(floating) == instances[1]


def test_nothing_is_heard_by_all(town: Town) -> None:
    """Neither broadcast nor multicast arrives at another guest."""
    group = town.let_in("open", {**ALL, **ANYWHERE})
    enis = [town.eni(Groups=[group]) for _ in range(2)]
    instances = [town.instance(each) for each in enis]
    with DataPlane(town.ec2) as plane:
        speaker, hearer = (plane.guest(each) for each in instances)
        speaker.boot()
        hearer.boot()
        with hearer.open_socket(socket.SOCK_DGRAM) as hearing, speaker.open_socket(socket.SOCK_DGRAM) as speaking:
            membership = socket.inet_aton("239.1.2.3") + socket.inet_aton(town.private(enis[1]))
            hearing.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            hearing.bind(("", 5000))
            hearing.settimeout(SILENCE)
            speaking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for everyone in ("255.255.255.255", "172.31.15.255", "239.1.2.3"):
                speaking.sendto(b"all", (everyone, 5000))
            speaking.sendto(b"you", (town.private(enis[1]), 5000))
            assert hearing.recv(100) == b"you"
            with pytest.raises(TimeoutError):
                hearing.recv(100)


def test_dhcp_tells_the_primary_address(town: Town) -> None:
    eni = town.eni()
    instance = town.instance(eni)
    mac = town.show_eni(eni)["MacAddress"]
    with DataPlane(town.ec2) as plane:
        guest = plane.guest(instance)
        guest.up("eth0")
        with guest.entered():
            asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with asking:
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            asking.bind(("", 68))
            asking.settimeout(5)
            head = bytes([1, 1, 6, 0]) + b"\x12\x34\x56\x78" + bytes(20) + bytes.fromhex(mac.replace(":", ""))
            asking.sendto(head.ljust(236, b"\0") + b"\x63\x82\x53\x63\x35\x01\x01\xff", ("255.255.255.255", 67))
            told = asking.recv(2048)
    assert str(IPv4Address(told[16:20])) == town.private(eni)
    assert told[240:243] == b"\x35\x01\x02"
    assert IPv4Address("172.31.0.1").packed in told[240:]


def test_dhcp_answers_its_own_guest_only() -> None:
    lease = dhcp.Lease("02:00:00:00:00:01", "10.0.0.5", IPv4Network("10.0.0.0/24"), IPv4Address("10.0.0.1"))
    other = bytes([1, 1, 6, 0]) + bytes(24) + b"\x02\0\0\0\0\x02" + bytes(202)
    assert dhcp.reply_to(lease, other + b"\x63\x82\x53\x63\x35\x01\x01\xff") is None
    assert dhcp.reply_to(lease, b"short") is None


def test_metadata_tells_what_an_instance_has(town: Town) -> None:
    """With a token only, and to each instance its own, whichever interface asks."""
    enis = [town.eni() for _ in range(2)]
    instance = town.instance(*enis)
    macs = [town.show_eni(each)["MacAddress"] for each in enis]
    with DataPlane(town.ec2) as plane:
        guest = plane.guest(instance)
        guest.boot()
        assert guest.fetch(metadata.ADDRESS, path="/latest/meta-data/") == ""
        with guest.entered():
            asking = http.client.HTTPConnection(metadata.ADDRESS, timeout=5)
            asking.connect()
        asking.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        token = asking.getresponse().read().decode()
        told = {}
        for path in ("instance-id", "network/interfaces/macs/", f"network/interfaces/macs/{macs[1]}/local-ipv4s"):
            with guest.entered():
                asking.request("GET", f"/latest/meta-data/{path}", headers={"X-aws-ec2-metadata-token": token})
            told[path] = asking.getresponse().read().decode()
        asking.close()
    assert list(told.values()) == [
        instance,
        "\n".join(sorted(f"{mac}/" for mac in macs)),
        town.private(enis[1]),
    ]


def test_a_stopped_instance_has_no_guest(town: Town) -> None:
    """And one that runs again is a new one, as after every boot."""
    group = town.let_in("web", {**HTTP, **ANYWHERE})
    eni = town.eni(Groups=[group])
    instance, public = town.instance(eni), town.public(eni)
    with DataPlane(town.ec2) as plane:
        served(plane, instance)
        assert plane.fetch(public) == "page"
        town.ec2.stop_instances(InstanceIds=[instance])
        plane.sync()
        assert plane.fetch(public, timeout=SILENCE) is None
        town.ec2.start_instances(InstanceIds=[instance])
        plane.sync()
        assert plane.fetch(public, timeout=SILENCE) is None
        served(plane, instance)
        assert plane.fetch(public) == "page"
        plane.guest(instance).die()
        assert plane.fetch(public, timeout=SILENCE) is None


def test_a_subnet_without_a_way_back_is_silent(town: Town) -> None:
    """What comes from the internet arrives by the gateway; the answer needs a route."""
    group = town.let_in("web", {**HTTP, **ANYWHERE})
    eni = town.eni(Groups=[group])
    instance, public = town.instance(eni), town.public(eni)
    table = town.ec2.create_route_table(VpcId=town.vpc)["RouteTable"]["RouteTableId"]
    with DataPlane(town.ec2) as plane:
        served(plane, instance)
        assert plane.fetch(public) == "page"
        town.ec2.associate_route_table(RouteTableId=table, SubnetId=town.subnet())
        plane.sync()
        assert plane.fetch(public, timeout=SILENCE) is None


def test_a_network_acl_remembers_nothing(town: Town) -> None:
    """It guards its subnet, for questions and answers alike. Neighbours in the subnet do not meet it."""
    group = town.let_in("web", {**HTTP, **ANYWHERE})
    enis = [town.eni(Groups=[group]) for _ in range(2)]
    instances, public = [town.instance(each) for each in enis], town.public(enis[0])
    mine = [{"Name": "association.subnet-id", "Values": [town.subnet()]}]
    [acl] = town.ec2.describe_network_acls(Filters=mine)["NetworkAcls"]

    def deny(egress: bool, first: int, last: int) -> None:
        town.ec2.create_network_acl_entry(
            NetworkAclId=acl["NetworkAclId"],
            RuleNumber=50,
            Protocol="6",
            RuleAction="deny",
            Egress=egress,
            CidrBlock="0.0.0.0/0",
            PortRange={"From": first, "To": last},
        )
        plane.sync()

    with DataPlane(town.ec2) as plane:
        _, neighbour = (served(plane, each) for each in instances)
        assert plane.fetch(public) == "page"
        deny(True, 1024, 65535)
        assert plane.fetch(public, timeout=SILENCE) is None
        town.ec2.delete_network_acl_entry(NetworkAclId=acl["NetworkAclId"], RuleNumber=50, Egress=True)
        deny(False, 80, 80)
        assert plane.fetch(public, timeout=SILENCE) is None
        assert neighbour.fetch(town.private(enis[0])) == "page"


def test_vpcs_are_apart(town: Town) -> None:
    """Two VPCs may have the same addresses; they meet on the internet only."""
    planes = []
    for name in ("one", "two"):
        vpc = town.world.add_vpc("10.0.0.0/16", gateway=True)
        subnet = town.world.add_subnet(vpc, "10.0.1.0/24", "us-east-1a")
        group = town.group(name, VpcId=vpc)
        town.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[{**HTTP, **ANYWHERE}])
        eni = town.eni(SubnetId=subnet, Groups=[group], PrivateIpAddress="10.0.1.10")
        planes.append((town.instance(eni), town.public(eni)))
    with DataPlane(town.ec2) as plane:
        for instance, _ in planes:
            served(plane, instance, instance)
        assert [plane.fetch(public) for _, public in planes] == [instance for instance, _ in planes]
        assert plane.guest(planes[0][0]).fetch(planes[1][1]) == planes[1][0]


def test_nothing_is_left_behind(town: Town) -> None:
    """Neither namespaces nor sockets, also when a test fails in the middle."""
    instance = town.instance(town.eni())
    with suppress(ZeroDivisionError), DataPlane(town.ec2) as plane:
        served(plane, instance)
        assert len(_mine()) == 3
        raise ZeroDivisionError
    assert _mine() == []


def _mine() -> list[str]:
    return [each.name for each in Path("/run/netns").glob(f"eni-{os.getpid()}-*")]
