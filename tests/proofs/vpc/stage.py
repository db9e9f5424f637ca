"""A spec that has been applied, its instances as guests, and the internet around them."""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from enireconcile.cli.app import main
from tests.ec2 import EC2Server
from tests.harness import Harness
from tests.vpc import DataPlane, Guest, Namespace

SPECS = Path(__file__).parents[3] / "specs"


def spec(name: str) -> str:
    """The text of a spec in specs/."""
    return (SPECS / f"{name}.yaml").read_text(encoding="utf-8")


STORY = spec("two-enis").replace(
    "my-sg-2: {}              # no ingress: no port is open",
    "my-sg-2: {ingress: [{protocol: tcp, ports: 80, sources: [0.0.0.0/0]}]}",
)
"""The story with port 80 open on both interfaces."""
assert spec("two-enis") != STORY


@dataclass
class Stage:
    """What a stack has, by logical names."""

    harness: Harness
    plane: DataPlane
    text: str

    @functools.cached_property
    def stack(self) -> str:
        return str(yaml.safe_load(self.text)["stack"])

    def interface(self, name: str) -> Any:
        [row] = self._rows("describe_network_interfaces", "NetworkInterfaces", f"network_interfaces.{name}")
        return row

    def private(self, name: str) -> str:
        """The primary address of an interface."""
        return str(self.interface(name)["PrivateIpAddress"])

    def public(self, name: str) -> str:
        """The address of an Elastic IP."""
        [row] = self._rows("describe_addresses", "Addresses", f"elastic_ips.{name}")
        return str(row["PublicIp"])

    def guest(self, name: str) -> Guest:
        """An instance of the stack, or another one by its Name."""
        ec2 = self.harness.client()
        running = {"Name": "instance-state-name", "Values": ["running"]}
        for tag, value in (("enireconcile:name", f"instances.{name}"), ("Name", name)):
            found = ec2.describe_instances(Filters=[{"Name": f"tag:{tag}", "Values": [value]}, running])
            for reservation in found["Reservations"]:
                return self.plane.guest(reservation["Instances"][0]["InstanceId"])
        raise LookupError(name)

    def link(self, name: str) -> str:
        """What the guest that has an interface calls it."""
        row = self.interface(name)
        return self.plane.guest(row["Attachment"]["InstanceId"]).links[row["NetworkInterfaceId"]]

    def command(self, *args: str, within: Namespace | None = None) -> tuple[int, str, str]:
        """A command with the spec as its first argument, in this process: its exit code, stdout and stderr.

        ``within`` a namespace, the EC2 is at the same URL as here.
        """
        out, err = io.StringIO(), io.StringIO()
        path = self.harness.state.with_name(f"{self.stack}.yaml")
        path.write_text(self.text, encoding="utf-8")
        with ExitStack() as stack:
            if within is not None:
                stack.enter_context(within.entered())
                stack.enter_context(
                    EC2Server(self.harness.strict.world, port=urlsplit(self.harness.strict.url).port or 0)
                )
            stack.enter_context(redirect_stdout(out))
            stack.enter_context(redirect_stderr(err))
            ended = stack.enter_context(pytest.raises(SystemExit))
            main([args[0], str(path), *args[1:]])
        assert "Traceback" not in err.getvalue()
        return int(ended.value.code or 0), out.getvalue(), err.getvalue()

    def configure(self, name: str, *options: str) -> None:
        """Gives a guest what ``enireconcile guest`` prints for it."""
        code, script, said = self.command("guest", name, "--format", "ip", *options)
        assert code == 0, said
        self.guest(name).give(script)

    def apply(self, text: str | None = None) -> None:
        """Applies the spec, or a changed one, and lets the guests notice."""
        self.text = text or self.text
        report = self.harness.apply(self.text)
        assert report.outcome in ("converged", "unchanged"), str(report)
        self.plane.sync()

    def _rows(self, call: str, key: str, name: str) -> list[Any]:
        filters = [
            {"Name": "tag:enireconcile:stack", "Values": [self.stack]},
            {"Name": "tag:enireconcile:name", "Values": [name]},
        ]
        return list(getattr(self.harness.client(), call)(Filters=filters)[key])


@contextmanager
def standing(harness: Harness, text: str, *, names: str = "eth", rp_filter: int = 0) -> Iterator[Stage]:
    """What runs now, every guest as its image leaves it: the first interface configured, and no other."""
    with DataPlane(harness.client(), names=names, rp_filter=rp_filter) as plane:
        for guest in plane.guests.values():
            guest.boot()
        yield Stage(harness, plane, text)


@contextmanager
def staged(harness: Harness, text: str, **more: Any) -> Iterator[Stage]:
    """The same after an apply."""
    report = harness.apply(text)
    assert (report.outcome, report.error) == ("converged", None), str(report)
    with standing(harness, text, **more) as stage:
        yield stage


_PUBLISHED = """\
table ip nat {
    chain prerouting {
        type nat hook prerouting priority dstnat
        fib daddr type local tcp dport 80 dnat to 172.17.0.2
    }
    chain postrouting {
        type nat hook postrouting priority srcnat
        ip saddr 172.17.0.0/16 oifname != docker0 masquerade
    }
}
"""
"""As Docker publishes port 80."""


@contextmanager
def published(guest: Guest, page: str) -> Iterator[Namespace]:
    """A container with a page on port 80, which the guest publishes."""
    with Namespace("container") as container:
        guest.ip(
            f"link add docker0 type veth peer name eth0 netns {container.namespace}",
            "link set docker0 up",
            "address add 172.17.0.1/16 dev docker0",
        )
        container.ip("link set eth0 up", "address add 172.17.0.2/16 dev eth0", "route add default via 172.17.0.1")
        container.until_running("eth0")
        container.serve_http(page)
        guest.sysctl("ipv4/ip_forward", 1)
        guest.nft(_PUBLISHED)
        yield container
