"""The executor: steps of a plan become calls, in parallel and in order, whatever the answers are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from enireconcile.aws.actions import listing_of
from enireconcile.aws.faults import Fault, Meaning, classify
from enireconcile.engine.executor import Executor, final_meaning
from enireconcile.errors import EnireconcileError
from enireconcile.model import Expect, Look, Outcome, Ref, Secret, Status, Step
from tests.virtual import VirtualLoop, run

ALLOCATE, ATTACH, GROUP, RUN = "AllocateAddress", "AttachNetworkInterface", "CreateSecurityGroup", "RunInstances"
SETTLE = 30.0

Answer = Mapping[str, Any] | Exception


def no(call: str, code: str, message: str = "no") -> Fault:
    """A fault as EC2's answer makes it."""
    meaning, seconds = classify(call, code, message)
    return Fault(call, code, message, meaning, seconds)


def lost(call: str) -> Fault:
    """The request left and no answer came."""
    return no(call, "InternalError")


class Harness:
    """A loop, a writer with scripted answers, a reader, a journal; all in virtual time.

    ``answers`` maps calls to what they are answered with, one after the other, the last one for good.
    ``listed`` maps describes to what they answer from which second on. ``takes`` is the seconds of a call.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop, self.began = loop, loop.time()
        self.answers: dict[str, list[Answer]] = {}
        self.paced: dict[str, float] = {}
        self.listed: dict[str, list[tuple[float, Mapping[str, Any]]]] = {}
        self.takes = 0.0
        self.calls: list[tuple[float, str, Mapping[str, Any]]] = []
        self.reads: list[tuple[float, str, Any]] = []
        self.notes: list[str] = []
        self.trail: list[str] = []
        self.safe = (0, 0)
        self.events: list[Mapping[str, Any]] = []
        self.open: set[str] = set()
        self.waited = 0.0
        self.during: Callable[[], None] = lambda: None
        self.stop = asyncio.Event()
        self.full = False

    @property
    def now(self) -> float:
        return round(self.loop.time() - self.began, 3)

    @property
    def called(self) -> list[str]:
        return [call for _, call, _ in self.calls]

    def run(self, *steps: Step) -> list[Outcome]:
        """Run a plan to its end."""

        async def go() -> list[Outcome]:
            executor = Executor(
                reader=self,
                writer=self,
                journal=Notes(self),
                stop=self.stop,
                tell=self.events.append,
                settle=SETTLE,
                began=self.began,
            )
            return await executor.run(steps)

        return run(go(), self.loop)

    # As Writes and Reads.

    def queue(self, call: str) -> float:
        return self.paced.get(call, 0.0)

    def backlog(self) -> float:
        return 0.0

    async def turn(self, call: str) -> None:
        await asyncio.sleep(self.paced.get(call, 0.0))

    async def write(self, call: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append((self.now, call, params))
        assert self.safe == (len(self.notes), len(self.trail)), "a call leaves before it is written down"
        self.during()
        await asyncio.sleep(self.takes)
        answers = self.answers.get(call) or [{}]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    async def read(self, call: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self.reads.append((self.now, call, params))
        nothing: Mapping[str, Any] = {listing_of(call).objects.partition("[")[0]: []}
        answers = [(0.0, nothing), *self.listed.get(call, [])]
        return dict([answer for since, answer in answers if since <= self.now][-1])


class Notes:
    """A journal that takes down what it is told. A token is its digest and its place in the chain."""

    def __init__(self, harness: Harness) -> None:
        self._house = harness

    def has_open_create(self, address: str) -> bool:
        return address in self._house.open

    def token(self, address: str, call: str, digest: str, *, after: str | None = None) -> str:
        return f"{digest[-4:]}-{int(after.partition('-')[2]) + 1 if after else 1}"

    def likely_token(self, address: str, call: str, digest: str, *, settle: float = 0.0) -> str:
        assert settle > 0
        return self.token(address, call, digest)

    def intend(self, address: str, call: str, digest: str, token: str | None) -> None:
        if self._house.full:
            raise EnireconcileError("no space left for the journal")
        self._house.notes.append(f"intend {address} {token}")

    def made(self, address: str, result: str) -> None:
        self._house.notes.append(f"made {address} {result}")

    def failed(self, address: str) -> None:
        self._house.notes.append(f"failed {address}")

    def waited(self, address: str, digest: str) -> float:
        self._house.notes.append(f"waits {address} {digest[-4:]}")
        return self._house.waited

    def calling(self, address: str, call: str) -> None:
        self._house.trail.append(f"{address} {call}")

    def answered(self, address: str, call: str, error: str | None) -> None:
        self._house.trail.append(f"{address} {call} {error}")

    async def flushed(self) -> None:
        self._house.safe = (len(self._house.notes), len(self._house.trail))


@pytest.fixture
def harness(loop: VirtualLoop) -> Harness:
    return Harness(loop)


def step(number: int, call: str = "CreateTags", *needs: int, **words: Any) -> Step:
    params = words.pop("params", {"N": number})
    address = words.pop("address", f"elastic_ips.e{number}")
    return Step(f"s{number}", call, params, address, needs=frozenset(f"s{need}" for need in needs), **words)


def allocate(number: int = 1) -> Step:
    made = {Ref(f"elastic_ips.e{number}"): "AllocationId"}
    look = Look("DescribeAddresses", ({"Name": "tag:n", "Values": [f"e{number}"]},), made)
    return step(number, ALLOCATE, yields=made, look=look)


def create_group() -> Step:
    made = {Ref("security_groups.g"): "GroupId"}
    look = Look("DescribeSecurityGroups", ({"Name": "tag:n", "Values": ["g"]},), made, natural_key=True)
    return step(1, GROUP, address="security_groups.g", yields=made, look=look)


def launch() -> Step:
    made = {Ref("instances.i"): "Instances[0].InstanceId"}
    return step(1, RUN, address="instances.i", yields=made, token=True)


LAUNCHED: Answer = {"Instances": [{"InstanceId": "i-1"}]}
ADDRESS: Answer = {"AllocationId": "eipalloc-1"}
ADDRESSES: Mapping[str, Any] = {"Addresses": [ADDRESS]}
GROUPS: Mapping[str, Any] = {"SecurityGroups": [{"GroupId": "sg-1"}]}


def ends(outcomes: Sequence[Outcome]) -> list[str]:
    """How the steps ended, in short: ``done 1x``, ``failed 2x replan``."""
    return [
        f"{outcome.status} {outcome.attempts}x" + (" replan" if outcome.replan else "") for outcome in outcomes
    ]


# ---- order


def test_steps_that_need_nothing_start_together(harness: Harness) -> None:
    harness.takes = 1.0
    outcomes = harness.run(*(step(number) for number in range(1, 6)))
    assert ([when for when, _, _ in harness.calls], harness.now) == ([0.0] * 5, 1.0)
    assert [outcome.seconds for outcome in outcomes] == pytest.approx([1.0] * 5)


def test_a_step_starts_when_the_last_of_its_needs_is_done(harness: Harness) -> None:
    harness.takes = 1.0
    outcomes = harness.run(step(1), step(2, "CreateTags", 1), step(3, "CreateTags", 1, 2), step(4))
    assert [outcome.after for outcome in outcomes] == pytest.approx([0.0, 1.0, 2.0, 0.0])
    assert sorted((params["N"], when) for when, _, params in harness.calls) == [
        (1, 0.0),
        (2, 1.0),
        (3, 2.0),
        (4, 0.0),
    ]


def test_outcomes_come_in_the_order_of_the_steps(harness: Harness) -> None:
    steps = [step(1, "CreateTags", 2), step(2)]
    assert [outcome.step for outcome in harness.run(*steps)] == steps


def test_no_steps_have_no_outcomes(harness: Harness) -> None:
    assert harness.run() == []


def test_what_a_step_yields_stands_in_the_parameters_of_those_that_need_it(harness: Harness) -> None:
    harness.answers[ALLOCATE] = [ADDRESS]
    params = {"Deep": [{"AllocationId": Ref("elastic_ips.e1")}]}
    first, _ = harness.run(allocate(), step(2, "AssociateAddress", 1, params=params))
    assert harness.calls[1][2] == {"Deep": [{"AllocationId": "eipalloc-1"}]}
    assert first.result_id == "eipalloc-1"


def test_what_is_seen_while_waiting_stands_there_too(harness: Harness) -> None:
    attachment = Ref("network_interfaces.x", "attachment_id")
    until = Expect("DescribeNetworkInterfaces", "eni-1", has=(("Attachment.Status", ("attached",)),))
    shown = {"NetworkInterfaceId": "eni-1", "Attachment": {"Status": "attached", "AttachmentId": "eni-attach-1"}}
    harness.listed["DescribeNetworkInterfaces"] = [(2.0, {"NetworkInterfaces": [shown]})]
    harness.run(
        step(1, ATTACH, until=until, sees={attachment: "Attachment.AttachmentId"}),
        step(2, "ModifyNetworkInterfaceAttribute", 1, params={"AttachmentId": attachment}),
    )
    assert harness.calls[1][2] == {"AttachmentId": "eni-attach-1"}
    assert 2.0 <= harness.calls[1][0] < 3.0


def test_a_condition_is_waited_for_before_the_call(harness: Harness) -> None:
    when = Expect("DescribeNetworkInterfaces", "eni-1", has=(("Status", ("available",)),))
    interface = {"NetworkInterfaceId": "eni-1", "Status": "available"}
    harness.listed["DescribeNetworkInterfaces"] = [(5.0, {"NetworkInterfaces": [interface]})]
    assert ends(harness.run(step(1, ATTACH, when=(when,)))) == ["done 1x"]
    assert harness.calls[0][0] >= 5.0


def test_a_holder_that_is_not_the_planned_one_stops_the_call(harness: Harness) -> None:
    """Compare and set: one look, no wait, and a new plan if it is not so."""
    when = Expect("DescribeAddresses", "eipalloc-1", has=(("AssociationId", ("eipassoc-1", None)),), timeout=0)
    harness.listed["DescribeAddresses"] = [
        (0.0, {"Addresses": [{"AllocationId": "eipalloc-1", "AssociationId": "eipassoc-2"}]})
    ]
    assert ends(harness.run(step(1, "AssociateAddress", when=(when,)))) == ["failed 0x replan"]
    assert (harness.calls, harness.now) == ([], 0.0)


# ---- failures and those who depend on them


def test_a_step_that_needs_a_failed_one_is_skipped_and_says_why(harness: Harness) -> None:
    harness.answers[ALLOCATE] = [no(ALLOCATE, "AddressLimitExceeded", "too many")]
    outcomes = harness.run(allocate(), step(2, "CreateTags", 1), step(3, "CreateTags", 2), step(4))
    assert ends(outcomes) == ["failed 1x", "skipped 0x", "skipped 0x", "done 1x"]
    assert [(outcome.error or "").splitlines()[:1] for outcome in outcomes] == [
        ["AllocateAddress for elastic_ips.e1: AddressLimitExceeded: too many"],
        ["needs s1 (AllocateAddress for elastic_ips.e1), which failed"],
        ["needs s2 (CreateTags for elastic_ips.e2), which was skipped"],
        [],
    ]


def test_a_step_skipped_for_a_changed_state_asks_for_a_new_plan(harness: Harness) -> None:
    harness.answers["AssociateAddress"] = [no("AssociateAddress", "Resource.AlreadyAssociated")]
    outcomes = harness.run(step(1, "AssociateAddress"), step(2, "CreateTags", 1))
    assert ends(outcomes) == ["failed 1x replan", "skipped 0x replan"]


def test_a_step_skipped_for_a_refusal_too_asks_for_no_plan(harness: Harness) -> None:
    harness.answers["AssociateAddress"] = [no("AssociateAddress", "Resource.AlreadyAssociated")]
    harness.answers[ATTACH] = [no(ATTACH, "AttachmentLimitExceeded")]
    outcomes = harness.run(step(1, "AssociateAddress"), step(2, ATTACH), step(3, "CreateTags", 1, 2))
    assert ends(outcomes)[2] == "skipped 0x"


def test_a_step_that_follows_a_failed_one_runs_once_it_has_ended(harness: Harness) -> None:
    """A skipped step has ended, too; the order is kept."""
    harness.answers[ALLOCATE] = [no(ALLOCATE, "AddressLimitExceeded", "too many")]
    harness.takes = 1.0
    follows = frozenset({"s2"})
    outcomes = harness.run(allocate(), step(2, "CreateTags", 1), step(3, "StartInstances", ends_first=follows))
    assert ends(outcomes) == ["failed 1x", "skipped 0x", "done 1x"]
    assert [(when, call) for when, call, _ in harness.calls] == [(0.0, ALLOCATE), (1.0, "StartInstances")]


@pytest.mark.parametrize(
    ("state", "ended"),
    [("terminated", "failed 1x replan"), ("stopping", "done 3x")],
    ids=["gone", "not ready yet"],
)
def test_an_instance_that_cannot_be_started_now_is_looked_at(state: str, ended: str, harness: Harness) -> None:
    """EC2 answers alike where the instance is terminated and where it is still stopping."""

    def shown(state: str) -> Mapping[str, Any]:
        return {"Reservations": [{"Instances": [{"InstanceId": "i-1", "State": {"Name": state}}]}]}

    never = (("State.Name", ("shutting-down", "terminated")),)
    until = Expect("DescribeInstances", "i-1", has=(("State.Name", ("running",)),), never=never)
    harness.listed["DescribeInstances"] = [(0.0, shown(state)), (5.0, shown("running"))]
    refusal = no("StartInstances", "IncorrectInstanceState", "The instance 'i-1' is not in a state from which …")
    harness.answers["StartInstances"] = [refusal, refusal, {}]
    (outcome,) = harness.run(step(1, "StartInstances", until=until))
    assert ends([outcome]) == [ended]


def test_a_refusal_is_not_repeated_and_nothing_was_changed(harness: Harness) -> None:
    harness.answers[RUN] = [no(RUN, "InsufficientInstanceCapacity")]
    (outcome,) = harness.run(launch())
    assert (ends([outcome]), outcome.acted) == (["failed 1x"], False)
    assert [note.split()[0] for note in harness.notes] == ["intend", "failed"]


def test_what_ec2_gave_up_is_reported_and_not_repeated(harness: Harness) -> None:
    ended = (("State.Name", ("terminated",)),)
    until = Expect("DescribeInstances", "i-1", has=(("State.Name", ("running",)),), never=ended)
    instance = {"InstanceId": "i-1", "State": {"Name": "terminated"}, "StateReason": {"Message": "no volume"}}
    harness.listed["DescribeInstances"] = [(1.0, {"Reservations": [{"Instances": [instance]}]})]
    (outcome,) = harness.run(step(1, "StartInstances", until=until))
    assert (ends([outcome]), outcome.acted) == (["failed 1x"], True)
    assert outcome.error == "i-1: State.Name is terminated (no volume)"


def test_what_does_not_come_about_in_time_is_for_the_next_plan(harness: Harness) -> None:
    until = Expect("DescribeNetworkInterfaces", "eni-1", has=(("Status", ("available",)),), timeout=300)
    interface = {"NetworkInterfaceId": "eni-1", "Status": "in-use"}
    harness.listed["DescribeNetworkInterfaces"] = [(0.0, {"NetworkInterfaces": [interface]})]
    (outcome,) = harness.run(step(1, "DetachNetworkInterface", until=until))
    assert (ends([outcome]), outcome.acted, harness.now) == (["failed 1x replan"], True, 300.0)
    assert outcome.error == "eni-1: after 300 s Status is in-use"


def test_what_is_gone_already_needs_no_taking_away(harness: Harness) -> None:
    harness.answers["DetachNetworkInterface"] = [no("DetachNetworkInterface", "InvalidAttachmentID.NotFound")]
    assert ends(harness.run(step(1, "DetachNetworkInterface"))) == ["done 1x"]


def test_an_answer_that_lacks_the_id_is_a_failure(harness: Harness) -> None:
    (outcome,) = harness.run(allocate())
    assert (outcome.status, outcome.acted) == (Status.FAILED, True)
    assert "lacks elastic_ips.e1.id" in (outcome.error or "")


# ---- lost answers


def test_a_lost_allocation_is_looked_for_and_not_repeated_when_it_acted(harness: Harness) -> None:
    harness.answers[ALLOCATE] = [lost(ALLOCATE)]
    harness.listed["DescribeAddresses"] = [(20.0, ADDRESSES)]
    (outcome,) = harness.run(allocate())
    assert (ends([outcome]), outcome.result_id) == (["done 1x"], "eipalloc-1")
    assert harness.notes == ["intend elastic_ips.e1 None", "made elastic_ips.e1 eipalloc-1"]
    assert 20.0 <= harness.now < SETTLE


def test_a_lost_allocation_is_repeated_once_when_it_did_not_act(harness: Harness) -> None:
    harness.answers[ALLOCATE] = [lost(ALLOCATE), ADDRESS]
    assert ends(harness.run(allocate())) == ["done 2x"]
    first, second = (when for when, _, _ in harness.calls)
    assert SETTLE <= second - first < SETTLE + 30
    assert {str(params) for _, call, params in harness.reads if call == "DescribeAddresses"} == {
        str({"Filters": [{"Name": "tag:n", "Values": ["e1"]}]})
    }


ADDING = step(
    1,
    "AssignIpv6Addresses",
    params={"NetworkInterfaceId": "eni-1", "Ipv6AddressCount": 2},
    until=Expect("DescribeNetworkInterfaces", "eni-1", has=(("length(Ipv6Addresses)", (2,)),), timeout=60),
    once=True,
)


def _with_addresses(number: int) -> dict[str, Any]:
    return {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-1", "Ipv6Addresses": [{}] * number}]}


def test_what_adds_is_not_repeated_when_it_acted(harness: Harness) -> None:
    """EC2 adds so many more every time that it is asked, so it is looked whether they are there."""
    harness.answers[ADDING.call] = [lost(ADDING.call)]
    harness.listed["DescribeNetworkInterfaces"] = [(0.0, _with_addresses(0)), (20.0, _with_addresses(2))]
    (outcome,) = harness.run(ADDING)
    assert (ends([outcome]), outcome.acted) == (["done 1x"], True)
    assert 20.0 <= harness.now < SETTLE


def test_what_adds_is_repeated_when_it_did_not_act(harness: Harness) -> None:
    """What has not shown within the settle time was not done."""
    harness.answers[ADDING.call] = [lost(ADDING.call), {}]
    harness.listed["DescribeNetworkInterfaces"] = [(0.0, _with_addresses(0)), (SETTLE + 40, _with_addresses(2))]
    assert ends(harness.run(ADDING)) == ["done 2x"]
    first, second = (when for when, _, _ in harness.calls)
    assert SETTLE <= second - first < SETTLE + 10


def test_what_adds_and_cannot_be_looked_for_is_planned_anew(harness: Harness) -> None:
    """Whatever it has done must be there for the read that follows."""
    harness.answers[ADDING.call] = [lost(ADDING.call)]
    (outcome,) = harness.run(replace(ADDING, until=None))
    assert (ends([outcome]), outcome.acted, harness.now) == (["failed 1x replan"], True, SETTLE)


def test_what_adds_to_something_that_is_ending_fails_at_once(harness: Harness) -> None:
    until = replace(ADDING.until or Expect("", ""), never=(("Status", ("detaching",)),))
    harness.answers[ADDING.call] = [lost(ADDING.call)]
    harness.listed["DescribeNetworkInterfaces"] = [
        (0.0, {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-1", "Status": "detaching", "Ipv6Addresses": []}]})
    ]
    (outcome,) = harness.run(replace(ADDING, until=until))
    assert (ends([outcome]), outcome.acted) == (["failed 1x"], True)
    assert harness.now < SETTLE


def test_an_answer_without_a_list_is_no_proof_that_nothing_was_made(harness: Harness) -> None:
    """EC2 lists nothing as an empty list: without one, the address may exist, and is not allocated again."""
    harness.answers[ALLOCATE] = [lost(ALLOCATE)]
    harness.listed["DescribeAddresses"] = [(0.0, {})]
    (outcome,) = harness.run(allocate())
    assert (ends([outcome]), outcome.acted) == (["failed 1x"], True)
    assert "DescribeAddresses: UnreadableAnswer" in (outcome.error or "")


def test_two_live_resources_of_one_name_are_not_chosen_from(harness: Harness) -> None:
    harness.answers[ALLOCATE] = [lost(ALLOCATE)]
    harness.listed["DescribeAddresses"] = [(0.0, {"Addresses": [ADDRESS, {"AllocationId": "eipalloc-2"}]})]
    (outcome,) = harness.run(allocate())
    assert (ends([outcome]), outcome.acted) == (["failed 1x"], True)


def test_an_allocation_of_which_nothing_is_ever_heard_stays_open(harness: Harness) -> None:
    """The journal must not say that it failed: the next run has to look for it."""
    harness.answers[ALLOCATE] = [lost(ALLOCATE)]
    (outcome,) = harness.run(allocate())
    assert (outcome.status, outcome.acted, outcome.replan) == (Status.FAILED, True, False)
    assert {note.split()[0] for note in harness.notes} == {"intend"}


def test_a_lost_launch_is_repeated_with_the_same_token(harness: Harness) -> None:
    harness.answers[RUN] = [lost(RUN), lost(RUN), LAUNCHED]
    assert ends(harness.run(launch())) == ["done 3x"]
    assert len({params["ClientToken"] for _, _, params in harness.calls}) == 1
    assert [note for note in harness.notes if note.startswith("made")] == ["made instances.i i-1"]
    assert harness.reads == []


def test_a_refusal_after_a_lost_answer_says_nothing_of_the_first(harness: Harness) -> None:
    harness.answers[RUN] = [lost(RUN), no(RUN, "InstanceLimitExceeded")]
    (outcome,) = harness.run(launch())
    assert (ends([outcome]), outcome.acted) == (["failed 2x"], True)
    assert [note for note in harness.notes if note.startswith("failed")] == []


def test_a_lost_call_that_sets_something_is_simply_repeated(harness: Harness) -> None:
    harness.answers["CreateTags"] = [lost("CreateTags"), {}]
    assert ends(harness.run(step(1))) == ["done 2x"]
    assert harness.notes == []


def test_busy_after_a_lost_attachment_is_our_own_doing(harness: Harness) -> None:
    busy = no(
        ATTACH, "InvalidParameterValue", "Instance 'i-1' already has an interface attached at device index '1'"
    )
    harness.answers[ATTACH] = [lost(ATTACH), busy]
    assert ends(harness.run(step(1, ATTACH))) == ["done 2x"]


def test_busy_at_the_first_attempt_is_foreign(harness: Harness) -> None:
    busy = no(
        ATTACH, "InvalidParameterValue", "Instance 'i-1' already has an interface attached at device index '1'"
    )
    harness.answers[ATTACH] = [busy]
    assert ends(harness.run(step(1, ATTACH))) == ["failed 1x replan"]


def test_a_duplicate_group_after_a_lost_answer_is_owned(harness: Harness) -> None:
    harness.answers[GROUP] = [lost(GROUP), no(GROUP, "InvalidGroup.Duplicate")]
    harness.listed["DescribeSecurityGroups"] = [(10.0, GROUPS)]
    (outcome,) = harness.run(create_group())
    assert (ends([outcome]), outcome.result_id) == (["done 2x"], "sg-1")


def test_a_duplicate_group_after_a_crash_is_owned(harness: Harness) -> None:
    """The journal has a create of an earlier run whose outcome is unknown."""
    harness.open = {"security_groups.g"}
    harness.answers[GROUP] = [no(GROUP, "InvalidGroup.Duplicate")]
    harness.listed["DescribeSecurityGroups"] = [(0.0, GROUPS)]
    (outcome,) = harness.run(create_group())
    assert (ends([outcome]), outcome.result_id) == (["done 1x"], "sg-1")


def test_a_duplicate_group_at_the_first_attempt_is_foreign(harness: Harness) -> None:
    harness.answers[GROUP] = [no(GROUP, "InvalidGroup.Duplicate")]
    harness.listed["DescribeSecurityGroups"] = [(0.0, GROUPS)]
    assert ends(harness.run(create_group())) == ["failed 1x replan"]
    assert harness.reads == []


def test_a_duplicate_group_without_the_stacks_tags_is_foreign(harness: Harness) -> None:
    harness.answers[GROUP] = [lost(GROUP), no(GROUP, "InvalidGroup.Duplicate")]
    assert ends(harness.run(create_group())) == ["failed 2x replan"]
    assert harness.now >= SETTLE


# ---- the world needs a moment


def test_a_young_object_that_is_not_found_is_waited_for(harness: Harness) -> None:
    harness.answers[ALLOCATE] = [ADDRESS]
    unseen = no(
        "AssociateAddress", "InvalidAllocationID.NotFound", "The allocation ID 'eipalloc-1' does not exist"
    )
    harness.answers["AssociateAddress"] = [unseen, unseen, unseen, {}]
    params = {"AllocationId": Ref("elastic_ips.e1"), "NetworkInterfaceId": "eni-1"}
    assert ends(harness.run(allocate(), step(2, "AssociateAddress", 1, params=params))) == ["done 1x", "done 4x"]


def test_an_old_object_that_is_not_found_has_gone(harness: Harness) -> None:
    gone = no(ATTACH, "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID 'eni-1' does not exist")
    harness.answers[ATTACH] = [gone]
    assert ends(harness.run(step(1, ATTACH, params={"NetworkInterfaceId": "eni-1"}))) == ["failed 1x replan"]


def test_an_old_object_that_is_not_found_beside_a_young_one_has_gone(harness: Harness) -> None:
    harness.answers[ALLOCATE] = [ADDRESS]
    gone = no("AssociateAddress", "InvalidNetworkInterfaceID.NotFound", "'eni-0123456789abcdef0' does not exist")
    harness.answers["AssociateAddress"] = [gone]
    params = {"AllocationId": Ref("elastic_ips.e1"), "NetworkInterfaceId": "eni-0123456789abcdef0"}
    outcomes = harness.run(allocate(), step(2, "AssociateAddress", 1, params=params))
    assert ends(outcomes) == ["done 1x", "failed 1x replan"]


def test_a_state_in_transit_is_waited_for(harness: Harness) -> None:
    moving: Answer = no(ATTACH, "IncorrectState")
    harness.answers[ATTACH] = [moving, moving, moving, moving, moving, {}]
    assert ends(harness.run(step(1, ATTACH))) == ["done 6x"]


def test_waiting_has_an_end(harness: Harness) -> None:
    harness.answers[RUN] = [no(RUN, "InvalidParameterValue", "Invalid IAM Instance Profile name")]
    (outcome,) = harness.run(launch())
    assert (outcome.status, outcome.acted) == (Status.FAILED, False)
    assert 120 <= harness.now <= 130


def test_throttles_are_waited_out_ever_longer_and_within_bounds(harness: Harness) -> None:
    harness.answers[ATTACH] = [no(ATTACH, "RequestLimitExceeded")]
    (outcome,) = harness.run(step(1, ATTACH))
    times = [when for when, _, _ in harness.calls]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert (outcome.status, outcome.replan, outcome.acted) == (Status.FAILED, False, False)
    assert (min(pauses) >= 0.099, max(pauses) <= 20.001) == (True, True)
    assert 300 <= harness.now <= 321
    assert 15 <= outcome.attempts <= 100


def test_a_throttled_call_was_not_executed_so_it_may_be_repeated(harness: Harness) -> None:
    harness.answers[ALLOCATE] = [no(ALLOCATE, "RequestLimitExceeded"), ADDRESS]
    assert ends(harness.run(allocate())) == ["done 2x"]
    assert harness.reads == []


# ---- tokens that are spent


def tokens_of(harness: Harness) -> list[int]:
    """The places in the chain of the tokens that the calls carried."""
    return [int(params["ClientToken"].partition("-")[2]) for _, _, params in harness.calls]


@pytest.mark.parametrize("code", ["IdempotentInstanceTerminated", "IdempotentParameterMismatch"])
def test_a_token_conflict_is_answered_with_the_next_token(code: str, harness: Harness) -> None:
    harness.answers[RUN] = [no(RUN, code), no(RUN, code), LAUNCHED]
    (outcome,) = harness.run(launch())
    assert (ends([outcome]), outcome.result_id) == (["done 3x"], "i-1")
    assert tokens_of(harness) == [1, 2, 3]
    assert harness.now == 0


def test_endless_token_conflicts_are_left_to_the_next_plan(harness: Harness) -> None:
    harness.answers[RUN] = [no(RUN, "IdempotentInstanceTerminated")]
    assert ends(harness.run(launch())) == ["failed 51x replan"]


def test_a_lost_answer_to_a_later_token_repeats_that_one(harness: Harness) -> None:
    harness.answers[RUN] = [no(RUN, "IdempotentInstanceTerminated"), lost(RUN), LAUNCHED]
    assert ends(harness.run(launch())) == ["done 3x"]
    assert tokens_of(harness) == [1, 2, 2]


def test_a_token_that_returns_a_terminated_instance_is_spent(harness: Harness) -> None:
    """EC2 documents an error for it; an old answer that says so counts as well."""
    ended: Answer = {"Instances": [{"InstanceId": "i-0", "State": {"Name": "terminated"}}]}
    harness.answers[RUN] = [ended, LAUNCHED]
    never = (("State.Name", ("shutting-down", "terminated")),)
    until = Expect("DescribeInstances", Ref("instances.i"), has=(("State.Name", ("running",)),), never=never)
    running = {"InstanceId": "i-1", "State": {"Name": "running"}}
    harness.listed["DescribeInstances"] = [(0.0, {"Reservations": [{"Instances": [running]}]})]
    (outcome,) = harness.run(replace(launch(), until=until))
    assert (ends([outcome]), outcome.result_id) == (["done 2x"], "i-1")
    assert tokens_of(harness) == [1, 2]


# ---- answers that never come


def test_a_launch_whose_answers_are_lost_is_found_by_its_tags(harness: Harness) -> None:
    """Three losses, then a look: the instance is there."""
    harness.answers[RUN] = [lost(RUN)]
    made = {Ref("instances.i"): "InstanceId"}
    look = Look("DescribeInstances", ({"Name": "tag:n", "Values": ["i"]},), made)
    harness.listed["DescribeInstances"] = [(0.0, {"Reservations": [{"Instances": [{"InstanceId": "i-1"}]}]})]
    (outcome,) = harness.run(replace(launch(), look=look))
    assert (ends([outcome]), outcome.result_id) == (["done 3x"], "i-1")
    assert len(harness.reads) == 1
    assert harness.now < 10


def test_a_launch_that_never_acts_is_repeated_with_one_token(harness: Harness) -> None:
    """EC2 is away for a minute: looks find nothing, and the repeats go on."""
    harness.answers[RUN] = [*[lost(RUN)] * 12, LAUNCHED]
    made = {Ref("instances.i"): "InstanceId"}
    look = Look("DescribeInstances", ({"Name": "tag:n", "Values": ["i"]},), made)
    assert ends(harness.run(replace(launch(), look=look))) == ["done 13x"]
    assert set(tokens_of(harness)) == {1}


def test_a_change_whose_answers_are_lost_is_seen(harness: Harness) -> None:
    """Three losses, then a look: the interface is deleted already."""
    harness.answers["DeleteNetworkInterface"] = [lost("DeleteNetworkInterface")]
    until = Expect("DescribeNetworkInterfaces", "eni-1", gone=True)
    assert ends(harness.run(step(1, "DeleteNetworkInterface", until=until))) == ["done 3x"]
    assert harness.now < 10


# ---- what is told and what is written


def test_an_intent_is_written_before_each_create_and_for_creates_only(harness: Harness) -> None:
    harness.answers |= {RUN: [LAUNCHED], ALLOCATE: [ADDRESS]}
    harness.run(launch(), step(2), replace(allocate(), id="s3"))
    assert sorted(note.split()[0:2] for note in harness.notes) == [
        ["intend", "elastic_ips.e1"],
        ["intend", "instances.i"],
        ["made", "elastic_ips.e1"],
        ["made", "instances.i"],
    ]


def test_other_calls_leave_a_trail(harness: Harness) -> None:
    """A line before each attempt and one with what came of it; a create that fails says why."""
    harness.answers |= {"CreateTags": [no("CreateTags", "IncorrectState"), {}], RUN: [no(RUN, "Unauthorized")]}
    harness.run(step(2), launch())
    assert sorted(harness.trail) == [
        "elastic_ips.e2 CreateTags",
        "elastic_ips.e2 CreateTags",
        "elastic_ips.e2 CreateTags IncorrectState",
        "elastic_ips.e2 CreateTags None",
        "instances.i RunInstances Unauthorized",
    ]


def test_what_cannot_be_written_down_is_not_begun(harness: Harness) -> None:
    harness.full = True
    created, tagged = harness.run(allocate(), step(2))
    assert (created.status, created.error, created.acted) == (
        Status.FAILED,
        "no space left for the journal",
        False,
    )
    assert (tagged.status, harness.called) == (Status.DONE, ["CreateTags"])


def test_a_secret_reaches_ec2_and_neither_the_journal_nor_the_events(harness: Harness) -> None:
    harness.answers[RUN] = [LAUNCHED]
    harness.run(replace(launch(), params={"UserData": Secret("hunter2")}))
    assert harness.calls[0][2]["UserData"] == Secret("hunter2")
    assert "hunter2" not in f"{harness.notes} {harness.events}"


def test_the_start_the_wait_and_the_end_of_a_step_are_reported(harness: Harness) -> None:
    harness.answers[ALLOCATE] = [ADDRESS]
    harness.run(replace(allocate(), until=Expect("DescribeAddresses", "eipalloc-1", gone=True)))
    common = {"type": "step", "id": "s1", "call": ALLOCATE, "address": "elastic_ips.e1", "summary": ""}
    assert harness.events == [
        common | {"status": "started"},
        common | {"status": "waiting", "until": "eipalloc-1 is gone"},
        common | {"status": "done", "attempts": 1, "seconds": 0.025, "result_id": "eipalloc-1", "error": None},
    ]


# ---- stopping


def test_when_stop_is_set_nothing_begins(harness: Harness) -> None:
    harness.stop.set()
    outcomes = harness.run(step(1), step(2, "CreateTags", 1))
    assert ends(outcomes) == ["skipped 0x", "skipped 0x"]
    assert (outcomes[0].error, harness.calls) == ("stopped before it began", [])


def test_a_call_in_flight_is_waited_for_and_nothing_new_begins(harness: Harness) -> None:
    harness.takes = 5.0
    harness.answers[ALLOCATE] = [ADDRESS]
    harness.during = harness.stop.set
    outcomes = harness.run(allocate(), step(2, "CreateTags", 1))
    assert ends(outcomes) == ["done 1x", "skipped 0x"]
    assert (harness.called, harness.now) == ([ALLOCATE], 5.0)
    assert harness.notes[-1] == "made elastic_ips.e1 eipalloc-1"


def test_a_wait_ends_when_stop_is_set(harness: Harness) -> None:
    until = Expect("DescribeNetworkInterfaces", "eni-1", has=(("Status", ("available",)),))
    harness.loop.call_later(7.0, harness.stop.set)
    outcome, after = harness.run(step(1, "DetachNetworkInterface", until=until), step(2, "CreateTags", 1))
    assert (ends([outcome]), outcome.acted, harness.now) == (["sent 1x"], True, 7.0)
    assert outcome.error == "sent; not yet ready: waiting until eni-1 is available"
    assert (ends([after]), after.error) == (
        ["skipped 0x"],
        "needs s1 (DetachNetworkInterface for elastic_ips.e1), which was stopped",
    )


def test_a_call_that_waits_for_its_turn_is_not_in_flight(harness: Harness) -> None:
    harness.paced["AllocateAddress"] = 30.0
    harness.loop.call_later(7.0, harness.stop.set)
    (outcome,) = harness.run(step(1, "AllocateAddress"))
    assert (ends([outcome]), harness.now, harness.called) == (["skipped 0x"], 7.0, [])
    assert outcome.error == "stopped before the call"


def test_a_repeat_is_not_begun_when_stop_is_set(harness: Harness) -> None:
    harness.answers[ATTACH] = [no(ATTACH, "IncorrectState")]
    harness.loop.call_later(7.0, harness.stop.set)
    (outcome,) = harness.run(step(1, ATTACH))
    assert (outcome.status, outcome.acted, harness.now) == (Status.SKIPPED, False, 7.0)
    assert outcome.error == "stopped before EC2 accepted the call"
    assert max(when for when, _, _ in harness.calls) <= 7.0


# ---- calls that may not be needed


def insist(seconds: float = 60.0) -> Step:
    """A detach by force, unless the interface has come off by itself."""
    off = Expect("DescribeNetworkInterfaces", "eni-1", has=(("Status", ("available",)),), timeout=seconds)
    return step(1, "DetachNetworkInterface", unless=off, until=replace(off, timeout=600.0))


def listing(status: str) -> Mapping[str, Any]:
    return {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-1", "Status": status}]}


def test_what_comes_by_itself_needs_no_call(harness: Harness) -> None:
    """The interface comes off after ten seconds: nothing is called, and who needs the step goes on."""
    harness.listed["DescribeNetworkInterfaces"] = [(0, listing("in-use")), (10, listing("available"))]
    first, second = harness.run(insist(), step(2, ATTACH, 1))
    assert ends([first, second]) == ["done 0x", "done 1x"]
    assert harness.called == [ATTACH]
    assert (first.acted, second.acted) == (False, True)
    assert 10 <= first.seconds <= 15


def test_what_does_not_come_by_itself_is_called_for(harness: Harness) -> None:
    """It still hangs after a minute: the call is made, and then waited for."""
    harness.listed["DescribeNetworkInterfaces"] = [(0, listing("in-use")), (61, listing("available"))]
    [outcome] = harness.run(insist())
    assert (ends([outcome]), outcome.acted) == (["done 1x"], True)
    [(at, call, _)] = harness.calls
    assert (at, call) == (60, "DetachNetworkInterface")


@pytest.mark.parametrize(("waited", "at"), [(45.0, 15), (60.0, 0), (9999.0, 0)])
def test_waiting_counts_from_when_any_run_began_it(harness: Harness, waited: float, at: float) -> None:
    """A run that was killed has waited, too; the journal knows since when, by what would be called."""
    harness.waited = waited
    harness.listed["DescribeNetworkInterfaces"] = [(0, listing("in-use")), (at + 1, listing("available"))]
    harness.run(insist())
    assert [moment for moment, _, _ in harness.calls] == [at]
    assert [note.split()[:2] for note in harness.notes] == [["waits", "elastic_ips.e1"]]


def test_what_went_while_a_run_was_away_needs_no_call(harness: Harness) -> None:
    """The time is over, but a look comes before the call."""
    harness.waited = 9999.0
    harness.listed["DescribeNetworkInterfaces"] = [(0, listing("available"))]
    assert ends(harness.run(insist())) == ["done 0x"]


def test_what_cannot_come_any_more_is_an_error(harness: Harness) -> None:
    """Not a reason to call: the condition can never be met."""
    never = Expect(
        "DescribeInstances", "i-1", has=(("State.Name", ("stopped",)),), never=(("State.Name", ("terminated",)),)
    )
    listed = {"Reservations": [{"Instances": [{"InstanceId": "i-1", "State": {"Name": "terminated"}}]}]}
    harness.listed["DescribeInstances"] = [(0, listed)]
    assert ends(harness.run(step(1, "StopInstances", unless=never))) == ["failed 0x"]
    assert harness.called == []


def test_a_stop_while_a_create_is_unsettled_makes_no_call(harness: Harness) -> None:
    """Ctrl-C in the minute of grace: no force."""
    harness.listed["DescribeNetworkInterfaces"] = [(0, listing("in-use"))]
    harness.loop.call_later(5, harness.stop.set)
    [outcome] = harness.run(insist())
    assert (ends([outcome]), outcome.error) == (
        ["skipped 0x"],
        "stopped while waiting until eni-1 is available",
    )


@pytest.mark.parametrize(("seconds", "end"), [(599.0, "failed 1x replan"), (600.0, "failed 1x")])
def test_what_was_waited_for_in_vain_for_long_is_not_waited_for_again(
    harness: Harness, seconds: float, end: str
) -> None:
    """Ten minutes are enough for one run; it ends, with the advice that the condition has."""
    harness.listed["DescribeNetworkInterfaces"] = [(0, listing("in-use"))]
    off = Expect(
        "DescribeNetworkInterfaces", "eni-1", has=(("Status", ("available",)),), timeout=seconds, advice="Pull it."
    )
    [outcome] = harness.run(step(1, "DetachNetworkInterface", until=off))
    assert ends([outcome]) == [end]
    assert outcome.error == f"eni-1: after {seconds:g} s Status is in-use; Pull it."


# ---- waiting for nothing


def cancelled(harness: Harness, seconds: float, *steps: Step) -> list[Outcome]:
    """The outcomes so far, of a run that is cancelled after some seconds."""

    async def go() -> list[Outcome]:
        executor = Executor(
            reader=harness,
            writer=harness,
            journal=Notes(harness),
            stop=harness.stop,
            tell=harness.events.append,
            settle=SETTLE,
            began=harness.began,
        )
        task = asyncio.ensure_future(executor.run(steps))
        await asyncio.sleep(seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return executor.so_far(steps)

    return run(go(), harness.loop)


def test_an_immediate_exit_reports_the_calls_in_flight(harness: Harness) -> None:
    """Done, in flight, waiting for EC2 before and after its call, and not begun."""
    harness.takes = 5.0
    until = Expect("DescribeNetworkInterfaces", "eni-1", has=(("Status", ("available",)),))
    outcomes = cancelled(
        harness,
        7.0,
        step(1),
        step(2, "CreateTags", 1),
        step(3, "DetachNetworkInterface", until=until),
        step(4, "AttachNetworkInterface", when=(until,)),
        step(5, "CreateTags", 2),
    )
    assert ends(outcomes) == ["done 1x", "failed 1x", "sent 1x", "skipped 0x", "skipped 0x"]
    assert [outcome.error for outcome in outcomes] == [
        None,
        "was sent, and its answer is not known; the next run finds out",
        "sent; not yet ready: waiting until eni-1 is available",
        "stopped while waiting until eni-1 is available",
        "stopped before it began",
    ]
    assert [outcome.acted for outcome in outcomes] == [True, True, True, False, False]


# A policy that goes by tags: of what is gone, IAM cannot tell whose it was

GONE = Expect("DescribeNetworkInterfaces", "eni-0123456789abcdef0", gone=True, timeout=300)


def delete() -> Step:
    return step(1, "DeleteNetworkInterface", until=GONE)


DENIED = no("DeleteNetworkInterface", "UnauthorizedOperation")


def test_a_denied_delete_of_what_is_gone_is_done(harness: Harness) -> None:
    """The interface went with its instance: one look tells, and nothing is called again."""
    harness.answers["DeleteNetworkInterface"] = [DENIED]
    [outcome] = harness.run(delete())
    assert (outcome.status, outcome.attempts) == (Status.DONE, 1)
    assert {call for _, call, _ in harness.reads} == {"DescribeNetworkInterfaces"}


def test_a_denied_delete_of_what_is_there_is_refused(harness: Harness) -> None:
    """The policy does not allow it: called once, looked at once, and not planned for anew."""
    interface = {"NetworkInterfaceId": GONE.id, "Status": "available"}
    harness.listed["DescribeNetworkInterfaces"] = [(0.0, {"NetworkInterfaces": [interface]})]
    harness.answers["DeleteNetworkInterface"] = [DENIED]
    [outcome] = harness.run(delete())
    assert (outcome.status, outcome.attempts, outcome.replan) == (Status.FAILED, 1, False)
    assert "UnauthorizedOperation" in (outcome.error or "")
    assert len(harness.reads) == 1


def test_a_denied_repeat_may_be_our_own_doing(harness: Harness) -> None:
    """The first attempt may have released the address: the world is read again and planned for."""
    harness.answers["ReleaseAddress"] = [lost("ReleaseAddress"), no("ReleaseAddress", "UnauthorizedOperation")]
    [outcome] = harness.run(step(1, "ReleaseAddress"))
    assert (outcome.status, outcome.attempts, outcome.replan) == (Status.FAILED, 2, True)


# ---- what a fault means for a step

NOT_FOUND = "InvalidNetworkInterfaceID.NotFound"
NAMED = "The networkInterface ID 'eni-0123456789abcdef0' does not exist"
ONCE = replace(ADDING, until=None)
MEANINGS = [
    pytest.param(step(1), no(ATTACH, "IncorrectState"), True, {"eni-1"}, Meaning.WAIT, id="the table's word"),
    pytest.param(step(1), DENIED, False, set(), Meaning.REFUSED, id="denied"),
    pytest.param(step(1), DENIED, True, set(), Meaning.REPLAN, id="denied after an attempt without an answer"),
    pytest.param(ONCE, lost(ONCE.call), False, set(), Meaning.REPLAN, id="once, and nothing to describe"),
    pytest.param(ADDING, lost(ADDING.call), False, set(), Meaning.OUTCOME_UNKNOWN, id="once, and visible"),
    pytest.param(step(1), lost(ATTACH), False, set(), Meaning.OUTCOME_UNKNOWN, id="may be repeated"),
    pytest.param(step(1), no(ATTACH, NOT_FOUND), False, {"i-1"}, Meaning.WAIT, id="not found, perhaps too new"),
    pytest.param(step(1), no(ATTACH, NOT_FOUND), False, set(), Meaning.REPLAN, id="not found, nothing is new"),
    pytest.param(
        step(1),
        no(ATTACH, NOT_FOUND, NAMED),
        False,
        {"eni-0123456789abcdef0"},
        Meaning.WAIT,
        id="not found by its name, and new",
    ),
    pytest.param(
        step(1),
        no(ATTACH, NOT_FOUND, NAMED),
        False,
        {"i-1"},
        Meaning.REPLAN,
        id="not found by its name, another is new",
    ),
]


@pytest.mark.parametrize(("doing", "fault", "unanswered", "new_ids", "meaning"), MEANINGS)
def test_what_a_fault_means_for_a_step(
    doing: Step, fault: Fault, unanswered: bool, new_ids: set[str], meaning: Meaning
) -> None:
    before = fault.meaning
    assert final_meaning(fault, doing, unanswered=unanswered, new_ids=new_ids) is meaning
    assert fault.meaning is before
