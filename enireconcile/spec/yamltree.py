"""From YAML text to plain data, and to the place of every value, without type guessing.

YAML 1.1 turns ``on`` into a boolean, ``012`` into ten and ``1:30`` into ninety. This reader does not: a scalar
without quotes becomes a ``Plain`` with its text as written, and the model of the row decides what it means. PyYAML
only parses; it constructs no values. Aliases, anchors, merge keys and explicit tags are errors, so the file shows
every value where it is used, and a small file cannot expand into a large one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import yaml
from msgspec import Struct
from msgspec.structs import replace

from enireconcile.errors import Problem
from enireconcile.spec.places import Located, Path, Place, Places, dotted, shown

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 16
"""The maximum nesting; a valid spec has at most 7 levels."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
# Line separators other than CR and LF are refused, too: YAML 1.1 breaks lines there, editors do not.
_UNPRINTABLE = "[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
# Compiling the whole set takes milliseconds, and most files have no other characters than these.
_UNPRINTABLE_ASCII = r"[^\t\n\r\x20-\x7e]"
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_BACKSLASH = "write `\\\\` for a backslash in double quotes, or use single quotes"
_HINTS = {
    "mapping values are not allowed": "put a value that contains ': ' in quotes, or correct the indentation",
    "cannot start any token": "put a value that begins with this character in quotes",
    "found unexpected end of stream": "close the quote or bracket that is still open",
    "did not find expected key": "check the indentation of this line and of the one above",
    "did not find expected '-' indicator": "check the indentation of this line and of the one above",
    "expected <block end>": "check the indentation of this line and of the one above",
    "could not find expected ':'": "write a colon and a space after a key: `key: value`",
    "expected ',' or ']'": "add the missing comma or the closing `]`",
    "expected ',' or '}'": "add the missing comma or the closing `}`",
    "scanning an alias": "put a value that begins with `*` in quotes",
    "scanning an anchor": "put a value that begins with `&` in quotes",
    "tag handle": "put a value that begins with `!` in quotes",
    "mapping keys are not allowed": "put a value that begins with `?` in quotes",
    "scanning a directive": "put a key that begins with `%` in quotes",
    "unknown escape": _BACKSLASH,
    "escape sequence": _BACKSLASH,
    "hexdecimal": _BACKSLASH,
    "node content": "remove the comma or bracket that begins a value here, or put the value in quotes",
    "sequence entries are not allowed": "begin a list on the line below its key",
    "scanning a block scalar": "begin the text on the line below `|` or `>`",
    "document start": "remove the line `...` above: one file is one document",
}


class Plain(str):
    """The text of a scalar that is written without quotes."""

    __slots__ = ()


class Tree(Struct, frozen=True):
    """The data of one file: dicts, tuples, ``str`` (quoted), ``Plain``, and None for nulls and refused values.

    ``nulls`` are the paths of nulls, for the caller to report. ``problems`` are the errors of the YAML reader, and
    ``refused`` the paths whose values are unusable because of them. ``mentions`` tells which words the text may
    have; all of them if there are escapes in it.
    """

    data: Any = None
    places: Places = msgspec.field(default_factory=Places)
    problems: list[Problem] = []
    nulls: set[Path] = set()
    refused: set[Path] = set()
    mentions: Callable[[str], bool] = lambda _: True


class FileSort(Struct, frozen=True):
    """What hints say of a file of this sort: how to begin it, to name it, to divide it, and what it is one of."""

    begin: str
    name: str
    divide: str
    one: str


SPEC_FILE = FileSort(
    begin="begin with `version: 1` and `stack: NAME`",
    name="give the path of a spec file, or of a directory with spec files",
    divide="split it into several stacks",
    one="one file is one stack; move the second document to a file of its own",
)


class _UnreadableError(Exception):
    """The rest of the file cannot be parsed."""

    def __init__(self, place: Place, message: str, hint: str | None = None, path: Path = ()) -> None:
        super().__init__(message)
        self.place, self.message, self.hint, self.path = place, message, hint, path


def decode(raw: bytes) -> str:
    """The bytes as text. Raises UnicodeDecodeError."""
    return raw.decode("utf-8-sig")


