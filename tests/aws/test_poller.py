"""The poller: one describe a tick for everybody who waits."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest

from enireconcile.aws.actions import UnknownAction
from enireconcile.aws.poller import Poller, WaitFailed, fulfilled
from enireconcile.errors import AwsError
from enireconcile.model import Asks, Expect
from tests.virtual import VirtualLoop, run

Changes = Sequence[tuple[float, str | None]]

INTERFACES, INSTANCES = "DescribeNetworkInterfaces", "DescribeInstances"


class Reader:
    """Interfaces and instances that change at set times: id to (seconds from now on, status)."""

    def __init__(self, loop: VirtualLoop, **objects: Changes) -> None:
        self._loop, self._began = loop, loop.time()
        self._objects = {name.replace("_", "-"): changes for name, changes in objects.items()}
        self.asked: list[tuple[float, str, Mapping[str, Any]]] = []
        self.error: Exception | None = None

    @property
    def ticks(self) -> list[float]:
        """When something was asked, in seconds from the beginning."""
        return [round(when, 6) for when, _, _ in self.asked]

    async def read(self, call: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        now = self._loop.time() - self._began
        self.asked.append((now, call, params or {}))
        if self.error:
            raise self.error
        (wanted,) = (params or {})["Filters"]
        present = {
            name: status
            for name, changes in self._objects.items()
            for status in [[what for since, what in changes if since <= now][-1]]
            if name in wanted["Values"] and status is not None
        }
        if call == INTERFACES:
            return {
                "NetworkInterfaces": [
                    {"NetworkInterfaceId": name, "Status": status} for name, status in present.items()
                ]
            }
        why = {"StateReason": {"Message": "Server.InternalError"}}
        rows = [{"InstanceId": name, "State": {"Name": state}, **why} for name, state in present.items()]
        return {"Reservations": [{"Instances": [row]} for row in rows]}


class Names:
    """Addresses with reverse DNS, all of the account's in one answer: id to (seconds from now on, name)."""

    def __init__(self, loop: VirtualLoop, **addresses: Changes) -> None:
        self._loop, self._began, self._addresses = loop, loop.time(), addresses
        self.asked: list[Mapping[str, Any]] = []

    async def read(self, call: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        assert call == "DescribeAddressesAttribute"
        self.asked.append(params or {})
        now = self._loop.time() - self._began
        names = {key: [name for since, name in each if since <= now][-1] for key, each in self._addresses.items()}
        shown = {key.replace("_", "-"): name for key, name in names.items() if name is not None}
        return {"Addresses": [{"AllocationId": key, "PtrRecord": name} for key, name in shown.items()]}


def available(aws_id: str, **words: Any) -> Expect:
    return Expect(INTERFACES, aws_id, has=(("Status", ("available",)),), **words)


def running(aws_id: str) -> Expect:
    ended = (("State.Name", ("shutting-down", "terminated")),)
    return Expect(INSTANCES, aws_id, has=(("State.Name", ("running",)),), never=ended)


def wait_for(reader: Asks, loop: VirtualLoop, *expects: Expect) -> list[Any]:
    """What each wait comes to, an exception included."""

    async def waits() -> list[Any]:
        poller = Poller(reader)
        return [*await asyncio.gather(*(poller.wait(expect) for expect in expects), return_exceptions=True)]

    return run(waits(), loop)


def test_what_has_no_filter_is_asked_for_whole(loop: VirtualLoop) -> None:
    """One address gets a name, another one loses its own: one question for all of them, without any id."""
    reader = Names(
        loop, eipalloc_1=[(0, None), (1, "a.example.com.")], eipalloc_2=[(0, "b.example.com."), (2, None)]
    )
    named = Expect("DescribeAddressesAttribute", "eipalloc-1", has=(("PtrRecord", ("a.example.com.",)),))
    nameless = Expect("DescribeAddressesAttribute", "eipalloc-2", has=(("PtrRecord", (None,)),), gone=True)
    assert wait_for(reader, loop, named, nameless) == [
        {"AllocationId": "eipalloc-1", "PtrRecord": "a.example.com."},
        {},
    ]
    assert {tuple(params.items()) for params in reader.asked} == {(("Attribute", "domain-name"),)}


def test_the_answer_is_the_object_that_fulfils_the_condition(loop: VirtualLoop) -> None:
    reader = Reader(loop, eni_1=[(0, "pending"), (1, "available")])
    assert wait_for(reader, loop, available("eni-1")) == [{"NetworkInterfaceId": "eni-1", "Status": "available"}]


def test_ids_are_asked_for_by_filter(loop: VirtualLoop) -> None:
    """An unknown id in a list would fail the whole call."""
    reader = Reader(loop, eni_1=[(0, "available")], eni_2=[(0, "available")])
    wait_for(reader, loop, available("eni-2"), available("eni-1"))
    assert [(call, params) for _, call, params in reader.asked] == [
        (INTERFACES, {"Filters": [{"Name": "network-interface-id", "Values": ["eni-1", "eni-2"]}]})
    ]


def test_the_first_look_is_early_and_later_ones_spread_out(loop: VirtualLoop) -> None:
    reader = Reader(loop, eni_1=[(0, "pending"), (60, "available")])
    wait_for(reader, loop, available("eni-1"))
    pauses = [later - earlier for earlier, later in pairwise(reader.ticks)]
    assert reader.ticks[0] == 0.025
    assert pauses == pytest.approx([min(0.1 * 1.4**number, 5.0) for number in range(len(pauses))])


def test_many_waiters_share_each_describe(loop: VirtualLoop) -> None:
    names = [f"eni-{number}" for number in range(50)]
    reader = Reader(loop, **{name: [(0, "pending"), (3, "available")] for name in names})
    wait_for(reader, loop, *(available(name) for name in names))
    alone = Reader(loop, eni_1=[(0, "pending"), (3, "available")])
    wait_for(alone, loop, available("eni-1"))
    assert len(reader.asked) == len(alone.asked)


def test_interfaces_and_instances_are_asked_for_apart(loop: VirtualLoop) -> None:
    reader = Reader(loop, eni_1=[(0, "available")], i_1=[(0, "running")])
    wait_for(reader, loop, running("i-1"), available("eni-1"))
    assert [call for _, call, _ in reader.asked] == [INSTANCES, INTERFACES]
    assert reader.ticks == [0.025, 0.025]


def test_a_fulfilled_wait_is_not_described_again(loop: VirtualLoop) -> None:
    reader = Reader(loop, eni_1=[(0, "available")], eni_2=[(0, "pending"), (1, "available")])
    wait_for(reader, loop, available("eni-1"), available("eni-2"))
    asked = [params["Filters"][0]["Values"] for _, _, params in reader.asked]
    assert (asked[0], asked[1]) == (["eni-1", "eni-2"], ["eni-2"])


def test_nothing_is_described_without_waits(loop: VirtualLoop) -> None:
    reader = Reader(loop, eni_1=[(0, "available")])
    wait_for(reader, loop, available("eni-1"))
    run(asyncio.sleep(3600), loop)
    assert len(reader.asked) == 1


def test_a_newcomer_looks_early_while_others_have_waited_long(loop: VirtualLoop) -> None:
    reader = Reader(loop, eni_1=[(0, "pending"), (120, "available")], eni_2=[(0, "available")])

    async def waits() -> float:
        poller = Poller(reader)
        long = asyncio.create_task(poller.wait(available("eni-1")))
        await asyncio.sleep(62)
        before = loop.time()
        await poller.wait(available("eni-2"))
        taken = loop.time() - before
        await long
        return taken

    assert run(waits(), loop) <= 0.2 + 1e-6


def test_more_ids_than_a_filter_takes_are_asked_for_in_chunks(loop: VirtualLoop) -> None:
    names = [f"eni-{number:03}" for number in range(450)]
    reader = Reader(loop, **{name: [(0, "available")] for name in names})
    found = wait_for(reader, loop, *(available(name) for name in names))
    assert [len(params["Filters"][0]["Values"]) for _, _, params in reader.asked] == [200, 200, 50]
    assert [item["NetworkInterfaceId"] for item in found] == names


# ---- what does not come


def missed(result: Any) -> str:
    """The words of a wait that was in vain."""
    assert isinstance(result, WaitFailed)
    return str(result)


def test_what_can_never_come_fails_at_once_and_says_why(loop: VirtualLoop) -> None:
    reader = Reader(loop, i_1=[(0, "pending"), (1, "shutting-down")])
    (result,) = wait_for(reader, loop, running("i-1"))
    assert missed(result) == "i-1: State.Name is shutting-down (Server.InternalError)"
    assert 1 <= reader.ticks[-1] < 2


def test_when_the_time_is_over_the_last_state_is_reported(loop: VirtualLoop) -> None:
    reader = Reader(loop, eni_1=[(0, "in-use")])
    (result,) = wait_for(reader, loop, available("eni-1", timeout=30))
    assert missed(result) == "eni-1: after 30 s Status is in-use"
    assert reader.ticks[-1] == 30


@pytest.mark.parametrize(
    ("has", "words"),
    [
        (
            (("Status", ("available",)), ("Attachment.Status", ("attached",)), ("Status != 'x'", (False,))),
            "Status is in-use, Attachment.Status is not set",
        ),
        ((("Status || ''", ("available",)),), f"{INTERFACES} shows in-use"),
        ((("PrivateIpAddresses[?Primary] | [0]", ("x",)),), f"{INTERFACES} shows nothing of it"),
    ],
)
def test_the_last_state_is_told_without_expressions(loop: VirtualLoop, has: Any, words: str) -> None:
    """EC2's names of what it waits for, or what the describe call shows of it."""
    reader = Reader(loop, eni_1=[(0, "in-use")])
    (result,) = wait_for(reader, loop, Expect(INTERFACES, "eni-1", has=has, timeout=30))
    assert missed(result) == f"eni-1: after 30 s {words}"


def test_what_is_never_seen_is_waited_for_until_the_time_is_over(loop: VirtualLoop) -> None:
    reader = Reader(loop)
    (result,) = wait_for(reader, loop, available("eni-1", timeout=30))
    assert (missed(result), reader.ticks[-1]) == ("eni-1: after 30 s still not visible", 30)


def test_what_is_unseen_at_first_may_still_show_up(loop: VirtualLoop) -> None:
    reader = Reader(loop, eni_1=[(0, None), (5, "available")])
    assert wait_for(reader, loop, available("eni-1")) == [{"NetworkInterfaceId": "eni-1", "Status": "available"}]


def test_without_time_there_is_one_look_and_at_once(loop: VirtualLoop) -> None:
    reader = Reader(loop, eni_1=[(0, "in-use")], eni_2=[(0, "available")])
    bad, good = wait_for(reader, loop, available("eni-1", timeout=0), available("eni-2", timeout=0))
    assert missed(bad) == "eni-1: after 0 s Status is in-use"
    assert (good["Status"], reader.ticks) == ("available", [0.0])


GONE = [
    pytest.param(available("eni-1", gone=True), [(0.0, None)], {}, id="it is gone, as was asked for"),
    pytest.param(
        available("eni-1", gone=True),
        [(0.0, "available")],
        {"NetworkInterfaceId": "eni-1", "Status": "available"},
        id="or it is there as was asked for",
    ),
    pytest.param(
        Expect(INTERFACES, "eni-1", gone=True),
        [(0.0, "available"), (1.0, None)],
        {},
        id="without a condition only being gone counts",
    ),
]


@pytest.mark.parametrize(("expect", "changes", "answer"), GONE)
def test_what_may_be_gone(expect: Expect, changes: Changes, answer: dict[str, str], loop: VirtualLoop) -> None:
    assert wait_for(Reader(loop, eni_1=changes), loop, expect) == [answer]


def test_an_error_of_the_describe_reaches_all_waits_for_it(loop: VirtualLoop) -> None:
    reader = Reader(loop)
    reader.error = AwsError(INTERFACES, "UnauthorizedOperation", "no")
    assert wait_for(reader, loop, available("eni-1"), available("eni-2")) == [reader.error, reader.error]


def test_an_unforeseen_error_ends_all_waits(loop: VirtualLoop) -> None:
    reader = Reader(loop)
    reader.error = ZeroDivisionError("a bug")
    assert wait_for(reader, loop, available("eni-1"), available("eni-2")) == [reader.error, reader.error]


# ---- answers that cannot be read


class Broken:
    """Interfaces that are answered as told; every instance is running."""

    def __init__(self, interfaces: Any) -> None:
        self.interfaces = interfaces

    async def read(self, call: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if call == INTERFACES:
            return {"NetworkInterfaces": self.interfaces}
        (wanted,) = (params or {})["Filters"]
        return {
            "Reservations": [
                {"Instances": [{"InstanceId": name, "State": {"Name": "running"}}]} for name in wanted["Values"]
            ]
        }


def attached(aws_id: str, number: int) -> Expect:
    """An interface with so many addresses: JMESPath's length() raises where the list is absent."""
    return Expect(INTERFACES, aws_id, has=(("length(Ipv6Addresses)", (number,)),))


WHOLE = {"NetworkInterfaceId": "eni-1", "Status": "available", "Ipv6Addresses": []}
UNREADABLE = [
    pytest.param([WHOLE, {"Status": "available"}], "lacks NetworkInterfaceId", id="an object without its id"),
    pytest.param([WHOLE, {"NetworkInterfaceId": None}], "lacks NetworkInterfaceId", id="an id that is empty"),
    pytest.param([WHOLE, "eni-2"], "lacks NetworkInterfaceId", id="an object that is a text"),
    pytest.param({"NetworkInterfaceId": "eni-1"}, "lacks NetworkInterfaces[]", id="an object instead of a list"),
    pytest.param(None, "lacks NetworkInterfaces[]", id="no list"),
]


@pytest.mark.parametrize(("interfaces", "why"), UNREADABLE)
def test_an_unreadable_answer_ends_the_waits_for_that_describe_only(
    interfaces: Any, why: str, loop: VirtualLoop
) -> None:
    """Neither hanging nor taken for gone: an error that names the call."""
    result, other = wait_for(Broken(interfaces), loop, Expect(INTERFACES, "eni-2", gone=True), running("i-1"))
    assert isinstance(result, AwsError)
    assert (result.call, why in str(result)) == (INTERFACES, True)
    assert other["InstanceId"] == "i-1"


def test_a_condition_that_cannot_be_evaluated_ends_its_own_wait_only(loop: VirtualLoop) -> None:
    """A JMESPath type error for one interface; the other interface and the instance are waited for as ever."""
    broken, whole, other = wait_for(
        Broken([WHOLE, {"NetworkInterfaceId": "eni-2", "Status": "available"}]),
        loop,
        attached("eni-2", 0),
        attached("eni-1", 0),
        running("i-1"),
    )
    assert isinstance(broken, AwsError)
    assert (broken.call, "eni-2" in str(broken), "length()" in str(broken)) == (INTERFACES, True, True)
    assert (whole, other["InstanceId"]) == (WHOLE, "i-1")


def test_any_exception_in_a_judgement_ends_its_own_wait_only(
    loop: VirtualLoop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in here must not stop the task that all others wait for, nor print a traceback."""

    def buggy(has: Any, found: Mapping[str, Any]) -> bool:
        if found.get("NetworkInterfaceId") == "eni-2":
            raise ZeroDivisionError("a bug")
        return fulfilled(has, found)

    monkeypatch.setattr("enireconcile.aws.poller.fulfilled", buggy)
    broken, whole = wait_for(
        Broken([WHOLE, {**WHOLE, "NetworkInterfaceId": "eni-2"}]), loop, available("eni-2"), available("eni-1")
    )
    assert isinstance(broken, AwsError)
    assert (broken.call, "a bug" in str(broken), whole) == (INTERFACES, True, WHOLE)
    assert "Traceback" not in caplog.text


def test_a_call_without_a_listing_ends_its_wait(loop: VirtualLoop) -> None:
    result, other = wait_for(Broken([]), loop, Expect("DescribeVpcs", "vpc-1"), running("i-1"))
    assert isinstance(result, UnknownAction)
    assert other["InstanceId"] == "i-1"


class Hanging(Broken):
    """Interfaces are never answered, as when a connection stays open without any data."""

    async def read(self, call: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if call == INTERFACES:
            await asyncio.get_running_loop().create_future()
        return await super().read(call, params)


def test_a_describe_that_never_returns_does_not_hold_a_deadline_up(loop: VirtualLoop) -> None:
    """The wait ends some minutes after its deadline, when the read must have given up; others do not notice."""
    began, ended = loop.time(), {}

    async def waits() -> list[Any]:
        poller = Poller(Hanging([]))

        async def one(expect: Expect) -> Any:
            try:
                return await poller.wait(expect)
            finally:
                ended[expect.id] = round(loop.time() - began, 3)

        expects = (available("eni-1", timeout=30), available("eni-2", timeout=0), running("i-1"))
        return list(await asyncio.gather(*(one(expect) for expect in expects), return_exceptions=True))

    first, second, other = run(waits(), loop)
    assert missed(first) == "eni-1: DescribeNetworkInterfaces has not returned"
    assert (first.late, second.late, other["InstanceId"]) == (True, True, "i-1")
    assert (ended["i-1"], ended["eni-2"], ended["eni-1"]) == (0.025, 360, 390)


def test_a_poll_that_is_cancelled_leaves_no_wait_behind(loop: VirtualLoop) -> None:
    """The pool of threads that the read runs in is closed under it."""

    class Closed(Broken):
        async def read(self, call: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
            raise asyncio.CancelledError

    results = wait_for(Closed([]), loop, available("eni-1"), available("eni-2"))
    assert [type(result) for result in results] == [asyncio.CancelledError] * 2


def test_after_an_error_others_can_wait_again(loop: VirtualLoop) -> None:
    reader = Reader(loop, eni_1=[(0, "available")])

    async def waits() -> Mapping[str, Any]:
        poller = Poller(reader)
        reader.error = AwsError(INTERFACES, "UnauthorizedOperation", "no")
        with pytest.raises(AwsError):
            await poller.wait(available("eni-1"))
        reader.error = None
        return await poller.wait(available("eni-1"))

    assert run(waits(), loop)["Status"] == "available"


def test_a_run_that_gives_up_no_longer_blocks_others(loop: VirtualLoop) -> None:
    reader = Reader(loop, eni_1=[(0, "in-use")], eni_2=[(0, "pending"), (1, "available")])

    async def waits() -> Mapping[str, Any]:
        poller = Poller(reader)
        impatient = asyncio.create_task(poller.wait(available("eni-1")))
        await asyncio.sleep(0.3)
        impatient.cancel()
        return await poller.wait(available("eni-2"))

    assert run(waits(), loop)["NetworkInterfaceId"] == "eni-2"
    assert reader.asked[-1][2]["Filters"][0]["Values"] == ["eni-2"]


# ---- conditions

CONDITIONS = [
    pytest.param((), {"Status": "x"}, True, id="no condition always holds"),
    pytest.param((("Status", ("a", "b")),), {"Status": "b"}, True, id="one of the values is enough"),
    pytest.param((("Status", ("a",)), ("Kind", ("k",))), {"Status": "a", "Kind": "x"}, False, id="all conditions"),
    pytest.param((("Association.Id", (None,)),), {}, True, id="nothing there, as was asked for"),
    pytest.param((("Association.Id", ("a", None)),), {"Association": {"Id": "b"}}, False, id="another one there"),
    pytest.param((("length(Items[?Up])", (2,)),), {"Items": [{"Up": True}, {"Up": True}, {}]}, True, id="a count"),
    pytest.param((("Up", (True,)),), {"Up": True}, True, id="a truth"),
]


@pytest.mark.parametrize(("has", "found", "holds"), CONDITIONS)
def test_a_condition_holds(has: Any, found: dict[str, Any], holds: bool) -> None:
    assert fulfilled(has, found) is holds
