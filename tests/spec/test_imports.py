"""Start-up time: a spec is validated without importing the AWS SDK."""

from __future__ import annotations

import subprocess
import sys

from tests.spec.reading import HEAD

HEAVY = {"boto3", "botocore", "click", "difflib", "rich", "jsonschema", "enireconcile.aws"}


def test_loading_a_spec_imports_no_sdk() -> None:
    """Nor modules that only the commands or error messages need."""
    code = f"import sys, enireconcile.spec as spec; spec.load(['-'], stdin=lambda: {HEAD!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(done.stdout.split())
