"""The data plane: a router for each VPC, a namespace for each running instance, and the internet outside."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import dhcp, metadata
from .firewall import Port, Row, ruleset
from .namespace import PATIENCE, Namespace

CLIENT = "198.51.100.7"
"""Of the client on the internet."""
_MAC_OUTSIDE, _MAC_GATEWAY = "02:00:5e:00:00:01", "02:00:5e:00:00:02"
_DELIVERY = 100
"""The routing table of a VPC's router with all addresses of its interfaces."""
_FIRST_TABLE = 1000
_DROPS = {
    "destination check": "check_in",
    "ingress": "groups_in",
    "source check": "check_out",
    "egress": "groups_out",
}
NAMES: Mapping[str, Callable[[int], str]] = {"eth": "eth{}".format, "ens": lambda index: f"ens{index + 5}"}
"""How guests name their interfaces, by device index."""


_TRANSLATE = "table ip nat { chain out { type nat hook postrouting priority srcnat; masquerade; }; }"
"""What a NAT gateway does."""


class Guest(Namespace):
    """A running instance. ``links`` maps the ids of its interfaces to their names.

    A NAT gateway is one, too.
    """

    def __init__(self, instance_id: str) -> None:
        super().__init__(instance_id)
        self.instance_id = instance_id
        self.links: dict[str, str] = {}
        self.script = ""
        self._plugs: dict[str, Plug] = {}

    @property
    def address(self) -> str:
        """The primary address of its first interface."""
        return self._plugs[self._first].port.addresses[0]

    @property
    def _first(self) -> str:
        return next(name for name, plug in self._plugs.items() if plug.index == 0)

    def plugged(self, plug: Plug) -> None:
        self.links[plug.port.id] = plug.name
        self._plugs[plug.name] = plug

    def unplugged(self, plug: Plug) -> None:
        del self.links[plug.port.id]
        del self._plugs[plug.name]

    def boot(self) -> None:
        """As every image does: its first interface, as DHCP would configure it."""
        self.configure(self._first)

    def give(self, script: str) -> None:
        """A shell script that it runs now, and whenever an interface is plugged, as a rule of udev would."""
        self.script = script
        self.run(["sh"], input=script)

    def up(self, name: str) -> None:
        """Sets an interface up; from then on it sends and hears."""
        self.ip(f"link set {name} up")
        self.until_running(name)
        self._plugs[name].router.until_running(self._plugs[name].port.link)

    def configure(self, name: str, metric: int = 0) -> None:
        """An interface as DHCP would configure it: its primary address, its subnet and a default route."""
        port = self._plugs[name].port
        subnet = IPv4Network(port.cidr)
        more = f" metric {metric}" if metric else ""
        self.up(name)
        self.ip(
            f"address replace {port.addresses[0]}/{subnet.prefixlen} dev {name}",
            f"route replace default via {router_of(subnet)} dev {name}{more}",
        )

    def statistic(self, name: str) -> int:
        """One of the kernel's counters in it, such as IPReversePathFilter."""
        with self.entered():
            lines = Path("/proc/thread-self/net/netstat").read_text().splitlines()
        pairs = zip(lines[::2], lines[1::2], strict=True)
        return int(next(dict(zip(k.split(), v.split(), strict=True))[name] for k, v in pairs if name in k.split()))

    def die(self) -> None:
        """It answers no more; EC2 has not noticed yet."""
        self.ip(*(f"link set {name} down" for name in self._plugs))


@dataclass
class Plug:
    """An interface in its guest. ``end`` stops its DHCP service."""

    port: Port
    guest: Guest
    name: str
    index: int
    router: Router
    end: Callable[[], None]


