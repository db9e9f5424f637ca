"""--report, --metrics and --out: what they may name, and that a failure after the work changes nothing of it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.commands import PATIENCE
from tests.ec2 import EC2Server, Hook
from tests.harness import ENVIRONMENT
from tests.outputs.test_outlet import fifo, in_a_mount_namespace, null
from tests.processes.test_cli import Run, command, server
from tests.processes.test_outlets import hook as webhook
from tests.processes.test_outlets import metric
from tests.processes.test_planfile import one, spec

__all__ = ["command", "fifo", "null", "server", "spec", "webhook"]
PROGRAM = [sys.executable, "-m", "enireconcile"]


def environment(server: EC2Server, state: Path) -> Mapping[str, str]:
    return {
        **os.environ,
        **ENVIRONMENT,
        "AWS_ENDPOINT_URL": server.url,
        "ENIRECONCILE_STATE": str(state),
    }


def process(server: EC2Server, state: Path, *args: str | Path, **more: Any) -> subprocess.CompletedProcess[str]:
    """The command as a process, with stdout and stderr as the test wants them."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    ran = subprocess.run(
        [*PROGRAM, *args], env=environment(server, state), text=True, timeout=PATIENCE, check=False, **streams
    )
    assert "Traceback" not in f"{ran.stdout}{ran.stderr}"
    assert "bug" not in f"{ran.stderr}"
    return ran


# ---- devices and pipes


def test_devices_stay_devices(server: EC2Server, command: Run, spec: Path, null: Path) -> None:
    """`--report /dev/null` as root must not replace the device by a file."""
    assert command("plan", "--out", str(null), "--metrics", str(null), str(spec)).code == 0
    assert command("apply", "-y", "--report", str(null), "--metrics", str(null), str(spec)).code == 0
    assert command("destroy", "-y", "--allow-destroy", "--report", str(null), str(spec)).code == 0
    assert (stat.S_ISCHR(null.lstat().st_mode), len(server.mutating())) == (True, 2)
    assert [each.name for each in null.parent.iterdir() if "null" in each.name or ".new" in each.name] == ["null"]


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "--out"),
        ("plan", "--metrics"),
        ("apply", "-y", "--report"),
        ("apply", "-y", "--metrics"),
        ("destroy", "-y", "--report"),
        ("watch", "--report"),
    ],
    ids=" ".join,
)
def test_a_fifo_without_a_reader_is_found_before_anything(
    server: EC2Server, command: Run, spec: Path, fifo: Path, words: Sequence[str]
) -> None:
    """The command does not wait for a reader, and has asked AWS nothing."""
    ran = command(*words, str(fifo), str(spec))
    assert (ran.code, server.calls) == (1, [])
    assert f"{fifo}: no process reads this FIFO\n  hint: start its reader first" in ran.stderr
    assert stat.S_ISFIFO(fifo.lstat().st_mode)


def test_a_fifo_with_a_reader_gets_the_report(server: EC2Server, command: Run, spec: Path, fifo: Path) -> None:
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    assert command("apply", "-y", "--report", str(fifo), str(spec)).code == 0
    assert json.loads(os.read(reader, 60_000))["outcome"] == "converged"
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert len(server.mutating()) == 1


def test_a_reader_that_leaves_during_the_run_changes_nothing(
    server: EC2Server, command: Run, spec: Path, fifo: Path
) -> None:
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    server.faults.add(Hook("AllocateAddress", callback=lambda _: os.close(reader)))
    ran = command("apply", "-y", "--report", str(fifo), str(spec))
    assert ran.code == 0
    assert f"warning: cannot write the report {fifo}: its reader has closed it" in ran.stderr


def test_stdout_by_its_path(server: EC2Server, spec: Path, tmp_path: Path) -> None:
    """The report follows what was printed, in a file and in a pipe."""
    log = tmp_path / "log"
    with log.open("w") as file:
        ran = process(server, tmp_path / "state", "apply", "-y", "--report", "/dev/stdout", spec, stdout=file)
    piped = process(server, tmp_path / "state", "apply", "-y", "--report", "/dev/stdout", spec)
    assert (ran.returncode, piped.returncode) == (0, 0)
    for text, ending, outcome in (
        (log.read_text(), "Converged", "converged"),
        (piped.stdout, "Unch", "unchanged"),
    ):
        printed, _, report = text.partition("\n{")
        assert ending in printed
        assert json.loads("{" + report)["outcome"] == outcome


# ---- what fails after the work


def test_a_report_that_can_no_longer_be_written(
    server: EC2Server, command: Run, spec: Path, tmp_path: Path, webhook: Any
) -> None:
    """The run has converged: code 0, a warning, and the metrics, the message and stdout are there."""
    report, prom = tmp_path / "report.json", tmp_path / "x.prom"
    server.faults.add(Hook("AllocateAddress", callback=lambda _: report.mkdir()))
    options = ("--report", str(report), "--metrics", str(prom), "--notify", webhook.url)
    ran = command("apply", "-y", "--output", "json", *options, str(spec))
    assert (ran.code, ran.lines[-1]["outcome"]) == (0, "converged")
    assert f"warning: cannot write the report {report}: Is a directory" in ran.stderr
    assert metric(prom, "last_run_outcome", outcome="converged") == 1
    assert [each["outcome"] for each in webhook.reports] == ["converged"]


