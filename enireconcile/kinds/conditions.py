"""Conditions that order a plan: a step *brings* one, the steps that need it name it in ``after``. Pure."""

from __future__ import annotations

from enireconcile.kinds.base import World


def adopted(address: str) -> str:
    """The condition that a resource has become ours."""
    return f"adopted:{address}"


def settled(address: str) -> str:
    """The condition that a resource is as the spec says, short of being attached."""
    return f"settled:{address}"


def attached(address: str) -> str:
    """The condition that an interface is where the spec says."""
    return f"attached:{address}"


def asked(address: str) -> str:
    """The condition that an interface was asked to come off its instance."""
    return f"asked:{address}"


def gone(address: str) -> str:
    """The condition that a resource is no more."""
    return f"gone:{address}"


def addressed(address: str) -> str:
    """The condition that an interface has the Elastic IPs that are new; nobody needs it, but traffic likes it."""
    return f"addressed:{address}"


def assigned(address: str) -> str:
    """The condition that an interface has its secondary addresses."""
    return f"assigned:{address}"


def taken(subnet_id: str, *, late: bool = False) -> str:
    """The condition that addresses that the spec names in a subnet are taken: EC2 gives the others at random.

    ``late`` are those of interfaces that get others from EC2 as well.
    """
    return f"taken:{subnet_id}{':late' if late else ''}"


def asleep(address: str) -> str:
    """The condition that an instance of ours is stopped."""
    return f"asleep:{address}"


def cleared(instance_id: str) -> str:
    """The condition that an instance holds no interface that is to leave it."""
    return f"cleared:{instance_id}"


def unplugged(instance_id: str) -> str:
    """The condition that an instance holds nothing that is to leave it and can only while it is stopped."""
    return f"unplugged:{instance_id}"


def resized(address: str) -> str:
    """The condition that an instance of ours is of the type that the spec says."""
    return f"resized:{address}"


def relieved(interface_id: str) -> str:
    """The condition that others have taken over what they shall have of an interface's addresses."""
    return f"relieved:{interface_id}"


def kept(instance_id: str) -> str:
    """The condition that no interface of ours goes down with an instance."""
    return f"kept:{instance_id}"


def groups_settled(interface: str, world: World) -> list[str]:
    """The conditions that the rules of an interface's groups are in place."""
    row = world.document.network_interfaces[interface]
    return [settled(f"security_groups.{group}") for group in row.security_groups or ()]


def unbound(address: str) -> str:
    """The condition that an Elastic IP stands for nothing."""
    return f"unbound:{address}"
