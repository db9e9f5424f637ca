"""The names of AWS Regions: which texts can be one, and what was probably meant instead. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from enireconcile.likeness import closest

REGION = (
    "([a-z]{2}(-gov|-iso[a-z]?)?|eusc-[a-z]{2})"
    "-(north|south|east|west|central|northeast|northwest|southeast|southwest)-[0-9]"
)
"""A pattern: AWS names every Region after an area, a direction and a number. New Regions match, typos do not."""
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


def wrong_region(name: str) -> tuple[str, str] | None:
    """Why a text cannot be the name of a Region, and what to write; None if it can."""
    if zone := re.fullmatch(f"({REGION})[a-z]", name):
        return f"must be a Region, but {name!r} is an Availability Zone", f"write {zone[1]}"
    if re.fullmatch(REGION, name):
        return None
    name = name if len(name) <= _LONGEST else name[:_LONGEST] + "…"
    return f"must be a Region, not {name!r}", _nearest(name) or "for example us-east-1"


def unknown_region(name: str, more: Callable[[], AbstractSet[str]]) -> tuple[str, str] | None:
    """Why a name of the right form is no Region, and what to write; None if it is one.

    ``more`` returns further Regions. It is called only for a name that is not in ``REGIONS``.
    """
    if name in REGIONS or name in more():
        return None
    hint = _nearest(name) or "for example us-east-1"
    return f"{name!r} is no Region that boto3 knows", f"{hint} (or update boto3, which knows new Regions)"


def _nearest(name: str) -> str | None:
    """The one that differs in its number only, else the one whose name is most like this."""
    near = closest(name, [each for each in REGIONS if each[:-1] == name[:-1]] or REGIONS)
    return f"did you mean `{near}`?" if near else None
