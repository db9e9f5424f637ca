"""Plans and reports as people and programs read them."""

from __future__ import annotations

import io
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import click
import pytest
from msgspec.structs import replace

from enireconcile.errors import AwsError
from enireconcile.model import Action, CheckResult, Outcome, PathBreak, Plan, Report, Status, Step, Trace, Traces
from enireconcile.outputs.json import dumps, plan_json, report_json
from enireconcile.outputs.markdown import plans_markdown, reports_markdown
from enireconcile.outputs.text import notes_text, plan_text, report_text
from enireconcile.outputs.words import change_lines, past, question, report_lines
from enireconcile.printable import printable
from tests.planning.test_summaries import TABLE as SUMMARIES
from tests.planning.worlds import Words, plan_of

ZONE_A: Words = {"default_for_az": "us-east-1a"}
AL2023 = {"ssm": "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"}
"""Of guests that configure their interfaces by themselves: no plan warns of them."""
SCRIPT = "password=hunter2"
SHA256_OF_SCRIPT = "sha256:42c842031e73fa74cb753b09101a15f4c0d7844be5f37bfa4af9b9ac435c6ca4"
# What could steer a terminal: escape, 8-bit CSI, backspace, carriage return, line break, delete, a bidi override.
NASTY = "\x1b[2Ka\x9b2Kb\x08c\rd\ne\x7ff\u202eg\u2028h"
MIXED: Words = {
    "tags": {"Project": "blog"},
    "security_groups": {
        "web": {"ingress": [{"protocol": "tcp", "ports": 443, "sources": ["0.0.0.0/0"], "description": "https"}]},
        "shut": {"egress": []},
    },
    "instances": {
        "web": {"image": AL2023, "instance_type": "t3.micro", "user_data": SCRIPT},
        "db": {"image": AL2023, "instance_type": "t3.micro", "user_data": SCRIPT, "key_name": "ops"},
    },
    "network_interfaces": {
        "web0": {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": 0}},
        "db0": {
            "subnet": ZONE_A,
            "tags": {"Role": "db"},
            "attachment": {"instance": "db", "device_index": 0, "delete_on_termination": True},
        },
        "float": {
            "subnet": ZONE_A,
            "description": "floats",
            "attachment": {"instance": "web", "device_index": 1},
        },
    },
    "elastic_ips": {"web": {"association": {"network_interface": "web0"}}, "spare": {}},
}
BLOG: Words = {"tags": {"Project": "blog"}}
WORLD: Words = {
    "security_groups": {"web": {"ingress": ["tcp 22 0.0.0.0/0 ssh"], **BLOG}},
    "instances": {
        "web": {
            "foreign": {1: "eni-stranger"},
            "tags": {"enireconcile:user-data": "sha256:0", "Project": "shop"},
        }
    },
    "network_interfaces": {"web0": {"at": "web 0", **BLOG}, "float": {"source_dest_check": False, "at": "web 2"}},
    "elastic_ips": {"web": {"at": "float", **BLOG}, "spare": BLOG, "old": {}},
}
MIXED_TEXT = f"""\
lab  (account 123456789012, us-east-1)

+ security_groups.shut  create  [safe]
    description  Managed by enireconcile
    vpc          vpc-default
    tags         Project=blog
    egress       (none)

~ security_groups.web  sg-web  update  [disruptive]
    ingress  + tcp 443 from 0.0.0.0/0 "https"
    ingress  - tcp 22 from 0.0.0.0/0 "ssh"

+ instances.db  create  [safe]
    instance_type  t3.micro
    tags           Project=blog
    key_name       ops
    image          ami-of-db
    user_data      {SHA256_OF_SCRIPT}

~ instances.web  i-web  update  [safe]
    tags  Project: shop → blog

+ network_interfaces.db0  create  [safe]
    subnet           subnet-a
    security_groups  sg-default
    tags             Project=blog, Role=db
    attachment       db, index 0, deleted on termination

~ network_interfaces.float  eni-float  move  [disruptive]
    description        "" → floats
    source_dest_check  false → true
    tags               Project: (none) → blog
    attachment         web, index 2 → web, index 1
    detaches eni-stranger
    interrupted: attachment, from s7 (detach from web) to s11 (attach to web as index 1)
      EC2 moves an interface by detaching and attaching it

~ elastic_ips.web  192.0.2.1  move  [disruptive]
    association  float → web0

The stack owns these, and no row names them (kept; --prune removes what nothing else uses):
  elastic_ips.old  192.0.2.1  eipalloc-old

warning: instances.web: user_data has changed since the instance was launched; it runs at the first boot only, \
so the instance stays as it is; on_change: replace launches a new one

Plan: 3 to create, 4 to update, 2 unchanged.
15 EC2 calls: 10 safe, 5 disruptive."""


@pytest.fixture(scope="module")
def mixed() -> Plan:
    return plan_of(MIXED, WORLD)


# ---- text


def piped(text: str) -> str:
    """What a file or a pipe gets of it."""
    file = io.StringIO()
    click.echo(text, file=file, nl=False)
    return file.getvalue()


def test_the_text_of_a_mixed_plan(mixed: Plan) -> None:
    assert piped(plan_text(mixed)).splitlines() == MIXED_TEXT.splitlines()


OTHER: Words = {
    "security_groups": {
        "web": {
            "ingress": [
                {"protocol": "all", "sources": ["10.0.0.0/8"]},
                {"protocol": "icmp", "sources": ["self"], "description": "ping"},
            ],
            "egress": [{"protocol": "tcp", "ports": "80-81", "destinations": ["10.0.0.0/8", "192.0.2.0/24"]}],
        },
        "plain": {},
    },
    "instances": {"web": {"image": AL2023, "instance_type": "m5.24xlarge"}},
    "network_interfaces": {
        "web0": {
            "subnet": ZONE_A,
            "security_groups": ["plain", "web"],
            "attachment": {"instance": "web", "device_index": 0},
        },
        "web1": {
            "subnet": ZONE_A,
            "attachment": {"instance": "web", "device_index": 1, "network_card_index": 1},
        },
    },
    "elastic_ips": {
        "web": {"tags": {"Name": "shop"}, "association": {"network_interface": "web0"}},
        "moved": {"association": {"network_interface": "web1"}},
    },
}
OTHER_WORLD: Words = {
    "instances": {"web": {"instance_type": "m5.24xlarge"}},
    "network_interfaces": {"web0": {"at": "web 0"}, "web1": {}},
    "elastic_ips": {"moved": {"at": "web0", "private_ip": "172.31.0.99"}, "old": {"at": "web1"}, "older": {}},
}
OTHER_TEXT = """\
lab  (account 123456789012, us-east-1)

+ security_groups.plain  create  [safe]
    description  Managed by enireconcile
    vpc          vpc-default

+ security_groups.web  create  [safe]
    description  Managed by enireconcile
    vpc          vpc-default
    ingress      all from 10.0.0.0/8, icmp from self "ping"
    egress       tcp 80-81 to 10.0.0.0/8, tcp 80-81 to 192.0.2.0/24

~ network_interfaces.web0  eni-web0  update  [disruptive]
    security_groups  + plain
    security_groups  + web
    security_groups  - sg-default

~ network_interfaces.web1  eni-web1  update  [safe]
    attachment  (none) → web, index 1, card 1

~ elastic_ips.moved  192.0.2.1  move  [disruptive]
    association  web0 (172.31.0.99) → web1

+ elastic_ips.web  create  [safe]
    tags         Name=shop
    association  web0

- elastic_ips.old  192.0.2.1  release  [destructive]
- elastic_ips.older  192.0.2.1  release  [destructive]

Plan: 3 to create, 3 to update, 2 to delete, 1 unchanged.
13 EC2 calls: 8 safe, 3 disruptive, 2 destructive."""


def test_the_text_of_a_plan_that_also_removes() -> None:
    """Rules of all sorts, a second network card, an address off the primary private IP, and what goes."""
    text = piped(plan_text(plan_of(OTHER, OTHER_WORLD, prune=True)))
    assert text.splitlines() == OTHER_TEXT.splitlines()


def test_what_has_no_fields_has_no_blank_line() -> None:
    """Only what has fields is set apart; all that goes is one block at the end."""
    rows: Words = {"elastic_ips": {"one": {}, "two": {}}, "network_interfaces": {"eth": {"subnet": ZONE_A}}}
    lines = piped(plan_text(plan_of(rows, {"elastic_ips": {"old": {}, "older": {}}}, prune=True))).splitlines()
    assert lines[1:-2] == [
        "",
        "+ network_interfaces.eth  create  [safe]",
        "    subnet           subnet-a",
        "    security_groups  sg-default",
        "",
        "+ elastic_ips.one  create  [safe]",
        "+ elastic_ips.two  create  [safe]",
        "",
        "- elastic_ips.old  192.0.2.1  release  [destructive]",
        "- elastic_ips.older  192.0.2.1  release  [destructive]",
        "",
    ]


def test_a_replacement_would_be_counted_as_one(mixed: Plan) -> None:
    """No plan replaces anything yet; the words for it are there."""
    replaced = replace(mixed.changes[0], action=Action.REPLACE, fields=())
    lines = piped(plan_text(replace(mixed, changes=(replaced,)))).splitlines()
    assert (lines[2][:2], lines[-2]) == ("± ", "Plan: 1 to replace, 0 unchanged.")


def test_colours_show_what_is_created_changed_and_removed() -> None:
    """Green is harmless, yellow is to be looked at, red takes something away."""
    text = plan_text(plan_of(OTHER, OTHER_WORLD, prune=True), style=click.style)
    colours = {"32": "green", "33": "yellow", "31": "red"}
    found = re.findall(r"\x1b\[(3\d)m(?:\x1b\[1m)?([+~-]|\w+)", text)
    assert {(word, colours[colour]) for colour, word in found} == {
        ("+", "green"),
        ("~", "yellow"),
        ("-", "red"),
        ("safe", "green"),
        ("disruptive", "yellow"),
        ("destructive", "red"),
    }


def test_rules_and_warnings_have_colours_too(mixed: Plan) -> None:
    """An opened rule is green, a closed one red, a warning yellow."""
    lines = plan_text(mixed, style=click.style).splitlines()
    rules = [line.partition("ingress  ")[2][:7] for line in lines if "ingress" in line]
    warnings = [line[:5] for line in lines if "warning: " in line]
    assert (rules, warnings) == (["\x1b[32m+ ", "\x1b[31m- "], ["\x1b[33m"])


def test_what_the_eye_shall_find_first_is_bold(mixed: Plan) -> None:
    """The stack, each resource, and what comes of it all."""
    bold = [click.unstyle(line) for line in plan_text(mixed, style=click.style).splitlines() if "\x1b[1m" in line]
    assert [line.split()[:2] for line in bold] == [
        ["lab", "(account"],
        *([sign, address] for sign, address in (line.split()[:2] for line in bold[1:-1])),
        ["Plan:", "3"],
    ]
    assert len(bold) == len(mixed.differing) + 2
    assert "\x1b[1m" in report_text(report("converged"), click.style)


def test_there_is_colour_for_a_terminal_and_none_for_a_pipe(mixed: Plan) -> None:
    """Styles only decorate: without them the text is the same."""
    text = plan_text(mixed, style=click.style)
    assert ("\x1b[" in text, "\x1b" in piped(text)) == (True, False)
    assert piped(text) == plan_text(mixed)


def test_the_text_of_an_empty_plan_counts_what_is_right() -> None:
    two: Words = {"elastic_ips": {"one": {}, "two": {}}}
    plan = plan_of(two, two)
    assert "No changes" in piped(plan_text(plan))
    assert " 2 resources " in piped(plan_text(plan))


def test_the_text_of_an_empty_plan_says_that_there_is_nothing_to_match() -> None:
    """Of a spec without rows, and of targets that are not there."""
    live: Words = {"elastic_ips": {"old": {}}}
    assert "No changes: the spec names no resources." in plan_text(plan_of({}, live))
    assert "No changes: the stack has no resources." in plan_text(plan_of({}, {}))
    plan = plan_of({}, live, prune=True, targets=["elastic_ips.gone"])
    assert "No changes: the stack has none of the targets." in plan_text(plan)


def test_leftovers_are_listed_even_without_changes() -> None:
    assert piped(notes_text(plan_of({}, {"elastic_ips": {"old": {}}}))).splitlines() == [
        "The stack owns these, and no row names them (kept; --prune removes what nothing else uses):",
        "  elastic_ips.old  192.0.2.1  eipalloc-old",
    ]


# Somewhere else it was two hours later, and a moment after the full second.
MOMENT = datetime(2026, 1, 2, 5, 4, 5, 678900, timezone(timedelta(hours=2)))
TRACES = Traces({("security_groups.web", "ingress"): Trace(f"bob{NASTY}", MOMENT, f"Authorize{NASTY}")})


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock on the wall is nine hours ahead."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
def test_the_user_is_shown_below_the_field(mixed: Plan) -> None:
    """In UTC, in a dim line below the last one of the field; of all others nothing is known."""
    nasty = printable(NASTY)
    words = f"by bob{nasty}, 2026-01-02 03:04:05 UTC (Authorize{nasty})"
    lines = piped(plan_text(mixed, TRACES)).splitlines()
    [place] = [index for index, line in enumerate(lines) if line == f"{' ' * 13}{words}"]
    assert lines[place - 1].startswith("    ingress  - tcp 22")
    assert lines[:place] + lines[place + 1 :] == piped(plan_text(mixed)).splitlines()
    assert f"\x1b[2m{words}" in plan_text(mixed, TRACES, click.style)
    [change] = [change for change in mixed.changes if change.address == "security_groups.web"]
    assert [line.strip() for line in change_lines(change, TRACES)] == [
        *(line.strip() for line in change_lines(change)),
        words,
    ]


@pytest.mark.usefixtures("in_tokyo")
def test_the_user_in_json(mixed: Plan) -> None:
    """Each field has `who`, which is null if it is not known; without traces there is no such key."""
    found = {
        (change["address"], field["field"]): field["who"]
        for change in plan_json(mixed, {}, TRACES)["changes"]
        for field in change["fields"]
    }
    known = found.pop(("security_groups.web", "ingress"))
    assert known == {"user": f"bob{NASTY}", "time": "2026-01-02T03:04:05Z", "event": f"Authorize{NASTY}"}
    assert set(found.values()) == {None}


def test_a_part_of_a_stack_is_reported_as_a_part(mixed: Plan) -> None:
    """By the words of --target, in text and in JSON, for plans and reports; a whole stack says nothing of it."""
    part = plan_of(
        {"elastic_ips": {"one": {}, "two": {}}}, {"elastic_ips": {"one": {}}}, targets=["elastic_ips.one"]
    )
    assert " the targeted resource matches the spec." in piped(plan_text(part))
    two = replace(part, targets=("elastic_ips.one", NASTY))
    assert piped(plan_text(two)).splitlines()[1].startswith("  only elastic_ips.one, \\x1b[2Ka")
    assert piped(plan_text(part)).splitlines()[1] == "  only elastic_ips.one and its dependencies"
    assert plan_json(part, {})["targets"] == ["elastic_ips.one"]
    assert report_json(report("unchanged", targets=("elastic_ips.one",)))["targets"] == ["elastic_ips.one"]
    assert [told for told in (plan_json(mixed, {}), report_json(report("unchanged"))) if "targets" in told] == []


def test_what_is_adopted_is_counted(mixed: Plan) -> None:
    """Beside what is made and changed."""
    adopted = replace(mixed.changes[0], action=Action.ADOPT, fields=())
    lines = piped(plan_text(replace(mixed, changes=(adopted,)))).splitlines()
    assert lines[-2] == "Plan: 1 to adopt, 0 unchanged."


def test_one_call_is_one_call() -> None:
    assert piped(plan_text(plan_of({"elastic_ips": {"web": {}}}))).splitlines()[-1] == "1 EC2 call: 1 safe."


def test_a_flag_that_changes_is_no_move() -> None:
    spec = {
        "instances": {"web": {"image": AL2023, "instance_type": "t3.micro"}},
        "network_interfaces": {"eth0": {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": 0}}},
    }
    live = {
        "instances": {"web": {}},
        "network_interfaces": {"eth0": {"at": "web 0", "delete_on_termination": True}},
    }
    assert piped(plan_text(plan_of(spec, live))).splitlines()[2:4] == [
        "~ network_interfaces.eth0  eni-eth0  update  [safe]",
        "    attachment  web, index 0, deleted on termination → web, index 0",
    ]


def test_control_characters_from_aws_are_never_printed_raw() -> None:
    spec = {
        "tags": {"Project": "blog"},
        "security_groups": {"web": {}},
        "network_interfaces": {"eth1": {"subnet": ZONE_A}},
    }
    live = {
        "security_groups": {"web": {"ingress": [f"tcp 80 0.0.0.0/0 {NASTY}"], "tags": {"Project": NASTY}}},
        "network_interfaces": {"eth1": {"description": NASTY, "tags": {"Project": NASTY}}},
    }
    lines = piped(plan_text(plan_of(spec, live))).split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    # All of the text is on one line: a description cannot forge a line of a plan.
    whole = [line.split()[0] for line in lines if "\\x1b[2Ka" in line and "\\u202eg" in line]
    assert whole == ["ingress", "tags", "description", "tags"]


def test_leftovers_with_odd_names_are_not_printed_raw_either() -> None:
    text = piped(plan_text(plan_of({}, {"elastic_ips": {"old": {"named": NASTY}}})))
    lines = text.split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    assert sum("\\x1b[2Ka" in line and "\\u202eg" in line for line in lines) == 1


def test_the_words_of_an_error_cannot_steer_a_terminal(mixed: Plan) -> None:
    failed = Outcome(mixed.steps[0], Status.FAILED, 1, 0.1, error=f"EC2 said {NASTY}")
    lines = report_lines(report("failed", failed))
    assert [line for line in lines if not line.isprintable()] == []
    assert any("EC2 said" in line for line in lines)


# ---- JSON of a plan

PLAN_KEYS = [
    "format_version",
    "stack",
    "account_id",
    "region",
    "fingerprint",
    "summary",
    "changes",
    "steps",
    "leftovers",
    "warnings",
    "interruptions",
    "exposures",
    "errors",
    "estimate",
    "api_calls",
]
SUMMARY_KEYS = ["create", "update", "replace", "delete", "adopt", "unchanged", "leftover"]
CHANGE_KEYS = {"address", "action", "impact", "id", "fields", "reason"}
STEP_KEYS = {"id", "call", "summary", "address", "params", "needs", "impact"}


def test_what_a_plan_interrupts_and_exposes_is_shown_with_the_calls(mixed: Plan) -> None:
    """Beside the change, or below all changes where the resource itself does not change; in JSON by step."""
    opened = PathBreak("network_interfaces.db0", "ingress tcp 22 from 0.0.0.0/0", "s1", "s2", "no other order")
    still = PathBreak("network_interfaces.web0", "ingress tcp 80 from 0.0.0.0/0", "s1", "s2", "no other order")
    plan = replace(mixed, exposures=(opened,), interruptions=(still,))
    text = piped(plan_text(plan)).splitlines()
    calls = f"from s1 ({plan.steps[0].summary}) to s2 ({plan.steps[1].summary})"
    at = text.index(f"    exposed: ingress tcp 22 from 0.0.0.0/0, {calls}")
    assert text[at + 1 : at + 3] == ["      no other order", ""]
    assert max(number for number, line in enumerate(text[:at]) if line.startswith("+")) == text.index(
        "+ network_interfaces.db0  create  [safe]"
    )
    below = text.index("While the plan runs:")
    assert text[below : below + 4] == [
        "While the plan runs:",
        "  network_interfaces.web0",
        f"    interrupted: ingress tcp 80 from 0.0.0.0/0, {calls}",
        "      no other order",
    ]
    assert plan_json(plan, {})["exposures"] == [
        {
            "address": "network_interfaces.db0",
            "what": "ingress tcp 22 from 0.0.0.0/0",
            "from": "s1",
            "to": "s2",
            "why": "no other order",
        }
    ]
    comment = plans_markdown([plan], [Traces()])
    for words in ("exposed: ingress tcp 22", "While the plan runs", "interrupted: ingress tcp 80"):
        assert words in comment


def test_the_json_of_a_plan_has_the_keys_that_programs_rely_on(mixed: Plan) -> None:
    told = plan_json(mixed, {})
    assert list(told) == PLAN_KEYS
    assert list(told["summary"]) == SUMMARY_KEYS
    assert {
        frozenset(set(change) - CHANGE_KEYS)
        for change in told["changes"]
        if change["address"].startswith("elastic_ips.")
    } == {frozenset({"public_ip"})}
    others = [change for change in told["changes"] if not change["address"].startswith("elastic_ips.")]
    assert {frozenset(change) for change in others} == {frozenset(CHANGE_KEYS)}
    assert {frozenset(field) for change in told["changes"] for field in change["fields"]} == {
        frozenset({"field", "before", "after"})
    }
    assert {frozenset(set(step) - {"public_ip"}) for step in told["steps"]} == {frozenset(STEP_KEYS)}
    assert {step["address"] for step in told["steps"] if "public_ip" in step} == {"elastic_ips.web"}


def test_the_head_of_the_json_of_a_plan(mixed: Plan) -> None:
    told = plan_json(mixed, {"DescribeVpcs": 1, "DescribeAddresses": 2})
    assert {
        key: told[key] for key in ("format_version", "stack", "account_id", "region", "summary", "api_calls")
    } == {
        "format_version": "1.0",
        "stack": "lab",
        "account_id": "123456789012",
        "region": "us-east-1",
        "summary": {
            "create": 3,
            "update": 4,
            "replace": 0,
            "delete": 0,
            "adopt": 0,
            "unchanged": 2,
            "leftover": 1,
        },
        "api_calls": {"DescribeAddresses": 2, "DescribeVpcs": 1},
    }
    assert told["leftovers"] == [{"address": "elastic_ips.old", "id": "eipalloc-old", "public_ip": "192.0.2.1"}]
    assert (len(told["warnings"]), told["fingerprint"][:7], len(told["fingerprint"])) == (1, "sha256:", 71)


def test_a_change_in_json(mixed: Plan) -> None:
    changes = {change["address"]: change for change in plan_json(mixed, {})["changes"]}
    place = {"instance": "web", "network_card_index": 0, "delete_on_termination": False}
    moved = changes["network_interfaces.float"]
    assert (moved["action"], moved["impact"], moved["id"], moved["reason"]) == (
        "update",
        "disruptive",
        "eni-float",
        "detaches eni-stranger",
    )
    assert moved["fields"][-1] == {
        "field": "attachment",
        "before": {**place, "device_index": 2},
        "after": {**place, "device_index": 1},
    }
    made = changes["network_interfaces.db0"]
    assert (made["action"], made["id"], {field["before"] for field in made["fields"]}) == ("create", None, {None})


def test_what_is_unchanged_is_only_counted(mixed: Plan) -> None:
    assert {change["action"] for change in plan_json(mixed, {})["changes"]} == {"create", "update"}


def test_what_is_not_known_yet_is_a_ref() -> None:
    spec = {
        "network_interfaces": {"eth1": {"subnet": ZONE_A}},
        "elastic_ips": {"web": {"association": {"network_interface": "eth1"}}},
    }
    steps = plan_json(plan_of(spec), {})["steps"]
    assert steps[-1] == {
        "id": "s3",
        "call": "AssociateAddress",
        "summary": "associate with eth1",
        "address": "elastic_ips.web",
        "params": {
            "AllocationId": {"ref": "elastic_ips.web.id"},
            "NetworkInterfaceId": {"ref": "network_interfaces.eth1.id"},
            "AllowReassociation": False,
        },
        "needs": ["s1", "s2"],
        "impact": "safe",
    }


def test_needs_are_sorted_as_people_count() -> None:
    interfaces = {
        f"eth{number}": {"subnet": ZONE_A, "attachment": {"instance": "web", "device_index": number}}
        for number in range(12)
    }
    spec = {
        "instances": {"web": {"image": AL2023, "instance_type": "m5.24xlarge"}},
        "network_interfaces": interfaces,
    }
    launch = plan_json(plan_of(spec), {})["steps"][-1]
    assert (launch["call"], launch["needs"]) == ("RunInstances", [f"s{number}" for number in range(1, 13)])


def test_user_data_appears_as_its_hash_only(mixed: Plan) -> None:
    shown = [plan_text(mixed), json.dumps(plan_json(mixed, {})), repr(mixed)]
    assert ["hunter2" in text for text in shown] == [False, False, False]
    assert [SHA256_OF_SCRIPT in text for text in shown] == [True, True, True]


def test_a_plan_in_json_is_what_json_can_hold(mixed: Plan) -> None:
    told = plan_json(mixed, {"DescribeVpcs": 1})
    assert json.loads(dumps(told)) == told


def test_json_carries_no_raw_control_characters_either() -> None:
    line = dumps({"tag": NASTY.replace("\x7f", "")})
    assert (line.isprintable(), json.loads(line)) == (True, {"tag": NASTY.replace("\x7f", "")})


# ---- the report


def report(outcome: str, *outcomes: Outcome, **words: Any) -> Report:
    started = datetime(2026, 1, 2, 3, 4, 5, 678900, UTC)
    return Report("lab", "123456789012", "us-east-1", outcome, started, 3.21049, outcomes, **words)


def test_the_report_in_json(mixed: Plan) -> None:
    summary = mixed.summary()
    step = mixed.steps[0]
    done = Outcome(step, Status.DONE, 2, 0.20049, "sg-1", request_id="0a1b-2c")
    failed = Outcome(step, Status.FAILED, 1, 0.1, None, "no", replan=True, acted=True)
    words = {
        "api_calls": {"RunInstances": 1, "CreateTags": 2},
        "throttled": 3,
        "remaining": ("instances.web",),
        "plan": mixed,
        "resources": {"elastic_ips.web": {"id": "eipalloc-web"}},
    }
    told = report_json(report("partial", done, failed, error="stopped", **words))
    common = {
        "id": step.id,
        "call": "AssociateAddress",
        "summary": "associate with web0",
        "address": "elastic_ips.web",
        "public_ip": "192.0.2.1",
    }
    assert told == {
        "type": "report",
        "format_version": "1.0",
        "stack": "lab",
        "account_id": "123456789012",
        "region": "us-east-1",
        "outcome": "partial",
        "started": "2026-01-02T03:04:05.678Z",
        "seconds": 3.21,
        "summary": summary,
        "steps": [
            {
                **common,
                "status": "done",
                "attempts": 2,
                "seconds": 0.2,
                "result_id": "sg-1",
                "request_id": "0a1b-2c",
                "error": None,
            },
            {
                **common,
                "status": "failed",
                "attempts": 1,
                "seconds": 0.1,
                "result_id": None,
                "request_id": None,
                "error": "no",
            },
        ],
        "api_calls": {"CreateTags": 2, "RunInstances": 1},
        "throttled": 3,
        "remaining": ["instances.web"],
        "error": "stopped",
        "errors": [],
        "resources": {"elastic_ips.web": {"id": "eipalloc-web"}},
    }
    assert list(told["api_calls"]) == ["CreateTags", "RunInstances"]


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("converged", 0), ("unchanged", 0), ("failed", 1), ("refused", 3), ("locked", 4), ("partial", 5)],
)
def test_an_outcome_has_its_exit_code(outcome: str, code: int) -> None:
    assert report(outcome).exit_code == code


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ("refused", "Refused: nothing was changed."),
        ("locked", "Locked: another run holds the lock of this stack."),
        ("converged", "Converged: 1 of 2 calls in 3.2 s; read back, nothing differs."),
        ("unchanged", "Unchanged: everything matches the spec."),
        ("partial", "Stopped before converging: 1 of 2 calls in 3.2 s. Running it again is safe."),
        ("failed", "Failed: nothing was changed."),
    ],
)
def test_the_closing_words_of_an_apply(outcome: str, words: str, mixed: Plan) -> None:
    done, skipped = Outcome(mixed.steps[0], Status.DONE, acted=True), Outcome(mixed.steps[0], Status.SKIPPED)
    assert piped(report_text(report(outcome, done, skipped))).splitlines()[0] == words


