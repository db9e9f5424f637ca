"""The script, run by the shell with the kernel's own ``ip``, in a network namespace of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from enireconcile.guest import ip
from enireconcile.guest.model import Guest, marks
from tests.guest.guests import four, guest, link, two_in_one_subnet, two_in_two_subnets


def _script(made: Guest) -> str:
    return ip.files(made)[0].text


class Namespace:
    """A guest's network: links by MAC address. Their other ends are in ``far``, and lead nowhere."""

    def __init__(self) -> None:
        self.name = f"enireconcile-{uuid.uuid4().hex[:8]}"
        self.far = f"{self.name}-far"

    def run(self, *args: str, stdin: str | None = None) -> str:
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *args], input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def plug(self, device: str, mac: str) -> None:
        far = (f"f{uuid.uuid4().hex[:8]}", "netns", self.far)
        self.run("ip", "link", "add", device, "address", mac, "type", "veth", "peer", "name", *far)
        subprocess.run(["ip", "-n", self.far, "link", "set", far[0], "up"], check=True)

    def configure(self, made: Guest) -> None:
        assert self.run("sh", "-s", stdin=_script(made)) == ""

    def rules(self, version: int = 4) -> list[str]:
        shown = self.run("ip", f"-{version}", "rule", "show").splitlines()
        return [" ".join(line.split()) for line in shown if line.startswith("5")]

    def routes(self, table: int | str, version: int = 4) -> set[str]:
        shown = self.run("ip", f"-{version}", "route", "show", "table", str(table)).splitlines()
        return {" ".join(line.split()) for line in shown}

    def state(self) -> list[str]:
        """Everything that the script can change."""
        shown = [self.run("ip", "-o", "address", "show")]
        for version in ("-4", "-6"):
            shown += [self.run("ip", version, what, "show", *more) for what, *more in _ALL]
        # What the kernel itself adds to a link that comes up is late at times.
        lines = (line.replace(" tentative", "") for text in shown for line in text.splitlines())
        return sorted(line for line in lines if "proto kernel" not in line and "scope link" not in line)


_ALL = (("rule",), ("route", "table", "all"))


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace()
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and iproute2, for a network namespace")
    added = subprocess.run(["ip", "netns", "add", made.name], capture_output=True, text=True, check=False)
    if added.returncode != 0:
        pytest.skip(f"this machine makes no network namespaces: {added.stderr.strip()}")
    subprocess.run(["ip", "netns", "add", made.far], check=True)
    try:
        made.run("ip", "link", "set", "lo", "up")
        yield made
    finally:
        for name in (made.name, made.far):
            subprocess.run(["ip", "netns", "delete", name], check=True)


def _plugged(namespace: Namespace, *devices: str) -> None:
    for index, device in enumerate(devices):
        namespace.plug(device, f"02:00:00:00:00:1{index}")


def test_the_story_has_two_roads(namespace: Namespace) -> None:
    """Each address leaves by its own interface, also to the common subnet, whatever the links are called."""
    _plugged(namespace, "ens5", "ens6")
    namespace.configure(two_in_one_subnet())
    for source, device in (("10.0.1.10", "ens5"), ("10.0.1.20", "ens6"), ("10.0.1.21", "ens6")):
        for to in ("192.0.2.1", "10.0.1.77"):
            assert f"dev {device} " in namespace.run("ip", "route", "get", to, "from", source)
    assert "10.0.1.21/32" in namespace.run("ip", "-o", "address", "show", "dev", "ens6")


def test_twice_is_once(namespace: Namespace) -> None:
    _plugged(namespace, "eth0", "eth1")
    for made in (two_in_one_subnet(), two_in_two_subnets(publishes=True)):
        namespace.configure(made)
        once = namespace.state()
        namespace.configure(made)
        assert namespace.state() == once


