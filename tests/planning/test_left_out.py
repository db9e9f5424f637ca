"""One mistake, one place: what a mistake that only live state shows leaves out of a plan, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from enireconcile.live.records import ElasticIpLimit, Limits, LiveInstanceType
from enireconcile.model import Plan, Step
from enireconcile.planning.draft import make_plan
from enireconcile.spec import SECTIONS
from enireconcile.spec.expand import ATTRIBUTES
from tests.planning.worlds import Words, examples, live_of, plan_of, spec_of

ZONE_A: Words = {"default_for_az": "us-east-1a"}
NOWHERE: Words = {"tags": {"Name": "nowhere"}}
WEB: Words = {"image": "ami-12345678", "instance_type": "t3.micro"}
LIVE: Words = {
    "security_groups": {"web": {}},
    "instances": {"web": {}},
    "network_interfaces": {"eth0": {"at": "web 0", "groups": ["sg-web"]}},
}


def at(index: int, instance: str = "web", **more: Any) -> Words:
    return {"subnet": ZONE_A, "attachment": {"instance": instance, "device_index": index}, **more}


def left_out(plan: Plan) -> dict[str, list[str]]:
    """By the path of each error the addresses that are left out."""
    return {error.problem.path: list(error.left_out) for error in plan.errors}


def reasons(plan: Plan) -> dict[str, str]:
    return {address: words for error in plan.errors for address, words in error.reasons}


def calls(plan: Plan) -> list[str]:
    return sorted(f"{step.call} {step.address}" for step in plan.steps)


# ---- who needs whom


def test_rows_that_need_a_missing_row_are_left_out_and_the_rest_is_planned() -> None:
    spec: Words = {
        "security_groups": {"good": {}, "bad": {"vpc": NOWHERE}},
        "instances": {"web": WEB, "db": WEB},
        "network_interfaces": {
            "web0": at(0, security_groups=["bad"]),
            "web1": at(1, security_groups=["good"]),
            "db0": at(0, "db", security_groups=["good"]),
        },
        "elastic_ips": {
            "web": {"association": {"network_interface": "web0"}},
            "db": {"association": {"network_interface": "db0"}},
        },
    }
    plan = plan_of(spec, partly=True)
    assert left_out(plan) == {
        "security_groups.bad.vpc": [
            "elastic_ips.web",
            "instances.web",
            "network_interfaces.web0",
            "network_interfaces.web1",
            "security_groups.bad",
        ]
    }
    assert reasons(plan) == {
        "network_interfaces.web0": "needs security_groups.bad",
        "instances.web": "needs network_interfaces.web0",
        "network_interfaces.web1": "needs instances.web",
        "elastic_ips.web": "needs network_interfaces.web0",
    }
    assert calls(plan) == [
        "AllocateAddress elastic_ips.db",
        "AssociateAddress elastic_ips.db",
        "CreateNetworkInterface network_interfaces.db0",
        "CreateSecurityGroup security_groups.good",
        "RunInstances instances.db",
    ]


def test_a_group_that_exists_is_enough_for_its_interfaces() -> None:
    """The group's VPC selector matches nothing; its interface is attached and gets its Elastic IP nevertheless."""
    spec: Words = {
        "security_groups": {"web": {"vpc": NOWHERE}},
        "instances": {"web": WEB},
        "network_interfaces": {"eth0": at(0, security_groups=["web"]), "eth1": at(1, security_groups=["web"])},
        "elastic_ips": {"ip": {"association": {"network_interface": "eth1"}}},
    }
    plan = plan_of(spec, LIVE, partly=True)
    assert left_out(plan) == {"security_groups.web.vpc": ["security_groups.web"]}
    create = next(step for step in plan.steps if step.call == "CreateNetworkInterface")
    assert create.params["Groups"] == ["sg-web"]
    assert calls(plan) == [
        "AllocateAddress elastic_ips.ip",
        "AssociateAddress elastic_ips.ip",
        "AttachNetworkInterface network_interfaces.eth1",
        "CreateNetworkInterface network_interfaces.eth1",
    ]


