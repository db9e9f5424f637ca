"""The Prometheus textfile: what a run leaves in it, what it keeps of others, and what it makes of rubbish."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from enireconcile.model import Action, Change, Impact, Leftover, Outcome, Plan, Report, Status, Step
from enireconcile.outputs.metrics import OUTCOMES, Run, of_report, updated

NOW = 1_767_323_045.5
FOUND = {"create": 1, "update": 2, "replace": 0, "delete": 0, "adopt": 0, "unchanged": 4, "leftover": 3}


def plan_found() -> Plan:
    """A plan whose summary is FOUND."""
    changes = tuple(
        Change(f"elastic_ips.{action}-{number}", action, Impact.SAFE, None)
        for action in Action
        for number in range(FOUND[action])
    )
    leftovers = tuple(Leftover(f"elastic_ips.{number}", "eipalloc-1") for number in range(FOUND["leftover"]))
    return Plan("lab", "123456789012", "us-east-1", "sha256:0", changes, (), leftovers)


def run(outcome: str = "converged", stack: str = "lab", **words: Any) -> Run:
    usual: dict[str, Any] = {
        "account": "123456789012",
        "region": "us-east-1",
        "command": "apply",
        "ended": NOW,
        "seconds": 3.25,
        "found": FOUND,
        "remaining": 0,
    }
    return Run(stack=stack, outcome=outcome, **{**usual, **words})


def test_checks_keep_their_last_result() -> None:
    """A run without checks keeps them. One with checks knows all of them; a watch runs a part at a time."""
    first = updated("", run(checks={"page": True, "ssh": False}))
    assert check_ok(first) == {"page": 1.0, "ssh": 0.0}
    assert check_ok(updated(first, run())) == {"page": 1.0, "ssh": 0.0}
    assert check_ok(updated(first, run(checks={"page": False}))) == {"page": 0.0}
    watched = updated("", run(checks={"page": True, "ssh": False}, command="watch"))
    assert check_ok(updated(watched, run(checks={"ssh": True}, command="watch"))) == {"page": 1.0, "ssh": 1.0}


def check_ok(text: str) -> dict[str, float]:
    """The results of the checks by their names."""
    return {label: value for (name, label), value in samples(text).items() if name == "check_ok"}


def samples(text: str) -> dict[tuple[str, str], float]:
    """Values by name and the labels beyond stack, account, region and command, as Prometheus reads them."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in ("gauge", "counter")
        for sample in family.samples:
            labels = {
                key: value
                for key, value in sample.labels.items()
                if key not in ("stack", "account", "region", "command")
            }
            key = (sample.name.removeprefix("enireconcile_"), ",".join(labels.values()))
            assert key not in found
            found[key] = sample.value
    return found


def value(text: str, name: str, *labels: str) -> float | None:
    return samples(text).get((name, ",".join(labels)))


def test_a_run_in_numbers() -> None:
    """Every figure of a run, each under its own name and labels."""
    step = Step("s1", "CreateTags", {}, "instances.web")
    report = Report(
        "lab",
        "123456789012",
        "us-east-1",
        "partial",
        datetime.fromtimestamp(NOW, UTC),
        3.25,
        (
            Outcome(step, Status.DONE),
            Outcome(step, Status.DONE),
            Outcome(step, Status.FAILED),
            Outcome(step, Status.SKIPPED),
        ),
        remaining=("instances.web",),
        api_calls={"CreateTags": 4, "DescribeInstances": 1},
        throttled=1,
        plan=plan_found(),
    )
    text = updated("", of_report(report, "apply"))
    expected = {
        ("last_run_timestamp_seconds", ""): NOW + 3.25,
        ("last_success_timestamp_seconds", ""): 0.0,
        ("last_run_seconds", ""): 3.25,
        ("drift_resources", "create"): 1,
        ("drift_resources", "update"): 2,
        ("drift_resources", "replace"): 0,
        ("drift_resources", "delete"): 0,
        ("drift_resources", "adopt"): 0,
        ("leftover_resources", ""): 3,
        ("remaining_resources", ""): 1,
        ("steps_total", "CreateTags,done"): 2,
        ("steps_total", "CreateTags,failed"): 1,
        ("steps_total", "CreateTags,skipped"): 1,
        ("api_calls_total", "CreateTags"): 4,
        ("api_calls_total", "DescribeInstances"): 1,
        ("throttled_calls_total", ""): 1,
    }
    for outcome in OUTCOMES:
        expected["last_run_outcome", outcome] = expected["runs_total", outcome] = float(outcome == "partial")
    assert samples(text) == expected
    assert (
        'enireconcile_api_calls_total{stack="lab",account="123456789012",region="us-east-1",command="apply",'
        'action="CreateTags"} 4\n' in text
    )


