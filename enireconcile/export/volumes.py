"""The volumes of an instance, as its row says them: ``root_volume``, ``volumes`` and ``volume_tags``. Pure.

EC2 takes them at launch only. An instance that a stack launched has a hash of them in a tag. What EC2 shows of the
volumes is what the row said, if it has that hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, combinations, islice, permutations
from typing import Any

from msgspec.structs import replace

from enireconcile.kinds.launch import SETTINGS, launched_with
from enireconcile.live.records import LiveInstance, LiveVolume

_USUAL = {"encrypted": False, "delete_on_termination": True}
_GP3 = {"iops": 3000, "throughput": 125}
"""What EC2 gives to volumes if nothing is said."""
_SETTINGS = {each.name: each for each in SETTINGS if each.name in ("root_volume", "volumes", "volume_tags")}
_MOST_TRIED = 20_000
"""Hashes that are computed for a key, in a fraction of a second."""


def shown_volumes(live: LiveInstance) -> dict[str, Any]:
    """``root_volume`` and ``volumes`` as a row says what EC2 shows of them, without defaults."""
    root, others = _root_and_others(live)
    volumes = [{"device_name": each.device, **_brief(each)} for each in others]
    return {**({"root_volume": _brief(root)} if root else {}), **({"volumes": volumes} if volumes else {})}


def recognized_volumes(live: LiveInstance) -> dict[str, Any]:
    """What a row said of the volumes at launch, where their hashes tell it."""
    hashed, found = launched_with(live), dict[str, Any]()
    tries: dict[str, Iterator[Any]] = {
        "root_volume": _roots(live),
        "volumes": _lists(live),
        "volume_tags": _tags(live),
    }
    for key in tries.keys() & hashed.keys():
        digest = _SETTINGS[key].digest
        value = next((each for each in islice(tries[key], _MOST_TRIED) if digest(each) == hashed[key]), None)
        if value is not None:
            found[key] = value
    return found


def _root_and_others(live: LiveInstance) -> tuple[LiveVolume | None, list[LiveVolume]]:
    """The root volume, without its snapshot, which is that of the image; and the other volumes.

    A lone volume is the root volume, whatever its device is called.
    """
    volumes = live.volumes or ()
    root = next((each for each in volumes if each.device == live.root_device or len(volumes) == 1), None)
    others = [each for each in volumes if each is not root]
    return replace(root, snapshot_id=None) if root else None, others


def _brief(volume: LiveVolume) -> dict[str, Any]:
    usual = _USUAL | (_GP3 if volume.type == "gp3" else {})
    return {key: value for key, value in _whole(volume).items() if usual.get(key) != value}


def _whole(volume: LiveVolume) -> dict[str, Any]:
    """All keys that a row can have for a volume, but its device name."""
    rated = volume.type in ("gp3", "io1", "io2")
    found = {
        "size_gib": volume.size_gib,
        "type": volume.type,
        "iops": volume.iops if rated else None,
        "throughput": volume.throughput if volume.type == "gp3" else None,
        "encrypted": volume.encrypted,
        "kms_key_id": volume.kms_key_id,
        "snapshot_id": volume.snapshot_id,
        "delete_on_termination": volume.delete_on_termination,
    }
    return {key: value for key, value in found.items() if value is not None}


def _subsets(keys: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """All choices of keys; few keys come first."""
    known = [*keys]
    return chain.from_iterable(combinations(known, count) for count in range(1, len(known) + 1))


def _roots(live: LiveInstance) -> Iterator[dict[str, Any]]:
    root, _ = _root_and_others(live)
    whole = _whole(root) if root else {}
    return ({key: whole[key] for key in keys} for keys in _subsets(whole))


def _lists(live: LiveInstance) -> Iterator[list[dict[str, Any]]]:
    """The volumes in any order, with the same keys; those with their usual value in all volumes, or in none."""
    _, volumes = _root_and_others(live)
    for keys in _subsets({key: None for each in volumes for key in _whole(each)}):
        for said in (_whole, _brief):
            rows = [
                {"device_name": each.device, **{key: value for key, value in said(each).items() if key in keys}}
                for each in volumes
            ]
            yield from map(list, permutations(rows))


def _tags(live: LiveInstance) -> Iterator[dict[str, str]]:
    """The tags of its volumes that the instance does not have, or all of them."""
    for volume in (live.volumes or ())[:1]:
        yield {key: value for key, value in volume.tags.items() if live.tags.get(key) != value}
        yield dict(volume.tags)
