"""The files of a format, and what they have in common. Pure."""

from __future__ import annotations

from msgspec import Struct

from enireconcile.guest.model import Guest, Link, marks

MTU = 9001
"""Of every interface in EC2; the primary one gets it by DHCP."""


class File(Struct, frozen=True):
    """A file on the guest. ``path`` is absolute; ``mode`` is 0644, 0755 or 0600."""

    path: str
    text: str
    mode: int = 0o644


def head(guest: Guest, comment: str = "#") -> str:
    """The first line of every file."""
    return f"{comment} Made by `enireconcile guest` for instances.{guest.name} of the stack {guest.stack}.\n"


def stem(guest: Guest, link: Link) -> str:
    """The part of file names that names the link. Several stacks may have interfaces on one instance.

    No name has a dot: no two stacks and links make one name.
    """
    return f"enireconcile-{guest.stack}.{link.name}"


def marks_unit(guest: Guest) -> str:
    return f"enireconcile-marks-{guest.stack}.service"


def marks_file(guest: Guest) -> str:
    return f"/etc/enireconcile/marks-{guest.stack}.nft"


def sysctl_file(guest: Guest) -> str:
    return f"/etc/sysctl.d/60-enireconcile-{guest.stack}.conf"


def mark_files(guest: Guest) -> tuple[File, ...]:
    """The files that mark packets at every boot, where rules need marks. The guest needs nft for them."""
    text = marks(guest, by_mark=True)
    if not text:
        return ()
    return (
        File(marks_file(guest), head(guest) + text),
        File(
            f"/etc/systemd/system/{marks_unit(guest)}",
            f"{head(guest)}[Unit]\n"
            "Description=Mark packets by the network interface on which they arrive\n"
            "After=nftables.service firewalld.service\n"
            "PartOf=nftables.service\n"
            "Before=docker.service\n"
            "\n"
            "[Service]\n"
            "Type=oneshot\n"
            "RemainAfterExit=yes\n"
            f"ExecStart=/usr/sbin/nft -f {marks_file(guest)}\n"
            "\n"
            "[Install]\n"
            "WantedBy=multi-user.target\n",
        ),
        File(sysctl_file(guest), f"{head(guest)}{VALID_MARK} = 1\n"),
    )


VALID_MARK = "net.ipv4.conf.all.src_valid_mark"
"""With it, the check of the source address (rp_filter) regards marks."""
