"""The command as a real process, whose stderr a test can wait for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from tests.ec2 import EC2Server
from tests.harness import ENVIRONMENT

PATIENCE = 60.0
"""Real seconds after which a test gives a process up."""


class Process:
    """``lines`` are those of stderr so far; stdout is read to its end by ``end``."""

    def __init__(
        self, server: EC2Server, state: Path | str, args: Sequence[str], stdin: int | None, program: Sequence[str]
    ) -> None:
        mine = {"AWS_ENDPOINT_URL": server.url, "ENIRECONCILE_STATE": str(state)}
        self.process = subprocess.Popen(
            [sys.executable, *program, *args],
            env={**os.environ, **ENVIRONMENT, **mine},
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._said = threading.Condition()
        self._stdout: list[str] = []
        self._rest = ""
        self._threads = [
            threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True),
            threading.Thread(target=self._collect, args=(self.process.stdout,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _listen(self, stream: IO[str]) -> None:
        # By character, since a question does not end its line.
        line = ""
        while char := stream.read(1):
            line += char
            with self._said:
                if char == "\n":
                    self.lines.append(line)
                    line = ""
                self._rest = line
                self._said.notify_all()
        with self._said:
            self._said.notify_all()

    def _collect(self, stream: IO[str]) -> None:
        self._stdout.append(stream.read())

    @property
    def stderr(self) -> str:
        return "".join(self.lines) + self._rest

    def says(self, words: str) -> None:
        """Wait until these words were written to stderr."""
        with self._said:
            assert self._said.wait_for(lambda: words in self.stderr, PATIENCE), self.stderr

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def insist(self, number: signal.Signals) -> None:
        """Send a signal; again if it was lost, which can be right before a blocking read."""
        self.send(number)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
            return
        self.send(number)

    def close(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def end(self) -> tuple[int, str]:
        """The exit code and stdout. It printed no traceback."""
        code = self.process.wait(PATIENCE)
        self.close()
        stdout = "".join(self._stdout)
        assert "Traceback" not in stdout + self.stderr, stdout + self.stderr
        return code, stdout


@contextmanager
def running(
    server: EC2Server,
    state: Path | str,
    *args: str,
    stdin: int | None = None,
    program: Sequence[str] = ("-m", "enireconcile"),
) -> Iterator[Process]:
    """A process that does not outlive the block; ``program`` is what Python runs."""
    process = Process(server, state, args, stdin, program)
    try:
        yield process
    finally:
        if process.process.poll() is None:
            process.process.kill()
        process.process.wait(PATIENCE)
        process.close()


def written(path: Path) -> Mapping[str, Any]:
    """The report that was written."""
    report = json.loads(path.read_text(encoding="utf-8"))
    assert isinstance(report, dict)
    return report
