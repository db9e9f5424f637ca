"""The random proofs write every key that the spec has, so that a new key cannot stay without one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from enireconcile.spec import Document, load
from enireconcile.spec.row import Row
from enireconcile.spec.rows import Check, ExternalInstance, Instance

from .test_random import specs

ELSEWHERE: Mapping[str, str] = {
    "Document.assume_role_arn": "changes the credentials, and nothing that a plan does",
    "Document.external_id": "goes with assume_role_arn",
    "SecurityGroup.adopt": "test_any_account_is_adopted writes it",
    "Instance.adopt": "test_any_account_is_adopted writes it",
    "NetworkInterface.adopt": "test_any_account_is_adopted writes it",
    "ElasticIp.adopt": "test_any_account_is_adopted writes it",
    "NetworkInterface.ipv4_prefixes": "EC2 may have chosen an address inside of one that is listed",
    "Instance.guest_network": "excludes what EC2 chooses; tests/scenarios/test_guest_network.py writes it",
    "Document.checks": "ask what answers, and change nothing in EC2",
}
"""Keys that no random spec writes, with the reason. Nor does one write those of checks."""


def keys_of(model: Any, seen: set[str] | None = None) -> set[str]:
    """The keys of a model and of those below it, as ``Model.key``."""
    found = set() if seen is None else seen
    if not (isinstance(model, type) and issubclass(model, Row)):
        for part in get_args(model):
            keys_of(part, found)
        return found
    own = {f"{model.__name__}.{name}" for name in model.model_fields}
    if not own <= found:
        found |= own
        for field in model.model_fields.values():
            keys_of(field.annotation, found)
    return found


def written_in(value: object) -> Iterator[str]:
    """The keys that a row and those below it write."""
    if isinstance(value, Row):
        for name in value.model_fields_set:
            yield f"{type(value).__name__}.{name}"
            yield from written_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from written_in(each)
    elif isinstance(value, tuple):
        for each in value:
            yield from written_in(each)


@pytest.mark.timeout(300)
def test_every_key_is_written_by_a_random_spec() -> None:
    keys, written = keys_of(Document) - keys_of(Check), set[str]()

    @settings(
        max_examples=300,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(specs())
    def collect(text: str) -> None:
        if keys - written != set(ELSEWHERE):
            written.update(written_in(load(["-"], stdin=lambda: text)[0].document))

    collect()
    assert keys - written == set(ELSEWHERE)


def test_the_keys_are_found_in_every_model() -> None:
    """Below sections, lists, unions and options."""
    keys = keys_of(Document)
    assert {"Volume.snapshot_id", "CapacityReservationTarget.capacity_reservation_id", "Spot.max_price"} <= keys
    assert keys_of(Instance) < keys
    assert keys_of(ExternalInstance) < keys


class _New(Instance):
    """An instance with a key that no random spec writes."""

    made_up: bool | None = None


def test_a_new_key_would_be_found() -> None:
    assert "_New.made_up" in keys_of(_New)
    disk = {"device_name": "/dev/sdf", "size_gib": 1}
    row = _New.model_validate({"image": "ami-0123456789abcdef0", "instance_type": "t3.micro", "volumes": (disk,)})
    assert {"_New.image", "Volume.size_gib"} <= set(written_in(row))
    assert "_New.made_up" not in set(written_in(row))
