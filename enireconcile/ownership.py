"""The tags that say which stack owns a resource, and under which name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STACK_TAG = "enireconcile:stack"
NAME_TAG = "enireconcile:name"
USER_DATA_TAG = "enireconcile:user-data"
LAUNCH_TAG = "enireconcile:launch"
"""On an instance: a hash of each setting of its row that EC2 sets at launch only."""
REPLACES_TAG = "enireconcile:replaces"
NEW_TAG = "enireconcile:new"
"""On a resource whose creation takes several calls that are not all done, if some attributes are set only then."""
OWN_TAGS = (STACK_TAG, NAME_TAG, USER_DATA_TAG, LAUNCH_TAG, REPLACES_TAG, NEW_TAG)


def as_tag_list(tags: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tags as EC2's list of keys and values, sorted by key."""
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def tag_specifications(resource_type: str, tags: Mapping[str, Any]) -> list[dict[str, Any]]:
    """TagSpecifications of a create call: the resource has its tags from creation on."""
    return [{"ResourceType": resource_type, "Tags": as_tag_list(tags)}]


def marked_new(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a create call, with NEW_TAG among the resource's tags."""
    first, *others = params["TagSpecifications"]
    tagged = {**first, "Tags": [*first["Tags"], {"Key": NEW_TAG, "Value": "some of it is not set yet"}]}
    return {**params, "TagSpecifications": [tagged, *others]}


def ownership_filters(stack: str, address: str | None = None) -> list[dict[str, Any]]:
    """Describe filters for what carries the stack's tag, or for the resource at one of its addresses."""
    filters = [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]
    if address:
        filters.append({"Name": f"tag:{NAME_TAG}", "Values": [address]})
    return filters
