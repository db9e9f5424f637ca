"""Hosts on which the command runs as a real process, and the account that they share."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enireconcile.engine.planner import look
from enireconcile.model import Step
from enireconcile.spec import Spec, load
from tests import forkserver
from tests.ec2 import Call, Drop, EC2Server, Hook, Settings, World
from tests.forkserver import Child
from tests.harness import ENVIRONMENT, STORY, harness_on
from tests.virtual import VirtualLoop

RICH = Path(__file__).parent / "rich.yaml"
PATHS = {"story": STORY, "rich": RICH}
DELAYS = Settings(
    visibility_delay=0.25,
    eni_pending_delay=0.1,
    pending_delay=0.1,
    attach_delay=0.1,
    detach_delay=0.1,
    stop_delay=0.1,
    terminate_delay=0.1,
)
"""Real seconds: what is new is unseen for a quarter of one."""
SETTLE = "1500ms"
"""Six times what it takes: on a busy machine a request may be long on its way."""
PATIENCE = 100.0
"""Real seconds after which a test gives a process up."""
_ENVIRONMENT = threading.Lock()
"""``os.environ`` is one for all threads."""


def spec_at(path: Path) -> Spec:
    return load([str(path)])[0]


class Clock:
    """Goes with the real time, and jumps ahead instead of making a test wait."""

    def __init__(self, now: float = 1000.0) -> None:
        self._start = now - time.monotonic()

    def __call__(self) -> float:
        return self._start + time.monotonic()

    def skip(self, seconds: float) -> None:
        self._start += seconds


def clocked(world: World) -> Clock:
    """The world's clock, if it is one that can skip."""
    assert isinstance(world.clock, Clock)
    return world.clock


def twin(world: World) -> World:
    """A second world in which everything is as in the first one now, and which goes its own way from here."""
    with world.lock:
        other = World(world.settings, Clock(world.clock()))
        other.data = pickle.loads(pickle.dumps(world.data))  # noqa: S301 - our own bytes, made in this line
        other.rng.setstate(world.rng.getstate())
    return other


# ---- which call is which


def label(call: Call, world: World) -> str:
    """A mutating call in words that mean the same in every run, e.g. ``AssociateAddress elastic_ips.web-1``."""
    if specifications := call.params.get("TagSpecifications"):
        tags: Mapping[str, str] = {tag["Key"]: tag["Value"] for tag in specifications[0]["Tags"]}
    else:
        tags = _tags(_target(call.params), world)
    return _labelled(call.action, tags.get("enireconcile:name", "?"), call.params)


def step_label(step: Step) -> str:
    """The same words for a step of a plan."""
    return _labelled(step.call, step.address, step.params)


def _labelled(action: str, address: str, params: Mapping[str, Any]) -> str:
    attribute = ""
    if action == "ModifyNetworkInterfaceAttribute":
        [attribute] = set(params) - {"NetworkInterfaceId"}
    return f"{action} {address} {attribute}".rstrip()


def _target(params: Mapping[str, Any]) -> str:
    """The id of what a call is about."""
    for name in ("AllocationId", "GroupId", "NetworkInterfaceId"):
        if name in params:
            return str(params[name])
    return str((params.get("InstanceIds") or params["Resources"])[0])


def _tags(resource_id: str, world: World) -> Mapping[str, str]:
    data = world.data
    for records in (data.addresses, data.groups, data.interfaces, data.instances):
        if record := records.get(resource_id):
            return record.tags
    return {}


class _Wireless:
    """Reads of a world without any wire."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def read(self, call: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        asked = dict(params or {})
        return self._world.ssm(call, asked) if call == "GetParameter" else self._world.perform(call, asked)

    async def pages(self, call: str, params: Mapping[str, Any] | None = None) -> AsyncIterator[dict[str, Any]]:
        yield await self.read(call, params)


def calls_on_an_empty_account(path: Path) -> list[str]:
    """The mutating calls of a first apply, as the plan has them."""
    world = World()
    seen = asyncio.run(look(_Wireless(world), spec_at(path), "us-east-1", world.settings.account_id))
    return [step_label(step) for step in seen.plan.steps]


# ---- processes


class Ended:
    """How a process ended: never with a traceback."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code, self.stderr = code, stderr
        assert "Traceback" not in stdout + stderr, stdout + stderr
        last = stdout.splitlines()[-1:] if code >= 0 else []
        self.report: dict[str, Any] = json.loads(last[0]) if last else {}

    def __str__(self) -> str:
        """For the message of a test that fails."""
        return json.dumps(self.report, indent=1) + self.stderr

    @property
    def result(self) -> tuple[int, str | None]:
        """The exit code and the report's outcome."""
        return self.code, self.report.get("outcome")


