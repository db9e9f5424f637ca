"""Saying it once: from ``variables``, ``defaults``, ``for_each`` and ``${…}`` to plain rows, before validation.

The text of a variable is read where it is used, as if it were written there. Every value of a made row keeps the
place of its template; ``Located.elements`` names the element of ``for_each`` that made the row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

from msgspec import Struct

from enireconcile.model import Ref, Template, joined
from enireconcile.regions import of_environment, wrong_region
from enireconcile.spec.borrowed import Borrowed
from enireconcile.spec.places import Located, Path, Places, shown
from enireconcile.spec.row import Row
from enireconcile.spec.rows import (
    ADDRESS_KEYS,
    PROBES,
    ROW_SECTIONS,
    SECTIONS,
    Check,
    Document,
    ElasticIp,
    Instance,
    NetworkInterface,
    SecurityGroup,
)
from enireconcile.spec.scalars import UNKNOWN_KEY, option_hint
from enireconcile.spec.suggest import Hint, Nearest
from enireconcile.spec.userdata import RefusedFile
from enireconcile.spec.violations import Violation, nearest_key
from enireconcile.spec.yamltree import Plain, Tree

MAX_ROWS = 20_000
"""Rows that `for_each` makes."""
MAX_SIZE = 8 * 1024 * 1024
"""Characters and values of the expanded file: a small file cannot become a large one."""
_DEEPEST = 8
"""Variables that refer to variables that refer to variables …"""

MODELS: Final[Mapping[str, type[Row]]] = {
    "security_groups": SecurityGroup,
    "instances": Instance,
    "network_interfaces": NetworkInterface,
    "elastic_ips": ElasticIp,
    "checks": Check,
}
_EXCLUSIVE = (*ADDRESS_KEYS, ("user_data", "user_data_file"), ("elastic_ip", "network_interface"), PROBES)
_INSTEAD = {one: {*keys} - {one} for keys in _EXCLUSIVE for one in keys}
"""Keys that exclude each other: a row with one of them does not take the others from the defaults."""

_FACTS = ("stack", "region", "account_id")
ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "security_groups": ("id", "group_name", "vpc_id"),
    "instances": ("id", "private_ip", "public_ip", "instance_type", "image_id", "availability_zone"),
    "network_interfaces": (
        "id",
        "private_ip",
        "public_ip",
        "mac_address",
        "availability_zone",
        "subnet_id",
        "vpc_id",
    ),
    "elastic_ips": ("id", "private_ip", "public_ip"),
}
"""The attributes of resources that tags and user data can refer to."""
_EXPANDED = ("${", "variables", "defaults", "for_each", "user_data_file")
"""A file that has none of these words stays as it is."""
_STRICT = re.compile(r"\$\$\{|\$\{((?:\$\{[^{}]*\}|\$(?!\{)|[^{}$])*)(\}?)")
_OURS = r"\$\{(?:var|each|enireconcile|security_groups|instances|network_interfaces|elastic_ips)\."
_LOOSE = re.compile(
    rf"\$\$\{{|(?={_OURS})\$\{{((?:{_OURS}[^{{}}]*\}}|[A-Za-z0-9_.-])+(?=\}})|[A-Za-z0-9_.-]+(?={_OURS}))(\}}?)"
)
"""In user data, everything else that begins with ``${`` is the shell's.

Both patterns take a reference with others inside of it as one.
"""
_NAMESPACES = (
    "write ${var.NAME}, ${each.key}, ${each.value}, ${stack}, ${region} or ${account_id}; $${ for a literal ${"
)
_NAMESPACES_IN_USER_DATA = (
    "write ${var.NAME}, ${each.key}, ${each.value}, ${enireconcile.stack}, ${enireconcile.region} or "
    "${enireconcile.account_id}; $${ for a literal ${"
)


class Given(Struct, frozen=True):
    """What the command line or a fleet gives, and what overrides the file: variables, Region and account.

    ``regions`` are those of single files. ``optional`` are names of variables that no file needs to have.
    ``environment`` names the Region where neither
    this nor the file does. For errors, ``places`` are file, line and column of variables, and ``called`` is the
    name of the others.
    """

    variables: Mapping[str, Any] = {}
    region: str | None = None
    account_id: str | None = None
    regions: Mapping[str, str] = {}
    optional: frozenset[str] = frozenset()
    environment: Mapping[str, str] = {}
    places: Mapping[str, tuple[str, int, int]] = {}
    called: str = "--var"


NOTHING_GIVEN = Given()


class Element(Struct, frozen=True):
    """One element of a ``for_each``."""

    key: str
    value: Any


class _Context(Struct, frozen=True):
    """Where a text stands: in which key, in user data, where it may refer to resources, in which element's row."""

    key: str
    element: Element | None = None
    user_data: bool = False
    resources: bool = False
    inside: bool = False
    """Inside of another reference."""

    @property
    def pattern(self) -> re.Pattern[str]:
        return _LOOSE if self.user_data else _STRICT


class _Wrong(Exception):
    """References that have no value: their messages, with hints; none if the mistake is told elsewhere.

    ``read`` is the rest of their text.
    """

    def __init__(self, faults: Mapping[str, Hint], read: str | Template | None = None) -> None:
        super().__init__(*faults)
        self.faults, self.read = faults, read


def _wrong(message: str, hint: Hint = None) -> _Wrong:
    return _Wrong({message: hint})


def escaped(text: str, *, user_data: bool = False) -> str:
    """The text as a spec file writes it, so that nothing in it is read as a reference."""
    return _LOOSE.sub(lambda match: _literal(match[0]), text) if user_data else _literal(text)


def _literal(text: str) -> str:
    return text.replace("${", "$${")


@dataclass
class Expansion:
    """The expanded tree, what is wrong with it, and the names of the variables that the file declares or uses.

    ``unlent`` is what is wrong unless another mistake hides the resource that lends a value.
    """

    tree: Tree
    violations: list[Violation]
    variables: set[str]
    unlent: list[Violation]


def expand(tree: Tree, given: Given, read_user_data: Callable[[object], str | bytes]) -> Expansion:
    """Expand one file. ``read_user_data`` returns the content of a ``user_data_file``, or raises RefusedFile."""
    if not any(map(tree.mentions, _EXPANDED)):
        return Expansion(tree, [], set(), [])
    work = _Expander(tree, given, read_user_data)
    work.run()
    return Expansion(work.made, work.found, work.known, work.unlent)


def _locate(tree: Tree, given: Given, read_user_data: Callable[[object], str | bytes]) -> Located:
    """Where the values of the expanded file are in the file."""
    located = Located()
    _Expander(tree, given, read_user_data, located).run()
    return located


class _Expander:
    """Expands the data of a tree, and collects violations, and places if they are asked for."""

    def __init__(
        self,
        tree: Tree,
        given: Given,
        read_user_data: Callable[[object], str | bytes],
        located: Located | None = None,
    ) -> None:
        self.tree, self.given, self.read_user_data, self.located = tree, given, read_user_data, located
        self.made = Tree(None, Places(partial(_locate, tree, given, read_user_data)), tree.problems)
        self.found: list[Violation] = []
        self.known: set[str] = set()
        self.variables: dict[str, Any] = {}
        self.unlent: list[Violation] = []
        self.size = self.rows = 0
        self.full = False
        self.region: str | None = None

    def run(self) -> None:
        data = self.tree.data
        if not isinstance(data, dict):
            self.made = self.tree
            return
        self._keep_places(())
        declared = self._mapping(data, "variables")
        self.known.update(declared)
        self.variables = {**declared, **self.given.variables}
        self._forget_given_nulls()
        defaults = self._defaults(data)
        result: dict[str, Any] = {}
        for key, value in data.items():
            if key in ("variables", "defaults"):
                continue
            if key in ROW_SECTIONS and isinstance(value, dict):
                result[key] = self._section(key, value, defaults.get(key, {}))
            elif key in Document.model_fields:
                self._put(result, key, value, (key,), (key,), None)
            else:
                self._keep_places((key,))
                result[key] = value
        if self.region is not None:
            result.setdefault("region", self.region)
        self._follow_borrowed(result)
        self.made = Tree(result, self.made.places, self.made.problems, self.made.nulls, self.made.refused)

    def _follow_borrowed(self, result: dict[str, Any]) -> None:
        """Replace references to attributes that a resource has from another one by references to that."""
        borrowed = Borrowed(result)
        for path, holder, key in _texts(result):
            below: Path = (*path, key)
            lent = []
            for part in holder[key].parts:
                try:
                    lent.append(_lent(part, borrowed))
                except _Wrong as wrong:
                    self.unlent.extend(Violation(below, *fault) for fault in wrong.faults.items())
                    self.made.refused.add(below)
            holder[key] = joined(lent)

    # ---- the parts of a file

    def _mapping(self, data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """The value of a key that must be a mapping of names; {} if it is none."""
        value = data.get(key, {})
        located = self.tree.places.located if self.located is not None else Located()
        for path in (*located.values, *located.keys, *self.tree.nulls, *self.tree.refused):
            if path[:1] == (key,):
                self._keep_places(path)
        if isinstance(value, dict):
            return value
        if value is not None:
            self.found.append(Violation((key,), "must be a mapping of names", "write `name: value` lines"))
        return {}

    def _forget_given_nulls(self) -> None:
        """A variable without a value needs one from the command line."""
        for name, value in self.variables.items():
            if value is None and ("variables", name) in self.made.nulls:
                self.made.nulls.discard(("variables", name))
                hint = f"write a value, or give --var {name}=VALUE"
                self.found.append(Violation(("variables", name), "has no value", hint))
        self.made.nulls.difference_update([("variables", name) for name in self.given.variables])

    def _defaults(self, data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        sound: dict[str, dict[str, Any]] = {}
        for section, row in self._mapping(data, "defaults").items():
            path: Path = ("defaults", section)
            if section not in MODELS:
                self.found.append(Violation(path, "unknown section", Nearest(section, ROW_SECTIONS), on_key=True))
            elif not isinstance(row, dict):
                if row is not None:
                    self.found.append(Violation(path, "must be a mapping", "write `key: value` lines"))
            else:
                sound[section] = dict(self._sound_defaults(section, row))
        return sound

    def _sound_defaults(self, section: str, row: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        keys = {*MODELS[section].model_fields, *MODELS[section].also} - {"adopt"}
        for key, value in row.items():
            if key in keys:
                yield key, value
            elif key in ("adopt", "for_each", "external"):
                message = f"`{key}` cannot be a default"
                self.found.append(Violation(("defaults", section, key), message, "write it in a row", on_key=True))
            else:
                self.found.append(
                    Violation(("defaults", section, key), UNKNOWN_KEY, nearest_key(key, sorted(keys)), on_key=True)
                )

    def _section(self, section: str, rows: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
        self._keep_places((section,))
        result: dict[str, Any] = {}
        for name, row in rows.items():
            path: Path = (section, name)
            if not isinstance(row, dict) or "for_each" not in row:
                self._row(result, path, row, defaults, None)
                continue
            self._keep_places((*path, "for_each"))
            for element in self._elements(path, row["for_each"]):
                self._row(result, path, row, defaults, element)
        return result

    def _elements(self, path: Path, value: Any) -> Iterator[Element]:
        at = (*path, "for_each")
        holder: dict[str, Any] = {}
        self._put(holder, "for_each", value, at, at, None)
        value = holder.get("for_each")
        if isinstance(value, dict):
            yield from (Element(Plain(key), _unread(item)) for key, item in value.items())
        elif isinstance(value, tuple) and all(isinstance(item, str) for item in value):
            yield from (Element(item, _unread(item)) for item in value)
        elif value is not None:
            hint = option_hint(value) or "write a mapping, a list of single values, or ${var.NAME} of one"
            self.found.append(Violation(at, "must be a mapping or a list of single values", hint))

    def _row(
        self, result: dict[str, Any], old: Path, row: Any, defaults: Mapping[str, Any], element: Element | None
    ) -> None:
        """Put the row that a template makes into ``result``, under its name."""
        section = str(old[0])
        self._keep_places(old)
        name = self._key(str(old[1]), old, element)
        if name is None or self._too_large():
            return
        new: Path = (section, name)
        if name in result:
            hint = "put ${each.key} into the name" if element else "choose another name"
            message = f"the file has two rows of the name {shown(name)}"
            self.found.append(Violation(old, message, hint, on_key=True))
            return
        if element is not None:
            self.rows += 1
            if self.located is not None:
                self.located.elements[new] = element.key
        if isinstance(row, dict):
            row = {key: value for key, value in row.items() if key != "for_each"}
        self._put(result, name, row, old, new, element)
        made = result.get(name)
        if isinstance(made, dict) and "external" not in made:
            self._lay_under(made, new, defaults, element)
            self._read_file(made, new, element)

    def _lay_under(
        self, row: dict[str, Any], new: Path, defaults: Mapping[str, Any], element: Element | None
    ) -> None:
        """What the row does not say comes from the defaults, key by key; tags are merged."""
        for key, value in defaults.items():
            at, below = ("defaults", str(new[0]), key), (*new, key)
            if key == "tags" and isinstance(row.get(key), dict) and isinstance(value, dict):
                for tag, item in value.items():
                    if tag not in row[key]:
                        self._put(row[key], tag, item, (*at, tag), (*below, tag), element)
            elif key not in row and _INSTEAD.get(key, set()).isdisjoint(row):
                self._put(row, key, value, at, below, element)

    def _read_file(self, row: dict[str, Any], new: Path, element: Element | None) -> None:
        """``user_data`` instead of ``user_data_file``."""
        if "user_data_file" not in row:
            return
        path = (*new, "user_data_file")
        named = row.pop("user_data_file")
        if "user_data" in row:
            message = "cannot be combined with `user_data`"
            self.found.append(Violation(path, message, "keep one of the two", on_key=True))
        elif named is not None:
            try:
                content = self.read_user_data(named)
                context = _Context("user_data_file", element, user_data=True, resources=True)
                row["user_data"] = content if isinstance(content, bytes) else self._text(content, context)
            except RefusedFile as refused:
                self.found.append(Violation(path, refused.message, refused.hint))
            except _Wrong as wrong:
                self._tell(path, wrong)
                row["user_data"] = wrong.read

    # ---- values

    def _keep_places(self, old: Path, new: Path | None = None) -> None:
        """The value at ``new`` has the place of the one at ``old``; so has its key."""
        new = old if new is None else new
        if self.located is not None:
            here = self.tree.places.located
            if old in here.values:
                self.located.values[new] = here.values[old]
            if old in here.keys:
                self.located.keys[new] = here.keys[old]
        told = new != old and old[0] == "defaults"  # once, for all rows
        if old in self.tree.nulls and not told:
            self.made.nulls.add(new)
        if old in self.tree.refused or (old in self.tree.nulls and told):
            self.made.refused.add(new)

    def _put(
        self, into: dict[str, Any], key: str, value: Any, old: Path, new: Path, element: Element | None
    ) -> None:
        """Put the expanded value under the key; if it has no value, a violation, and the path is refused."""
        self._keep_places(old, new)
        into[key] = self._value(value, old, new, element)

    def _value(self, value: Any, old: Path, new: Path, element: Element | None, depth: int = 0) -> Any:
        """The expanded value. In a value that a reference stands for, ``old`` is the place of the reference."""
        self.size += 1 + (len(value) if isinstance(value, str) else 0)
        if self._too_large():
            self.made.refused.add(new)
            return None
        if isinstance(value, dict):
            return self._dict(value, old, new, element, depth)
        if isinstance(value, tuple):
            items = []
            for index, item in enumerate(value):
                self._keep_below(old, new, index, depth)
                items.append(self._value(item, (*old, index), (*new, index), element, depth))
            return tuple(items)
        if not isinstance(value, str) or "${" not in value:
            return value
        user_data = _is_user_data(new)
        key = str(new[2] if len(new) > 2 else new[-1])
        context = _Context(key, element, user_data, resources=user_data or _is_tag(new))
        try:
            return self._scalar(value, context, old, new, depth)
        except _Wrong as wrong:
            self._tell(new, wrong)
            self.made.refused.add(new)
            return wrong.read if context.resources else None

    def _tell(self, path: Path, wrong: _Wrong, *, on_key: bool = False) -> None:
        self.found.extend(Violation(path, message, hint, on_key) for message, hint in wrong.faults.items())

    def _dict(self, value: dict[str, Any], old: Path, new: Path, element: Element | None, depth: int) -> Any:
        result: dict[str, Any] = {}
        for key, item in value.items():
            name = self._key(key, (*old, key), element) if len(new) > 1 else key
            if name is None:
                continue
            if name in result:
                self.found.append(Violation(new, f"has the key {shown(name)} twice", "keep one of the two"))
                continue
            below = (*new, name)
            self._keep_below(old, new, key, depth, name)
            result[name] = self._value(item, (*old, key), below, element, depth)
        return result

    def _keep_below(self, old: Path, new: Path, key: str | int, depth: int, name: str | None = None) -> None:
        """The places inside a value; what a reference stands for has the place of the reference."""
        below = (*new, key if name is None else name)
        if depth:
            if self.located is not None:
                self.located.values[below] = self.located.nearest(new)
        else:
            self._keep_places((*old, key), below)

    def _key(self, key: str, path: Path, element: Element | None) -> str | None:
        if "${" not in key:
            return key
        try:
            return str(self._text(key, _Context(key, element)))
        except _Wrong as wrong:
            self._tell(path, wrong, on_key=True)
            return None

    def _scalar(self, text: str, context: _Context, old: Path, new: Path, depth: int) -> Any:
        """A reference alone keeps the type of what it stands for; inside text it becomes text."""
        match = context.pattern.fullmatch(text)
        if not match or match[1] is None:
            return self._text(text, context, depth)
        if depth >= _DEEPEST:
            raise _wrong(f"{shown(text)} refers to itself, or too deep", "write the value out")
        value = self._referent(match, context, depth)
        if isinstance(value, Ref):
            return Template((value,))
        return self._value(value, old, new, context.element, depth + 1)

    def _text(self, text: str, context: _Context, depth: int = 0) -> str | Template:
        """The text with its references replaced, but for those to resources. Raises _Wrong, with all of them."""
        wrong: list[_Wrong] = []
        read = joined(self._parts(text, context, depth, wrong))
        if wrong:
            raise _Wrong({message: hint for each in wrong for message, hint in each.faults.items()}, read)
        return read

    def _parts(self, text: str, context: _Context, depth: int, wrong: list[_Wrong]) -> Iterator[str | Ref]:
        """The parts of the text; references without a value are left out, and add to ``wrong``."""
        if depth > _DEEPEST:
            raise _wrong(f"{shown(text)} refers to itself, or too deep", "write the value out")
        end = 0
        for match in context.pattern.finditer(text):
            yield text[end : match.start()]
            end = match.end()
            try:
                value = "${" if match[1] is None else self._word(match, context, depth)
            except _Wrong as error:
                wrong.append(error)
                continue
            self.size += 1 if isinstance(value, Ref) else len(value)
            if self._too_large():
                raise _wrong("the file is too large")
            if isinstance(value, str) and match[1] is not None and "${" in value:
                yield from self._parts(value, context, depth + 1, wrong)
            else:
                yield value
        yield text[end:]

    def _word(self, match: re.Match[str], context: _Context, depth: int) -> str | Ref:
        """The value of a reference inside a text. Raises _Wrong."""
        value = self._referent(match, context, depth)
        if not isinstance(value, (str, Ref)):
            message = f"${{{match[1]}}} is {'a mapping' if isinstance(value, dict) else 'a list'}"
            raise _wrong(f"{message}: it cannot be part of a text", "name one of its fields")
        return value

    def _referent(self, match: re.Match[str], context: _Context, depth: int) -> Any:
        """The value of a reference, as it is written; a Ref for an attribute of a resource. Raises _Wrong.

        References inside of it are expanded first.
        """
        name = match[1]
        if not match[2]:
            raise _unclosed(match)
        if "${" in name:
            name = str(self._text(name, _Context(context.key, context.element, inside=True), depth + 1))
        first, *rest = name.split(".")
        if first == "enireconcile" and len(rest) == 1 and rest[0] in _FACTS:
            return self._fact(rest[0], name)
        if first in _FACTS and not rest:
            return self._fact(first, name)
        if first == "var" and rest:
            return self._variable(name, rest)
        if first == "each" and rest:
            return self._of_element(name, rest, context.element)
        if first in ATTRIBUTES:
            return _resource(name, context)
        raise _wrong(f"unknown reference ${{{name}}}", self._meant(name, context))

    def _meant(self, name: str, context: _Context) -> str:
        """What an unknown reference was meant for."""
        if name in self.variables:
            return f"write ${{var.{name}}}"
        if found := re.fullmatch(r"env[.:](\w{1,60})", name):
            return f'write ${{var.{found[1]}}}, and run with --var {found[1]}="${found[1]}"'
        return _NAMESPACES_IN_USER_DATA if context.user_data else _NAMESPACES

    def _fact(self, name: str, written: str) -> Any:
        given = {"region": self.given.region, "account_id": self.given.account_id}
        value = given.get(name) or self.tree.data.get(name)
        if name == "region" and value is None:
            value = self._region(written)
        if name == "region" and isinstance(value, str):
            # The same document wherever its Region comes from: a saved plan is compared with it.
            self.region = value
        if not isinstance(value, str):
            hint = f"write `{name}: …` at the top of the file"
            if name == "region":
                hint += ", or give --region or AWS_REGION; a profile's Region is not read"
            raise _wrong(f"${{{written}}} has no value", hint)
        return value

    def _region(self, written: str) -> str | None:
        """The Region of the environment, which becomes that of the file: calls go to the one that values have."""
        if (found := of_environment(self.given.environment)) is None:
            return None
        variable, region = found
        if wrong := wrong_region(region):
            raise _wrong(f"${{{written}}} (from {variable}): {wrong[0]}", wrong[1])
        return region

    @cached_property
    def _variable_names(self) -> list[str]:
        return sorted(self.variables)

    def _variable(self, reference: str, names: list[str]) -> Any:
        self.known.add(names[0])
        if names[0] not in self.variables and not isinstance(self.tree.data.get("variables", {}), dict):
            raise _Wrong({})  # `variables` is no mapping, which is told.
        if names[0] not in self.variables:
            hint = Nearest(
                names[0], self._variable_names, f"add it to `variables`, or give --var {names[0]}=VALUE"
            )
            raise _wrong(f"unknown variable {names[0]!r}", hint)
        return _field(reference, self.variables[names[0]], names[1:])

    def _of_element(self, reference: str, names: list[str], element: Element | None) -> Any:
        if element is None:
            raise _wrong(f"${{{reference}}} outside of a row with `for_each`", "add `for_each` to the row")
        if names == ["key"]:
            return element.key
        if names[0] == "value":
            return _field(reference, element.value, names[1:])
        raise _wrong(f"unknown reference ${{{reference}}}", "write ${each.key} or ${each.value.FIELD}")

    def _too_large(self) -> bool:
        if self.size <= MAX_SIZE and self.rows <= MAX_ROWS:
            return False
        if not self.full:
            self.full = True
            message = f"`for_each` and references make more than {MAX_ROWS} rows or {MAX_SIZE} characters"
            self.found.append(Violation((), message, "split the file into several stacks"))
        return True


def _unclosed(match: re.Match[str]) -> _Wrong:
    if match.string.startswith("${", match.end()):
        hint = "close each of them; put the inner ones into a variable if there are several"
        return _wrong(
            "a reference inside of a reference can have none inside, and each needs its closing `}`", hint
        )
    return _wrong("`${` has no closing `}`", "close it, as in ${var.NAME}, or write $${ for a literal ${")


def _unread(value: Any) -> Any:
    """A value that was expanded, as text of a file: it is read again where a row uses it."""
    if isinstance(value, dict):
        return {key: _unread(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(map(_unread, value))
    return escaped(value) if isinstance(value, str) and "${" in value else value


def _field(reference: str, value: Any, names: list[str]) -> Any:
    """A value in a variable or an element. What has no value there is told there. Raises _Wrong."""
    for name in names:
        if value is None:
            raise _Wrong({})
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, tuple) and name.isascii() and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            known = sorted(value) if isinstance(value, dict) else ()
            raise _wrong(f"${{{reference}}}: there is no {shown(name)}", Nearest(name, known) if known else None)
    if value is None:
        raise _Wrong({})
    return value


def _resource(name: str, context: _Context) -> Ref:
    """A reference to an attribute of a resource: ``elastic_ips.web.public_ip``. Raises _Wrong."""
    if context.inside:
        hint = (
            "references to resources are known too late for that; write the name out, or take it from a variable"
        )
        raise _wrong(f"${{{name}}} cannot be part of another reference", hint)
    if not context.resources:
        message = f"${{{name}}}: {shown(context.key)} cannot refer to resources"
        raise _wrong(message, "write the value out; only user data and tags can refer to resources")
    section, *rest = name.split(".")
    known = ATTRIBUTES[section]
    if len(rest) != 2:
        raise _wrong(f"unknown reference ${{{name}}}", f"for example ${{{section}.NAME.{known[-1]}}}")
    if rest[1] not in known:
        raise _wrong(f"${{{name}}}: {section} have no {shown(rest[1])} to refer to", Nearest(rest[1], known))
    return Ref(f"{section}.{rest[0]}", rest[1])


def _texts(data: Mapping[str, Any]) -> Iterator[tuple[Path, dict[str, Any], str]]:
    """The texts with references to resources, each as its mapping's path, the mapping, and the key in it."""
    holders: list[tuple[Path, Any]] = [(("tags",), data.get("tags"))]
    for section in SECTIONS:
        rows = data.get(section)
        for name, row in rows.items() if isinstance(rows, dict) else ():
            if isinstance(row, dict):
                holders += [((section, name), row), ((section, name, "tags"), row.get("tags"))]
    for path, holder in holders:
        keys = (
            [key for key, value in holder.items() if isinstance(value, Template)]
            if isinstance(holder, dict)
            else ()
        )
        yield from ((path, holder, key) for key in keys)


def _lent(part: str | Ref, borrowed: Borrowed) -> str | Ref:
    """A part of a text; for an attribute that a resource has from another one, what lends it. Raises _Wrong."""
    lender = borrowed.lender(part) if isinstance(part, Ref) else part
    if lender is not None:
        return lender
    if str(part).startswith("elastic_ips."):
        message = f"${{{part}}}: it is associated with no address that the file tells"
        raise _wrong(message, "refer to the interface that has the address: ${network_interfaces.NAME.private_ip}")
    message = f"${{{part}}}: no Elastic IP of the file is associated with its primary private address"
    raise _wrong(message, "associate one, or refer to another one: ${elastic_ips.NAME.public_ip}")


def _is_tag(path: Path) -> bool:
    return path[:-1] == ("tags",) or (len(path) == 4 and path[0] in SECTIONS and path[2] == "tags")


def _is_user_data(path: Path) -> bool:
    return len(path) == 3 and path[0] == "instances" and path[2] == "user_data"
