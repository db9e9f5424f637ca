"""The story with port 80 open on both interfaces: why the second address is dead, and what makes it answer."""

from __future__ import annotations

import pytest

from tests.harness import Harness
from tests.proofs.vpc.stage import STORY, Stage, published, spec, staged
from tests.vpc.namespace import SILENCE
from tests.vpc.plane import CLIENT

pytestmark = pytest.mark.usefixtures("needs_namespaces")
PAGE = "Testing ENI"


def test_as_it_is_written(harness: Harness) -> None:
    """The page is at the first address. At the second, its group is closed, and the guest has not been asked."""
    with staged(harness, spec("two-enis")) as stage:
        stage.guest("web").serve_http(PAGE)
        assert stage.plane.fetch(stage.public("web-1")) == PAGE
        assert _is_dead(stage)
        assert _drops(stage, "web-eth1") == ["ingress"]


def test_an_interface_that_is_not_configured(harness: Harness) -> None:
    """EC2 delivers; the guest's link is down."""
    with staged(harness, STORY) as stage:
        stage.guest("web").serve_http(PAGE)
        assert _is_dead(stage)
        assert _no_drops(stage)
        link = stage.link("web-eth1")
        assert "state DOWN" in stage.guest("web").run(["ip", "link", "show", link]).stdout


@pytest.mark.parametrize("rp_filter", [0, 2])
def test_dhcp_on_both(harness: Harness, rp_filter: int) -> None:
    """The answer leaves by the first interface, with the second's address: the source check drops it."""
    with staged(harness, STORY, rp_filter=rp_filter) as stage:
        _dhcp_on_both(stage)
        assert _is_dead(stage)
        assert _drops(stage, "web-eth0") == ["source check"]
        assert _drops(stage, "web-eth1") == []
        assert not stage.guest("web").statistic("IPReversePathFilter")


def test_a_strict_reverse_path_filter(harness: Harness) -> None:
    """The guest drops what arrives at the second interface, since it would answer by the first."""
    with staged(harness, STORY, rp_filter=1) as stage:
        _dhcp_on_both(stage)
        assert _is_dead(stage)
        assert _no_drops(stage)
        assert stage.guest("web").statistic("IPReversePathFilter")


def test_a_command_with_another_name(harness: Harness) -> None:
    """What is written for eth1 does nothing where it is called ens6."""
    with staged(harness, STORY, names="ens") as stage:
        stage.guest("web").serve_http(PAGE)
        address, link = stage.private("web-eth1"), "eth1"
        for command in (
            f"ip address add {address}/20 dev {link}",
            f"ip route add default via 172.31.0.1 dev {link} table 101",
        ):
            failed = stage.guest("web").run(command.split(), check=False)
            assert failed.stderr == 'Cannot find device "eth1"\n'
        assert _is_dead(stage)


@pytest.mark.parametrize(
    ("names", "rp_filter", "dhcp"),
    [("eth", 0, True), ("eth", 1, True), ("ens", 1, False), ("ens", 2, True), ("eth", 2, False)],
)
def test_configured(harness: Harness, names: str, rp_filter: int, dhcp: bool) -> None:
    """What ``guest`` prints makes both answer, with DHCP on the second one or without; also when it runs again."""
    with staged(harness, STORY, names=names, rp_filter=rp_filter) as stage:
        web = stage.guest("web")
        web.serve_http(PAGE)
        if dhcp:
            web.configure(stage.link("web-eth1"), metric=200)
        for _ in range(2):
            stage.configure("web")
            for address in ("web-1", "web-2"):
                assert stage.plane.fetch(stage.public(address)) == PAGE
        stage.plane.outside.serve_http(lambda client: client)
        for address, interface in (("web-1", "web-eth0"), ("web-2", "web-eth1")):
            assert web.fetch(CLIENT, source=stage.private(interface)) == stage.public(address)
        assert web.fetch(CLIENT) == stage.public("web-1")


def test_a_container_with_a_published_port(harness: Harness) -> None:
    """Its answers are routed before they have an address of the guest: marks lead them back, with the option."""
    with staged(harness, STORY, rp_filter=2) as stage, published(stage.guest("web"), PAGE) as container:
        stage.configure("web")
        assert stage.plane.fetch(stage.public("web-1")) == PAGE
        assert _is_dead(stage)
        for _ in range(2):
            stage.configure("web", "--published-ports")
            for address in ("web-1", "web-2"):
                assert stage.plane.fetch(stage.public(address)) == PAGE
        stage.plane.outside.serve_http(lambda client: client)
        assert container.fetch(CLIENT) == stage.public("web-1")


def _dhcp_on_both(stage: Stage) -> None:
    web = stage.guest("web")
    web.configure(stage.link("web-eth1"), metric=200)
    web.serve_http(PAGE)


def _is_dead(stage: Stage) -> bool:
    return stage.plane.fetch(stage.public("web-2"), timeout=SILENCE) is None


def _drops(stage: Stage, interface: str) -> list[str]:
    """What has dropped packets at it, in EC2."""
    dropped = stage.plane.dropped(stage.interface(interface)["NetworkInterfaceId"])
    return [what for what, packets in dropped.items() if packets]


def _no_drops(stage: Stage) -> bool:
    return not any(_drops(stage, name) for name in ("web-eth0", "web-eth1"))