@dataclass
class Host:
    """A machine with a state directory, a process, and its own way to the account (``server.faults``)."""

    world: World
    state: Path
    server: EC2Server = field(init=False)
    begin: Callable[[Sequence[str], Mapping[str, str]], Child | subprocess.Popen[str]] = forkserver.start
    process: Child | subprocess.Popen[str] | None = None

    def __post_init__(self) -> None:
        self.server = EC2Server(self.world)

    def start(self, spec: Path, *options: str) -> None:
        """Begins ``apply``; its events go to stdout as JSON."""
        command = ["apply", "-y", "--output", "json", "--settle-timeout", SETTLE, *options, str(spec)]
        mine = {"AWS_ENDPOINT_URL": self.server.url, "ENIRECONCILE_STATE": str(self.state)}
        with _ENVIRONMENT:
            environment = {**os.environ, **ENVIRONMENT, **mine}
        self.process = self.begin(command, environment)

    def end(self) -> Ended:
        """Waits for the process."""
        assert self.process is not None
        stdout, stderr = self.process.communicate(timeout=PATIENCE)
        return Ended(self.process.wait(), stdout, stderr)

    def apply(self, spec: Path, *options: str) -> Ended:
        self.start(spec, *options)
        return self.end()

    def signal(self, number: int) -> None:
        """Sends a signal to the process."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self, _: Call | None = None) -> None:
        """SIGKILL, and the connection that it was waiting on is cut."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)
        raise Drop

    def kill_at(self, wanted: Callable[[Call], bool], *, late: bool) -> None:
        """Kills the process while such a call is on the wire: before it acts, or after."""
        self.server.faults.add(Hook(when=wanted, late=late, callback=self.kill))

    def held_at(self, wanted: Callable[[Call], bool], gate: threading.Event, *, times: int = 1) -> threading.Event:
        """Holds the first such calls until the gate opens; the answer says when the first has arrived."""
        return self._hold(Hook(when=wanted, times=times), gate)

    def held_at_the_door(self, gate: threading.Event) -> threading.Event:
        """The process starts up and reads nothing of EC2 before the gate opens."""
        return self._hold(Hook(action="GetCallerIdentity"), gate)

    def _hold(self, hook: Hook, gate: threading.Event) -> threading.Event:
        arrived = threading.Event()

        def hold(_: Call) -> None:
            arrived.set()
            assert gate.wait(PATIENCE)

        hook.callback = hold
        self.server.faults.add(hook)
        return arrived

    def has_made(self, wanted: Callable[[Call], bool], nth: int = 1) -> threading.Event:
        """Says when the nth such call has acted."""
        made = threading.Event()
        self.server.faults.add(Hook(when=wanted, nth=nth, late=True, callback=lambda _: made.set()))
        return made

    def warnings(self, spec: Path) -> Sequence[str]:
        """What a plan on this host warns of."""
        with _ENVIRONMENT, harness_on(self.server, VirtualLoop(), self.state) as harness:
            return harness.plan(spec.read_text(encoding="utf-8")).warnings

    def assert_unchanged(self, spec: Path) -> None:
        """One more apply on this host finds nothing to do, and does nothing."""
        self.server.clear()
        with _ENVIRONMENT, harness_on(self.server, VirtualLoop(), self.state) as harness:
            report = harness.apply(spec.read_text(encoding="utf-8"))
        assert (report.outcome, report.error) == ("unchanged", None)
        assert self.server.actions(mutating=True) == []


@contextmanager
def on(host: Host) -> Iterator[Host]:
    """While inside, the host reaches its account; no process of its outlives it."""
    with host.server:
        try:
            yield host
        finally:
            if host.process is not None:
                if host.process.poll() is None:
                    host.process.kill()
                host.process.communicate(timeout=PATIENCE)
