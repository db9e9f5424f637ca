"""`python -m tests.ec2`: serves the strict EC2 until it is told to stop; prints its URL first."""

from __future__ import annotations

import argparse
import signal
import threading
from dataclasses import fields, replace

from .faults import Buckets, Latency, StaleReads, Weather
from .records import Quotas, Settings
from .server import EC2Server
from .world import World


def parser() -> argparse.ArgumentParser:
    """One option for each number or name in Settings, and one for each fault that makes sense here."""
    options = argparse.ArgumentParser(prog="python -m tests.ec2", description=__doc__)
    options.add_argument("--port", type=int, default=0)
    for each in fields(Settings):
        if isinstance(each.default, bool):
            options.add_argument(_flag(each.name), action="store_true")
        elif isinstance(each.default, (int, float, str)):
            options.add_argument(_flag(each.name), type=type(each.default), default=each.default)
    options.add_argument("--page-cap", type=int)
    options.add_argument(
        "--quota", action="append", default=[], metavar="NAME=NUMBER", help="such as addresses=50"
    )
    options.add_argument("--buckets", action="store_true", help="throttle as EC2 does")
    options.add_argument("--stale-reads", type=float, default=0.0, metavar="SECONDS")
    options.add_argument("--latency", type=float, default=0.0, metavar="SECONDS")
    options.add_argument("--weather", type=float, default=0.0, metavar="PROBABILITY")
    options.add_argument("--drops", type=float, default=0.0, metavar="PROBABILITY")
    return options


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def main(arguments: list[str] | None = None) -> None:
    asked = vars(parser().parse_args(arguments))
    quotas = {name: int(number) for name, _, number in (each.partition("=") for each in asked["quota"])}
    settings = Settings(
        **{each.name: asked[each.name] for each in fields(Settings) if each.name in asked},
        quotas=replace(Quotas(), **quotas),
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with EC2Server(World(settings), port=asked["port"]) as server:
        if asked["buckets"]:
            server.faults.add(Buckets())
        if asked["stale_reads"]:
            server.faults.add(StaleReads(asked["stale_reads"], seed=settings.seed))
        if asked["latency"]:
            server.faults.add(Latency(asked["latency"]))
        if asked["weather"] or asked["drops"]:
            server.faults.add(Weather(asked["weather"], seed=settings.seed, drops=asked["drops"]))
        print(server.url, flush=True)  # noqa: T201 - this line is the program's answer
        stop.wait()


if __name__ == "__main__":
    main()
