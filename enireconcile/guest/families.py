"""Which images configure further network interfaces by themselves, as far as it is known. Pure."""

from __future__ import annotations

import re

from msgspec import Struct


class Family(Struct, frozen=True):
    """A family of operating systems. ``copes``: it gives each interface and each address its own routes.

    ``format`` is what its images read, of the formats of ``guest``.
    """

    name: str
    copes: bool
    format: str = "networkd"


_BY_NAME = (
    (r"al2023-", Family("Amazon Linux 2023", True)),
    (r"amzn2-", Family("Amazon Linux 2", True, "ip")),
    (
        r"(ubuntu|ubuntu-[a-z]+)/images.*-(2[4-9]|[3-9]\d)\.\d\d-",
        Family("Ubuntu with cloud-init 24.1 or later", True),
    ),
    (r"ubuntu", Family("Ubuntu with an older cloud-init", False)),
    (r"RHEL-", Family("Red Hat Enterprise Linux", True, "networkmanager")),
    (r"(suse|opensuse)-", Family("SUSE Linux", True, "ip")),
    (r"debian-", Family("Debian", False)),
    (r"Rocky-", Family("Rocky Linux", False, "networkmanager")),
    (r"AlmaLinux", Family("AlmaLinux", False, "networkmanager")),
    (r"FreeBSD", Family("FreeBSD", False, "ip")),
)
"""By patterns at the beginning of an image's name."""
_BY_SYSTEM = (
    (r"Red Hat", Family("Red Hat Enterprise Linux", True, "networkmanager")),
    (r"SUSE", Family("SUSE Linux", True, "ip")),
)
"""By EC2's PlatformDetails."""


_BY_PARAMETER = (
    (r"/ami-amazon-linux-latest/al2023-", Family("Amazon Linux 2023", True)),
    (r"/ami-amazon-linux-latest/amzn2-", Family("Amazon Linux 2", True, "ip")),
    (r"/canonical/ubuntu/.*/(2[4-9]|[3-9]\d)\.\d\d/", Family("Ubuntu with cloud-init 24.1 or later", True)),
    (r"/canonical/ubuntu/", Family("Ubuntu with an older cloud-init", False)),
    (r"/suse/", Family("SUSE Linux", True, "ip")),
    (r"/debian/", Family("Debian", False)),
)
"""By patterns in the public SSM parameters of images."""


def family_of_parameter(name: str) -> Family | None:
    """The family of the image that an SSM parameter names, if that is known."""
    return next((found for pattern, found in _BY_PARAMETER if re.search(pattern, name)), None)


def family(image_name: str, system: str) -> Family | None:
    """The family of an image, by its name and EC2's PlatformDetails; None if neither is known."""
    for known, text in ((_BY_NAME, image_name), (_BY_SYSTEM, system)):
        for pattern, found in known:
            if re.match(pattern, text, re.IGNORECASE):
                return found
    return None


def is_windows(system: str) -> bool:
    return system.startswith("Windows")
