"""The strict EC2 can fail on demand, and its answers can be stale."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.ec2 import (
    Buckets,
    Call,
    DropConnection,
    EC2Server,
    Fail,
    Hook,
    Latency,
    Quotas,
    Settings,
    StaleReads,
    VirtualClock,
    Weather,
    World,
)
from tests.ec2.lab import Lab, refused


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab(Settings(quotas=Quotas(addresses=10_000))) as lab:
        yield lab


def count(lab: Lab) -> int:
    return len(lab.world.data.addresses)


def test_the_nth_call_of_an_action_fails(lab: Lab) -> None:
    """A fault for one action leaves others alone, hits the calls it should, and then is over."""
    lab.server.faults.add(Fail("AllocateAddress", nth=2, times=2, code="RequestLimitExceeded"))
    lab.eip()
    lab.eni()
    for _ in range(2):
        with refused("RequestLimitExceeded"):
            lab.eip()
    lab.eip()
    assert count(lab) == 2
    assert [call.error_code for call in lab.server.mutating()].count("RequestLimitExceeded") == 2


def test_any_mutating_call_can_be_counted(lab: Lab) -> None:
    """Without an action, a fault counts whatever changes the world, and no describes."""
    lab.server.faults.add(Fail(nth=2, code="InternalError"))
    lab.eip()
    lab.ec2.describe_addresses()
    with pytest.raises(ClientError) as caught:
        lab.eni()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_an_error_may_come_after_the_act(lab: Lab) -> None:
    """A late failure has acted although the client is told otherwise."""
    lab.server.faults.add(Fail("AllocateAddress", late=True))
    with refused("InternalError"):
        lab.eip()
    assert count(lab) == 1
    assert (lab.server.calls[0].acted, lab.server.calls[0].error_code) == (True, "InternalError")


@pytest.mark.parametrize(("late", "made"), [(False, 0), (True, 1)])
def test_a_connection_may_be_cut(lab: Lab, late: bool, made: int) -> None:
    """The client sees a closed connection, whether the call was carried out or not."""
    lab.server.faults.add(DropConnection("AllocateAddress", late=late))
    with pytest.raises(ConnectionClosedError):
        lab.eip()
    assert count(lab) == made
    assert lab.server.calls[0].dropped
    lab.eip()
    assert count(lab) == made + 1


def test_botocore_repeats_a_lost_allocate(lab: Lab) -> None:
    """A client that retries by itself leaks an address when the answer is lost: the reason for this server."""
    lab.server.faults.add(DropConnection("AllocateAddress", late=True))
    retrying = lab.server.client("ec2", retries={"total_max_attempts": 2, "mode": "standard"})
    retrying.allocate_address()
    assert count(lab) == 2


def test_a_hook_sees_the_call_and_may_change_the_live_state(lab: Lab) -> None:
    """A hook runs before or after the nth call, for instance to act behind the client's back."""
    seen: list[Call] = []
    lab.server.faults.add(Hook("AllocateAddress", callback=seen.append))
    lab.server.faults.add(Hook(late=True, callback=lambda _: lab.world.call("AllocateAddress")))
    lab.eip()
    assert [call.action for call in seen] == ["AllocateAddress"]
    assert count(lab) == 2


def test_a_condition_narrows_a_fault(lab: Lab) -> None:
    """A fault may look at the parameters of a call."""
    lab.server.faults.add(Fail(code="InternalError", when=lambda call: call.params.get("Description") == "x"))
    lab.eni()
    with refused("InternalError"):
        lab.eni(Description="x")


def test_latency_takes_the_clock_that_it_is_given(lab: Lab) -> None:
    """Latency on a virtual clock costs no real time."""
    lab.server.faults.add(Latency(5.0, "DescribeAddresses", wait=lab.clock.advance))
    before = lab.clock()
    lab.ec2.describe_addresses()
    lab.ec2.describe_vpcs()
    assert lab.clock() == before + 5.0


def weather(seed: int) -> list[str | None]:
    with Lab(Settings(quotas=Quotas(addresses=1000))) as lab:
        lab.server.faults.add(Weather(0.3, seed=seed, drops=0.2, late=0.5))
        for _ in range(40):
            try:
                lab.eip()
            except (ClientError, ConnectionClosedError):
                continue
        return [("dropped" if call.dropped else call.error_code) for call in lab.server.calls]


def test_weather_is_random_and_repeatable() -> None:
    """The same seed brings the same weather, with good and bad hours."""
    first = weather(1)
    assert first == weather(1)
    assert first != weather(2)
    assert {None, "dropped", "InternalError"} <= set(first)


