"""What export starts from: which resources are selected, and what was read of them and around them. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from enireconcile.live.records import (
    LiveElasticIp,
    LiveInstance,
    LiveNetworkInterface,
    LivePrefixList,
    LiveRouteTable,
    LiveSecurityGroup,
    LiveSubnet,
    LiveVpc,
)
from enireconcile.model import Secret


class Selection(Struct, frozen=True):
    """Which resources: some instances with what belongs to them, all of some VPCs, what has all of these tags with
    what it needs, what a stack owns, or what a Terraform state shows. One field is set; ``terraform`` is the name
    of a file, empty if there is none.
    """

    instances: tuple[str, ...] = ()
    vpcs: tuple[str, ...] = ()
    tags: Mapping[str, str] = {}
    stack: str | None = None
    terraform: str | None = None

    @property
    def text(self) -> str:
        """The selection in a message."""
        if self.stack is not None:
            return f"the stack {self.stack}"
        if self.terraform is not None:
            return f"the Terraform state {self.terraform}" if self.terraform else "a Terraform state"
        if self.tags:
            return ", ".join(f"{key}={value}" for key, value in sorted(self.tags.items()))
        return ", ".join((*self.instances, *self.vpcs))


_NAMELESS = ("", "state", "terraform", "tfstate", "show", "terraform-show", "terraform-state")
"""Names of files that say nothing of a state."""


def stack_wish(selection: Selection, names: Mapping[str, str]) -> str:
    """A name for a stack of what is selected: that of the one instance, VPC, tag or file. ``names`` are Names by
    id.
    """
    if selection.terraform is not None:
        wish, otherwise = _slug(selection.terraform.partition(".")[0]), "imported"
        return otherwise if wish in _NAMELESS else _begun(wish, otherwise)
    wishes = [*(names.get(each, "") for each in (*selection.instances, *selection.vpcs)), *selection.tags.values()]
    return _begun(_slug(wishes[0]) if len(wishes) == 1 else "", "exported")


def _slug(text: str) -> str:
    return re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")[:50]


def _begun(wish: str, otherwise: str) -> str:
    """The name of a stack begins with a letter."""
    return wish if wish[:1].isalpha() else f"{otherwise}-{wish}".rstrip("-")


class Selected(Struct, frozen=True):
    """The selected resources, and beside them what they refer to.

    ``outside`` are resources that are not selected, and that selected ones may refer to: the other groups of their
    VPCs, instances and interfaces. ``subnets``, ``vpcs``, ``route_tables`` and ``prefix_lists`` are all that the
    account sees, as far as they matter. ``wish`` is a name for a stack of them, and ``stacks`` are those whose
    names begin so. ``names`` are names for rows by id, which count before Name tags. ``account_id`` is that of the
    resources where no call can tell it. ``unanswered`` maps optional reads that failed to the code of the error.
    ``user_data`` is that of instances by id, if asked for; ``unread`` has the code of the error where that failed.
    """

    region: str
    security_groups: tuple[LiveSecurityGroup, ...] = ()
    instances: tuple[LiveInstance, ...] = ()
    network_interfaces: tuple[LiveNetworkInterface, ...] = ()
    elastic_ips: tuple[LiveElasticIp, ...] = ()
    outside: tuple[LiveSecurityGroup | LiveInstance | LiveNetworkInterface, ...] = ()
    subnets: tuple[LiveSubnet, ...] = ()
    vpcs: tuple[LiveVpc, ...] = ()
    route_tables: tuple[LiveRouteTable, ...] = ()
    prefix_lists: tuple[LivePrefixList, ...] = ()
    wish: str = "exported"
    stacks: frozenset[str] = frozenset()
    names: Mapping[str, str] = {}
    account_id: str | None = None
    unanswered: Mapping[str, str] = {}
    user_data: Mapping[str, Secret] = {}
    unread: Mapping[str, str] = {}
