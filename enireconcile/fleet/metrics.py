"""Prometheus metrics of a fleet run: written once per run, few labels."""

from __future__ import annotations

from enireconcile.fleet.report import CODES, FleetReport

_PREFIX = "enireconcile_fleet_"


def metrics_text(report: FleetReport, now: float) -> str:
    """The file for node_exporter's textfile collector; ``now`` is a Unix time."""
    about = f'fleet="{report.fleet}",command="{report.command}"'
    lines = [
        *_family("last_run_timestamp_seconds", "Unix time at which the last run ended.", [(about, now)]),
        *_family("last_run_seconds", "Duration of the last run.", [(about, report.seconds)]),
        *_family(
            "units",
            "Units of the last run, by outcome.",
            [(f'{about},outcome="{name}"', float(count)) for name, count in report.totals.items()],
        ),
        *_family(
            "unit_failed",
            "Units that need attention, with their outcome.",
            [
                (f'{about},unit="{_escaped(result.unit.name)}",outcome="{result.outcome}"', 1.0)
                for result in report.results
                if CODES[result.outcome] and result.outcome != "not_run"
            ],
        ),
    ]
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _family(name: str, about: str, rows: list[tuple[str, float]]) -> list[str]:
    if not rows:
        return []
    return [
        f"# HELP {_PREFIX}{name} {about}",
        f"# TYPE {_PREFIX}{name} gauge",
        *(f"{_PREFIX}{name}{{{labels}}} {value:.15g}" for labels, value in rows),
    ]
