"""The names of AWS Regions: which texts are one, and what was probably meant instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from enireconcile.likeness import closest

REGION = (
    "([a-z]{2}(-gov|-iso[a-z]?)?|eusc-[a-z]{2})"
    "-(north|south|east|west|central|northeast|northwest|southeast|southwest)-[0-9]"
)
"""A pattern: AWS names every Region after an area, a direction and a number. New Regions match, few typos do."""
REGIONS = (
    *("af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3"),
    *("ap-south-1", "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4"),
    *("ap-southeast-5", "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "cn-north-1"),
    *("cn-northwest-1", "eu-central-1", "eu-central-2", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1"),
    *("eu-west-2", "eu-west-3", "eusc-de-east-1", "il-central-1", "me-central-1", "me-south-1", "mx-central-1"),
    *("sa-east-1", "us-east-1", "us-east-2", "us-gov-east-1", "us-gov-west-1", "us-west-1", "us-west-2"),
)
"""Regions that exist. Others may: AWS adds some every year, and keeps some to itself."""
_LONGEST = 60
"""The most characters of a wrong name that are told."""


def of_environment(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """The variable of the AWS configuration that names the Region, and its name; None if none does.

    The one that AWS's newer tools read comes before the one that botocore reads.
    """
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if region := environment.get(variable):
            return variable, region
    return None


def wrong_region(name: str) -> tuple[str, str] | None:
    """Why a text is no name of a Region, and what to write; None if it is one.

    A name of the right form is one if it is in ``REGIONS`` or in botocore's list. The endpoint of a Region that
    does not exist would be tried for minutes: a host that does not resolve looks like one that cannot be reached.
    """
    if zone := re.fullmatch(f"({REGION})[a-z]", name):
        return f"must be a Region, but {name!r} is an Availability Zone", f"write {zone[1]}"
    if not re.fullmatch(REGION, name):
        name = name if len(name) <= _LONGEST else name[:_LONGEST] + "…"
        return f"must be a Region, not {name!r}", _nearest(name)
    if name in REGIONS or name in (known := _known_to_botocore()) or not known:
        return None
    hint = f"{_nearest(name)} (or update boto3, which knows new Regions)"
    return f"{name!r} is no Region that boto3 knows", hint


@cache
def _known_to_botocore() -> frozenset[str]:
    """The Regions in botocore's list, which is read without importing botocore; none if it has no such list."""
    # Rarely needed: few names are not in REGIONS.
    import json
    from importlib.util import find_spec

    found = find_spec("botocore")
    if found is None or not found.submodule_search_locations:
        return frozenset()
    try:
        text = (Path(found.submodule_search_locations[0]) / "data" / "partitions.json").read_text(encoding="utf-8")
        return frozenset(name for partition in json.loads(text)["partitions"] for name in partition["regions"])
    except (OSError, ValueError, KeyError):
        # Another botocore keeps its list elsewhere: then the form of a name is all there is to check.
        return frozenset()


def _nearest(name: str) -> str:
    """The one that differs in its number only, else the one whose name is most like this, else an example."""
    near = closest(name, [each for each in REGIONS if each[:-1] == name[:-1]] or REGIONS)
    return f"did you mean `{near}`?" if near else "for example us-east-1"
