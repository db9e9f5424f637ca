"""What the commands share: the AWS session of a spec, and the options of plan and apply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from enireconcile.aws.api import Channel
from enireconcile.aws.session import connect
from enireconcile.outputs.planfile import SavedPlan
from enireconcile.planning.guards import Allowed
from enireconcile.spec import Spec


@dataclass(frozen=True)
class Connection:
    """Where the session comes from, beyond the standard chain; ``parallelism`` is calls at once."""

    region: str | None
    profile: str | None
    parallelism: int

    @contextmanager
    def open(self, spec: Spec, *, read_only: bool = False) -> Iterator[Channel]:
        session = connect(
            region=self.region or spec.document.region,
            profile=self.profile,
            assume_role_arn=spec.document.assume_role_arn,
            parallelism=self.parallelism,
            read_only=read_only,
        )
        channel = Channel(session, self.parallelism)
        try:
            yield channel
        finally:
            channel.close()


@dataclass
class SeenMessages:
    """What was said last of each thing, so that a watch does not say it again every round."""

    _said: dict[str, str] = field(default_factory=dict)

    def are(self, about: str, words: str) -> bool:
        """Is this something new? From now on it is not."""
        before, self._said[about] = self._said.get(about), words
        return before != words


@dataclass(frozen=True)
class PlanOptions:
    """The flags of ``plan``; times are in seconds."""

    output: str
    prune: bool = False
    targets: Sequence[str] = ()
    out: Path | None = None
    metrics: Path | None = None
    jitter: float = 0.0
    who: bool = False


@dataclass(frozen=True)
class ApplyOptions:
    """The flags of ``apply``, and what was said before; times are in seconds.

    ``parts`` are the targets and ``saved`` the saved plans by spec file. ``command`` is what the user calls it.
    ``notify`` is a secret.
    """

    output: str
    auto_approve: bool
    report: Path | None
    timeout: float | None
    settle_timeout: float
    lock_timeout: float
    state: str | None
    prune: bool = False
    targets: Sequence[str] = ()
    allow_destroy: bool = False
    max_changes: int | None = None
    metrics: Path | None = None
    notify: str | None = field(default=None, repr=False)
    notify_all: bool = False
    jitter: float = 0.0
    command: str = "apply"
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    saved: Mapping[str, SavedPlan] = field(default_factory=dict)
    news: SeenMessages = field(default_factory=SeenMessages)

    @property
    def allowed(self) -> Allowed:
        return Allowed(self.auto_approve, self.allow_destroy, self.max_changes)
