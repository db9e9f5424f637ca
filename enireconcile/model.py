"""The data that all stages share: Ref, Change, Step, Plan, Outcome, Report. Pure data, no I/O.

A *resource address* is ``<section>.<logical name>``, e.g. ``network_interfaces.web-eth1``. An *id* is EC2's own
(``eni-…``, ``eipalloc-…``). A ``Ref`` stands for an id (or another attribute) that is known only once a step has
run. Everything here is immutable, comparable and sorts, so that a plan can be printed, hashed and diffed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from enireconcile.errors import Problem

FORMAT_VERSION = "1.0"


class Impact(StrEnum):
    """What a step may do to traffic and to existing resources, in the order of severity."""

    SAFE = "safe"
    DISRUPTIVE = "disruptive"
    DESTRUCTIVE = "destructive"

    @property
    def severity(self) -> int:
        return list(Impact).index(self)

    @staticmethod
    def worst(impacts: Iterator[Impact] | Sequence[Impact]) -> Impact:
        return max(impacts, key=lambda impact: impact.severity, default=Impact.SAFE)


class Action(StrEnum):
    """What happens to a resource, in the words of the plan's summary."""

    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    DELETE = "delete"
    ADOPT = "adopt"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, order=True)
class Ref:
    """An attribute of a resource that a step of this plan will yield, e.g. ``Ref("elastic_ips.web-1", "id")``."""

    address: str
    attribute: str = "id"

    def __str__(self) -> str:
        return f"{self.address}.{self.attribute}"


class Condition(Struct, frozen=True, order=True):
    """A fact that steps of a plan make true of a subject: ``Condition("attached", "network_interfaces.a")``.

    ``kinds.conditions`` lists the facts and says what the subject of each is.
    """

    fact: str
    subject: str

    def __str__(self) -> str:
        return f"{self.fact}:{self.subject}"


@dataclass(frozen=True)
class Template:
    """A text with Refs in it: what stands for them is known only once their steps have run."""

    parts: tuple[str | Ref, ...]

    def __str__(self) -> str:
        return "".join(part if isinstance(part, str) else KNOWN_AFTER_APPLY for part in self.parts)


KNOWN_AFTER_APPLY = "(known after apply)"


def joined(parts: Iterable[str | Ref]) -> str | Template:
    """A text, or a Template if there are Refs in it. Neighbouring texts become one."""
    merged: list[str | Ref] = []
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        merged += filter(None, ("".join(texts), part))
        texts.clear()
    text = "".join(texts)
    return Template((*merged, *filter(None, [text]))) if merged else text


Resources = Mapping[str, Mapping[str, Any]]
"""What a stack owns: attributes by address, as ``show --output json`` prints them."""


