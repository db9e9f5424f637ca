"""Recordings of the real EC2, which are no part of the repository: a folder beside it may hold them.

Each file is a JSON list. An entry has a ``kind``, and an ``item`` of a describe call, or a ``call`` with its
``answer`` or its error. ENIRECONCILE_RECORDINGS names another folder. Without one, the tests that need the
recordings are skipped.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest

Item = dict[str, Any]

FOLDER = Path(os.environ.get("ENIRECONCILE_RECORDINGS") or Path(__file__).parents[2] / "shared" / "ec2-recordings")
needs_recordings = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="no recordings of the real EC2 beside the repository"
)


@cache
def entries(name: str) -> list[Item]:
    """All entries of a file, by its name without the extension."""
    found: list[Item] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def recorded(name: str) -> list[Item]:
    """The entries of a file that EC2 really answered, or that AWS's documentation shows."""
    return [entry for entry in entries(name) if entry["kind"] != "written from documentation"]
