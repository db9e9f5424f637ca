"""What is retried for longer than five seconds is reported: call, answer, how often, and for how long still."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import re
from collections.abc import Iterator

import pytest

from enireconcile.aws import retry
from enireconcile.aws.faults import Fault, Meaning
from enireconcile.aws.pacing import Pacer
from enireconcile.aws.retry import AGAIN, SILENCE, Reminder, is_transient, retrying, retrying_in_thread
from enireconcile.errors import AwsError
from tests.ec2 import Fail
from tests.harness import Harness
from tests.virtual import VirtualLoop, run

ADDRESS = json.dumps({"version": 1, "stack": "lab", "region": "us-east-1", "elastic_ips": {"ip": {}}})
REFUSED = 'Could not connect to the endpoint URL: "http://127.0.0.1:1/"'
NOTICE = re.compile(
    r"(?P<call>\w+)( and (?P<more>\d+) more calls?)?: (?P<answer>.*), tried (once|(?P<tries>\d+) times) in \d+ s; "
    r"again in about (?P<again>\d+) s, for another (?P<left>\d+) s"
)


class Told(logging.Handler):
    """The warnings of the calls to AWS, with their times."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self.loop, self.lines = loop, list[tuple[float, str]]()

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            self.lines.append((self.loop.now, record.getMessage()))

    @property
    def notices(self) -> list[re.Match[str]]:
        found = [NOTICE.fullmatch(line) for _, line in self.lines]
        assert all(found), self.lines
        return [each for each in found if each]


@pytest.fixture
def told(harness: Harness) -> Iterator[Told]:
    handler = Told(harness.loop)
    retry.log.addHandler(handler)
    yield handler
    retry.log.removeHandler(handler)


def test_a_read(harness: Harness, told: Told) -> None:
    """Once after five seconds, and then about every ten seconds, until the call is given up."""
    failing = Fail("DescribeAddresses", times=10**6, code="502", message="Bad Gateway", status=502)
    harness.strict.faults.add(failing)
    began = harness.loop.now
    with pytest.raises(AwsError, match="DescribeAddresses: 502: Bad Gateway"):
        harness.plan(ADDRESS)
    times = [at - began for at, _ in told.lines]
    first = told.notices[0]
    assert times[0] == pytest.approx(SILENCE)
    assert (first["call"], first["more"], first["answer"]) == ("DescribeAddresses", None, "502: Bad Gateway")
    assert 280 <= int(first["left"]) <= 300
    assert [after - before for before, after in itertools.pairwise(times)] == pytest.approx(
        [AGAIN] * (len(times) - 1)
    )
    assert len(times) >= 29
    tries = [int(each["tries"]) for each in told.notices]
    assert tries == sorted(tries)


