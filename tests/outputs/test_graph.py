"""Pictures: what they show, in what state, and that they can be read."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pydot
import pytest
import yaml
from msgspec.structs import replace

from enireconcile.live.records import Live
from enireconcile.model import Action, Plan
from enireconcile.outputs.graph import (
    STYLE,
    Picture,
    State,
    dot,
    live_picture,
    mermaid,
    plan_picture,
    spec_picture,
    svg,
    together,
)
from enireconcile.outputs.graph.layout import Box, Label, Wire, layout
from enireconcile.outputs.graph.measure import Font
from enireconcile.outputs.graph.picture import (
    CHOSEN,
    PRIMARY,
    Association,
    Attachment,
    ElasticIp,
    Instance,
    Interface,
    Item,
    Route,
)
from enireconcile.planning.draft import make_plan
from enireconcile.printable import printable
from enireconcile.spec import Document, load
from tests.planning.test_golden import GOLDEN, planned
from tests.planning.worlds import live_of, spec_of

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").glob("*.yaml"))
STATE_OF = {
    Action.CREATE: State.CREATED,
    Action.UPDATE: State.CHANGED,
    Action.REPLACE: State.REPLACED,
    Action.DELETE: State.REMOVED,
    Action.ADOPT: State.ADOPTED,
    Action.UNCHANGED: State.SAME,
}
HOSTILE = 'a"b[c](d){e}|f;end <b>&amp;`x` #quot; \\n\x1b[31m\u202e é 日本 --> %% ]]>'
"""What a tag may hold, and what SVG, Mermaid or DOT would take for their own."""
STRANGE = Picture(
    "strange",
    "us-east-1",
    (Instance("instances.end", "end", (Item(HOSTILE),)), Instance("i-2", HOSTILE, state=State.REMOVED)),
    (
        Interface(
            "network_interfaces.graph",
            HOSTILE,
            HOSTILE,
            HOSTILE,
            "us-east-1a",
            (Item(HOSTILE, key="group"),),
            (Item("10.0.0.1", key=PRIMARY), Item(HOSTILE, State.CREATED, "10.0.0.2")),
            (Item(HOSTILE, State.CHANGED, "fact", was=HOSTILE),),
            State.CHANGED,
        ),
        Interface("network_interfaces.subgraph", "subgraph"),
    ),
    (
        ElasticIp("elastic_ips.end", "end", "203.0.113.7", State.REPLACED),
        ElasticIp("elastic_ips.2", HOSTILE, state=State.CREATED),
        ElasticIp("elastic_ips.3", "x" * 200, "203.0.113.9"),
    ),
    (
        Attachment("network_interfaces.graph", "instances.end", 1, 2),
        Attachment("network_interfaces.graph", "i-2", 1, state=State.REMOVED),
        Attachment("network_interfaces.subgraph", "i-2", None, standby=True),
    ),
    (
        Association("elastic_ips.end", "network_interfaces.graph"),
        Association("elastic_ips.2", "network_interfaces.graph", "10.0.0.2", State.CREATED),
    ),
    (
        Route(HOSTILE, "0.0.0.0/0", "network_interfaces.graph", State.CREATED),
        Route("private", "::/0", "network_interfaces.subgraph"),
    ),
)


def nodes(picture: Picture) -> Mapping[str, Any]:
    drawn: tuple[Any, ...] = (*picture.instances, *picture.interfaces, *picture.elastic_ips)
    return {each.key: each for each in drawn}


def of_file(path: Path) -> Picture:
    (spec,) = load([str(path)])
    return spec_picture(spec.document)


@dataclass(frozen=True)
class Situation:
    document: Document
    live: Live
    plan: Plan
    picture: Picture


@cache
def situations() -> Mapping[str, Situation]:
    """All golden plans, with their pictures."""
    return {name: _situation(triple) for name, triple in GOLDEN.items()}


def _situation(triple: Any) -> Situation:
    spec, plan = spec_of(triple["spec"]), planned(triple)
    live = live_of(triple["live"], spec)
    return Situation(spec.document, live, plan, plan_picture(plan, spec.document, live))


def in_plan(name: str) -> Picture:
    return situations()[name].picture


def hosts(instances: int, interfaces: int, apart: int = 0) -> Picture:
    """So many instances with so many interfaces each, the first with an Elastic IP; and some of each apart."""
    names = [f"node-{number:02}" for number in range(instances)]
    places = list(itertools.product(names, range(interfaces)))
    spares = [f"spare-{number:02}" for number in range(apart)]
    zone = {"subnet": {"default_for_az": "us-east-1a"}, "security_groups": ["web", "management"]}
    return spec_picture(
        spec_of(
            {
                "security_groups": {"web": {}, "management": {}},
                "instances": {
                    name: {"image": "ami-0123456789abcdef0", "instance_type": "m5.4xlarge"} for name in names
                },
                "network_interfaces": {
                    **{
                        f"{name}-eth{index}": {**zone, "attachment": {"instance": name, "device_index": index}}
                        for name, index in places
                    },
                    **dict.fromkeys(spares, zone),
                },
                "elastic_ips": {
                    **{name: {"association": {"network_interface": f"{name}-eth0"}} for name in names},
                    **{name: {} for name in spares},
                },
            }
        ).document
    )


# ---- what is drawn


def test_relations_name_what_is_drawn() -> None:
    for situation, each in situations().items():
        before, wanted = live_picture(each.document, each.live), spec_picture(each.document)
        for picture in (wanted, before, each.picture, each.picture.after):
            keys = nodes(picture).keys()
            addresses = {(each.key, item.key) for each in picture.interfaces for item in each.addresses}
            for attachment in picture.attachments:
                assert {attachment.interface, attachment.instance} <= keys, situation
            for association in picture.associations:
                assert association.elastic_ip in keys, situation
                assert (association.interface, association.address) in addresses, situation
            assert {route.interface for route in picture.routes} <= keys, situation


def test_states_are_those_of_the_plan() -> None:
    for situation, each in situations().items():
        drawn = nodes(each.picture)
        for change in each.plan.changes:
            if not change.address.startswith("security_groups."):
                assert drawn[change.address].state is STATE_OF[change.action], (situation, change.address)


def test_a_plan_without_changes_is_what_is() -> None:
    for situation, each in situations().items():
        if each.plan.empty and not each.plan.errors:
            before = live_picture(each.document, each.live)
            assert each.picture.states in ((), (State.SAME,)), situation
            assert nodes(each.picture).keys() == nodes(before).keys(), situation
            assert set(each.picture.associations) == set(before.associations), situation


def test_an_external_instance_is_drawn_once() -> None:
    picture = in_plan("error-beside-a-failover")
    assert [each.key for each in picture.instances] == ["instances.fw-a", "instances.fw-b"]
    assert picture.standing["network_interfaces.service"].instance == "instances.fw-b"


def test_what_a_plan_leaves_out_is_as_it_is() -> None:
    drawn = nodes(in_plan("error-beside-a-failover"))
    left_out = situations()["error-beside-a-failover"].plan.left_out
    assert left_out
    for address in left_out:
        assert address not in drawn or drawn[address].state is State.SAME


def test_a_plan_of_targets_draws_what_it_makes_and_what_is() -> None:
    spec = spec_of(
        {
            "network_interfaces": {
                name: {"subnet": {"default_for_az": "us-east-1a"}} for name in ("there", "asked", "other")
            },
            "elastic_ips": {"asked": {"association": {"network_interface": "asked"}}, "other": {}},
        }
    )
    live = live_of({"network_interfaces": {"there": {}}}, spec)
    plan = make_plan(spec, live, targets=["elastic_ips.asked"])
    drawn = {key: each.state for key, each in nodes(plan_picture(plan, spec.document, live)).items()}
    assert drawn == {
        "network_interfaces.there": State.SAME,
        "network_interfaces.asked": State.CREATED,
        "elastic_ips.asked": State.CREATED,
    }


def test_leftovers_stay_and_what_is_pruned_goes() -> None:
    assert set(in_plan("leftovers").states) == {State.SAME}
    gone = in_plan("removed-instance-and-its-interfaces")
    assert {each.state for each in nodes(gone).values()} >= {State.REMOVED}
    assert not any(each.state is State.REMOVED for each in nodes(gone.after).values())


def test_a_failover_shows_where_the_interface_was_and_where_it_may_go() -> None:
    picture = in_plan("failover-checks-fail")
    places = {
        (each.instance, each.standby, each.state)
        for each in picture.attachments
        if each.interface == "network_interfaces.float"
    }
    assert places >= {("instances.b", False, State.CREATED), ("instances.a", False, State.REMOVED)}
    assert picture.standing["network_interfaces.float"].instance == "instances.b"
    text = svg(picture, title="failover")
    assert "− moves" in text
    assert "standby" not in text
    assert "standby" in svg(picture.after, title="after")


def test_another_index_of_the_same_instance_shows_both() -> None:
    picture = in_plan("interface-at-another-index")
    states = {each.state for each in picture.attachments if each.interface == "network_interfaces.eth1"}
    assert states == {State.CREATED, State.REMOVED}
    assert picture.standing["network_interfaces.eth1"].state is State.CREATED
    assert "− moves" in svg(picture, title="another index")


def test_an_address_that_moves_is_at_both_ends() -> None:
    picture = in_plan("address-on-our-other-interface")
    ends = {(each.interface, each.state) for each in picture.associations}
    assert ends == {
        ("network_interfaces.eth1", State.CREATED),
        ("network_interfaces.eth2", State.REMOVED),
    }
    assert [each.interface for each in picture.after.associations] == ["network_interfaces.eth1"]


def test_what_loses_an_end_ends() -> None:
    picture = in_plan("addresses-given-back-and-used-again")
    (association,) = picture.associations
    assert (association.address, association.state) == ("172.31.0.51", State.REMOVED)
    picture = in_plan("ignored-attachment-on-an-instance-that-goes")
    ends = {(each.interface, each.instance): each.state for each in picture.attachments}
    assert ends["network_interfaces.eth1", "instances.old"] is State.REMOVED
    assert ends["network_interfaces.eth2", "instances.old"] is State.REMOVED
    assert nodes(picture)["instances.old"].state is State.REMOVED


def test_an_interface_that_goes_stays_in_its_instance_and_one_that_is_detached_does_not() -> None:
    kept = in_plan("removed-instance-and-its-interfaces-stay")
    assert "network_interfaces.spare" not in kept.standing
    gone = in_plan("removed-interface-and-another-takes-its-slot")
    removed = [each.key for each in gone.interfaces if each.state is State.REMOVED]
    assert removed
    assert set(removed) <= gone.standing.keys()


def test_addresses_and_groups_have_states_of_their_own() -> None:
    (interface,) = in_plan("pools-listed-drifted").interfaces
    states = {item.text: item.state for item in interface.addresses}
    assert states["10.3.0.99"] is State.REMOVED
    assert states["10.3.0.11"] is State.CREATED
    (interface,) = in_plan("groups-added").interfaces
    assert {item.text: item.state for item in interface.groups}["two"] is State.CREATED


def test_a_changed_type_tells_both() -> None:
    facts = [item for each in in_plan("instances-resized-in-every-state").instances for item in each.facts]
    assert Item("t3.small", State.CHANGED, "instance_type", "t3.micro") in facts
    assert Item("t3.small", key="instance_type") in [
        item for each in in_plan("instances-resized-in-every-state").after.instances for item in each.facts
    ]


def drawn_plan(spec: Any, live: Any, *, prune: bool = False) -> Picture:
    loaded = spec_of(spec)
    found = live_of(live, loaded)
    return plan_picture(make_plan(loaded, found, prune=prune), loaded.document, found)


def test_an_adoption_has_a_word_of_its_own_and_lines_that_stay_are_plain() -> None:
    ids = {"security_groups": "sg", "instances": "i", "network_interfaces": "eni", "elastic_ips": "eipalloc"}
    spec: Any = {section: {"web": {"adopt": f"{prefix}-00000001"}} for section, prefix in ids.items()}
    live: Any = {section: {"web": {"id": rows["web"]["adopt"], "found": True}} for section, rows in spec.items()}
    live["network_interfaces"]["web"] |= {"at": "web 0", "groups": ["sg-00000001"]}
    live["elastic_ips"]["web"] |= {"at": "web"}
    picture = drawn_plan(spec, live)
    assert picture.states == (State.SAME, State.ADOPTED)
    assert {each.state for each in nodes(picture).values()} == {State.ADOPTED}
    assert {each.state for each in picture.attachments} == {State.SAME}
    assert {each.state for each in picture.associations} == {State.SAME}
    (interface,) = picture.interfaces
    assert [item.marked for item in interface.groups] == ["» web"]
    assert (interface.facts, picture.after.interfaces[0].facts) == ((), ())
    assert {part.state for part in layout(picture, "x").parts if isinstance(part, Wire)} == {State.SAME}
    assert "» adopted" in [text for _, text in picture.legend]


def test_a_row_that_was_renamed_says_what_it_was() -> None:
    spec: Any = {section: {"new": {"renamed_from": "old"}} for section in ("security_groups", "elastic_ips")}
    spec["network_interfaces"] = {
        "new": {"renamed_from": "old", "subnet": {"default_for_az": "us-east-1a"}, "security_groups": ["new"]}
    }
    live: Any = {section: {"old": {}} for section in spec}
    live["network_interfaces"]["old"] = {"groups": ["sg-old"]}
    picture = drawn_plan(spec, live)
    (interface,), (elastic_ip,) = picture.interfaces, picture.elastic_ips
    assert [item.marked for item in interface.facts] == ["~ renamed from old"]
    assert [item.marked for item in interface.groups] == ["~ new: renamed from old"]
    assert elastic_ip.words == "~ renamed from old"
    assert "~ renamed from old" in {part.text for part in layout(picture, "x").parts if isinstance(part, Label)}
    assert "renamed" not in mermaid(picture.after)


def test_a_route_that_ends_or_begins_marks_its_line_and_not_its_table() -> None:
    picture = Picture("x", interfaces=STRANGE.interfaces[1:])
    for state in (State.CREATED, State.REMOVED):
        route = Route("private", "0.0.0.0/0", "network_interfaces.subgraph", state)
        parts = layout(replace(picture, routes=(route,)), "x").parts
        assert {part.state for part in parts if isinstance(part, Wire)} == {state}
        assert [part.state for part in parts if isinstance(part, Box) and part.role == "table"] == [State.SAME]
        assert state.words in {part.text for part in parts if isinstance(part, Label)}  # in the legend
        assert state.marked("to 0.0.0.0/0") in {part.text for part in parts if isinstance(part, Label)}


def test_of_an_interface_that_goes_the_groups_that_go_with_it_are_marked() -> None:
    live: Any = {
        "security_groups": {"web": {}},
        "network_interfaces": {"eth0": {"groups": ["sg-web", "sg-stranger"]}},
    }
    (interface,) = drawn_plan({}, live, prune=True).interfaces
    assert {item.text: item.state for item in interface.groups} == {
        "web": State.REMOVED,
        "sg-stranger": State.SAME,
    }


def test_a_spec_alone_tells_selectors_and_what_ec2_chooses() -> None:
    picture = of_file(ROOT / "specs" / "nat-appliance.yaml")
    interfaces = nodes(picture)
    outside, inside = (interfaces[f"network_interfaces.nat-{side}"] for side in ("outside", "inside"))
    assert [item.text for item in outside.addresses] == [CHOSEN]
    assert (inside.subnet, [item.text for item in inside.addresses]) == ("lab-private", ["10.0.3.10"])
    assert picture.vpc == "VPC lab"
    assert picture.routes == (Route("lab-private", "0.0.0.0/0", "network_interfaces.nat-inside"),)
    assert picture.associations == (Association("elastic_ips.nat", "network_interfaces.nat-outside"),)


def test_the_candidates_of_a_failover_are_all_told() -> None:
    picture = of_file(ROOT / "specs" / "firewall-pair.yaml")
    places = [each for each in picture.attachments if each.interface == "network_interfaces.service"]
    assert [(each.instance, each.standby) for each in places] == [
        ("instances.fw-a", False),
        ("instances.fw-b", True),
    ]


def test_each_address_has_its_elastic_ip() -> None:
    picture = of_file(ROOT / "specs" / "mail-host.yaml")
    assert {each.elastic_ip: each.address for each in picture.associations} == {
        "elastic_ips.mail": PRIMARY,
        **{f"elastic_ips.mx{number}": f"172.31.0.{40 + number}" for number in range(1, 5)},
    }


def test_an_elastic_ip_on_an_instance_and_on_an_address_of_ec2s_choice() -> None:
    picture = spec_picture(
        spec_of(
            {
                "instances": {"fw": {"external": {"tags": {"Name": "fw-1"}}}},
                "network_interfaces": {
                    "eth1": {
                        "subnet": "subnet-0123456789abcdef0",
                        "secondary_private_ip_count": 2,
                        "attachment": {"instance": "fw", "device_index": 1},
                    }
                },
                "elastic_ips": {
                    "first": {"association": {"instance": "fw"}},
                    "second": {"association": {"network_interface": "eth1", "secondary": True}},
                    "third": {"association": {"network_interface": "eth1", "secondary": True}},
                    "foreign": {"association": {"network_interface": "eni-0123456789abcdef0"}},
                },
            }
        ).document
    )
    ends = {each.elastic_ip: (each.interface, each.address) for each in picture.associations}
    assert ends["elastic_ips.first"] == ("primary interface of fw", PRIMARY)
    assert ends["elastic_ips.foreign"] == ("eni-0123456789abcdef0", PRIMARY)
    chosen = [ends[f"elastic_ips.{name}"] for name in ("second", "third")]
    assert len({address for _, address in chosen} - {PRIMARY}) == 2
    assert Attachment("primary interface of fw", "instances.fw", 0) in picture.attachments
    (instance,) = picture.instances
    assert [item.text for item in instance.facts] == ["external fw-1"]


def test_stacks_in_one_picture_keep_their_names_apart() -> None:
    first = hosts(1, 1)
    both = together([first, replace(first, stack="other")])
    assert [each.name for each in both.instances] == ["lab/node-00", "other/node-00"]
    assert len(nodes(both)) == 2 * len(nodes(first))
    assert both.stack == "lab, other"
    assert together([first]) == first


# ---- SVG

FONTS = {
    "title": Font(19, bold=True),
    "name": Font(14, bold=True),
    "text": Font(12),
    "chip": Font(12),
    "mono": Font(12, mono=True),
    "word": Font(11, bold=True),
}


@dataclass(frozen=True)
class Area:
    left: float
    top: float
    right: float
    bottom: float
    what: str

    def overlaps(self, other: Area) -> bool:
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)

    def contains(self, other: Area) -> bool:
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314 - we wrote it


def texts(root: ElementTree.Element) -> Iterator[Area]:
    """The areas of all texts in a wide font, from their ascenders to their descenders."""
    for element in root.iterfind("{*}text"):
        font = FONTS[element.attrib["class"].split()[0].removeprefix("ep-")]
        shown = "".join([element.text or "", *(child.tail or "" for child in element)])
        width, x, y = font.width(shown), float(element.attrib["x"]), float(element.attrib["y"])
        left = x - width if element.get("text-anchor") == "end" else x
        yield Area(left, y - 0.8 * font.size, left + width, y + 0.25 * font.size, shown)


def boxes(root: ElementTree.Element) -> Iterator[Area]:
    for element in root.iterfind("{*}rect"):
        if (role := element.attrib["class"]) != "ep-paper":
            x, y, width, height = (float(element.attrib[name]) for name in ("x", "y", "width", "height"))
            yield Area(x, y, x + width, y + height, role)


def check_legible(picture: Picture) -> None:
    """No text overlaps another or crosses a line, boxes are apart or inside each other, all is in the picture."""
    root = parsed(svg(picture, title="two-enis in us-east-1, plan"))
    whole = Area(0, 0, float(root.attrib["width"]), float(root.attrib["height"]), "picture")
    assert root.attrib["viewBox"] == f"0 0 {whole.right:g} {whole.bottom:g}"
    words, rectangles = list(texts(root)), list(boxes(root))
    for area in (*words, *rectangles):
        assert whole.contains(area), area
    for one, other in itertools.combinations(words, 2):
        assert not one.overlaps(other), (one, other)
    for rectangle, word in itertools.product(rectangles, words):
        assert not rectangle.overlaps(word) or rectangle.contains(word), (rectangle, word)
    for one, other in itertools.combinations(rectangles, 2):
        assert not one.overlaps(other) or one.contains(other) or other.contains(one), (one, other)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_every_spec_is_legible(path: Path) -> None:
    check_legible(of_file(path))


@pytest.mark.parametrize(
    "picture",
    [hosts(1, 3), hosts(20, 3), hosts(4, 15), hosts(0, 0, 60), STRANGE, Picture("empty")],
    ids=["3", "60", "60-on-few", "60-apart", "strange", "empty"],
)
def test_any_size_is_legible(picture: Picture) -> None:
    check_legible(picture)


def test_every_plan_is_legible() -> None:
    for each in list(situations().values())[::4]:
        check_legible(each.picture)


def test_a_title_that_says_where_ec2_is_is_not_cut() -> None:
    title = "a-stack-with-a-long-name in eu-central-1 at http://127.0.0.1:45678, not AWS, plan"
    drawing = layout(hosts(1, 1), title)
    assert title in {part.text for part in drawing.parts if isinstance(part, Label)}


def test_many_interfaces_wrap_into_columns() -> None:
    root = parsed(svg(hosts(20, 3), title="60"))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert 0.5 < width / height < 2


def test_an_svg_is_described_and_loads_and_runs_nothing() -> None:
    for picture in (*map(of_file, SPECS), STRANGE):
        text = svg(picture, title=f"title {HOSTILE}")
        root = parsed(text)
        told = {
            element.attrib["id"]: element.text or "" for element in root if element.tag[-5:] in ("title", "}desc")
        }
        assert root.attrib["aria-labelledby"].split() == list(told)
        title, description = told.values()
        assert title.startswith("title a")
        for name in (each.name for each in nodes(picture).values() if each.name != HOSTILE):
            assert name in description
        assert {element.tag.partition("}")[2] for element in root.iter()} <= {
            *("svg", "title", "desc", "style", "rect", "line", "circle", "text")
        }
        assert not re.search(r"href|url\(|@import|@font-face|<!|\son\w+=", text)
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_states_are_told_in_words_and_lines_not_in_colour_alone() -> None:
    text = svg(STRANGE, title="all")
    for state in State:
        rule = re.search(rf"\.ep-{state}{{stroke-width:([\d.]+);stroke-dasharray:([^}}]+)}}", STYLE)
        assert rule, state
        if state in STRANGE.states and state is not State.SAME:
            assert f">{state.mark} {state}</text>" in text
    looks = re.findall(r"\.ep-\w+{stroke-width:([\d.]+);stroke-dasharray:([^}]+)}", STYLE)
    assert len(looks) == len(set(looks)) == len(State)


def test_two_fit_in_one_page() -> None:
    one, other = (svg(hosts(1, 1), title=title, standalone=False) for title in ("before", "after"))
    assert one.startswith("<svg ")
    ids = [re.findall(r' id="([^"]+)"', text) for text in (one, other)]
    assert len(set(itertools.chain(*ids))) == 4
    assert f"<style>{STYLE}</style>" in one
    selectors = re.findall(
        r"(?:^|[{}])\s*([^{}@]+){", STYLE.replace("@media screen and (prefers-color-scheme:dark){", "")
    )
    assert selectors
    for selector in itertools.chain(*(each.split(",") for each in selectors)):
        assert selector.strip().startswith(".enireconcile-picture"), selector
    assert svg(hosts(1, 1), title="before").startswith("<?xml ")


def luminance(colour: str) -> float:
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_that_of_wcag(scheme: str) -> None:
    """4.5 for text on every surface that it may stand on, 3 for lines on paper."""
    light, _, dark = STYLE.partition("@media screen and (prefers-color-scheme:dark)")
    style = {"light": light, "dark": dark}[scheme]
    paper = _value(style, ".ep-paper", "fill")
    surfaces = [paper, *(_value(style, f"rect.ep-{state}", "fill") for state in State)]
    inks = {state: _value(style, f"text.ep-{state}", "fill") for state in State}
    for state in State:
        own = _value(style, f"rect.ep-{state}", "fill")
        assert contrast(inks[state], own) >= 4.5
        assert contrast(inks[state], paper) >= 4.5
        assert contrast(_value(style, f"line.ep-{state}", "stroke"), paper) >= 3
    for surface in surfaces:
        # What is unchanged, or marked as an item, stands on surfaces of all states.
        assert contrast(inks[State.SAME], surface) >= 4.5
        assert contrast(_value(style, "text.ep-quiet", "fill"), surface) >= 4.5
        assert all(contrast(ink, surface) >= 4.5 for ink in inks.values())


def _value(style: str, selector: str, name: str) -> str:
    found = re.search(rf"{re.escape(selector)}{{[^}}]*{name}:(#[0-9a-f]{{6}})}}", style)
    assert found, (selector, name)
    return found[1]


# ---- Mermaid and DOT

_QUOTED = r'"(?:[^"<>&`\\#]|#\d+;|#(?:quot|lt|gt|amp);|<br/>)*"'
MERMAID = re.compile(
    "|".join(
        (
            "flowchart LR",
            rf"  subgraph n\d+\[{_QUOTED}\]|  end",
            rf" +n\d+(?:\[{_QUOTED}\]|\(\[{_QUOTED}\]\)|\[/{_QUOTED}/\])",
            rf"  n\d+ (?:-->|==>|-\.->)(?:\|{_QUOTED}\|)? n\d+",
            r"  classDef [a-z]+ [a-z#0-9:,\ -]+",
            r"  class n\d+(?:,n\d+)* [a-z]+",
        )
    )
)


def test_mermaid_quotes_every_text() -> None:
    for picture in (STRANGE, hosts(2, 2), *map(of_file, SPECS), *(each.picture for each in situations().values())):
        lines = mermaid(picture, title="plan").splitlines()[3:]
        for line in lines:
            assert MERMAID.fullmatch(line), line
        drawn = {found[1] for line in lines if (found := re.match(r" +(?:subgraph )?(n\d+)[\[(]", line))}
        assert drawn == set(re.findall(r"\bn\d+\b", "\n".join(line for line in lines if " class " in f" {line}")))
        assert len(drawn) == len(nodes(picture)) + len({route.table for route in picture.routes})


def test_titles_are_quoted() -> None:
    _, title, _, first, *_ = mermaid(STRANGE, title=HOSTILE).splitlines()
    assert yaml.safe_load(title) == {"title": f"{printable(HOSTILE)} · {printable(HOSTILE)}"}
    assert first == "flowchart LR"
    assert mermaid(Picture("empty")) == "flowchart LR\n"


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ("failover-checks-fail", ["unchanged", "+ new place", "~ changed", "− former place"]),
        ("removed-instance-and-its-interfaces", ["− removed"]),
    ],
)
def test_the_legend_tells_a_move_from_an_end(plan: str, words: list[str]) -> None:
    """Nothing is removed where an interface or an Elastic IP changes its place."""
    picture = in_plan(plan)
    assert [text for _, text in picture.legend] == words
    labels = {part.text for part in layout(picture, "x").parts if isinstance(part, Label)}
    assert set(words) <= labels


def test_mermaid_tells_states_in_words() -> None:
    text = mermaid(in_plan("address-on-our-other-interface"))
    assert "(+ created)" in text
    assert "(− removed)" in text


@pytest.mark.filterwarnings("ignore:.*deprecated - use:DeprecationWarning")
def test_dot_is_parsed_and_has_all_that_is_drawn() -> None:
    for picture in (
        STRANGE,
        of_file(ROOT / "specs" / "firewall-pair.yaml"),
        in_plan("failover-checks-fail"),
        in_plan("route-after-the-launch"),
    ):
        parsed_graphs = pydot.graph_from_dot_data(dot(picture))
        assert parsed_graphs is not None
        (graph,) = parsed_graphs
        clusters = graph.get_subgraphs()
        assert len(clusters) == len(picture.instances)
        inside = [node for cluster in clusters for node in cluster.get_nodes() if node.get("shape") != "point"]
        outside = [node for node in graph.get_nodes() if node.get("label") and node.get_name() != "graph"]
        tables = {route.table for route in picture.routes}
        assert len(inside) + len(outside) == len(picture.interfaces) + len(picture.elastic_ips) + len(tables)
        names = {node.get_name() for cluster in (graph, *clusters) for node in cluster.get_nodes()}
        for edge in graph.get_edges():
            assert {edge.get_source(), edge.get_destination()} <= names
        assert len(graph.get_edges()) >= len(picture.associations) + len(picture.routes)
