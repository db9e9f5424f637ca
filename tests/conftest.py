"""Fixtures that many tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .house import SLOW, House, open_house


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test meets the AWS configuration of whoever runs it."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An EC2 without delays."""
    with open_house(tmp_path / "state") as house:
        yield house


@pytest.fixture
def slow_house(tmp_path: Path) -> Iterator[House]:
    """An EC2 on which attaching, pending, stopping and visibility take half a (virtual) second each."""
    with open_house(tmp_path / "state", SLOW) as house:
        yield house
