"""Units on a Dask cluster. Needs ``pip install 'enireconcile[dask]'``.

Dask's messages are pickles: a peer that is not who it seems to be can run any code. So a scheduler that is not on
loopback is refused without TLS with certificates on both sides. Units travel as JSON text to one named function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from enireconcile.errors import EnireconcileError
from enireconcile.fleet.report import UnitResult, ended
from enireconcile.fleet.units import Unit
from enireconcile.fleet.worker import read_result, run_unit
from enireconcile.outputs.webhook import is_loopback

PATIENCE = "10s"
_DEATHS = 4
"""Dask's default: three deaths are allowed."""
_CERTIFICATES = ("tls_ca_file", "tls_client_cert", "tls_client_key")


def check_scheduler(url: str | None, security: Any) -> str:
    """The URL of a scheduler that may be used with this ``distributed.Security``. Raises EnireconcileError."""
    if not url:
        raise EnireconcileError("--engine dask needs a scheduler", hint="give --scheduler tls://HOST:8786")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme not in ("tcp", "tls") or not host or not port:
        raise EnireconcileError(
            f"--scheduler {url} is not the address of a scheduler", hint="write tls://HOST:PORT"
        )
    if parts.scheme == "tcp" and not is_loopback(host):
        raise EnireconcileError(
            f"--scheduler {url} has no TLS, and {host} is not this machine",
            hint="Dask's messages are pickles, which can run any code: use tls:// with certificates on both sides",
        )
    missing = [name for name in _CERTIFICATES if not getattr(security, name, None)]
    if parts.scheme == "tls" and missing:
        raise EnireconcileError(
            f"--scheduler {url} needs certificates, and Dask's configuration has no {', '.join(missing)}",
            hint="set distributed.comm.tls in ~/.config/dask/dask.yaml: ca-file, client.cert and client.key",
        )
    return url


def check_state(url: str, state: str | None) -> None:
    """Workers on several machines need one state. Raises EnireconcileError."""
    if not is_loopback(urlsplit(url).hostname or "") and not (state or "").startswith("s3://"):
        raise EnireconcileError(
            "with workers on other machines, the lock and the journal of a unit must be in S3",
            hint="write `state: s3://bucket/prefix` in the fleet file",
        )


class DaskWorkers:
    """The workers of a cluster; ``library`` is the module distributed, ``client`` a client of its."""

    def __init__(self, library: Any, client: Any, jobs: int | None, task: Callable[[Unit], str]) -> None:
        self._library, self._client, self._task = library, client, task
        self.jobs = jobs or max(1, sum(client.nthreads().values()))

    def submit(self, unit: Unit) -> Future[UnitResult]:
        made: Future[UnitResult] = Future()
        made.set_running_or_notify_cancel()

        def done(future: Any) -> None:
            try:
                made.set_result(read_result(unit, future.result()))
            except self._library.KilledWorker:
                # Dask itself has begun it again, as often as `allowed-failures` lets it.
                why = f"{_DEATHS} workers died of it; the next run goes on from there"
                made.set_result(ended(unit, "lost", why, attempts=_DEATHS))
            except Exception as error:  # noqa: BLE001 (a scheduler that is gone)
                broken = BrokenExecutor(f"{type(error).__name__}: {error}")
                made.set_exception(broken)

        future = self._client.submit(run_unit, self._task(unit), pure=False)
        future.add_done_callback(done)
        return made

    def stop(self) -> None:
        """Units in flight go on to their end: a worker on another machine hears no signal of this one."""


@contextmanager
def dask_workers(
    scheduler: str | None, state: str | None, jobs: int | None, task: Callable[[Unit], str]
) -> Iterator[DaskWorkers]:
    """Connect to a scheduler, and disconnect at the end. Raises EnireconcileError."""
    try:
        import distributed
    except ImportError:
        raise EnireconcileError("--engine dask needs Dask", hint="pip install 'enireconcile[dask]'") from None
    library: Any = distributed
    security = library.Security()
    url = check_scheduler(scheduler, security)
    check_state(url, state)
    try:
        client = library.Client(
            url, security=security if url.startswith("tls:") else None, timeout=PATIENCE, set_as_default=False
        )
    except (OSError, ValueError) as error:
        raise EnireconcileError(
            f"cannot connect to the scheduler {url}: {error}", hint="start `dask scheduler` there"
        ) from None
    try:
        if not client.nthreads():
            raise EnireconcileError(
                f"the scheduler {url} has no workers", hint=f"start `dask worker {url} --nthreads 1`"
            )
        yield DaskWorkers(library, client, jobs, task)
    finally:
        client.close()
