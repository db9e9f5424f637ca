"""The story's setup as another user might have made it, and specs that take it over."""

from __future__ import annotations

from typing import Any

from enireconcile.ownership import (
    NAME_TAG,
    STACK_TAG,
)
from enireconcile.spec import SECTIONS
from enireconcile.spec.render import render
from tests.harness import Harness
from tests.two_enis import Account

Ids = dict[str, str]


def orphan(harness: Harness) -> Ids:
    """The story's setup without the tags that say whose it is: ids by address."""
    harness.apply()
    account = Account(harness)
    ids = {
        "instances.web": account.instance()["InstanceId"],
        **{f"security_groups.{name}": account.group(name)["GroupId"] for name in ("my-sg-1", "my-sg-2")},
        **{
            f"network_interfaces.{name}": account.interface(name)["NetworkInterfaceId"]
            for name in ("web-eth0", "web-eth1")
        },
        **{f"elastic_ips.{name}": account.address(name)["AllocationId"] for name in ("web-1", "web-2")},
    }
    account.ec2.delete_tags(Resources=list(ids.values()), Tags=[{"Key": STACK_TAG}, {"Key": NAME_TAG}])
    harness.loop.now += 60
    harness.strict.clear()
    return ids


def bare(ids: Ids, **more: str) -> str:
    """A spec that adopts these and says nothing else of them, but for ``more`` keys of some rows.

    A name of a row is that of a keyword with ``_`` for ``-``.
    """
    lines = ["version: 1", "stack: two-enis", "region: us-east-1"]
    for section in SECTIONS:
        lines.append(f"{section}:" if any(address.startswith(section) for address in ids) else "")
        for address, aws_id in ids.items():
            if address.startswith(section):
                name = address.partition(".")[2]
                keys = more.get(name.replace("-", "_"))
                lines.append(f"  {name}: {{adopt: {aws_id}{f', {keys}' if keys else ''}}}")
    return "\n".join(lines)


def whole(harness: Harness, ids: Ids) -> str:
    """The story's spec with an ``adopt`` in each row."""
    document = harness.spec().document
    sections: dict[str, Any] = {section: dict(getattr(document, section)) for section in SECTIONS}
    for address, row in document.resources.items():
        section, _, name = address.partition(".")
        sections[section][name] = row.model_copy(update={"adopt": ids[address]})
    return render(document.model_copy(update=sections))
