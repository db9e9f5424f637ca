"""The strict EC2: a stateful EC2 (with STS and SSM) over HTTP that enforces what EC2 does and moto does not."""

from __future__ import annotations

from .calls import Call
from .clock import VirtualClock
from .errors import EC2Error
from .faults import Buckets, Drop, DropConnection, Fail, Fault, Hook, Latency, Nth, StaleReads, Weather
from .records import Quotas, Settings
from .server import EC2Server
from .world import World

__all__ = [
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
    "Quotas",
    "Settings",
    "StaleReads",
    "VirtualClock",
    "Weather",
    "World",
]
