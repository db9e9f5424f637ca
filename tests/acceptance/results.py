"""What a run writes: `results.md` to read, `differences.json` to correct tests/ec2 by."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from tests.acceptance.probes import Answer
from tests.acceptance.stage import Scene


@dataclass(frozen=True)
class Played:
    """How a scene went. `problem` is why it failed; None: it passed."""

    scene: Scene
    seconds: float
    problem: str | None = None
    skipped: bool = False

    @property
    def result(self) -> str:
        return "skipped" if self.skipped else "failed" if self.problem else "passed"


@dataclass
class Results:
    """`about` names what was run where; none of it identifies the account."""

    about: Mapping[str, str]
    played: list[Played] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    timings: Mapping[str, Sequence[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    """What went wrong outside of scenes; what is left in the account."""
    interrupted: bool = False
    started: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def passed(self) -> bool:
        return not self.problems and not self.interrupted and all(each.result == "passed" for each in self.played)

    @property
    def differences(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.differs]

    def write(self, folder: Path) -> None:
        told = {**self.about, "differences": [_difference(answer) for answer in self.differences]}
        (folder / "differences.json").write_text(json.dumps(told, indent=2) + "\n", "utf-8")
        (folder / "results.md").write_text("\n".join(self._page()) + "\n", "utf-8")

    def _page(self) -> list[str]:
        verdict = "interrupted" if self.interrupted else "passed" if self.passed else "failed"
        return [
            f"# Acceptance run: {verdict}",
            "",
            f"Started {self.started:%Y-%m-%d %H:%M} UTC.",
            "",
            *_table(("what", "value"), self.about.items()),
            *_section("Problems", [f"- {_line(problem)}" for problem in self.problems]),
            *_section("Scenes", self._scenes()),
            *_section("Failures", [line for each in self.played for line in _failure(each)]),
            *_section("Times in seconds", self._times()),
            *_section(
                f"Differences between EC2 and tests/ec2 ({len(self.answers)} questions)", self._differences()
            ),
        ]

    def _scenes(self) -> list[str]:
        rows = [(each.scene.chapter, each.scene.title, each.result, f"{each.seconds:.1f}") for each in self.played]
        return _table(("chapter", "scene", "result", "seconds"), rows)

    def _times(self) -> list[str]:
        rows = [
            (what, str(len(all_)), f"{min(all_):.1f}", f"{median(all_):.1f}", f"{max(all_):.1f}")
            for what, all_ in sorted(self.timings.items())
        ]
        return _table(("what", "count", "least", "median", "most"), rows) if rows else []

    def _differences(self) -> list[str]:
        if not self.answers:
            return []
        rows = [(each.probe.question, each.probe.expected, each.got) for each in self.differences]
        return _table(("question", "tests/ec2", "EC2"), rows) if rows else ["None."]


def _difference(answer: Answer) -> dict[str, str]:
    probe = answer.probe
    return {"probe": probe.name, "question": probe.question, "expected": probe.expected, "got": answer.got}


def _failure(played: Played) -> list[str]:
    if played.result != "failed":
        return []
    return [f"`{played.scene.chapter}.{played.scene.name}`:", "", "```", str(played.problem), "```", ""]


def _section(title: str, lines: list[str]) -> list[str]:
    return ["", f"## {title}", "", *lines] if lines else []


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [[_line(cell) for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (list(head), ["---"] * len(head), *cells)]


def _line(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
