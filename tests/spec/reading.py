"""Loads specs from text, and returns problems as lines of text."""

from __future__ import annotations

from enireconcile.errors import SpecErrors
from enireconcile.spec import Document, load

HEAD = "version: 1\nstack: s\n"
"""The first two lines of every spec; append a snippet at line 3."""

GROUP = HEAD + "security_groups:\n  a:\n    "
"""Append a key of a security group, at line 5, column 5."""

RULE = GROUP + "ingress:\n      - "
"""Append a rule of a group, at line 6, column 9."""

INSTANCE = (
    HEAD
    + "network_interfaces: {eth0: {subnet: subnet-12345678, attachment: {instance: web, device_index: 0}}}\n"
    + "instances:\n  web:\n    image: ami-12345678\n    instance_type: t3.micro\n    "
)
"""Append a key of an instance, at line 8, column 5."""

INTERFACE = HEAD + "network_interfaces:\n  eth0:\n    subnet: subnet-12345678\n    "
"""Append a key of an interface, at line 6, column 5."""


def document(text: str) -> Document:
    """The document of a valid spec."""
    (spec,) = load(["-"], stdin=lambda: text)
    return spec.document


def problems(text: str) -> list[str]:
    """All problems, as ``line:column path | message | hint``; empty for a valid spec."""
    try:
        load(["-"], stdin=lambda: text)
    except SpecErrors as errors:
        return [f"{p.line}:{p.column} {p.path} | {p.message} | {p.hint or ''}" for p in errors.problems]
    return []


def assert_refused(text: str, place: str, message: str, hint: str) -> None:
    """Exactly one problem, at ``line:column path``, whose message and hint contain these texts."""
    found = problems(text)
    assert len(found) == 1, "\n".join(found)
    where, what, how = found[0].split(" | ")
    assert where.strip() == place
    assert message in what
    assert hint in how
