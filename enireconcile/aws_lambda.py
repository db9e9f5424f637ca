"""Run plan, apply or verify as an AWS Lambda function: the handler is ``enireconcile.aws_lambda.handler``.

The event, all of whose keys are optional::

    {"command": "apply", "spec": "s3://bucket/edge.yaml", "options": {"max_changes": 10}}

``command``
    ``plan`` (the default), ``apply`` (approved as with ``-y``) or ``verify``.
``spec`` or ``specs``
    One spec or a list: an object in S3, a path in the function's package, a directory of specs, or the text of a
    spec.
``options``
    The keyword options of the function of that name in ``enireconcile`` that JSON can hold, and ``variables``.

What the event does not say comes from the function's environment: ``ENIRECONCILE_COMMAND``, ``ENIRECONCILE_SPECS``
(separated by blanks), ``ENIRECONCILE_OPTIONS`` (a JSON object; the event's options override single ones, and a
command ignores those that only others take) and ``ENIRECONCILE_STATE``. So does all of an event that EventBridge
made, with ``detail-type``.

The result is the JSON of the command: of one spec an object, of several a list. The invocation fails, with the
same in the log, unless the outcome is ``converged``, ``unchanged`` or ``locked``; also for a check that failed,
and for a plan with errors."""

from __future__ import annotations

import inspect
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from enireconcile import api
from enireconcile.errors import EnireconcileError, OutcomeError, SpecErrors
from enireconcile.model import CHECK_FAILED
from enireconcile.spec import Spec

RESERVE = 10.0
"""Seconds before the end of the invocation at which a run stops, to finish the calls in flight, write the journal
and release the lock."""
_S3 = "s3://"

log = logging.getLogger("enireconcile.aws_lambda")


