"""The exported spec as text: its rows, without what no spec can say, and with what they share said once. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from enireconcile.errors import EnireconcileError, Problem, SpecErrors
from enireconcile.export.addresses import address_row
from enireconcile.export.gather import gathered
from enireconcile.export.groups import group_row
from enireconcile.export.instances import external_row, instance_row, launch_note
from enireconcile.export.interfaces import interface_row
from enireconcile.export.names import names_of
from enireconcile.export.said import Said, Source, unsayable_tags
from enireconcile.export.selectors import Selectors
from enireconcile.export.taking import Taken, taken
from enireconcile.export.templates import Origin, folded
from enireconcile.export.userdata import UserData, user_data_of
from enireconcile.live.records import AnyRecord, LiveNetworkInterface
from enireconcile.live.selected import Selected, Selection
from enireconcile.model import Secret
from enireconcile.spec import SECTIONS, Disk, Document, load
from enireconcile.spec.expand import MODELS, escaped
from enireconcile.spec.render import plain, write
from enireconcile.spec.yamltree import MAX_BYTES

Rows = dict[str, dict[str, Said]]


class Exported(Struct, frozen=True):
    """The text of a spec, None if no resource can have a row; what it leaves out, and why; and the addresses of
    its rows by the ids of their resources. ``files`` are to be written beside it, by their paths.
    """

    text: str | None
    notes: tuple[str, ...]
    rows: Mapping[str, str] = {}
    files: Mapping[str, Secret] = {}


def exported(selection: Selection, found: Selected, folder: str | None = None) -> Exported:
    """The spec of the selected resources. Its plan adopts them, and finds nothing if their stack is selected.

    ``folder`` is where files of user data go, a path beside the spec; None: user data is left out.
    """
    chosen = taken(selection, found)
    if not chosen.rows:
        return Exported(None, chosen.notes)
    names = names_of(chosen, owned=selection.stack is not None, wishes=found.names)
    outside = (live for live in found.outside if isinstance(live, LiveNetworkInterface))
    source = Source(
        region=found.region,
        owned=selection.stack is not None,
        names=names,
        rows=frozenset(live.id for live in chosen.rows),
        selectors=Selectors(found),
        interfaces={live.id: live for live in (*found.network_interfaces, *outside)},
    )
    rows = _rows(chosen, source)
    beside = user_data_of(chosen.instances, source, found, folder) if folder is not None else UserData()
    beside.comment(rows["instances"])
    notes = [*chosen.notes, *_notes(chosen, source), *_unanswered(found), *beside.notes]
    head = {"version": 1, "stack": selection.stack or _stack_name(found), "region": found.region}
    if found.account_id is not None:
        head["account_id"] = found.account_id
    document = _loaded(head, rows, notes)
    unsaid = _unsaid(selection, asked=folder is not None)
    text = _text(document, rows, selection, unsaid, beside)
    return Exported(text, tuple(notes), _addresses(chosen, names, document), beside.files)


def _addresses(chosen: Taken, names: Mapping[str, str], document: Document) -> dict[str, str]:
    sections: dict[str, Sequence[AnyRecord]] = {
        "security_groups": chosen.security_groups,
        "instances": chosen.instances,
        "network_interfaces": chosen.network_interfaces,
        "elastic_ips": chosen.elastic_ips,
    }
    addresses = {live.id: f"{section}.{names[live.id]}" for section, lives in sections.items() for live in lives}
    present = document.resources
    return {key: address for key, address in addresses.items() if address in present}


def _rows(chosen: Taken, source: Source) -> Rows:
    names = source.names
    instances = {names[live.id]: instance_row(live, source) for live in chosen.instances}
    instances |= {names[live.id]: external_row(live) for live in chosen.externals}
    interfaces = sorted(chosen.network_interfaces, key=lambda live: _interface_order(live, names))
    places = {live.id: number for number, live in enumerate(interfaces)}
    # In the order of their interfaces; what is not associated comes last.
    addresses = sorted(
        chosen.elastic_ips,
        key=lambda live: (places.get(live.network_interface_id or "", len(places)), _natural(names[live.id])),
    )
    return {
        "security_groups": _sorted({names[live.id]: group_row(live, source) for live in chosen.security_groups}),
        "instances": _sorted(instances),
        "network_interfaces": {names[live.id]: interface_row(live, source) for live in interfaces},
        "elastic_ips": {names[live.id]: address_row(live, source) for live in addresses},
    }


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """The order of names in which numbers count as numbers."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def _sorted(rows: Mapping[str, Said]) -> dict[str, Said]:
    return {name: rows[name] for name in sorted(rows, key=_natural)}


def _interface_order(live: LiveNetworkInterface, names: Mapping[str, str]) -> tuple[Any, ...]:
    """By instance and device index; what is not attached comes last."""
    place = live.attachment
    where = (place.network_card_index, place.device_index) if place else (0, 0)
    host = names.get(place.instance_id) if place else None
    return host is None, _natural(host or ""), where, _natural(names[live.id])


def _notes(chosen: Taken, source: Source) -> Iterator[str]:
    yield from filter(None, (launch_note(live, source) for live in chosen.instances))
    for live in chosen.rows:
        for key in unsayable_tags(live):
            yield f"left out: the tag {key!r} of {live.id}: it has control characters"


def _unanswered(found: Selected) -> Iterator[str]:
    for call, code in sorted(found.unanswered.items()):
        yield f"{call} was not answered ({code}): what only it shows is left out"


# ---- what the spec cannot say