class Router(Namespace):
    """A VPC's. Guests meet it as the one neighbour on each link: it answers for every other address."""

    def __init__(self, vpc_id: str, number: int) -> None:
        super().__init__(vpc_id)
        self.number = number
        self.ports: dict[str, Port] = {}

    @property
    def way_out(self) -> str:
        """The link that leads to it, outside."""
        return f"vpc{self.number}"

    def start(self, outside: Namespace) -> None:
        for key, value in (
            ("conf/all/rp_filter", 0),
            ("conf/default/rp_filter", 0),
            ("conf/default/send_redirects", 0),
            ("conf/all/send_redirects", 0),
            ("conf/default/proxy_arp", 1),
            ("ip_forward", 1),
        ):
            self.sysctl(f"ipv4/{key}", value)
        self.sysctl("ipv6/conf/default/disable_ipv6", 1)
        there = f"{self.way_out} netns {outside.namespace} address {_MAC_OUTSIDE}"
        self.ip(
            f"link add internet type veth peer name {there}",
            f"link set internet address {_MAC_GATEWAY} up",
            f"neigh replace {CLIENT} lladdr {_MAC_OUTSIDE} dev internet nud permanent",
        )
        self.sysctl("ipv4/conf/internet/proxy_arp", 0)
        self.ip(f"address add {metadata.ADDRESS}/32 dev lo scope host")
        outside.ip(
            f"link set {self.way_out} up",
            f"neigh replace {self.gateway} lladdr {_MAC_GATEWAY} dev {self.way_out} nud permanent",
        )

    @property
    def gateway(self) -> str:
        """The internet gateway, as the outside knows it."""
        return f"192.0.2.{self.number + 1}"

    def route(self, subnets: Mapping[str, Row], tables: Mapping[str, list[str]]) -> None:
        """``tables`` are the lines of each route table by id, and ``subnets`` tell which serves which."""
        numbers = {table: _FIRST_TABLE + position for position, table in enumerate(sorted(tables))}
        every = [_DELIVERY, *numbers.values()]
        lines = [f"route replace blackhole default table {number}" for number in every]
        lines += [f"route flush table {number}" for number in every]
        lines += ["rule flush", "address flush dev lo scope global"]
        lines += [
            f"address replace {router_of(IPv4Network(row['CidrBlock']))}/32 dev lo scope global"
            for row in subnets.values()
        ]
        lines.append(f"rule add pref 200 lookup {_DELIVERY}")
        lines.append(f"route add blackhole default table {_DELIVERY}")
        for port in self.ports.values():
            lines.append(f"rule add pref 100 iif {port.link} lookup {numbers[subnets[port.subnet]['Table']]}")
            for address in port.addresses:
                lines.append(f"route replace {address}/32 dev {port.link} table {_DELIVERY}")
                lines.append(f"neigh replace {address} lladdr {port.mac} dev {port.link} nud permanent")
        for table, number in numbers.items():
            lines += [f"route add {line} table {number}" for line in tables[table]]
        self.ip(*lines)