def test_checks_in_a_report() -> None:
    """They change the exit code of a run that converged, and of no other one."""
    good = CheckResult("page", "http 203.0.113.7:80/", "open", "open", 1.24)
    bad = CheckResult("shut", "tcp 203.0.113.7:80", "silent", None, 30.0, why="x\x1b[2J")
    run = report("unchanged", checks=(good, bad))
    assert [replace(run, checks=checks).exit_code for checks in ((), (good,), (bad,))] == [0, 0, 6]
    assert replace(run, outcome="partial").exit_code == 5
    assert "checks" not in report_json(replace(run, checks=()))
    assert report_json(run)["checks"] == [
        {"name": "page", "status": "ok", "expect": "open", "got": "open", "seconds": 1.24, "why": None},
        {"name": "shut", "status": "failed", "expect": "silent", "got": None, "seconds": 30.0, "why": "x\x1b[2J"},
    ]
    assert report_text(run).splitlines()[1:] == [
        "  1 of 2 checks failed:",
        "  ✗ shut  tcp 203.0.113.7:80  not asked  (30.0 s)",
        "      x\\x1b[2J",
    ]
    assert report_text(replace(run, checks=(good,))).splitlines()[1:] == ["  The check passed."]
    assert report_text(replace(run, checks=(good, good))).splitlines()[1:] == ["  All 2 checks passed."]


