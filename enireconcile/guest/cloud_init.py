"""``cloud-init``: a part of user data that writes the files of another format, early in every boot. Pure.

``bootcmd`` runs before the scripts of the user, and again at every boot; it changes nothing while the files are as
they should be. The part is merged with a ``bootcmd`` of the user's own, not put in its place.
"""

from __future__ import annotations

from enireconcile.guest.model import Guest
from enireconcile.guest.output import File, head

_END = "END-OF-FILE"
_FUNCTION = """\
changed=
# put MODE PATH: writes a file, unless it is as it should be.
put() {
  mkdir -p "${2%/*}"
  (umask 077; cat > "$2.new")
  chmod "$1" "$2.new"
  if cmp -s "$2.new" "$2"; then rm "$2.new"; else mv "$2.new" "$2"; changed=yes; fi
}
"""


def part(guest: Guest, files: tuple[File, ...], apply: str) -> str:
    """The part. ``apply`` is run where a file has changed."""
    script = _FUNCTION + "".join(
        f"put {file.mode:04o} {file.path} <<'{_END}'\n{file.text}{_END}\n" for file in files
    )
    script += f'if [ -n "$changed" ]; then\n{apply}\nfi\n'
    indented = "".join(f"    {line}\n" if line else "\n" for line in script.splitlines())
    return (
        f"#cloud-config\n{head(guest)}"
        "merge_how: [{name: list, settings: [append]}, {name: dict, settings: [no_replace, recurse_list]}]\n"
        f"bootcmd:\n  - |\n{indented}"
    )
