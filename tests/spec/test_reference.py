"""docs/reference/spec.md against the models: defaults, choices, and which attributes EC2 can change in place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic.fields import FieldInfo

from enireconcile.kinds import KINDS
from enireconcile.kinds.attributes import Changes
from enireconcile.spec import launch, rows
from enireconcile.spec.row import Row

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "spec.md"
HEADINGS: dict[type[Row], str] = {
    rows.Document: "The file",
    rows.SecurityGroup: "security_groups",
    rows.IngressRule: "Rules",
    rows.EgressRule: "Rules",
    rows.Instance: "instances",
    rows.MetadataOptions: "Metadata options",
    launch.RootVolume: "Volumes",
    launch.Volume: "Volumes",
    launch.Placement: "Placement",
    launch.CpuOptions: "CPU options",
    launch.Hibernation: "Hibernation and enclaves",
    launch.Enclave: "Hibernation and enclaves",
    launch.CapacityReservation: "Capacity Reservations",
    launch.CapacityReservationTarget: "Capacity Reservations",
    launch.Spot: "Spot",
    rows.ExternalInstance: "External instances",
    rows.NetworkInterface: "network_interfaces",
    rows.ConnectionTracking: "Connection tracking",
    rows.Attachment: "Attachment",
    rows.Route: "Routes",
    rows.Failover: "Failover",
    rows.ElasticIp: "elastic_ips",
    rows.Association: "Association",
    rows.Check: "checks",
    rows.WebProbe: "Web checks",
    rows.Lifecycle: "lifecycle",
}
KEYS = [(row, key) for row in HEADINGS for key in row.model_fields]
IDS = [f"{row.__name__}.{key}" for row, key in KEYS]
MANAGED = [row for row in HEADINGS if issubclass(row, rows.Resource)]


def columns(heading: str, key: str) -> list[str]:
    """Value, default, and drift and changes, from the table below a heading."""
    text = PAGE.read_text(encoding="utf-8").partition(f"# {heading}\n")[2].partition("\n#")[0]
    (line,) = [line for line in text.splitlines() if line.startswith(f"| `{key}` |")]
    _, _, value, default, changes, _ = re.split(r" ?\| ?", line)
    return [value, default, changes]


def choices(annotation: Any) -> Iterator[str]:
    """The words of the Literals in an annotation."""
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    else:
        for part in get_args(annotation):
            yield from choices(part)


def is_required(row: type[Row], key: str) -> bool:
    needed = row.needed if issubclass(row, rows.Resource) else ()
    return row.model_fields[key].is_required() or key in needed


def written(field: FieldInfo) -> str | None:
    """The spelling in the file of a default that is a word, a number or a boolean; None for others."""
    if isinstance(field.default, bool):
        return str(field.default).lower()
    return str(field.default) if isinstance(field.default, (str, int)) and field.default != "" else None


@pytest.mark.parametrize(("row", "key"), KEYS, ids=IDS)
def test_defaults(row: type[Row], key: str) -> None:
    """Required keys are marked so, and a default that can be written is the one in the model."""
    _, default, _ = columns(HEADINGS[row], key)
    assert (default == "*required*") == is_required(row, key)
    assert default
    if (expected := written(row.model_fields[key])) is not None:
        assert default == f"`{expected}`"


@pytest.mark.parametrize(("row", "key"), KEYS, ids=IDS)
def test_choices(row: type[Row], key: str) -> None:
    """Every word that a key allows is in its description."""
    value, _, _ = columns(HEADINGS[row], key)
    annotation = row.model_fields[key].annotation
    words = {"true", "false"} if annotation in (bool, bool | None) else set(choices(annotation))
    assert words <= set(re.findall(r"`([^`]+)`", value))


@pytest.mark.parametrize("row", MANAGED, ids=lambda row: row.__name__)
def test_changes_in_place(row: type[rows.Resource]) -> None:
    """What a kind can never change on the live resource is not said to change in place; everything else is."""
    kinds = [kind for kind in KINDS if kind.section == HEADINGS[row]]
    attributes = [each for kind in kinds for each in kind.attributes]
    fixed = {each.name for each in attributes if each.changes is not Changes.IN_PLACE}
    in_place = {name for name in row.attributes() if "in place" in columns(HEADINGS[row], name)[2]}
    assert in_place == {*row.attributes()} - fixed