def test_a_stop_before_any_change_is_reported_so(mixed: Plan) -> None:
    skipped = Outcome(mixed.steps[0], Status.SKIPPED, error="stopped before it began")
    stopped = report("partial", skipped, error="stopped by SIGTERM", remaining=("instances.web",))
    assert report_lines(stopped) == [
        "Stopped: nothing was changed. Running it again is safe.",
        "  stopped by SIGTERM",
        "  still to do: instances.web",
    ]


def test_what_stderr_has_told_is_not_told_again(mixed: Plan) -> None:
    """The closing words of a run leave out failures and errors, which it told when they happened."""
    failed = Outcome(mixed.steps[0], Status.FAILED, 1, 0.1, error="EC2 said no")
    remaining = tuple(f"instances.web-{number}" for number in range(22))
    text = piped(report_text(report("partial", failed, error="and more", remaining=remaining)))
    assert text.split("\n") == [
        "Stopped: nothing was changed. Running it again is safe.",
        f"  still to do: {', '.join(remaining[:20])} and 2 more",
    ]


def test_what_ec2_had_not_done_yet_has_not_failed(mixed: Plan) -> None:
    """For programs, its call is done."""
    words = "sent; not yet ready: waiting until i-1 is running"
    sent = Outcome(Step("s3", "RunInstances", {}, "instances.web"), Status.SENT, 1, 0.1, "i-1", words, acted=True)
    stopped = report("partial", sent)
    assert report_lines(stopped)[1:] == [
        f"  s3 RunInstances instances.web: {words}",
        "  not yet ready: instances.web",
    ]
    [told] = report_json(stopped)["steps"]
    assert (told["status"], told["error"], told["not_ready"]) == ("done", None, words)
    assert f"… s3  RunInstances  instances.web  i-1\n      {words}" in reports_markdown(
        [replace(stopped, plan=mixed)]
    )