@pytest.mark.parametrize("name", ["report", "metrics"])
def test_what_cannot_be_opened_is_in_the_report(
    server: EC2Server, command: Run, spec: Path, tmp_path: Path, webhook: Any, name: str
) -> None:
    """The error is printed once; the report, if it can be written, and the message have it, too."""
    report = tmp_path / "report.json"
    files = {"report": report, "metrics": tmp_path / "x.prom", name: tmp_path / "no" / "x"}
    options = [word for option, path in files.items() for word in (f"--{option}", str(path))]
    ran = command("apply", "-y", *options, "--notify", webhook.url, str(spec))
    assert (ran.code, server.calls) == (1, [])
    assert ran.stderr.count("cannot write the") == 1
    [posted] = webhook.reports
    assert (posted["outcome"], f"cannot write the {name}" in posted["error"]) == ("failed", True)
    assert name == "report" or json.loads(report.read_text()) == posted


def test_a_plan_that_cannot_be_saved_is_printed(
    server: EC2Server, command: Run, spec: Path, tmp_path: Path
) -> None:
    """Saving is what was asked for: code 1. An older file does not look like the new one: it is named."""
    out, prom = tmp_path / "plan", tmp_path / "x.prom"
    server.faults.add(Hook("DescribeAddresses", callback=lambda _: out.mkdir()))
    ran = command("plan", "--out", str(out), "--metrics", str(prom), str(spec))
    assert (ran.code, "elastic_ips.ip" in ran.stdout) == (1, True)
    assert f"error: cannot write the plan {out}: Is a directory" in ran.stderr
    assert "plan saved" not in ran.stderr
    assert metric(prom, "last_run_outcome", outcome="planned") == 1


FULL = 'mount -t tmpfs -o size=4k tmpfs "$1"; head -c 4096 /dev/zero >"$1/full"; shift; exec "$@"'


def test_a_full_disk_does_not_change_the_outcome(
    server: EC2Server, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report's disk is full: the run has converged, says so, and ends with 0."""
    for name, value in environment(server, tmp_path / "state").items():
        monkeypatch.setenv(name, value)
    disk = tmp_path / "disk"
    disk.mkdir()
    report = disk / "report.json"
    for outcome in ("Converged", "Unchanged"):
        ran = in_a_mount_namespace(FULL, disk, *PROGRAM, "apply", "-y", "--report", report, spec)
        assert (ran.returncode, outcome in ran.stdout) == (0, True), ran.stderr
        assert f"warning: cannot write the report {report}: No space left on device" in ran.stderr
        assert "hint: free some disk space, or name a file on another disk" in ran.stderr


def test_bind_mounted_files(
    server: EC2Server, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that mounts single files: report and metrics arrive in them."""
    for name, value in environment(server, tmp_path / "state").items():
        monkeypatch.setenv(name, value)
    names = ("outside.json", "inside.json", "outside.prom", "inside.prom")
    outside, inside, outside_prom, inside_prom = (tmp_path / name for name in names)
    for name in names:
        (tmp_path / name).touch()
    script = 'mount --bind "$1" "$2"; mount --bind "$3" "$4"; shift 4; exec "$@"'
    for outcome in ("converged", "unchanged"):
        ran = in_a_mount_namespace(
            script,
            *(tmp_path / name for name in names),
            *PROGRAM,
            *("apply", "-y", "--report", inside, "--metrics", inside_prom, spec),
        )
        assert (ran.returncode, json.loads(outside.read_text())["outcome"]) == (0, outcome), ran.stderr
        assert metric(outside_prom, "runs_total", outcome=outcome) == 1
    assert (inside.read_text(), inside_prom.read_text()) == ("", "")


# ---- stdout and stderr


def test_a_reader_of_events_that_leaves_does_not_stop_the_run(
    server: EC2Server, spec: Path, tmp_path: Path
) -> None:
    """`apply --output json | head -1`: the calls after the first event are made, too."""
    spec.write_text(one("one", *(f"ip-{number}" for number in range(5))))
    report = tmp_path / "report.json"
    arguments = ["apply", "-y", "--output", "json", "--report", str(report), str(spec)]
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        env=environment(server, tmp_path / "state"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        assert json.loads(run.stdout.readline())["status"] == "started"
        run.stdout.close()
        stderr = run.stderr.read()
        assert run.wait(PATIENCE) == 0, stderr
    assert json.loads(report.read_text())["outcome"] == "converged"
    assert len(server.mutating()) == 5


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("more", [(), ("-vv",), ("--log-format", "json")])
def test_a_full_stderr_does_not_stop_the_run(
    server: EC2Server, spec: Path, tmp_path: Path, more: Sequence[str]
) -> None:
    """Its log is on a full disk: the run converges, and its code is 0."""
    with Path("/dev/full").open("w") as full:
        ran = process(server, tmp_path / "state", "apply", "-y", *more, spec, stderr=full)
    assert (ran.returncode, "Converged" in ran.stdout, len(server.mutating())) == (0, True, 1)
