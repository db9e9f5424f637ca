"""An interface that moves takes its traffic along: no command on either guest, and how long it takes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.commands import running
from tests.ec2 import EC2Server, Settings, World
from tests.harness import Harness, harness_on
from tests.lab_vpc import lab
from tests.proofs.conftest import Proofs
from tests.proofs.vpc.stage import Stage, spec, staged, standing
from tests.scenarios.firewalls import HA_FAILOVER, SPEC, Firewalls
from tests.virtual import VirtualLoop
from tests.vpc.guests import until
from tests.vpc.namespace import SILENCE
from tests.vpc.plane import CLIENT

pytestmark = pytest.mark.usefixtures("needs_namespaces")
SLOW = Settings(attach_delay=0.5, detach_delay=0.5)


def _prepared(stage: Stage) -> None:
    """Each firewall has its configuration, and a page that tells which one it is."""
    for name in ("fw-a", "fw-b"):
        stage.configure(name)
        stage.guest(name).serve_http(name, port=443)


@pytest.mark.parametrize("rp_filter", [1, 2])
def test_there_and_back(slow_harness: Harness, rp_filter: int) -> None:
    """fw-a dies and boots again; then the interface moves back, and once more: the page is always the holder's."""
    firewalls = Firewalls(slow_harness)
    with staged(slow_harness, SPEC, rp_filter=rp_filter) as stage:
        _prepared(stage)
        assert stage.plane.fetch(stage.public("service"), 443) == "fw-a"
        stage.guest("fw-a").die()
        assert stage.plane.fetch(stage.public("service"), 443, timeout=SILENCE) is None
        firewalls.sicken("fw-a")
        stage.apply()
        assert stage.plane.fetch(stage.public("service"), 443) == "fw-b"
        _boot_again(stage, firewalls)
        for holder, other in (("fw-a", "fw-b"), ("fw-b", "fw-a")):
            firewalls.sicken(other)
            firewalls.sicken(holder, "ok")
            stage.apply()
            assert firewalls.holder() == holder
            assert stage.plane.fetch(stage.public("service"), 443) == holder


def test_a_pair_with_four_legs(slow_harness: Harness) -> None:
    """Each firewall answers at its own address, for operators; the service at its own, wherever it is."""
    lab(slow_harness)
    text = spec("firewall-pair").replace("operators: 192.0.2.0/24", f"operators: {CLIENT}/32")
    with staged(slow_harness, text, names="ens", rp_filter=2) as stage:
        _prepared(stage)
        for name in ("fw-a", "fw-b"):
            stage.guest(name).serve_http(f"ssh {name}", port=22)
        for holder, other in (("fw-a", "fw-b"), ("fw-b", "fw-a"), ("fw-a", "fw-b")):
            slow_harness.strict.world.set_health(stage.guest(other).instance_id)
            slow_harness.strict.world.set_health(stage.guest(holder).instance_id, "ok")
            stage.apply()
            assert stage.plane.fetch(stage.public("service"), 443) == holder
            assert stage.plane.fetch(stage.public("service"), 22, timeout=SILENCE) is None
            for name in ("fw-a", "fw-b"):
                assert stage.plane.fetch(stage.public(name), 22) == f"ssh {name}"


FLOATING = """\
version: 1
stack: floating
region: us-east-1
security_groups: {web: {ingress: [{protocol: tcp, ports: 80, sources: [0.0.0.0/0]}]}}
defaults:
  instances: {image: {name: "al2023-ami-2023*-x86_64", owner: amazon}, instance_type: t3.medium}
  network_interfaces:
    subnet: {default_for_az: us-east-1a}
    security_groups: [web]
    lifecycle: {ignore: [secondary_private_ips]}
instances: {a: {}, b: {}}
network_interfaces:
  a: {secondary_private_ips: [172.31.0.100], attachment: {instance: a, device_index: 0}}
  b: {attachment: {instance: b, device_index: 0}}
elastic_ips:
  service:
    association: {network_interface: a, private_ip: 172.31.0.100}
    lifecycle: {ignore: [association]}
"""


def test_a_floating_address(harness: Harness) -> None:
    """Both guests have it from the start: one call moves it, with its Elastic IP, and the other guest answers."""
    with staged(harness, FLOATING, rp_filter=1) as stage:
        for name in ("a", "b"):
            stage.configure(name)
            stage.guest(name).serve_http(name)
        assert stage.plane.fetch(stage.public("service")) == "a"
        for name in ("b", "a"):
            harness.client().assign_private_ip_addresses(
                NetworkInterfaceId=stage.interface(name)["NetworkInterfaceId"],
                PrivateIpAddresses=["172.31.0.100"],
                AllowReassignment=True,
            )
            stage.plane.sync()
            assert stage.plane.fetch(stage.public("service")) == name
            assert harness.plan(FLOATING).empty


