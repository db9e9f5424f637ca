"""The commands for guests in the docs do on a guest what the pages say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import guests
from tests.docs.console import ROOT
from tests.ec2 import Quotas, Settings
from tests.harness import Harness, open_harness
from tests.vpc.guests import lacking_networkd

PAGES = sorted(str(path.relative_to(ROOT)) for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("page", PAGES)
def test_commands_for_guests_are_in_the_blocks_that_are_run(page: str) -> None:
    assert guests.stray(page) == []


def test_every_page_with_commands_for_guests_is_run() -> None:
    assert {page for page in PAGES if guests.typed(page) or guests.made(page)} == set(guests.SCENES)


@pytest.fixture
def rich_harness(tmp_path: Path) -> Iterator[Harness]:
    """An account that may have ten Elastic IPs."""
    with open_harness(tmp_path / "state", Settings(quotas=Quotas(addresses=10))) as harness:
        yield harness


@pytest.mark.usefixtures("needs_namespaces")
@pytest.mark.skipif(lacking_networkd() is not None, reason=str(lacking_networkd()))
@pytest.mark.parametrize("page", guests.SCENES)
def test_commands_for_guests_do_what_the_page_says(rich_harness: Harness, tmp_path: Path, page: str) -> None:
    desk = tmp_path / "desk"
    desk.mkdir()
    reader = guests.Reader(page, desk)
    guests.SCENES[page](reader, rich_harness)
    reader.end()