def test_textfile_rules() -> None:
    """What node_exporter and promtool ask of a file: one HELP and TYPE a family, in one block; a last line feed;
    no timestamps; counters end in _total and gauges do not."""
    text = updated(updated("", run(stack="one")), run(stack="two"))
    lines = text.splitlines()
    kinds = {line.split()[2]: line.split()[3] for line in lines if line.startswith("# TYPE")}
    assert len(kinds) == sum(line.startswith("# TYPE") for line in lines)
    assert [line.split()[2] for line in lines if line.startswith("# HELP")] == list(kinds)
    blocks = [line.partition("{")[0] for line in lines if not line.startswith("#")]
    assert list(dict.fromkeys(blocks)) == list(kinds)
    assert sorted(blocks, key=list(kinds).index) == blocks
    assert all((kind == "counter") == name.endswith("_total") for name, kind in kinds.items())
    assert all(len(line.rpartition("} ")[2].split()) == 1 for line in lines if not line.startswith("#"))
    assert text.endswith("\n")


@pytest.mark.parametrize("outcome", ["partial", "failed", "refused", "locked"])
def test_a_failure_keeps_the_time_of_the_last_success(outcome: str) -> None:
    """Alerts use the age of the last success: a run that fails does not change it."""
    text = updated(updated("", run()), run(outcome, ended=NOW + 300))
    assert value(text, "last_success_timestamp_seconds") == NOW
    assert value(text, "last_run_timestamp_seconds") == NOW + 300
    assert value(text, "last_run_outcome", outcome) == 1
    assert value(text, "last_run_outcome", "converged") == 0


def test_counters_go_on() -> None:
    calls: dict[str, Any] = {
        "api_calls": {"RunInstances": 2},
        "steps": {("RunInstances", "done"): 2},
        "throttled": 1,
    }
    text = updated(updated("", run(**calls)), run("unchanged", api_calls={"DescribeInstances": 1}))
    assert value(text, "api_calls_total", "RunInstances") == 2
    assert value(text, "api_calls_total", "DescribeInstances") == 1
    assert value(text, "steps_total", "RunInstances", "done") == 2
    assert value(text, "throttled_calls_total") == 1
    assert value(text, "runs_total", "converged") == 1
    assert value(text, "runs_total", "unchanged") == 1
    assert value(text, "runs_total", "failed") == 0


def test_a_run_that_saw_nothing_says_nothing_of_drift() -> None:
    """A run that is locked out keeps the drift that the last run found, and does not know how much remains."""
    text = updated(updated("", run()), run("locked", found=None, remaining=None))
    assert value(text, "drift_resources", "update") == 2
    assert value(text, "remaining_resources") is None


OTHERS: list[dict[str, Any]] = [
    {"stack": "other"},
    {"account": "999999999999"},
    {"region": "eu-west-1"},
    {"command": "plan", "outcome": "planned"},
]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_runs_of_others_stay(other: dict[str, Any]) -> None:
    """Cron lines may share a file: each has its own series, and never touches another's."""
    first = updated("", run(**other))
    both = updated(first, run())
    again = updated(both, run("failed", ended=NOW + 1))
    theirs = [line for line in first.splitlines() if not line.startswith("#")]
    assert [line for line in theirs if line not in both.splitlines()] == []
    assert [line for line in theirs if line not in again.splitlines()] == []


