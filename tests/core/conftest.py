"""What the tests of the core share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.virtual import VirtualLoop


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """An event loop on which waiting takes no time."""
    loop = VirtualLoop()
    yield loop
    loop.close()
