"""The real network managers run on a guest, configure what they are given, and touch nothing of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.vpc import guests
from tests.vpc.guests import Files, System, until

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
        (guests.networkd, NETWORKD, guests.lacking(guests.NETWORKD, "dnsmasq")),
        (guests.netplan, NETPLAN, guests.lacking_netplan() or guests.lacking("dnsmasq")),
        (guests.networkmanager, NETWORKMANAGER, guests.lacking("NetworkManager", "dbus-daemon", "dnsmasq")),
    )
]


@dataclass(frozen=True)
class Bench:
    """A guest's namespace and a router's, which has a DHCP server; cables can be plugged between them."""

    guest: str
    router: str

    def plug(self, name: str) -> None:
        _ip("-n", self.router, "link", "set", name, "netns", self.guest)
        _ip("-n", self.router, "link", "set", f"r-{name}", "up")

    def unplug(self, name: str) -> None:
        _ip("-n", self.guest, "link", "set", name, "netns", self.router)

    def has(self, name: str) -> bool:
        """Whether the guest has the address, the rule and the table of an interface."""
        table, address = f"500{name[-1]}", f"{SUBNET[name]}.20"
        rules = {(rule["src"], rule.get("table")) for rule in _listed("-n", self.guest, "-4", "rule")}
        routes = [
            route
            for route in _listed("-n", self.guest, "-4", "route", "show", "table", "all")
            if route.get("table") == table and route["dst"] == "default" and route["dev"] == name
        ]
        return (address, table) in rules and bool(routes) and address in self._addresses(name)

    def _addresses(self, name: str) -> list[str]:
        (link,) = _listed("-n", self.guest, "address", "show", name)
        return [address["local"] for address in link["addr_info"]]


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


def _listed(*words: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(_ip("-json", *words) or "[]")
    return listed


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(f"guest-{os.getpid()}", f"router-{os.getpid()}")
    with contextlib.ExitStack() as stack:
        for namespace in (made.guest, made.router):
            _ip("netns", "add", namespace)
            stack.callback(_ip, "netns", "delete", namespace)
            _ip("-n", namespace, "link", "set", "lo", "up")
        ranges = []
        for name, mac in MACS.items():
            _ip("-n", made.router, "link", "add", name, "address", mac, "type", "veth", "peer", f"r-{name}")
            _ip("-n", made.router, "address", "add", f"{SUBNET[name]}.1/24", "dev", f"r-{name}")
            ranges += [
                f"--dhcp-host={mac},{SUBNET[name]}.20",
                f"--dhcp-range={SUBNET[name]}.0,static,255.255.255.0",
            ]
        log = tmp_path / "dnsmasq"
        options = ["--conf-file=/dev/null", "--no-daemon", "--port=0", "--user=root", "--pid-file", "--log-dhcp"]
        lease = f"--dhcp-leasefile={tmp_path / 'leases'}"
        with log.open("wb") as out:
            command = ["ip", "netns", "exec", made.router, "dnsmasq", *options, lease, *ranges]
            server = subprocess.Popen(command, stdout=out, stderr=out)
        stack.callback(server.wait)
        stack.callback(server.kill)
        until(lambda: "DHCP, static leases" in log.read_text(), "the DHCP server")
        yield made


@pytest.mark.parametrize(("manager", "files"), MANAGERS)
def test_configures_what_is_there_and_what_comes(bench: Bench, manager: Manager, files: Files) -> None:
    """An interface that is plugged in later, and again after it was away."""
    bench.plug("eth0")
    with manager(bench.guest, files):
        until(lambda: bench.has("eth0"), "eth0 is configured")
        for _ in range(2):
            bench.plug("eth1")
            until(lambda: bench.has("eth1"), "eth1 is configured")
            bench.unplug("eth1")
        assert bench.has("eth0")


@pytest.mark.skipif(bool(guests.lacking(guests.NETWORKD, "dnsmasq")), reason=str(guests.lacking(guests.NETWORKD)))
def test_networkd_removes_what_was_made_by_hand(bench: Bench) -> None:
    """When it configures an interface: the rules of all, and the routes of that one."""
    bench.plug("eth0")
    with guests.networkd(bench.guest, NETWORKD):
        until(lambda: bench.has("eth0"), "eth0 is configured")
        _ip("-n", bench.guest, "rule", "add", "from", "10.0.1.20", "lookup", "777")
        assert "777" in _ip("-n", bench.guest, "rule")
        bench.plug("eth1")
        until(lambda: bench.has("eth1"), "eth1 is configured")
        assert "777" not in _ip("-n", bench.guest, "rule")


def test_a_guest_sees_its_own_files(bench: Bench) -> None:
    with guests.system(bench.guest, {"/etc/hostname": "guest\n"}) as guest:
        assert guest.run("cat", "/etc/hostname") == "guest\n"
        assert guest.run("ls", "/var") == "run\n"
        with pytest.raises(AssertionError, match="Read-only file system"):
            guest.run("touch", "/usr/of-the-machine")
