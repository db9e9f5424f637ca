"""Units in processes of this machine, through concurrent.futures."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import forkserver, resource_tracker, util
from multiprocessing.context import BaseContext
from queue import SimpleQueue

from enireconcile.cli.signals import SIGNALS, Interrupt
from enireconcile.errors import internal_error
from enireconcile.fleet.report import UnitResult, ended
from enireconcile.fleet.units import Unit
from enireconcile.fleet.worker import read_result, run_unit
from enireconcile.outputs import logs

_DESCRIPTORS = 8
"""The most file descriptors that a process of a pool costs its parent."""
_OTHER_DESCRIPTORS = 64


class LocalWorkers:
    """Up to ``jobs`` pools of one process each, so that a process that dies takes only its own unit with it.

    ``task`` makes the text of a unit's task.
    """

    def __init__(self, jobs: int, task: Callable[[Unit], str]) -> None:
        self.jobs, self._task = _affordable(jobs), task
        self._context = _context()
        self._idle: list[ProcessPoolExecutor] = []
        self._pools: set[ProcessPoolExecutor] = set()
        self._broken: SimpleQueue[ProcessPoolExecutor] = SimpleQueue()

    def submit(self, unit: Unit) -> Future[UnitResult]:
        made: Future[UnitResult] = Future()
        made.set_running_or_notify_cancel()
        try:
            pool = self._idle.pop() if self._idle else self._new_pool()
            future = pool.submit(_run, self._task(unit))
        except BrokenExecutor:
            # It died between two units: of none of them.
            self._drop(pool)
            return self.submit(unit)
        except (OSError, EOFError) as error:
            why = getattr(error, "strerror", None) or "it ended before it was ready"
            made.set_result(ended(unit, "failed", f"cannot start a worker process: {why}"))
            return made

        def done(text: Future[str]) -> None:
            error = text.exception()
            if isinstance(error, BrokenExecutor):
                # From Python 3.12 on, the pool holds its lock during this call, and cannot be shut down here.
                self._broken.put(pool)
                made.set_exception(error)
                return
            self._idle.append(pool)
            if isinstance(error, Exception):
                made.set_result(ended(unit, "lost", str(internal_error(error))))
            else:
                made.set_result(read_result(unit, text.result()))

        future.add_done_callback(done)
        return made

    def poll(self) -> None:
        """Drop the pools of processes that have died."""
        while not self._broken.empty():
            self._drop(self._broken.get())

    def stop(self) -> None:
        """Interrupt the processes, as Ctrl-C does: each ends its unit after the calls in flight."""
        for pool in self._pools:
            for pid in list(pool._processes or ()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)

    def close(self) -> None:
        """End the processes, which are idle when a run has ended."""
        self.poll()
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def abandon(self) -> None:
        """Leave the processes to themselves: they have been interrupted, and end without their parent."""
        # The semaphores that they share with this process; its end would leave them, with a warning for each.
        util._run_finalizers()  # type: ignore[attr-defined]

    def _new_pool(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(1, mp_context=self._context, initializer=_begin)
        self._pools.add(pool)
        return pool

    def _drop(self, pool: ProcessPoolExecutor) -> None:
        self._pools.discard(pool)
        pool.shutdown(wait=False)


def _affordable(jobs: int) -> int:
    """As many jobs, each a process, as the limit of open files allows. It is raised as far as that may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _OTHER_DESCRIPTORS + _DESCRIPTORS * jobs
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return jobs
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if needed <= soft:
        return jobs
    fewer = max(1, (soft - _OTHER_DESCRIPTORS) // _DESCRIPTORS)
    logs.warn(
        f"{fewer} units at the same time instead of {jobs}: a process may have {soft} open files (ulimit -n)"
    )
    return fewer


def _context() -> BaseContext:
    """Processes are forked from one that has loaded the code and has no threads.

    It gets no signals, and ends with this process: the workers of a run that is stopped end their units. They get
    signals from ``_begin`` on.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["enireconcile.fleet.worker", "enireconcile.aws.api"])
    # Started by the other one, it would unblock signals.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


_PULSE = 0.2
"""Seconds after which a process without a parent ends, once its unit has."""


class _Process:
    """What a worker process knows of itself. Its first signal stops its unit, and all that would follow."""

    busy = False
    interrupt = Interrupt()


def _run(text: str) -> str:
    _Process.busy = True
    try:
        return run_unit(text, _Process.interrupt)
    finally:
        _Process.busy = False


def _begin() -> None:
    """Signals of the terminal go to the parent only, which tells its processes; without a parent, they end."""
    os.setpgid(0, 0)
    for number in SIGNALS:
        signal.signal(number, lambda *_: _Process.interrupt.stop("a signal"))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            _Process.interrupt.stop("the end of its parent process")
            while _Process.busy:
                time.sleep(_PULSE)
            os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
