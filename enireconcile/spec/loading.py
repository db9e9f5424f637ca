"""From files to Specs: find, read and validate them, and report all problems of all files at once."""

from __future__ import annotations

import errno
import functools
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from pydantic import ValidationError

from enireconcile.errors import Problem, SpecErrors
from enireconcile.files import read_up_to
from enireconcile.model import fingerprint
from enireconcile.spec.checks import check
from enireconcile.spec.expand import NOTHING_GIVEN, Given, expand
from enireconcile.spec.misplaced import in_place, misspelled
from enireconcile.spec.places import Path, Place, Places, shown
from enireconcile.spec.readable import check_readable, missing_rows, wrong_defaults
from enireconcile.spec.references import dangling
from enireconcile.spec.rows import ROW_SECTIONS, SECTIONS, Document
from enireconcile.spec.scalars import MISSING_KEY, ROLE_ARN
from enireconcile.spec.suggest import Nearest, hint_text
from enireconcile.spec.userdata import read_user_data
from enireconcile.spec.violations import Violation, null_hint, violations
from enireconcile.spec.yamltree import MAX_BYTES, SPEC_FILE, FileSort, Plain, Tree, read_tree

STDIN = "-"
_LINES = "write `NAME: VALUE` lines"
_VARIABLES_FILE = FileSort(
    begin=_LINES,
    name=f"give the path of a file with variables: {_LINES}",
    divide="split it into several files: --var-file is repeatable",
    one="move the second document to a file of its own: --var-file is repeatable",
)
VARIABLES = "variables"
"""What errors call the variables of a program."""
_HINTS_LOOKED_UP = 100
"""The first problems of a file get a "did you mean"; looking it up for thousands would take too long."""


class Spec(Struct, frozen=True):
    """One loaded file. ``file`` is the path as the user gave it, ``-`` for stdin.

    ``protected`` are the addresses with ``prevent_destroy``.
    """

    document: Document
    file: str
    places: Places
    protected: frozenset[str]

    @property
    def digest(self) -> str:
        """A hash of the content, user data files included; comments and spelling do not change it.

        In a row with ``adopt``, a default that is written differs from one that is left out.
        """
        rows = self.document.resources.values()
        written = [row.model_dump(mode="json", exclude_unset=True) for row in rows if row.adopt is not None]
        return fingerprint([self.document.model_dump(mode="json"), written])

    def emptied(self) -> Spec:
        """The same stack without any resource and check; ``protected`` is kept."""
        return replace(self, document=self.document.emptied())

    def problem(self, path: Path, message: str, hint: str | None = None) -> Problem:
        """A problem with the value at ``path``, for stages after loading."""
        return self.places.problem(self.file, path, message, hint)


class Disk:
    """Where spec files and what they name are read from. Every method reads at most a limit."""

    def read(self, file: str) -> bytes:
        """The content of a file, at most one byte more than a spec may have. Raises OSError and ValueError."""
        return read_up_to(FilePath(file), MAX_BYTES + 1)

    def user_data(self, named: object, root: FilePath) -> str | bytes:
        """The content of a ``user_data_file``, relative to ``root``. Raises RefusedFile."""
        return read_user_data(named, root)


DISK = Disk()


def read_stdin() -> bytes:
    """The spec on stdin, at most one byte more than a spec may have: endless input must not fill the memory."""
    return sys.stdin.buffer.read(MAX_BYTES + 1)


def load(
    sources: Sequence[str],
    *,
    given: Given = NOTHING_GIVEN,
    stdin: Callable[[], bytes | str] = read_stdin,
    every_variable: bool = True,
    disk: Disk = DISK,
) -> list[Spec]:
    """Load files, directories (their ``*.yaml`` and ``*.yml``, sorted) and stdin (``-``), one Spec for each file.

    ``disk`` is where files are read from. Raises SpecErrors with the problems of all files. Two files with the
    same stack are a problem, too; with ``every_variable`` also a given variable that no file has.
    """
    found = _read(sources, given, stdin, disk)
    problems = [*found.problems, *(_unknown_variables(given, found.variables) if every_variable else ())]
    if problems:
        raise SpecErrors(problems)
    return found.specs


class Loaded(Struct, frozen=True):
    """The specs of the valid files, and what is wrong with the others, None if all are valid."""

    specs: list[Spec]
    refused: SpecErrors | None


