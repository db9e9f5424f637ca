"""What users of other tools complain of, and what happens here instead; one test for each complaint."""

from __future__ import annotations

from .firewalls import SPEC, Firewalls
from .house import House


def test_force_detach_by_default(slow_house: House) -> None:
    """Force detach by default."""
    lab = Firewalls(slow_house)
    slow_house.apply(SPEC)
    lab.sicken("fw-a")
    assert slow_house.apply(SPEC).outcome == "converged"
    detaches = [call.params for call in slow_house.strict.mutating() if call.action == "DetachNetworkInterface"]
    assert [params.get("Force", False) for params in detaches] == [False]


def test_stuck_in_detaching(slow_house: House) -> None:
    """Stuck in detaching."""
    lab = Firewalls(slow_house)
    spec = SPEC.replace("preempt: false", "force_detach_after: 60s")
    slow_house.apply(spec)
    slow_house.strict.world.set_clinging(lab.ids["fw-a"])
    lab.sicken("fw-a")
    # A run without leave to force waits for ten minutes, ends, and says what is so and what to do.
    began = slow_house.loop.now
    report = slow_house.apply(SPEC)
    assert (report.outcome, lab.interface()["Attachment"]["Status"]) == ("partial", "detaching")
    assert slow_house.loop.now - began < 650
    [error] = [outcome.error or "" for outcome in report.outcomes if outcome.status == "failed"]
    assert "after 600 s Status is in-use" in error
    assert "stop its instance, or let a failover force it (force_detach_after)" in error
    # A run that may goes on from there.
    assert slow_house.apply(spec).outcome == "converged"
    assert lab.holder() == "fw-b"