def test_a_short_disturbance_is_not_reported(
    harness: Harness, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.uniform", max)
    harness.strict.faults.add(Fail("DescribeAddresses", times=3))
    harness.plan(ADDRESS)
    assert told.lines == []


def test_a_change(harness: Harness, told: Told) -> None:
    """The calls of the executor, too."""
    harness.strict.faults.add(Fail("AllocateAddress", times=8, code="RequestLimitExceeded", message="Slow down."))
    assert harness.apply(ADDRESS).outcome == "converged"
    assert {(each["call"], each["answer"]) for each in told.notices} == {
        ("AllocateAddress", "RequestLimitExceeded: Slow down.")
    }


def test_the_wait_for_a_turn_is_no_failure(harness: Harness, told: Told) -> None:
    """A throttled call tells since when it fails and when it has its turn again, behind all that wait already."""
    fault = Fault("RunInstances", "RequestLimitExceeded", "Slow down.", Meaning.THROTTLED, 300.0)
    pacer, sent = Pacer(), list[float]()

    async def launch() -> None:
        async for trial in retrying(is_transient, queue=pacer.queue):
            with trial:
                await pacer.turn("RunInstances")
                sent.append(harness.loop.now)
                if len(sent) < 3:
                    raise fault

    async def others() -> None:
        await asyncio.gather(*(pacer.turn("RunInstances") for _ in range(60)))

    async def both() -> None:
        # Sixty calls ask before it; when it is throttled, 60 more wait.
        first = asyncio.create_task(others())
        await asyncio.sleep(0)
        call = asyncio.create_task(launch())
        await asyncio.sleep(27.0)
        await asyncio.gather(first, call, others())

    began = harness.loop.now
    run(both(), harness.loop)
    assert sent[0] - began == pytest.approx(28.0, abs=1.0)
    [(at, line)] = told.lines
    assert at - sent[0] == pytest.approx(sent[1] - sent[0], abs=0.6), "told when it was throttled again"
    [notice] = told.notices
    assert notice["tries"] == "2", line
    assert f"in {sent[1] - sent[0]:.0f} s; again" in line


def test_many_calls_with_one_answer_are_one_line(harness: Harness, told: Told) -> None:
    calls = ("DescribeAddresses", "DescribeInstances", "DescribeNetworkInterfaces", "DescribeSecurityGroups")
    harness.strict.faults.add(*(Fail(call, times=10**6, code="502", message="no", status=502) for call in calls))
    with pytest.raises(AwsError):
        harness.plan(ADDRESS)
    assert len(told.lines) <= 1 + (told.lines[-1][0] - told.lines[0][0]) / AGAIN
    assert max(int(each["more"] or 0) for each in told.notices) == 3


def test_a_refused_connection(harness: Harness, told: Told) -> None:
    """Nothing listens: ten seconds of attempts are not silent. An answer cannot add a line."""
    fault = Fault("DescribeVpcs", "NotSent", REFUSED + "\n::error::x", Meaning.RETRY, 10.0)

    async def ask() -> None:
        async for trial in retrying(is_transient):
            with trial:
                raise fault

    with pytest.raises(Fault):
        run(ask(), harness.loop)
    assert told.lines
    assert all("\n" not in line for _, line in told.lines)
    assert told.notices[0]["answer"] == f"NotSent: {REFUSED}\\n::error::x"


def test_no_answer_at_all(harness: Harness, told: Told) -> None:
    async def wait() -> None:
        reminder = Reminder("DescribeVpcs")
        await asyncio.sleep(3 * AGAIN - 1)
        reminder.cancel()

    run(wait(), harness.loop)
    assert [line for _, line in told.lines] == [
        "DescribeVpcs: no answer for 10 s",
        "DescribeVpcs: no answer for 20 s",
    ]


def test_an_endpoint_that_never_answers(harness: Harness, told: Told) -> None:
    """Each request ends after a minute; the call is repeated for five minutes from its first failure on."""
    fault = Fault("GetCallerIdentity", "NoAnswer", "Read timeout", Meaning.RETRY, 300.0)

    async def ask() -> None:
        async for trial in retrying(is_transient):
            with trial:
                reminder = Reminder("GetCallerIdentity")
                await asyncio.sleep(60)
                reminder.cancel()
                raise fault

    began = harness.loop.now
    with pytest.raises(Fault):
        run(ask(), harness.loop)
    assert 60 + 300 <= harness.loop.now - began <= 60 + 300 + 60
    times = [time - began for time, _ in told.lines]
    assert [round(time) for time in times[:6]] == [10, 20, 30, 40, 50, 60]
    assert all(after - before <= 20 for before, after in itertools.pairwise(times))


def test_a_thread(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 is called in threads; its calls are limited in number."""
    monkeypatch.setattr(retry, "SILENCE", 0.0)
    monkeypatch.setattr("random.uniform", min)
    fault = Fault("GetObject", "SlowDown", "Reduce your rate.", Meaning.OUTCOME_UNKNOWN, 300.0)
    tries: list[int] = []

    def ask() -> None:
        for trial in retrying_in_thread(is_transient, 3):
            with trial:
                tries.append(1)
                raise fault

    with pytest.raises(Fault):
        ask()
    assert len(tries) == 3
    assert [line for _, line in told.lines] == [
        "GetObject: SlowDown: Reduce your rate., tried once in 0 s; again in about 0 s, 2 more to come"
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_last_attempt_comes_when_the_time_is_over(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a whole pause later, however long that would be."""
    monkeypatch.setattr("enireconcile.aws.retry.random.uniform", lambda _, longest: longest)
    loop = VirtualLoop()
    attempts: list[float] = []

    async def call() -> None:
        async for trial in retrying(is_transient):
            with trial:
                attempts.append(loop.now)
                raise Fault("DescribeVpcs", "Unavailable", "", Meaning.OUTCOME_UNKNOWN, 20.0 + seed)

    with pytest.raises(Fault):
        run(call(), loop)
    loop.close()
    assert attempts[-1] - attempts[0] == pytest.approx(20.0 + seed, abs=0.11)