def test_a_destroy_says_that_nothing_is_left(mixed: Plan) -> None:
    done = Outcome(mixed.steps[0], Status.DONE, acted=True)
    gone = report("converged", done, destroy=True)
    assert report_text(gone) == "Destroyed. 1 of 1 calls in 3.2 s; read back, nothing is left."
    assert report_text(replace(gone, outcome="partial")).startswith("Stopped before converging: ")


def test_the_closing_words_name_what_failed_and_what_is_still_to_do(mixed: Plan) -> None:
    failed = Outcome(mixed.steps[0], Status.FAILED, 1, 0.1, error="EC2 said no")
    skipped = Outcome(mixed.steps[1], Status.SKIPPED, error="needs s1, which failed")
    ended = report("partial", failed, skipped, error="and more", remaining=("instances.web",))
    text = "\n".join(report_lines(ended))
    assert ("EC2 said no" in text, "and more" in text, "still to do: instances.web" in text) == (True, True, True)
    assert "which failed" not in text


def test_the_closing_words_line_by_line(mixed: Plan) -> None:
    """Calls that succeeded are counted, those that failed are listed; lines of a message stay lines."""
    done = Outcome(mixed.steps[0], Status.DONE, acted=True)
    failed = Outcome(mixed.steps[1], Status.FAILED, 1, 0.1, error="EC2 said no:\n  because")
    remaining = ("instances.db", "instances.web")
    lines = report_lines(report("partial", done, done, failed, error="and\nmore", remaining=remaining))
    assert lines == [
        "Stopped before converging: 2 of 3 calls in 3.2 s. Running it again is safe.",
        f"  {mixed.steps[1].id} CreateTags {mixed.steps[1].address} set tag Project: EC2 said no:",
        "  because",
        "  and",
        "more",
        "  still to do: instances.db, instances.web",
    ]


