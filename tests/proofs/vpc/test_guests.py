"""What ``enireconcile guest`` prints makes real guests answer: in each format, when interfaces come and go."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.ec2 import Quotas, Settings
from tests.harness import Harness, open_harness
from tests.lab_vpc import lab
from tests.proofs.vpc.real import answers, detach, image, launch, private_table, tree, unbooted, user_data
from tests.proofs.vpc.stage import STORY, Stage, published
from tests.scenarios.firewalls import SPEC as FAILOVER
from tests.scenarios.firewalls import Firewalls
from tests.vpc import guests
from tests.vpc.guests import Files, System, until
from tests.vpc.namespace import SILENCE
from tests.vpc.plane import CLIENT

pytestmark = pytest.mark.usefixtures("needs_namespaces")
PAGE = "Testing ENI"
Manager = Callable[[str, Files], AbstractContextManager[System]]


@pytest.fixture(params=guests.MANAGERS)
def format_name(request: pytest.FixtureRequest) -> str:
    """Of what runs here."""
    name: str = request.param
    if reason := guests.MANAGERS[name].lacking():
        pytest.skip(reason)
    return name


def made(stage: Stage, name: str, form: str, *options: str) -> Files:
    """The files that ``enireconcile guest`` writes."""
    folder = stage.harness.state.with_name(f"{name}-{form}")
    code, _, said = stage.command("guest", name, "--format", form, "--out", str(folder), *options)
    assert code == 0, said
    return tree(folder)


@contextmanager
def configured(
    stage: Stage, name: str, form: str, *options: str, of_image: Files | None = None
) -> Iterator[System]:
    """The guest, with these files beside those of its image, and with what reads them."""
    guest = stage.guest(name)
    if form == "ip":
        guest.boot()
    files = {**(of_image or {}), **made(stage, name, form, *options)}
    with guests.MANAGERS[form].run(guest.namespace, files) as system:
        yield system


@contextmanager
def web_configured(stage: Stage, form: str, *options: str) -> Iterator[System]:
    """The guest of the story, with a page."""
    stage.guest("web").serve_http(PAGE)
    with configured(stage, "web", form, *options, of_image=image(stage, "web-eth0").get(form)) as system:
        yield system


def pages(stage: Stage) -> list[str | None]:
    """What there is at each address of the story."""
    return [stage.plane.fetch(stage.public(f"web-{number}"), timeout=SILENCE) for number in "12"]


@pytest.mark.parametrize("form", ["networkd", "netplan", "networkmanager"])
def test_an_image_alone_has_one_road(harness: Harness, form: str) -> None:
    """DHCP on both: all answers leave by the interface with the better default route."""
    if reason := guests.MANAGERS[form].lacking():
        pytest.skip(reason)
    with unbooted(harness, STORY) as stage:
        web = stage.guest("web")
        web.serve_http(PAGE)
        with guests.MANAGERS[form].run(web.namespace, image(stage, "web-eth0")[form]):
            until(lambda: web.run(["ip", "route", "show", "default"]).stdout.count("\n") == 2, "DHCP on both")
            until(lambda: any(pages(stage)), "one of the addresses answers")
            assert sorted(pages(stage), key=bool) == [None, PAGE]


@pytest.mark.parametrize(("names", "rp_filter"), [("eth", 2), ("ens", 1)])
def test_both_addresses_answer(harness: Harness, format_name: str, names: str, rp_filter: int) -> None:
    """And what is bound to an address leaves by it; what is bound to none, by the first."""
    with unbooted(harness, STORY, names=names, rp_filter=rp_filter) as stage, web_configured(stage, format_name):
        answers(stage, "web-1", "web-2")
        stage.plane.outside.serve_http(lambda client: client)
        for number in "01":
            private, public = stage.private(f"web-eth{number}"), stage.public(f"web-{int(number) + 1}")
            assert stage.guest("web").fetch(CLIENT, source=private) == public
        assert stage.guest("web").fetch(CLIENT) == stage.public("web-1")


LEGS = """\
version: 1
stack: legs
region: us-east-1
security_groups:
  web: {vpc: {tags: {Name: lab}}, ingress: [{protocol: tcp, ports: 80, sources: [0.0.0.0/0]}]}
defaults: {network_interfaces: {security_groups: [web]}}
instances:
  web: {image: {name: "al2023-ami-2023*", owner: amazon}, instance_type: m5.large}
