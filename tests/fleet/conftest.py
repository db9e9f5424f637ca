"""The fixture that several tests of fleets share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ec2.estate import Estate
from tests.fleet.estates import estate_at


@pytest.fixture
def estate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Estate]:
    """An estate to which the standard chain of this process leads."""
    with estate_at() as (estate, variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield estate