def _loaded(head: Mapping[str, Any], rows: Rows, notes: list[str]) -> Document:
    """The document of the rows. What no spec can say is left out, with a note, until the rest is valid."""
    for named in rows.values():
        for said in named.values():
            _ignore(said)
    while True:
        text = write(_data(head, rows))
        if len(text.encode()) > MAX_BYTES:
            count = sum(map(len, rows.values()))
            raise EnireconcileError(
                f"a spec with {count} rows would be larger than the {MAX_BYTES} bytes that a spec can have",
                hint="make several stacks of fewer resources",
            )
        try:
            return _load(text)
        except SpecErrors as errors:
            problems = {_place(problem): problem.message for problem in errors.problems}
        if not all(section in rows and name in rows[section] for section, name, _ in problems):
            raise AssertionError(f"the export is no valid spec: {problems}")
        for (section, name, key), message in problems.items():
            notes.append(f"left out: {_leave_out(section, name, key, rows)}: {message}")


def _load(text: str, disk: Disk | None = None) -> Document:
    (spec,) = load(["-"], stdin=lambda: text, disk=disk or Disk())
    return spec.document


def _data(head: Mapping[str, Any], rows: Rows) -> dict[str, Any]:
    sections = {
        key: {name: _escaped(said.row) for name, said in rows[key].items()} for key in SECTIONS if rows[key]
    }
    return {**head, **sections}


def _escaped(value: Any) -> Any:
    """The value as a file writes it, so that nothing in it is read as a reference."""
    if isinstance(value, Mapping):
        return {escaped(key): _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return escaped(value) if isinstance(value, str) else value


def _ignore(said: Said) -> None:
    """An attribute that is left out of a row without ``adopt`` would be set to its default: it is ignored."""
    if said.ignored and "adopt" not in said.row:
        said.row["lifecycle"] = {"ignore": sorted(set(said.ignored))}


def _place(problem: Problem) -> tuple[str, str, str]:
    """Section, name and key of a problem; what is missing is empty."""
    section, name, key = [*problem.path.split("."), "", ""][:3]
    return section, name, key


def _leave_out(section: str, name: str, key: str, rows: Rows) -> str:
    """Leave out the key of a row, or the row if it cannot be without the key. Says which of the two."""
    said = rows[section].get(name, Said())
    needed = ("adopt", "external") if "adopt" in said.row else ("external", *MODELS[section].needed)
    if key in said.row and key not in needed:
        del said.row[key]
        said.ignored.append(key)
        _ignore(said)
        return f"{section}.{name}.{key}"
    rows[section].pop(name, None)
    return f"{section}.{name}, because of its {key}" if key else f"{section}.{name}"


# ---- the text


def _text(document: Document, rows: Rows, selection: Selection, unsaid: str, beside: UserData) -> str:
    """The text, which has to be read back as the same rows. ``unsaid`` is what to do about what is not in it."""
    made = folded(beside.named_in(plain(document)), gathered)
    data = gathered(made.data)
    text = write(data, _comments(data, rows, selection, unsaid, made.origins))
    if _effective(_load(text, beside.disk)) != _effective(beside.read_into(document)):
        raise AssertionError("the export is read back as another spec")
    return text


def _effective(document: Document) -> dict[str, Any]:
    """What each row says, with the tags of the file."""
    said = {
        address: row.model_dump(mode="json", exclude_unset=True) for address, row in document.resources.items()
    }
    return {
        address: {**row, "tags": {**document.tags, **row.get("tags", {})}} for address, row in said.items()
    } | {name: row.external for name, row in document.external_instances.items()}


def _comments(
    data: Mapping[str, Any],
    rows: Rows,
    selection: Selection,
    unsaid: str,
    origins: Mapping[tuple[str, str], Origin],
) -> dict[tuple[str | int, ...], str]:
    """The comments of the rows, as far as the text has what they are about.

    Those of rows that a template makes are at the template if all of them have the same, else at their elements.
    """
    found: dict[tuple[str | int, ...], str] = {(): _header(data, selection, unsaid)}
    if selection.stack is None:
        found["stack",] = "choose its name before the first apply: it marks every resource"
    made: dict[tuple[str, str], list[Said]] = defaultdict(list)
    for (section, name), each in origins.items():
        made[section, each.template].append(rows[section][name])
    for section, named in rows.items():
        for name, said in named.items():
            origin = origins.get((section, name))
            where = origin.template if origin else name
            for path, words in said.comments.items():
                if not all(key in data[section][where] for key in path[:1]):
                    continue
                if origin and any(each.comments.get(path) != words for each in made[section, where]):
                    known = found.get(origin.element)
                    found[origin.element] = f"{known}; {words}" if known else words
                else:
                    found[(section, where, *path)] = words
    return found


def _header(data: Mapping[str, Any], selection: Selection, unsaid: str) -> str:
    lines = [f"What exists of {selection.text} in {data['region']}."]
    if unsaid and any("external" not in row for row in data.get("instances", {}).values()):
        lines.append(f"{unsaid} before you launch an instance anew.")
    return "\n".join(lines)


def _unsaid(selection: Selection, *, asked: bool) -> str:
    """What to do about what the text does not have; ``asked``: user data was asked for."""
    if selection.terraform is not None:
        return "User data and volumes are not exported: add them"
    if selection.stack is not None:
        return "" if asked else "User data is not exported (see --user-data): add it"
    if asked:
        return "Volumes are comments: make them keys"
    return "User data is not exported (see --user-data), and volumes are comments: add both"


def _stack_name(found: Selected) -> str:
    """A name for the stack that no stack has."""
    numbered = (f"{found.wish}-{number}" for number in range(2, len(found.stacks) + 3))
    return next(each for each in (found.wish, *numbered) if each not in found.stacks)