network_interfaces:
  one:
    subnet: {tags: {Name: lab-a}}
    private_ip: 10.0.1.10
    secondary_private_ips: [10.0.1.11]
    attachment: {instance: web, device_index: 0}
  two:
    subnet: {tags: {Name: lab-a}}
    private_ip: 10.0.1.20
    secondary_private_ips: [10.0.1.21]
    attachment: {instance: web, device_index: 1}
  three:
    subnet: {tags: {Name: lab-mgmt}}
    private_ip: 10.0.2.30
    secondary_private_ips: [10.0.2.31]
    attachment: {instance: web, device_index: 2}
elastic_ips:
  a: {association: {network_interface: one}}
  b: {association: {network_interface: one, private_ip: 10.0.1.11}}
  c: {association: {network_interface: two}}
  d: {association: {network_interface: two, private_ip: 10.0.1.21}}
  e: {association: {network_interface: three}}
  f: {association: {network_interface: three, private_ip: 10.0.2.31}}
"""


def test_three_legs_with_two_addresses_each(rich_harness: Harness, format_name: str) -> None:
    """Seen from the internet and from each of the subnets; also after what configures them has started again."""
    _, subnets = lab(rich_harness)
    neighbours = [launch(rich_harness, subnets[name]) for name in ("lab-a", "lab-mgmt")]
    with unbooted(rich_harness, LEGS, names="ens", rp_filter=1) as stage:
        clients = [stage.plane.guest(each) for each in neighbours]
        for client in clients:
            client.boot()
        stage.guest("web").serve_http(PAGE)
        for _ in range(2):
            with configured(stage, "web", format_name):
                answers(stage, *"abcdef")
                for address in ("10.0.1.10", "10.0.1.11", "10.0.1.20", "10.0.1.21", "10.0.2.30", "10.0.2.31"):
                    assert [client.fetch(address) for client in clients] == [PAGE, PAGE], address


@pytest.fixture
def rich_harness(tmp_path: Path) -> Iterator[Harness]:
    """An account that may have ten Elastic IPs."""
    with open_harness(tmp_path / "state", Settings(quotas=Quotas(addresses=10))) as harness:
        yield harness


def test_an_interface_that_comes_later(harness: Harness, format_name: str) -> None:
    """Nothing is typed on the guest, neither the first time nor after it was away."""
    with unbooted(harness, STORY) as stage:
        detach(stage, "web-eth1")
        with web_configured(stage, format_name) as system:
            answers(stage, "web-1")
            for _ in range(2):
                stage.apply()
                system.plugged()
                answers(stage, "web-2")
                detach(stage, "web-eth1")
                answers(stage, "web-1")


@pytest.mark.parametrize("form", ["networkd", "netplan", "networkmanager"])
def test_a_failover_needs_no_command(harness: Harness, form: str) -> None:
    """There and back again."""
    if reason := guests.MANAGERS[form].lacking():
        pytest.skip(reason)
    text = FAILOVER.replace("preempt: false", "preempt: true").replace("ports: 443", "ports: 80")
    firewalls = Firewalls(harness)
    with unbooted(harness, text) as stage, configured(stage, "fw-a", form), configured(stage, "fw-b", form):
        for name in firewalls.ids:
            stage.guest(name).serve_http(PAGE)
        answers(stage, "service")
        for health, holder in (("impaired", "fw-b"), ("ok", "fw-a")):
            firewalls.sicken("fw-a", health)
            stage.apply()
            assert firewalls.holder() == holder
            answers(stage, "service")


def test_the_script_can_be_repeated(harness: Harness) -> None:
    with unbooted(harness, STORY) as stage, web_configured(stage, "ip") as system:
        answers(stage, "web-1", "web-2")
        state = system.run("sh", "-c", "ip address; ip rule; ip route show table all")
        system.plugged()
        assert system.run("sh", "-c", "ip address; ip rule; ip route show table all") == state


@pytest.mark.skipif(guests.lacking_networkd() is not None, reason=str(guests.lacking_networkd()))
def test_the_first_boot_with_cloud_init(harness: Harness) -> None:
    """The part writes the files and has them read; at the next boots it finds them as they should be."""
    with unbooted(harness, STORY) as stage:
        web = stage.guest("web")
        web.serve_http(PAGE)
        code, part, said = stage.command("guest", "web", "--format", "cloud-init")
        assert code == 0, said
        of_image = image(stage, "web-eth0")["networkd"]
        with guests.cloud_config(web.namespace, of_image, part) as system:
            answers(stage, "web-1", "web-2")
            assert guests.run_part(system, part) == []


OWN = """\
    user_data: |
      #cloud-config
      bootcmd: [touch /run/own]
    guest_network: networkd