class Context(Protocol):
    """What the handler uses of Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int: ...


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Options(_Strict):
    """Times are in seconds. What is not given has the default of the function that is called."""

    region: str | None = None
    variables: dict[str, Any] = Field(default_factory=dict)
    parallelism: int = Field(10, ge=1, le=100)
    timeout: float | None = Field(None, gt=0)
    prune: bool = False
    destroy: bool = False
    targets: list[str] = Field(default_factory=list)
    allow_destroy: bool = False
    max_changes: int | None = Field(None, ge=0)
    verify: bool = False
    state: str | None = None
    lock_timeout: float = Field(30.0, ge=0)
    settle_timeout: float = Field(30.0, ge=0)


class _Event(_Strict):
    command: str = "plan"
    specs: list[str] = Field(min_length=1)
    options: _Options


def handler(event: Mapping[str, Any] | None, context: Context) -> Any:
    """Run the command of the event on its specs, one after another, until one fails. Returns JSON.

    Raises EnireconcileError for an event that cannot be run, OutcomeError for a run that did not end well.
    """
    logging.getLogger("enireconcile").setLevel(logging.INFO)
    asked = _read(event or {})
    given = asked.options.model_dump(exclude_unset=True)
    run = _COMMANDS[asked.command]
    if surplus := sorted(given.keys() - _options_of(asked.command)):
        raise EnireconcileError(
            f"options.{surplus[0]}: {asked.command} has no such option",
            hint=f"it has: {', '.join(sorted(_options_of(asked.command)))}",
        )
    variables, limit = given.pop("variables", {}), given.pop("timeout", None)
    loaded = [spec for source in asked.specs for spec in _load(source, variables, given.get("region"))]
    results = []
    for spec in loaded:
        left = context.get_remaining_time_in_millis() / 1000 - RESERVE
        if left <= 0:
            raise EnireconcileError(
                f"stack {spec.document.stack}: not begun: less than {RESERVE:g} s of the invocation are left",
                hint="raise the timeout of the function, or invoke it once for each spec",
            )
        result = run(spec, timeout=left if limit is None else min(limit, left), **given)
        log.info("%s", json.dumps(result))
        _raise_unless_well(asked.command, spec, result)
        results.append(result)
    return results[0] if len(results) == 1 else results


def _read(event: Mapping[str, Any]) -> _Event:
    """The event, with what the environment adds to it. Raises EnireconcileError for what it should not contain."""
    if not isinstance(event, Mapping):
        raise EnireconcileError(f"the event is a JSON {type(event).__name__}, and must be an object")
    said = {} if "detail-type" in event else dict(event)
    if "spec" in said and "specs" in said:
        raise EnireconcileError("the event has both spec and specs", hint="give one of them")
    specs = [said.pop("spec")] if "spec" in said else said.pop("specs", None)
    merged = {
        "command": os.environ.get("ENIRECONCILE_COMMAND", "plan"),
        **said,
        "specs": specs if specs is not None else os.environ.get("ENIRECONCILE_SPECS", "").split(),
    }
    options = said.get("options", {})
    defaults = _default_options(merged["command"])
    merged["options"] = {**defaults, **options} if isinstance(options, dict) else options
    try:
        read = _Event.model_validate(merged)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
        raise EnireconcileError(
            "\n  ".join(["the event, with the environment of the function, is not valid:", *problems]),
            hint='an event is {"command": "plan", "spec": "s3://bucket/edge.yaml", "options": {}}',
        ) from None
    if read.command not in _COMMANDS:
        raise EnireconcileError(f"command: {read.command!r} is none of {', '.join(_COMMANDS)}")
    if read.command == "apply" and not (read.options.state or os.environ.get("ENIRECONCILE_STATE")):
        raise EnireconcileError(
            "apply needs a state that outlives the function",
            hint="set ENIRECONCILE_STATE=s3://bucket/prefix in its environment, or options.state in the event",
        )
    return read


def _default_options(command: object) -> dict[str, Any]:
    """Those of the environment, which are for all commands of the function, but for what only others take."""
    text = os.environ.get("ENIRECONCILE_OPTIONS", "{}")
    try:
        options = json.loads(text)
    except ValueError as error:
        raise EnireconcileError(f"ENIRECONCILE_OPTIONS is not JSON: {error}") from None
    if not isinstance(options, dict):
        raise EnireconcileError("ENIRECONCILE_OPTIONS is no JSON object", hint='write {"max_changes": 10}')
    others = _Options.model_fields.keys() - (
        _options_of(command) if isinstance(command, str) and command in _COMMANDS else set()
    )
    return {name: value for name, value in options.items() if name not in others}


def _load(source: str, variables: Mapping[str, Any], region: str | None) -> list[Spec]:
    if not source.startswith(_S3) or api.is_text(source):
        return api.load(source, variables, region=region)
    try:
        return [replace(spec, file=source) for spec in api.load(_object(source), variables, region=region)]
    except SpecErrors as errors:
        raise SpecErrors([problem._replace(file=source) for problem in errors.problems]) from None


def _object(url: str) -> str:
    """The text of an object in S3, with a line break at its end. Raises AwsError, EnireconcileError."""
    from enireconcile.aws.s3 import S3Bucket
    from enireconcile.aws.session import connect

    bucket, _, key = url.removeprefix(_S3).partition("/")
    session = connect(region=None, profile=None)
    try:
        stored = S3Bucket(session, bucket, "").get(key)
    finally:
        session.close()
    if stored is None:
        raise EnireconcileError(f"{url} does not exist", hint="check the bucket and the key in the event")
    try:
        return stored.body.decode() + "\n"
    except UnicodeDecodeError as error:
        raise EnireconcileError(f"{url} is not UTF-8: {error.reason} at byte {error.start}") from None


def _raise_unless_well(command: str, spec: Spec, result: Any) -> None:
    if command == "apply" and result.outcome != "locked":
        result.raise_for_outcome()
    if command == "plan" and result.errors:
        raise _ended_badly(spec, "the plan has errors", _messages(result.errors), result, 1)
    if command == "verify" and (failed := [check for check in result if check.status != "ok"]):
        lines = (f"{check.name}: {check.why}" for check in failed)
        raise _ended_badly(spec, "checks failed", lines, {"checks": result}, CHECK_FAILED)


def _ended_badly(
    spec: Spec, what: str, lines: Iterator[str], result: Mapping[str, Any], code: int
) -> OutcomeError:
    return OutcomeError("\n  ".join([f"stack {spec.document.stack}: {what}", *lines]), result, code)


def _messages(errors: list[api.Record]) -> Iterator[str]:
    return (f"{each.file}:{each.line}:{each.column}: {each.path}: {each.message}" for each in errors)


def _apply(spec: Spec, **options: Any) -> api.Report:
    return api.apply(spec, approve=True, **options)


_COMMANDS: Mapping[str, Callable[..., Any]] = {"plan": api.plan, "apply": _apply, "verify": api.verify}


def _options_of(command: str) -> set[str]:
    """The options of a command that an event can give."""
    taken = inspect.signature(getattr(api, command)).parameters.keys()
    return {name for name in _Options.model_fields if name in taken} | {"variables"}