class DataPlane:
    """A context manager. ``sync`` reads the account again and changes what differs, while guests run.

    ``names`` is how guests name their interfaces; ``rp_filter`` is what new guests have.
    """

    def __init__(self, ec2: Any, *, names: str = "eth", rp_filter: int = 0) -> None:
        self.ec2 = ec2
        self._name = NAMES[names]
        self._rp_filter = rp_filter
        self.outside = Namespace("outside")
        self._hosts: dict[str, Guest] = {}
        self._routers: dict[str, Router] = {}
        self._plugs: dict[str, Plug] = {}
        self._public: set[str] = set()
        self._numbers = 0
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            self._ends = ends
            ends.enter_context(self.outside)
            self._start_outside()
            self.sync()
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ends.close()

    def _start_outside(self) -> None:
        self.outside.sysctl("ipv4/conf/all/rp_filter", 0)
        self.outside.sysctl("ipv4/conf/default/rp_filter", 0)
        self.outside.sysctl("ipv4/conf/default/send_redirects", 0)
        self.outside.sysctl("ipv4/conf/all/send_redirects", 0)
        self.outside.sysctl("ipv4/ip_forward", 1)
        # What leads nowhere is silent, as on the internet.
        self.outside.ip(
            f"address add {CLIENT}/32 dev lo",
            "link add nowhere type veth peer name void",
            "link set nowhere arp off",
            "link set void up",
            "link set nowhere up",
            f"route add default dev nowhere src {CLIENT}",
        )

    @property
    def guests(self) -> dict[str, Guest]:
        """The running instances by id."""
        return {host: guest for host, guest in self._hosts.items() if host.startswith("i-")}

    def guest(self, instance_id: str) -> Guest:
        return self._hosts[instance_id]

    def fetch(self, public_ip: str, port: int = 80, *, timeout: float = PATIENCE) -> str | None:
        """The page that a client on the internet gets."""
        return self.outside.fetch(public_ip, port, timeout=timeout)

    def dropped(self, interface_id: str) -> dict[str, int]:
        """How many packets were dropped at an interface since the last ``sync``, by what dropped them."""
        plug = self._plugs[interface_id]
        listed = json.loads(plug.router.run(["nft", "-j", "list", "counters"]).stdout)["nftables"]
        packets = {row["counter"]["name"]: row["counter"]["packets"] for row in listed if "counter" in row}
        return {what: packets[f"{counter}_{plug.port.link}"] for what, counter in _DROPS.items()}

    # -- the account ---------------------------------------------------------------------------------

    def sync(self) -> None:
        account = _Account(self.ec2)
        self._sync_hosts(account)
        for plug in [each for each in self._plugs.values() if not account.has(each)]:
            self._unplug(plug)
        for row in account.attached():
            self._plug(row, account)
        public: set[str] = set()
        for vpc, router in self._routers.items():
            router.ports = {plug.port.id: plug.port for plug in self._plugs.values() if plug.router is router}
            subnets = account.subnets_of(vpc)
            router.route(subnets, account.routes_of(vpc, router.ports))
            ports = list(router.ports.values())
            router.nft(ruleset(ports, account.groups, account.members, account.acls_of(vpc)))
            mine = {each for port in ports for each in port.public.values()} if account.has_gateway(vpc) else set()
            self.outside.ip(
                *(
                    f"route replace {each}/32 via {router.gateway} dev {router.way_out} onlink src {CLIENT}"
                    for each in sorted(mine)
                )
            )
            public |= mine
        self.outside.ip(*(f"route del {each}/32" for each in sorted(self._public - public)))
        self._public = public

    def _sync_hosts(self, account: _Account) -> None:
        for gone in set(self._hosts) - set(account.running):
            for plug in [each for each in self._plugs.values() if each.guest is self._hosts[gone]]:
                self._unplug(plug)
            self._hosts.pop(gone).close()
        for name in account.running:
            if name not in self._hosts:
                host = self._hosts[name] = self._ends.enter_context(Guest(name))
                host.sysctl("ipv4/conf/default/rp_filter", 0)
                host.sysctl("ipv4/conf/all/rp_filter", 0 if name in account.nats else self._rp_filter)
                if name in account.nats:
                    host.sysctl("ipv4/ip_forward", 1)
                    host.nft(_TRANSLATE)

    def _plug(self, row: Row, account: _Account) -> None:
        known = self._plugs.get(row["NetworkInterfaceId"])
        port = account.port(row, known.port.link if known else f"e{self._numbers}")
        if known:
            known.port = port
            return
        self._numbers += 1
        router = self._router(row["VpcId"])
        guest = self._hosts[row["Attachment"]["InstanceId"]]
        index = row["Attachment"]["DeviceIndex"]
        name = self._name(index)
        router.ip(
            f"link add {port.link} type veth peer name {name} netns {guest.namespace} address {port.mac}",
            f"link set {port.link} up",
        )
        router.sysctl(f"ipv4/neigh/{port.link}/proxy_delay", 0)
        subnet = IPv4Network(port.cidr)
        lease = dhcp.Lease(port.mac, port.addresses[0], subnet, router_of(subnet))
        with router.entered():
            listening = dhcp.open_socket(port.link)
        end = router.serve(listening, functools.partial(dhcp.answer, lease))
        plug = self._plugs[port.id] = Plug(port, guest, name, index, router, end)
        guest.plugged(plug)
        if guest.script:
            guest.give(guest.script)
        if guest.instance_id in account.nats:
            guest.boot()

    def _unplug(self, plug: Plug) -> None:
        plug.end()
        plug.router.ip(f"link del {plug.port.link}")
        plug.guest.unplugged(plug)
        del self._plugs[plug.port.id]

    def _router(self, vpc: str) -> Router:
        if vpc not in self._routers:
            self._routers[vpc] = self._ends.enter_context(Router(vpc, len(self._routers)))
            self._routers[vpc].start(self.outside)
            with self._routers[vpc].entered():
                service = metadata.MetadataServer(functools.partial(self._metadata, vpc))
            self._routers[vpc].serve_forever(service)
        return self._routers[vpc]

    def _metadata(self, vpc: str, address: str) -> metadata.Tree | None:
        """What the instance with this address may read."""
        router = self._routers[vpc]
        for plug in self._plugs.values():
            if plug.router is router and address in plug.port.addresses:
                return _tree(plug.guest, [each for each in self._plugs.values() if each.guest is plug.guest])
        return None


