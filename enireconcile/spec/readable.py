"""What can be read of a file with mistakes, so that one mistake hides no other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from enireconcile.spec.checks import check
from enireconcile.spec.places import Path
from enireconcile.spec.rows import IN_PART, ROW_SECTIONS, Document
from enireconcile.spec.violations import Violation, keys_of, row_at, violations


@dataclass
class _Part:
    """What is left of a file. ``lacking`` and ``positions`` are those of ``checks.check``."""

    data: dict[str, Any] = field(default_factory=lambda: {"version": 1, "stack": "unknown"})
    lacking: dict[Path, AbstractSet[str]] = field(default_factory=dict)
    positions: dict[Path, Sequence[int]] = field(default_factory=dict)

    def original(self, path: Path) -> Path:
        """The path in the file of a path in this part."""
        kept = self.positions.get(path[:3])
        if kept is None or len(path) == 3:
            return path
        return (*path[:3], kept[int(path[3])], *path[4:])


def check_readable(data: Mapping[str, Any], wrong: AbstractSet[Path]) -> Iterator[Violation]:
    """What is wrong besides the mistakes at the paths of ``wrong``, and does not follow from them.

    Without wrong values, the rest of a row is validated as a whole; without wrong rows, the rows together.
    """
    wrong = set(wrong)
    while True:
        part = _without(data, wrong)
        try:
            document = Document.model_validate(part.data, context=IN_PART)
        except ValidationError as error:
            found = [(part.original(each.path), each) for each in violations(error)]
            if wrong.issuperset(path for path, _ in found):
                return
            yield from (Violation(path, each.message, each.hint, each.on_key) for path, each in found)
            wrong.update(path for path, _ in found)
        else:
            yield from check(document, part.lacking, part.positions)
            return


def missing_rows(data: Mapping[str, Any], wrong: AbstractSet[Path]) -> frozenset[str]:
    """The sections that may have more rows than could be read."""
    unknown = any(isinstance(value, dict) for key, value in data.items() if key not in keys_of(Document))
    unreadable = {path[0] for path in wrong if len(path) > 1 and path[1] not in _rows(data, path[0])}
    return frozenset(
        section
        for section in ROW_SECTIONS
        if section in unreadable or (unknown if section not in data else not isinstance(data[section], dict))
    )


def wrong_defaults(wrong: Iterable[Path]) -> frozenset[str]:
    """The sections whose rows may lack what their defaults were to say."""
    below = {path[1] if len(path) > 1 else None for path in wrong if path[:1] == ("defaults",)}
    elsewhere = not below <= {*ROW_SECTIONS}
    return frozenset(section for section in ROW_SECTIONS if elsewhere or section in below)


def _rows(data: Mapping[str, Any], section: str | int) -> Mapping[Any, Any]:
    rows = data.get(str(section))
    return rows if isinstance(rows, dict) else {}


def _without(data: Mapping[str, Any], wrong: AbstractSet[Path]) -> _Part:
    """The file without what is wrong: without values of rows, items of their lists, or whole rows."""
    part = _Part()
    below: dict[Path, list[Path]] = {}
    for path in wrong:
        below.setdefault(path[:2] if path[:1] and path[0] in ROW_SECTIONS else path[:1], []).append(path)
    unknown = any(key not in keys_of(Document) for key in data)
    lost = {key for key in Document.model_fields if (unknown and key not in data) or (key,) in below}
    part.lacking[()] = (lost - {*ROW_SECTIONS}) | missing_rows(data, wrong)
    incomplete = wrong_defaults(wrong)
    for key, value in data.items():
        if key not in Document.model_fields or (key,) in below:
            continue
        if key not in ROW_SECTIONS:
            part.data[key] = value
        elif isinstance(value, dict):
            part.data[key] = {}
            for name, row in value.items():
                _add_row(part, (key, name), row, below.get((key, name), ()), incomplete=key in incomplete)
    return part


def _add_row(part: _Part, path: Path, row: Any, wrong: Sequence[Path], *, incomplete: bool) -> None:
    """Add what is left of a row, if anything is; with ``incomplete``, keys from the defaults may be missing."""
    section, name = path
    keys = {*keys_of(row_at((section, "")))}
    if not wrong and not (incomplete and isinstance(row, dict)):
        part.data[str(section)][name] = row
        return
    # Half a check asks nothing, and an external instance has one key only.
    if not isinstance(row, dict) or path in wrong or section == "checks" or "external" in row:
        part.lacking[path] = keys
        return
    left = {**row}
    below: dict[str, list[Path]] = {}
    for each in wrong:
        below.setdefault(str(each[2]), []).append(each)
    lost = {*below}
    for key, places in below.items():
        items = left.pop(key, None)
        dropped = {each[3] for each in places if len(each) > 3 and isinstance(each[3], int)}
        several = isinstance(items, tuple) and all(len(each) > 3 for each in places)
        kept = [index for index in range(len(items)) if index not in dropped] if several and items else []
        if kept and items:
            left[key] = tuple(items[index] for index in kept)
            part.positions[*path, key] = kept
    if incomplete or not lost <= keys:
        lost |= keys - row.keys()  # What is missing may be there under a name that nothing has.
    part.lacking[path] = lost
    part.data[str(section)][name] = left
