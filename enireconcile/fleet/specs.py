"""The spec files of a fleet: whether they can be read, and which variables they have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from enireconcile.fleet.file import Account, Fleet
from enireconcile.spec.expand import Given, expand
from enireconcile.spec.loading import DISK, reason_of
from enireconcile.spec.places import shown
from enireconcile.spec.suggest import Hint, Nearest
from enireconcile.spec.violations import Violation
from enireconcile.spec.yamltree import Tree, decode, read_tree


def check_specs(fleet: Fleet) -> None:
    """Read every spec once. Raises SpecErrors for one that cannot be read, and for variables that none has."""
    contents: dict[str, bytes] = {}
    unreadable = []
    for number, spec in enumerate(fleet.rows.specs):
        file = fleet.path_of(spec)
        try:
            contents[file] = DISK.read(file)
        except (OSError, ValueError) as error:
            message = f"{shown(spec.path)} cannot be read: {reason_of(error)}"
            unreadable.append(
                Violation(("specs", number, "path"), message, _path_hint(error, Path(file), spec.path))
            )
    if unreadable:
        raise fleet.errors(unreadable)
    if any(account.variables for account in fleet.rows.accounts):
        trees = {file: read_tree(content, file) for file, content in contents.items()}
        # A spec with a mistake of its own may have any variable.
        if not any(tree.problems for tree in trees.values()):
            texts = [decode(content) for content in contents.values()]
            known = {name for text in texts for name in _named(text)}.union(*map(_declared, trees.values()))
            computed = tuple(begin for text in texts for begin in _beginnings(text))
            if unknown := list(_unknown(fleet, trees, known, computed)):
                raise fleet.errors(unknown)


def _path_hint(error: Exception, file: Path, path: str) -> Hint:
    if isinstance(error, IsADirectoryError):
        return "name one spec file for each entry"
    if not isinstance(error, FileNotFoundError):
        return None
    names: list[str] = []
    with suppress(OSError):  # the folder may be missing, too
        names = [each.name for each in file.parent.iterdir() if each.suffix == file.suffix]
    beside = [str(Path(path).with_name(name)) for name in names]
    return Nearest(path, beside, "the path is relative to the fleet file")


def _unknown(
    fleet: Fleet, trees: Mapping[str, Tree], known: set[str], computed: tuple[str, ...]
) -> Iterator[Violation]:
    """The variables of accounts that no spec has, and no user data file of one.

    ``computed`` are the beginnings of names that are put together of others.
    """
    for number, account in enumerate(fleet.rows.accounts):
        if not account.variables.keys() <= known:
            known |= {name for file, tree in trees.items() for name in _in_user_data(account, tree, Path(file))}
        for name in account.variables:
            if name not in known and not name.startswith(computed):
                path = ("accounts", number, "variables", name)
                hint = Nearest(name, sorted(known), "add it to `variables` of a spec")
                yield Violation(path, f"no spec has a variable {shown(name)}", hint, on_key=True)


def _declared(tree: Tree) -> set[str]:
    variables = tree.data.get("variables") if isinstance(tree.data, dict) else None
    return set(variables) if isinstance(variables, dict) else set()


def _named(text: str) -> set[str]:
    return set(re.findall(r"\$\{var\.([^.{}$]+)[.}]", text))


def _beginnings(text: str) -> list[str]:
    """``net-`` of ``${var.net-${each.key}}``."""
    return re.findall(r"\$\{var\.([^.{}$]*)\$\{", text)


def _in_user_data(account: Account, tree: Tree, file: Path) -> set[str]:
    """The variables in user data files; which files they are may depend on the account."""
    found = set[str]()

    def read(named: object) -> str | bytes:
        content = DISK.user_data(named, file.parent)
        found.update(_named(content) if isinstance(content, str) else ())
        return content

    expand(tree, Given(account.variables, next(iter(account.regions), None), account.id), read)
    return found
