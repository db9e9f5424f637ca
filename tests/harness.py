"""A strict EC2, a virtual clock and a state directory, with which a test plans and applies as the commands do."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.session import get_session

from enireconcile.aws.api import Channel, Reader
from enireconcile.aws.parsers import check_answers_of
from enireconcile.aws.session import Session
from enireconcile.engine.planner import account_of, look
from enireconcile.engine.reconciler import Apply
from enireconcile.engine.stop import Stop
from enireconcile.errors import SpecErrors
from enireconcile.export.document import Exported, exported
from enireconcile.iam.policy import (
    policy_for,
)
from enireconcile.iam.statements import (
    Asked,
)
from enireconcile.live.selected import Selection
from enireconcile.live.selection import select
from enireconcile.model import Impact, Plan, Report
from enireconcile.spec import Spec, load
from enireconcile.state import Journal
from enireconcile.state.clock import BootClock
from enireconcile.state.directory import Directory
from tests.ec2 import EC2Server, Policy, Settings, World
from tests.ec2.clients import Lent, give_back, lend
from tests.virtual import VirtualLoop, run

STORY = Path(__file__).parent.parent / "specs" / "two-enis.yaml"
SLOW = Settings(
    attach_delay=0.5,
    detach_delay=0.5,
    pending_delay=0.5,
    stop_delay=0.5,
    terminate_delay=0.5,
    visibility_delay=0.5,
)
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}


@functools.cache
def boto() -> boto3.Session:
    """Reading the service models takes long; once a process is enough."""
    core = get_session()
    core.set_credentials(ENVIRONMENT["AWS_ACCESS_KEY_ID"], ENVIRONMENT["AWS_SECRET_ACCESS_KEY"])
    check_answers_of(core)
    return boto3.Session(botocore_session=core)


@dataclass(frozen=True)
class Foreign:
    """Another EC2 at ``url``, of which we see only what its API shows."""

    url: str

    def client(self, service: str = "ec2") -> Any:
        return _foreign(self.url, service)


@functools.cache
def _foreign(url: str, service: str) -> Any:
    return boto().client(service, endpoint_url=url, region_name="us-east-1")  # type: ignore[call-overload]


def image_id(ec2: Any) -> str:
    """An image for the x86_64 types that tests launch."""
    images = ec2.describe_images(Filters=[{"Name": "architecture", "Values": ["x86_64"]}])["Images"]
    return str(images[0]["ImageId"])


@dataclass
class _Session(Session):
    """One of our own, but with clients that earlier tests have left."""

    _lent: list[Lent] = field(default_factory=list)

    def _make(self, service: str) -> Any:
        key = ("harness", service, self.region, self.read_only)
        lent = lend(key, os.environ["AWS_ENDPOINT_URL"], lambda: super(_Session, self)._make(service))
        self._lent.append(lent)
        return lent.client

    def close(self) -> None:
        while self._lent:
            give_back(self._lent.pop())


@dataclass
class Harness:
    """``events`` collects what the executor tells; ``settle`` is --settle-timeout."""

    server: EC2Server | Foreign
    loop: VirtualLoop
    state: Path
    settle: float = 30.0
    events: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def strict(self) -> EC2Server:
        """The strict EC2, where a test looks into it."""
        assert isinstance(self.server, EC2Server)
        return self.server

    def client(self) -> Any:
        """The account as other tools change it."""
        return self.server.client("ec2")

    def spec(self, text: str | None = None) -> Spec:
        """The story's spec, or one from a text."""
        if text is None:
            return load([str(STORY)])[0]
        return load(["-"], stdin=lambda: text)[0]

    def obey(self, *texts: str | None, **asked: Any) -> Policy:
        """From now on a run may only do what iam-policy grants for these specs; others may do everything."""
        documents = [self.spec(text).document for text in texts]
        policy = Policy(policy_for(documents, Asked(**asked))[0])
        self.strict.policies[ENVIRONMENT["AWS_ACCESS_KEY_ID"]] = policy
        return policy

    def plan(
        self, text: str | None = None, *, prune: bool = False, destroy: bool = False, partly: bool = False
    ) -> Plan:
        """What ``plan`` plans, or what ``destroy`` would do.

        Raises SpecErrors with the errors of the plan, unless ``partly``: then it is the plan for the rest.
        """
        spec = self.spec(text).emptied() if destroy else self.spec(text)
        with self.channel(spec, read_only=True) as channel:
            made = run(look(Reader(channel), spec, "us-east-1", prune=prune or destroy), self.loop).plan
        return made if partly else _whole(made)

    def apply(
        self,
        text: str | None = None,
        *,
        approve: Callable[[Plan], Impact] = lambda _: Impact.DESTRUCTIVE,
        state: Path | None = None,
        destroy: bool = False,
        timeout: float | None = None,
        partly: bool = False,
        **more: Any,
    ) -> Report:
        """An apply under the lock, or with ``destroy`` that command.

        ``state`` is another host's state directory, ``timeout`` is --timeout, ``more`` is for Apply. Raises
        SpecErrors before anything changes if the plan has errors, unless ``partly``: then the rest is applied.
        """
        approved = approve if partly else lambda plan: approve(_whole(plan))
        spec, more = (self.spec(text).emptied(), {**more, "prune": True}) if destroy else (self.spec(text), more)
        with self.channel(spec) as channel:
            account = run(account_of(Reader(channel)), self.loop)
            scope = f"{account}-us-east-1-{spec.document.stack}"
            with self._directory(state).locked(scope, timeout=0, now=self.loop.time) as held:
                applying = self._applying(channel, spec, account, held.journal, timeout, approve=approved, **more)
                return run(applying, self.loop)

    def export(self, **selected: Any) -> Exported:
        """What ``export`` prints for a Selection, and its notes; with ``folder`` also the files of user data."""
        folder = selected.pop("folder", None)
        selection, asked = Selection(**selected), folder is not None
        with self.channel(None, read_only=True) as channel:
            reading = select(Reader(channel), selection, "us-east-1", user_data=asked)
            return exported(selection, run(reading, self.loop), folder)

    def _directory(self, state: Path | None) -> Directory:
        return Directory(state or self.state, BootClock("virtual", self.loop.time))

    async def _applying(
        self, channel: Channel, spec: Spec, account: str, journal: Journal, timeout: float | None, **more: Any
    ) -> Report:
        stop = Stop()
        if timeout is not None:
            self.loop.call_later(timeout, stop.because, "the time is up")
        return await Apply(
            channel=channel,
            spec=spec,
            account_id=account,
            journal=journal,
            tell=self.events.append,
            stop=stop,
            settle=self.settle,
            now=self.loop.time,
            **more,
        ).run()

    @contextmanager
    def channel(self, spec: Spec | None, *, read_only: bool = False) -> Iterator[Channel]:
        region = spec.document.region if spec else None
        channel = Channel(_Session(boto(), region or "us-east-1", read_only=read_only))
        try:
            yield channel
        finally:
            channel.close()


def _whole(plan: Plan) -> Plan:
    """The plan. Raises SpecErrors if it leaves anything out."""
    if plan.errors:
        raise SpecErrors([error.problem for error in plan.errors])
    return plan


@contextmanager
def open_harness(state: Path, settings: Settings | None = None) -> Iterator[Harness]:
    """A fresh account on a clock of its own."""
    loop = VirtualLoop()
    with (
        EC2Server(World(settings or Settings(), clock=loop.time)) as server,
        harness_on(server, loop, state) as harness,
    ):
        yield harness


@contextmanager
def harness_on(server: EC2Server | Foreign, loop: VirtualLoop, state: Path) -> Iterator[Harness]:
    """A Harness whose sessions go to ``server``."""
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT, AWS_ENDPOINT_URL=server.url)
    try:
        yield Harness(server, loop, state)
    finally:
        os.environ.clear()
        os.environ.update(before)
        loop.close()
