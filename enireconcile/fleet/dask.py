"""Units on a Dask cluster. Needs ``pip install 'enireconcile[dask]'``.

Dask's messages are pickles: a peer that is not who it seems to be can run any code. So a scheduler that is not on
loopback is refused without TLS with certificates on both sides. Units travel as JSON text to a named function.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from msgspec.structs import replace

from enireconcile.errors import EnireconcileError
from enireconcile.fleet.report import UnitResult, ended
from enireconcile.fleet.scheduler import WorkersGone
from enireconcile.fleet.units import Unit
from enireconcile.fleet.worker import read_result, run_unit
from enireconcile.outputs.webhook import is_loopback

PATIENCE = "10s"
_CERTIFICATES = ("tls_ca_file", "tls_client_cert", "tls_client_key")


def check_scheduler(url: str, security: Any) -> None:
    """Whether the scheduler may be used with this ``distributed.Security``. Raises EnireconcileError."""
    parts = urlsplit(url)
    if parts.scheme == "tcp" and not is_loopback(parts.hostname or ""):
        raise EnireconcileError(
            f"--scheduler {url} has no TLS, and {parts.hostname} is not this machine",
            hint="Dask's messages are pickles, which can run any code: use tls:// with certificates on both sides",
        )
    missing = [name for name in _CERTIFICATES if not getattr(security, name, None)]
    if parts.scheme == "tls" and missing:
        raise EnireconcileError(
            f"--scheduler {url} needs certificates, and Dask's configuration has no {', '.join(missing)}",
            hint="set distributed.comm.tls in ~/.config/dask/dask.yaml: ca-file, client.cert and client.key",
        )


def check_state(url: str, state: str | None) -> None:
    """Workers on several machines need one state. Raises EnireconcileError."""
    if not is_loopback(urlsplit(url).hostname or "") and not (state or "").startswith("s3://"):
        raise EnireconcileError(
            "with workers on other machines, the lock and the journal of a unit must be in S3",
            hint="write `state: s3://bucket/prefix` in the fleet file",
        )


_TOPIC = "enireconcile"
_TO_CLOSE = 2
"""Seconds to take leave of a scheduler that may not answer."""


def run_on_dask(text: str, run: str, name: str) -> str:
    """``run_unit`` on a worker of a cluster. Tells the client of this ``run`` that the unit ``name`` begins."""
    from distributed import get_worker

    get_worker().log_event(_TOPIC, [run, name])
    return run_unit(text)


class DaskWorkers:
    """The workers of a cluster; ``library`` is the module distributed, ``client`` a client of its."""

    def __init__(self, library: Any, client: Any, jobs: int | None, task: Callable[[Unit], str]) -> None:
        self._library, self._client, self._task = library, client, task
        self.jobs = jobs or max(1, sum(client.nthreads().values()))
        self._flying: dict[Future[UnitResult], tuple[Unit, Any]] = {}
        self._begun: Counter[str] = Counter()
        self._stopping = False
        self._run = str(uuid.uuid4())
        client.subscribe_topic(_TOPIC, self._note)

    def submit(self, unit: Unit) -> Future[UnitResult]:
        made: Future[UnitResult] = Future()
        made.set_running_or_notify_cancel()
        try:
            future = self._client.submit(run_on_dask, self._task(unit), self._run, unit.name, pure=False)
        except Exception as error:  # noqa: BLE001 (whatever a client without a connection raises)
            made.set_exception(WorkersGone(f"no connection to the scheduler ({error})"))
            return made
        self._flying[made] = unit, future
        future.add_done_callback(lambda future: self._ended(made, unit, future))
        return made

    def poll(self) -> None:
        """A client that lost its scheduler need not call back for the units in flight."""
        if self._client.status != "running":
            for made in [*self._flying]:
                self._end(made, WorkersGone("the connection to the scheduler was lost"))

    def _note(self, event: tuple[float, Sequence[str]]) -> None:
        run, name = event[1]
        if run == self._run:
            self._begun[name] += 1

    def _ended(self, made: Future[UnitResult], unit: Unit, future: Any) -> None:
        begun = self._begun[unit.name]
        found: UnitResult | WorkersGone | BrokenExecutor
        try:
            found = replace(read_result(unit, future.result()), attempts=begun)
        except self._library.KilledWorker as error:
            # Dask itself has begun it again, as often as `allowed-failures` lets it.
            times = error.allowed_failures + 1
            why = f"{times} workers died while running it; the next run goes on from there"
            found = ended(unit, "lost", why, attempts=times)
        except CancelledError:
            if not self._stopping:
                found = WorkersGone("the scheduler is gone, or was restarted")
            elif begun:
                found = BrokenExecutor()
            else:
                found = ended(unit, "not_run", "no worker had begun it when the run was stopped")
        except Exception as error:  # noqa: BLE001 (run_unit raises nothing: the worker cannot even call it)
            why = f"the worker cannot run it: {type(error).__name__}: {error}"
            found = ended(unit, "failed", f"{why}\nhint: all machines need the same version of enireconcile")
        self._end(made, found)

    def _end(self, made: Future[UnitResult], found: UnitResult | Exception) -> None:
        """Set the result, unless another thread has done so."""
        if self._flying.pop(made, None) is None:
            return
        if isinstance(found, Exception):
            made.set_exception(found)
        else:
            made.set_result(found)

    def stop(self) -> None:
        """Take back what no worker has begun. The rest goes on to its end: a worker hears no signal from here."""
        self._stopping = True
        waiting = [future for unit, future in [*self._flying.values()] if not self._begun[unit.name]]

        def cancel() -> None:
            with suppress(Exception):
                self._client.cancel(waiting)

        # A scheduler that hangs must not hold up the second signal.
        threading.Thread(target=cancel, daemon=True).start()


def _silence() -> None:
    """What Dask's client logs, with tracebacks, are errors that a run tells itself."""
    for name in [*logging.root.manager.loggerDict]:
        if name.split(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


@contextmanager
def dask_workers(
    url: str, state: str | None, jobs: int | None, task: Callable[[Unit], str]
) -> Iterator[DaskWorkers]:
    """Connect to a scheduler, and disconnect at the end. Raises EnireconcileError."""
    try:
        import distributed
    except ImportError:
        raise EnireconcileError("--engine dask needs Dask", hint="pip install 'enireconcile[dask]'") from None
    library: Any = distributed
    _silence()
    security = library.Security()
    check_scheduler(url, security)
    check_state(url, state)
    try:
        client = library.Client(
            url, security=security if url.startswith("tls:") else None, timeout=PATIENCE, set_as_default=False
        )
    except (OSError, ValueError) as error:
        raise EnireconcileError(
            f"cannot connect to the scheduler {url}: {error}", hint="start `dask scheduler` there"
        ) from None
    except RuntimeError as error:
        hint = "use tls://, or take require-encryption out of Dask's configuration"
        raise EnireconcileError(f"cannot connect to the scheduler {url}: {error}", hint=hint) from None
    try:
        if not client.nthreads():
            raise EnireconcileError(
                f"the scheduler {url} has no workers", hint=f"start `dask worker {url} --nthreads 1`"
            )
        yield DaskWorkers(library, client, jobs, task)
    finally:
        with suppress(TimeoutError):
            client.close(timeout=_TO_CLOSE)
