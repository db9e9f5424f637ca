"""Pictures of what is, on the strict EC2: after an apply it is what the spec wants, and a plan draws both."""

from __future__ import annotations

from pathlib import Path

import pytest

from enireconcile.aws.api import Reader
from enireconcile.engine.planner import Seen, look
from enireconcile.live.reader import read_owned
from enireconcile.live.records import Live
from enireconcile.outputs.graph import Picture, State, live_picture, plan_picture, spec_picture
from enireconcile.outputs.graph.picture import Attachment
from enireconcile.spec import Spec
from tests.harness import Harness
from tests.lab_vpc import lab
from tests.scenarios.firewalls import Firewalls
from tests.scenarios.test_specs import prepared
from tests.virtual import run

SPECS = Path(__file__).parents[2] / "specs"
REGION = "us-east-1"


def seen(harness: Harness, spec: Spec) -> Seen:
    with harness.channel(spec, read_only=True) as channel:
        return run(look(Reader(channel), spec, REGION), harness.loop)


def found(harness: Harness, spec: Spec) -> Live:
    """What graph --live reads."""
    with harness.channel(spec, read_only=True) as channel:
        reading = read_owned(Reader(channel), spec.document, REGION, subnets=True, networks=True)
        return run(reading, harness.loop)


def assert_same(one: Picture, other: Picture) -> None:
    """Equal but for the order."""
    for part in Picture.__struct_fields__:
        values = (getattr(one, part), getattr(other, part))
        if isinstance(values[0], tuple):
            assert set(values[0]) == set(values[1]), part
        else:
            assert values[0] == values[1], part


@pytest.mark.parametrize("name", ["two-enis", "firewall-pair", "nat-appliance", "mail-host", "management-network"])
def test_what_is_after_an_apply_is_what_the_spec_wants(name: str, harness: Harness) -> None:
    text = prepared(name, harness)
    assert harness.apply(text).outcome == "converged"
    spec = harness.spec(text)
    now = seen(harness, spec)
    wanted, live = spec_picture(spec.document, now.live), live_picture(spec.document, now.live)
    assert_same(wanted, live)
    assert_same(live_picture(spec.document, found(harness, spec)), live)
    assert_same(plan_picture(now.plan, spec.document, now.live), live)
    assert all(each.public_ip for each in live.elastic_ips)


def test_what_a_plan_leads_to_is_what_comes(harness: Harness) -> None:
    """The picture after, drawn before: only what EC2 chooses is not known yet."""
    lab(harness)
    spec = harness.spec((SPECS / "nat-appliance.yaml").read_text(encoding="utf-8"))
    before = seen(harness, spec)
    changes = plan_picture(before.plan, spec.document, before.live)
    assert changes.states == (State.CREATED,)
    assert live_picture(spec.document, before.live).empty
    harness.apply((SPECS / "nat-appliance.yaml").read_text(encoding="utf-8"))
    now = live_picture(spec.document, found(harness, spec))
    assert set(changes.after.attachments) == set(now.attachments)
    assert set(changes.after.associations) == set(now.associations)
    assert set(changes.after.routes) == set(now.routes)
    assert set(changes.after.instances) == set(now.instances)
    assert {(each.key, each.subnet, each.groups) for each in changes.after.interfaces} == {
        (each.key, each.subnet, each.groups) for each in now.interfaces
    }


def test_the_end_of_all(harness: Harness) -> None:
    """What destroy would do: all is removed, and nothing is after it."""
    harness.apply()
    spec = harness.spec().emptied()
    with harness.channel(spec, read_only=True) as channel:
        now = run(look(Reader(channel), spec, REGION, prune=True), harness.loop)
    picture = plan_picture(now.plan, spec.document, now.live)
    assert picture.states == (State.REMOVED,)
    assert (len(picture.interfaces), len(picture.elastic_ips), len(picture.associations)) == (2, 2, 2)
    assert picture.after.empty


def test_instances_and_interfaces_of_others(harness: Harness) -> None:
    """External instances have their ids; an Elastic IP on another owner's interface leads to its id."""
    firewalls = Firewalls(harness)
    text = (SPECS / "ha-failover.yaml").read_text(encoding="utf-8")
    harness.apply(text + "  admin: {association: {instance: fw-b}}\n")
    spec = harness.spec(text + "  admin: {association: {instance: fw-b}}\n")
    for live in (seen(harness, spec).live, found(harness, spec)):
        picture = live_picture(spec.document, live)
        facts = {each.key: [item.text for item in each.facts] for each in picture.instances}
        assert set(facts) == {"instances.fw-a", "instances.fw-b"}
        assert all(texts[0].startswith("external i-") for texts in facts.values())
        assert {each for each in picture.attachments if each.interface == "network_interfaces.service"} == {
            Attachment("network_interfaces.service", "instances.fw-a", 1),
            Attachment("network_interfaces.service", "instances.fw-b", 1, standby=True),
        }
        (admin,) = (each for each in picture.associations if each.elastic_ip == "elastic_ips.admin")
        assert admin.interface.startswith("eni-")
        assert picture.standing[admin.interface].instance == "instances.fw-b"
    assert firewalls