def test_another_subnet_of_the_guest_is_behind_the_router(namespace: Namespace) -> None:
    """The direct link to it would be the wrong way out for this source address."""
    _plugged(namespace, "eth0", "eth1")
    namespace.configure(two_in_two_subnets())
    assert "via 10.0.2.1 dev eth1 " in namespace.run("ip", "route", "get", "10.0.1.77", "from", "10.0.2.20")
    assert "10.0.2.77 dev eth1 src 10.0.2.20" in " ".join(namespace.run("ip", "route", "get", "10.0.2.77").split())
    six = namespace.run("ip", "-6", "route", "get", "2001:db8:9::1", "from", "2001:db8:0:2::20")
    assert "via fe80:ec2::1 dev eth1 " in six


def test_specific_routes_of_the_main_table_count(namespace: Namespace) -> None:
    """Containers and VPNs stay reachable from every address."""
    _plugged(namespace, "eth0", "eth1")
    namespace.run("ip", "link", "add", "docker0", "type", "bridge")
    namespace.run("ip", "address", "add", "172.17.0.1/16", "dev", "docker0")
    namespace.run("ip", "link", "set", "docker0", "up")
    namespace.configure(two_in_one_subnet())
    assert "dev docker0 " in namespace.run("ip", "route", "get", "172.17.0.2", "from", "10.0.1.20")


def test_what_the_spec_no_longer_has_goes(namespace: Namespace) -> None:
    """An address that moves to another interface of the guest takes its rules along; others' rules stay."""
    _plugged(namespace, "eth0", "eth1")
    namespace.run("ip", "rule", "add", "priority", "5100", "from", "10.9.9.9", "table", "77")
    namespace.configure(two_in_one_subnet())
    moved = guest(link(0, four("10.0.1.10", "10.0.1.21")), link(1, four("10.0.1.20")))
    namespace.configure(moved)
    assert [line for line in namespace.rules() if "10.0.1.21" in line] == [
        "5020: from 10.0.1.21 lookup 5000 suppress_prefixlength 0",
        "5021: from 10.0.1.21 lookup main suppress_prefixlength 0",
        "5022: from 10.0.1.21 lookup 5000",
    ]
    assert "5100: from 10.9.9.9 lookup 77" in namespace.rules()


def test_two_stacks_have_interfaces_on_one_guest(namespace: Namespace) -> None:
    """Each has a script, and the primary interface is of neither. They leave each other's rules alone."""
    _plugged(namespace, "eth0", "eth1", "eth2")
    primary = link(0, four("10.0.1.10"), shared=True)
    mine = guest(primary, link(1, four("10.0.1.20", "10.0.1.21")))
    theirs = replace(guest(primary, link(2, four("10.0.1.30"))), stack="other")
    namespace.configure(mine)
    namespace.configure(theirs)
    both = namespace.rules()
    assert len(both) == 3 * 4
    namespace.configure(mine)
    assert namespace.rules() == both
    for source, device in (("10.0.1.10", "eth0"), ("10.0.1.21", "eth1"), ("10.0.1.30", "eth2")):
        assert f"dev {device} " in namespace.run("ip", "route", "get", "192.0.2.1", "from", source)
    # An address that a stack no longer has, or has on another interface, takes its rules along, and no others.
    namespace.configure(guest(primary, link(1, four("10.0.1.20"))))
    assert namespace.rules() == [rule for rule in both if "10.0.1.21" not in rule]
    moved = replace(
        theirs, links=(link(0, four("10.0.1.9"), shared=True), link(2, four("10.0.1.30", "10.0.1.10")))
    )
    namespace.configure(moved)
    assert "dev eth2 " in namespace.run("ip", "route", "get", "192.0.2.1", "from", "10.0.1.10")


def test_marks_of_two_stacks_stand_side_by_side(namespace: Namespace) -> None:
    if shutil.which("nft") is None:
        pytest.skip("needs nft")
    made = two_in_one_subnet(publishes=True)
    for stack in ("lab", "other-1"):
        namespace.run("nft", "-f", "-", stdin=marks(replace(made, stack=stack), by_mark=False))
    shown = namespace.run("nft", "list", "tables").splitlines()
    assert shown == ["table inet enireconcile-lab", "table inet enireconcile-other-1"]