def test_an_elastic_ip_moves_to_an_interface_that_exists_and_is_left_out() -> None:
    spec: Words = {
        "instances": {"web": WEB},
        "network_interfaces": {"eth0": at(0, subnet=NOWHERE)},
        "elastic_ips": {"ip": {"association": {"network_interface": "eth0"}}},
    }
    plan = plan_of(spec, {**LIVE, "elastic_ips": {"ip": {}}}, partly=True)
    assert left_out(plan) == {"network_interfaces.eth0.subnet": ["network_interfaces.eth0"]}
    (step,) = plan.steps
    assert (step.call, step.params["NetworkInterfaceId"]) == ("AssociateAddress", "eni-eth0")


def test_a_row_whose_rule_names_a_missing_group_is_left_out() -> None:
    rule: Words = {"protocol": "tcp", "ports": 22, "sources": ["bad"]}
    spec: Words = {"security_groups": {"bad": {"vpc": NOWHERE}, "a": {"ingress": [rule]}, "b": {}}}
    plan = plan_of(spec, partly=True)
    assert left_out(plan) == {"security_groups.bad.vpc": ["security_groups.a", "security_groups.bad"]}
    assert calls(plan) == ["CreateSecurityGroup security_groups.b"]


# ---- references in tags and user data


def referring(value: str) -> dict[str, Words]:
    """By where the reference stands: a spec in which two rows do not need the row that it names."""
    rest: Words = {"security_groups": {"web": {}}, "elastic_ips": {"ip": {}}}
    eth0 = {"eth0": at(0)}
    return {
        "elastic_ips.ip": {**rest, "elastic_ips": {"ip": {"tags": {"a": value}}, "z": {}}},
        "security_groups.web": {**rest, "security_groups": {"web": {"tags": {"a": f"x {value}"}}, "z": {}}},
        "network_interfaces.eth0": {
            **rest,
            "network_interfaces": {"eth0": {"subnet": ZONE_A, "tags": {"a": value}}},
        },
        "instances.web": {**rest, "network_interfaces": eth0, "instances": {"web": {**WEB, "tags": {"a": value}}}},
        "instances.web user_data": {
            **rest,
            "network_interfaces": eth0,
            "instances": {"web": {**WEB, "user_data": f"echo {value}"}},
        },
        "instances.web volume_tags": {
            **rest,
            "network_interfaces": eth0,
            "instances": {"web": {**WEB, "tags": {"a": value}, "volume_tags": {"b": "c"}}},
        },
    }


PLACES = sorted(referring(""))
MISSING: dict[str, Words] = {
    "security_groups": {"n": {"vpc": NOWHERE}},
    "network_interfaces": {"n": {"subnet": NOWHERE}},
    "elastic_ips": {"n": {"adopt": "eipalloc-0123456789abcdef0"}},
    "instances": {"n": {**WEB, "adopt": "i-0123456789abcdef0"}},
}


def with_missing(spec: Words, section: str) -> Words:
    """The spec with a row ``n`` whose mistake only live state shows."""
    return {**spec, section: {**spec.get(section, {}), **MISSING[section]}}


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("section", sorted(MISSING))
@pytest.mark.parametrize("place", PLACES)
def test_a_row_whose_reference_is_to_a_missing_row_is_left_out(place: str, section: str, existing: bool) -> None:
    """It is not created; if it exists, it is kept as it is. The rest is planned."""
    address = place.partition(" ")[0]
    spec = with_missing(referring(f"${{{section}.n.id}}")[place], section)
    live: Words = LIVE if existing else {}
    plan = plan_of(spec, {**live, "elastic_ips": {"ip": {}} if existing else {}}, partly=True)
    [(path, rows)] = left_out(plan).items()
    assert path.startswith(f"{section}.n")
    assert reasons(plan)[address] == f"needs {section}.n"
    kept = {row for row in rows if row not in (address, f"{section}.n")}
    assert kept <= {"network_interfaces.eth0"}
    assert not [step for step in plan.steps if step.address in rows]
    assert {change.address for change in plan.changes} == {
        f"{part}.{name}" for part in SECTIONS for name in spec.get(part, {}) if f"{part}.{name}" not in rows
    }


