"""Which images configure further network interfaces by themselves, as far as it is known. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A family of operating systems. ``copes``: it gives each interface and each address its own routes."""

    name: str
    copes: bool


_BY_NAME = (
    (r"al2023-", Family("Amazon Linux 2023", True)),
    (r"amzn2-", Family("Amazon Linux 2", True)),
    (
        r"(ubuntu|ubuntu-[a-z]+)/images.*-(2[4-9]|[3-9]\d)\.\d\d-",
        Family("Ubuntu with cloud-init 24.1 or later", True),
    ),
    (r"ubuntu", Family("Ubuntu with an older cloud-init", False)),
    (r"RHEL-", Family("Red Hat Enterprise Linux", True)),
    (r"(suse|opensuse)-", Family("SUSE Linux", True)),
    (r"debian-", Family("Debian", False)),
    (r"Rocky-", Family("Rocky Linux", False)),
    (r"AlmaLinux", Family("AlmaLinux", False)),
    (r"FreeBSD", Family("FreeBSD", False)),
)
"""By patterns at the beginning of an image's name."""
_BY_SYSTEM = (
    (r"Red Hat", Family("Red Hat Enterprise Linux", True)),
    (r"SUSE", Family("SUSE Linux", True)),
)
"""By EC2's PlatformDetails."""


def family(image_name: str, system: str) -> Family | None:
    """The family of an image, by its name and EC2's PlatformDetails; None if neither is known."""
    for known, text in ((_BY_NAME, image_name), (_BY_SYSTEM, system)):
        for pattern, found in known:
            if re.match(pattern, text, re.IGNORECASE):
                return found
    return None


def is_windows(system: str) -> bool:
    return system.startswith("Windows")