def load_valid(
    sources: Sequence[str],
    *,
    given: Given = NOTHING_GIVEN,
    stdin: Callable[[], bytes | str] = read_stdin,
    every_variable: bool = True,
) -> Loaded:
    """Load the specs as ``load`` does; a file with a problem refuses itself alone, two of one stack each other.

    Raises SpecErrors if no file is valid, or, with ``every_variable``, for a given variable that none has: that is
    a mistake of the command line, which may concern every file.
    """
    found = _read(sources, given, stdin, DISK)
    unknown = list(_unknown_variables(given, found.variables)) if every_variable else []
    problems = [*found.problems, *found.of_twins]
    files = {problem.file for problem in problems}
    valid = [spec for spec in found.specs if spec.file not in files]
    if unknown or not valid:
        raise SpecErrors([*found.problems, *unknown])
    return Loaded(valid, SpecErrors(problems) if problems else None)


@dataclass
class _Found:
    """What the sources contain. ``of_twins`` are problems of files whose stack a later file has, too."""

    specs: list[Spec] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    of_twins: list[Problem] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)


def _read(sources: Sequence[str], given: Given, stdin: Callable[[], bytes | str], disk: Disk) -> _Found:
    result = _Found()
    problems, stacks = result.problems, dict[str, list[_Stack]]()
    for file in _files(sources, problems):
        root = FilePath.cwd() if file == STDIN else FilePath(file).parent
        own = replace(given, region=given.regions.get(file, given.region))
        expansion = expand(read_file(file, stdin, disk), own, functools.partial(disk.user_data, root=root))
        tree = expansion.tree
        result.variables |= expansion.variables
        document, found = _validate(tree, expansion.violations, expansion.unlent)
        twins = list(_twins(tree, file, own, stacks))
        found.extend(_is_twin(twin.file, twin.stack, "already") for twin in twins[:1])
        problems.extend(tree.problems)
        problems.extend(problems_of(found, file, tree.places))
        for twin in twins:
            result.of_twins.extend(problems_of([_is_twin(file, twin.stack, "also")], twin.file, twin.places))
        if document is not None:
            result.specs.append(Spec(document, file, tree.places, document.protected))
    return result


class Variables(Struct, frozen=True):
    """Variables, and file, line and column of those that are in files."""

    values: dict[str, Any]
    places: dict[str, tuple[str, int, int]]


