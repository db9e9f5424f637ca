"""What a plan may do: every reason against one, with its steps or resources and the flag that would allow it."""

from __future__ import annotations

import pytest

from enireconcile.errors import GuardError
from enireconcile.model import Impact, Plan
from enireconcile.planning.draft import make_plan
from enireconcile.planning.guards import Allowed, guard, objections
from tests.planning.worlds import live_of, plan_of, spec_of

UNATTENDED = Allowed(auto_approve=True)


@pytest.fixture(scope="module")
def pruning() -> Plan:
    """Releases two addresses and allocates one."""
    return plan_of({"elastic_ips": {"new": {}}}, {"elastic_ips": {"a": {}, "b": {}}}, prune=True)


@pytest.mark.parametrize(
    ("allowed", "reasons"),
    [
        (UNATTENDED, ["it has destructive steps, and --allow-destroy was not given:"]),
        (Allowed(), []),
        (Allowed(auto_approve=True, allow_destroy=True), []),
        (Allowed(max_changes=3), []),
        (Allowed(max_changes=2), ["it changes 3 resources, and --max-changes is 2:"]),
        (
            Allowed(auto_approve=True, max_changes=0),
            [
                "it has destructive steps, and --allow-destroy was not given:",
                "it changes 3 resources, and --max-changes is 0:",
            ],
        ),
    ],
    ids=str,
)
def test_reasons(pruning: Plan, allowed: Allowed, reasons: list[str]) -> None:
    assert [reason.splitlines()[0] for reason in objections(pruning, allowed)] == reasons


def test_all_reasons_are_in_one_message(pruning: Plan) -> None:
    with pytest.raises(GuardError) as refused:
        guard(pruning, Allowed(auto_approve=True, max_changes=1), "it is out of date")
    assert refused.value.exit_code == 3
    assert str(refused.value).splitlines() == [
        "the plan was refused; nothing was changed:",
        "  it is out of date",
        "  it has destructive steps, and --allow-destroy was not given:",
        "    s1 ReleaseAddress for elastic_ips.a 192.0.2.1",
        "    s2 ReleaseAddress for elastic_ips.b 192.0.2.1",
        "  it changes 3 resources, and --max-changes is 1:",
        "    create elastic_ips.new",
        "    delete elastic_ips.a 192.0.2.1",
        "    delete elastic_ips.b 192.0.2.1",
        "  hint: if the plan is what you want, raise --max-changes to 3",
    ]


def test_a_plan_that_is_allowed_passes(pruning: Plan) -> None:
    guard(pruning, Allowed(auto_approve=True, allow_destroy=True, max_changes=3))
    with pytest.raises(GuardError, match="it is out of date"):
        guard(pruning, Allowed(), "it is out of date")


def test_what_is_unchanged_is_no_change() -> None:
    plan = plan_of({"elastic_ips": {"a": {}, "b": {}}}, {"elastic_ips": {"a": {}}})
    guard(plan, Allowed(auto_approve=True, max_changes=1))


def test_a_list_of_twenty_is_shown_whole() -> None:
    plan = plan_of({}, {"elastic_ips": {f"ip-{number:02}": {} for number in range(20)}}, prune=True)
    [reason] = objections(plan, UNATTENDED)
    assert reason.splitlines()[-1] == "    s20 ReleaseAddress for elastic_ips.ip-19 192.0.2.1"


def test_a_long_list_ends_with_a_number() -> None:
    plan = plan_of({}, {"elastic_ips": {f"ip-{number:02}": {} for number in range(23)}}, prune=True)
    [reason] = objections(plan, UNATTENDED)
    assert reason.splitlines()[-2:] == ["    s20 ReleaseAddress for elastic_ips.ip-19 192.0.2.1", "    and 3 more"]


def test_a_name_from_aws_cannot_control_the_terminal() -> None:
    """A tag that another user has edited says anything."""
    plan = plan_of({}, {"elastic_ips": {"a\x1b[2J\nnothing to see": {}}}, prune=True)
    [reason] = objections(plan, UNATTENDED)
    assert reason.splitlines()[1:] == [
        "    s1 ReleaseAddress for elastic_ips.a\\x1b[2J\\nnothing to see 192.0.2.1"
    ]