"""


@pytest.mark.skipif(guests.lacking_cloud_init() is not None, reason=str(guests.lacking_cloud_init()))
def test_cloud_init_runs_the_part_beside_the_users_own(harness: Harness) -> None:
    """With guest_network, an instance boots into its configuration; nothing is done on it."""
    text = re.sub(r"    user_data: \|.*\n(?:      .*\n)+", OWN, STORY)
    assert text != STORY
    with unbooted(harness, text) as stage:
        web = stage.guest("web")
        web.serve_http(PAGE)
        of_image = image(stage, "web-eth0")["networkd"]
        launched_with = user_data(harness, web.instance_id)
        with guests.cloud_config(web.namespace, of_image, launched_with, guests.run_cloud_init) as system:
            answers(stage, "web-1", "web-2")
            assert (system.root / "run/own").exists()
            assert guests.run_cloud_init(system, launched_with) == []


@pytest.mark.skipif(shutil.which("cloud-init") is None, reason="not installed: cloud-init")
@pytest.mark.parametrize("backend", ["networkd", "netplan", "networkmanager", "ip"])
def test_cloud_init_accepts_the_part(harness: Harness, tmp_path: Path, backend: str) -> None:
    with unbooted(harness, STORY) as stage:
        _, part, _ = stage.command("guest", "web", "--format", "cloud-init", "--backend", backend)
    (tmp_path / "part").write_text(part)
    checked = subprocess.run(
        ["cloud-init", "schema", "--config-file", str(tmp_path / "part")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


DNAT = """
table ip nat {
    chain in { type nat hook prerouting priority dstnat; ip daddr 10.0.1.100 tcp dport 80 dnat to 10.0.3.20; }
}
"""


def test_a_firewall_that_translates(harness: Harness, format_name: str) -> None:
    """What a server behind it answers is routed before its source is translated back to the service's address."""
    firewalls = Firewalls(harness)
    vpc, subnets = firewalls.vpc, firewalls.subnets
    server = _server(harness, vpc, subnets["lab-private"])
    with unbooted(harness, FAILOVER.replace("ports: 443", "ports: 80"), rp_filter=2) as stage:
        inside = stage.interface("service")["NetworkInterfaceId"]
        harness.client().create_route(
            RouteTableId=private_table(harness), DestinationCidrBlock="0.0.0.0/0", NetworkInterfaceId=inside
        )
        stage.plane.sync()
        behind = stage.plane.guest(server)
        behind.boot()
        behind.serve_http("behind")
        firewall = stage.guest("fw-a")
        firewall.sysctl("ipv4/ip_forward", 1)
        firewall.nft(DNAT)
        with configured(stage, "fw-a", format_name):
            answers(stage, "service")
            assert stage.plane.fetch(stage.public("service")) == "behind"


def test_a_container_with_a_published_port(harness: Harness, format_name: str) -> None:
    """Its answers are routed before they have an address of the guest."""
    with (
        unbooted(harness, STORY, rp_filter=1) as stage,
        published(stage.guest("web"), "container"),
        web_configured(stage, format_name, "--published-ports"),
    ):
        answers(stage, "web-1", "web-2")
        assert stage.plane.fetch(stage.public("web-2")) == "container"


def _server(harness: Harness, vpc: str, subnet: str) -> str:
    """An instance at 10.0.3.20 that lets everything in."""
    ec2 = harness.client()
    group = ec2.create_security_group(GroupName="open", Description="open", VpcId=vpc)["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=everything)
    return launch(harness, subnet, SecurityGroupIds=[group], PrivateIpAddress="10.0.3.20")


@pytest.mark.skipif(guests.lacking_networkd() is not None, reason=str(guests.lacking_networkd()))
def test_what_is_made_by_hand_dies_beside_networkd(harness: Harness) -> None:
    """It answers when it is tried, and no longer after an interface has come."""
    with unbooted(harness, STORY) as stage:
        web = stage.guest("web")
        web.serve_http(PAGE)
        with guests.networkd(
            web.namespace, {**image(stage, "web-eth0")["networkd"], **made(stage, "web", "ip")}
        ) as system:
            until(lambda: stage.private("web-eth1") in web.run(["ip", "address"]).stdout, "DHCP")
            system.boot()
            answers(stage, "web-1", "web-2")
            detach(stage, "web-eth1")
            stage.apply()
            until(lambda: stage.private("web-eth1") in web.run(["ip", "address"]).stdout, "DHCP")
            until(lambda: "5000" not in web.run(["ip", "rule"]).stdout, "networkd removes the rules")
            assert stage.plane.fetch(stage.public("web-2"), timeout=SILENCE) is None
