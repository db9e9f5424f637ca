"""The registry of kinds: a new kind is one module, one line here, its tests and its page in docs.

Order matters for reading only: changes and steps are sorted by what they depend on.
"""

from __future__ import annotations

from enireconcile.kinds.association import Associations
from enireconcile.kinds.attachment import Attachments
from enireconcile.kinds.attributes import Attribute
from enireconcile.kinds.base import Item, Kind
from enireconcile.kinds.elastic_ip import ElasticIps
from enireconcile.kinds.instance import Instances
from enireconcile.kinds.network_interface import NetworkInterfaces
from enireconcile.kinds.route import Routes
from enireconcile.kinds.security_group import SecurityGroups
from enireconcile.kinds.world import World

KINDS: tuple[Kind, ...] = (
    SecurityGroups(),
    NetworkInterfaces(),
    Attachments(),
    Routes(),
    ElasticIps(),
    Associations(),
    Instances(),
)
_ATTRIBUTES = {(kind.section, each.name): each for kind in KINDS for each in kind.attributes}


def attribute_at(address: str, name: str) -> Attribute | None:
    """The attribute of that name of the resource at an address; None if no kind declares it."""
    return _ATTRIBUTES.get((address.partition(".")[0], name))


__all__ = ["KINDS", "Attribute", "Item", "Kind", "World", "attribute_at"]
