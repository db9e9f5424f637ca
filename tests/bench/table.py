"""Tables of results, for a terminal and for docs/explanation/performance.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Table:
    """``rows`` have one text for each of ``columns``; ``text`` says what was measured, and how."""

    title: str
    text: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def add(self, *cells: str) -> None:
        assert len(cells) == len(self.columns), cells
        self.rows.append(cells)

    def console(self) -> str:
        """Aligned with spaces."""
        lines = [self.columns, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        padded = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        return "\n".join([self.title, *(f"  {line}" for line in padded), ""])

    def markdown(self) -> str:
        """A section of a page."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(
            [f"## {self.title}", "", self.text, "", *(f"| {' | '.join(line)} |" for line in lines), ""]
        )


def ratio(value: float) -> str:
    return f"{value:.2f}"


def seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"
