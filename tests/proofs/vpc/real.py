"""A stage whose guests configure themselves, with real network managers."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.harness import Harness, image_id
from tests.proofs.vpc.stage import Stage
from tests.vpc import DataPlane, Guest
from tests.vpc.guests import Files, System, until
from tests.vpc.namespace import SILENCE


@contextmanager
def unbooted(harness: Harness, text: str, *, names: str = "eth", rp_filter: int = 0) -> Iterator[Stage]:
    """Applied, and on the guests runs nothing yet."""
    report = harness.apply(text)
    assert (report.outcome, report.error) == ("converged", None), str(report)
    with DataPlane(harness.client(), names=names, rp_filter=rp_filter) as plane:
        yield Stage(harness, plane, text)


def tree(folder: Path) -> Files:
    """The files that ``enireconcile guest --out`` has written, by their paths on the guest."""
    return {f"/{path.relative_to(folder)}": path.read_text() for path in folder.rglob("*") if path.is_file()}


def answers(stage: Stage, *elastic_ips: str, port: int = 80) -> None:
    """Each of them gives a page, within some time."""
    for name in elastic_ips:
        public = stage.public(name)
        until(lambda public=public: stage.plane.fetch(public, port, timeout=SILENCE), f"{name} answers")  # type: ignore[misc]


def has(guest: Guest, *addresses: str) -> None:
    """It has configured these addresses, within some time."""
    for address in addresses:
        until(lambda address=address: f"inet {address}/" in guest.run(["ip", "address"]).stdout, address)  # type: ignore[misc]


def detach(stage: Stage, name: str) -> None:
    """As another tool does."""
    attachment = stage.interface(name)["Attachment"]["AttachmentId"]
    stage.harness.client().detach_network_interface(AttachmentId=attachment)
    stage.plane.sync()


def launch(harness: Harness, subnet: str, **more: Any) -> str:
    """Another instance in a subnet: its id."""
    ec2 = harness.client()
    launched = ec2.run_instances(
        ImageId=image_id(ec2), InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=subnet, **more
    )
    return str(launched["Instances"][0]["InstanceId"])


def private_table(harness: Harness) -> str:
    """The route table of the lab's private subnet."""
    named = [{"Name": "tag:Name", "Values": ["lab-private"]}]
    (table,) = harness.client().describe_route_tables(Filters=named)["RouteTables"]
    return str(table["RouteTableId"])


AMAZON_LINUX = {
    "/etc/sysconfig/nftables.conf": "# none\n",
    "/etc/sysctl.d/00-defaults.conf": "# none\n",
    "/usr/local/bin/dnf": "#!/bin/sh\n# All is installed.\n",
    "/usr/local/bin/systemctl": "#!/bin/sh\n"
    '[ "$*" = "enable --now nftables" ] && exec nft -f /etc/sysconfig/nftables.conf\n',
}
"""What user data finds there: the folders, and the programs that it runs. The unit loads that file."""


def user_data(harness: Harness, instance_id: str) -> str:
    """What the instance was launched with."""
    answer = harness.client().describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    return base64.b64decode(answer["UserData"]["Value"]).decode()


def boot_first(system: System, harness: Harness, instance_id: str) -> None:
    """The first boot runs the script in the user data."""
    system.write({"/var/user-data": user_data(harness, instance_id)})
    system.run("/var/user-data")


def image(stage: Stage, interface: str) -> Mapping[str, Files]:
    """What the image of a guest, or its cloud-init, has for the primary interface, by format."""
    keyfile = _KEYFILE.format(mac=stage.interface(interface)["MacAddress"])
    return {
        "networkd": {"/run/systemd/network/10-netplan-all.network": _NETWORKD},
        "netplan": {"/etc/netplan/90-default.yaml": _NETPLAN},
        "networkmanager": {"/etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection": keyfile},
    }


_NETWORKD = """\
[Match]
Name=en* eth*
[Network]
DHCP=yes
"""
_NETPLAN = """\
network:
  version: 2
  ethernets:
    all-en: {match: {name: "en*"}, dhcp4: true, dhcp6: true}
    all-eth: {match: {name: "eth*"}, dhcp4: true, dhcp6: true}
"""
"""Debian's cloud images have this."""
_KEYFILE = """\
[connection]
id=cloud-init eth0
uuid=1dd9a779-d327-56e1-8454-c65e2556c12c
autoconnect-priority=120
type=ethernet
[ethernet]
mac-address={mac}
[ipv4]
method=auto
may-fail=false
"""
"""cloud-init's, on RHEL."""
