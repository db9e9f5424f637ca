"""Days of an account in minutes: edits, hands, faults, kills and pauses, on one host and on two.

Every run is a real process. A seed repeats its history: the same edits, the same hands, the same kills and pauses
at the same calls. HISTORIES asks for more seeds: ``HISTORIES=500 make prove``.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest

from tests.ec2 import Call, Drop, DropConnection, Hook, Quotas, Weather, World

from .accounting import assert_exact, twins
from .conftest import Proofs
from .histories import EMPTY, STACK, Spec, drift, edited, first, left_of, text_of
from .hosts import DELAYS, PATIENCE, Clock, Ended, Host, clocked, on, spec_at

SEEDS = range(int(os.environ.get("HISTORIES", "12")))
RUNS = 6
"""Runs of one history, before the calm ones at its end."""
SETTINGS = replace(DELAYS, quotas=Quotas(addresses=40))
_EXPECTED = {0, 4, 5}
"""Exit codes of a run that something disturbed: converged, locked, partial."""


@dataclass
class History:
    """One account, its hosts, and what has happened so far. ``shared``: the hosts share a lock."""

    rng: Random
    world: World
    hosts: list[Host]
    folder: Path
    shared: bool
    spec: Spec = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "spec.yaml"

    def note(self, kind: str, n: int = 1) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + n

    def write(self) -> None:
        self.file.write_text(text_of(self.spec), encoding="utf-8")
        self.told.append(f"spec:\n{text_of(self.spec)}")

    def happen(self) -> None:
        """An edit or drift, perhaps a fault, and a run that is left alone, killed, paused or met by another."""
        rng = self.rng
        for host in self.hosts:
            host.server.faults.clear()
        if rng.random() < 0.6:
            self.spec = edited(rng, self.spec)
            self.write()
        for _ in range(rng.choice([0, 0, 1, 2])):
            self.note("changes by hand", drift(rng, self.world))
        host = rng.choice(self.hosts)
        if rng.random() < 0.3:
            host.server.faults.add(Weather(0.03, seed=rng.randrange(1000), drops=0.03, late=0.5))
            self.note("runs in bad weather")
        if rng.random() < 0.3:
            host.server.faults.add(DropConnection(nth=rng.randrange(1, 6), late=True))
            self.note("lost answers")
        way = rng.choice([self._alone, self._killed, self._paused, self._met])
        self.told.append(f"{way.__name__} on {self.hosts.index(host)}")
        way(host)
        clocked(self.world).skip(SETTINGS.visibility_delay)
        found = twins(self.world, spec_at(self.file))
        if self.shared:
            assert not found, found
        # Only of what EC2 makes without a token may two hosts without a shared lock make two.
        assert all(address.startswith("elastic_ips.") for address in found), found

    def _alone(self, host: Host) -> None:
        self._ended(host)

    def _killed(self, host: Host) -> None:
        nth, late = self.rng.randrange(1, 10), self.rng.random() < 0.5
        struck = threading.Event()

        def kill(call: Call) -> None:
            struck.set()
            host.kill(call)

        host.server.faults.add(Hook(nth=nth, late=late, callback=kill))
        host.start(self.file, *self._options())
        end = host.end()
        self.told.append(f"killed at call {nth}: {end.code}")
        assert end.code in _EXPECTED or (struck.is_set() and end.code == -signal.SIGKILL), str(end)
        self.note("kills", struck.is_set())

    def _paused(self, host: Host) -> None:
        """SIGSTOP while a call is on the wire; the other host runs; SIGCONT, and the answer arrives or is lost."""
        other = self._other(host)
        nth, late, lost = self.rng.randrange(1, 10), self.rng.random() < 0.5, self.rng.random() < 0.5
        stopped, going = threading.Event(), threading.Event()

        def pause(_: Call) -> None:
            host.signal(signal.SIGSTOP)
            stopped.set()
            assert going.wait(PATIENCE)
            if lost:
                raise Drop

        host.server.faults.add(Hook(nth=nth, late=late, callback=pause))
        host.start(self.file, *self._options())
        _until(stopped.is_set, host)
        try:
            if stopped.is_set():
                self._ended(other, "--lock-timeout", "0s")
                self.note("pauses")
        finally:
            going.set()
            if stopped.is_set():
                host.signal(signal.SIGCONT)
        end = host.end()
        self.told.append(f"paused at call {nth}: {end.code}")
        assert end.code in _EXPECTED | self._twins_stop(), str(end)

    def _met(self, host: Host) -> None:
        """Both hosts run, from the same first call on."""
        other = self._other(host)
        gate = threading.Event()
        arrived = [each.held_at_the_door(gate) for each in (host, other)]
        for each in (host, other):
            each.start(self.file, *self._options())
        _until(lambda: all(event.is_set() for event in arrived), host, other)
        gate.set()
        for end in [each.end() for each in (host, other)]:
            self.told.append(f"met: {end.code}")
            assert end.code in _EXPECTED | self._twins_stop(), str(end)
        self.note("meetings")

    def _other(self, host: Host) -> Host:
        return next(each for each in self.hosts if each is not host)

    def _options(self) -> list[str]:
        return ["--prune", "--allow-destroy"]

    def _twins_stop(self) -> set[int]:
        """Where two addresses of one name are there, a run says so and ends with 1."""
        return set() if self.shared else {1}

    def _ended(self, host: Host, *options: str) -> Ended:
        end = host.apply(self.file, *self._options(), *options)
        self.told.append(f"alone: {end.code}")
        assert end.code in _EXPECTED | self._twins_stop(), str(end)
        return end

    def calm_down(self) -> None:
        """Nothing disturbs any more: each host converges, one after the other, and then finds nothing to do."""
        clocked(self.world).skip(SETTINGS.visibility_delay)
        self._choose()
        for host in self.hosts:
            host.server.faults.clear()
        for host in (*self.hosts, self.hosts[0]):
            end = host.apply(self.file, *self._options())
            self.told.append(f"calm: {end.code}")
            assert end.code == 0, str(end)
            clocked(self.world).skip(60.0)
        assert end.report["outcome"] == "unchanged", str(end)
        assert_exact(self.world, spec_at(self.file))

    def _choose(self) -> None:
        """Of two free addresses of one name a person must choose one; a run that prunes releases other twins."""
        for ids in twins(self.world, spec_at(self.file)).values():
            if all(self.world.data.addresses[each].association_id is None for each in ids):
                for each in ids[1:]:
                    self.world.call("ReleaseAddress", AllocationId=each)
                self.note("choices between free addresses")

    def destroy(self) -> None:
        empty = self.folder / "empty.yaml"
        empty.write_text(EMPTY, encoding="utf-8")
        end = self.hosts[-1].apply(empty, *self._options())
        assert end.code == 0, str(end)
        self.world.settle()
        assert left_of(self.world) == []


def _until(true: Callable[[], bool], *hosts: Host) -> None:
    """Until it is true, or a process of the hosts has ended."""
    while not true() and all(host.process is not None and host.process.poll() is None for host in hosts):
        threading.Event().wait(0.005)


@contextmanager
def _told(history: History) -> Iterator[None]:
    """If a history fails, the error has all of it, and every call that changed something."""
    try:
        yield
    except Exception as error:
        calls = [
            (call.time, number, call)
            for number, host in enumerate(history.hosts)
            for call in host.server.calls
            if call.mutates
        ]
        lines = list(history.told)
        for moment, number, call in sorted(calls, key=lambda each: each[0]):
            lost = "lost" if call.dropped else call.error_code or ""
            lines.append(f"{moment:.2f} host {number}: {call.action} {call.params} {lost}")
        error.add_note("\n".join(lines))
        raise


@pytest.mark.parametrize("seed", SEEDS)
def test_any_history_ends_exact(seed: int, tmp_path: Path, proofs: Proofs) -> None:
    """Whatever has happened, by EC2's own state nothing is there twice or left over; calm runs make it exact."""
    rng = Random(seed)
    world = World(replace(SETTINGS, seed=seed), Clock())
    shared = seed % 2 == 0
    states = [tmp_path / "state"] * 2 if shared else [tmp_path / "a", tmp_path / "b"]
    hosts = [Host(world, state) for state in states]
    history = History(rng, world, hosts, tmp_path, shared, first(rng))
    history.write()
    with _told(history), on(hosts[0]), on(hosts[1]):
        for _ in range(RUNS):
            history.happen()
        history.calm_down()
        history.destroy()
    proofs.count("histories")
    proofs.count("runs", RUNS + 4)
    for kind, n in history.counts.items():
        proofs.count(kind, n)
    assert STACK in text_of(history.spec)
