"""Keys of the format in the wrong place: too far out, too far in, or in another section. Pure.

The indentation of YAML is easily wrong by one level. A message that lists the keys of the wrong mapping does not
help; these say of which mapping the key is, and where to move it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, takewhile
from typing import Any

from enireconcile.likeness import closest, likeness
from enireconcile.spec.places import Path
from enireconcile.spec.rows import ROW_SECTIONS, Document
from enireconcile.spec.scalars import UNKNOWN_KEY
from enireconcile.spec.suggest import Hint, Nearest
from enireconcile.spec.violations import Violation, keys_for, keys_of, row_at

_MOST = 100
"""Keys whose place is looked up; doing it for thousands would take too long."""
_A_SLIP = 0.9
"""Two keys are so alike if one has an ``s`` too few."""
_ROWS = {
    "security_groups": "a security group",
    "instances": "an instance",
    "network_interfaces": "a network interface",
    "elastic_ips": "an Elastic IP",
    "checks": "a check",
}
_OF_OTHER_TOOLS = {
    "ami": "write `image: ami-0123456789abcdef0`",
    "ami_id": "write `image: ami-0123456789abcdef0`",
    "image_id": "write `image: ami-0123456789abcdef0`",
    "from_port": "write one port or one range: `ports: 443` or `ports: 8000-8010`",
    "to_port": "write one port or one range: `ports: 443` or `ports: 8000-8010`",
    "port_range": "write one port or one range: `ports: 443` or `ports: 8000-8010`",
    "cidr_blocks": "write `sources: [0.0.0.0/0]`, in egress `destinations`",
    "cidr_ipv4": "write `sources: [0.0.0.0/0]`, in egress `destinations`",
    "cidr": "write `sources: [0.0.0.0/0]`, in egress `destinations`",
    "vpc_security_group_ids": "write `security_groups: […]` under the interfaces of the instance",
    "availability_zone": "the subnets of its interfaces decide the Availability Zone",
    "associate_public_ip": "write `associate_public_ip_address: true` under its interface with device_index 0",
    "eip": "the section of Elastic IPs is `elastic_ips`",
    "eips": "the section of Elastic IPs is `elastic_ips`",
    "interface": "write `network_interface: NAME`",
    "elastic_ip": "write it the other way round: under elastic_ips, `association: {network_interface: NAME}`",
    "eni": "the section of network interfaces is `network_interfaces`",
    "enis": "the section of network interfaces is `network_interfaces`",
    "interfaces": "the section of network interfaces is `network_interfaces`",
}
"""What Terraform, CloudFormation and Ansible call a key, or people do for short."""
_MEANT = {
    **dict.fromkeys(("ami", "ami_id", "image_id"), ("image",)),
    **dict.fromkeys(("cidr_blocks", "cidr_ipv4", "cidr"), ("sources", "destinations")),
}
"""The required keys that those are meant for."""
_OTHER_ENDS = {
    **{("ingress", key): "sources" for key in ("destinations", "destination")},
    **{("egress", key): "destinations" for key in ("sources", "source")},
}
"""The end of a rule that was written in the other direction."""


def in_place(found: Iterable[Violation], data: Mapping[str, Any]) -> Iterator[Violation]:
    """The violations, with what a misplaced key causes told once: where it belongs."""
    found = tuple(found)
    strays = {path: _row_above(path, data) for path in _stray_rows(found, data)}
    told: set[Path] = set()
    moved = {(path[0], row, path[1]) for path, row in strays.items() if row}
    looked_up = 0
    for violation in found:
        path = violation.path
        if path[:2] in strays:
            if path[:2] not in told:
                what = _ROWS[str(path[0])]
                hint = f"indent it under {strays[path[:2]] or 'the row that it is for'}"
                yield Violation(path[:2], f"is a key of {what}, not the name of one", hint, True)
            told.add(path[:2])
        elif path in moved:
            continue  # it is missing here because it stands one level too far out
        elif violation.on_key and violation.message == UNKNOWN_KEY:
            looked_up += 1
            where = _where(path, data) if looked_up <= _MOST else None
            yield Violation(path, UNKNOWN_KEY, where or violation.hint, True)
        else:
            yield violation


def misspelled(found: Iterable[Violation]) -> set[Path]:
    """The paths of keys that are not missing: they are in the file in another spelling."""
    paths = (each.path for each in found if each.on_key and each.message == UNKNOWN_KEY)
    meant: set[Path] = set()
    for path in islice(paths, _MOST):
        row = row_at(path[:-1])
        near = _other_end(path) or (closest(str(path[-1]), keys_for(row)) if row is not None else None)
        # A row that adopts a resource, and an external instance, need no other key.
        needed = row.needed if row is not None and near in ("adopt", "external") else ()
        others = _MEANT.get(str(path[-1]), ())
        meant |= {(*path[:-1], key) for key in (near, *needed, *others) if key is not None}
    return meant


def _other_end(path: Path) -> str | None:
    """The key that a rule has in its direction for this one of the other direction."""
    return _OTHER_ENDS.get((str(path[2]), str(path[4]))) if len(path) == 5 else None


def _stray_rows(found: Iterable[Violation], data: Mapping[str, Any]) -> set[Path]:
    """Paths of invalid rows that are named as a key of rows, and have nothing that rows have."""
    paths = {violation.path[:2] for violation in found if len(violation.path) >= 2}
    strays = set()
    for path in paths:
        known = _keys_in(path[0]) if path[0] in ROW_SECTIONS else ()
        value = data.get(str(path[0]), {})
        row = value.get(path[1]) if isinstance(value, Mapping) else None
        if path[1] in known and not (isinstance(row, Mapping) and set(row) & set(known)):
            strays.add(path)
    return strays


def _row_above(path: Path, data: Mapping[str, Any]) -> str | None:
    """The row before a stray key: the one that it is meant for."""
    known = _keys_in(path[0])
    return _last(name for name in _above(path[1], data[str(path[0])]) if name not in known)


def _above(key: str | int, mapping: Iterable[str]) -> Iterator[str]:
    """The keys of a mapping before a key."""
    return takewhile(lambda each: each != key, mapping)


def _last(names: Iterable[str]) -> str | None:
    return next(reversed([*names]), None)


def _keys_in(section: str | int) -> tuple[str, ...]:
    """The keys of the rows of a section."""
    return keys_of(row_at((section, "")))


def _where(path: Path, data: Mapping[str, Any]) -> Hint:
    """Where a key belongs that its mapping does not know; None if it is none of the format."""
    key, mapping = str(path[-1]), path[:-1]
    if end := _other_end(path):
        return f"in {path[2]} it is `{end}`"
    return _beside(key, mapping, data) or _below(key, mapping, data) or _in_section(key, mapping, data)


def _beside(key: str, mapping: Path, data: Mapping[str, Any]) -> str | None:
    """For a key of a mapping further out."""
    for length in range(len(mapping) - 1, 0, -1):
        row = row_at(mapping[:length])
        if row is not None and key in keys_of(row):
            inner = mapping[length]
            beside = f"`{inner}`" if isinstance(inner, str) else f"`{mapping[length - 1]}`"
            return f"`{key}` is a key of {_named(mapping[:length])}: move it out, beside {beside}"
    if len(mapping) > 1 and key in keys_of(Document):
        if key in ROW_SECTIONS and not isinstance(_at(data, (*mapping, key)), Mapping):
            return None  # a list of groups is no section
        what = "a section" if key in ROW_SECTIONS else "a key"
        return f"`{key}` is {what} of the file: move it to the left margin"
    return None


def _below(key: str, mapping: Path, data: Mapping[str, Any]) -> str | None:
    """For a key of a mapping further in."""
    if not mapping:
        if any(likeness(key, known) >= _A_SLIP for known in keys_of(Document)):
            return None  # `elastic_ip` for `elastic_ips`
        sections = [section for section in ROW_SECTIONS if key in _keys_in(section)]
        above = _last(name for name in _above(key, data) if name in ROW_SECTIONS)
        section = above if above in sections else sections[0] if len(sections) == 1 else None
        if section is None:
            return None
        rows = data.get(section)
        last = _last(rows) if isinstance(rows, Mapping) and section == above else None
        under = f"{section}.{last}" if last else f"its row in {section}"
        return f"`{key}` is a key of {_ROWS[section]}: indent it under {under}"
    row = row_at(mapping)
    for field in row.model_fields if row else ():
        # Any row may have `lifecycle`; its keys are no attributes.
        if field != "lifecycle" and key in keys_of(row_at((*mapping, field))):
            return f"`{key}` is a key of `{field}`: indent it under `{field}`"
    return None


def _in_section(key: str, mapping: Path, data: Mapping[str, Any]) -> Hint:
    """For a key of the rows of another section, or one that other tools use."""
    row = row_at(mapping)
    otherwise = _OF_OTHER_TOOLS.get(key)
    if len(mapping) == 2 and otherwise is None:
        sections = [each for each in ROW_SECTIONS if each != mapping[0] and key in _keys_in(each)]
        if sections and key not in keys_of(row):
            section = sections[0]
            under = f"its row in {section}"
            if mapping[0] == "instances" and "network_interfaces" in sections:
                section, under = "network_interfaces", _interface_of(str(mapping[1]), data)
            otherwise = f"`{key}` is a key of {_ROWS[section]}: write it under {under}"
    return Nearest(key, keys_of(row), otherwise) if row is not None and otherwise else None


def _interface_of(instance: str, data: Mapping[str, Any]) -> str:
    rows = data.get("network_interfaces")
    for name, row in rows.items() if isinstance(rows, Mapping) else ():
        attachment = row.get("attachment") if isinstance(row, Mapping) else None
        if isinstance(attachment, Mapping) and attachment.get("instance") == instance:
            return f"network_interfaces.{name}"
    return "an interface in network_interfaces that is attached to the instance"


def _named(mapping: Path) -> str:
    if len(mapping) == 2:
        return _ROWS[str(mapping[0])]
    last = next(part for part in reversed(mapping) if isinstance(part, str))
    return f"`{last}`"


def _at(data: Any, path: Path) -> Any:
    for part in path:
        if isinstance(data, Mapping) or (isinstance(data, tuple) and isinstance(part, int)):
            data = data[part]  # type: ignore[index]
        else:
            return None
    return data
