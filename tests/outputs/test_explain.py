"""What ``explain`` prints."""

from __future__ import annotations

import json

from enireconcile.outputs.explain import explained_json, explained_text
from enireconcile.planning.explain import explain
from tests.planning.worlds import Words, plan_of, spec_of

SPEC: Words = {
    "instances": {"web": {"image": "ami-12345678", "instance_type": "t3.micro", "on_change": "restart"}},
    "network_interfaces": {
        "eth0": {
            "subnet": {"default_for_az": "us-east-1a"},
            "attachment": {"instance": "web", "device_index": 0},
        }
    },
}
LIVE: Words = {
    "instances": {"web": {"instance_type": "t3.small"}},
    "network_interfaces": {"eth0": {"at": "web 0"}},
}


def test_a_resource_as_text() -> None:
    loaded = spec_of(SPEC)
    plan = plan_of(SPEC, LIVE)
    place = explain(plan, "instances.web", loaded).fields[0].place
    row = explain(plan, "instances.web", loaded).place
    assert explained_text(plan, explain(plan, "instances.web", loaded)).split("\n") == [
        f"{plan.stack}  (account {plan.account_id}, {plan.region})",
        "",
        "~ instances.web  i-web  update  [disruptive]",
        f"    {row}: it exists, and differs from its row.",
        f"    instance_type  ({place})",
        "      found   t3.small",
        "      wanted  t3.micro",
        "",
        "s1 StopInstances  instances.web  [disruptive]",
        "    disruptive: the instance does not run, and loses an automatic public address and its instance store",
        "    for    instance_type",
        "    after  nothing: it can run at once",
        "    before s2 ModifyInstanceAttribute: s2 waits until instances.web is stopped",
        "    before s3 StartInstances: s3 waits until instances.web is stopped",
        "    until  s3: running; EC2 changes this only while the instance is stopped",
        "",
        "s2 ModifyInstanceAttribute  instances.web  set instance_type t3.micro  [disruptive]",
        "    disruptive: EC2 takes it only while the instance is stopped, or it changes how that runs",
        "    for    instance_type",
        "    after  s1 StopInstances: s2 waits until instances.web is stopped",
        "    before s3 StartInstances: s3 waits until what EC2 changes only while it is stopped is changed on "
        "instances.web",
        "",
        "s3 StartInstances  instances.web  [safe]",
        "    for    instance_type",
        "    after  s1 StopInstances: s3 waits until instances.web is stopped",
        "    after  s2 ModifyInstanceAttribute: s3 waits until what EC2 changes only while it is stopped is "
        "changed on instances.web",
    ]


def test_of_lists_and_tags_the_difference() -> None:
    """As ``plan`` shows it: what stays is not repeated."""
    rule = {"protocol": "tcp", "sources": ["0.0.0.0/0"]}
    spec: Words = {
        "security_groups": {
            "web": {"ingress": [{**rule, "ports": port} for port in (80, 443)], "tags": {"a": "b"}}
        }
    }
    plan = plan_of(spec, {"security_groups": {"web": {"ingress": ["tcp 22 0.0.0.0/0", "tcp 80 0.0.0.0/0"]}}})
    told = explained_text(plan, explain(plan, "security_groups.web")).split("\n")
    assert told[told.index("    ingress") : told.index("    ingress") + 3] == [
        "    ingress",
        "      + tcp 443 from 0.0.0.0/0",
        "      - tcp 22 from 0.0.0.0/0",
    ]
    assert told[told.index("    tags") + 1] == "      a: (none) → b"
    assert "    disruptive: new connections that only this rule lets in get no answer; tracked ones go on" in told


def test_what_matches_and_what_is_left_out_as_text() -> None:
    plan = plan_of(SPEC, LIVE)
    assert explained_text(plan, explain(plan, "network_interfaces.eth0")).split("\n")[2:] == [
        "network_interfaces.eth0  eni-eth0",
        "    it matches its row: there is nothing to do.",
    ]
    plan = plan_of(
        {"elastic_ips": {"web": {"address": "198.51.100.7"}}}, {"elastic_ips": {"web": {}}}, partly=True
    )
    told = explained_text(plan, explain(plan, "elastic_ips.web"))
    assert "the plan leaves it out because of an error." in told
    assert "error: " in told
    assert "it cannot be changed in place" in told
    assert "left out: elastic_ips.web" in told


def test_a_step_as_json() -> None:
    plan = plan_of(SPEC, LIVE)
    printed = json.loads(json.dumps(explained_json(plan, explain(plan, "s2"))))
    assert {key: printed[key] for key in ("format_version", "address", "action", "id", "place", "error")} == {
        "format_version": "1.0",
        "address": "instances.web",
        "action": "update",
        "id": "i-web",
        "place": None,
        "error": None,
    }
    assert printed["fields"] == [
        {"field": "instance_type", "before": "t3.small", "after": "t3.micro", "place": None}
    ]
    [step] = printed["steps"]
    assert (step["id"], step["call"], step["impact"], step["fields"]) == (
        "s2",
        "ModifyInstanceAttribute",
        "disruptive",
        ["instance_type"],
    )
    assert step["after"] == [{"step": "s1", "why": "s2 waits until instances.web is stopped"}]


def test_text_from_aws_is_made_harmless() -> None:
    plan = plan_of({}, {"elastic_ips": {"old\x1b[31m": {}}})
    assert "\x1b" not in explained_text(plan, explain(plan, "elastic_ips.old\x1b[31m"))
