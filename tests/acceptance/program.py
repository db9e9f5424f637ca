"""The installed program, run as a process."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from os import environ
from pathlib import Path
from typing import Any

from tests.acceptance.account import Failed

GRACE = 60.0
"""Seconds that the program has to stop after an interrupt."""
PATIENCE = 1800.0


@dataclass(frozen=True)
class Ran:
    """One run of the program that has ended as expected."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def said(self) -> str:
        return self.stdout + self.stderr


class Program:
    """`folder` gets the specs, the state, the reports and a transcript of each command."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(sys.executable).with_name("enireconcile")
        self.folder = folder
        self._ran = 0
        (folder / "transcripts").mkdir(parents=True, exist_ok=True)

    def version(self) -> str:
        return self.run("--version").stdout.strip()

    def run(self, *args: str, expect: int = 0) -> Ran:
        """Runs a command to its end. Raises Failed on another exit code than `expect`."""
        began = time.monotonic()
        process = self.start(*args)
        try:
            stdout, stderr = process.communicate(timeout=PATIENCE)
        except BaseException:
            _stop(process)
            raise
        ran = Ran(process.returncode, stdout, stderr, time.monotonic() - began)
        self._record(args, ran)
        if ran.code != expect:
            last = "\n".join(ran.said.strip().splitlines()[-8:])
            raise Failed(f"enireconcile {' '.join(args)}: expected exit code {expect}, got {ran.code}\n{last}")
        if "Traceback" in ran.said:
            raise Failed(f"enireconcile {' '.join(args)}: printed a traceback")
        return ran

    def start(self, *args: str) -> subprocess.Popen[str]:
        """The command as a process in a session of its own: a Ctrl-C in the terminal reaches the kit only."""
        return subprocess.Popen(
            [str(self.path), *args],
            env={**environ, "ENIRECONCILE_STATE": str(self.folder / "state"), "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_end_with_the_kit if sys.platform == "linux" else None,  # noqa: PLW1509 (one thread only)
        )

    def apply(self, spec: Path, *flags: str, expect: int = 0, outcome: str = "converged") -> Mapping[str, Any]:
        """Applies a spec with `-y`; its report. Raises Failed on another exit code or outcome."""
        return self._reported("apply", spec, flags, expect, outcome)

    def destroy(self, spec: Path, *flags: str, expect: int = 0, outcome: str = "converged") -> Mapping[str, Any]:
        """The same for destroy."""
        return self._reported("destroy", spec, flags, expect, outcome)

    def _reported(
        self, command: str, spec: Path, flags: tuple[str, ...], expect: int, outcome: str
    ) -> Mapping[str, Any]:
        path = self.folder / "report.json"
        path.unlink(missing_ok=True)
        self.run(command, "-y", *flags, "--report", str(path), str(spec), expect=expect)
        report: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        if report["outcome"] != outcome:
            raise Failed(f"{command} {spec.name}: expected the outcome {outcome}, got {report['outcome']}")
        return report

    def _record(self, args: tuple[str, ...], ran: Ran) -> None:
        self._ran += 1
        name = f"{self._ran:03}-{args[0].strip('-')}.txt"
        text = (
            f"$ enireconcile {' '.join(args)}\n{ran.stdout}\n--- stderr\n{ran.stderr}\n--- exit code {ran.code}\n"
        )
        (self.folder / "transcripts" / name).write_text(text, "utf-8")


def _end_with_the_kit() -> None:
    """In the new process: SIGTERM when the kit was killed, so that a cleanup meets nothing that still creates."""
    set_parent_death_signal = 1
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def _stop(process: subprocess.Popen[str]) -> None:
    """Interrupts the program, which finishes the calls in flight.

    Kills it after a minute, or if Ctrl-C comes again.
    """
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=GRACE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.communicate()
