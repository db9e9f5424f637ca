"""Where Elastic IPs lead: one spelling for one place, and what is refused before anything changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from enireconcile.errors import SpecErrors, UnsupportedError
from enireconcile.planning.draft import make_plan
from tests.planning.worlds import Words, immutable, live_of, plan_of, spec_of, whole

ZONE_A: Words = {"default_for_az": "us-east-1a"}
ETH0: Words = {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": 0}}
WEB: Words = {"image": "ami-12345678", "instance_type": "t3.micro"}
STRANGER = "eni-11111111"
ANOTHER_TYPE = "choose an interface of another type"
TWINS = "EC2 associates one Elastic IP with each private IP; choose another private_ip"


def leading(spec: Words | None = None, **associations: Words) -> Words:
    """A spec with Elastic IPs that lead to these places."""
    return {**(spec or {}), "elastic_ips": {name: {"association": row} for name, row in associations.items()}}


def to(interface: str, private_ip: str | None = None) -> Words:
    return {"network_interface": interface, **({"private_ip": private_ip} if private_ip else {})}


OWN: Words = {"instances": {"web": WEB}, "network_interfaces": {"eth0": ETH0}}
FW: Words = {"instances": {"fw": {"external": "i-12345678"}}}
FW_LIVE: Words = {
    "externals": {"fw": {"id": "i-12345678", "foreign": {0: STRANGER}}},
    "foreign": {STRANGER: {"private_ip": "172.31.0.70", "secondary": ["172.31.0.80"]}},
}
OWN_LIVE: Words = {
    "instances": {"web": {}},
    "network_interfaces": {"eth0": {"at": "web 0", "id": "eni-22222222", "private_ip": "172.31.0.10"}},
}
VIP: Words = {"secondary_private_ips": ["172.31.0.11"]}
IGNORING: Words = {"ignore": ["secondary_private_ips"]}
ADOPTED: Words = {"adopt": "eni-22222222", "subnet": ZONE_A}
ADOPTED_LIVE: Words = {"network_interfaces": {"eth0": {"id": "eni-22222222", "private_ip": "172.31.0.10"}}}
COUNTED: Words = {"network_interfaces": {"eth0": {"subnet": ZONE_A, "secondary_private_ip_count": 1}}}
COUNTED_LIVE: Words = {
    "network_interfaces": {
        "eth0": {"id": "eni-22222222", "private_ip": "172.31.0.10", "secondary": ["172.31.0.11", "172.31.0.12"]}
    }
}
CHOOSE = "to choose one yourself, write secondary_private_ips"
SERVICE: Words = {"foreign": {STRANGER: {"manager": "amazon-elb"}}}


@dataclass(frozen=True)
class Case:
    """A situation, the spec, the live state, and each problem as ``path: message | hint``."""

    situation: str
    spec: Words
    live: Words
    refused: tuple[str, ...]
    prune: bool = False


def at(name: str, words: str, key: str = ".network_interface") -> tuple[str]:
    return (f"elastic_ips.{name}.association{key}: {words}",)


NO_STRANGER = at("one", f"no interface {STRANGER} in us-east-1 | see `aws ec2 describe-network-interfaces`")
NOT_IN_THE_SPEC = at(
    "one",
    "172.31.0.10 is not a private IP of eni-22222222 | add it to the secondary_private_ips of "
    "network_interfaces.eth0",
    ".private_ip",
)
REFUSED = [
    Case(
        "there is no such interface",
        leading(one=to(STRANGER)),
        {},
        NO_STRANGER,
    ),
    Case(
        "there is no such interface, so its addresses need no word",
        leading(one=to(STRANGER, "172.31.0.90")),
        {},
        NO_STRANGER,
    ),
    Case(
        "an interface of ours has no address, and is told by its id",
        leading(
            {"network_interfaces": {"rdma": {"subnet": ZONE_A, "interface_type": "efa-only"}}},
            one=to("eni-22222222"),
        ),
        {"network_interfaces": {"rdma": {"id": "eni-22222222", "interface_type": "efa-only", "private_ip": ""}}},
        at("one", f"network_interfaces.rdma is efa-only and has no IP address | {ANOTHER_TYPE}", ""),
    ),
    Case(
        "the primary address that an interface has, and will have no more",
        leading(
            {"network_interfaces": {"eth0": {"subnet": ZONE_A, "private_ip": "172.31.0.50"}}},
            one=to("eni-22222222", "172.31.0.10"),
        ),
        ADOPTED_LIVE,
        NOT_IN_THE_SPEC,
    ),
    Case(
        "the primary address that an interface is to have is named once, and once meant",
        leading(
            {"network_interfaces": {"eth0": {"subnet": ZONE_A, "private_ip": "172.31.0.50"}}},
            one=to("eth0", "172.31.0.50"),
            two=to("eni-22222222"),
        ),
        ADOPTED_LIVE,
        at("two", f"the primary address of eth0 is associated with elastic_ips.one already | {TWINS}", ""),
    ),
    Case(
        "a service manages it",
        leading(one=to(STRANGER)),
        SERVICE,
        at("one", f"{STRANGER} is managed by amazon-elb | enireconcile never changes what an AWS service manages"),
    ),
    Case(
        "a service manages the primary interface of the instance",
        leading(FW, one={"instance": "fw"}),
        {**FW_LIVE, **SERVICE},
        at(
            "one",
            f"{STRANGER} is managed by amazon-elb | enireconcile never changes what an AWS service manages",
            ".instance",
        ),
    ),
    Case(
        "it has no private IPv4 address, as an efa-only one",
        leading(one=to(STRANGER)),
        {"foreign": {STRANGER: {"private_ip": ""}}},
        at("one", f"{STRANGER} has no private IPv4 address | choose another interface"),
    ),
    Case(
        "it is one of ours that goes",
        leading(one=to("eni-22222222")),
        {"network_interfaces": {"old": {"id": "eni-22222222"}}},
        at(
            "one",
            "eni-22222222 belongs to this stack, and this plan deletes it because the spec does not name it | "
            "choose "
            "another interface, or add this one to the spec",
        ),
        prune=True,
    ),
    Case(
        "it does not have the private address",
        leading(one=to(STRANGER, "172.31.0.90")),
        FW_LIVE,
        at(
            "one",
            f"172.31.0.90 is not a private IP of {STRANGER} | it has 172.31.0.70, 172.31.0.80",
            ".private_ip",
        ),
    ),
    Case(
        "one of ours by its id does not have the private address in the spec",
        leading(OWN, one=to("eni-22222222", "172.31.0.10")),
        OWN_LIVE,
        NOT_IN_THE_SPEC,
    ),
    Case(
        "others have taken the private address away, and may",
        leading(
            {"network_interfaces": {"eth0": {"subnet": ZONE_A, **VIP, "lifecycle": IGNORING}}},
            one=to("eth0", "172.31.0.11"),
        ),
        {"network_interfaces": {"eth0": {"id": "eni-22222222", "private_ip": "172.31.0.10"}}},
        at("one", "172.31.0.11 is not a private IP of eni-22222222 | it has 172.31.0.10", ".private_ip"),
    ),
    Case(
        "an adopted interface does not have it, and shall have others",
        leading({"network_interfaces": {"eth0": {**ADOPTED, **VIP}}}, one=to("eth0", "172.31.0.12")),
        ADOPTED_LIVE,
        at(
            "one",
            "172.31.0.12 is not a private IP of eni-22222222 | add it to the secondary_private_ips of "
            "network_interfaces.eth0",
            ".private_ip",
        ),
    ),
    Case(
        "EC2 has chosen other further addresses",
        leading(COUNTED, one=to("eth0", "172.31.0.13")),
        COUNTED_LIVE,
        at(
            "one",
            "172.31.0.13 is not a private IP of eni-22222222 | it has 172.31.0.10, 172.31.0.11, 172.31.0.12; "
            f"{CHOOSE}",
            ".private_ip",
        ),
    ),
    Case(
        "EC2 has not chosen the further addresses yet",
        leading(COUNTED, one=to("eth0", "172.31.0.13")),
        {},
        at(
            "one",
            "172.31.0.13 is not a private IP of network_interfaces.eth0 | EC2 chooses its further addresses; "
            f"{CHOOSE}",
            ".private_ip",
        ),
    ),
    Case(
        "more addresses have Elastic IPs than the interface shall have",
        leading(COUNTED, one=to("eth0", "172.31.0.11"), two=to("eth0", "172.31.0.12")),
        COUNTED_LIVE,
        (
            "network_interfaces.eth0.secondary_private_ip_count: Elastic IPs are associated with 2 of its further "
            "addresses: 172.31.0.11, 172.31.0.12 | write at least 2, or associate them with other addresses",
        ),
    ),
    Case(
        "two on the primary address of a stranger's interface, once by its number",
        leading(one=to(STRANGER), two=to(STRANGER, "172.31.0.70")),
        FW_LIVE,
        at("two", f"the primary address of {STRANGER} is associated with elastic_ips.one already | {TWINS}", ""),
    ),
    Case(
        "two on the primary address of a stranger's instance, once by the interface",
        leading(FW, one=to(STRANGER), two={"instance": "fw"}),
        FW_LIVE,
        at("two", f"the primary address of {STRANGER} is associated with elastic_ips.one already | {TWINS}", ""),
    ),
    Case(
        "two on one of ours, once by its id",
        leading(OWN, one=to("eth0"), two=to("eni-22222222")),
        OWN_LIVE,
        at("two", f"the primary address of eth0 is associated with elastic_ips.one already | {TWINS}", ""),
    ),
    Case(
        "two on one of ours, by its id and by its instance",
        leading(OWN, one={"instance": "web"}, two=to("eni-22222222")),
        OWN_LIVE,
        at("two", f"the primary address of eth0 is associated with elastic_ips.one already | {TWINS}", ""),
    ),
    Case(
        "two on a further address of a stranger's",
        leading(FW, one={"instance": "fw", "private_ip": "172.31.0.80"}, two=to(STRANGER, "172.31.0.80")),
        FW_LIVE,
        at("two", f"172.31.0.80 of {STRANGER} is associated with elastic_ips.one already | {TWINS}", ""),
    ),
    Case(
        "the address shall be of another border group than the interface",
        {
            **OWN,
            "elastic_ips": {"one": {"association": to("eth0"), "network_border_group": "us-east-1-bos-1"}},
        },
        {},
        at(
            "one",
            "the Elastic IP is in the network border group us-east-1-bos-1, the interface in us-east-1a | EC2 "
            "associates an "
            "Elastic IP only within its network border group",
            "",
        ),
    ),
    Case(
        "the address is of another border group than a stranger's interface",
        leading(one=to(STRANGER)),
        {**FW_LIVE, "elastic_ips": {"one": {"border_group": "us-east-1-wl1"}}},
        at(
            "one",
            "the Elastic IP is in the network border group us-east-1-wl1, the interface in us-east-1a | EC2 "
            "associates an "
            "Elastic IP only within its network border group",
            "",
        ),
    ),
]


def refusals(words: Words, live: Words, *, prune: bool = False) -> tuple[str, ...]:
    with pytest.raises(SpecErrors) as raised:
        plan_of(words, live, prune=prune)
    return tuple(f"{problem.path}: {problem.message} | {problem.hint}" for problem in raised.value.problems)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.situation.replace(" ", "-"))
def test_what_is_refused(case: Case) -> None:
    assert refusals(case.spec, case.live, prune=case.prune) == case.refused


def test_an_address_of_ec2s_choice_does_not_outlive_its_interface() -> None:
    """The interface is replaced, and EC2 will choose another address for the new one."""
    moved: Words = {"eth0": {"subnet": {"default_for_az": "us-east-1b"}, "secondary_private_ip_count": 1}}
    spec = leading({"network_interfaces": moved}, one=to("eth0", "172.31.0.11"))
    live: Words = {"eth0": {"private_ip": "172.31.0.10", "secondary": ["172.31.0.11"]}}
    with pytest.raises(SpecErrors) as raised:
        plan_of(spec, {"network_interfaces": live, "elastic_ips": {"one": {}}})
    [problem] = raised.value.problems
    assert f"{problem.path}: {problem.message}" == (
        "elastic_ips.one: network_interfaces.eth0 is replaced, and the new interface will not have 172.31.0.11, "
        "which EC2 chose for the present one"
    )


def test_an_ignored_association_may_lead_nowhere() -> None:
    """The interface in the row is gone: there is nothing to compare, and nothing to warn of."""
    row = {"association": to(STRANGER), "lifecycle": {"ignore": ["association"]}}
    plan = plan_of({**OWN, "elastic_ips": {"one": row}}, {**OWN_LIVE, "elastic_ips": {"one": {"at": "eth0"}}})
    assert (plan.steps, plan.warnings) == ((), ())


def test_a_missing_instance_is_reported_once() -> None:
    """Its selector chooses nothing, which says it all."""
    spec = spec_of(leading(FW, one={"instance": "fw"}))
    live = live_of({"externals": {"fw": {}}}, spec)
    with pytest.raises(SpecErrors) as raised:
        whole(make_plan(spec, replace(live, externals={"fw": ()})))
    assert [(each.path, each.message, each.hint) for each in raised.value.problems] == [
        (
            "instances.fw.external",
            "no instance in us-east-1 matches i-12345678",
            "see `aws ec2 describe-instances`; terminated instances do not match",
        )
    ]


FINE: dict[str, tuple[Words, Words]] = {
    "a stranger's interface that has no zone of the Region": (
        {"elastic_ips": {"one": {"association": to(STRANGER), "network_border_group": "us-east-1-bos-1"}}},
        {"foreign": {STRANGER: {"zone": "us-east-1-bos-1a"}}},
    ),
    "an address of the Region for an interface in a Local Zone, which EC2 has to judge": (
        leading(one=to(STRANGER)),
        {"foreign": {STRANGER: {"zone": "us-east-1-bos-1a"}}},
    ),
    "one of ours that the spec no longer keeps, and that stays": (
        leading(one=to("eni-22222222")),
        {"network_interfaces": {"old": {"id": "eni-22222222"}}},
    ),
    "each private address of an adopted interface, one of which is still to come": (
        leading(
            {"network_interfaces": {"eth0": {**ADOPTED, **VIP}}},
            one=to("eth0", "172.31.0.10"),
            two=to("eth0", "172.31.0.11"),
        ),
        ADOPTED_LIVE,
    ),
    "each private address of a stranger's interface": (
        leading(one=to(STRANGER), two=to(STRANGER, "172.31.0.80")),
        FW_LIVE,
    ),
}


@pytest.mark.parametrize("situation", FINE)
def test_what_is_fine(situation: str) -> None:
    """The other side of the rules above."""
    plan = plan_of(*FINE[situation])
    addresses = [step.call for step in plan.steps if step.address.startswith("elastic_ips.")]
    assert set(addresses) == {"AllocateAddress", "AssociateAddress"}


SPELLINGS: dict[str, tuple[Words, Words, str | None]] = {
    "ours by its name": (leading(OWN, one=to("eth0")), OWN_LIVE, None),
    "ours by its id": (leading(OWN, one=to("eni-22222222")), OWN_LIVE, None),
    "ours by its instance": (leading(OWN, one={"instance": "web"}), OWN_LIVE, None),
    "a stranger's by its id": (leading(one=to(STRANGER)), FW_LIVE, STRANGER),
    "a stranger's by its id and number": (leading(one=to(STRANGER, "172.31.0.70")), FW_LIVE, STRANGER),
    "a stranger's by its instance": (leading(FW, one={"instance": "fw"}), FW_LIVE, STRANGER),
    "a stranger's by its instance and number": (
        leading(FW, one={"instance": "fw", "private_ip": "172.31.0.70"}),
        FW_LIVE,
        STRANGER,
    ),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_address_that_is_there_is_no_difference(spelling: str) -> None:
    """However the spec tells the place, the live state has one word for it."""
    spec, live, stranger = SPELLINGS[spelling]
    place: dict[str, Any] = {"at": stranger, "private_ip": "172.31.0.70"} if stranger else {"at": "eth0"}
    assert plan_of(spec, {**live, "elastic_ips": {"one": place}}).empty


def test_an_adopted_instance_boots_with_an_interface_of_its_own() -> None:
    """The spec does not keep the primary interface of an instance that it adopts; the live one counts."""
    spec = {"instances": {"web": {**WEB, "adopt": "i-12345678"}}}
    live: Words = {
        "instances": {"web": {"id": "i-12345678", "foreign": {0: STRANGER}}},
        "foreign": {STRANGER: {"private_ip": "172.31.0.70"}},
        "elastic_ips": {"one": {"at": STRANGER, "private_ip": "172.31.0.70"}},
    }
    plan = plan_of(leading(spec, one={"instance": "web"}), live)
    assert [change.address for change in plan.changes if change.fields] == []
    [step] = plan_of(leading(spec, one={"instance": "web"}), {**live, "elastic_ips": {"one": {}}}).steps
    assert (step.call, step.params["NetworkInterfaceId"]) == ("AssociateAddress", STRANGER)


HELD: Words = {"foreign": {"eni-33333333": {"manager": "amazon-nat", "private_ip": "172.31.0.99"}}}


@pytest.mark.parametrize(
    ("spec", "prune"),
    [
        pytest.param({"elastic_ips": {"one": {}}}, False, id="it shall lead nowhere"),
        pytest.param(leading(OWN, one=to("eth0")), False, id="it shall lead to us"),
        pytest.param({}, True, id="it shall go"),
    ],
)
def test_an_address_that_a_service_uses_stays_with_it(spec: Words, prune: bool) -> None:
    """EC2 would answer AuthFailure half way."""
    live = {**HELD, **OWN_LIVE, "elastic_ips": {"one": {"at": "eni-33333333"}}}
    if prune:
        live = {**HELD, "elastic_ips": {"one": {"at": "eni-33333333"}}}
    told = (
        "elastic_ips.one: eipalloc-one is associated with eni-33333333, which is managed by amazon-nat, and "
        "cannot be disassociated\n"
        "  hint: release it through that service first (for a NAT gateway: delete the gateway)"
    )
    with pytest.raises(UnsupportedError if prune else SpecErrors) as raised:
        plan_of(spec, live, prune=prune)
    assert str(raised.value).endswith(told)


def test_what_others_may_move_leaves_the_others_judged() -> None:
    """Of two addresses that lead to nowhere one is ours to judge."""
    words = leading(one=to(STRANGER), two=to("eni-99999999"))
    words["elastic_ips"]["two"]["lifecycle"] = {"ignore": ["association"]}
    assert refusals(words, {"elastic_ips": {"two": {}}}) == NO_STRANGER


def test_what_others_may_move_is_not_judged_any_more() -> None:
    """The interface is gone to which the address once led; where it leads is others' business since."""
    row = {"association": to(STRANGER), "lifecycle": {"ignore": ["association"]}}
    assert plan_of({"elastic_ips": {"one": row}}, {"elastic_ips": {"one": {"at": "eni-44444444"}}}).empty
    with pytest.raises(SpecErrors):
        plan_of({"elastic_ips": {"one": row}}, {})


# ---- what only allocating decides


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"address": "198.51.100.7"}, "address is 192.0.2.1, the spec says 198.51.100.7"),
        (
            {"public_ipv4_pool": "ipv4pool-ec2-12345678"},
            "public_ipv4_pool is amazon, the spec says ipv4pool-ec2-12345678",
        ),
        (
            {"network_border_group": "us-east-1-bos-1"},
            "network_border_group is us-east-1, the spec says us-east-1-bos-1",
        ),
    ],
)
def test_an_address_is_not_given_up_for_another_one(row: Words, said: str) -> None:
    """What would take a release is refused, and nothing else is done."""
    with pytest.raises(SpecErrors) as raised:
        plan_of({"elastic_ips": {"web": {**row, "tags": {"a": "b"}}}}, {"elastic_ips": {"web": {}}})
    (problem,) = raised.value.problems
    assert f"{immutable(problem)}\n  hint: {problem.hint}" == (
        f"elastic_ips.web (eipalloc-web): {said}\n"
        "  hint: add a row of another name: an Elastic IP is never released to allocate another, or keep "
        f"{said.split()[2].rstrip(',')}"
    )