@pytest.mark.parametrize(
    ("stop", "start", "state"),
    [
        (Status.DONE, Status.DONE, "running"),
        (Status.DONE, Status.FAILED, "starting"),
        (Status.DONE, Status.SKIPPED, "stopped"),
        (Status.FAILED, Status.SKIPPED, "stopping"),
        (Status.SKIPPED, Status.DONE, None),
    ],
)
def test_the_closing_lines_state_what_became_of_stopped_instances(
    stop: Status, start: Status, state: str | None
) -> None:
    ended = [
        Outcome(Step(name, call, {}, "instances.web"), status, error="no", acted=status is not Status.SKIPPED)
        for name, call, status in (("s1", "StopInstances", stop), ("s3", "StartInstances", start))
    ]
    lines = piped(report_text(report("partial", *ended))).split("\n")
    assert [line for line in lines if " is " in line and "again" not in line] == (
        [f"  instances.web is {state}"] if state else []
    )
    assert " is " not in "".join(piped(report_text(report("converged", *ended))).split("\n")[1:])


def test_a_failure_without_a_message_is_reported_without_one(mixed: Plan) -> None:
    """The line ends after the colon."""
    lines = report_lines(report("partial", Outcome(mixed.steps[0], Status.FAILED)))
    assert lines[1:] == ["  s1 AssociateAddress elastic_ips.web 192.0.2.1 associate with web0: "]


