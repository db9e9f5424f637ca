"""What the commands do, for Python programs. Import it as ``enireconcile``.

::

    import enireconcile

    [spec] = enireconcile.load("web.yaml")
    report = enireconcile.apply(spec, approve=lambda plan: plan.summary.delete == 0)

Every function may be called from any thread, several at once, and prints nothing: messages go to the logger
``enireconcile``. Each one blocks until its work is done. In a coroutine, call it as ``await
asyncio.to_thread(enireconcile.plan, spec)``, so that the event loop goes on meanwhile. Ctrl-C in the main thread
ends a call as it ends a command: an apply first finishes the calls in flight, stores its report in the state and
releases the lock; then ``KeyboardInterrupt`` is raised.

The functions share these options:

``region``, ``profile``
    Override the Region of the spec and the standard AWS chain, as ``--region`` and ``--profile`` do.
``session``
    A ``boto3.Session``: its credentials, profile and Region replace the standard chain. Calls are sent by
    clients of our own, which do not retry on their own.
``parallelism``
    The maximum number of concurrent AWS calls.
``timeout``
    Seconds after which the call stops, as ``--timeout`` does. None is no limit.
"""

from __future__ import annotations

import concurrent.futures
import functools
import logging
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from enireconcile import model
from enireconcile.cli.options import state_location
from enireconcile.cli.session import ApplyOptions, Connection
from enireconcile.cli.signals import Interrupt, begun
from enireconcile.errors import EnireconcileError, OutcomeError
from enireconcile.outputs.json import checks_json, inventory_json, plan_json, report_json
from enireconcile.outputs.progress import Progress, json_lines
from enireconcile.planning.targeting import targets_by_file
from enireconcile.spec import STDIN, VARIABLES, Given, Spec, variables_from
from enireconcile.spec import load as load_specs

if TYPE_CHECKING:
    from enireconcile.aws.session import BotoSession

__all__ = ["Inventory", "Plan", "Record", "Report", "Spec", "apply", "load", "plan", "show", "verify"]

T = TypeVar("T")

log = logging.getLogger("enireconcile.api")
# A library leaves it to its caller where messages go.
logging.getLogger("enireconcile").addHandler(logging.NullHandler())


class Record(dict[str, Any]):
    """A JSON object whose keys are attributes, too: ``plan.summary.create`` is ``plan["summary"]["create"]``.

    ``json.dumps`` takes it as it is. A key that is no Python name, or is one of ``dict``'s own, needs the
    brackets: ``each["from"]``.
    """

    def __init__(self, value: Mapping[str, Any]) -> None:
        super().__init__({key: _recorded(item) for key, item in value.items()})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no {name!r}: it has {', '.join(self)}") from None

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *self]


def _recorded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Record(value)
    return [_recorded(item) for item in value] if isinstance(value, (list, tuple)) else value


class Plan(Record):
    """What ``plan --output json`` prints: what apply would do to one stack.

    ``changes`` have ``address``, ``action`` (create, update, replace, delete, adopt), ``impact`` (safe,
    disruptive, destructive), ``id``, ``reason`` and ``fields``, each of these with ``field``, ``before`` and
    ``after``. ``steps`` are the EC2 calls, with ``id``, ``call``, ``address``, ``summary``, ``params``,
    ``needs`` and ``impact``. ``errors`` are mistakes that only live state shows: the plan leaves out the rows
    that they touch.
    """

    stack: str
    account_id: str
    region: str
    fingerprint: str
    summary: Record
    changes: list[Record]
    steps: list[Record]
    leftovers: list[Record]
    warnings: list[str]
    interruptions: list[Record]
    exposures: list[Record]
    errors: list[Record]
    api_calls: Record

    def __init__(self, planned: model.Plan, api_calls: Mapping[str, int]) -> None:
        super().__init__(plan_json(planned, api_calls))
        self._planned = planned

    def __getstate__(self) -> dict[str, str]:
        # Not the plan itself: there is user data in it, and a Plan can be pickled and sent elsewhere.
        return {"_text": self._text, "_markdown": self._markdown}

    def text(self) -> str:
        """The plan as ``plan`` prints it, without colours."""
        return self._text

    def markdown(self) -> str:
        """The plan as ``plan --output markdown`` prints it, for a comment on a pull request."""
        return self._markdown

    @functools.cached_property
    def _text(self) -> str:
        from enireconcile.outputs.text import plan_text

        return plan_text(self._planned)

    @functools.cached_property
    def _markdown(self) -> str:
        from enireconcile.outputs.markdown import plans_markdown

        return plans_markdown([self._planned])


