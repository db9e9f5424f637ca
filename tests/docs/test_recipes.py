"""The recipes beside the schedules: alert rules, dashboard, policy, image, Lambda template and GitHub Action."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import dockerfile
import promql_parser as promql
import pytest
import regopy
import yaml
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

import enireconcile
from enireconcile import aws_lambda
from enireconcile.cli.app import cli
from enireconcile.outputs import metrics
from enireconcile.outputs.json import plan_json
from tests.docs.console import ROOT
from tests.docs.reference import options_of
from tests.docs.test_repository import problems
from tests.harness import STORY, Harness

DEPLOY = ROOT / "docs" / "deploy"
RULES = yaml.safe_load((DEPLOY / "prometheus-rules.yaml").read_text("utf-8"))
DASHBOARD = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
ACTION = ROOT / ".github" / "actions" / "enireconcile" / "action.yaml"
CONTAINER = dockerfile.parse_file(str(DEPLOY / "Containerfile"))


# ---- Prometheus and Grafana


@pytest.fixture(scope="module")
def series() -> list[dict[str, str]]:
    """Every series that runs of all outcomes write, with its name as ``__name__``."""
    run = metrics.Run("edge", "1", "r", "apply", "converged", 2.0, 1.0, {"create": 1, "leftover": 1}, 1)
    run = replace(run, steps={("RunInstances", "done"): 1}, api_calls={"DescribeVpcs": 1}, checks={"page": True})
    text = ""
    for command in ("plan", "apply", "watch", "destroy"):
        text = metrics.updated(text, replace(run, command=command))
    families = list(text_string_to_metric_families(text))
    assert {f"enireconcile_{name.removesuffix('_total')}" for name in metrics._FAMILIES} == {
        family.name for family in families
    }
    return [{**sample.labels, "__name__": sample.name} for family in families for sample in family.samples]


def rules() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def queries() -> Iterator[str]:
    """The expressions of the dashboard, with values in the place of Grafana's variables."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            text = target["expr"].replace("$__rate_interval", "5m")
            yield re.sub(r"\$(stack|account|region)\b", ".*", text)


def selectors(expression: promql.Expr) -> list[promql.VectorSelector]:
    """The selectors in an expression."""
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(expression, visit)
    return found


def matches(matcher: promql.Matcher, labels: dict[str, str]) -> bool:
    value = labels.get(matcher.name, "")
    if matcher.op in (promql.MatchOp.Re, promql.MatchOp.NotRe):
        return bool(re.fullmatch(matcher.value, value)) is bool(matcher.op == promql.MatchOp.Re)
    return (value == matcher.value) is bool(matcher.op == promql.MatchOp.Equal)


@pytest.mark.parametrize("expression", [*(rule["expr"] for rule in rules()), *queries()])
def test_expressions_select_metrics_that_are_written(expression: str, series: list[dict[str, str]]) -> None:
    """Prometheus's grammar takes each one, and each selector finds a series, with all of its alternatives."""
    found = selectors(promql.parse(expression))
    assert found
    for selector in found:
        named = [labels for labels in series if labels["__name__"] == selector.name]
        matchers = selector.matchers.matchers
        assert [each for each in named if all(matches(matcher, each) for matcher in matchers)], selector
        for matcher in matchers:
            known = {labels[matcher.name] for labels in named}
            alternatives = set(matcher.value.split("|")) - {".*"}
            assert alternatives <= known, matcher


def test_a_selector_of_nothing_is_noticed(series: list[dict[str, str]]) -> None:
    with pytest.raises(AssertionError):
        test_expressions_select_metrics_that_are_written("sum(enireconcile_runs_total{outcome='gone'})", series)
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        promql.parse("sum(enireconcile_runs_total")


def test_rules_have_the_form_of_prometheus() -> None:
    """Known keys only, durations, a severity, and annotations whose labels the expression keeps."""
    assert RULES.keys() == {"groups"}
    assert [group.keys() for group in RULES["groups"]] == [{"name", "rules"}]
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
        assert promql.parse_duration(rule.get("for", "1s"))
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        kept = set(re.findall(r"\w+", next(iter(re.findall(r"by \(([^)]*)\)", rule["expr"])), "")))
        text = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= kept, rule["alert"]
        assert set(re.findall(r"\{\{ (.*?) \}\}", text)) <= {
            *(f"$labels.{name}" for name in kept),
            "$value",
            "$value | humanizeDuration",
        }


