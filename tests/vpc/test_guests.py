"""The real network managers run on a guest, configure what they are given, and touch nothing of this machine."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from ipaddress import IPv4Network
from typing import Any

import pytest

from tests.vpc import Namespace, dhcp, guests
from tests.vpc.guests import Files, System, until

pytestmark = pytest.mark.usefixtures("needs_namespaces")
MACS = {"eth0": "02:00:00:00:00:01", "eth1": "02:00:00:00:00:02"}
SUBNET = {"eth0": "10.0.1", "eth1": "10.0.2"}
NETWORKD = {
    f"/etc/systemd/network/10-{name}.network": f"""
[Match]
MACAddress={mac}
[Network]
DHCP=ipv4
LinkLocalAddressing=no
[RoutingPolicyRule]
From={SUBNET[name]}.20
Table=500{name[-1]}
[Route]
Gateway={SUBNET[name]}.1
Table=500{name[-1]}
"""
    for name, mac in MACS.items()
}
NETPLAN = {
    "/etc/netplan/60-enis.yaml": "network:\n  version: 2\n  ethernets:\n"
    + "".join(
        f"""
    {name}:
      match: {{macaddress: "{mac}"}}
      dhcp4: true
      link-local: []
      routes: [{{to: 0.0.0.0/0, via: {SUBNET[name]}.1, table: 500{name[-1]}}}]
      routing-policy: [{{from: {SUBNET[name]}.20, table: 500{name[-1]}}}]
"""
        for name, mac in MACS.items()
    )
}
NETWORKMANAGER = {
    f"/etc/NetworkManager/system-connections/{name}.nmconnection": f"""
[connection]
id={name}
uuid=00000000-0000-4000-8000-00000000000{name[-1]}
type=ethernet
[ethernet]
mac-address={mac}
[ipv4]
method=auto
route1=0.0.0.0/0,{SUBNET[name]}.1
route1_options=table=500{name[-1]}
routing-rule1=priority 100 from {SUBNET[name]}.20 table 500{name[-1]}
[ipv6]
method=disabled
"""
    for name, mac in MACS.items()
}
Manager = Callable[[str, Files], AbstractContextManager[System]]
MANAGERS = [
    pytest.param(
        manager, files, id=manager.__name__, marks=pytest.mark.skipif(bool(reason), reason=reason or "present")
    )
    for manager, files, reason in (
        (guests.networkd, NETWORKD, guests.lacking(guests.NETWORKD)),
        (guests.netplan, NETPLAN, guests.lacking_netplan()),
        (guests.networkmanager, NETWORKMANAGER, guests.lacking("NetworkManager", "dbus-daemon")),
    )
]


class Bench(Namespace):
    """A guest, and a router with a DHCP service on each of two cables that can be plugged into the guest."""

    def __init__(self) -> None:
        super().__init__("guest")
        self.router = Namespace("router")
        self._unplugs: dict[str, Callable[[], None]] = {}

    def plug(self, name: str) -> None:
        subnet = IPv4Network(f"{SUBNET[name]}.0/24")
        self.router.ip(
            f"link add r-{name} type veth peer name {name} netns {self.namespace} address {MACS[name]}",
            f"address add {SUBNET[name]}.1/24 dev r-{name}",
            f"link set r-{name} up",
        )
        with self.router.entered():
            listening = dhcp.open_socket(f"r-{name}")
        lease = dhcp.Lease(MACS[name], f"{SUBNET[name]}.20", subnet, subnet.network_address + 1)
        self._unplugs[name] = self.router.serve(listening, functools.partial(dhcp.answer, lease))

    def unplug(self, name: str) -> None:
        self._unplugs.pop(name)()
        self.router.ip(f"link del r-{name}")

    def has(self, name: str) -> bool:
        """Whether the guest has the address, the rule and the table of an interface."""
        table, address = f"500{name[-1]}", f"{SUBNET[name]}.20"
        rules = {(rule["src"], rule.get("table")) for rule in self._listed("rule")}
        routes = self._listed("route", "show", "table", "all")
        ways = {(route.get("table"), route["dst"], route["dev"]) for route in routes if "dev" in route}
        own = [each["local"] for link in self._listed("address", "show", name) for each in link["addr_info"]]
        return (address, table) in rules and (table, "default", name) in ways and address in own

    def _listed(self, *words: str) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self.run(["ip", "-json", "-4", *words]).stdout or "[]")
        return listed


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as bench, bench.router:
        yield bench


@pytest.mark.parametrize(("manager", "files"), MANAGERS)
def test_configures_what_is_there_and_what_comes(bench: Bench, manager: Manager, files: Files) -> None:
    """An interface that is plugged in later, and again after it was away."""
    bench.plug("eth0")
    with manager(bench.namespace, files):
        until(lambda: bench.has("eth0"), "eth0 is configured")
        for _ in range(2):
            bench.plug("eth1")
            until(lambda: bench.has("eth1"), "eth1 is configured")
            bench.unplug("eth1")
        assert bench.has("eth0")


@pytest.mark.skipif(bool(guests.lacking(guests.NETWORKD)), reason=str(guests.lacking(guests.NETWORKD)))
def test_networkd_removes_what_was_made_by_hand(bench: Bench) -> None:
    """When it configures an interface: the rules of all, and the routes of that one."""
    bench.plug("eth0")
    with guests.networkd(bench.namespace, NETWORKD):
        until(lambda: bench.has("eth0"), "eth0 is configured")
        bench.ip("rule add from 10.0.1.20 lookup 777")
        assert "777" in bench.run(["ip", "rule"]).stdout
        bench.plug("eth1")
        until(lambda: bench.has("eth1"), "eth1 is configured")
        assert "777" not in bench.run(["ip", "rule"]).stdout


def test_a_guest_sees_its_own_files(bench: Bench) -> None:
    with guests.system(bench.namespace, {"/etc/hostname": "guest\n"}) as guest:
        assert guest.run("cat", "/etc/hostname") == "guest\n"
        assert guest.run("ls", "/var") == "run\n"
        with pytest.raises(AssertionError, match="Read-only file system"):
            guest.run("touch", "/usr/of-the-machine")
