"""Any file gives a document or SpecErrors, in time linear in its size, without control characters."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enireconcile.errors import Problem, SpecErrors
from enireconcile.spec import load
from enireconcile.spec.yamltree import MAX_BYTES
from tests.spec.reading import GROUP, HEAD, INSTANCE, INTERFACE, RULE
from tests.spec.test_two_enis import TWO_ENIS

SEEDS = [
    TWO_ENIS.read_text(),
    RULE + "{protocol: tcp, ports: 80, sources: [10.0.0.0/8, a, self]}\n    egress: []\n    tags: {a: b}\n",
    GROUP + 'vpc: {cidr: 10.0.0.0/16}\n    description: "a\\tb"\n    group_name: web\n',
    INSTANCE + "state: stopped\n    user_data: |\n      a\n       b\n    tags: {a: b}\n",
    INTERFACE + "private_ip: 10.0.0.10\n    attachment: {instance: web, device_index: 1}\nelastic_ips: {a: {}}\n",
]
PIECES = [
    *"\n\t\r:-,[]{}&*#?|>!%@`'\"~<\\ .0é",
    *("\n---\n", "\n...\n", "%YAML 9.9\n", "|\n", ">-\n", ": ", "- ", "? "),
    *("<<: *a", "&a ", "*a", "!!int ", "null", "yes", "0x1f", "1:30", "-1", "9" * 20, "::", "/33"),
    *("\\x00", "\x00", "\x1b[2J", "\u2028", "\ufeff", "\udc80", "\U0001f600"),
    *("[" * 20, "{" * 20, "a: " * 20),
]


@st.composite
def mutations(draw: st.DrawFn) -> str:
    """A valid spec with a few pieces cut, doubled, moved or inserted."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 20)))
        cut = text[start:end]
        put = draw(st.sampled_from(["", cut + cut, cut[::-1], *PIECES]) | st.text(max_size=3))
        text = text[:start] + put + text[end:]
    return text


def found(text: str) -> tuple[Problem, ...]:
    try:
        load(["-"], stdin=lambda: text)
    except SpecErrors as errors:
        return errors.problems
    return ()


@settings(max_examples=300, deadline=None)
@given(mutations())
def test_mutated_specs(text: str) -> None:
    """Places are inside the file, and messages are printable."""
    lines = re.sub("\r\n?", "\n", text).split("\n")
    for problem in found(text):
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 1
        assert f"{problem.path}{problem.message}{problem.hint}".isprintable()


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=50) | st.binary(max_size=50).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_anything_at_all(text: str) -> None:
    """Arbitrary text is reported as invalid."""
    assert found(text)


N = 20_000
FLOODS = {
    "unknown keys": HEAD + "".join(f"key{n}: 1\n" for n in range(N)),
    "unknown references": HEAD
    + "network_interfaces:\n"
    + "".join(f"  n{n}: {{subnet: subnet-12345678, security_groups: [nn{n}]}}\n" for n in range(N // 2)),
    "taken slots": HEAD
    + "network_interfaces:\n"
    + "".join(
        f"  n{n}: {{subnet: subnet-12345678, attachment: {{instance: w, device_index: {n % 900}}}}}\n"
        for n in range(N // 2)
    ),
    "nulls": HEAD + "elastic_ips:\n" + "".join(f"  n{n}:\n" for n in range(N)),
    "duplicate keys": HEAD + "tags:\n" + "  a: b\n" * N,
    "one rule often": GROUP + "ingress: [{protocol: tcp, sources: [" + "self, " * N + "]}]\n",
    "brackets": HEAD + "a: " + "[" * (MAX_BYTES // 2),
    "braces": "{" * (MAX_BYTES // 2),
    "dashes": HEAD + "a:\n" + "- " * (MAX_BYTES // 4),
    "question marks": "? " * (MAX_BYTES // 4),
    "a long number": "version: " + "1" * (MAX_BYTES // 2),
    "a long base sixty": "version: 1" + ":1" * (MAX_BYTES // 4),
    "a long number with marks": "version: " + "1_" * (MAX_BYTES // 4),
    "a long region": HEAD + "region: us" + "-a" * (MAX_BYTES // 4),
    "a long CIDR": RULE + "{protocol: tcp, sources: [" + "1" * (MAX_BYTES // 2) + "/8]}",
    "a long key": HEAD + '"' + "k" * (MAX_BYTES // 2) + '": 1',
    "a long typing mistake": HEAD + "r" + "e" * 1000 + "gion: x",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_no_file_takes_long(flood: str) -> None:
    """The time is linear in the size of the file, and the size is limited.

    The bound is in processor seconds: far above a linear time, far below a quadratic one.
    """
    started = time.process_time()
    assert found(FLOODS[flood])
    assert time.process_time() - started < 15
