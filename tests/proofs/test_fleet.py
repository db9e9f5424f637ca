"""Fleets on processes, in shards and on a Dask cluster: nothing twice, nothing lost, by what EC2 itself has.

The endpoint is an estate: a world of its own for each account and Region. One worker is killed at a quarter.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.ec2 import Call, Hook, Settings
from tests.ec2.estate import Estate
from tests.fleet.estates import REGIONS, account_id, blocks, estate_at, write_fleet

# A unit whose worker was killed while it made something looks for that for up to 30 s (--settle-timeout).
pytestmark = pytest.mark.timeout(300)
ACCOUNTS, SPECS = 10, ("edge", "core", "lab")
UNITS = ACCOUNTS * len(REGIONS) * len(SPECS)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "enireconcile", "fleet", *map(str, arguments)]


def fleet(
    variables: Mapping[str, str], *arguments: object, ends: int = 0, timeout: float = 250
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command(*arguments),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == ends, done.stdout[-3000:] + done.stderr[-3000:]
    return done


@contextmanager
def held(estate: Estate, action: str) -> Iterator[threading.Event]:
    """The first call of an action is not answered before the block ends. The event is set when it has come."""
    came, released = threading.Event(), threading.Event()

    def hold(_: Call) -> None:
        came.set()
        released.wait()

    estate.faults.add(Hook(action=action, callback=hold))
    try:
        yield came
    finally:
        released.set()


@contextmanager
def started(variables: Mapping[str, str], *arguments: object, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The command in a session of its own; both of its streams go to ``log``, which outlives it."""
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command(*arguments),
            env={**os.environ, **variables},
            stdout=stream,
            stderr=stream,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def report_at(path: Path) -> Any:
    return json.loads(path.read_text())


def assert_nothing_twice_or_lost(estate: Estate, units: Sequence[str]) -> None:
    """Every unit's three resources are there, once, with the tags of its stack."""
    wanted = Counter((account_id(int(each.split("/")[0][1:])), *each.split("/")[1:]) for each in units)
    for kind in ("addresses", "interfaces", "groups"):
        found = Counter(
            (*lane, record.tags["enireconcile:stack"])
            for lane, world in estate.worlds.items()
            for record in getattr(world.data, kind).values()
            if "enireconcile:stack" in record.tags
        )
        assert found == wanted, kind


def assert_all_converged(report: Mapping[str, Any]) -> None:
    """The killed unit may have done its last change before: then its second attempt finds nothing to do."""
    totals = report["totals"]
    assert totals["converged"] + totals["unchanged"] == UNITS, totals
    assert totals["unchanged"] <= 1, totals


def names(report: Mapping[str, Any]) -> list[str]:
    units = [each["unit"] for each in report["units"]]
    assert len(units) == len(set(units)), "a unit is in the report twice"
    return units


@pytest.fixture
def everything(tmp_path: Path) -> Path:
    return write_fleet(tmp_path, ACCOUNTS, SPECS)


def test_converge_on_processes_with_one_killed(everything: Path, tmp_path: Path) -> None:
    with estate_at(Settings()) as (estate, variables):
        with _killed_at_a_quarter(estate) as killed:
            fleet(variables, "apply", "-y", everything, "--jobs", 4, "--report", tmp_path / "r.json")
        assert killed, "a worker was killed"
        report = report_at(tmp_path / "r.json")
        assert_all_converged(report)
        assert sum(each["attempts"] for each in report["units"]) == UNITS + 1
        assert_nothing_twice_or_lost(estate, names(report))
        # One more block where the killed unit was begun again.
        assert sum(blocks(estate, estate.calls).values()) <= UNITS + 1
        estate.clear()
        fleet(variables, "apply", "-y", everything, "--report", tmp_path / "again.json")
        assert report_at(tmp_path / "again.json")["outcome"] == "unchanged"
        assert estate.mutating() == []