class Report(Record):
    """The report of an apply, as ``apply --report`` writes it.

    ``outcome`` is ``converged`` (changed, and read back), ``unchanged``, ``partial`` (stopped, or failed after a
    change), ``failed``, ``refused`` (by a guard or by ``approve``) or ``locked``; ``error`` says why. ``seconds``
    is the duration, ``started`` an ISO 8601 time in UTC. ``steps`` have ``call``, ``address``, ``status`` (done,
    failed, skipped), ``attempts``, ``seconds``, ``result_id`` and ``error``. ``remaining`` are addresses that
    still differ, ``resources`` what the stack owns, as ``show`` returns it; None if the run did not read
    that, or not after its changes. ``checks`` are those that ran, if any. ``exit_code`` is that of the command.
    """

    stack: str
    account_id: str | None
    region: str | None
    outcome: str
    started: str
    seconds: float
    summary: Record | None
    steps: list[Record]
    api_calls: Record
    throttled: int
    remaining: list[str]
    error: str | None
    errors: list[Record]
    resources: Record | None
    exit_code: int

    def __init__(self, report: model.Report) -> None:
        super().__init__(report_json(report))
        self.__dict__["exit_code"] = report.exit_code

    def raise_for_outcome(self) -> None:
        """Raises OutcomeError unless the stack is as the spec says and all checks that ran have passed."""
        if self.exit_code:
            failed = [
                f"check {check.name}: {check.why}" for check in self.get("checks", ()) if check.status != "ok"
            ]
            broken = [f"{each.call} for {each.address}: {each.error}" for each in self.steps if each.error]
            why = "\n  ".join(
                [*filter(None, [self.error]), *broken, *(each.message for each in self.errors), *failed]
            )
            raise OutcomeError(f"stack {self.stack}: {self.outcome}: {why}", self, self.exit_code)


class Inventory(Record):
    """What ``show --output json`` prints: ``resources`` maps addresses to attributes, null where there is none."""

    stack: str
    account_id: str
    region: str
    resources: Record


def load(
    path_or_text: str | os.PathLike[str],
    variables: Mapping[str, Any] | None = None,
    *,
    region: str | None = None,
) -> list[Spec]:
    """Read a spec file, all of a directory, or a text, without calling AWS. One Spec for each file.

    A ``str`` with a line break, or that begins with ``{``, is the text of a spec; any other is a path. In errors,
    the file of a text is ``-``, and its ``user_data_file`` is relative to the working directory. ``variables``
    override those of the spec. ``region`` is what ``${region}`` stands for: give it here, too, where later calls
    override the Region. Without it and one in the file, AWS_REGION or AWS_DEFAULT_REGION is, also for the calls.

    Raises SpecErrors with all mistakes at once, each with file, line, column, path, message and hint.

    >>> [spec] = load("version: 1\\nstack: lab\\nelastic_ips: {web: {}}\\n")
    >>> spec.document.stack
    'lab'
    >>> load("version: 1\\nstack: lab\\nelastic_ip: {}\\n")
    Traceback (most recent call last):
    enireconcile.errors.SpecErrors: 1 problem in the spec
    -:3:1: elastic_ip: unknown key
      hint: did you mean `elastic_ips`?
    """
    given = Given(variables_from(variables or {}), region, environment=os.environ, called=VARIABLES)
    if isinstance(path_or_text, str) and is_text(path_or_text):
        return load_specs(["-"], given=given, stdin=lambda: path_or_text)
    path = os.fspath(path_or_text)
    # A program's stdin is its own.
    return load_specs([f"./{path}" if path == STDIN else path], given=given)


def is_text(path_or_text: str) -> bool:
    """Whether it is the text of a spec, and no path."""
    return "\n" in path_or_text or path_or_text.startswith("{") or not path_or_text


