"""The strict EC2: a stateful EC2 (with STS and SSM) over HTTP that enforces what EC2 does and moto does not.

    clock = VirtualClock()
    world = World(Settings(attach_delay=2.0), clock)
    with EC2Server(world) as server:
        server.faults.add(DropConnection("AllocateAddress", late=True))
        ec2 = server.client()            # a real boto3 client that does not retry; server.url for others
        ...
        assert server.actions(mutating=True) == ["AllocateAddress"]

`World` holds the state and the rules and needs no wire: `world.call("AllocateAddress")` is what another
client of the account does, `world.add_vpc(...)` and the other `add_` and `set_` methods arrange what EC2's
own calls cannot. `world.data` is the state itself; `world.settle()` lets happen what is due before looking.
`lab.Lab` bundles all of it for short tests, and `python -m tests.ec2` serves from a process of its own.
"""

from __future__ import annotations

from .calls import Call
from .clock import VirtualClock
from .errors import EC2Error
from .faults import (
    Answer,
    Buckets,
    Drop,
    DropConnection,
    Fail,
    Fault,
    Hook,
    Latency,
    Nth,
    Rewrite,
    StaleReads,
    Weather,
)
from .iam import Policy
from .records import Quotas, Settings
from .server import EC2Server
from .world import World

__all__ = [
    "Answer",
    "Buckets",
    "Call",
    "Drop",
    "DropConnection",
    "EC2Error",
    "EC2Server",
    "Fail",
    "Fault",
    "Hook",
    "Latency",
    "Nth",
    "Policy",
    "Quotas",
    "Rewrite",
    "Settings",
    "StaleReads",
    "VirtualClock",
    "Weather",
    "World",
]
