"""The names in rows that must be names of other rows. Pure.

They are read from the plain data of the file: a reference beside another mistake, which makes its row invalid, is
checked, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from enireconcile.model import Ref, refs_in
from enireconcile.spec.places import Path, shown
from enireconcile.spec.rows import SECTIONS
from enireconcile.spec.shapes import resource_id
from enireconcile.spec.suggest import Hint, Nearest
from enireconcile.spec.violations import Violation

_ENDS = (("ingress", "sources"), ("egress", "destinations"))


def dangling(data: Mapping[str, Any], wrong: AbstractSet[Path], missing: AbstractSet[str]) -> Iterator[Violation]:
    """References to rows that the file does not have.

    ``wrong`` are the paths of mistakes that are reported already. Rows of sections in ``missing`` could not be
    read, so references to them may be right.
    """
    known = {section: frozenset(_rows(data, section)) for section in SECTIONS}
    names = (found for found in _named(data) if found[0] not in wrong)
    for path, section, name in dict.fromkeys((*names, *_in_texts(data))):
        if name in known[section] or section in missing:
            continue
        what = section[:-1].replace("_", " ")
        hint = _hint(name, section, known[section])
        yield Violation(path, f"there is no {what} {shown(name)} in this spec", hint)


def _hint(name: str, section: str, known: AbstractSet[str]) -> Hint:
    if section == "instances" and resource_id("i", name):
        return f"ids are not allowed here; add `fw: {{external: {name}}}` under instances, and write `fw`"
    return Nearest(name, known, None if known else f"add it under {section}")


def _named(data: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    """Every name of another row: its path, the section that it points into, and the name."""
    for name, row in _rows(data, "security_groups").items():
        yield from _groups_in_rules(("security_groups", name), row)
    for name, row in _rows(data, "network_interfaces").items():
        yield from _in_interface(("network_interfaces", name), row)
    for name, row in _rows(data, "elastic_ips").items():
        yield from _ends(("elastic_ips", name, "association"), _mapping(row, "association"))
    for name, row in _rows(data, "checks").items():
        for key in ("elastic_ip", "network_interface"):
            yield from _one(("checks", name), row, key, f"{key}s")


def _groups_in_rules(path: Path, row: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    for key, ends in _ENDS:
        for index, rule in _items(row, key):
            for number, peer in _items(rule, ends):
                if isinstance(peer, str) and peer != "self" and not _is_literal(peer, "(sg|pl)"):
                    yield (*path, key, index, ends, number), "security_groups", peer


def _in_interface(path: Path, row: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    for index, group in _items(row, "security_groups"):
        if isinstance(group, str) and not resource_id("sg", group):
            yield (*path, "security_groups", index), "security_groups", group
    below: Path = (*path, "attachment")
    attachment = _mapping(row, "attachment")
    yield from _one(below, attachment, "instance", "instances")
    for index, instance in _items(attachment, "instances"):
        if isinstance(instance, str):
            yield (*below, "instances", index), "instances", instance


def _ends(path: Path, association: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    yield from _one(path, association, "instance", "instances")
    for found in _one(path, association, "network_interface", "network_interfaces"):
        if not resource_id("eni", found[2]):
            yield found


def _in_texts(data: Mapping[str, Any]) -> Iterator[tuple[Path, str, str]]:
    """The rows whose attributes tags and user data refer to."""
    for path, ref in _refs(data):
        section, _, name = ref.address.partition(".")
        yield path, section, name


def _refs(data: Mapping[str, Any]) -> Iterator[tuple[Path, Ref]]:
    yield from ((("tags", key), ref) for key, value in _mapping(data, "tags").items() for ref in refs_in(value))
    for section in SECTIONS:
        for name, row in _rows(data, section).items():
            for key, value in _mapping(row, "tags").items():
                yield from (((section, name, "tags", key), ref) for ref in refs_in(value))
            if section == "instances":
                yield from (((section, name, "user_data"), ref) for ref in refs_in(row.get("user_data")))


def _one(path: Path, row: Mapping[str, Any], key: str, section: str) -> Iterator[tuple[Path, str, str]]:
    if isinstance(name := row.get(key), str):
        yield (*path, key), section, name


def _is_literal(peer: str, prefix: str) -> bool:
    """Whether it is a CIDR, an id, or a group of another account, and no name."""
    return "/" in peer or resource_id(prefix, peer)


def _rows(data: Mapping[str, Any], section: str) -> dict[str, Mapping[str, Any]]:
    """The rows of a section by name; {} for what is no mapping."""
    rows = _mapping(data, section)
    return {name: _mapping(rows, name) for name in rows}


def _mapping(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _items(value: Any, key: str) -> Iterator[tuple[int, Any]]:
    found = value.get(key) if isinstance(value, dict) else None
    return enumerate(found if isinstance(found, tuple) else ())
