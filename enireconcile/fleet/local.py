"""Units in processes of this machine, through concurrent.futures."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing.context import BaseContext

from enireconcile.fleet.report import UnitResult
from enireconcile.fleet.units import Unit
from enireconcile.fleet.worker import read_result, run_unit


class LocalWorkers:
    """``jobs`` pools of one process each, so that a process that dies takes only its own unit with it.

    ``task`` makes the text of a unit's task.
    """

    def __init__(self, jobs: int, task: Callable[[Unit], str]) -> None:
        self.jobs, self._task = jobs, task
        self._context = _context()
        self._idle: list[ProcessPoolExecutor] = []
        self._pools: set[ProcessPoolExecutor] = set()

    def submit(self, unit: Unit) -> Future[UnitResult]:
        pool = self._idle.pop() if self._idle else self._new_pool()
        made: Future[UnitResult] = Future()
        made.set_running_or_notify_cancel()

        def done(text: Future[str]) -> None:
            error = text.exception()
            if isinstance(error, BrokenExecutor):
                self._pools.discard(pool)
                pool.shutdown(wait=False)
            else:
                self._idle.append(pool)
            if error is not None:
                made.set_exception(error)
            else:
                made.set_result(read_result(unit, text.result()))

        try:
            pool.submit(_run, self._task(unit)).add_done_callback(done)
        except BrokenExecutor:
            # It died between two units: of none of them.
            self._pools.discard(pool)
            pool.shutdown(wait=False)
            return self.submit(unit)
        return made

    def stop(self) -> None:
        """Interrupt the processes, as Ctrl-C does: each ends its unit after the calls in flight."""
        for pool in self._pools:
            for pid in list(pool._processes or ()):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGINT)

    def close(self) -> None:
        """End the processes, which are idle when a run has ended."""
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)

    def _new_pool(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(1, mp_context=self._context, initializer=_begin)
        self._pools.add(pool)
        return pool


def _context() -> BaseContext:
    """Processes are forked from one that has loaded the code and has no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["enireconcile.fleet.worker", "enireconcile.aws.api", "enireconcile.cli.run"])
    return context


_PULSE = 0.2
"""Seconds after which a process without a parent ends, once its unit has."""


class _Process:
    """What a worker process knows of itself."""

    busy = False


def _run(text: str) -> str:
    _Process.busy = True
    try:
        return run_unit(text)
    finally:
        _Process.busy = False


def _begin() -> None:
    """Signals of the terminal go to the parent only, which tells its processes; without a parent, they end."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, _interrupted)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            if _Process.busy:
                os.kill(os.getpid(), signal.SIGINT)
            while _Process.busy:
                time.sleep(_PULSE)
            os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def _interrupted(*_: object) -> None:
    if _Process.busy:
        raise KeyboardInterrupt
