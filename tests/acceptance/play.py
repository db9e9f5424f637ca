"""Plays the chapters of a run, and cleans up after them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import boto3
import click
from botocore.exceptions import BotoCoreError, ClientError

from tests.acceptance import cleanup, failover, probes, scratch, story
from tests.acceptance.account import Account, Failed
from tests.acceptance.program import Program
from tests.acceptance.results import Played, Results
from tests.acceptance.stage import Chapter, Stage

CHAPTERS = {each.name: each for each in (story.CHAPTER, failover.CHAPTER)}
PROBES = "probes"


def tell(text: str) -> None:
    click.echo(text, err=True)


def play(account: Account, zone: str, folder: Path, chapters: Sequence[str]) -> Results:
    """The chapters, then the cleanup, whatever happened. Writes the results into `folder`."""
    program = Program(folder)
    results = Results(
        {
            "run": account.run,
            "Region": account.region,
            "endpoint": account.endpoint,
            "program": program.version(),
            "boto3": boto3.__version__,
        },
        timings=account.timings,
    )
    try:
        tell(f"run {account.run}: making the scratch VPC in {zone}")
        stage = Stage(account, program, scratch.make(account, zone))
        for chapter in chapters:
            if chapter == PROBES:
                _probe(stage, results)
            else:
                _play_chapter(stage, results, CHAPTERS[chapter])
    except KeyboardInterrupt:
        results.interrupted = True
        tell("interrupted: deleting everything (press Ctrl-C again to leave it to make acceptance-clean)")
    except Exception as error:  # noqa: BLE001 (whatever it is: the cleanup follows, and the results say so)
        results.problems.append(_words(error))
        tell(f"failed: {_words(error)}")
    finally:
        _clean_up(account, results)
        results.write(folder)
    return results


def _play_chapter(stage: Stage, results: Results, chapter: Chapter) -> None:
    """The scenes of a chapter, up to the first one that fails: they build on each other."""
    broken = False
    for scene in chapter.scenes:
        if broken:
            results.played.append(Played(scene, 0.0, skipped=True))
            continue
        seconds, problem = _timed(lambda scene=scene: scene.play(stage))  # type: ignore[misc]
        played = Played(scene, seconds, problem)
        results.played.append(played)
        tell(f"{chapter.name}: {scene.title}: {played.result} ({seconds:.1f} s)")
        broken = problem is not None


def _timed(act: Callable[[], None]) -> tuple[float, str | None]:
    began = time.monotonic()
    problem = None
    try:
        act()
    except Exception as error:  # noqa: BLE001 (a scene that fails in whatever way is recorded)
        problem = _words(error)
    return time.monotonic() - began, problem


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, (Failed, ClientError)) else f"{type(error).__name__}: {error}"


def _probe(stage: Stage, results: Results) -> None:
    bench = probes.open_bench(stage.account, stage.scratch)
    for probe in probes.PROBES:
        answer = probes.ask(bench, probe)
        results.answers.append(answer)
        if answer.differs:
            tell(f"difference: {probe.question}\n  tests/ec2: {probe.expected}\n  EC2:       {answer.got}")
    tell(f"probes: {len(results.answers)} questions, {len(results.differences)} differences")


def _clean_up(account: Account, results: Results) -> None:
    try:
        left = cleanup.clean(account.ec2, tell, account.run)
    except (BotoCoreError, ClientError) as error:
        results.problems.append(f"the cleanup failed; run make acceptance-clean: {error}")
        return
    except KeyboardInterrupt:
        results.interrupted = True
        results.problems.append("the cleanup was interrupted; run make acceptance-clean")
        return
    results.problems += [f"left: {each}; run make acceptance-clean" for each in left]