def test_the_tags_of_the_file_are_those_of_every_row() -> None:
    spec: Words = {
        "tags": {"a": "${network_interfaces.n.id}"},
        "network_interfaces": {"n": {"subnet": NOWHERE}},
        "security_groups": {"web": {}},
        "elastic_ips": {"old": {}, "other": {"adopt": "eipalloc-11111111"}},
    }
    live: Words = {"elastic_ips": {"old": {}, "other": {"id": "eipalloc-11111111", "found": True}}}
    plan = plan_of(spec, live, partly=True)
    assert plan.left_out == (
        "elastic_ips.old",
        "elastic_ips.other",
        "network_interfaces.n",
        "security_groups.web",
    )
    assert plan.empty


def test_a_reference_to_a_row_that_exists_and_is_left_out_has_a_value() -> None:
    spec: Words = {
        "network_interfaces": {"eth0": {"subnet": NOWHERE}},
        "elastic_ips": {"ip": {"tags": {"a": "${network_interfaces.eth0.id}"}}},
    }
    plan = plan_of(spec, {"network_interfaces": {"eth0": {}}, "elastic_ips": {"ip": {}}}, partly=True)
    assert plan.left_out == ("network_interfaces.eth0",)
    [step] = plan.steps
    assert step.params["Tags"] == [{"Key": "a", "Value": "eni-eth0"}]


def test_a_row_that_ignores_its_tags_needs_what_they_refer_to() -> None:
    """The resource that replaces it gets them anew."""
    spec: Words = {
        "network_interfaces": {
            "n": {"subnet": NOWHERE},
            "eth0": {
                "subnet": ZONE_A,
                "private_ip": "172.31.0.77",
                "tags": {"a": "${network_interfaces.n.id}"},
                "lifecycle": {"ignore": ["tags"]},
            },
        },
    }
    plan = plan_of(spec, {"network_interfaces": {"eth0": {}}}, partly=True)
    assert (plan.left_out, plan.empty) == (("network_interfaces.eth0", "network_interfaces.n"), True)


@pytest.mark.parametrize("attribute", ["id", "private_ip", "instance_type"])
def test_a_reference_to_an_external_instance_that_nothing_matches_is_a_mistake(attribute: str) -> None:
    spec = spec_of(
        {
            "instances": {"fw": {"external": {"tags": {"Name": "fw"}}}},
            "elastic_ips": {"ip": {"tags": {"a": f"${{instances.fw.{attribute}}}"}}, "z": {}},
        }
    )
    plan = make_plan(spec, replace(live_of({}, spec), externals={"fw": ()}))
    assert left_out(plan) == {"instances.fw.external": ["elastic_ips.ip", "instances.fw"]}
    assert calls(plan) == ["AllocateAddress elastic_ips.z"]


# ---- external instances


def failover(*instances: str) -> Words:
    place = {"instances": list(instances), "device_index": 1, "failover": {"health": "running"}}
    return {"subnet": ZONE_A, "attachment": place}


FIREWALLS: Words = {
    "instances": {name: {"external": {"tags": {"Name": name}}} for name in ("fw-a", "fw-b", "fw-c")},
    "network_interfaces": {"service": failover("fw-a", "fw-b", "fw-c"), "fixed": at(2, "fw-a")},
}


def with_two_of_fw_a(holder: str, **states: str) -> Plan:
    """fw-a's selector matches two instances; the interface is on ``holder``."""
    spec = spec_of(FIREWALLS)
    names = FIREWALLS["instances"]
    words: Words = {
        "externals": {name: {"id": f"i-{name}", "state": states.get(name, "running")} for name in names},
        "network_interfaces": {"service": {"at": f"i-{holder} 1"}},
    }
    live = live_of(words, spec)
    (first,) = live.externals["fw-a"]
    both = (first, replace(first, id="i-fw-a2"))
    return make_plan(spec, replace(live, externals={**live.externals, "fw-a": both}))


def test_a_failover_goes_on_beside_a_candidate_that_matches_twice() -> None:
    plan = with_two_of_fw_a("fw-b", **{"fw-b": "stopped"})
    assert left_out(plan) == {"instances.fw-a.external": ["instances.fw-a", "network_interfaces.fixed"]}
    assert calls(plan) == [
        "AttachNetworkInterface network_interfaces.service",
        "DetachNetworkInterface network_interfaces.service",
    ]
    assert plan.steps[-1].params["InstanceId"] == "i-fw-c"


