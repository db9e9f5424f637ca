"""All formats by their names, with where their files belong. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from enireconcile.guest import cloud_init, ip, netplan, networkd, networkmanager
from enireconcile.guest.model import Guest
from enireconcile.guest.output import MARKS_FILE, MARKS_UNIT, SYSCTL_FILE, File

CLOUD_INIT = "cloud-init"


@dataclass(frozen=True)
class Format:
    """``files`` renders a guest; ``single``: the other files only accompany the first.

    ``apply`` are the commands that put the files into effect, ``boot`` those for early in the boot, when there is
    no D-Bus yet, and nothing may wait for the network to be up.
    """

    files: Callable[[Guest], tuple[File, ...]]
    apply: Callable[[Guest], str]
    boot: Callable[[Guest], str]
    single: bool = False


def _always(commands: str) -> Callable[[Guest], str]:
    return lambda _: commands


BACKENDS = {
    "ip": Format(
        ip.files,
        _always(f"systemctl daemon-reload && udevadm control --reload && systemctl enable --now {ip.UNIT}"),
        _always(f"systemctl daemon-reload; udevadm control --reload; systemctl enable {ip.UNIT}; {ip.SCRIPT}"),
        single=True,
    ),
    "networkd": Format(
        networkd.files, _always("networkctl reload"), _always("systemctl try-restart systemd-networkd.service")
    ),
    "netplan": Format(
        netplan.files,
        _always("netplan apply"),
        _always("netplan generate && systemctl try-restart systemd-networkd.service"),
    ),
    "networkmanager": Format(networkmanager.files, networkmanager.activation, networkmanager.activation),
}
NAMES = (*BACKENDS, CLOUD_INIT)
"""What ``--format`` takes."""


def commands(style: Format, guest: Guest, files: tuple[File, ...]) -> str:
    """What to run on the guest once the files are in place."""
    marks = f"sysctl -p {SYSCTL_FILE} && systemctl enable --now {MARKS_UNIT} && " if _has_marks(files) else ""
    return f"{marks}{style.apply(guest)}"


def cloud_config(style: Format, guest: Guest) -> str:
    """The part of user data that writes the files and puts them into effect."""
    files = style.files(guest)
    marks = f"sysctl -p {SYSCTL_FILE}; systemctl enable {MARKS_UNIT}; nft -f {MARKS_FILE}\n"
    return cloud_init.part(guest, files, (marks if _has_marks(files) else "") + style.boot(guest))


def _has_marks(files: tuple[File, ...]) -> bool:
    return any(file.path == MARKS_FILE for file in files)


def printed(style: Format, files: tuple[File, ...]) -> str:
    """The files as one text: one file as it is, several with their paths."""
    if style.single or len(files) == 1:
        return files[0].text
    return "\n".join(f"# ---- {file.path}\n{file.text}" for file in files)
