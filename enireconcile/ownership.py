"""The tags that say which stack owns a resource, and under which name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STACK_TAG = "enireconcile:stack"
NAME_TAG = "enireconcile:name"
USER_DATA_TAG = "enireconcile:user-data"
REPLACES_TAG = "enireconcile:replaces"
NEW_TAG = "enireconcile:new"
"""On a resource whose attributes that later are other people's have not all been set yet."""


def as_tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": tags[key]} for key in sorted(tags)]


def tag_specifications(resource_type: str, tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """TagSpecifications of a create call: tagged from birth, or not born."""
    return [{"ResourceType": resource_type, "Tags": as_tag_list(tags)}]


def ownership_filters(stack: str, address: str | None = None) -> list[dict[str, Any]]:
    """Filters for what carries our stack tag, or for one address of it."""
    filters = [{"Name": f"tag:{STACK_TAG}", "Values": [stack]}]
    if address:
        filters.append({"Name": f"tag:{NAME_TAG}", "Values": [address]})
    return filters