def test_an_interface_stays_on_an_instance_that_may_be_its_candidate() -> None:
    plan = with_two_of_fw_a("fw-a2")
    assert left_out(plan)["instances.fw-a.external"] == [
        "instances.fw-a",
        "network_interfaces.fixed",
        "network_interfaces.service",
    ]
    assert plan.empty


# ---- what is left out is left as it is


def test_prune_deletes_nothing_that_is_left_out() -> None:
    spec: Words = {"security_groups": {"web": {"vpc": NOWHERE}}, "elastic_ips": {}}
    plan = plan_of(spec, {"security_groups": {"web": {}, "old": {}}}, prune=True, partly=True)
    assert calls(plan) == ["DeleteSecurityGroup security_groups.old"]


def test_nothing_is_evicted_from_its_slot() -> None:
    """eth1 would leave index 1 to eth2; it is left out, so eth2 is, too."""
    spec: Words = {
        "instances": {"web": WEB},
        "network_interfaces": {"eth0": at(0), "eth1": at(2, subnet=NOWHERE), "eth2": at(1)},
    }
    live: Words = {
        "instances": {"web": {}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"at": "web 1"}, "eth2": {}},
    }
    plan = plan_of(spec, live, partly=True)
    assert reasons(plan) == {"network_interfaces.eth2": "needs the device index of network_interfaces.eth1"}
    assert plan.empty


def test_no_elastic_ip_is_displaced() -> None:
    """The Elastic IP has another address than its row says; that it would leave eth0 is left out, too."""
    spec: Words = {
        "instances": {"web": WEB},
        "network_interfaces": {"eth0": at(0), "eth1": at(1)},
        "elastic_ips": {
            "old": {"address": "198.51.100.7", "association": {"network_interface": "eth1"}},
            "new": {"association": {"network_interface": "eth0"}},
        },
    }
    live: Words = {
        "instances": {"web": {}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"at": "web 1"}},
        "elastic_ips": {"old": {"at": "eth0"}, "new": {}},
    }
    plan = plan_of(spec, live, partly=True)
    assert left_out(plan) == {"elastic_ips.old.address": ["elastic_ips.new", "elastic_ips.old"]}
    assert reasons(plan) == {"elastic_ips.new": "would displace elastic_ips.old"}
    assert plan.empty


def test_no_address_is_taken() -> None:
    spec: Words = {
        "instances": {"web": WEB},
        "network_interfaces": {
            "eth0": at(0),
            "eth1": at(1, subnet=NOWHERE),
            "eth2": at(2, secondary_private_ips=["172.31.0.50"]),
        },
    }
    live: Words = {
        "instances": {"web": {}},
        "network_interfaces": {
            "eth0": {"at": "web 0"},
            "eth1": {"at": "web 1", "secondary": ["172.31.0.50"]},
            "eth2": {"at": "web 2"},
        },
    }
    plan = plan_of(spec, live, partly=True)
    assert reasons(plan) == {"network_interfaces.eth2": "would take 172.31.0.50 from network_interfaces.eth1"}
    assert plan.empty


def test_no_instance_is_terminated_under_an_interface() -> None:
    """The pruned instance holds an interface that is left out: it stays as a leftover."""
    spec: Words = {"network_interfaces": {"eth1": {"subnet": NOWHERE}}, "elastic_ips": {"ip": {}}}
    live: Words = {"instances": {"old": {}}, "network_interfaces": {"eth1": {"at": "old 1"}}}
    plan = plan_of(spec, live, prune=True, partly=True)
    assert reasons(plan)["instances.old"] == "would terminate i-old, which network_interfaces.eth1 is attached to"
    assert calls(plan) == ["AllocateAddress elastic_ips.ip"]
    assert [left.address for left in plan.leftovers] == ["instances.old"]


