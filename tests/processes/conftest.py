"""An account, and a gate for its calls, for commands that run as processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.ec2 import EC2Server, World


@pytest.fixture
def server() -> Iterator[EC2Server]:
    with EC2Server(World()) as server:
        yield server


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Holds a call until it is opened; open when the test ends."""
    gate = threading.Event()
    yield gate
    gate.set()
