"""Conditions that order a plan: a step *brings* one, and the steps that need it name it in ``after``. Pure."""

from __future__ import annotations

from enum import StrEnum

from enireconcile.kinds.world import World
from enireconcile.model import Condition
from enireconcile.spec import without_selectors


class Fact(StrEnum):
    """What can be true of a subject. The subject is an address, unless the comment names another."""

    ADOPTED = "adopted"
    """The resource carries the stack's ownership tags."""
    CONFIGURED = "configured"
    """The resource has the attributes that the spec gives it. An interface may still be unattached."""
    COMPLETE = "complete"
    """All calls that create the resource are done, those of its relations included."""
    DELETED = "deleted"
    """The resource no longer exists."""

    # Security groups.
    RULES_ADDED = "rules-added"
    """The new rules of one direction are in place. Subject: address/direction."""

    # Network interfaces.
    ATTACHED = "attached"
    """The interface is attached where the spec says."""
    DETACH_REQUESTED = "detach-requested"
    """The interface was asked to detach."""
    SECONDARY_IPS_ASSIGNED = "secondary-ips-assigned"
    """The interface has its secondary private IPv4 addresses."""
    IPV6_ADDRESSES_ASSIGNED = "ipv6-addresses-assigned"
    """The interface has its IPv6 addresses."""
    ADDRESSES_HANDED_OVER = "addresses-handed-over"
    """Other interfaces have taken over the addresses that the spec moves to them. Subject: interface id."""
    ELASTIC_IP_ASSOCIATED = "elastic-ip-associated"
    """The interface has its new Elastic IPs. Nothing depends on it, but traffic flows sooner."""
    NAMED_ADDRESSES_TAKEN = "named-addresses-taken"
    """Addresses that the spec names are taken, so EC2 cannot choose them for others. Subject: subnet id."""
    NAMED_ADDRESSES_TAKEN_LATE = "named-addresses-taken-late"
    """The same for interfaces that also get addresses of EC2's choice. Subject: subnet id."""

    # Instances.
    STOPPABLE = "stoppable"
    """The instance has no stop protection any more."""
    SPOT_REQUEST_CANCELLED = "spot-request-cancelled"
    """EC2 launches no other instance for the instance's Spot request. Subject: instance id."""
    RUNNING = "running"
    """The instance has been started."""
    STOPPED = "stopped"
    """The instance is stopped."""
    MODIFIED = "modified"
    """What EC2 changes only on a stopped instance is as the spec says. Subject: address, or address/attribute."""
    INTERFACES_DETACHED = "interfaces-detached"
    """Every interface that leaves the instance has left it. Subject: instance id."""
    ADAPTERS_DETACHED = "adapters-detached"
    """Every adapter (EFA) that leaves the instance has left it. Subject: instance id."""
    INTERFACES_PRESERVED = "interfaces-preserved"
    """EC2 deletes no interface of the stack together with the instance. Subject: instance id."""

    ROOM_MADE = "room-made"
    """Addresses were unassigned, so that others fit, or another instance type does. Subject: any text."""

    # Elastic IPs.
    DISASSOCIATED = "disassociated"
    """The Elastic IP is associated with nothing."""
    REVERSE_DNS_RESET = "reverse-dns-reset"
    """The Elastic IP has no reverse DNS."""

    def of(self, subject: str) -> Condition:
        """The condition that this is true of a subject."""
        return Condition(self.value, subject)


def named_addresses_taken(subnet_id: str, *, late: bool = False) -> Condition:
    """The condition that addresses which the spec names in a subnet are taken: EC2 gives the others at random.

    ``late`` is for those of interfaces that also get addresses of EC2's choice.
    """
    return (Fact.NAMED_ADDRESSES_TAKEN_LATE if late else Fact.NAMED_ADDRESSES_TAKEN).of(subnet_id)


def groups_configured(interface: str, world: World) -> list[Condition]:
    """The conditions that the rules of an interface's groups are in place."""
    row = world.document.network_interfaces[interface]
    return [Fact.CONFIGURED.of(f"security_groups.{group}") for group in without_selectors(row.security_groups)]
