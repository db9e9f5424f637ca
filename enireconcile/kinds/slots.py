"""Slots: what at most one resource has at a time. A step *frees* a slot, the next one *claims* it. Pure.

A slot is a plain string on which both steps agree: a device index of an instance, a private address of a subnet.
"""

from __future__ import annotations


def target_slot(interface_id: str | None, private_ip: str | None) -> str:
    """The slot that an Elastic IP takes on a private address."""
    return f"target:{interface_id}:{private_ip}"


def private_slot(subnet_id: str, private_ip: str) -> str:
    """The slot that an interface takes in its subnet with each of its addresses and prefixes."""
    return f"private:{subnet_id}:{private_ip}"


def interface_slot(address: str) -> str:
    """The slot that an attachment takes on its interface: it is attached to one instance at a time."""
    return f"interface:{address}"


def device_slot(instance_id: str, card: int, index: int) -> str:
    """The slot that an attachment takes on an instance."""
    return f"device:{instance_id}:{card}:{index}"