def test_an_interface_that_is_not_here_waits(namespace: Namespace) -> None:
    """A candidate without the interface has no rules for it; when it is plugged and the script runs, it has."""
    _plugged(namespace, "eth0")
    namespace.configure(two_in_one_subnet())
    assert not [line for line in namespace.rules() if "10.0.1.20" in line]
    namespace.plug("eth7", "02:00:00:00:00:11")
    namespace.configure(two_in_one_subnet())
    assert "default via 10.0.1.1 dev eth7 onlink" in namespace.routes(5001)
    namespace.run("ip", "link", "delete", "eth7")
    assert namespace.routes(5001) == set()
    namespace.configure(two_in_one_subnet())
    assert not [line for line in namespace.rules() if "10.0.1.20" in line]


def test_dhcp_on_both_leaves_one_default_route(namespace: Namespace) -> None:
    """The default route of the primary interface stays, the others go: their tables have them."""
    _plugged(namespace, "eth0", "eth1")
    for device, address in (("eth0", "10.0.1.10/24"), ("eth1", "10.0.1.20/24")):
        namespace.run("ip", "address", "add", address, "dev", device)
        namespace.run("ip", "link", "set", device, "up")
        namespace.run("ip", "route", "append", "default", "via", "10.0.1.1", "dev", device)
    namespace.configure(two_in_one_subnet())
    defaults = [line for line in namespace.routes("main") if line.startswith("default")]
    assert defaults == ["default via 10.0.1.1 dev eth0"]


def test_a_link_on_top_has_the_same_mac_address(namespace: Namespace) -> None:
    _plugged(namespace, "eth0", "eth1")
    namespace.run("ip", "link", "add", "link", "eth1", "name", "above", "type", "macvlan", "mode", "passthru")
    assert "02:00:00:00:00:11" in namespace.run("ip", "link", "show", "dev", "above")
    namespace.configure(two_in_one_subnet())
    assert "default via 10.0.1.1 dev eth1 onlink" in namespace.routes(5001)


def test_what_is_forwarded_leaves_where_it_arrived(namespace: Namespace) -> None:
    """A firewall translates the source after the route is chosen: the incoming interface selects it."""
    _plugged(namespace, "eth0", "eth1")
    namespace.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    made = two_in_one_subnet()
    made = replace(made, links=(made.links[0], replace(made.links[1], forwards=True)))
    namespace.configure(made)
    way = namespace.run("ip", "route", "get", "192.0.2.1", "from", "10.0.3.5", "iif", "eth1")
    assert "via 10.0.1.1 dev eth1 table 5001" in way


def test_published_ports_are_marked(namespace: Namespace) -> None:
    if shutil.which("nft") is None:
        pytest.skip("needs nft")
    _plugged(namespace, "eth0", "eth1")
    namespace.configure(two_in_one_subnet(publishes=True))
    assert "ether daddr 02:00:00:00:00:11" in namespace.run("nft", "list", "table", "inet", "enireconcile-lab")
    assert "dev eth1 " in namespace.run("ip", "route", "get", "192.0.2.1", "mark", "5001")


def test_marks_can_be_loaded_again(namespace: Namespace) -> None:
    """The unit of the other formats loads them at every start."""
    if shutil.which("nft") is None:
        pytest.skip("needs nft")
    made = two_in_one_subnet(publishes=True)
    made = replace(made, links=(made.links[0], replace(made.links[1], forwards=True)))
    shown = []
    for _ in range(2):
        namespace.run("nft", "-f", "-", stdin=marks(made, by_mark=True))
        shown.append(namespace.run("nft", "list", "ruleset"))
    assert shown[0] == shown[1]
    assert "meta mark set 0x00003a99" in shown[0]


@pytest.mark.parametrize("made", [two_in_one_subnet(publishes=True), two_in_two_subnets()])
def test_the_shell_understands_it(made: Guest) -> None:
    """Any POSIX shell reads the script, and shellcheck, where there is one, has nothing to say."""
    text = _script(made)
    for shell in (["sh", "-n"], ["dash", "-n"], ["bash", "--posix", "-n"], ["shellcheck", "-"]):
        if shutil.which(shell[0]):
            done = subprocess.run(shell, input=text, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout + done.stderr) == (0, "")
    assert text.startswith("#!/bin/sh\n")
