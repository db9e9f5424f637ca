"""Files to Specs: find them, read them, judge them, and report everything wrong with all of them at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from enireconcile.errors import Problem, SpecErrors
from enireconcile.model import fingerprint
from enireconcile.spec.checks import check
from enireconcile.spec.places import Path, Places, dotted, shown
from enireconcile.spec.rows import SECTIONS, Document
from enireconcile.spec.suggest import told
from enireconcile.spec.userdata import inline_user_data
from enireconcile.spec.wording import Finding, findings
from enireconcile.spec.yamltree import MAX_BYTES, Tree, read_tree

STDIN = "-"
_HINTS_LOOKED_UP = 100
"""Problems of a file that get a "did you mean"; a file with more has another one."""


@dataclass(frozen=True)
class Spec:
    """One loaded file. ``file`` is as the user named it, ``-`` for stdin; ``protected`` may not be destroyed."""

    document: Document
    file: str
    places: Places
    protected: frozenset[str]

    @property
    def digest(self) -> str:
        """The hash of what the file says, user_data from other files included; its spelling does not count.

        In a row that adopts, a default that is written says more than one that is left out.
        """
        rows = self.document.resources.values()
        written = [row.model_dump(mode="json", exclude_unset=True) for row in rows if row.adopt is not None]
        return fingerprint([self.document.model_dump(mode="json"), written])

    def emptied(self) -> Spec:
        """The same stack, with nothing in it; what was protected stays so."""
        nothing: dict[str, Any] = {section: {} for section in SECTIONS}
        return replace(self, document=self.document.model_copy(update=nothing))

    def problem(self, path: Path, message: str, hint: str | None = None) -> Problem:
        """Something wrong with the value at ``path``, for those who learn it later."""
        return Problem(self.file, *self.places.of(path), dotted(path), message, hint)


def load(sources: Sequence[str], *, stdin: Callable[[], str] | None = None) -> list[Spec]:
    """The specs of files, of directories (their ``*.yaml`` and ``*.yml``, sorted) and of stdin (``-``).

    Raises SpecErrors with the problems of all files; two files with one stack are a problem too.
    """
    problems: list[Problem] = []
    specs: list[Spec] = []
    stacks: dict[str, str] = {}
    for file in _files(sources, problems):
        tree = _read_file(file, stdin)
        document, found = _judge(tree, FilePath.cwd() if file == STDIN else FilePath(file).parent)
        found.extend(_stack_elsewhere(tree, file, stacks))
        problems.extend(tree.problems)
        problems.extend(_problems(found, file, tree.places))
        if document is not None:
            specs.append(Spec(document, file, tree.places, document.protected))
    if problems:
        raise SpecErrors(problems)
    return specs


def _files(sources: Sequence[str], problems: list[Problem]) -> Iterator[str]:
    """The files that the sources name; ``problems`` is told of sources that name none."""
    for index, source in enumerate(sources):
        if source == STDIN:
            if STDIN in sources[:index]:
                problems.append(Problem(source, 1, 1, "", "stdin is given twice", "it can be read once"))
            else:
                yield source
            continue
        try:
            found = _in_directory(FilePath(source)) if FilePath(source).is_dir() else [source]
        except OSError as error:
            problems.append(_unreadable(source, error))
            continue
        if not found:
            hint = "name a spec file, or a directory that holds some"
            problems.append(Problem(source, 1, 1, "", "there is no *.yaml file in this directory", hint))
        yield from found


def _in_directory(directory: FilePath) -> list[str]:
    return [
        str(path)
        for path in sorted(directory.iterdir())
        if path.suffix in (".yaml", ".yml") and not path.name.startswith(".") and path.is_file()
    ]


def _unreadable(file: str, error: OSError | ValueError) -> Problem:
    reason = error.strerror if isinstance(error, OSError) else None
    return Problem(file, 1, 1, "", f"cannot be read: {reason or 'not a file of text'}")


def _read_file(file: str, stdin: Callable[[], str] | None) -> Tree:
    """The file's tree, in which a file that cannot be read is a problem."""
    try:
        source = _read(file, stdin)
    except (OSError, ValueError) as error:
        return Tree(problems=[_unreadable(file, error)])
    return read_tree(source, file)


