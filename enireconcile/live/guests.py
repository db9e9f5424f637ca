"""Read what a guest has besides the interfaces of its stack: its primary interface, and the name of its image."""

from __future__ import annotations

from collections.abc import Collection

from enireconcile.live.limits import images_by_id
from enireconcile.live.optional import Answers
from enireconcile.live.reader import described_by
from enireconcile.live.records import LiveImage, LiveInstance, LiveNetworkInterface
from enireconcile.model import Reads


async def primaries(reader: Reads, instances: Collection[LiveInstance]) -> dict[str, LiveNetworkInterface]:
    """The primary interfaces by instance id. Raises AwsError."""
    occupants = {live.id: live.occupant(0, 0) for live in instances}
    ids = {each.network_interface_id: instance for instance, each in occupants.items() if each is not None}
    found = await described_by(reader, "network_interfaces", "network-interface-id", ids)
    return {ids[live.id]: live for live in found if isinstance(live, LiveNetworkInterface) and live.id in ids}


async def images(reader: Reads, ids: Collection[str]) -> dict[str, LiveImage]:
    """Images by id, as far as these credentials may read them: they only tell what the guest can do.

    The advice for one that is not read is that for an unknown image.
    """
    return await images_by_id(Answers(reader), sorted(ids))