class Secret:
    """A parameter that only EC2 may see; shown as its hash everywhere.

    It is no Struct: what writes Structs as JSON would write its value.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes | Template) -> None:
        self._value = value

    @property
    def value(self) -> str | bytes | Template:
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    @property
    def digest(self) -> str:
        if isinstance(self.value, Template):
            return KNOWN_AFTER_APPLY
        return "sha256:" + hashlib.sha256(self.content).hexdigest()

    @property
    def content(self) -> bytes:
        """The value as bytes. Raises TypeError while it has references."""
        if isinstance(self.value, Template):
            raise TypeError("its references have no values yet")
        return self.value if isinstance(self.value, bytes) else self.value.encode()

    def __repr__(self) -> str:
        return f"Secret({self.digest})"

    __str__ = __repr__


class Digest(Struct, frozen=True):
    """The hash of a secret that is known only once steps have run."""

    of: Secret


class Field(Struct, frozen=True):
    """One attribute that differs: ``before`` is None when the resource does not exist yet."""

    field: str
    before: Any
    after: Any


class Change(Struct, frozen=True):
    """What a plan does to one resource. ``id`` is None until it exists; ``reason`` explains it if unexpected.

    ``public_ip`` is the address of an Elastic IP that exists.
    """

    address: str
    action: Action
    impact: Impact
    id: str | None
    fields: tuple[Field, ...] = ()
    reason: str | None = None
    public_ip: str | None = None


class Expect(Struct, frozen=True):
    """A condition on one live object, to be seen in a describe answer.

    ``describe`` names the call that shows the object (``DescribeNetworkInterfaces`` …), ``id`` the object, ``has``
    maps JMESPath expressions inside it to the values that fulfil the condition (``None`` stands for absent).
    ``never`` maps expressions to values that make it unattainable; the wait then fails at once instead of
    running into its timeout. With ``gone`` an object that is no longer listed fulfils the condition.
    ``timeout`` is in seconds; 0 means that it must hold at the first look. ``advice`` is for the error of a failed
    wait.
    """

    describe: str
    id: str | Ref
    has: tuple[tuple[str, tuple[str | int | bool | Ref | None, ...]], ...] = ()
    never: tuple[tuple[str, tuple[str, ...]], ...] = ()
    gone: bool = False
    timeout: float = 600.0
    advice: str = ""

    @property
    def words(self) -> str:
        """The condition in a few words: ``eni-… is attached``."""
        states = [values[0] for path, values in self.has if path.rpartition(".")[2] in ("Name", "Status")]
        wanted = [*map(str, states[:1]), *(["gone"] if self.gone else [])]
        if states or not self.has:
            return f"{self.id} is {' or '.join(wanted) or 'visible'}"
        return f"{self.describe} shows the change of {self.id}"


class Look(Struct, frozen=True):
    """How to find what an unanswered create may have made.

    ``filters`` are those of ``describe``; ``yields`` gives attributes from the object that is found. With
    ``natural_key`` a repeat of the call cannot make a second one (it says Duplicate instead). Such a call, and one
    with a token, is repeated; we look only if that is not answered either. Before any other call is repeated, we
    look for as long as a new object may stay invisible.
    """

    describe: str
    filters: Sequence[Mapping[str, Any]]
    yields: Mapping[Ref, str]
    natural_key: bool = False


class Proof(Struct, frozen=True):
    """How to find out whether the resource that a create call returned exists, if no describe shows it.

    EC2 may answer a ClientToken with a resource that is deleted. ``pins`` maps parameters of the call to JMESPath
    expressions in its answer: EC2 refuses a second create with these values while the resource exists. ``holder``
    maps filters of ``describe`` to such expressions: they find the resource that has these values.
    """

    pins: Mapping[str, str]
    describe: str
    holder: Mapping[str, str]


class Step(Struct, frozen=True):
    """One EC2 call of a plan.

    Order: ``needs`` are ids of steps that must be done first, ``ends_first`` ids of steps that must have ended
    first, whether they were done, failed or were skipped. The planner works both out from the other fields. A Ref
    in ``params`` runs after the step that ``yields`` (JMESPath in the response) or ``sees`` it (JMESPath in the
    object that fulfils ``until``). ``after`` names conditions that all the steps that ``brings`` them must have
    brought. ``rather`` does the same, but gives way where that would be circular. ``follows`` gives way as
    ``rather`` does, and only orders: the step runs once the steps that bring the condition have ended.
    Slots (a device index, a private address) are claimed and freed: a step that ``claims`` one runs after the step
    that ``frees`` it; a step that ``displaces`` can also take a slot that is not free yet.

    Doing: ``when`` must hold before the call, ``until`` after it. The call is not made if ``unless`` comes true
    within its timeout, which counts from when any run first waited for it. ``token`` says that the call takes a
    ClientToken, which the journal provides when it runs; ``look`` and ``proof`` are for creates. A call that must
    run ``once`` is repeated after a lost answer only if ``until`` has not shown in time that EC2 has acted;
    without an ``until`` the live state is read again for a new plan.

    Telling: ``summary`` says what the call does in a few words, ``note`` what is unexpected; ``public_ip`` is the
    address of the Elastic IP that it is about, if that exists.
    """

    id: str
    call: str
    params: Mapping[str, Any]
    address: str
    impact: Impact = Impact.SAFE
    needs: frozenset[str] = frozenset()
    ends_first: frozenset[str] = frozenset()
    after: frozenset[Condition] = frozenset()
    rather: frozenset[Condition] = frozenset()
    follows: frozenset[Condition] = frozenset()
    brings: frozenset[Condition] = frozenset()
    claims: frozenset[str] = frozenset()
    frees: frozenset[str] = frozenset()
    displaces: bool = False
    yields: Mapping[Ref, str] = {}
    sees: Mapping[Ref, str] = {}
    when: tuple[Expect, ...] = ()
    unless: Expect | None = None
    until: Expect | None = None
    token: bool = False
    look: Look | None = None
    proof: Proof | None = None
    once: bool = False
    note: str | None = None
    summary: str = ""
    public_ip: str | None = None

    @property
    def detail(self) -> str:
        return detail_of(self.summary)

    @property
    def words(self) -> str:
        """The call, what it is about and what it does: for messages."""
        about = " ".join(filter(None, (self.address, self.public_ip)))
        return f"{self.call} for {about}" + (f" ({self.detail})" if self.detail else "")

    @property
    def predecessors(self) -> frozenset[str]:
        """Ids of all steps that must have ended before this one runs."""
        return self.needs | self.ends_first


def detail_of(summary: str) -> str:
    """The summary of a step where it says more than the call: a single word only repeats that."""
    return summary if " " in summary else ""


class Leftover(Struct, frozen=True):
    """A live resource that the stack owns and the spec no longer names; ``public_ip`` as in a Change."""

    address: str
    id: str
    public_ip: str | None = None


class PathBreak(Struct, frozen=True):
    """A path that a plan cannot keep open, or shut, from the step ``begins`` until the step ``ends`` is done.

    ``what`` is the path of the resource at ``address``: ``ingress tcp 443 from 0.0.0.0/0``, ``running`` …
    """

    address: str
    what: str
    begins: str
    ends: str
    why: str


class PlanError(Struct, frozen=True):
    """A mistake in the spec that only live state shows, and what the plan leaves out because of it.

    ``address`` is the row with the mistake; ``left_out`` are sorted addresses. ``reasons`` are pairs of address
    and reason for those of them that are left out because of other rows.
    """

    address: str
    problem: Problem
    left_out: tuple[str, ...]
    reasons: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """What identifies the error in later plans. The message may contain counts that change."""
        return (self.address, self.problem.path)


class Plan(Struct, frozen=True):
    """What differs and the calls that correct it, in the order in which they may run.

    ``protected`` maps addresses that the spec forbids to destroy to where it does (``FILE:LINE``). ``waits`` are
    what needs no call, only time: a launch that an interrupted run did not wait for, say. With ``targets`` it is a
    plan for these addresses and what they need, and not for the whole stack. ``interruptions`` are paths that are
    open before and after the plan and not throughout, ``exposures`` doors that are shut before and after and not
    throughout. ``errors`` are mistakes that only live state shows; the plan has no steps for the rows that they
    leave out.
    """

    stack: str
    account_id: str
    region: str
    fingerprint: str
    changes: tuple[Change, ...]
    steps: tuple[Step, ...]
    leftovers: tuple[Leftover, ...] = ()
    warnings: tuple[str, ...] = ()
    protected: Mapping[str, str] = {}
    waits: tuple[Expect, ...] = ()
    targets: tuple[str, ...] = ()
    interruptions: tuple[PathBreak, ...] = ()
    exposures: tuple[PathBreak, ...] = ()
    errors: tuple[PlanError, ...] = ()

    @property
    def impact(self) -> Impact:
        return Impact.worst([step.impact for step in self.steps])

    @property
    def empty(self) -> bool:
        return not self.steps

    @property
    def differing(self) -> tuple[str, ...]:
        """Addresses of the resources that differ from the spec."""
        return tuple(change.address for change in self.changes if change.action is not Action.UNCHANGED)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Addresses of the rows that are left out because of errors, sorted."""
        return tuple(sorted({address for error in self.errors for address in error.left_out}))

    def summary(self) -> dict[str, int]:
        """Counts of changes by action, in the order of the JSON summary, and of leftovers."""
        counts = {action.value: 0 for action in Action}
        for change in self.changes:
            counts[change.action.value] += 1
        return {**counts, "leftover": len(self.leftovers)}


