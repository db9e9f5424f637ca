"""A real cron runs the crontab line of docs/deploy, in a mount namespace of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_deploy import BIN, cron_lines
from tests.harness import ENVIRONMENT, STORY, Harness
from tests.two_enis import Account, assert_is_the_story

DAEMON = shutil.which("cron", path="/usr/sbin:/usr/bin:/sbin:/bin")
CRON_NEEDS = [
    (DAEMON is None, "cron is not installed"),
    (sys.platform != "linux" or shutil.which("unshare") is None, "mount namespaces are Linux's"),
    (getattr(os, "geteuid", lambda: 1)() != 0, "only root has a mount namespace of its own"),
]


@pytest.mark.skipif(
    any(needed for needed, _ in CRON_NEEDS), reason="; ".join(why for needed, why in CRON_NEEDS if needed)
)
@pytest.mark.timeout(240)
def test_cron_corrects_drift_and_runs_do_not_overlap(moto_harness: Harness, tmp_path: Path) -> None:
    """A real cron runs the crontab line twice in one minute: one run repairs, the other finds nothing to do."""
    assert moto_harness.apply().outcome == "converged"
    account = Account(moto_harness)
    account.ec2.disassociate_address(AssociationId=account.address("web-2")["AssociationId"])
    ended = tmp_path / "ended"
    os.mkfifo(ended)
    reports = [tmp_path / f"report-{number}.json" for number in (1, 2)]
    crontab = tmp_path / "cron.d"
    crontab.mkdir()
    _install(crontab / "enireconcile", tmp_path, moto_harness.server.url, reports, ended)
    daemon = _daemon(crontab)
    try:
        # Opened for reading and writing, the pipe has no end-of-file between the two runs.
        with os.fdopen(os.open(ended, os.O_RDWR), encoding="utf-8") as fifo:
            codes = [fifo.readline().strip() for _ in reports]
    finally:
        daemon.kill()
        daemon.wait()
    assert codes == ["0", "0"]
    outcomes = sorted(json.loads(report.read_text(encoding="utf-8"))["outcome"] for report in reports)
    assert outcomes == ["converged", "unchanged"]
    assert_is_the_story(moto_harness)


def _install(crontab: Path, place: Path, url: str, reports: list[Path], ended: Path) -> None:
    """Two crontab lines that differ in their report only, and write their exit codes to a pipe."""
    environment = {
        **ENVIRONMENT,
        "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "ENIRECONCILE_STATE": str(place / "state"),
        "HOME": str(place),
        "MAILTO": '""',
    }
    [line] = cron_lines()
    lines = [f"{name}={value}" for name, value in environment.items()]
    for report in reports:
        schedule, command = line.split(BIN)
        command = f"{Path(sys.executable).with_name('enireconcile')}{command}"
        for said, meant in (
            ("/var/lib/enireconcile/edge.json", report),
            ("/var/lib/node_exporter/textfile/edge.prom", place / "edge.prom"),
            ("/etc/enireconcile/edge.yaml", STORY),
            ("--jitter 60s", "--jitter 100ms"),
        ):
            assert said in command
            command = command.replace(said, str(meant))
        lines.append(f"{schedule.replace('*/5', '*')}root {command}; echo $? >{ended}")
    crontab.write_text("\n".join([*lines, ""]), encoding="utf-8")
    crontab.chmod(0o600)


def _daemon(crontab: Path) -> subprocess.Popen[bytes]:
    """cron in the foreground, with its directories replaced by temporary ones."""
    script = (
        'mount --bind "$1" /etc/cron.d && mount -t tmpfs none /var/spool/cron '
        '&& mkdir -p /var/spool/cron/crontabs && mount -t tmpfs none /run && exec "$2" -f'
    )
    assert DAEMON is not None
    return subprocess.Popen(
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", str(crontab), DAEMON],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