def test_what_it_translates_leaves_by_the_service(slow_harness: Harness) -> None:
    """Clients in a private subnet, by a route to the interface, come from its Elastic IP, wherever it is."""
    firewalls = Firewalls(slow_harness)
    ec2 = slow_harness.client()
    private = slow_harness.strict.world.add_subnet(firewalls.vpc, "10.0.9.0/24", "us-east-1a")
    table = slow_harness.strict.world.add_route_table(firewalls.vpc)
    ec2.associate_route_table(RouteTableId=table, SubnetId=private)
    client = firewalls.launch("client", private)
    slow_harness.loop.now += 60
    text = SPEC.replace(
        "ports: 443, sources: [0.0.0.0/0]",
        "ports: 443, sources: [0.0.0.0/0]}\n      - {protocol: all, sources: [10.0.0.0/16]",
    )
    with staged(slow_harness, text, rp_filter=2) as stage:
        ec2.create_route(
            RouteTableId=table,
            DestinationCidrBlock="0.0.0.0/0",
            NetworkInterfaceId=stage.interface("service")["NetworkInterfaceId"],
        )
        stage.plane.sync()
        stage.plane.outside.serve_http(lambda address: address)
        for name in ("fw-a", "fw-b"):
            stage.guest(name).sysctl("ipv4/ip_forward", 1)
            stage.guest(name).nft(
                "table ip nat { chain out { type nat hook postrouting priority srcnat; masquerade; }; }"
            )
        stage.guest("fw-a").configure(stage.link("service"), metric=200)
        assert stage.plane.guest(client).fetch(CLIENT, timeout=SILENCE) is None
        for name in ("fw-a", "fw-b"):
            stage.configure(name)
        for holder, other in (("fw-a", "fw-b"), ("fw-b", "fw-a")):
            firewalls.sicken(other)
            firewalls.sicken(holder, "ok")
            stage.apply()
            assert stage.plane.guest(client).fetch(CLIENT) == stage.public("service")


def _boot_again(stage: Stage, firewalls: Firewalls) -> None:
    """fw-a is stopped and started: what it was given is run at its boot."""
    script = stage.guest("fw-a").script
    stage.harness.client().stop_instances(InstanceIds=[firewalls.ids["fw-a"]])
    stage.harness.loop.now += 5
    stage.plane.sync()
    stage.harness.client().start_instances(InstanceIds=[firewalls.ids["fw-a"]])
    stage.harness.loop.now += 5
    stage.plane.sync()
    stage.guest("fw-a").boot()
    stage.guest("fw-a").give(script)
    stage.guest("fw-a").serve_http("fw-a", port=443)


def test_how_long_it_takes(tmp_path: Path, proofs: Proofs) -> None:
    """From the holder's death to the first answer, with watch every second and half a second for each EC2 move."""
    with (
        EC2Server(World(SLOW)) as server,
        harness_on(server, VirtualLoop(), tmp_path / "state") as harness,
        ExitStack() as ends,
    ):
        firewalls = Firewalls(harness)
        with running(server, tmp_path / "state", "watch", "--interval", "1s", str(HA_FAILOVER)):
            until(lambda: _is_attached(firewalls), "the interface is attached")
            stage = ends.enter_context(standing(harness, SPEC))
            _prepared(stage)
            until(lambda: _page(stage) == "fw-a", "fw-a answers")
            stage.guest("fw-a").die()
            died = time.monotonic()
            firewalls.sicken("fw-a")
            service = stage.interface("service")["NetworkInterfaceId"]
            until(lambda: _page(stage) == "fw-b" or service in stage.guest("fw-b").links, "fw-b gets it")
            plugged = time.monotonic()
            until(lambda: _page(stage) == "fw-b", "fw-b answers")
            answered = time.monotonic()
        calls = [
            call.time
            for call in server.calls
            if call.action in ("DetachNetworkInterface", "AttachNetworkInterface")
        ]
        detached, attached = calls[-2:]
        proofs.measured(
            f"failover: {answered - died:.1f} s from the holder's death to the first answer: "
            f"{detached - died:.1f} s until watch noticed (every 1 s), {attached - detached:.1f} s to detach and "
            f"{plugged - attached:.1f} s to attach (0.5 s each in EC2), {answered - plugged:.1f} s in the guest"
        )


def _is_attached(firewalls: Firewalls) -> bool:
    filters = [{"Name": "tag:enireconcile:name", "Values": ["network_interfaces.service"]}]
    found = firewalls.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return [row["Attachment"]["Status"] for row in found if "Attachment" in row] == ["attached"]


def _page(stage: Stage) -> str | None:
    stage.plane.sync()
    return stage.plane.fetch(stage.public("service"), 443, timeout=0.3)
