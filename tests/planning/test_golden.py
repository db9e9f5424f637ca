"""Golden triples: a spec, a live state, and the whole plan that leads from one to the other.

Each file under ``golden/`` tells one situation in a sentence. How its live state is to be read says ``worlds.py``;
its plan has a line for each change and each EC2 call, with the parameters of the call and what it waits for. With
``prune: true`` what the spec no longer names is to go.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from enireconcile.model import Action, Plan
from tests.planning.worlds import brief, plan_of

GOLDEN = {
    path.stem: yaml.safe_load(path.read_text())
    for path in sorted((Path(__file__).parent / "golden").glob("*.yaml"))
}
assert GOLDEN, "the situations are missing"


def planned(triple: dict[str, Any]) -> Plan:
    """The plan for a situation."""
    return plan_of(triple["spec"], triple["live"], prune=triple.get("prune", False), partly=True)


@pytest.mark.parametrize("triple", GOLDEN.values(), ids=GOLDEN)
def test_plan_is_golden(triple: dict[str, Any]) -> None:
    assert brief(planned(triple)) == triple["plan"]


def test_order_of_the_reads_does_not_matter() -> None:
    """EC2 gives no order, so a plan from the same records the other way round is the same to the letter."""
    for situation, triple in GOLDEN.items():
        backwards = {section: dict(reversed(rows.items())) for section, rows in triple["live"].items()}
        for name, row in triple["live"].get("network_interfaces", {}).items():
            # The builder counts private addresses up; these stay with their interfaces.
            address = f"172.31.0.{10 + list(triple['live']['network_interfaces']).index(name)}"
            backwards["network_interfaces"][name] = {"private_ip": address, **row}
        assert planned({**triple, "live": backwards}) == planned(triple), situation


def test_nothing_to_do_exactly_when_nothing_differs() -> None:
    for situation, triple in GOLDEN.items():
        plan = planned(triple)
        assert plan.empty == all(change.action is Action.UNCHANGED for change in plan.changes), situation


def test_a_situation_is_one_sentence() -> None:
    for situation, triple in GOLDEN.items():
        assert (triple["situation"].count("."), triple["situation"][-1]) == (1, "."), situation