def test_alerts_name_existing_commands_and_options() -> None:
    text = (DEPLOY / "prometheus-rules.yaml").read_text("utf-8")
    calls = re.findall(r"`enireconcile ([a-z-]+)((?: --[a-z-]+)*)`", text)
    assert calls
    for command, options in calls:
        assert set(options.split()) <= options_of(cli.commands[command]).keys()


def test_the_dashboard_is_one_of_grafana() -> None:
    """The form that Grafana imports: panels with ids and places that do not overlap, on any data source."""
    assert DASHBOARD["schemaVersion"] >= 39
    assert "__inputs" not in DASHBOARD
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert max(x for x, _ in cells) < 24
        assert not taken & cells
        taken |= cells
        assert {each["datasource"]["uid"] for each in [panel, *panel["targets"]]} == {"${datasource}"}
        used = {name for each in panel["targets"] for name in re.findall(r"\$(\w+)", each["expr"])}
        assert used <= {*variables, "__rate_interval"}


# ---- the policy


def verdict(plan: Any, rule: str = "deny") -> list[str]:
    """The messages of the policy about a plan or a list of plans, as conftest prints them."""
    rego = regopy.Interpreter()
    rego.add_module("plan.rego", (DEPLOY / "plan.rego").read_text("utf-8"))
    rego.set_input(json.loads(json.dumps(plan)))
    answer = json.loads(str(rego.query(f"data.main.{rule}")))
    messages: list[str] = answer["expressions"][0]
    return sorted(messages)


def test_the_policy_on_real_plans(harness: Harness) -> None:
    """It allows the story, warns of its addresses, and denies open doors and what destroys."""
    story = STORY.read_text("utf-8")
    made = plan_json(harness.plan(story), {})
    assert verdict(made) == []
    assert [message.partition(" is ")[0] for message in verdict(made, "warn")] == [
        "stack two-enis: elastic_ips.web-1",
        "stack two-enis: elastic_ips.web-2",
    ]
    harness.apply(story)
    http = "{protocol: tcp, ports: 80, sources: [0.0.0.0/0], description: http}"
    assert http in story
    opened = [
        http,
        "{protocol: tcp, ports: 20-25, sources: ['::/0']}",
        "{protocol: all, sources: [10.0.0.0/8]}",
        "{protocol: tcp, ports: 443, sources: [0.0.0.0/0]}",
    ]
    rules = "\n      - ".join(opened)
    doors = plan_json(harness.plan(story.replace(http, rules)), {})
    assert verdict(doors) == ["stack two-enis: security_groups.my-sg-1 opens port 22 to ::/0"]
    ended = plan_json(harness.plan(story, destroy=True), {})
    assert "stack two-enis: delete elastic_ips.web-1 is destructive" in verdict([doors, ended])
    assert len(verdict([doors, ended])) == 1 + len(ended["changes"])
    every = plan_json(harness.plan(story.replace(http, "{protocol: all, sources: [0.0.0.0/0]}")), {})
    assert [message.partition(" opens ")[2] for message in verdict(every)] == [
        "port 22 to 0.0.0.0/0",
        "port 3389 to 0.0.0.0/0",
    ]


def test_the_policy_on_interruptions_and_errors() -> None:
    broken = {"address": "instances.web", "what": "running", "from": "s1", "to": "s2", "why": "its type changes"}
    error = {"file": "a.yaml", "line": 3, "path": "elastic_ips.web", "message": "no such address"}
    plan = {"stack": "a", "changes": [], "interruptions": [broken], "errors": [error]}
    assert verdict(plan, "warn") == ["stack a: instances.web is interrupted: running"]
    assert verdict(plan) == ["a.yaml:3: elastic_ips.web: no such address"]


# ---- the image


def instructions(name: str) -> list[Any]:
    return [each for each in CONTAINER if each.cmd.upper() == name]


