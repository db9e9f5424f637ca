"""All formats by their names, with where their files belong. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from enireconcile.guest import ip, networkd
from enireconcile.guest.model import Guest
from enireconcile.guest.output import MARKS_UNIT, File


@dataclass(frozen=True)
class Format:
    """``files`` renders a guest; ``first`` says to print the first file only, for the others only accompany it.

    ``apply`` is what to run on the guest once the files are in place.
    """

    files: Callable[[Guest], tuple[File, ...]]
    apply: str
    first: bool = False


FORMATS = {
    "ip": Format(ip.files, f"systemctl daemon-reload && systemctl enable --now {ip.UNIT}", first=True),
    "networkd": Format(networkd.files, "networkctl reload"),
}
MARKS_APPLY = f"sysctl --system && systemctl enable --now {MARKS_UNIT}"
"""What to run besides where there is a file with marks."""


def commands(style: Format, files: tuple[File, ...]) -> str:
    """What to run on the guest once the files are in place."""
    marks = f"{MARKS_APPLY} && " if any(file.path.endswith(MARKS_UNIT) for file in files) else ""
    return f"{marks}{style.apply}"


def printed(style: Format, files: tuple[File, ...]) -> str:
    """The files as one text: one file as it is, several with their paths."""
    if style.first or len(files) == 1:
        return files[0].text
    return "\n".join(f"# ---- {file.path}\n{file.text}" for file in files)
