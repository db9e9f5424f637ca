"""What the commands share: the connection to AWS, and the options of plan and apply."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from msgspec import Struct

from enireconcile.outputs import logs
from enireconcile.outputs.outlet import Outlet
from enireconcile.outputs.planfile import SavedPlan
from enireconcile.planning.estimate import FEWEST, MOST
from enireconcile.planning.guards import Allowed
from enireconcile.printable import printable
from enireconcile.spec import Spec

if TYPE_CHECKING:
    from enireconcile.aws.api import Channel
    from enireconcile.aws.session import BotoSession, Session
    from enireconcile.cli.signals import Interrupt
    from enireconcile.model import Plan
    from enireconcile.outputs.progress import Progress

log = logging.getLogger("enireconcile.commands")


def say_slow(what: str) -> None:
    """Tell the user what a read waits for."""
    logs.say(f"waiting for {printable(what)} …")


class Connection(Struct, frozen=True):
    """``region`` and ``profile`` override the spec and the standard chain.

    ``parallelism`` is the number of concurrent calls; None: as many as the plan asks for. ``boto`` is a session of
    the caller, which replaces the standard chain.
    """

    region: str | None
    profile: str | None
    parallelism: int | None
    boto: BotoSession | None = None

    @contextmanager
    def open(
        self,
        spec: Spec | None,
        *,
        read_only: bool = False,
        interrupt: Interrupt | None = None,
        slow: Callable[[str], None] | None = None,
    ) -> Iterator[Channel]:
        """The channel to AWS for a spec, or for none; ``interrupt`` can stop the search for credentials.

        ``slow`` is told what a read waits for; absent, the user is.

        Raises EnireconcileError without credentials or a Region.
        """
        from enireconcile.aws.api import Channel

        # The credentials may come from a slow program or service.
        session = (
            interrupt.in_thread(lambda: self._session(spec, read_only), "the credentials")
            if interrupt
            else self._session(spec, read_only)
        )
        channel = Channel(
            session, self.parallelism or FEWEST, file=spec.file if spec else None, slow=slow or say_slow
        )
        try:
            yield channel
        finally:
            channel.close()

    def as_caller(self, region: str) -> Session:
        """A session with the credentials at hand, without the role of a spec."""
        from enireconcile.aws.session import connect

        return connect(region=region, profile=self.profile, boto=self.boto)

    def _session(self, spec: Spec | None, read_only: bool) -> Session:
        from enireconcile.aws.session import Role, connect

        document = spec.document if spec else None
        role = None
        if document is not None and document.assume_role_arn:
            role = Role(document.assume_role_arn, document.external_id, document.stack)
        return connect(
            region=self.region or (document.region if document else None),
            profile=self.profile,
            boto=self.boto,
            role=role,
            parallelism=self.parallelism or MOST,
            read_only=read_only,
            region_hint=("set `region:` in the spec, " if document is not None else "give ")
            + "--region or AWS_REGION",
        )


@dataclass
class SeenMessages:
    """The last message about each subject, so that a watch does not repeat it in every round."""

    _last: dict[str, str] = field(default_factory=dict)

    def is_new(self, subject: str, message: str) -> bool:
        """Whether the message differs from the last one about its subject. Remembers it."""
        before, self._last[subject] = self._last.get(subject), message
        return before != message


@dataclass
class Memory:
    """What a watch keeps of a stack from round to round.

    ``errors`` are the keys of the errors in its last plan. ``checks`` are those that are not finished yet, with
    their deadlines on the monotonic clock.
    """

    messages: SeenMessages = field(default_factory=SeenMessages)
    errors: set[tuple[str, str]] = field(default_factory=set)
    checks: dict[str, float] = field(default_factory=dict)


class PlanOptions(Struct, frozen=True):
    """The options of ``plan``; times are in seconds. ``jobs`` is how many stacks are planned at once.

    With ``destroy``, all rows are taken out of the specs before.
    """

    output: str
    prune: bool = False
    destroy: bool = False
    targets: Sequence[str] = ()
    out: Outlet | None = None
    graph: Outlet | None = None
    html: Outlet | None = None
    metrics: Outlet | None = None
    jitter: float = 0.0
    jobs: int = 1
    who: bool = False


@dataclass(frozen=True)
class ApplyOptions:
    """The options of ``apply``, ``destroy`` and ``watch``; times are in seconds. ``jobs`` is how many stacks
    run at once.

    With ``state_as_caller``, a state in S3 is accessed without the role of the spec. ``command`` is the command's
    name. ``notify`` is a secret. The commands themselves set ``targets_by_file`` and,
    for ``apply --plan``, ``saved_plans``: the targets and the saved plan of each spec file. Each stack has a
    ``memory`` of its own.

    A program that runs it has the output ``none``; its ``ask`` approves a plan, its ``progress`` gets the events.
    """

    output: str
    auto_approve: bool
    report: Outlet | None
    timeout: float | None
    settle_timeout: float
    lock_timeout: float
    state: str | None
    state_as_caller: bool = False
    prune: bool = False
    targets: Sequence[str] = ()
    allow_destroy: bool = False
    max_changes: int | None = None
    html: Outlet | None = None
    metrics: Outlet | None = None
    notify: str | None = field(default=None, repr=False)
    notify_all: bool = False
    jitter: float = 0.0
    jobs: int = 1
    verify: bool = False
    command: str = "apply"
    targets_by_file: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    saved_plans: Mapping[str, SavedPlan] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    ask: Callable[[Plan], bool] | None = None
    progress: Progress | None = None

    @property
    def outlets(self) -> tuple[Outlet | None, ...]:
        return self.report, self.html, self.metrics

    @property
    def allowed(self) -> Allowed:
        return Allowed(self.auto_approve, self.allow_destroy, self.max_changes)


def random_delay(longest: float) -> float:
    """A random time of up to ``longest`` seconds, logged."""
    delay = longest * random.random()  # noqa: S311 (not a secret)
    if delay:
        log.info("starting in %.1f s", delay)
    return delay