def test_a_failure_names_its_call_once() -> None:
    """The error of AWS begins with it, too."""
    step = Step("s2", "AttachNetworkInterface", {}, "network_interfaces.eth1", summary="attach to web as index 1")
    error = str(AwsError(step.call, "AttachmentLimitExceeded", "no room", address=step.address))
    [_, line] = report_lines(report("partial", Outcome(step, Status.FAILED, error=error)))
    assert line == (
        "  s2 AttachNetworkInterface network_interfaces.eth1 attach to web as index 1: "
        "AttachmentLimitExceeded: no room"
    )


@pytest.mark.parametrize("summary", sorted({summary for _, _, summary in SUMMARIES if " " in summary}))
def test_what_was_done_is_told_as_done(summary: str) -> None:
    """Every verb of a summary has a past tense."""
    verb, rest = past(summary).split(" ", 1)
    assert rest == summary.split(" ", 1)[1]
    assert verb.endswith("ed") or verb in ("led", "set")


def test_what_was_mended_is_told_in_the_past() -> None:
    assert [
        past(words) for words in ("revoke tcp 22 from 0.0.0.0/0", "stop it", "lead x here", "set tag y", "")
    ] == [
        "revoked tcp 22 from 0.0.0.0/0",
        "stopped it",
        "led x here",
        "set tag y",
        "",
    ]