@contextmanager
def _killed_at_a_quarter(estate: Estate, pids: Sequence[int] = ()) -> Iterator[list[int]]:
    """Kill the first of ``pids``, or a worker process of the command, once a quarter of the work is done."""
    killed: list[int] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            done = [call for call in estate.mutating() if call.action == "AssociateAddress"]
            if len(done) >= UNITS / 4:
                pid = pids[0] if pids else _busy_worker()
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
                    return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield killed
    finally:
        ended.set()
        thread.join()


def _parents() -> dict[int, int]:
    """The parent of each process of this machine."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    return parents


def _busy_worker() -> int | None:
    """A worker process of the fleet command that this test runs."""
    parents = _parents()
    for pid in parents:
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        # test → command → forkserver → worker
        ancestors = [parents.get(pid), parents.get(parents.get(pid, 0), 0)]
        if "forkserver" in line and parents.get(ancestors[1] or 0) == os.getpid():
            return pid
    return None


def test_converge_in_shards(everything: Path, tmp_path: Path) -> None:
    """Each part alone, as an Indexed Job of Kubernetes starts them; together they are the fleet."""
    with estate_at(Settings()) as (estate, variables):
        done: list[str] = []
        for index in range(4):
            path = tmp_path / f"{index}.json"
            part = {**variables, "JOB_COMPLETION_INDEX": str(index)}
            fleet(part, "apply", "-y", everything, "--shard", "/4", "--report", path)
            done += names(report_at(path))
        assert len(done) == len(set(done)) == UNITS
        assert_nothing_twice_or_lost(estate, done)
        assert sum(blocks(estate, estate.calls).values()) == UNITS


def test_a_denied_account_costs_itself_alone(everything: Path, tmp_path: Path) -> None:
    with estate_at(Settings()) as (estate, variables):
        estate.denied.add(account_id(3))
        done = fleet(variables, "apply", "-y", everything, "--report", tmp_path / "r.json", ends=1)
        report = report_at(tmp_path / "r.json")
        failed = [each for each in report["units"] if each["outcome"] != "converged"]
        assert {each["account_id"] for each in failed} == {account_id(3)}
        assert len(failed) == len(REGIONS) * len(SPECS)
        assert all("AssumeRole" in each["error"] and "AccessDenied" in each["error"] for each in failed)
        assert f"a3/us-east-1/edge (account {account_id(3)}): failed" in done.stdout
        assert done.stderr.count("AccessDenied") == len(failed)


def test_stop_at_stops(tmp_path: Path) -> None:
    more = "rollout: {canary: [a1], waves: [20%, 100%], stop_at: 10%}\n"
    path = write_fleet(tmp_path, ACCOUNTS, SPECS, more=more)
    with estate_at(Settings()) as (estate, variables):
        estate.denied |= {account_id(number) for number in range(2, ACCOUNTS + 1)}
        fleet(variables, "apply", "-y", path, "--jobs", 2, "--report", tmp_path / "r.json", ends=1)
        totals = report_at(tmp_path / "r.json")["totals"]
        canary = len(REGIONS) * len(SPECS)
        assert totals["converged"] == canary
        # Ten percent, and what was in flight then.
        assert UNITS / 10 <= totals["failed"] <= UNITS / 10 + 1
        assert totals["not_run"] == UNITS - canary - totals["failed"]


def test_as_many_processes_as_may_have_their_files(tmp_path: Path) -> None:
    path = write_fleet(tmp_path, 20, ("edge",), regions=["us-east-1"])
    with estate_at(Settings()) as (_, variables):
        done = subprocess.run(
            ["sh", "-c", 'ulimit -n 96 && exec "$@"', "sh", *command("plan", "--jobs", 20, path)],
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, "Planned: 20 units (20 with changes)" in done.stdout) == (0, True), done.stderr
    assert "4 units at the same time instead of 20: a process may have 96 open files" in done.stderr


# ---- signals


def _family(pid: int) -> list[int]:
    """A process and all below it."""
    found, parents = [pid], _parents()
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found


def test_a_signal_to_all_processes_ends_units_after_their_calls(tmp_path: Path) -> None:
    """As systemd stops a service: the workers get SIGTERM, too."""
    path, report = write_fleet(tmp_path, 2, ("edge",), regions=["us-east-1"]), tmp_path / "r.json"
    with estate_at(Settings()) as (estate, variables):
        arguments = ("apply", "-y", path, "--jobs", 1, "--report", report)
        with started(variables, *arguments, log=tmp_path / "log") as process:
            with held(estate, "CreateNetworkInterface") as came:
                assert came.wait(60)
                for pid in _family(process.pid):
                    os.kill(pid, signal.SIGTERM)
                # The parent has heard it before its unit may end.
                while b"stopped by SIGTERM" not in (tmp_path / "log").read_bytes():
                    assert process.poll() is None
            assert process.wait(60) == 5
        outcomes = [each["outcome"] for each in report_at(report)["units"]]
        assert outcomes == ["partial", "not_run"]
        fleet(variables, *arguments)
        assert_nothing_twice_or_lost(estate, names(report_at(report)))


def test_a_second_signal_exits_at_once_with_a_report(tmp_path: Path) -> None:
    """Its worker ends by itself, after its calls, and gives the lock back."""
    path, report = write_fleet(tmp_path, 2, ("edge",), regions=["us-east-1"]), tmp_path / "r.json"
    with estate_at(Settings()) as (estate, variables):
        arguments = ("apply", "-y", path, "--jobs", 1, "--report", report)
        run = started(variables, *arguments, log=tmp_path / "log")
        with run as process, held(estate, "CreateNetworkInterface") as came:
            assert came.wait(60)
            process.send_signal(signal.SIGINT)
            while b"stopped by Ctrl-C" not in (tmp_path / "log").read_bytes():
                assert process.poll() is None
            workers = _family(process.pid)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 5
            told = report_at(report)
            assert [each["outcome"] for each in told["units"]] == ["lost", "not_run"]
        while any(Path(f"/proc/{pid}").exists() for pid in workers[1:]):
            pass
        assert b"semaphore" not in (tmp_path / "log").read_bytes()
        fleet(variables, *arguments)
        assert_nothing_twice_or_lost(estate, names(report_at(report)))


# ---- Dask


def test_a_scheduler_that_dies_ends_the_run_with_a_report(tmp_path: Path) -> None:
    path, report = write_fleet(tmp_path, 3, ("edge",), regions=["us-east-1"]), tmp_path / "r.json"
    with estate_at(Settings()) as (estate, variables), _cluster(variables, 1) as (url, pids):
        arguments = ("apply", "-y", path, "--engine", "dask", "--scheduler", url, "--report", report)
        run = started(variables, *arguments, log=tmp_path / "log")
        with run as process, held(estate, "CreateNetworkInterface") as came:
            assert came.wait(60)
            os.kill(pids[-1], signal.SIGKILL)
            assert process.wait(60) == 5
        outcomes = [each["outcome"] for each in report_at(report)["units"]]
        assert outcomes == ["lost", "not_run", "not_run"]
        assert b"Traceback" not in (tmp_path / "log").read_bytes()


@contextmanager
def _cluster(variables: Mapping[str, str], workers: int) -> Iterator[tuple[str, list[int]]]:
    """A scheduler and workers on loopback: the address of the one, and the pids of all, its own the last."""
    pytest.importorskip("distributed", reason="Dask is not installed")
    with ExitStack() as stack:

        def start(pattern: str, module: str, *arguments: str) -> tuple[int, str]:
            """Its pid, and what the pattern found in its log."""
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", f"distributed.cli.{module}", *arguments, "--no-dashboard"],
                    env={**os.environ, **variables},
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            assert process.stderr is not None
            found = next(match[1] for line in process.stderr if (match := re.search(pattern, line)))
            rest = threading.Thread(target=process.stderr.read)
            rest.start()
            stack.callback(rest.join)
            stack.callback(process.kill)
            return process.pid, found

        protocol = "tls" if any(name.startswith(TLS) for name in variables) else "tcp"
        at = rf"Scheduler at: *({protocol}://127\.0\.0\.1:\d+)"
        place = ("--host", "127.0.0.1", "--port", "0", "--protocol", protocol)
        pid, url = start(at, "dask_scheduler", *place, "--no-show")
        one = ("--nworkers", "1", "--nthreads", "1", "--no-nanny", "--host", "127.0.0.1")
        yield url, [*(start("(Registered to)", "dask_worker", url, *one)[0] for _ in range(workers)), pid]


def test_converge_on_dask_with_one_worker_killed(everything: Path, tmp_path: Path) -> None:
    with estate_at(Settings()) as (estate, variables), _cluster(variables, 2) as (url, pids):
        with _killed_at_a_quarter(estate, pids[:1]) as killed:
            fleet(
                variables,
                *("apply", "-y", everything, "--engine", "dask", "--scheduler", url),
                *("--jobs", 2, "--report", tmp_path / "r.json"),
            )
        assert killed
        report = report_at(tmp_path / "r.json")
        assert_all_converged(report)
        assert sum(each["attempts"] for each in report["units"]) == UNITS + 1
        assert_nothing_twice_or_lost(estate, names(report))


def test_200_units_with_nothing_to_do_on_dask(tmp_path: Path) -> None:
    path = write_fleet(tmp_path, 25, ("edge", "core", "lab", "dmz"))
    with estate_at(Settings()) as (estate, variables), _cluster(variables, 2) as (url, _):
        fleet(variables, "apply", "-y", path, "--jobs", 4)
        estate.clear()
        arguments = ("apply", "-y", path, "--engine", "dask", "--scheduler", url)
        fleet(variables, *arguments, "--jobs", 2, "--report", tmp_path / "r.json")
        report = report_at(tmp_path / "r.json")
        assert (report["outcome"], report["totals"]["unchanged"], len(names(report))) == ("unchanged", 200, 200)
        assert estate.mutating() == []


TLS = "DASK_DISTRIBUTED__COMM__TLS__"


def _certificates(folder: Path) -> dict[str, str]:
    """An authority of its own, and a certificate for scheduler, workers and client, as Dask reads them."""
    folder.mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    leaf = authority.issue_cert("127.0.0.1")
    leaf.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    leaf.private_key_pem.write_to_path(folder / "key.pem")
    found = {f"{TLS}CA_FILE": str(folder / "ca.pem")}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        found |= {f"{TLS}{role}__CERT": str(folder / "cert.pem"), f"{TLS}{role}__KEY": str(folder / "key.pem")}
    return found


def test_a_cluster_with_certificates_works_for_those_who_have_one_of_its_authority(tmp_path: Path) -> None:
    """Mutual TLS: a client whose certificate another authority has signed does not get in."""
    path = write_fleet(tmp_path, 2, ("edge",))
    with estate_at(Settings()) as (estate, variables):
        ours = {**variables, **_certificates(tmp_path / "ours")}
        with _cluster(ours, 2) as (url, _):
            assert url.startswith("tls://")
            arguments = ("apply", "-y", path, "--engine", "dask", "--scheduler", url)
            done = fleet({**variables, **_certificates(tmp_path / "theirs")}, *arguments, ends=1)
            assert f"cannot connect to the scheduler {url}" in done.stderr
            assert estate.calls == []
            fleet(ours, *arguments, "--report", tmp_path / "r.json")
        report = report_at(tmp_path / "r.json")
        assert (report["outcome"], report["totals"]["converged"]) == ("converged", 4)
        assert_nothing_twice_or_lost(estate, names(report))