def read_tree(source: bytes | str, file: str, sort: FileSort = SPEC_FILE) -> Tree:
    """Parse one file. Does not raise: errors are in ``problems``, and ``data`` may then be None."""
    tree = Tree(places=Places(partial(_locate, source, file)))
    try:
        text = _text(source, sort)
        data = _Builder(_events(text), tree, file, sort=sort).document()
    except _UnreadableError as error:
        tree.problems.append(Problem(file, *error.place, dotted(error.path), error.message, error.hint))
        return tree
    return replace(tree, data=data, mentions=lambda word: word in text or "\\" in text)


def _locate(source: bytes | str, file: str) -> Located:
    """Where everything is in a file, as far as it can be read."""
    located = Located()
    with suppress(_UnreadableError):
        _Builder(_events(_text(source)), Tree(places=Places(lambda: located)), file, located).document()
    return located


def _text(source: bytes | str, sort: FileSort = SPEC_FILE) -> str:
    size = len(source) if isinstance(source, bytes) else len(source.encode(errors="surrogatepass"))
    if size > MAX_BYTES:
        raise _UnreadableError((1, 1), f"the file is larger than {MAX_BYTES} bytes", sort.divide)
    if isinstance(source, bytes):
        try:
            text = decode(source)
        except UnicodeDecodeError as error:
            place = _place_at(source[: error.start].decode(errors="replace"))
            raise _UnreadableError(
                place, f"not UTF-8: byte 0x{source[error.start]:02x}", "save the file as UTF-8"
            ) from None
    else:
        text = source.removeprefix("\ufeff")
    if bad := re.search(_UNPRINTABLE_ASCII if text.isascii() else _UNPRINTABLE, text):
        message = f"unprintable character {shown(bad.group())}"
        hint = f'remove it, or write it as an escape in double quotes: "\\u{ord(bad.group()):04x}"'
        raise _UnreadableError(_place_at(text[: bad.start()]), message, hint)
    return text


def _place_at(before: str) -> Place:
    """The place right after the text ``before``, which begins the file."""
    lines = _LINE_BREAK.split(before)
    return len(lines), len(lines[-1]) + 1