def test_many_stacks_in_one_write() -> None:
    """The same as one after another, and in a time that grows with their number only: 400 took a minute."""
    runs = [run(stack=f"s{number}", region=region) for number in range(400) for region in ("a", "b")]
    began = time.process_time()
    text = updated(updated("", *runs), *runs)
    assert time.process_time() - began < 10
    assert text.count("enireconcile_last_run_seconds{") == 800
    one_by_one = ""
    for each in [*runs[:3], *runs[:3]]:
        one_by_one = updated(one_by_one, each)
    assert updated(updated("", *runs[:3]), *runs[:3]) == one_by_one


def test_a_region_whose_account_is_not_known_yet() -> None:
    """It is not replaced by the same stack in another Region."""
    unknown = run("failed", account="", region="eu-west-1", found=None, remaining=None)
    assert 'account="",region="eu-west-1"' in updated("", unknown, run())
    assert 'account=""' not in updated("", unknown, run(region="eu-west-1"))


def test_no_account_yet() -> None:
    """A run whose credentials fail does not know its account: it counts for the one that the stack had last."""
    text = updated(updated("", run()), run("failed", account="", region="", found=None, remaining=None))
    assert 'account=""' not in text
    assert value(text, "last_run_outcome", "failed") == 1
    assert value(text, "last_success_timestamp_seconds") == NOW


def test_the_first_run_never_knew_its_account() -> None:
    """Series without an account are dropped once the account is known, or their alarm would never clear."""
    first = updated("", run("failed", account="", region="", found=None, remaining=None))
    assert value(first, "last_run_outcome", "failed") == 1
    second = updated(first, run())
    assert 'account=""' not in second
    assert value(second, "last_run_outcome", "failed") == 0


def test_no_region_yet() -> None:
    """A run that has no Region knows the account that its spec names: it counts for no other one."""
    unknown = run("failed", region="", found=None, remaining=None)
    assert value(updated(updated("", run()), unknown), "last_run_outcome", "failed") == 1
    others = updated("", run(account="999999999999"))
    assert 'account="123456789012",region=""' in updated(others, unknown)
    assert 'region=""' in updated("", unknown)
    assert 'region=""' not in updated("", unknown, run())


def test_two_accounts_of_one_stack_are_no_guess() -> None:
    both = updated(updated("", run()), run(account="999999999999"))
    text = updated(both, run("failed", account="", found=None, remaining=None))
    assert 'account=""' in text


@pytest.mark.parametrize(
    "rubbish",
    [
        "",
        "\n\n",
        "# HELP enireconcile_runs_total\n",
        "enireconcile_runs_total 3\n",
        'enireconcile_runs_total{stack="lab",account="1',
        'enireconcile_runs_total{stack="lab",account="123456789012",region="us-east-1",command="apply"} 1e+e\n',
        'enireconcile_unknown{stack="lab",account="1",region="r",command="apply"} 3\n',
        'node_load1{stack="lab",account="1",region="r",command="apply"} 3\n',
        "\x00\ufffd",
    ],
)
def test_rubbish_is_dropped(rubbish: str) -> None:
    """A file that was cut short or is not ours costs the history, never the run."""
    assert updated(rubbish, run()) == updated("", run())


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.text(max_size=5))
def test_labels_survive_whatever_is_in_them(region: str, account: str) -> None:
    """Written, read by Prometheus, read by ourselves."""
    words: dict[str, Any] = {"region": region, "account": account.encode("utf-8", "replace").decode()}
    text = updated("", run(**words))
    found = {
        (sample.labels["region"], sample.labels["account"])
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found == {(words["region"], words["account"])}
    assert value(updated(text, run(**words)), "runs_total", "converged") == 2
