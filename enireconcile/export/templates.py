"""Rows that are alike but for one part of their names: one template with ``for_each``. Pure, on plain data.

The part of the names that differs is the key of an element. A template says it as ``${each.key}``, and what else
may differ (ids, addresses, subnets) as ``${each.value…}``. The elements stand under ``variables``, once for all
rows that belong together: they have the same keys, and their names begin alike or they refer to each other.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.spec import SECTIONS, Path
from enireconcile.spec.render import write

Plain = dict[str, Any]
Address = tuple[str, str]
"""Section and name of a row."""
_FEWEST = 3
"""So many rows are worth a template."""
_MOST_PARTS = 12
"""Longer names are not taken apart: the ways to do it grow with the square of their parts."""
_MOST_MISSES = 30
"""So many rows that are like no other end the search among names of one pattern."""
_MOST_TRIED = 30
"""For each bundle that is tried, the whole file is written."""
_PART = re.compile(
    r"[a-z]{2}(?:-gov|-isob?)?-(?:north|south|east|west|central)(?:east|west)?-[0-9][a-z]?(?![A-Za-z0-9])"
    r"|[-_]+|[0-9]+|[^-_0-9]+"
)
"""A part of a name: a Region or zone, separators, a number, or what is between them."""
_SEPARATORS = "-_"
_KEY = "${each.key}"
_FREE = {
    ("adopt",): "adopt",
    ("external",): "external",
    ("subnet",): "subnet",
    ("subnet", "default_for_az"): "zone",
    ("subnet", "cidr"): "cidr",
    ("private_ip",): "private_ip",
    ("secondary_private_ips",): "secondary_private_ips",
    ("ipv6_addresses",): "ipv6_addresses",
    ("ipv4_prefixes",): "ipv4_prefixes",
    ("ipv6_prefixes",): "ipv6_prefixes",
    ("association", "private_ip"): "private_ip",
    ("reverse_dns",): "reverse_dns",
    ("tags", "Name"): "name",
}
"""The paths in a row of what may differ in any way, and the fields of elements that say it; the longest counts."""
_IDS = ("adopt", "external")
_KINDS = {
    "security_groups": "security_group",
    "instances": "instance",
    "network_interfaces": "network_interface",
    "elastic_ips": "elastic_ip",
}


class Origin(Struct, frozen=True):
    """Where a row is said that a template makes: the name of the template, and the path of the element."""

    template: str
    element: Path


class Folded(Struct, frozen=True):
    """A file with templates, and the origins of the rows that they make, by section and name."""

    data: Plain
    origins: Mapping[Address, Origin] = {}


def folded(data: Plain, gather: Callable[[Plain], Plain]) -> Folded:
    """The same file, with templates where they save lines and characters. ``gather`` says once what rows share."""
    made, size = Folded(data), _size(gather(data))
    for bundle in _bundles({key: data[key] for key in SECTIONS if key in data})[:_MOST_TRIED]:
        left = bundle.left_in(made)
        if left is None:
            continue
        tried = left.fold(made)
        new = _size(gather(tried.data))
        if all(now < before for now, before in zip(new, size, strict=True)):
            made, size = tried, new
    return made


def _size(data: Plain) -> tuple[int, int]:
    """Lines and characters."""
    text = write(data)
    return text.count("\n"), len(text)


# ---- which rows are alike


class _Template(Struct, frozen=True, eq=False):
    """Rows of a section, by the keys in their names."""

    section: str
    prefix: str
    suffix: str
    rows: Mapping[str, Plain]

    @property
    def name(self) -> str:
        return f"{self.prefix}{_KEY}{self.suffix}"

    def address(self, key: str) -> Address:
        return self.section, f"{self.prefix}{key}{self.suffix}"

    def of(self, keys: Iterable[str]) -> _Template:
        """The same template for these keys alone."""
        return replace(self, rows={key: self.rows[key] for key in keys})


def _templates(sections: Mapping[str, Mapping[str, Plain]]) -> Iterator[_Template]:
    """All templates that can make three or more rows."""
    for section, rows in sections.items():
        named: dict[tuple[str, str], dict[str, Plain]] = defaultdict(dict)
        for name, row in rows.items():
            for prefix, key, suffix in _splits(name):
                named[prefix, suffix][key] = row
        for (prefix, suffix), by_key in named.items():
            for alike in _clusters(by_key):
                if not _share_an_end([*alike]):
                    yield _Template(section, prefix, suffix, alike)


def _splits(name: str) -> Iterator[tuple[str, str, str]]:
    """The ways to see a name as prefix, key and suffix. A key neither begins nor ends with a separator."""
    parts = _PART.findall(name)
    if len(parts) > _MOST_PARTS:
        return
    ends = [number for number, part in enumerate(parts) if part[0] not in _SEPARATORS]
    for first in ends:
        for last in ends[ends.index(first) :]:
            yield "".join(parts[:first]), "".join(parts[first : last + 1]), "".join(parts[last + 1 :])


def _share_an_end(keys: Sequence[str]) -> bool:
    """Do all keys begin alike, or end alike? Then there is a template with shorter keys."""
    parts = [_PART.findall(key) for key in keys]
    return all(len(each) > 1 for each in parts) and any(len({each[end] for each in parts}) == 1 for end in (0, -1))


def _clusters(rows: Mapping[str, Plain]) -> Iterator[dict[str, Plain]]:
    """Rows by their keys, together where one template can make them."""
    left, misses = dict(rows), 0
    while len(left) >= _FEWEST and misses < _MOST_MISSES:
        first, row = next(iter(left.items()))
        alike: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        for key in [*left][1:]:
            if (difference := _difference(row, first, left[key], key)) is not None:
                alike[difference].append(key)
        keys = [first, *max(alike.values(), key=len, default=[])]
        if len(keys) >= _FEWEST:
            yield {key: left[key] for key in keys}
        else:
            keys, misses = [first], misses + 1
        for key in keys:
            del left[key]


def _difference(
    one: Any, key: str, other: Any, another: str, path: tuple[Any, ...] = ()
) -> tuple[Any, ...] | None:
    """How two values differ at each of their ends; None if no template can make both."""
    if path in _FREE:
        return ()
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        pairs = [(step, one[step], other[step]) for step in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = [*zip(range(len(one)), one, other, strict=True)]
    elif type(one) is type(other) and one == other:
        return (None,)
    elif isinstance(one, str) and isinstance(other, str):
        pattern = next((each for each in _patterns(one, key) if another.join(each) == other), None)
        return None if pattern is None else (pattern,)
    else:
        return None
    found: list[Any] = []
    for step, mine, yours in pairs:
        part = _difference(mine, key, yours, another, (*path, step))
        if part is None:
            return None
        found += part
    return tuple(found)


def _patterns(text: str, key: str) -> Iterator[tuple[str, ...]]:
    """The text around the key where that is a part of its own: around all of its places, then around each.

    After ``$``, a reference would be read as a literal ``${``.
    """
    places, start = [], text.find(key)
    while start >= 0:
        end, before = start + len(key), text[start - 1 : start]
        if before != "$" and not (_joined(before + key[0]) or _joined(key[-1] + text[end : end + 1])):
            places.append((start, end))
        start = text.find(key, end)
    if len(places) > 1:
        ends = [0, *chain.from_iterable(places), len(text)]
        yield tuple(text[ends[at] : ends[at + 1]] for at in range(0, len(ends), 2))
    yield from ((text[:start], text[end:]) for start, end in places)


def _joined(pair: str) -> bool:
    """Are two neighbouring characters in one part of a name: both digits, or both letters?"""
    return len(pair) > 1 and (pair.isdigit() or pair.isalpha())


# ---- which of them belong together


def _bundles(sections: Mapping[str, Mapping[str, Plain]]) -> list[_Bundle]:
    """Bundles of templates, in the order in which to try them."""
    templates = [*_templates(sections)]
    by_key: dict[str, list[_Template]] = defaultdict(list)
    for each in templates:
        for key in each.rows:
            by_key[key].append(each)
    found = []
    for keys in {frozenset(each.rows): [*each.rows] for each in templates}.values():
        fitting = [each.of(keys) for each in by_key[keys[0]] if each.rows.keys() >= {*keys}]
        found += [_Bundle(tuple(each)) for each in _related(fitting)]
    return sorted((each for each in found if each.begins), key=lambda bundle: bundle.weight)


def _related(templates: Sequence[_Template]) -> list[list[_Template]]:
    """The templates in groups: names that begin alike, or are the same, or refer to each other."""
    groups: list[tuple[set[str], list[_Template]]] = []
    for each in templates:
        texts = _texts(_row(each, _Values([*each.rows]), ""))
        marks = {each.prefix, each.name, *(text for text in texts if _KEY in text)} - {""}
        near = [group for group in groups if group[0] & marks]
        groups = [group for group in groups if group not in near]
        groups.append((marks.union(*(own for own, _ in near)), [*chain(*(own for _, own in near)), each]))
    return [members for _, members in groups]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


class _Bundle(Struct, frozen=True):
    """Templates that share their elements: each has rows for all of the keys."""

    templates: tuple[_Template, ...]

    @property
    def keys(self) -> list[str]:
        return [*self.templates[0].rows]

    @property
    def begins(self) -> bool:
        """Do the names begin with more than the names of other rows? Those of hosts need no more."""
        return any(each.prefix or not each.suffix or each.section == "instances" for each in self.templates)

    @property
    def weight(self) -> tuple[Any, ...]:
        """Hosts come before what they have; then most rows, then the shortest keys."""
        hosts = any(each.section == "instances" for each in self.templates)
        count = len(self.keys) * len(self.templates)
        return not hosts, -count, sum(map(len, self.keys)), [(each.section, each.name) for each in self.templates]

    def left_in(self, file: Folded) -> _Bundle | None:
        """The bundle without the rows and names of templates that the file has; None if too few are left."""
        used = {*file.origins}
        names = {(section, origin.template) for (section, _), origin in file.origins.items()}
        left = [
            each
            for each in self.templates
            if (each.section, each.name) not in names
            and sum(each.address(key) not in used for key in self.keys) >= _FEWEST
        ]
        keys = [key for key in self.keys if not any(each.address(key) in used for each in left)]
        templates = []
        for each in left if len(keys) >= _FEWEST else ():
            rows = {each.address(key) for key in keys}
            if not rows & used:
                templates.append(each.of(keys))
                used |= rows
        return _Bundle(tuple(templates)) if templates else None

    def fold(self, file: Folded) -> Folded:
        """The file with these templates in place of their rows."""
        variables = file.data.get("variables", {})
        name = _unused(self._variable(), variables)
        values, labels = _Values(self.keys), self._labels()
        sections = {key: file.data[key] for key in SECTIONS if key in file.data}
        origins = dict(file.origins)
        for each, label in zip(self.templates, labels, strict=True):
            row = {"for_each": f"${{var.{name}}}", **_row(each, values, label)}
            sections[each.section] = _in_place(sections[each.section], each, row)
        elements, references = values.laid_out()
        for number, key in enumerate(self.keys):
            path = ("variables", name, number if isinstance(elements, list) else key)
            origins |= {each.address(key): Origin(each.name, path) for each in self.templates}
        head = {key: value for key, value in file.data.items() if key not in (*SECTIONS, "variables")}
        sections = {key: _with_references(section, references) for key, section in sections.items()}
        return Folded({**head, "variables": {**variables, name: elements}, **sections}, origins)

    def _variable(self) -> str:
        """What the elements are called: as what their names have besides the keys."""
        first = next((each for each in self.templates if each.section == "instances"), self.templates[0])
        text = (first.prefix.strip(_SEPARATORS) or first.suffix.strip(_SEPARATORS)).replace("-", "_")
        return text if text[:1].isalpha() else first.section

    def _labels(self) -> list[str]:
        """What the values of each template are called in an element: as the end of its name, or its kind."""
        ends = [each.suffix.strip(_SEPARATORS) for each in self.templates]
        kinds = [_KINDS[each.section] for each in self.templates]
        labels: list[str] = []
        for end, kind in zip(ends, kinds, strict=True):
            if end[:1].isalpha() and ends.count(end) == 1:
                label = end
            else:
                label = kind if kinds.count(kind) == 1 else f"{end}_{kind}".strip(_SEPARATORS)
            labels.append(_unused(label, labels))
        return labels


def _unused(name: str, used: Iterable[str]) -> str:
    taken = {*used}
    numbered = (f"{name}_{number}" for number in range(2, len(taken) + 3))
    return next(each for each in chain([name], numbered) if each not in taken)


def _in_place(rows: Plain, template: _Template, row: Plain) -> Plain:
    """The section with the template where the first of its rows was."""
    own = {template.address(key)[1] for key in template.rows}
    result: Plain = {}
    for name, value in rows.items():
        if name not in own:
            result[name] = value
        else:
            result.setdefault(template.name, row)
    return result


# ---- the row of a template, and the elements


def _row(template: _Template, values: _Values, label: str) -> Plain:
    """The row that makes all rows of the template. What differs is a reference, or a field of ``values``."""
    first, *_ = rows = [*template.rows.values()]
    return {key: values.merged([row[key] for row in rows], label, (key,)) for key in first}


class _Field(Struct, frozen=True, eq=False):
    """A field of the elements: its value for each key, and the labels of the templates that say it."""

    name: str
    values: Sequence[Any]
    labels: set[str]


class _Values:
    """The elements of a bundle: their fields, as its templates need them."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        self._fields: list[_Field] = []

    def merged(self, values: Sequence[Any], label: str, path: tuple[Any, ...]) -> Any:
        """The one value that stands for those of all keys, at a path of the row."""
        first = values[0]
        if all(each == first for each in values):
            return first
        if all(isinstance(each, dict) and each.keys() == first.keys() for each in values):
            return {key: self.merged([each[key] for each in values], label, (*path, key)) for key in first}
        if isinstance(first, str):
            for pattern in _patterns(first, self._keys[0]):
                if all(key.join(pattern) == each for key, each in zip(self._keys, values, strict=True)):
                    return _KEY.join(pattern)
        free = next((_FREE[path[:end]] for end in range(len(path), 0, -1) if path[:end] in _FREE), None)
        if free is None and all(isinstance(each, list) and len(each) == len(first) for each in values):
            return [self.merged([*each], label, (*path, at)) for at, each in enumerate(zip(*values, strict=True))]
        return self._field(free or next(key for key in reversed(path) if isinstance(key, str)), values, label)

    def _field(self, name: str, values: Sequence[Any], label: str) -> _Field:
        """The field with these values, which several templates may share."""
        same = next((each for each in self._fields if each.values == values), None)
        if same is None:
            same = _Field(name, values, set())
            self._fields.append(same)
        same.labels.add(label)
        return same

    def laid_out(self) -> tuple[Any, dict[_Field, str]]:
        """The elements as a file says them, and the references to their fields.

        Without any field a list of the keys; with one, the values by the keys; else mappings. An id is called as
        the label of its template; where several templates have other fields of one name, each has a mapping.
        """
        if not self._fields:
            return [*self._keys], {}
        if len(self._fields) == 1:
            [only] = self._fields
            return dict(zip(self._keys, only.values, strict=True)), {only: "${each.value}"}
        named = Counter(each.name for each in self._fields)
        labels = {label for each in self._fields for label in each.labels}
        whole = {each for each in self._fields if len(each.labels) > 1 or len(labels) == 1}
        whole |= {each for each in self._fields if named[each.name] == 1 and each.name not in (*_IDS, *labels)}
        own = Counter(next(iter(each.labels)) for each in self._fields if each not in whole)
        taken: set[tuple[str, ...]] = {(label,) for label in own}
        paths: dict[_Field, tuple[str, ...]] = {}
        for each in self._fields:
            [label, *_] = each.labels
            if each not in whole and own[label] == 1:
                paths[each] = (label,)
                continue
            above = () if each in whole else (label,)
            paths[each] = (*above, _unused(each.name, (path[-1] for path in taken if path[:-1] == above)))
            taken.add(paths[each])
        elements: Plain = {key: {} for key in self._keys}
        for each in sorted(self._fields, key=lambda each: len(each.labels) == 1):  # what they share comes first
            for key, value in zip(self._keys, each.values, strict=True):
                *folders, last = paths[each]
                place = elements[key].setdefault(folders[0], {}) if folders else elements[key]
                place[last] = value
        return elements, {each: f"${{each.value.{'.'.join(path)}}}" for each, path in paths.items()}


def _with_references(value: Any, references: Mapping[_Field, str]) -> Any:
    if isinstance(value, _Field):
        return references[value]
    if isinstance(value, dict):
        return {key: _with_references(item, references) for key, item in value.items()}
    return [_with_references(item, references) for item in value] if isinstance(value, list) else value