def _events(text: str) -> Iterator[yaml.Event]:
    """The events of libyaml, or of PyYAML's own parser if libyaml is missing. Raises ``_UnreadableError``."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        yield from yaml.parse(text, Loader=loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # The parser marks something missing at the end of the file one line below it.
        place = min(_place(mark), _place_at(text)) if mark else (1, 1)
        words = " ".join(part for part in (error.problem, error.context) if part)
        raise _UnreadableError(place, f"not valid YAML: {words}", _syntax_hint(text, place, words)) from None
    except yaml.YAMLError as error:
        raise _UnreadableError((1, 1), f"not valid YAML: {shown(error)}") from None


def _syntax_hint(text: str, place: Place, words: str) -> str | None:
    lines = _LINE_BREAK.split(text)
    line = lines[place[0] - 1] if place[0] <= len(lines) else ""
    if "\t" in line[: place[1]] or "tab" in words:
        return "indent with spaces, never with tabs"
    if found := re.match(r"\s*(?:- )?([\w.-]{1,60}):[\[{]", line):
        return f"write a space after the colon of `{found[1]}:`"
    if "${" in line[: place[1]] and "flow" in words:
        return "inside { } or [ ], put a value with ${…} in quotes"
    return next((hint for start, hint in _HINTS.items() if start in words), None)


def _place(mark: Any) -> Place:
    return mark.line + 1, mark.column + 1


def _quoted(event: yaml.ScalarEvent) -> bool:
    """Whether the scalar is quoted or a block; the style of a plain one is None, or "" with libyaml."""
    return bool(event.style)


class _Builder:
    """Builds the data of one document from the events, and collects problems, and places if they are asked for."""

    def __init__(
        self,
        events: Iterator[yaml.Event],
        tree: Tree,
        file: str,
        located: Located | None = None,
        sort: FileSort = SPEC_FILE,
    ) -> None:
        self._events = events
        self._sort = sort
        self._located = located
        self._tree = tree
        self._file = file

    def document(self) -> Any:
        event = self._next()
        while isinstance(event, (yaml.StreamStartEvent, yaml.DocumentStartEvent)):
            event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise _UnreadableError((1, 1), "the file is empty", self._sort.begin)
        data = self._node(event, (), None)
        if data is None and not self._tree.refused:
            raise _UnreadableError((1, 1), "the file is empty", self._sort.begin)
        self._end_of_file()
        return data

    def _end_of_file(self) -> None:
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._problem(_place(event.start_mark), (), "a second YAML document begins here", self._sort.one)
                return

    def _next(self) -> yaml.Event:
        return next(self._events)

    def _problem(self, place: Place, path: Path, message: str, hint: str | None = None) -> None:
        self._tree.problems.append(Problem(self._file, *place, dotted(path), message, hint))

    def _locate(self, path: Path, place: Place) -> None:
        if self._located is not None:
            self._located.values[path] = place

    def _node(self, event: yaml.Event, path: Path, key: Place | None) -> Any:
        """The value that begins with ``event``; ``key`` is the place of its key, None in lists."""
        place = _place(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            self._locate(path, place)
            self._tree.refused.add(path)
            alias = shown(f"*{event.anchor}")
            self._problem(place, path, f"alias {alias}: YAML aliases are not allowed", _WRITE_OUT)
            return None
        self._refuse_decorations(event, place, path)
        if isinstance(event, yaml.ScalarEvent):
            if event.tag is not None:
                self._tree.refused.add(path)
            return self._scalar(event, path, place, key)
        if len(path) >= MAX_DEPTH:
            raise _UnreadableError(place, f"nested more than {MAX_DEPTH} levels deep", path=path)
        flow = isinstance(event, yaml.CollectionStartEvent) and event.flow_style
        self._locate(path, place if flow or key is None else key)
        return self._mapping(path) if isinstance(event, yaml.MappingStartEvent) else self._sequence(path)

    def _refuse_decorations(self, event: yaml.Event, place: Place, path: Path) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            hint = "remove it; to get text, put the value in quotes"
            self._problem(place, path, f"tag {shown(tag)}: YAML tags are not allowed", hint)
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            name = shown(f"&{anchor}")
            self._problem(place, path, f"anchor {name}: YAML anchors are not allowed", _WRITE_OUT)

    def _scalar(self, event: yaml.ScalarEvent, path: Path, place: Place, key: Place | None) -> str | None:
        quoted = _quoted(event)
        # The mark of an empty value may be lines away.
        self._locate(path, place if event.value or quoted or key is None else key)
        if quoted:
            return event.value
        if event.value in _NULLS:
            self._tree.nulls.add(path)
            return None
        return Plain(event.value)

    def _sequence(self, path: Path) -> tuple[Any, ...]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items)), None))
        return tuple(items)

    def _mapping(self, path: Path) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key, place = self._key(event, path)
            below = (*path, key) if key is not None else path
            known = key is None or key in entries
            if key is not None and key in entries:
                first = self._tree.places.of_key(below)
                message = f"duplicate key; the first is at line {first[0]}"
                self._problem(place, below, message, "keep one of the two")
            elif key is not None and self._located is not None:
                self._located.keys[below] = place
            if known:
                self._skip(below)
            elif key is not None:
                entries[key] = self._node(self._next(), below, place)
        return entries

    def _key(self, event: yaml.Event, path: Path) -> tuple[str | None, Place]:
        """A mapping's key; None if it is not valid, which is added to the problems."""
        place = _place(event.start_mark)
        if not isinstance(event, yaml.ScalarEvent):
            is_alias = isinstance(event, yaml.AliasEvent)
            self._problem(
                place, path, f"{'an alias' if is_alias else 'a collection'} as a key", "a key must be plain text"
            )
            if not is_alias:
                self._skip_rest(path)
            return None, place
        self._refuse_decorations(event, place, path)
        if not _quoted(event) and event.value in _NULLS:
            self._problem(place, path, "an empty key", "put it in quotes if it is a name")
            return None, place
        if not _quoted(event) and event.value == "<<":
            self._problem(place, path, "merge key `<<`: YAML merge keys are not allowed", _WRITE_OUT)
            return None, place
        return event.value, place

    def _skip(self, path: Path) -> None:
        """Skip one value."""
        if isinstance(self._next(), yaml.CollectionStartEvent):
            self._skip_rest(path)

    def _skip_rest(self, path: Path) -> None:
        depth = 1
        while depth:
            event = self._next()
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth + len(path) > MAX_DEPTH:
                    raise _UnreadableError(
                        _place(event.start_mark), f"nested more than {MAX_DEPTH} levels deep", path=path
                    )
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1


_WRITE_OUT = "write the value out where it is used"