def _read(file: str, stdin: Callable[[], str] | None) -> bytes | str:
    """At most one byte more than a spec may have, so that the size is refused and not the memory filled."""
    if file != STDIN:
        with FilePath(file).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    return stdin() if stdin else sys.stdin.buffer.read(MAX_BYTES + 1)


def _problems(found: Sequence[Finding], file: str, places: Places) -> Iterator[Problem]:
    for count, finding in enumerate(found):
        place = places.of_key(finding.path) if finding.on_key else places.of(finding.path)
        hint = told(finding.hint, look=count < _HINTS_LOOKED_UP)
        yield Problem(file, *place, dotted(finding.path), finding.message, hint)


def _stack_elsewhere(tree: Tree, file: str, stacks: dict[str, str]) -> Iterator[Finding]:
    """Whether a file before this one has the same stack; ``stacks`` maps those seen to their files."""
    stack = tree.data.get("stack") if isinstance(tree.data, dict) else None
    if isinstance(stack, str):
        if stack in stacks:
            message = f"stack {shown(stack)} is also that of {stacks[stack]}"
            yield Finding(("stack",), message, "one file holds the whole of a stack")
        stacks.setdefault(stack, file)


def _judge(tree: Tree, root: FilePath) -> tuple[Document | None, list[Finding]]:
    """The document, if nothing is wrong with it, and what is wrong."""
    if tree.data is None:
        return None, []
    found = [_null(path) for path in sorted(tree.nulls, key=str)]
    found.extend(inline_user_data(tree.data, root))
    doubtful = {finding.path for finding in found} | tree.refused
    document: Document | None = None
    try:
        document = Document.model_validate(tree.data)
    except ValidationError as error:
        found.extend(item for item in findings(error) if not _below_any(item.path, doubtful))
    wrong = {finding.path for finding in found} | tree.refused
    if not wrong and document is not None:
        found.extend(check(document, {}))
    else:
        found.extend(_check_readable(tree.data, wrong))
    return (None if found or tree.problems else document), found


def _below_any(path: Path, others: AbstractSet[Path]) -> bool:
    return any(path[:length] in others for length in range(1, len(path) + 1))


def _null(path: Path) -> Finding:
    """Null means nothing in a spec, so it is asked what was meant."""
    if len(path) == 1 and path[0] in (*SECTIONS, "tags"):
        return Finding(path, "has no value", "remove the key, or write `{}`")
    if len(path) == 2 and path[0] in SECTIONS:
        return Finding(path, "has no value", "write `{}` for a resource with defaults only")
    if path and path[-1] in ("ingress", "egress"):
        return Finding(path, "has no value", "remove the key, or write `[]` for no rule")
    if "tags" in path[:-1]:
        return Finding(path, "has no value", 'write "" for an empty value; a word like null goes in quotes')
    return Finding(path, "has no value", "remove the key, or write a value; a word like null goes in quotes")


def _check_readable(data: Any, wrong: AbstractSet[Path]) -> Iterator[Finding]:
    """Run the checks on the resources in which nothing is wrong: one mistake shall not hide another."""
    if not isinstance(data, dict):
        return
    tops, resources = {path[:1] for path in wrong}, {path[:2] for path in wrong}
    part: dict[str, Any] = {"version": 1, "stack": "unknown"}
    broken: dict[str, set[str]] = {}
    for key, value in data.items():
        if key not in Document.model_fields or (key,) in wrong:
            continue
        if key not in SECTIONS:
            if (key,) not in tops:
                part[key] = value
        elif isinstance(value, dict):
            broken[key] = {name for name in value if (key, name) in resources}
            part[key] = {name: row for name, row in value.items() if name not in broken[key]}
    try:
        document = Document.model_validate(part)
    except ValidationError:  # something that has no path of its own; it is already reported
        return
    yield from check(document, broken)
