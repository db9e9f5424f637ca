"""Ask EC2 for permission before a plan takes something away: DryRun of the calls that are to follow.

A replacement terminates the former instance before it launches the new one, and a change of type stops the
instance first. If IAM denies the later calls, the former instance is gone, or stays stopped. DryRun shows that
before the first call. It works only for calls whose parameters are all known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from enireconcile.aws.actions import action
from enireconcile.aws.faults import Fault
from enireconcile.aws.retry import is_transient, retrying
from enireconcile.engine.executor import Writes
from enireconcile.model import Impact, Ref, Step, refs_in


async def denied(writer: Writes, steps: Sequence[Step]) -> list[str]:
    """An error for each call that has to follow a removal, and that the credentials are not allowed to make.

    Raises AwsError if EC2 does not answer.
    """
    errors = await asyncio.gather(*(_error(writer, step) for step in rehearsed(steps)))
    return [error for error in errors if error is not None]


def rehearsed(steps: Sequence[Step]) -> list[Step]:
    """The steps to ask about: all that follow a removal which stops an instance or makes way for a new resource.

    A removal is a step that is not safe. The steps are in an order in which they can run.
    """
    removals = {step.id: step for step in steps if step.impact is not Impact.SAFE}
    before: dict[str, frozenset[str]] = {}
    for step in steps:
        before[step.id] = step.needs.union(*(before[need] for need in step.needs))
    followed = {step.id: before[step.id] & removals.keys() for step in steps}
    matter = {
        removal
        for step in steps
        for removal in followed[step.id]
        if Ref(step.address) in step.yields or removals[removal].call == "StopInstances"
    }
    return [step for step in steps if followed[step.id] & matter and _can_be_asked(step)]


def _can_be_asked(step: Step) -> bool:
    return action(step.call).dry_run and not any(refs_in(step.params))


async def _error(writer: Writes, step: Step) -> str | None:
    """What EC2 says against a call; None if it allows the call, or can say nothing without making it."""
    try:
        async for trial in retrying(is_transient, queue=writer.queue):
            with trial:
                await writer.turn(step.call)
                await writer.write(step.call, {**step.params, "DryRun": True})
    except Fault as fault:
        if fault.code == "UnauthorizedOperation":
            return str(fault.error(step.address))
        if is_transient(fault):
            raise fault.error(step.address) from None
    return None
