"""All formats by their names, with where their files belong. Pure."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from enireconcile.guest import cloud_init, ip, netplan, networkd, networkmanager
from enireconcile.guest.model import Guest
from enireconcile.guest.output import File, marks_file, marks_unit, sysctl_file

CLOUD_INIT = "cloud-init"


class Format(Struct, frozen=True):
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
        lambda guest: (
            f"systemctl daemon-reload && udevadm control --reload && systemctl enable --now {ip.unit(guest)}"
        ),
        lambda guest: (
            "systemctl daemon-reload; udevadm control --reload; "
            f"systemctl enable {ip.unit(guest)}; {ip.script(guest)}"
        ),
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
    marks = f"sysctl -p {sysctl_file(guest)} && systemctl enable --now {marks_unit(guest)} && "
    return f"{marks if _has_marks(guest, files) else ''}{style.apply(guest)}"


def cloud_config(style: Format, guest: Guest) -> str:
    """The part of user data that writes the files and puts them into effect."""
    files = style.files(guest)
    marks = f"sysctl -p {sysctl_file(guest)}; systemctl enable {marks_unit(guest)}; nft -f {marks_file(guest)}\n"
    return cloud_init.part(guest, files, (marks if _has_marks(guest, files) else "") + style.boot(guest))


def _has_marks(guest: Guest, files: tuple[File, ...]) -> bool:
    return any(file.path == marks_file(guest) for file in files)


def printed(style: Format, files: tuple[File, ...]) -> str:
    """The files as one text: one file as it is, several with their paths."""
    if style.single or len(files) == 1:
        return files[0].text
    return "\n".join(f"# ---- {file.path}\n{file.text}" for file in files)