# ---- the question


def test_the_question_names_the_deed(mixed: Plan) -> None:
    """By count and impact: what it interrupts, what else is disruptive, what goes, and which of it for good."""
    assert question(mixed, destroy=False) == "Apply 7 changes? 1 interrupts traffic, 2 more are disruptive."
    pruned = plan_of(OTHER, OTHER_WORLD, prune=True)
    assert question(pruned, destroy=False) == (
        "Apply 8 changes? 2 are disruptive, 2 delete a resource. 2 public addresses go for good."
    )
    assert question(plan_of({"elastic_ips": {"one": {}}}), destroy=False) == "Apply 1 change?"
    all_of_it = plan_of({}, WORLD, prune=True)
    assert question(all_of_it, destroy=True) == "Destroy 7 resources? 3 public addresses go for good."
    one = plan_of({}, {"elastic_ips": {"one": {}}}, prune=True)
    assert question(one, destroy=True) == "Destroy 1 resource? 1 public address goes for good."


@pytest.mark.parametrize(
    ("outcome", "colour"),
    [
        ("converged", "32"),
        ("unchanged", "32"),
        ("partial", "31"),
        ("failed", "31"),
        ("refused", "31"),
        ("locked", "31"),
    ],
)
def test_the_closing_words_are_green_when_all_is_well_and_red_otherwise(
    outcome: str, colour: str, mixed: Plan
) -> None:
    """The colour is what is seen first, whether anything was done or not."""
    done = Outcome(mixed.steps[0], Status.DONE, acted=True)
    for told in (report(outcome), report(outcome, done)):
        assert report_text(told, click.style).startswith(f"\x1b[{colour}m")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a b–ü", "a b–ü"), ("a\x1bb", "a\\x1bb"), ("a\\b", "a\\b"), ("", ""), (None, "")],
    ids=["letters", "escape", "backslash", "empty", "nothing"],
)
def test_only_what_could_steer_a_terminal_is_spelled_out(text: str | None, shown: str) -> None:
    """Letters of any language stay as they are."""
    assert printable(text) == shown
