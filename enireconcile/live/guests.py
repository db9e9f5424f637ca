"""Read what a guest has besides the interfaces of its stack: its primary interface, and the name of its image."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from enireconcile.errors import AwsError
from enireconcile.live import records
from enireconcile.live.filters import filters_for
from enireconcile.live.optional import read_optional
from enireconcile.live.records import LiveImage, LiveInstance, LiveNetworkInterface
from enireconcile.model import Reads


async def primaries(reader: Reads, instances: Collection[LiveInstance]) -> dict[str, LiveNetworkInterface]:
    """The primary interfaces by instance id. Raises AwsError."""
    occupants = {live.id: live.occupant(0, 0) for live in instances}
    ids = {each.network_interface_id: instance for instance, each in occupants.items() if each is not None}
    answers = await asyncio.gather(
        *(
            reader.read("DescribeNetworkInterfaces", {"Filters": filters})
            for filters in filters_for("network-interface-id", sorted(ids))
        )
    )
    found = [
        records.network_interface(item) for answer in answers for item in answer.get("NetworkInterfaces") or ()
    ]
    return {ids[live.id]: live for live in found if live.id in ids}


async def images(reader: Reads, ids: Collection[str]) -> dict[str, LiveImage]:
    """Images by id, as far as these credentials may read them: they only tell what the guest can do."""
    found: dict[str, LiveImage] = {}
    for filters in filters_for("image-id", sorted(ids)):
        try:
            params = {"Filters": filters, "IncludeDeprecated": True, "IncludeDisabled": True}
            answer = await read_optional(reader, "DescribeImages", params)
        except AwsError:
            # The advice is then that for an unknown image.
            continue
        found |= {image.id: image for image in map(records.image, answer.get("Images") or ())}
    return found
