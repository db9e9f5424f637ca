"""An estate of accounts with a fleet file for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

from tests.ec2 import Call, Settings
from tests.ec2.estate import Estate
from tests.harness import ENVIRONMENT

REGIONS = ("us-east-1", "eu-west-1")
SPEC = """\
version: 1
stack: {stack}
variables: {{ops: 10.0.0.0/8}}
security_groups:
  {stack}: {{vpc: default, ingress: [{{protocol: tcp, ports: 22, sources: ["${{var.ops}}"]}}]}}
network_interfaces:
  a: {{subnet: {{default_for_az: "${{region}}a"}}, security_groups: [{stack}]}}
elastic_ips:
  a: {{association: {{network_interface: a}}}}
"""


def account_id(number: int) -> str:
    return f"{number:012d}"


def write_fleet(
    folder: Path, accounts: int, specs: Sequence[str], *, regions: Sequence[str] = REGIONS, more: str = ""
) -> Path:
    """A fleet of accounts 1 to ``accounts``, each with all Regions and specs."""
    rows = [
        f'  - {{id: "{account_id(number)}", name: a{number}, regions: [{", ".join(regions)}]}}\n'
        for number in range(1, accounts + 1)
    ]
    for name in specs:
        (folder / f"{name}.yaml").write_text(SPEC.format(stack=name))
    entries = [f"  - {{path: {name}.yaml}}\n" for name in specs]
    path = folder / "fleet.yaml"
    path.write_text(
        "version: 1\nfleet: edge\n"
        'role: "arn:aws:iam::${account.id}:role/enireconcile"\n'
        "external_id: abc\n"
        f"state: {folder / 'state'}\n"
        f"accounts:\n{''.join(rows)}specs:\n{''.join(entries)}{more}"
    )
    return path


@contextmanager
def estate_at(settings: Settings | None = None) -> Iterator[tuple[Estate, Mapping[str, str]]]:
    """An estate, and the environment that leads to it."""
    with Estate(settings) as estate:
        yield estate, {**ENVIRONMENT, "AWS_ENDPOINT_URL": estate.url}


def blocks(estate: Estate, calls: Sequence[Call]) -> dict[tuple[str, str], int]:
    """For each account and Region, by how many credentials its calls were signed one after the other.

    Each unit assumes its role for itself: where there are more blocks than units, two ran at the same time.
    """
    by_lane: dict[tuple[str, str], list[str]] = {}
    for call in calls:
        if call.service == "ec2":
            by_lane.setdefault((estate.account_of(call), call.region), []).append(call.access_key)
    return {lane: len(list(groupby(keys))) for lane, keys in by_lane.items()}
