"""Good answers that are damaged on their way: a run ends with an error or converges, and makes nothing twice.

Elements are removed, renamed, repeated or nested, texts replaced, bodies cut off. Left out is what no client can
notice: an answer that is complete in form and hides an object, or gives it other tags.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from enireconcile.errors import EnireconcileError
from tests.ec2 import Rewrite
from tests.harness import Harness

from .accounting import twins
from .conftest import Proofs
from .test_lost_answers import BUILDS, REPAIRS, STORY_CALLS, Scene, assert_settled, at, strangers_in

ALWAYS = 10**6
READS = [
    "GetCallerIdentity",
    "DescribeAccountAttributes",
    "DescribeAddresses",
    "DescribeImages",
    "DescribeInstances",
    "DescribeInstanceTypes",
    "DescribeInstanceTypeOfferings",
    "DescribeNetworkInterfaces",
    "DescribeSecurityGroups",
    "DescribeSubnets",
    "DescribeVpcs",
]
SCENES = [BUILDS["the story"], *(scene for scene in REPAIRS.values() if scene.text is None)]
_Element = ElementTree.Element
_Path = list[_Element]


@dataclass(frozen=True)
class Damage:
    """What happens to the ``place``-th element of an answer (counted around)."""

    kind: str
    place: int
    text: str

    def __call__(self, body: bytes) -> bytes:
        if self.kind == "cut off":
            return body[: self.place % len(body)]
        if not body.startswith(b"<"):
            return body
        root = ElementTree.fromstring(body)  # noqa: S314 (our own server's)
        paths = [path for path in _paths([root]) if _is_noticed(path, self.kind)]
        if not paths:
            return body
        _DAMAGES[self.kind](paths[self.place % len(paths)], self.text)
        return ElementTree.tostring(root)


def _paths(path: _Path) -> list[_Path]:
    """Every element below the root, with its ancestors."""
    return [found for child in path[-1] for found in ([*path, child], *_paths([*path, child]))]


def _name(element: _Element) -> str:
    return element.tag.rpartition("}")[2]


def _is_noticed(path: _Path, kind: str) -> bool:
    names = [_name(element) for element in path]
    if kind == "remove" and names[-1] == "item":
        return False
    in_tags = "tagSet" in names[:-1]
    return not (in_tags and kind == "replace the text")


def _remove(path: _Path, _: str) -> None:
    path[-2].remove(path[-1])


def _rename(path: _Path, text: str) -> None:
    path[-1].tag = f"x{len(text)}"


def _repeat(path: _Path, _: str) -> None:
    path[-2].append(path[-1])


def _nest(path: _Path, _: str) -> None:
    parent, element = path[-2:]
    outer = ElementTree.Element(element.tag)
    parent.insert(list(parent).index(element), outer)
    parent.remove(element)
    outer.append(element)


def _replace(path: _Path, text: str) -> None:
    path[-1].text = text


_DAMAGES: dict[str, Callable[[_Path, str], None]] = {
    "remove": _remove,
    "rename": _rename,
    "repeat": _repeat,
    "nest": _nest,
    "replace the text": _replace,
}
_TEXTS = ["", "x", "-1", "0", "true", "9" * 40, "i-0123456789abcdef0", "2024-13-45T00:00:00.000Z", "10.0.0.0/33"]
damages = st.builds(
    Damage,
    st.sampled_from([*_DAMAGES, "cut off"]),
    st.integers(0, 400),
    st.sampled_from(_TEXTS),
)


def end_of(run: Callable[[], object]) -> None:
    """A run ends with a report whose errors are EC2's or ours, or with an error of ours: never with a bug."""
    with suppress(EnireconcileError):
        run()


def assert_no_bug(harness: Harness) -> None:
    told = [str(event.get("error") or "") for event in harness.events]
    assert not [error for error in told if "this is a bug" in error]


profile = settings(
    max_examples=80,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)


@profile
@given(
    scene=st.sampled_from(SCENES),
    action=st.sampled_from([*READS, *STORY_CALLS]),
    nth=st.integers(1, 3),
    times=st.sampled_from([1, 1, 3, ALWAYS]),
    damage=damages,
)
def test_damaged_answers_make_nothing_twice(
    proofs: Proofs, scene: Scene, action: str, nth: int, times: int, damage: Damage
) -> None:
    with tempfile.TemporaryDirectory() as place, at(scene, Path(place)) as harness:
        strangers = strangers_in(harness)
        harness.strict.faults.add(Rewrite(action, nth=nth, times=times, change=damage))
        end_of(harness.apply)
        assert_no_bug(harness)
        assert twins(harness.strict.world, harness.spec()) == {}
        assert strangers_in(harness) == strangers
        harness.strict.faults.clear()
        harness.loop.now += 60
        assert harness.apply().outcome in ("converged", "unchanged")
        assert_settled(harness, None, strangers)
    proofs.count("damaged answers")
