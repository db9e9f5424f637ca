"""The schedules in docs/deploy: the tool that each is for accepts it, and it uses existing options only.

A real cron daemon runs the crontab, in its own mount namespace with its own crontab, spool and /run.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from botocore.session import get_session
from botocore.validate import ParamValidator

from enireconcile.cli.app import cli
from tests.docs.reference import options_of
from tests.docs.test_repository import problems

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
HOW_TO = DEPLOY.parent / "how-to" / "cron.md"
BIN = "/opt/enireconcile/bin/enireconcile"
FILES = [
    "crontab",
    "enireconcile@.service",
    "enireconcile@.timer",
    "github-actions.yaml",
    "kubernetes-cronjob.yaml",
]
PAGES = sorted(HOW_TO.parent.glob("*.md"))


def cron_lines() -> list[str]:
    """The lines of the crontab that run a command."""
    lines = (DEPLOY / "crontab").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if re.match(r"[\d*]", line)]


def commands(name: str) -> Iterator[list[str]]:
    """Every enireconcile command line in a file, as words."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    if name == "kubernetes-cronjob.yaml":
        pod = yaml.safe_load(text)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        yield from ([BIN, *each["args"]] for each in pod["containers"])
    elif name == "kubernetes-fleet-job.yaml":
        pod = yaml.safe_load(text)["spec"]["template"]["spec"]
        yield from ([*each["command"], *each["args"]] for each in pod["containers"])
    elif name == "aws-batch-fleet.json":
        yield json.loads(text)["containerOverrides"]["command"]
    elif name == "github-actions.yaml":
        steps = [step for job in yaml.safe_load(text)["jobs"].values() for step in job["steps"]]
        ours = [step["with"] for step in steps if "/actions/enireconcile@" in step.get("uses", "")]
        yield from ([BIN, each["command"], *shlex.split(each.get("args", "")), each["specs"]] for each in ours)
    else:
        found = re.findall(rf"^(?:ExecStart=|[\d*/, ]+ ){BIN} (.*)$", text, re.MULTILINE)
        yield from ([BIN, *shlex.split(line.replace("%", ""))] for line in found)


FLEET = ["aws-batch-fleet.json", "kubernetes-fleet-job.yaml"]


@pytest.mark.parametrize("name", [name for name in (*FILES, *FLEET) if not name.endswith(".timer")])
def test_flags_are_there(name: str) -> None:
    """A file uses existing commands and options only."""
    calls = list(commands(name))
    assert calls
    for _, command, *words in calls:
        options = options_of(cli.commands[command])
        named = [word.partition("=")[0] for word in words if word.startswith("-")]
        assert [option for option in named if option not in options] == []


def test_every_file_is_reported() -> None:
    """The page links to each schedule and shows the crontab line verbatim. Some page links to each other file."""
    page = HOW_TO.read_text(encoding="utf-8")
    assert [name for name in FILES if f"../deploy/{name})" not in page] == []
    pages = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    assert [path.name for path in DEPLOY.iterdir() if f"../deploy/{path.name})" not in pages] == []
    assert [line for line in cron_lines() if line not in page] == []


def test_crontab_has_a_schedule_and_no_percent_sign() -> None:
    """Five fields, then a command. cron turns a percent sign into a line break."""
    [line] = cron_lines()
    assert re.match(rf"(\S+ ){{5}}{re.escape(BIN)} ", line)
    assert "%" not in line
    assert line.endswith(" >/dev/null")


# ---- systemd


systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units in a temporary directory, with a program that exists."""
    for path in (*DEPLOY.glob("enireconcile@.*"), *DEPLOY.glob("dask-*.service")):
        text = re.sub(r"/opt/enireconcile/bin/\w+", "/bin/true", path.read_text(encoding="utf-8"))
        (tmp_path / path.name.replace("@", "@edge")).write_text(text, encoding="utf-8")
    return tmp_path


@systemd
@pytest.mark.parametrize(
    "name",
    ["enireconcile@edge.service", "enireconcile@edge.timer", "dask-scheduler.service", "dask-worker.service"],
)
def test_systemd_takes_the_unit(units: Path, name: str) -> None:
    """systemd-analyze verify reports nothing."""
    unit = units / name
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    about_us = [line for line in ran.stderr.splitlines() if "enireconcile" in line or "dask" in line]
    assert (ran.returncode, about_us) == (0, [])


@systemd
def test_systemd_calls_the_service_safe(units: Path) -> None:
    """Its exposure according to systemd-analyze security is at most 2.5 of 10."""
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=25"]
    ran = subprocess.run(
        [*command, str(units / "enireconcile@edge.service")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_timer_and_service_are_one(units: Path) -> None:
    """A timer without Unit= starts the service of the same name, which exists."""
    timed = {path.stem for path in units.iterdir() if path.name.startswith("enireconcile")}
    assert timed == {"enireconcile@edge"}


# ---- Kubernetes and GitHub


@pytest.mark.parametrize("name", ["kubernetes-cronjob.yaml", "kubernetes-fleet-job.yaml"])
def test_kubernetes_takes_the_manifest(name: str) -> None:
    """It matches the strict schema of the API: no unknown key, no wrong type."""
    manifest = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    kubernetes_validate.validate(manifest, "1.30", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(
            {**manifest, "spec": {**manifest["spec"], "scedule": ""}}, "1.30", strict=True
        )


def test_as_many_parts_as_the_job_has_pods() -> None:
    """Each part of the fleet is run by one pod or job."""
    job = yaml.safe_load((DEPLOY / "kubernetes-fleet-job.yaml").read_text(encoding="utf-8"))["spec"]
    batch = json.loads((DEPLOY / "aws-batch-fleet.json").read_text(encoding="utf-8"))
    [container] = job["template"]["spec"]["containers"]
    assert f"--shard=/{job['completions']}" in container["args"]
    assert job["completionMode"] == "Indexed"
    words = batch["containerOverrides"]["command"]
    assert words[words.index("--shard") + 1] == f"/{batch['arrayProperties']['size']}"


def test_aws_batch_takes_the_job() -> None:
    model = get_session().get_service_model("batch").operation_model("SubmitJob")
    job = json.loads((DEPLOY / "aws-batch-fleet.json").read_text(encoding="utf-8"))
    assert model.input_shape is not None
    report = ParamValidator().validate(job, model.input_shape)
    assert report.generate_report() == ""


def test_github_takes_the_workflow() -> None:
    """The workflow matches the schema that editors use."""
    workflow = yaml.safe_load((DEPLOY / "github-actions.yaml").read_text(encoding="utf-8"))
    workflow["on"] = workflow.pop(True)  # YAML 1.1, which GitHub does not read
    assert problems(workflow, "vendor.github-workflows") == []
