"""Mistakes in a spec that only live state shows, with the rows that each of them touches. Pure.

A mistake does not stop the plan. It leaves out the rows that it touches and those that need them
(``planning.left_out``); the rest is planned.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace

from enireconcile.errors import Problem
from enireconcile.likeness import closest
from enireconcile.live.records import Sought, Tagged
from enireconcile.spec import InstanceSelector, Path, RouteTableSelector, Selector, Spec

_NAMES = 5
"""The most values of a tag that a hint lists."""


class Mistake(Struct, frozen=True):
    """``address`` is the row that the problem is about, ``touches`` are all rows that it affects, with this one.

    A mistake that exceeds a limit touches all rows that count against it. ``sought`` is what to read to
    sharpen the hint of a selector that matches nothing.
    """

    address: str
    problem: Problem
    touches: frozenset[str]
    sought: frozenset[Sought] = frozenset()


@dataclass
class Mistakes:
    """Collects the mistakes of one spec. Those of rows that are left out already are ignored."""

    spec: Spec
    left_out: Collection[str] = frozenset()
    found: list[Mistake] = field(default_factory=list)

    def add(
        self,
        path: Path,
        message: str,
        hint: str | None = None,
        *,
        touches: Iterable[str] = (),
        sought: Iterable[Sought] = (),
        alone: bool = False,
    ) -> None:
        """Add a mistake at a path of the spec: ``("network_interfaces", "web-eth0", "subnet")``.

        ``touches`` are addresses of further rows that must be left out with the one at ``path``. ``sought`` is
        what to read to sharpen the hint. ``alone``: further mistakes of all these rows follow from this one, and
        are ignored.
        """
        made = replace(mistake(self.spec, path, message, hint, touches=touches), sought=frozenset(sought))
        if made.address not in self.left_out:
            self.found.append(made)
            if alone:
                self.left_out = made.touches.union(self.left_out)


def no_match_hint(
    selector: Selector | RouteTableSelector | InstanceSelector, records: Sequence[Tagged], noun: str
) -> str:
    """What to write instead of a selector that matches no record: the nearest value of its tag, and others."""
    look = f"see `aws ec2 describe-{noun.lower().replace(' ', '-')}s`"
    for key, value in (selector.tags or {}).items():
        known = {record.tags[key] for record in records if key in record.tags}
        if not known:
            return f"no {noun} has a tag {key}; {look}"
        if value not in known:
            return nearest_hint(value, known, f"values of {key} on {noun}s")
    return look


def nearest_hint(value: str, known: Collection[str], what: str) -> str:
    """The known value that was probably meant, and some others; ``what`` names them."""
    known = sorted(known)
    near = closest(value, known)
    shown = [near, *(each for each in known if each != near)][:_NAMES] if near else known[:_NAMES]
    more = f" and {len(known) - len(shown)} more" if len(known) > len(shown) else ""
    guess = f"did you mean `{near}`? " if near else ""
    return f"{guess}{what}: {', '.join(shown)}{more}"


def mistake(
    spec: Spec, path: Path, message: str, hint: str | None = None, *, touches: Iterable[str] = ()
) -> Mistake:
    """The mistake at a path of the spec, which begins with a section and a name."""
    address = f"{path[0]}.{path[1]}"
    return Mistake(address, spec.problem(path, message, hint), frozenset({address, *touches}))
