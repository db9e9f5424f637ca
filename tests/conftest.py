"""Fixtures that many tests share."""

from __future__ import annotations

import functools
import gc
import http.client
import logging
import os
import shutil
import signal
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.ec2.estate import Estate
from tests.fleet.estates import estate_at
from tests.harness import ENVIRONMENT, SLOW, Foreign, Harness, harness_on, open_harness

from .s3 import Clock, S3Server
from .virtual import VirtualLoop
from .vpc.namespace import why_not


def pytest_xdist_auto_num_workers() -> int:
    """For ``-n auto``: many tests wait for processes of their own, so there is one worker more than cores."""
    return (os.cpu_count() or 1) + 1


_MEMORY = Path("/dev/shm")  # noqa: S108 (every test has a directory of its own in it)
_ROOM = 2**30
_OF_TESTS = ("ENIRECONCILE_ACCEPTANCE", "ENIRECONCILE_RECORDINGS")
"""Variables that are no options of the command, and that some tests read."""
# For `make mutants`: a verdict must not depend on luck or load, and the smallest example is not wanted.
# For the tests of every day: `make prove` runs the properties with as many examples as they ask for.
settings.register_profile("everyday", max_examples=15)
settings.register_profile(
    "mutants",
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=20,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


def pytest_configure(config: pytest.Config) -> None:
    """Temporary files go to memory where there is room: journals are flushed to the disk before every call.

    The cache is the tests' own. And Ctrl-C is heard: a script's job in the background is born deaf to it, and so
    is whatever that starts.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))
    if "PYTEST_XDIST_WORKER" not in os.environ:
        # One for all workers and all processes that they start.
        cache = tempfile.mkdtemp(prefix="enireconcile-cache-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
        config.add_cleanup(functools.partial(shutil.rmtree, cache))
        os.environ["XDG_CACHE_HOME"] = cache


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test meets the AWS configuration, or the options in the environment, of the user who runs it."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in [each for each in os.environ if each.startswith("ENIRECONCILE_") and each not in _OF_TESTS]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # A busy machine is no slow endpoint.
    monkeypatch.setattr("enireconcile.aws.sending.SOON", 3600.0)


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries in threads follow at once."""
    clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: None)
    monkeypatch.setattr("enireconcile.aws.retry.time", clock)


@pytest.fixture(autouse=True)
def _no_logging() -> Iterator[None]:
    """Each test begins as in a process in which no command has set up its logging, and leaves none behind."""
    names = ("enireconcile", "enireconcile.told")
    before = [(each, each.handlers, each.propagate, each.level) for each in map(logging.getLogger, names)]
    for logger, *_ in before:
        logger.handlers, logger.propagate = [logging.NullHandler()], True
        logger.setLevel(logging.NOTSET)
    yield
    for logger, handlers, propagate, level in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """An event loop on which waiting takes no time."""
    loop = VirtualLoop()
    yield loop
    loop.close()


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """An EC2 without delays."""
    with open_harness(tmp_path / "state") as harness:
        yield harness


@pytest.fixture
def slow_harness(tmp_path: Path) -> Iterator[Harness]:
    """An EC2 on which attaching, pending, stopping and visibility take half a (virtual) second each."""
    with open_harness(tmp_path / "state", SLOW) as harness:
        yield harness


@pytest.fixture(scope="session")
def moto() -> Iterator[str]:
    """moto's server: its URL. Loading moto takes long, and few tests want it."""
    from moto.server import ThreadedMotoServer

    from enireconcile.cli.sandbox import correct_boot_modes

    correct_boot_modes()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto_harness(moto: str, tmp_path: Path) -> Iterator[Harness]:
    """A foreign EC2, on a moto that has forgotten what was before."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(moto).netloc)
    connection.request("POST", "/moto-api/reset")
    assert connection.getresponse().status == 200
    connection.close()
    with harness_on(Foreign(moto), VirtualLoop(), tmp_path / "state") as harness:
        yield harness


@pytest.fixture(scope="session")
def needs_namespaces() -> None:
    """Skips tests where network namespaces cannot be made."""
    if reason := why_not():
        pytest.skip(reason)


@pytest.fixture
def clock() -> Clock:
    """Of an S3, and of the hosts that use it."""
    return Clock()


@pytest.fixture
def s3(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """An S3 to which every client in this process, and every process that it starts, goes."""
    with S3Server(clock) as server:
        for name, value in {**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": server.url}.items():
            monkeypatch.setenv(name, value)
        yield server


def pytest_collection_finish() -> None:
    """What collecting has made lives as long as the run: no later collection of garbage needs to look at it.

    And garbage is looked for as rarely as in the command itself.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture
def estate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Estate]:
    """An estate to which the standard chain of this process leads."""
    with estate_at() as (estate, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield estate