def test_no_replacement_takes_along_what_is_left_out() -> None:
    """Another address takes a new eth0, and that a new instance, which would need eth1."""
    spec: Words = {
        "instances": {"web": {**WEB, "on_change": "replace"}},
        "network_interfaces": {"eth0": {**at(0), "private_ip": "172.31.0.77"}, "eth1": at(1, subnet=NOWHERE)},
    }
    live: Words = {
        "instances": {"web": {}},
        "network_interfaces": {"eth0": {"at": "web 0"}, "eth1": {"at": "web 1"}},
    }
    plan = plan_of(spec, live, partly=True)
    assert plan.left_out == ("instances.web", "network_interfaces.eth0", "network_interfaces.eth1")
    assert plan.empty


def test_destroy_asks_no_selector() -> None:
    spec = spec_of({"security_groups": {"web": {"vpc": NOWHERE}}})
    live = live_of({"security_groups": {"web": {}}}, spec)
    plan = make_plan(spec.emptied(), live, prune=True)
    assert (calls(plan), plan.errors) == (["DeleteSecurityGroup security_groups.web"], ())


# ---- limits


def test_all_that_take_from_a_limit_are_left_out() -> None:
    quota = Limits(elastic_ips=ElasticIpLimit((), 1, True), read=frozenset({"DescribeAccountAttributes"}))
    spec: Words = {"elastic_ips": {"a": {}, "b": {}}, "security_groups": {"web": {}}}
    plan = plan_of(spec, known=quota, partly=True)
    assert left_out(plan) == {"elastic_ips.b": ["elastic_ips.a", "elastic_ips.b"]}
    assert calls(plan) == ["CreateSecurityGroup security_groups.web"]


def test_an_instance_that_is_full_does_not_stop_another_one() -> None:
    kind = LiveInstanceType("t3.micro", (2,), 2, 2, 2)
    known = Limits(types={"t3.micro": kind}, read=frozenset({"DescribeInstanceTypes"}))
    spec: Words = {
        "instances": {"web": WEB, "db": WEB},
        "network_interfaces": {
            **{f"web{index}": at(index) for index in range(3)},
            **{f"db{index}": at(index, "db") for index in range(2)},
        },
    }
    live: Words = {"instances": {"web": {}}, "network_interfaces": {"web0": {"at": "web 0"}}}
    plan = plan_of(spec, live, known=known, partly=True)
    assert plan.left_out == ("network_interfaces.web1", "network_interfaces.web2")
    assert [step.address for step in plan.steps if step.call == "RunInstances"] == ["instances.db"]


def test_a_subnet_that_is_full_leaves_out_its_interfaces_and_who_needs_them() -> None:
    spec: Words = {
        "instances": {"web": WEB},
        "network_interfaces": {"eth0": at(0), "b": {"subnet": {"default_for_az": "us-east-1b"}}},
        "elastic_ips": {"ip": {"association": {"instance": "web"}}},
    }
    plan = plan_of(spec, {"free": {"subnet-a": 0}}, partly=True)
    assert plan.left_out == ("elastic_ips.ip", "instances.web", "network_interfaces.eth0")
    assert calls(plan) == ["CreateNetworkInterface network_interfaces.b"]


# ---- targets


TWO: Words = {"security_groups": {"web": {"vpc": NOWHERE}}, "elastic_ips": {"ip": {}}}


def test_a_target_elsewhere_has_no_errors() -> None:
    plan = plan_of(TWO, targets=["elastic_ips.ip"])
    assert (calls(plan), plan.errors) == (["AllocateAddress elastic_ips.ip"], ())


def test_a_target_with_a_mistake_has_them() -> None:
    plan = plan_of(TWO, targets=["security_groups.web"], partly=True)
    assert (plan.empty, plan.left_out, plan.warnings) == (True, ("security_groups.web",), ())


# ---- any spec, any mistake


def _rows(hosts: int, cards: int) -> dict[str, dict[str, Any]]:
    """``hosts`` instances with ``cards`` interfaces each, a group for each host, an Elastic IP for each card."""
    names = [f"h{host}" for host in range(hosts)]
    return {
        "security_groups": {name: {} for name in names},
        "instances": {name: dict(WEB) for name in names},
        "network_interfaces": {
            f"{name}-{card}": at(card, name, security_groups=[name]) for name in names for card in range(cards)
        },
        "elastic_ips": {
            f"{name}-{card}": {"association": {"network_interface": f"{name}-{card}"}}
            for name in names
            for card in range(cards)
        },
    }


