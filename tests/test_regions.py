"""Names of Regions: those of our list and of botocore's, without importing botocore."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from botocore.session import get_session

from enireconcile import regions
from enireconcile.regions import REGIONS, wrong_region

NEWER = "(or update boto3, which knows new Regions)"


@pytest.fixture(autouse=True)
def _unread() -> Iterator[None]:
    regions._known_to_botocore.cache_clear()
    yield
    regions._known_to_botocore.cache_clear()


def test_every_region_of_botocore_is_one() -> None:
    core = get_session()
    found = {each for part in core.get_available_partitions() for each in core.get_available_regions("ec2", part)}
    assert len(found) > 30
    assert [name for name in sorted({*REGIONS, *found}) if wrong_region(name)] == []


def test_botocore_is_not_imported() -> None:
    script = (
        "import sys\n"
        "from enireconcile.regions import wrong_region\n"
        "print(wrong_region('us-iso-east-1'), wrong_region('us-east-9')[0], 'botocore' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "None 'us-east-9' is no Region that boto3 knows False\n"


@pytest.mark.parametrize(
    "found",
    [
        None,
        ModuleSpec("botocore", None),
        ModuleSpec("botocore", None, is_package=True),
    ],
)
def test_without_a_list_the_form_decides(
    found: ModuleSpec | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if found is not None and found.submodule_search_locations is not None:
        found.submodule_search_locations.append(str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: found)
    assert wrong_region("us-east-9") is None
    assert wrong_region("us-esat-1") == ("must be a Region, not 'us-esat-1'", "did you mean `us-east-1`?")