def test_what_runs_unseen() -> None:
    assert (UNATTENDED.impact, Allowed(allow_destroy=True).impact) == (Impact.DISRUPTIVE, Impact.DESTRUCTIVE)


PROTECTED = {
    "elastic_ips": {"a": {"lifecycle": {"prevent_destroy": True}}, "b": {}},
    "network_interfaces": {
        "a": {"lifecycle": {"prevent_destroy": True}, "subnet": {"default_for_az": "us-east-1a"}}
    },
}


def test_what_the_spec_protects_is_not_destroyed() -> None:
    """No flag allows it, and no approval; the document is that of ``destroy``, which has no rows."""
    spec = spec_of(PROTECTED).emptied()
    live = live_of({"elastic_ips": {"a": {}, "b": {}, "c": {}}, "network_interfaces": {"a": {}}}, spec)
    plan = make_plan(spec, live, prune=True)
    for allowed in (Allowed(), Allowed(auto_approve=True, allow_destroy=True)):
        assert objections(plan, allowed) == [
            "the spec forbids destroying these (lifecycle.prevent_destroy):"
            "\n    s1 ReleaseAddress for elastic_ips.a 192.0.2.1"
            "\n    s4 DeleteNetworkInterface for network_interfaces.a"
        ]
    assert plan.warnings == (
        "elastic_ips.a has prevent_destroy: this plan is refused because of its ReleaseAddress",
        "network_interfaces.a has prevent_destroy: this plan is refused because of its DeleteNetworkInterface",
    )


def test_a_refusal_by_the_spec_names_its_places() -> None:
    text = """\
version: 1
stack: lab
region: us-east-1
elastic_ips:
  a:
    lifecycle:
      prevent_destroy: true
  "${each.key}": {for_each: [b, c], lifecycle: {prevent_destroy: true}}
"""
    spec = spec_of(text).emptied()
    plan = make_plan(spec, live_of({"elastic_ips": {"a": {}, "b": {}, "c": {}}}, spec), prune=True)
    with pytest.raises(GuardError) as refused:
        guard(plan, Allowed(max_changes=1))
    assert refused.value.hint == (
        "to destroy them, remove prevent_destroy (-:7, -:8); "
        "if the plan is what you want, raise --max-changes to 3"
    )


def test_a_hint_names_five_places() -> None:
    rows = "".join(f"  e{number}: {{lifecycle: {{prevent_destroy: true}}}}\n" for number in range(7))
    spec = spec_of(f"version: 1\nstack: lab\nregion: us-east-1\nelastic_ips:\n{rows}").emptied()
    live = live_of({"elastic_ips": {f"e{number}": {} for number in range(7)}}, spec)
    with pytest.raises(GuardError) as refused:
        guard(make_plan(spec, live, prune=True), Allowed())
    assert refused.value.hint == "to destroy them, remove prevent_destroy (-:5, -:6, -:7, -:8, -:9 and 2 more)"


def test_protection_is_reported_before_flags() -> None:
    spec = spec_of(PROTECTED).emptied()
    plan = make_plan(spec, live_of({"elastic_ips": {"a": {}}}, spec), prune=True)
    assert [reason.splitlines()[0] for reason in objections(plan, UNATTENDED)] == [
        "the spec forbids destroying these (lifecycle.prevent_destroy):",
        "it has destructive steps, and --allow-destroy was not given:",
    ]


def test_what_is_protected_may_be_changed() -> None:
    plan = plan_of(PROTECTED, {"elastic_ips": {"a": {"tags": {"Name": "x"}}}, "network_interfaces": {"a": {}}})
    assert objections(plan, UNATTENDED) == []
    assert plan.warnings == ()


def test_what_is_protected_is_not_replaced() -> None:
    row = {"subnet": {"default_for_az": "us-east-1b"}, "lifecycle": {"prevent_destroy": True}}
    plan = plan_of({"network_interfaces": {"a": row}}, {"network_interfaces": {"a": {}}})
    [reason] = objections(plan, Allowed())
    assert reason.splitlines()[1:] == ["    s2 DeleteNetworkInterface for network_interfaces.a"]
