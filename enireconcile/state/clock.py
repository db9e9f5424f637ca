"""A clock that only moves forward, so that a wall clock that jumps does not change the age of anything."""

from __future__ import annotations

import functools
import hashlib
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct


class BootClock(Struct, frozen=True):
    """``elapsed`` returns seconds since some moment of the past. Values with equal ``boot`` can be compared."""

    boot: str
    elapsed: Callable[[], float]


def boot_time() -> float:
    """Seconds on a monotonic clock that also counts while the machine sleeps, where the system has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@functools.cache
def boot_id() -> str:
    """The id of this boot of the machine, empty where the operating system does not tell it."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return ""


@functools.cache
def machine_clock() -> BootClock:
    """The clock that all processes of this boot share; where boots have no id, a clock of this process alone."""
    boot, time_namespace = boot_id(), ""
    with suppress(OSError):
        # Time namespaces shift the boot clock.
        time_namespace = str(Path("/proc/self/ns/time").readlink())
    shared = hashlib.sha256(f"{boot}/{time_namespace}".encode()).hexdigest()[:16]
    return BootClock(shared if boot else secrets.token_hex(8), boot_time)