class Status(StrEnum):
    """How a step ended. SENT: EC2 has accepted the call, and the run was stopped before EC2 had done the work."""

    DONE = "done"
    SENT = "sent"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def for_programs(self) -> str:
        """The word in JSON and metrics, where a call that EC2 has accepted is done."""
        return "done" if self is Status.SENT else str(self)


class Outcome(Struct, frozen=True):
    """What became of one step.

    ``replan`` says that the live state had changed, so that a new plan may succeed; ``acted`` that EC2 may have
    changed something, whatever came after; ``stopped`` that the end of the run ended it, not EC2. ``request_id``
    is that of EC2's last answer. ``after`` is how many seconds after the run the step began; None if it did not.
    """

    step: Step
    status: Status
    attempts: int = 0
    seconds: float = 0.0
    result_id: str | None = None
    error: str | None = None
    replan: bool = False
    acted: bool = False
    request_id: str | None = None
    stopped: bool = False
    after: float | None = None

    @property
    def refused(self) -> bool:
        """Did the step itself fail for good? A new plan would fail the same way."""
        return self.status is Status.FAILED and not (self.replan or self.stopped)

    @property
    def not_ready(self) -> str | None:
        """What EC2 has accepted and had not done yet when the run was stopped."""
        return self.error if self.status is Status.SENT else None


class Denial(Struct, frozen=True):
    """A call that a policy did not allow, with AWS's message for sts:DecodeAuthorizationMessage."""

    call: str
    request_id: str | None
    encoded: str


class CheckResult(Struct, frozen=True):
    """What became of one check.

    ``what`` is the question, ``http 203.0.113.7:80/``. ``got`` is what came back in a few words, None if there was
    no address to ask. ``why`` says why it failed and what to do next, or that the run was stopped before.
    """

    name: str
    what: str
    expect: str
    got: str | None
    seconds: float
    why: str | None = None

    @property
    def ok(self) -> bool:
        return self.why is None

    @property
    def status(self) -> str:
        return "ok" if self.ok else "failed"


CHECK_FAILED = 6
"""The exit code of a run that is otherwise done."""