def plan(
    spec: Spec,
    *,
    prune: bool = False,
    targets: Sequence[str] = (),
    destroy: bool = False,
    region: str | None = None,
    profile: str | None = None,
    session: BotoSession | None = None,
    parallelism: int | None = None,
    timeout: float | None = None,
) -> Plan:
    """Read the live state and return what apply would do. Changes nothing.

    ``prune``, ``targets`` (addresses such as ``elastic_ips.web``) and ``destroy`` are as the flags of ``plan``.
    The other options are described in the module.

    Raises AwsError, GuardError for another account than the spec's, AmbiguityError, UnsupportedError, TargetError,
    StoppedError at the time limit; EnireconcileError without credentials or a Region.

    >>> [spec] = load("version: 1\\nstack: lab\\nelastic_ips: {web: {}}\\n")
    >>> made = plan(spec, region="us-east-1")
    >>> made.summary.create, [(step.call, step.impact) for step in made.steps]
    (1, [('AllocateAddress', 'safe')])
    """
    connection = _connection(spec, region, profile, session, parallelism)
    wanted, prune = (spec.emptied(), True) if destroy else (spec, prune)
    chosen = _targets(wanted, targets, prune=prune)

    def work(interrupt: Interrupt) -> Plan:
        from enireconcile.aws.api import Reader
        from enireconcile.engine.planner import look

        with connection.open(wanted, read_only=True, interrupt=interrupt) as channel:
            reading = look(Reader(channel), wanted, channel.session.region, prune=prune, targets=chosen)
            return Plan(interrupt.run(reading, lambda _: channel.waits()).plan, channel.calls)

    return _done(work, timeout)


def apply(
    spec: Spec,
    approve: Callable[[Plan], bool] | bool = False,
    *,
    prune: bool = False,
    targets: Sequence[str] = (),
    destroy: bool = False,
    allow_destroy: bool = False,
    max_changes: int | None = None,
    verify: bool = False,
    state: str | os.PathLike[str] | None = None,
    state_as_caller: bool = False,
    lock_timeout: float = 30.0,
    settle_timeout: float = 30.0,
    on_event: Callable[[Record], object] | None = None,
    region: str | None = None,
    profile: str | None = None,
    session: BotoSession | None = None,
    parallelism: int | None = None,
    timeout: float | None = None,
) -> Report:
    """Plan, ask ``approve``, execute and read back, under the lock of the stack.

    ``approve`` is a function that gets the Plan and returns whether it may run, as a person at the prompt does:
    what it approves may be destructive. It is called in another thread, and not if there is nothing to do. True
    approves as ``-y`` does: safe and disruptive steps, destructive ones only with ``allow_destroy``. Without
    ``approve``, only a stack that needs no change is not refused.

    ``state`` is a directory or ``s3://bucket/prefix``; default: ``ENIRECONCILE_STATE``, else the user's state
    directory; with ``state_as_caller``, S3 is accessed without the role of the spec. ``lock_timeout`` and
    ``settle_timeout`` are in seconds. ``on_event`` gets what ``apply --output json`` prints while it runs: steps
    and checks. ``destroy`` removes all that the stack owns. ``verify`` runs the checks of the spec after
    converging. The other options are those of ``plan`` and of the command.

    Returns the report of every run that has begun, whatever its outcome: a refusal has the outcome ``refused``,
    a stack that another run has locked ``locked``, an error of AWS ``failed`` or, after a change, ``partial``.
    ``report.raise_for_outcome()`` turns these into an exception. Raises TargetError for a target that is not in
    the spec, EnireconcileError for options that contradict each other, and what ``approve`` raises; nothing is
    changed then.

    >>> [spec] = load("version: 1\\nstack: lab\\nelastic_ips: {web: {}}\\n")
    >>> apply(spec, lambda plan: plan.summary.create == 0, region="us-east-1").outcome
    'refused'
    >>> report = apply(spec, approve=True, region="us-east-1")
    >>> report.outcome, [(step.call, step.status) for step in report.steps]
    ('converged', [('AllocateAddress', 'done')])
    >>> apply(spec, approve=True, region="us-east-1").outcome
    'unchanged'
    """
    from enireconcile.cli.run import StackRun

    connection = _connection(spec, region, profile, session, parallelism)
    _seconds("lock_timeout", lock_timeout, least="from 0")
    _seconds("settle_timeout", settle_timeout, least="from 0")
    wanted, prune = (spec.emptied(), True) if destroy else (spec, prune)
    options = ApplyOptions(
        output="none",
        auto_approve=approve is True,
        report=None,
        timeout=timeout,
        settle_timeout=settle_timeout,
        lock_timeout=lock_timeout,
        state=_state(state),
        state_as_caller=state_as_caller,
        prune=prune,
        targets=targets,
        allow_destroy=allow_destroy,
        max_changes=max_changes,
        verify=verify,
        command="destroy" if destroy else "apply",
        targets_by_file={wanted.file: _targets(wanted, targets, prune=prune)},
        ask=lambda planned: callable(approve) and bool(approve(Plan(planned, run.api_calls))),
        progress=_telling(on_event),
    )
    run = StackRun(wanted, options, Interrupt())
    return _done(lambda _: Report(run.run(connection)), timeout, run.interrupt)


