"""The pictures of consoles in docs/images, made by running what they show on a terminal.

``python -m tests.docs.pictures`` compares each with what its command prints; ``--write`` makes anew what differs.
As in console.py, ids, times and addresses are not compared; nor is the order of words, as calls run in parallel.
"""

from __future__ import annotations

import fcntl
import html
import io
import os
import re
import shlex
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from tests.docs.console import ROOT, STORY, WAITING, Shell, comparable, on
from tests.harness import open_harness

COLUMNS, LINES = 100, 100
DEMO = "docs/demo.py"
FOLDER = ROOT / "docs" / "images"
PROMPT = b"[y/N]: "
# Rich's font, which a browser would load from another host.
FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def story(directory: Path) -> Iterator[tuple[str, str]]:
    """File to picture: the story is applied, and planned again after it was changed by hand; the tour."""
    with open_harness(directory / "before") as harness:
        shell = on(harness, ROOT, directory)
        yield "docs/images/console-apply.svg", picture(shell, f"enireconcile apply {STORY}", "Plan:")
        changed_by_hand(harness.client())
        yield "docs/images/console-plan.svg", picture(shell, f"enireconcile plan {STORY}")
    yield "docs/images/console-demo.svg", tour(Shell(ROOT, {}))


def changed_by_hand(client: Any) -> None:
    """Open SSH on the first group of the story, and take its second Elastic IP off."""
    named = [{"Name": "tag:Name", "Values": ["my-sg-1"]}]
    [group] = client.describe_security_groups(Filters=named)["SecurityGroups"]
    client.authorize_security_group_ingress(
        GroupId=group["GroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    [taken] = client.describe_addresses(Filters=[{"Name": "tag:Name", "Values": ["web-2"]}])["Addresses"]
    client.disassociate_address(AssociationId=taken["AssociationId"])


def tour(shell: Shell) -> str:
    """The scenes of ``make demo`` that show drift and its repair."""
    return picture(shell, f"enireconcile sandbox -- {sys.executable} {DEMO}", "5/", "7/", prompt="make demo")


def picture(shell: Shell, line: str, begin: str = "", end: str | None = None, prompt: str = "") -> str:
    """A terminal with a command line and what the command prints, as SVG.

    The lines are those from the first that begins with ``begin`` to the one before ``end``. ``prompt`` is the
    command line to show, if it is another.
    """
    text = Text.from_ansi(typed(shell, line))
    lines = [each for each in text.split("\n", allow_blank=True) if not each.plain.startswith(WAITING)]
    first = next(index for index, each in enumerate(lines) if each.plain.startswith(begin))
    ends = [index for index, each in enumerate(lines) if end is not None and each.plain.startswith(end)]
    shown = [
        *([Text("…")] if first else []),
        *lines[first : ends[0] if ends else None],
        *([Text("…")] if ends else []),
    ]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(Text(f"$ {prompt or line}", style="bold"))
    console.print(Text("\n").join(shown), end="")
    return FONT.sub("", console.export_svg(title="", unique_id="console"))


def typed(shell: Shell, line: str) -> str:
    """What a terminal shows of a command. It answers with ``y``."""
    _, *arguments = shlex.split(line)
    keyboard, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    # Rich takes the width of a dumb terminal from these only if both are given.
    environment = {**shell.environment, "TERM": "dumb", "COLUMNS": str(COLUMNS), "LINES": str(LINES)}
    with subprocess.Popen(
        [sys.executable, "-m", "enireconcile", *arguments],
        cwd=shell.cwd,
        env=environment,
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = b""
        try:
            while block := os.read(keyboard, 4096):
                shown += block
                if shown.endswith(PROMPT):
                    os.write(keyboard, b"y\n")
        except OSError:
            pass  # Linux ends a terminal that no process holds with EIO
        finally:
            os.close(keyboard)
        assert process.wait() == 0, shown.decode()
    return shell.told(shown.decode().replace("\r\n", "\n"))


def words(svg: str) -> list[str]:
    """The words of a picture, in alphabetical order, and its styles, without what differs from run to run."""
    rows: dict[float, str] = {}
    for y, text in re.findall(r'<text class="console-r\d+" x="[^"]*" y="([^"]*)"[^>]*>(.*?)</text>', svg):
        rows[float(y)] = rows.get(float(y), "") + html.unescape(text).replace("\xa0", " ")
    styles = re.findall(r"\.console-r\d+ \{[^}]*\}", svg)
    return sorted(comparable("\n".join(rows.values())).split()) + sorted(styles)


def main(arguments: list[str]) -> int:
    """0 if every picture is up to date, or was written; 1 if one is not."""
    stale = []
    with tempfile.TemporaryDirectory() as directory:
        for name, made in story(Path(directory)):
            path = ROOT / name
            if not path.exists() or words(path.read_text(encoding="utf-8")) != words(made):
                stale.append(name)
                if "--write" in arguments:
                    path.write_text(made, encoding="utf-8")
    print("\n".join(stale) or "up to date")  # noqa: T201 - this is the program's answer
    return 1 if stale and "--write" not in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
