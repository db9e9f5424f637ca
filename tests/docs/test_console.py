"""What the docs show on a console is what the commands print."""

from __future__ import annotations

import pytest

from tests.docs import console

PAGES = sorted(
    str(path.relative_to(console.ROOT))
    for path in [console.ROOT / "README.md", *(console.ROOT / "docs").rglob("*.md")]
    if console.FENCE.search(path.read_text(encoding="utf-8"))
)


def test_every_page_with_a_console_block_is_run_or_says_why_not() -> None:
    assert set(PAGES) - {*console.SCENES, *console.NOT_RUN} == set()
    assert set(console.SCENES) - set(PAGES) == set()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", console.SCENES)
def test_console_blocks_are_what_the_commands_print(page: str) -> None:
    assert console.made(page) == console.blocks(page), "run python -m tests.docs.console --write"
