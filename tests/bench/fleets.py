"""What a no-op unit of a fleet costs over TLS, and how long a thousand take."""

from __future__ import annotations

import shutil
import ssl
from pathlib import Path

import botocore
import trustme

from tests.ec2 import Settings
from tests.ec2.estate import Estate
from tests.ec2.faults import Latency
from tests.fleet.estates import write_fleet

from .story import LATENCY, environment_for
from .table import Table, seconds
from .whole import cost_of, tool

SPECS = ("edge", "core", "lab", "dmz", "vpn")


def fleets(folder: Path, sizes: tuple[int, ...] = (20, 100)) -> Table:
    """Fleets of accounts × two Regions × five specs that are as they should be."""
    table = Table(
        "Fleets with nothing to do",
        "`fleet apply` over TLS, on two worker processes, or on eight where calls take 50 ms, with botocore's whole "
        "bundle of authorities and one more. CPU is that of the command and its workers; the EC2 that answers runs "
        "on the same cores.",
        ("units", "a call takes", "wall", "CPU", "CPU of a unit", "bar"),
    )
    authority = trustme.CA()
    bundle = folder / "authorities.pem"
    shutil.copy(Path(botocore.__file__).with_name("cacert.pem"), bundle)
    with bundle.open("ab") as more:
        more.write(authority.cert_pem.bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    for accounts in sizes:
        place = folder / f"{accounts}"
        place.mkdir()
        file = write_fleet(place, accounts, SPECS)
        with Estate(Settings(), tls=context) as estate:
            environment = {**environment_for(estate, place / "state"), "AWS_CA_BUNDLE": str(bundle)}
            cost_of(tool("fleet", "apply", "-y", file, "--jobs", 2), environment)
            for latency in (0.0, LATENCY):
                estate.faults.clear()
                estate.faults.add(Latency(latency))
                cost = cost_of(tool("fleet", "apply", "-y", file, "--jobs", 2 if not latency else 8), environment)
                units = accounts * 2 * len(SPECS)
                bar = {(200, 0.0): "0.10 s", (1000, LATENCY): "90 s wall"}.get((units, latency), "")
                each = f"{cost.cpu / units:.3f} s"
                table.add(
                    f"{units:,}", f"{latency * 1000:.0f} ms", seconds(cost.wall), seconds(cost.cpu), each, bar
                )
    return table