def test_the_image_is_small_pinned_and_without_root() -> None:
    """BuildKit's own parser reads it. The base has a full version; the last stage has nothing to build with."""
    [base] = instructions("ARG")
    assert re.fullmatch(r"BASE=docker\.io/library/python:3\.\d+\.\d+-slim-\w+", base.value[0])
    python = ".".join(base.value[0].split(":")[1].split(".")[:2])
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'"Programming Language :: Python :: {python}"' in project
    assert [each.value[0] for each in instructions("FROM")] == ["${BASE}", "${BASE}"]
    last = CONTAINER[CONTAINER.index(instructions("FROM")[-1]) :]
    assert [each.flags for each in last if each.cmd.upper() == "COPY"] == [("--from=build",)]
    assert not [each for each in last if each.cmd.upper() in ("RUN", "ADD", "EXPOSE", "VOLUME")]
    [user] = instructions("USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user.value[0])
    [entry] = instructions("ENTRYPOINT")
    assert (entry.json, entry.value) == (True, ("/opt/enireconcile/bin/enireconcile",))


def test_what_the_image_copies_exists_and_is_enough() -> None:
    """The sources are what the build of the wheel reads."""
    copied = [source for each in instructions("COPY") if not each.flags for source in each.value[:-1]]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert {"pyproject.toml", "README.md", "LICENSE", "constraints.txt", "enireconcile"} == set(copied)


def test_kubernetes_runs_the_image_as_it_is_meant() -> None:
    """Its entry point, its user, and a root file system that is read-only."""
    job = yaml.safe_load((DEPLOY / "kubernetes-cronjob.yaml").read_text("utf-8"))
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert "command" not in container
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["image"].endswith(f":{enireconcile.__version__}")
    assert f"{pod['securityContext']['runAsUser']}:" in instructions("USER")[0].value[0]


# ---- Lambda


class _Template(yaml.SafeLoader):
    """CloudFormation's short forms, as their arguments."""


_Template.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))


def test_the_template_runs_the_handler() -> None:
    """What it sets is what the handler reads."""
    template = yaml.load((DEPLOY / "lambda.yaml").read_text("utf-8"), _Template)  # noqa: S506 (a SafeLoader)
    function = template["Resources"]["Function"]["Properties"]
    assert function["Handler"] == "enireconcile.aws_lambda.handler"
    assert function["Handler"].endswith(aws_lambda.handler.__name__)
    variables = function["Environment"]["Variables"]
    assert all(name in str(aws_lambda.__doc__) for name in variables)
    options = json.loads(variables["ENIRECONCILE_OPTIONS"].replace("${MaxChanges}", "10"))
    assert options.keys() <= aws_lambda._options_of(variables["ENIRECONCILE_COMMAND"])
    assert template["Parameters"]["CodeKey"]["Default"] == f"enireconcile-{enireconcile.__version__}.zip"
    assert function["Timeout"] > aws_lambda.RESERVE
    page = (ROOT / "docs" / "how-to" / "lambda.md").read_text("utf-8")
    given = set(re.findall(r"ParameterKey=(\w+),", page))
    assert given == {name for name, each in template["Parameters"].items() if "Default" not in each}
    assert {f"`{name}`" for name in aws_lambda._Options.model_fields} <= set(re.findall(r"`\w+`", page))


# ---- the GitHub Action


def action() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(ACTION.read_text("utf-8"))
    return read


def test_github_takes_the_action() -> None:
    """It matches the schema that editors use, and no input is pasted into a script."""
    assert problems(action(), "vendor.github-actions") == []
    for step in action()["runs"]["steps"]:
        assert "${{" not in step["run"]
    source = action()["runs"]["steps"][0]["env"]["SOURCE"].replace("${{ github.action_path }}", str(ACTION.parent))
    assert (Path(source).resolve() / "constraints.txt").exists()


def test_the_workflow_gives_the_inputs_of_the_action() -> None:
    workflow = yaml.safe_load((DEPLOY / "github-actions.yaml").read_text("utf-8"))
    used = [
        step
        for job in workflow["jobs"].values()
        for step in job["steps"]
        if "enireconcile@" in step.get("uses", "")
    ]
    assert [step["with"]["command"] for step in used] == ["plan", "apply"]
    for step in used:
        assert step["with"].keys() <= action()["inputs"].keys()
        assert step["uses"].endswith(f"/{ACTION.parent.relative_to(ROOT)}@v{enireconcile.__version__}")


def test_inputs_name_existing_commands() -> None:
    named = re.findall(r"^\s+([\w| ]+)\) options", action()["runs"]["steps"][1]["run"], re.MULTILINE)
    names = {name.strip() for group in named for name in group.split("|")} | {"validate", "verify"}
    assert names <= cli.commands.keys()
    markdown = {
        name
        for name, command in cli.commands.items()
        for param in command.params
        if isinstance(param, click.Option) and param.name == "output" and isinstance(param.type, click.Choice)
        if "markdown" in param.type.choices
    }
    assert {"plan", "apply", "destroy"} == markdown