def test_buckets_are_those_that_ec2_publishes(lab: Lab) -> None:
    """EC2 docs: AllocateAddress has 50 tokens and gets 5 a second; each action has its own bucket."""
    lab.server.faults.add(Buckets())
    for _ in range(50):
        lab.eip()
    with refused("RequestLimitExceeded"):
        lab.eip()
    lab.eni()
    lab.clock.advance(1)
    for _ in range(5):
        lab.eip()
    with refused("RequestLimitExceeded"):
        lab.eip()


def test_run_instances_has_a_small_bucket(lab: Lab) -> None:
    """EC2 docs: RunInstances has 5 tokens and gets 2 a second."""
    lab.server.faults.add(Buckets())
    for _ in range(5):
        lab.instance()
    with refused("RequestLimitExceeded"):
        lab.instance()
    lab.clock.advance(1)
    for _ in range(2):
        lab.instance()
    with refused("RequestLimitExceeded"):
        lab.instance()


def test_unpaged_listings_have_a_smaller_bucket(lab: Lab) -> None:
    """EC2 docs: DescribeInstances with neither filter nor MaxResults draws on 50 tokens, else on 100."""
    lab.server.faults.add(Buckets(scale=0.1))
    for _ in range(5):
        lab.ec2.describe_instances()
    with refused("RequestLimitExceeded"):
        lab.ec2.describe_instances()
    for _ in range(10):
        lab.ec2.describe_instances(MaxResults=5)
    with refused("RequestLimitExceeded"):
        lab.ec2.describe_instances(MaxResults=5)


def test_reads_may_be_stale(lab: Lab) -> None:
    """EC2 docs, eventual consistency: a read may show an older state; a write always meets the present."""
    lab.server.faults.add(StaleReads(10, fixed=True))
    address = lab.eip()
    assert lab.ec2.describe_addresses()["Addresses"] == []
    lab.clock.advance(10)
    assert len(lab.ec2.describe_addresses()["Addresses"]) == 1
    lab.ec2.release_address(AllocationId=address)
    assert len(lab.ec2.describe_addresses()["Addresses"]) == 1
    with refused("InvalidAllocationID.NotFound"):
        lab.ec2.release_address(AllocationId=address)
    lab.clock.advance(10)
    assert lab.ec2.describe_addresses()["Addresses"] == []


def test_reads_may_go_back_in_time(lab: Lab) -> None:
    """Two reads in a row may show the new state first and the old one after it."""
    lab.server.faults.add(StaleReads(10, seed=3))
    lab.clock.advance(10)
    lab.eip()
    lab.clock.advance(5)
    sizes = [len(lab.ec2.describe_addresses()["Addresses"]) for _ in range(20)]
    assert {(0, 1), (1, 0)} <= set(pairwise(sizes))


def test_stale_states_move_with_their_own_time() -> None:
    """A state that changes by itself is shown as it was at the moment that the read looks back to."""
    with Lab(Settings(pending_delay=4)) as lab:
        lab.server.faults.add(StaleReads(10, fixed=True))
        instance = lab.instance()
        lab.clock.advance(12)
        assert lab.state(instance) == "pending"
        lab.clock.advance(2)
        assert lab.state(instance) == "running"


def test_faults_can_be_cleared(lab: Lab) -> None:
    """After clear() the weather is fine again."""
    lab.server.faults.add(Weather(1.0))
    with pytest.raises(ClientError):
        lab.eip()
    lab.server.faults.clear()
    lab.eip()


def test_a_bug_of_the_server_is_not_hidden() -> None:
    """A callback that goes wrong cuts the connection and comes up again when the server is left."""
    server = EC2Server(World(clock=VirtualClock()))
    server.faults.add(Hook(callback=lambda _: 1 / 0))
    server.__enter__()
    with pytest.raises(ConnectionClosedError):
        server.client().allocate_address()
    with pytest.raises(ZeroDivisionError):
        server.__exit__(None, None, None)


def test_a_stale_read_shows_what_happened_by_itself_at_its_own_time() -> None:
    """No call follows a detach: a read from the past must not show the end of the attachment as always new."""
    with Lab(Settings(detach_delay=1.0, detached_delay=2.0)) as lab:
        lab.server.faults.add(StaleReads(5, fixed=True))
        eni = lab.eni()
        attachment = lab.attach(eni, lab.instance(SubnetId=lab.subnet()))
        lab.clock.advance(60)
        lab.ec2.detach_network_interface(AttachmentId=attachment)
        lab.clock.advance(5 + 2)
        assert lab.show_eni(eni)["Attachment"]["Status"] == "detached"
        lab.clock.advance(60)
        assert "Attachment" not in lab.show_eni(eni)