def variables_of(files: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Variables:
    """The values of ``--var-file`` and ``--var``; later ones override earlier ones. Raises SpecErrors."""
    found = Variables({}, {})
    problems: list[Problem] = []
    for file in files:
        tree = read_file(file, sort=_VARIABLES_FILE)
        problems.extend(_no_variables(tree, file))
        for name, value in tree.data.items() if isinstance(tree.data, dict) else ():
            found.values[name] = value
            found.places[name] = (file, *tree.places.of_key((name,)))
    if problems:
        raise SpecErrors(problems)
    for name, text in pairs:
        found.values[name] = Plain(text)
        found.places.pop(name, None)
    return found


def variables_from(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a program, as a file with ``--var-file`` gives them.

    Raises SpecErrors for None in them, and for what YAML cannot hold.
    """
    if problems := list(_no_values(values)):
        raise SpecErrors(problems)
    # JSON is YAML. Texts are quoted in it, so they stay texts.
    tree = read_tree(json.dumps(values), VARIABLES)
    if problems := list(_no_variables(tree, VARIABLES)):
        raise SpecErrors(problems)
    return dict(tree.data)


def _no_values(values: Mapping[str, Any]) -> Iterator[Problem]:
    """Which values are none of YAML's, and why."""
    for name, value in values.items() if isinstance(values, Mapping) else ():
        try:
            json.dumps({name: value}, allow_nan=False)
        except (TypeError, ValueError, RecursionError) as error:
            message = f"is no value of YAML: {error}"
            yield Problem(VARIABLES, 1, 1, str(name), message, "give texts, numbers, booleans, lists and dicts")


def _no_variables(tree: Tree, file: str) -> Iterator[Problem]:
    """Why a tree is no mapping of variables to values."""
    yield from tree.problems
    yield from problems_of([_null(path) for path in sorted(tree.nulls, key=str)], file, tree.places)
    if not (tree.problems or isinstance(tree.data, dict)):
        yield Problem(file, 1, 1, "", "must be a mapping of names to values", _LINES)


def files_of(sources: Sequence[str]) -> list[str]:
    """The files that the sources stand for, as far as they exist."""
    return list(_files(sources, []))


def _files(sources: Sequence[str], problems: list[Problem]) -> Iterator[str]:
    """The files of the sources, each once; a source without a file, or given twice, adds to ``problems``."""
    given: dict[str, str] = {}
    for file in _all_files(sources, problems):
        # False, and no error, for a text that can be no path.
        real = os.path.realpath(file) if os.path.isfile(file) else file  # noqa: PTH113
        first = given.get(real)
        if first is None:
            given[real] = file
            yield file
            continue
        message = "is given twice" if first == file else f"is the same file as {first}"
        problem = Problem(file, 1, 1, "", message, "give it once; a directory stands for all its files")
        if problem not in problems:
            problems.append(problem)


def _all_files(sources: Sequence[str], problems: list[Problem]) -> Iterator[str]:
    """The files of the sources; a source without a file adds to ``problems``."""
    for index, source in enumerate(sources):
        if source == STDIN:
            if STDIN in sources[:index]:
                problems.append(Problem(source, 1, 1, "", "stdin is given twice", "write `-` only once"))
            else:
                yield source
            continue
        if not is_directory(source):
            yield source
            continue
        try:
            found = _in_directory(FilePath(source))
        except OSError as error:
            problems.append(_unreadable(source, error))
            continue
        if not found:
            message = "there is no *.yaml or *.yml file in this directory"
            problems.append(Problem(source, 1, 1, "", message, SPEC_FILE.name))
        for path in found:
            if problem := _no_file(path):
                problems.append(problem)
            else:
                yield str(path)


def _in_directory(directory: FilePath) -> list[FilePath]:
    """Links that lead nowhere and FIFOs, too: a spec must not vanish without a word. Raises OSError."""
    return [path for path in sorted(directory.iterdir()) if is_spec_name(path) and not is_directory(path)]


def is_directory(path: str | FilePath) -> bool:
    """Whether it is a directory; False for a link that leads nowhere, and for a text that can be no path."""
    return os.path.isdir(path)  # noqa: PTH112 (pathlib's raises for those)


def is_spec_name(path: FilePath) -> bool:
    """Whether a directory with a file of this name stands for that file."""
    return path.suffix in (".yaml", ".yml") and not path.name.startswith(".")


def _no_file(path: FilePath) -> Problem | None:
    """Why what a directory contains is no file; the read of a FIFO would wait for its writer."""
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return None
        error, hint = OSError(errno.EINVAL, "not a regular file"), "move it out of this directory"
    except OSError as found:
        error, hint = found, "correct where this link leads, or remove it"
    return _unreadable(str(path), error, hint)


def _unreadable(file: str, error: OSError | ValueError, hint: str = SPEC_FILE.name) -> Problem:
    if isinstance(error, OSError) and error.errno == errno.ENXIO and FilePath(file).is_fifo():
        hint = "start its writer first"
    return Problem(file, 1, 1, "", f"cannot be read: {reason_of(error)}", hint)


def reason_of(error: OSError | ValueError) -> str:
    """Why a file cannot be read."""
    return (error.strerror if isinstance(error, OSError) else None) or "not a text file"


def read_file(
    file: str,
    stdin: Callable[[], bytes | str] = read_stdin,
    disk: Disk = DISK,
    sort: FileSort = SPEC_FILE,
) -> Tree:
    """The parsed file; if it cannot be read, a tree without data and with one problem."""
    try:
        source = stdin() if file == STDIN else disk.read(file)
    except (OSError, ValueError) as error:
        return Tree(problems=[_unreadable(file, error, sort.name)])
    return read_tree(source, file, sort)


def problems_of(found: Sequence[Violation], file: str, places: Places) -> Iterator[Problem]:
    """The problems; what is wrong alike in several rows with a template or a default is told for the first."""
    told: set[tuple[Place, str, Path]] = set()
    for count, violation in enumerate(found):
        path = violation.path
        hint = hint_text(violation.hint, search=count < _HINTS_LOOKED_UP)
        problem = places.problem(file, path, violation.message, hint, on_key=violation.on_key)
        in_row = () if places.element(path) is not None else path[2:] if len(path) > 2 else path
        said = ((problem.line, problem.column), violation.message, in_row)
        if said not in told:
            yield problem
        told.add(said)


def _unknown_variables(given: Given, known: AbstractSet[str]) -> Iterator[Problem]:
    for name in given.variables:
        if name not in known | given.optional:
            hint = hint_text(Nearest(name, sorted(known), "add it to `variables` of the file"))
            place = given.places.get(name, (given.called, 1, 1))
            yield Problem(*place, "", f"no spec has a variable {shown(name)}", hint)


class _Stack(Struct, frozen=True):
    """A stack of a file, with its Region and account as far as the file says."""

    stack: str
    file: str
    where: tuple[str | None, str | None]
    places: Places


def _twins(tree: Tree, file: str, given: Given, stacks: dict[str, list[_Stack]]) -> Iterator[_Stack]:
    """The stacks of earlier files that are the same, unless another Region or account makes it another one.

    ``stacks`` are those so far, by name.
    """
    data = tree.data if isinstance(tree.data, dict) else {}
    stack = data.get("stack")
    if not isinstance(stack, str):
        return
    account = given.account_id or data.get("account_id") or _account_of(data.get("assume_role_arn"))
    where = (given.region or data.get("region"), account)
    earlier = stacks.setdefault(stack, [])
    for other in earlier:
        if all(one is None or two is None or one == two for one, two in zip(where, other.where, strict=True)):
            yield other
    earlier.append(_Stack(stack, file, where, tree.places))


def _account_of(role: object) -> str | None:
    return role.split(":")[4] if isinstance(role, str) and re.fullmatch(ROLE_ARN, role) else None


def _is_twin(other: str, stack: str, how: str) -> Violation:
    message = f"stack {shown(stack)} is {how} defined in {other}"
    hint = "merge the two files, choose another stack name, or write the region or account_id of each"
    return Violation(("stack",), message, hint)


def _validate(
    tree: Tree, expanding: Sequence[Violation], unlent: Sequence[Violation]
) -> tuple[Document | None, list[Violation]]:
    """The document, None if there is any violation, and the violations, those of the expansion first.

    ``unlent`` are told only if no other violation may be why.
    """
    if tree.data is None:
        return None, list(expanding)
    if isinstance(tree.data, dict) and "fleet" in tree.data and "stack" not in tree.data:
        hint = "use `enireconcile fleet plan` and the like"
        return None, [Violation(("fleet",), "this is a fleet file, not a spec", hint)]
    found = [*expanding, *(_null(path) for path in sorted(tree.nulls, key=str))]
    reported = {violation.path for violation in found} | tree.refused
    document: Document | None = None
    try:
        document = Document.model_validate(tree.data)
    except ValidationError as error:
        # Without a key that has no value, its mapping may look incomplete; that is the mistake.
        incomplete = {path[:-1] for path in tree.nulls | tree.refused}
        invalid = [*in_place(violations(error), tree.data)]
        spelled, defaults = misspelled(invalid), wrong_defaults(each.path for each in found)
        found.extend(
            item
            for item in invalid
            if item.path not in incomplete
            and not _below_any(item.path, reported)
            and not (item.message == MISSING_KEY and (item.path in spelled or item.path[0] in defaults))
        )
    if not isinstance(tree.data, dict):
        return None, found
    wrong = {violation.path for violation in found} | tree.refused
    whole = None if wrong else document
    found.extend(check_readable(tree.data, wrong) if whole is None else check(whole, {}))
    wrong.update(violation.path for violation in found)
    found.extend(dangling(tree.data, wrong, missing_rows(tree.data, wrong)))
    if not any(len(each.path) == 1 or each.path[:1] in _LENDERS for each in found):
        found.extend(unlent)
    return (None if found or tree.problems else document), found


_LENDERS = {("elastic_ips",), ("network_interfaces",), ("instances",), ("defaults",), ("variables",)}
"""Where a mistake may hide what lends another resource an attribute."""


def _below_any(path: Path, others: AbstractSet[Path]) -> bool:
    return any(path[:length] in others for length in range(1, len(path) + 1))


def _null(path: Path) -> Violation:
    """A null could mean "none" or "not written yet", so it is an error; the hint says what to write instead."""
    if hint := null_hint(path):
        return Violation(path, "has no value", hint)
    if len(path) == 1 and path[0] in (*ROW_SECTIONS, "tags"):
        return Violation(path, "has no value", "remove the key, or write `{}`")
    if len(path) == 2 and path[0] in SECTIONS:
        return Violation(path, "has no value", "write `{}` for a resource with only defaults")
    if len(path) == 3 and path[0] == "checks" and path[2] in ("http", "https"):
        return Violation(path, "has no value", "write `{}` for a request with only defaults")
    if path and path[-1] in ("ingress", "egress"):
        return Violation(path, "has no value", "remove the key, or write `[]` for no rules")
    if "tags" in path[:-1]:
        return Violation(path, "has no value", 'write "" for an empty value; write the word null in quotes')
    return Violation(path, "has no value", "remove the key, or write a value; write the word null in quotes")