def show(
    spec: Spec,
    *,
    region: str | None = None,
    profile: str | None = None,
    session: BotoSession | None = None,
    parallelism: int | None = None,
    timeout: float | None = None,
) -> Inventory:
    """Read what the stack owns: names, ids, private and public addresses, holders. Changes nothing.

    ``show(spec).resources["elastic_ips.web"].public_ip`` is the address, or None. Raises as ``plan`` does.

    >>> [spec] = load("version: 1\\nstack: lab\\nelastic_ips: {web: {}}\\n")
    >>> address = show(spec, region="us-east-1").resources["elastic_ips.web"]
    >>> address.id.startswith("eipalloc-"), address.instance
    (True, None)
    """
    connection = _connection(spec, region, profile, session, parallelism)

    def work(interrupt: Interrupt) -> Inventory:
        from enireconcile.aws.api import Reader
        from enireconcile.cli.show import read_inventory

        with connection.open(spec, read_only=True, interrupt=interrupt) as channel:
            reading = read_inventory(Reader(channel), spec, channel.session.region, subnets=False)
            return Inventory(inventory_json(interrupt.run(reading, lambda _: channel.waits())))

    return _done(work, timeout)


def verify(
    spec: Spec,
    *,
    on_event: Callable[[Record], object] | None = None,
    region: str | None = None,
    profile: str | None = None,
    session: BotoSession | None = None,
    parallelism: int | None = None,
    timeout: float | None = None,
) -> list[Record]:
    """Run the checks of the spec from this machine. Changes nothing.

    Returns what ``verify --output json`` prints: ``name``, ``status`` (``ok`` or ``failed``), ``expect``, ``got``,
    ``seconds`` and ``why`` of each check; no check is no list entry. Raises as ``plan`` does.
    """
    connection = _connection(spec, region, profile, session, parallelism)

    def work(interrupt: Interrupt) -> list[Record]:
        from enireconcile.cli.verify import run_checks

        return [
            Record(check)
            for check in checks_json(run_checks(spec, connection, interrupt, _telling(on_event)).results)
        ]

    return _done(work, timeout)


def _telling(on_event: Callable[[Record], object] | None) -> Progress:
    """Tells a program what ``--output json`` prints. Its errors must not stop a run between two changes."""

    def tell(event: Mapping[str, Any]) -> None:
        try:
            if on_event is not None:
                on_event(Record(event))
        except Exception:
            log.exception("on_event failed for %s", event)

    return json_lines(tell)


def _seconds(name: str, seconds: float | None, *, least: str = "above 0") -> None:
    """Raises EnireconcileError for what is no time, which would stop a run before it begins."""
    if seconds is None:
        return
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool) and not math.isnan(seconds)
    if not number or seconds < 0 or (seconds == 0 and least == "above 0"):
        raise EnireconcileError(f"{name}: {seconds!r} is no time", hint=f"give seconds, as a number {least}")


def _state(state: str | os.PathLike[str] | None) -> str | None:
    state = state or os.environ.get("ENIRECONCILE_STATE")
    try:
        return state_location(os.fspath(state)) if state else None
    except click.BadParameter as error:
        raise EnireconcileError(f"state: {error.message}") from None


def _connection(
    spec: Spec, region: str | None, profile: str | None, session: BotoSession | None, parallelism: int | None
) -> Connection:
    if not isinstance(spec, Spec):
        raise TypeError(f"give one Spec, not a {type(spec).__name__}: load returns a list, one Spec for each file")
    if session is not None and profile is not None:
        raise EnireconcileError(
            "session and profile exclude each other", hint="give boto3.Session(profile_name=…) as the session"
        )
    return Connection(region, profile, parallelism, session)


def _targets(spec: Spec, targets: Sequence[str], *, prune: bool) -> tuple[str, ...]:
    return targets_by_file([spec], targets, prune=prune)[spec.file]


def _done(work: Callable[[Interrupt], T], timeout: float | None, interrupt: Interrupt | None = None) -> T:
    """Do the work in a thread of its own, where no event loop runs yet, and wait for it."""
    _seconds("timeout", timeout)
    interrupt = interrupt or Interrupt()

    def limited() -> T:
        with interrupt.limited(timeout):
            return work(interrupt)

    future = begun(limited)
    try:
        return future.result()
    except KeyboardInterrupt:
        interrupt.stop("Ctrl-C")
        concurrent.futures.wait([future])
        raise