MISTAKES: dict[str, Words] = {
    "security_groups": {"vpc": NOWHERE},
    "network_interfaces": {"subnet": NOWHERE},
    # Not another association: the addresses of interfaces and instances may refer to this one.
    "elastic_ips": {"adopt": "eipalloc-0123456789abcdef0"},
    "instances": {"adopt": "i-0123456789abcdef0"},
}


def _refer(draw: st.DrawFn, rows: dict[str, dict[str, Any]]) -> Words:
    """Some rows refer to others in their tags and user data; the tags of the file, if any do.

    User data refers to no instance, so that there is no ring of launches.
    """
    known = {
        section: [f"${{{section}.{name}.{attribute}}}" for name in found for attribute in ATTRIBUTES[section]]
        for section, found in rows.items()
    }
    anything = st.sampled_from([each for found in known.values() for each in found])
    for found in rows.values():
        for row in found.values():
            if draw(st.booleans()):
                row["tags"] = {"Refers": draw(anything)}
    for row in rows["instances"].values():
        if draw(st.booleans()):
            row["user_data"] = f"echo {draw(anything.filter(lambda each: each not in known['instances']))}"
    return {"tags": {"File": draw(anything)}} if draw(st.integers(0, 9)) == 9 else {}


@st.composite
def situations(draw: st.DrawFn) -> tuple[dict[str, Any], Words, str, str]:
    """A spec, a live state that has some of its rows, and the section and name of the row to spoil."""
    rows = _rows(draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    tags = _refer(draw, rows)
    there = {host for host in rows["instances"] if draw(st.booleans())}
    cards = [name for name in rows["network_interfaces"] if name.partition("-")[0] in there]
    attached = {name for name in cards if name.endswith("-0") or draw(st.booleans())}
    live: Words = {
        "security_groups": {name: {} for name in rows["security_groups"] if name in there or draw(st.booleans())},
        "instances": {name: {} for name in there},
        "network_interfaces": {
            name: {
                "groups": [f"sg-{name.partition('-')[0]}"],
                **({"at": name.replace("-", " ")} if name in attached else {}),
            }
            for name in cards
        },
        "elastic_ips": {
            name: {"at": name} if name in attached and draw(st.booleans()) else {}
            for name in rows["elastic_ips"]
            if draw(st.booleans())
        },
    }
    section = draw(st.sampled_from(sorted(MISTAKES)))
    return {**rows, **tags}, live, section, draw(st.sampled_from(sorted(rows[section])))


def essence(step: Step) -> tuple[str, str, Any]:
    """A step without what other rows have to do with its order."""
    return step.address, step.call, step.params


@examples(200)
@given(situations())
def test_the_rest_is_planned_as_if_nothing_were_wrong(
    situation: tuple[dict[str, Any], Words, str, str],
) -> None:
    """A row that is not left out has the steps that it has without the mistake; one that is left out has none."""
    rows, live, section, name = situation
    right = plan_of(rows, live)
    spoiled = {**rows, section: {**rows[section], name: {**rows[section][name], **MISTAKES[section]}}}
    plan = plan_of(spoiled, live, partly=True)
    (error,) = plan.errors
    assert error.address == f"{section}.{name}"
    assert error.address in error.left_out
    told = [essence(step) for step in plan.steps]
    assert sorted(map(str, told)) == sorted(
        str(essence(step)) for step in right.steps if step.address not in error.left_out
    )
    assert set(plan.left_out) == {error.address, *dict(error.reasons)}


@pytest.mark.parametrize("section", sorted(MISTAKES))
def test_without_the_row_the_plan_is_the_same(section: str) -> None:
    """Nothing exists yet: the plan is that of a spec without all that is left out."""
    rows = _rows(2, 2)
    name = sorted(rows[section])[-1]
    spoiled = {**rows, section: {**rows[section], name: {**rows[section][name], **MISTAKES[section]}}}
    plan = plan_of(spoiled, partly=True)
    rest = {
        part: {each: row for each, row in found.items() if f"{part}.{each}" not in plan.left_out}
        for part, found in rows.items()
    }
    assert plan.steps == plan_of(rest).steps
