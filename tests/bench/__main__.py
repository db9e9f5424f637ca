"""``make bench``, or ``python -m tests.bench TABLE…``: prints tables. All together are written into the docs."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path

from tests.harness import ENVIRONMENT
from tests.peers.surroundings import PROVIDER, mirror

from .fleets import fleets
from .large import large, paced
from .peers import peers
from .story import starting, story
from .table import Table

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "performance.md"
TABLES: Mapping[str, Callable[[Path], Table]] = {
    "starting": lambda _: starting({**os.environ, **ENVIRONMENT}),
    "story": story,
    "large": large,
    "paced": paced,
    "fleets": fleets,
    "peers": peers,
}
HEAD = """\
# Performance

What the program costs beside the least that bare boto3 could do, and beside Terraform and Ansible on the same
networks. `make bench` measures all of it in one run, on the strict EC2 of the tests at 127.0.0.1: whole processes
from start to exit, ours and the other one in turn, medians of ratios pair by pair. Seconds are those of one
machine; ratios travel.
"""


def main(names: list[str]) -> None:
    """Run the named tables, or all of them and write the page."""
    if unknown := [name for name in names if name not in TABLES]:
        sys.exit(f"no table {', '.join(unknown)}: there are {', '.join(TABLES)}")
    made = []
    for name in names or TABLES:
        with tempfile.TemporaryDirectory() as folder:
            made.append(TABLES[name](Path(folder)))
        print(made[-1].console(), flush=True)  # noqa: T201 - the tables are the program's answer
        if not names:
            page = [HEAD, machine(), "", *(table.markdown() for table in made)]
            PAGE.write_text("\n".join(page), encoding="utf-8")


def machine() -> str:
    """The machine and the versions, as a sentence."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("boto3", "botocore", "pydantic"))
    provider = sorted(path.name for path in (mirror() or Path()).glob(f"{PROVIDER}/*") if path.is_dir())
    peers = f", Terraform's AWS provider {', '.join(provider)}" if provider else ""
    system = f"{platform.machine()}, {platform.system()} {platform.release().split('-')[0]}"
    python = f"Python {platform.python_version()}"
    return (
        f"The numbers below are of a machine with {os.cpu_count()} cores ({system}), {python}, {packages}{peers}."
    )


if __name__ == "__main__":
    main(sys.argv[1:])
