"""The commands for guests in the docs, run literally on guests of a VPC's data plane.

What is typed on a guest is in blocks of the language ``sh guest``. An ``enireconcile guest`` line is typed
elsewhere; what it writes is copied to the guest.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from enireconcile.aws.lab import ZONE
from enireconcile.cli.app import main
from tests.docs.console import ROOT
from tests.harness import Harness
from tests.lab_vpc import lab
from tests.proofs.vpc.real import (
    AMAZON_LINUX,
    answers,
    boot_first,
    has,
    image,
    launch,
    private_table,
    tree,
    unbooted,
    user_data,
)
from tests.proofs.vpc.stage import STORY, spec
from tests.scenarios.firewalls import Firewalls
from tests.vpc import guests
from tests.vpc.guests import Files, System, until
from tests.vpc.namespace import SILENCE
from tests.vpc.plane import CLIENT

BLOCK = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
SPAN = re.compile(r"`([^`\n]+)`")
TYPED = "sh guest"
GUEST_PROGRAM = re.compile(r"(?:^|[;&|(] ?)(?:sudo )?(?:ip|iptables|netplan|networkctl|nft|nmcli|sysctl) ")
MAKES = re.compile(r"^enireconcile guest .*", re.MULTILINE)


def typed(page: str) -> list[str]:
    """What a page says to type on a guest."""
    return [text for language, text in _blocks(page) if language == TYPED]


def made(page: str) -> list[str]:
    """The lines of a page that make a guest's configuration."""
    return [
        line for language, text in _blocks(page) if language in ("sh", "console") for line in MAKES.findall(text)
    ]


