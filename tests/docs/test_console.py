"""What the docs show on a console, as text or as a picture, is what the commands print."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import console, pictures

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


def test_pictures_are_what_the_commands_print(tmp_path: Path) -> None:
    made = dict(pictures.story(tmp_path))
    assert set(made) == {str(path.relative_to(console.ROOT)) for path in pictures.FOLDER.glob("console-*.svg")}
    for name, picture in made.items():
        there = (console.ROOT / name).read_text(encoding="utf-8")
        assert pictures.words(there) == pictures.words(picture), "run python -m tests.docs.pictures --write"
