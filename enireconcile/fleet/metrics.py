"""Prometheus metrics of a fleet run: written once per run, few labels."""

from __future__ import annotations

from enireconcile.fleet.report import FleetReport
from enireconcile.outputs.metrics import Families, Series, rendered

_FAMILIES: Families = {
    "fleet_last_run_timestamp_seconds": ("gauge", "Unix time at which the last run ended."),
    "fleet_last_run_seconds": ("gauge", "Duration of the last run."),
    "fleet_units": ("gauge", "Units of the last run, by outcome."),
    "fleet_unit_failed": ("gauge", "Units that need attention, with their outcome."),
}


def metrics_text(report: FleetReport, now: float) -> str:
    """The file for node_exporter's textfile collector; ``now`` is a Unix time."""
    labels = (("fleet", report.fleet), ("command", report.command))
    series: Series = {
        ("fleet_last_run_timestamp_seconds", labels): now,
        ("fleet_last_run_seconds", labels): report.seconds,
    }
    for outcome, count in report.totals.items():
        series["fleet_units", (*labels, ("outcome", outcome))] = count
    for result in report.troubled:
        series["fleet_unit_failed", (*labels, ("unit", result.unit.name), ("outcome", result.outcome))] = 1
    return rendered(series, _FAMILIES)
