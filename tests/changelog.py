"""What CHANGELOG.md says of one release, for its notes: ``python -m tests.changelog 0.1.0``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "CHANGELOG.md"


def releases(text: str) -> dict[str, str]:
    """The part below each heading ``## [VERSION]``, newest first, in the order of the file."""
    parts = re.split(r"^## \[([^\]]+)\][^\n]*\n", text, flags=re.MULTILINE)
    return {version: part.strip() for version, part in zip(parts[1::2], parts[2::2], strict=True)}


def main() -> None:
    [version] = sys.argv[1:]
    notes = releases(FILE.read_text("utf-8")).get(version)
    if not notes:
        sys.exit(f"{FILE.name} says nothing of {version}: rename its heading “Unreleased”")
    sys.stdout.write(notes + "\n")


if __name__ == "__main__":
    main()
