"""The Region and the account of a spec: a state may have resources of several. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec import Struct

from enireconcile.errors import EnireconcileError
from enireconcile.export.terraform.state import Resource
from enireconcile.printable import printable
from enireconcile.regions import wrong_region

_ARN = re.compile(r"arn:[^:]*:[^:]*:([a-z0-9-]*):([0-9]{12}|):")
_ZONE = re.compile(r"([a-z]{2,}(?:-[a-z]+)+-[0-9]+)(?:[a-z]|-.+)")


class Place(Struct, frozen=True):
    """A Region and an account; empty where a resource does not show it."""

    region: str
    account_id: str

    def has(self, resource: Resource) -> bool:
        """Is the resource there, as far as it shows?"""
        other = place_of(resource)
        return other.region in ("", self.region) and other.account_id in ("", self.account_id)


def place_of(resource: Resource) -> Place:
    """Where a resource is: by its ARN, else by what it shows of its Region."""
    arn = _ARN.match(resource.text("arn"))
    zone = _ZONE.fullmatch(resource.text("availability_zone"))
    region = (arn and arn[1]) or resource.text("region") or (zone and zone[1]) or ""
    return Place(region, (arn and arn[2]) or "")


def chosen(resources: Iterable[Resource], region: str | None, account_id: str | None) -> Place:
    """The one place of the resources, or the one that is asked for.

    Raises EnireconcileError with all places if there are several, or none that fits.
    """
    if region is not None and (wrong := wrong_region(region)):
        raise EnireconcileError(f"--region {printable(wrong[0])}", hint=printable(wrong[1]))
    if account_id is not None and not re.fullmatch("[0-9]{12}", account_id):
        raise EnireconcileError(
            f"--account-id {printable(account_id)} is no account id", hint="for example 123456789012"
        )
    places = [place_of(each) for each in resources]
    region = region or _one("Region", "--region", (place.region for place in places))
    if region is None:
        raise EnireconcileError("the state does not show its Region", hint="name it with --region")
    near = [place for place in places if place.region in ("", region)]
    if places and not near:
        there = ", ".join(_counted(place.region for place in places))
        raise EnireconcileError(f"the state has nothing in {region}", hint=f"it has resources in {there}")
    if account_id is not None and all(place.account_id not in ("", account_id) for place in near):
        there = ", ".join(_counted(place.account_id for place in near))
        raise EnireconcileError(
            f"the state has nothing of the account {account_id} in {region}", hint=f"it has resources of {there}"
        )
    account_id = account_id or _one("account", "--account-id", (place.account_id for place in near))
    return Place(region, account_id or "")


def _one(what: str, option: str, values: Iterable[str]) -> str | None:
    found = [value for value in values if value]
    if len({*found}) > 1:
        raise EnireconcileError(
            f"the state has resources of several {what}s: {', '.join(_counted(found))}",
            hint=f"a spec is for one {what}: choose it with {option}, and write a spec for each",
        )
    return found[0] if found else None


def _counted(values: Iterable[str]) -> Iterator[str]:
    for value, count in sorted(Counter(value for value in values if value).items()):
        yield f"{value} ({count})"