def _tree(guest: Guest, plugs: Sequence[Plug]) -> metadata.Tree:
    tree = {"meta-data/instance-id": guest.instance_id}
    for plug in plugs:
        port, folder = plug.port, f"meta-data/network/interfaces/macs/{plug.port.mac}"
        tree |= {
            f"{folder}/device-number": str(plug.index),
            f"{folder}/interface-id": port.id,
            f"{folder}/local-ipv4s": "\n".join(port.addresses),
            f"{folder}/mac": port.mac,
            f"{folder}/subnet-id": port.subnet,
            f"{folder}/subnet-ipv4-cidr-block": port.cidr,
        }
        if port.public:
            tree[f"{folder}/public-ipv4s"] = "\n".join(port.public.values())
        if plug.index == 0:
            tree |= {"meta-data/mac": port.mac, "meta-data/local-ipv4": port.addresses[0]}
    return tree


class _Account:
    """What the Describe calls say at one moment."""

    def __init__(self, ec2: Any) -> None:
        def rows(call: str, key: str) -> list[Row]:
            return list(ec2.get_paginator(call).paginate().search(key))

        instances = rows("describe_instances", "Reservations[].Instances[]")
        self.running = [row["InstanceId"] for row in instances if row["State"]["Name"] == "running"]
        gateways = rows("describe_nat_gateways", "NatGateways[]")
        self.nats = {
            row["NatGatewayId"]: row["NatGatewayAddresses"][0]["NetworkInterfaceId"]
            for row in gateways
            if row["State"] == "available"
        }
        """The interfaces of NAT gateways, by the ids of these."""
        self.running += self.nats
        self.interfaces = rows("describe_network_interfaces", "NetworkInterfaces[]")
        self.groups = {row["GroupId"]: row for row in rows("describe_security_groups", "SecurityGroups[]")}
        self._subnets = {row["SubnetId"]: row for row in rows("describe_subnets", "Subnets[]")}
        self._tables = rows("describe_route_tables", "RouteTables[]")
        self._gateways = rows("describe_internet_gateways", "InternetGateways[]")
        self._acls = rows("describe_network_acls", "NetworkAcls[]")
        members: defaultdict[str, list[str]] = defaultdict(list)
        for row in self.interfaces:
            for group in row["Groups"]:
                members[group["GroupId"]] += [each["PrivateIpAddress"] for each in row["PrivateIpAddresses"]]
        self.members: Mapping[str, list[str]] = members

    def attached(self) -> Iterator[Row]:
        """The interfaces that running instances have, and those of NAT gateways as if these were instances."""
        owners = {interface: nat for nat, interface in self.nats.items()}
        for row in self.interfaces:
            place = row.get("Attachment", {})
            if owner := owners.get(row["NetworkInterfaceId"]):
                yield {**row, "Attachment": {"InstanceId": owner, "DeviceIndex": 0}}
            if place.get("Status") == "attached" and place.get("InstanceId") in self.running:
                yield row

    def has(self, plug: Plug) -> bool:
        """Whether it is still where it was plugged."""
        places = {row["NetworkInterfaceId"]: row["Attachment"] for row in self.attached()}
        place = places.get(plug.port.id)
        return place is not None and (place["InstanceId"], place["DeviceIndex"]) == (
            plug.guest.instance_id,
            plug.index,
        )

    def port(self, row: Row, link: str) -> Port:
        addresses = sorted(row["PrivateIpAddresses"], key=lambda each: not each["Primary"])
        return Port(
            id=row["NetworkInterfaceId"],
            link=link,
            mac=row["MacAddress"],
            subnet=row["SubnetId"],
            cidr=self._subnets[row["SubnetId"]]["CidrBlock"],
            addresses=tuple(each["PrivateIpAddress"] for each in addresses),
            checked=row["SourceDestCheck"],
            groups=tuple(each["GroupId"] for each in row["Groups"]),
            public={
                each["PrivateIpAddress"]: each["Association"]["PublicIp"]
                for each in addresses
                if "Association" in each
            },
        )

    def has_gateway(self, vpc: str) -> bool:
        return any(place["VpcId"] == vpc for row in self._gateways for place in row["Attachments"])

    def subnets_of(self, vpc: str) -> dict[str, Row]:
        """The VPC's subnets, each with the id of its route table under ``Table``."""
        tables = [table for table in self._tables if table["VpcId"] == vpc]
        served = {
            place.get("SubnetId"): table["RouteTableId"] for table in tables for place in table["Associations"]
        }
        return {
            subnet: {**row, "Table": served.get(subnet) or served[None]}
            for subnet, row in self._subnets.items()
            if row["VpcId"] == vpc
        }

    def acls_of(self, vpc: str) -> dict[str, Row]:
        """The network ACL of each subnet: its own, or the VPC's default."""
        acls = [acl for acl in self._acls if acl["VpcId"] == vpc]
        default = next(acl for acl in acls if acl["IsDefault"])
        own = {place["SubnetId"]: acl for acl in acls for place in acl.get("Associations", [])}
        return {subnet: own.get(subnet, default) for subnet in self._subnets}

    def routes_of(self, vpc: str, ports: Mapping[str, Port]) -> dict[str, list[str]]:
        """The lines of each route table of the VPC, for ``ip route add``."""
        return {
            table["RouteTableId"]: [
                line for route in table["Routes"] if (line := self._route(route, ports)) is not None
            ]
            for table in self._tables
            if table["VpcId"] == vpc
        }

    def _route(self, route: Row, ports: Mapping[str, Port]) -> str | None:
        destination = route.get("DestinationCidrBlock")
        if destination is None:
            return None
        if route.get("GatewayId") == "local":
            # On to the rule for delivery.
            return f"throw {destination}"
        nat = self.nats.get(route.get("NatGatewayId", ""))
        port = ports.get(nat or route.get("NetworkInterfaceId", ""))
        if port is not None:
            return f"{destination} via {port.addresses[0]} dev {port.link} onlink"
        if route.get("GatewayId", "").startswith("igw-") and route["State"] == "active":
            return f"{destination} via {CLIENT} dev internet onlink"
        return f"blackhole {destination}"


def router_of(subnet: IPv4Network) -> IPv4Address:
    """EC2 docs: the subnet's first address is its router."""
    return subnet.network_address + 1