class Report(Struct, frozen=True):
    """The result of an apply.

    ``stack``, ``account_id`` and ``plan``, its first one, are None when it never got that far. ``errors`` are
    those of its last plan. ``checks`` are the checks that it ran after converging. ``resources`` are what the
    stack owns according to its last read; None if it did not get that far, or may have changed something since.
    ``destroy`` says that the run was to remove all that the stack owns. ``endpoint`` is the URL of EC2's endpoint,
    if it is not AWS's.
    """

    stack: str | None
    account_id: str | None
    region: str | None
    outcome: str
    started: datetime
    seconds: float
    outcomes: tuple[Outcome, ...] = ()
    remaining: tuple[str, ...] = ()
    error: str | None = None
    api_calls: Mapping[str, int] = {}
    throttled: int = 0
    plan: Plan | None = None
    targets: tuple[str, ...] = ()
    errors: tuple[PlanError, ...] = ()
    denials: tuple[Denial, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    resources: Resources | None = None
    destroy: bool = False
    endpoint: str | None = None

    @property
    def destroyed(self) -> bool:
        """Whether the run has removed what it was to remove."""
        return self.destroy and self.outcome == "converged"

    @property
    def acted(self) -> bool:
        """Whether EC2 may have changed something."""
        return any(outcome.acted for outcome in self.outcomes)

    @property
    def failed_checks(self) -> tuple[CheckResult, ...]:
        return tuple(check for check in self.checks if not check.ok)

    @property
    def exit_code(self) -> int:
        return _EXIT_CODES[self.outcome] or (CHECK_FAILED if self.failed_checks else 0)


_EXIT_CODES = {"converged": 0, "unchanged": 0, "failed": 1, "refused": 3, "locked": 4, "partial": 5}


class Trace(Struct, frozen=True):
    """Who last changed an attribute, when, and by which call."""

    user: str
    time: datetime
    event: str


class Traces(Struct, frozen=True):
    """Who changed what differs, by address and field; ``note`` says why it is not known for more."""

    found: Mapping[tuple[str, str], Trace] = {}
    note: str | None = None


class Asks(Protocol):
    """Reads that answer with all pages joined."""

    async def read(self, call: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]: ...


class Reads(Asks, Protocol):
    """What planning may do to AWS: read. ``pages`` answers with the pages one by one, for lists that are long."""

    def pages(self, call: str, params: Mapping[str, Any] | None = None) -> AsyncIterator[dict[str, Any]]: ...


def refs_in(value: Any) -> Iterator[Ref]:
    """All the Refs inside a parameter value, however deep."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, Template):
        yield from refs_in(value.parts)
    elif isinstance(value, Secret):
        yield from refs_in(value.value)
    elif isinstance(value, Digest):
        yield from refs_in(value.of)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from refs_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from refs_in(item)


def texts_in(value: Any) -> Iterator[str]:
    """All the plain texts inside a parameter value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts_in(item)


def plain(value: Any) -> Any:
    """The value as JSON can hold it.

    Refs are ``{"ref": …}``, Templates ``{"text": […]}`` or, if they are one Ref alone, that Ref; secrets are their
    hash, sets sorted lists.
    """
    if isinstance(value, Ref):
        return {"ref": str(value)}
    if isinstance(value, Template):
        parts = [plain(part) for part in value.parts]
        return parts[0] if len(parts) == 1 else {"text": parts}
    if isinstance(value, (Secret, Digest)):
        return (value.of if isinstance(value, Digest) else value).digest
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=canonical)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def canonical(value: Any) -> str:
    """One spelling for equal values: JSON with sorted keys and no white space."""
    try:
        return _SPELLING.encode(value)
    except TypeError:
        # A mapping has keys that are no text.
        return _SPELLING.encode(plain(value))


_SPELLING = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=plain)


def fingerprint(value: Any) -> str:
    """``sha256:…`` of a value's canonical spelling."""
    return f"sha256:{hashlib.sha256(canonical(value).encode()).hexdigest()}"


def fingerprint_of(values: Iterable[Any]) -> str:
    """``sha256:…`` of many values, a thousand at a time."""
    digest, rest = hashlib.sha256(), iter(values)
    while some := list(islice(rest, 1000)):
        digest.update(_spelled(some))
    return f"sha256:{digest.hexdigest()}"


def _spelled(values: list[Any]) -> bytes:
    """One spelling for equal values of JSON's types, which takes a quarter of the time of ``canonical``."""
    try:
        return _SORTED.encode(values)
    except (TypeError, ValueError):
        return canonical(values).encode()


def _known(value: Any) -> Any:
    """What msgspec does not know, in its types."""
    if (made := plain(value)) is value:
        raise TypeError(f"no spelling for {type(value).__name__}")
    return made


_SORTED = msgspec.json.Encoder(enc_hook=_known, order="sorted")
