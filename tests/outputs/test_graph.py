"""Pictures: what they show, in what state, and that they can be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from enireconcile.model import Action
from enireconcile.outputs.graph import Picture, State, live_picture, plan_picture, spec_picture, svg
from enireconcile.spec import load
from tests.planning.test_golden import GOLDEN, planned
from tests.planning.worlds import live_of, spec_of

SPECS = sorted((Path(__file__).parents[2] / "specs").glob("*.yaml"))
STATE_OF = {
    Action.CREATE: State.CREATED,
    Action.UPDATE: State.CHANGED,
    Action.REPLACE: State.REPLACED,
    Action.DELETE: State.REMOVED,
    Action.ADOPT: State.CHANGED,
    Action.UNCHANGED: State.SAME,
}


def nodes(picture: Picture) -> Mapping[str, Any]:
    drawn: tuple[Any, ...] = (*picture.instances, *picture.interfaces, *picture.elastic_ips)
    return {each.key: each for each in drawn}


def test_relations_name_what_is_drawn() -> None:
    for situation, triple in GOLDEN.items():
        spec = spec_of(triple["spec"])
        live = live_of(triple["live"], spec)
        changes = plan_picture(planned(triple), spec.document, live)
        for picture in (spec_picture(spec.document), live_picture(spec.document, live), changes, changes.after):
            keys = nodes(picture).keys()
            for attachment in picture.attachments:
                assert {attachment.interface, attachment.instance} <= keys, situation
            for association in picture.associations:
                assert {association.elastic_ip, association.interface} <= keys, situation
            assert {route.interface for route in picture.routes} <= keys, situation


def test_states_are_those_of_the_plan() -> None:
    for situation, triple in GOLDEN.items():
        spec, plan = spec_of(triple["spec"]), planned(triple)
        drawn = nodes(plan_picture(plan, spec.document, live_of(triple["live"], spec)))
        for change in plan.changes:
            if not change.address.startswith("security_groups."):
                assert drawn[change.address].state is STATE_OF[change.action], (situation, change.address)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_an_svg_is_xml_with_title_and_description_and_loads_nothing(path: Path) -> None:
    (spec,) = load([str(path)])
    text = svg(spec_picture(spec.document), title="as it is <wanted>")
    root = ElementTree.fromstring(text)  # noqa: S314 - we wrote it
    names = {root.findtext(f"{{*}}{tag}") for tag in ("title", "desc")}
    assert "as it is <wanted>" in names
    assert None not in names
    assert not re.search(r"<script|href|url\(|@import|@font-face|\bon\w+=", text)
