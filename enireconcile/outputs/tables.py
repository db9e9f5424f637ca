"""What a stack owns, as tables of text and as variables of a shell. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from enireconcile.errors import EnireconcileError
from enireconcile.model import Resources
from enireconcile.outputs.words import Style, plain
from enireconcile.planning.inventory import Inventory
from enireconcile.printable import printable

_ADDRESSES = ("instances", "network_interfaces", "elastic_ips")
_SECTIONS = (*_ADDRESSES, "security_groups")
TITLES = ("", "private IP", "public IP", "holder, state", "id")
_SUBNET_TITLES = ("", "zone", "CIDR", "interfaces")

Row = Sequence[str]


def address_lines(resources: Resources, style: Style = plain) -> Iterator[str]:
    """Names, private and public addresses, and holders."""
    yield from _table(
        TITLES[:-1], {name: rows for name, rows in section_rows(resources) if name in _ADDRESSES}, style
    )


def inventory_lines(inventory: Inventory, style: Style = plain, width: int | None = None) -> Iterator[str]:
    """The same with ids and groups; and below it the subnets of the interfaces.

    If the rows are longer than ``width``, each has its id on a line of its own.
    """
    sections = dict(section_rows(inventory.resources, ids=True))
    titles: Row = TITLES
    if width is not None and any(len(line) > width for line in _table(titles, sections, plain)):
        titles, sections = TITLES[:-1], {name: list(_with_ids_below(rows)) for name, rows in sections.items()}
    yield from _table(titles, sections, style)
    if subnets := list(_subnet_rows(inventory)):
        yield ""
        yield from _table(_SUBNET_TITLES, {"subnets": subnets}, style)


def section_rows(resources: Resources, *, ids: bool = False) -> Iterator[tuple[str, list[Row]]]:
    """The rows of each section, below ``TITLES``. What has further addresses has a row for each of them."""
    public_ips = {
        (each["network_interface"], each["private_ip"]): each["public_ip"]
        for address, each in resources.items()
        if address.startswith("elastic_ips.") and each["private_ip"]
    }
    for section in _SECTIONS:
        rows: list[Row] = []
        for address, each in resources.items():
            found, _, name = address.partition(".")
            if found == section:
                first = (name, each.get("private_ip"), each.get("public_ip"), _holder(section, each))
                rows.append([*map(_cell, first), *([each["id"]] if ids else [])])
                rows += [
                    ["", further, _cell(public_ips.get((name, further)))]
                    for further in (*each.get("secondary_private_ips", ()), *each.get("ipv6_addresses", ()))
                ]
        if rows:
            yield section, rows


def _with_ids_below(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows of a section; the id, where a row has one, is alone in a row below it."""
    for row in rows:
        yield row[: len(TITLES) - 1]
        if len(row) == len(TITLES):
            yield [f"  {row[-1]}"]


def _holder(section: str, each: Mapping[str, Any]) -> str:
    """What holds a resource, or its state if nothing can."""
    if section == "elastic_ips":
        return each["network_interface"] or "free"
    if section == "network_interfaces":
        return f"{each['instance']}, index {each['device_index']}" if each["instance"] else _cell(each["status"])
    return _cell(each.get("state"))


def _subnet_rows(inventory: Inventory) -> Iterator[Row]:
    """The subnets of the interfaces. One that another account no longer shares has no CIDR that is known."""
    members: dict[str, list[str]] = {}
    zones: dict[str, str] = {}
    for address, each in inventory.resources.items():
        section, _, name = address.partition(".")
        if section == "network_interfaces" and each["subnet_id"]:
            members.setdefault(each["subnet_id"], []).append(name)
            zones[each["subnet_id"]] = _cell(each["availability_zone"])
    for subnet, names in sorted(members.items()):
        zone, cidr = inventory.subnets.get(subnet, (zones[subnet], ""))
        yield [subnet, zone, cidr, ", ".join(names)]


def _cell(value: str | None) -> str:
    return value or ""


def _table(titles: Row, sections: Mapping[str, Sequence[Row]], style: Style) -> Iterator[str]:
    """The rows of each section below its name, in columns that are the same for all."""
    if not sections:
        return
    # A cell that is alone in its row needs no column.
    rows = [[printable(cell) for cell in row] for each in sections.values() for row in each if len(row) > 1]
    # A title stands above what has values below it.
    used = [any(len(row) > column and row[column] for row in rows) for column in range(len(titles))]
    heads = [title if shown else "" for title, shown in zip(titles, used, strict=True)]
    widths = [
        max(len(title), *(len(row[column]) for row in rows if len(row) > column))
        for column, title in enumerate(heads)
    ]
    first = max(widths[0] + 2, *map(len, sections))
    widths[0] = first - 2
    yield style(_line(["", *heads[1:]], widths), dim=True)
    for section, each in sections.items():
        yield style(section, bold=True)
        yield from (_line([printable(cell) for cell in row], widths) for row in each)


def _line(row: Row, widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False) if width)
    return ("  " + "  ".join(cells)).rstrip()


def variables(inventories: Iterable[Inventory]) -> Iterator[str]:
    """``ELASTIC_IPS_WEB_1_PUBLIC_IP=203.0.113.7`` for each attribute, as a shell reads it.

    Raises EnireconcileError if two attributes have one variable.
    """
    seen: dict[str, str] = {}
    for inventory in inventories:
        for address, each in inventory.resources.items():
            for attribute, value in each.items():
                name = re.sub(r"[^A-Z0-9]", "_", f"{address}.{attribute}".upper())
                if name in seen:
                    raise EnireconcileError(
                        f"{printable(seen[name])} and {printable(address)} are both {name} as a variable",
                        hint="use --output json, or --get for one value",
                    )
                seen[name] = address
                text = printable(text_of(value))
                yield f"{name}={shlex.quote(text) if text else ''}"


def text_of(value: Any) -> str:
    """A value as text: a list joined by commas, null as nothing."""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
