"""From a Document to readable YAML. ``load`` of that YAML gives the same document.

This does not use PyYAML's writer: it leaves out defaults, keeps short collections on one line, and quotes all text
that some YAML reader would convert to another type.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from enireconcile.model import Ref, Template
from enireconcile.spec.expand import escaped
from enireconcile.spec.places import Path
from enireconcile.spec.rows import ROW_SECTIONS, Document
from enireconcile.spec.shapes import Image, InstanceSelector, Ports, RouteTableSelector, Selector, Shape

_FLOW_WIDTH = 100
_NESTED_WIDTH = 50
_BELOW_ROWS = 4
"""The indent of the keys of a row."""
_WIDTH = 115
_BLOCKS = ("variables", "defaults", *ROW_SECTIONS)
"""The keys of a file with a blank line before them."""
_ALWAYS = frozenset({"version", "stack"})

# No number, date or indicator begins with a letter. The words of YAML 1.1 (_WORDS) are quoted anyway.
_BARE = re.compile(r"[A-Za-z/](?:[A-Za-z0-9_./@+=-]|:(?=[A-Za-z0-9:/])| (?=[A-Za-z0-9]))*")
_BARE_IPV4 = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?")
# Outside of { } and [ ], a reference needs no quotes.
_BARE_REFERENCE = re.compile(r"(?:[A-Za-z0-9/][A-Za-z0-9_./-]*)?\$\{[A-Za-z0-9_.-]+\}[A-Za-z0-9_./-]*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPED = re.compile("[^\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_BLOCK_TEXT = re.compile(r"(?:[^\s][^\n]*\n)(?:\n*[^\n]+\n)*[^\n]*")


Comments = Mapping[Path, str]
"""Comments by the paths of what they are about; ``()`` is the file."""


def render(document: Document) -> str:
    """The YAML text of the document, without values that equal their default.

    Raises ValueError for user data that is not text.
    """
    return write(plain(document))


def plain(document: Document) -> dict[str, Any]:
    """The document as a file says it, as plain data, without values that equal their default."""
    return _row(document)


def write(data: Mapping[str, Any], comments: Comments = MappingProxyType({})) -> str:
    """The YAML text of a file that is plain data."""
    lines = [f"# {_commentary(line)}" for line in comments.get((), "").splitlines()]
    parents = {path[:length] for path in comments for length in range(len(path))}
    told = _Told(comments, parents)
    for key, value in data.items():
        if key in _BLOCKS:
            lines += ["", f"{key}:"]
            for name, row in value.items():
                lines += _entry(name, row, 2, (key,), told)
        else:
            lines += _entry(key, value, 0, (), told)
    return "\n".join(lines) + "\n"


def one_line(data: Mapping[str, Any]) -> str:
    """Keys of a row on one line, for a comment or a message."""
    return ", ".join(f"{key}: {_flow(value)}" for key, value in data.items())


def _row(row: Shape, *, written: bool = False) -> dict[str, Any]:
    """The fields that differ from their defaults, in the order of the model, as plain data.

    In a row with ``adopt`` (``written``), defaults that were written are kept; left out, they would be unmanaged.
    """
    written = written or getattr(row, "adopt", None) is not None
    result = {}
    for name, declared in type(row).model_fields.items():
        value = getattr(row, name)
        default = declared.get_default(call_default_factory=True, validated_data={})
        said = written and name in row.model_fields_set and value is not None
        if name in _ALWAYS or value != default or said:
            result[name] = _plain(value, written, user_data=name == "user_data")
    if result.get("protocol") == "-1":
        result["protocol"] = "all"
    return result


def _plain(value: Any, written: bool = False, *, user_data: bool = False) -> Any:
    if isinstance(value, Template):
        return "".join(
            f"${{{part}}}" if isinstance(part, Ref) else escaped(part, user_data=user_data) for part in value.parts
        )
    if isinstance(value, bytes):
        raise ValueError("user data that is not text has no spelling in YAML: it stays in a file of its own")
    if isinstance(value, str):
        return escaped(value, user_data=user_data)
    if isinstance(value, Ports):
        if value.code is not None:
            return f"{value.first}/{value.code}"
        return value.first if value.first == value.last else f"{value.first}-{value.last}"
    if isinstance(value, Selector):
        return "default" if value.default else value.id or _row(value)
    if isinstance(value, (Image, InstanceSelector, RouteTableSelector)):
        return value.id or _row(value)
    if isinstance(value, Shape):
        return _row(value, written=written)
    if isinstance(value, Mapping):
        return {escaped(key): _plain(item, written) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item, written) for item in value]
    return value


class _Told(Struct, frozen=True):
    """Comments by their paths, and the paths above those."""

    comments: Comments = {}
    parents: Set[Path] = frozenset()


def _entry(key: str, value: Any, indent: int, above: Path, told: _Told) -> Iterator[str]:
    """The lines of one entry of a mapping, with its comment: after its first line, or above it."""
    path = (*above, key)
    first, *rest = _bare_entry(key, value, indent, path, told)
    yield from _commented(first, indent, told.comments.get(path))
    yield from rest


def _commented(line: str, indent: int, words: str | None) -> Iterator[str]:
    """A line with its comment behind it, or above it where the line would be too long."""
    comment = "" if words is None else f"# {_commentary(words)}"
    if comment and len(line) + 2 + len(comment) > _WIDTH:
        yield " " * indent + comment
        comment = ""
    yield f"{line}  {comment}" if comment else line


def _bare_entry(key: str, value: Any, indent: int, path: Path, told: _Told) -> Iterator[str]:
    pad, name = " " * indent, _scalar(key)
    flow = _flow(value)
    if isinstance(value, str) and _is_block(value):
        yield f"{pad}{name}: {'|' if value.endswith(chr(10)) else '|-'}"
        yield from (f"{pad}  {line}" if line else "" for line in value.removesuffix("\n").split("\n"))
    elif isinstance(value, str) and _BARE_REFERENCE.fullmatch(value):
        yield f"{pad}{name}: {value}"
    elif path not in told.parents and _fits(value, flow, indent, len(name)):
        yield f"{pad}{name}: {flow}"
    elif isinstance(value, dict):
        yield f"{pad}{name}:"
        for inner, item in value.items():
            yield from _entry(inner, item, indent + 2, path, told)
    else:
        yield f"{pad}{name}:"
        for number, item in enumerate(value):
            first, *rest = _item(item, indent + 2)
            yield from _commented(first, indent + 2, told.comments.get((*path, number)))
            yield from rest


def _item(value: Any, indent: int) -> Iterator[str]:
    """The lines of one item of a list."""
    pad, flow = " " * indent, _flow(value)
    if not isinstance(value, dict) or len(flow) + indent <= _FLOW_WIDTH:
        yield f"{pad}- {flow}"
        return
    lines = [line for key, item in value.items() for line in _entry(key, item, indent + 2, (), _Told())]
    yield f"{pad}- {lines[0].lstrip(' ')}"
    yield from lines[1:]


def _fits(value: Any, flow: str, indent: int, name: int) -> bool:
    """Whether a value is readable on one line: a scalar, or a short collection without nested mappings.

    Below a row, a very short mapping may have nested ones: ``{tags: {Name: lab}}``. A template is a block.
    """
    if isinstance(value, dict) and "for_each" in value and len(value) > 1:
        return False
    if not isinstance(value, (dict, list)) or not value:
        return True
    if isinstance(value, dict) and indent >= _BELOW_ROWS and len(flow) <= _NESTED_WIDTH:
        return True
    nested = any(map(_has_mapping, value.values())) if isinstance(value, dict) else not all(map(_is_small, value))
    return indent + name + len(flow) <= _FLOW_WIDTH and not nested


def _is_small(item: Any) -> bool:
    """A scalar, or a selector such as ``{group_name: ops}``."""
    return not _has_mapping(item) or (len(item) == 1 and not any(map(_has_mapping, _items(item))))


def _has_mapping(item: Any) -> bool:
    return (isinstance(item, dict) and bool(item)) or (isinstance(item, list) and any(map(_has_mapping, item)))


def _items(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if _BARE_IPV4.fullmatch(value) or (_BARE.fullmatch(value) and value.lower() not in _WORDS):
        return value
    return _ESCAPED.sub(_escape, json.dumps(value, ensure_ascii=False))


def _commentary(text: str) -> str:
    """A comment on one line, of characters that a YAML reader accepts."""
    return _ESCAPED.sub(_escape, " ".join(text.split()))


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match.group()):04x}"


def _is_block(value: str) -> bool:
    """Whether a literal block can hold the text exactly: several printable lines without special line ends."""
    return bool(_BLOCK_TEXT.fullmatch(value)) and not _ESCAPED.search(value.replace("\t", ""))