def stray(page: str) -> list[str]:
    """Commands for guests that stand elsewhere than in the blocks for them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [line.strip() for language, block in _blocks(page) if language != TYPED for line in block.splitlines()]
    lines += SPAN.findall(BLOCK.sub("", text))
    return [line for line in lines if GUEST_PROGRAM.search(line)]


def _blocks(page: str) -> list[tuple[str, str]]:
    """Language and text."""
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


@dataclass
class Reader:
    """One who reads a page from above, and does what it says. ``desk`` is the folder where commands run."""

    page: str
    desk: Path
    _made: list[str] = field(init=False)
    _typed: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._made, self._typed = made(self.page), typed(self.page)
        (self.desk / "specs").symlink_to(ROOT / "specs")

    def make(self) -> Files:
        """Run the next ``enireconcile guest``: the files that it writes; none if it prints."""
        words = shlex.split(self._made.pop(0), comments=True)[1:]
        said = io.StringIO()
        with (
            contextlib.chdir(self.desk),
            contextlib.redirect_stderr(said),
            pytest.raises(SystemExit) as ended,
        ):
            main(words)
        assert ended.value.code == 0, said.getvalue()
        return tree(self.desk / words[words.index("--out") + 1]) if "--out" in words else {}

    def type(self, *systems: System) -> str:
        """Run the next block on each of the guests: what it prints, on all of them."""
        block = self._typed.pop(0)
        return "".join(system.run("sh", "-eu", "-c", block) for system in systems)

    def end(self) -> None:
        assert self._made == [], "not run"
        assert self._typed == [], "not run"


# ---- The pages


def two_enis(reader: Reader, harness: Harness) -> None:
    """With port 80 open on both."""
    with unbooted(harness, STORY) as stage:
        web = stage.guest("web")
        web.serve_http("page")
        with guests.networkd(web.namespace, reader.make()):
            answers(stage, "web-1", "web-2")


def guest(reader: Reader, harness: Harness) -> None:
    """It prints the files of the one instance, writes them, and writes those of all."""
    (reader.desk / "spec.yaml").write_text(STORY, encoding="utf-8")
    with unbooted(harness, STORY) as stage:
        web = stage.guest("web")
        web.serve_http("page")
        reader.make()
        with guests.networkd(web.namespace, reader.make()):
            answers(stage, "web-1", "web-2")
        files = reader.make()
        assert files
        if guests.lacking_networkmanager() is None:
            with guests.networkmanager(web.namespace, files):
                answers(stage, "web-1", "web-2")


def dual_homed(reader: Reader, harness: Harness) -> None:
    lab(harness)
    with unbooted(harness, spec("dual-homed"), rp_filter=1) as stage:
        sbc = stage.guest("sbc")
        sbc.serve_http("sip", port=5061)
        part = user_data(harness, sbc.instance_id)
        with guests.cloud_config(sbc.namespace, image(stage, "sbc-signalling")["networkd"], part):
            answers(stage, "sbc-signalling", port=5061)
        with guests.networkd(sbc.namespace, reader.make()) as system:
            answers(stage, "sbc-signalling", port=5061)
            has(sbc, "10.0.1.21")
            media = stage.public("sbc-media")
            sbc.serve_udp("rtp", 10000, "10.0.1.21")
            assert stage.plane.outside.ask_udp(media, 10000) == ("rtp", media)
            rules = reader.type(system)
            for address in ("10.0.1.20", "10.0.1.21"):
                assert rules.count(f"from {address} ") == 3


def many_addresses(reader: Reader, harness: Harness) -> None:
    """The block tries one address, on a guest that has none of the further ones; then all are configured."""
    with unbooted(harness, spec("many-addresses")) as stage:
        relay = stage.guest("relay")
        relay.boot()
        relay.serve_http("smtp", port=25)
        assert not stage.plane.fetch(stage.public("relay-1"), 25, timeout=SILENCE)
        with guests.system(relay.namespace, {}) as system:
            reader.type(system)
        answers(stage, "relay-0", "relay-1", port=25)
        # The first address goes, as when its lease ends, and comes back: the one with /32 has stayed.
        relay.ip("address del 172.31.0.20/20 dev eth0")
        relay.boot()
        answers(stage, "relay-0", "relay-1", port=25)
        with guests.networkd(relay.namespace, reader.make()):
            answers(stage, *(f"relay-{number}" for number in range(10)), port=25)


def nat_appliance(reader: Reader, harness: Harness) -> None:
    """Clients in the private subnet, and in one more: with a strict filter, the latter need what the page adds."""
    vpc, subnets = lab(harness)
    further = harness.strict.world.add_subnet(vpc, "10.0.4.0/24", ZONE)
    harness.client().associate_route_table(RouteTableId=private_table(harness), SubnetId=further)
    clients = [launch(harness, subnet) for subnet in (subnets["lab-private"], further)]
    with unbooted(harness, spec("nat-appliance")) as stage:
        stage.plane.outside.serve_http(lambda client: client)
        near, far = (stage.plane.guest(each) for each in clients)
        nat, public = stage.guest("nat"), stage.public("nat")
        for guest in (near, far):
            guest.boot()
        with guests.networkd(nat.namespace, {**reader.make(), **AMAZON_LINUX}) as system:
            has(nat, "10.0.3.10")
            until(lambda: "default via" in nat.run(["ip", "route"]).stdout, "the default route")
            boot_first(system, harness, nat.instance_id)
            assert [near.fetch(CLIENT), far.fetch(CLIENT)] == [public, public]
            nat.sysctl("ipv4/conf/all/rp_filter", 1)
            assert "net.ipv4.conf.all.rp_filter = 1" in reader.type(system)
            assert [near.fetch(CLIENT), far.fetch(CLIENT, timeout=SILENCE)] == [public, None]
            reader.type(system)
            assert [near.fetch(CLIENT), far.fetch(CLIENT)] == [public, public]
            nat.ip("route del 10.0.0.0/16")
            assert far.fetch(CLIENT, timeout=SILENCE) is None
            reader.type(system)
            assert [near.fetch(CLIENT), far.fetch(CLIENT)] == [public, public]


def management_network(reader: Reader, harness: Harness) -> None:
    """As it stands, operators in the subnet reach it. From elsewhere they need the group and the guest."""
    _, subnets = lab(harness)
    operators = [launch(harness, subnets[name]) for name in ("lab-mgmt", "lab-private")]
    with unbooted(harness, spec("management-network"), rp_filter=2) as stage:
        near, far = (stage.plane.guest(each) for each in operators)
        app = stage.guest("app")
        for guest in (near, far, app):
            guest.boot()
        app.configure("eth1", metric=200)
        app.serve_http("ssh", port=22)
        assert near.fetch("10.0.2.10", 22) == "ssh"
        assert far.fetch("10.0.2.10", 22, timeout=SILENCE) is None
        stage.apply(stage.text.replace("ports: 22, sources: [10.0.2.0/24]", "ports: 22, sources: [10.0.0.0/16]"))
        assert far.fetch("10.0.2.10", 22, timeout=SILENCE) is None
        with guests.networkd(app.namespace, reader.make()):
            until(lambda: far.fetch("10.0.2.10", 22, timeout=SILENCE), "the management address answers")
            assert near.fetch("10.0.2.10", 22) == "ssh"


def ha_failover(reader: Reader, harness: Harness) -> None:
    """The interface moves; then a floating address moves, between two guests that have it."""
    firewalls = Firewalls(harness)
    neighbour = launch(harness, firewalls.subnet)
    with unbooted(harness, spec("ha-failover")) as stage, ExitStack() as stack:
        client, systems = stage.plane.guest(neighbour), []
        for name in ("fw-a", "fw-b"):
            guest = stage.guest(name)
            guest.serve_http(name, port=443)
            files = reader.make()
            systems.append(stack.enter_context(guests.networkd(guest.namespace, files)))
        answers(stage, "service", port=443)
        firewalls.sicken("fw-a")
        stage.apply()
        public = stage.public("service")
        until(lambda: stage.plane.fetch(public, 443, timeout=SILENCE) == "fw-b", "the second one answers")
        reader.type(*systems)
        assert [system.run("cat", "/proc/sys/net/ipv4/ip_forward") for system in systems] == ["1\n", "1\n"]
        reader.type(*systems)
        client.boot()
        for name in ("fw-a", "fw-b"):
            move(harness, "10.0.1.50", firewalls.ids[name])
            stage.plane.sync()
            assert client.fetch("10.0.1.50", 443) == name


def move(harness: Harness, address: str, instance_id: str) -> None:
    """A floating address moves to the primary interface of an instance."""
    ec2 = harness.client()
    (found,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    primary = next(
        each for each in found["Instances"][0]["NetworkInterfaces"] if each["Attachment"]["DeviceIndex"] == 0
    )
    ec2.assign_private_ip_addresses(
        NetworkInterfaceId=primary["NetworkInterfaceId"], PrivateIpAddresses=[address], AllowReassignment=True
    )


SCENES: Mapping[str, Callable[[Reader, Harness], None]] = {
    "docs/tutorial.md": two_enis,
    "docs/how-to/dual-homed.md": dual_homed,
    "docs/how-to/guest.md": guest,
    "docs/how-to/ha-failover.md": ha_failover,
    "docs/how-to/management-network.md": management_network,
    "docs/how-to/many-addresses.md": many_addresses,
    "docs/how-to/nat-appliance.md": nat_appliance,
}
"""Page to what runs its commands."""
