"""What the tests of the core share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.virtual import VirtualLoop

# For `make mutants`: a verdict must not depend on luck or load, and nobody reads the smallest example.
settings.register_profile(
    "mutants",
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=20,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    """An event loop on which waiting takes no time."""
    loop = VirtualLoop()
    yield loop
    loop.close()
