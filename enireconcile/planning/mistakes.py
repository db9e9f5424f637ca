"""Mistakes in a spec that only live state shows, with the rows that each of them touches. Pure.

A mistake does not stop the plan. It leaves out the rows that it touches and those that need them
(``planning.left_out``); the rest is planned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from enireconcile.errors import Problem
from enireconcile.spec import Path, Spec


@dataclass(frozen=True)
class Mistake:
    """``address`` is the row that the problem is about, ``touches`` are all rows that it affects, with this one.

    A mistake that exceeds a limit touches all rows that count against it.
    """

    address: str
    problem: Problem
    touches: frozenset[str]


@dataclass
class Mistakes:
    """Collects the mistakes of one spec. Those of rows that are left out already are ignored."""

    spec: Spec
    left_out: Collection[str] = frozenset()
    found: list[Mistake] = field(default_factory=list)

    def add(self, path: Path, message: str, hint: str | None = None, *, touches: Iterable[str] = ()) -> None:
        """Add a mistake at a path of the spec: ``("network_interfaces", "web-eth0", "subnet")``.

        ``touches`` are addresses of further rows that must be left out with the one at ``path``.
        """
        made = mistake(self.spec, path, message, hint, touches=touches)
        if made.address not in self.left_out:
            self.found.append(made)


def mistake(
    spec: Spec, path: Path, message: str, hint: str | None = None, *, touches: Iterable[str] = ()
) -> Mistake:
    """The mistake at a path of the spec, which begins with a section and a name."""
    address = f"{path[0]}.{path[1]}"
    return Mistake(address, spec.problem(path, message, hint), frozenset({address, *touches}))
