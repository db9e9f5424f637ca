"""User data of instances: a file for each, and what the spec says of it. Pure.

EC2 runs user data at the first boot only. A stack has a hash of what it launched an instance with: if EC2 shows
something else, a comment names the file, for a plan would warn of it. Otherwise the row does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from enireconcile.export.said import Said, Source
from enireconcile.kinds.launch import launched_with
from enireconcile.live.records import LiveInstance
from enireconcile.live.selected import Selected
from enireconcile.model import Secret
from enireconcile.ownership import USER_DATA_TAG
from enireconcile.spec import Disk, Document
from enireconcile.spec.expand import escaped
from enireconcile.spec.rows import USER_DATA_BYTES
from enireconcile.spec.userdata import text_if_it_is

KEY = "user_data_file"
_SUFFIXES = ((b"#!", ".sh"), (b"#cloud-config", ".cfg"), (b"\x1f\x8b", ".gz"))
"""Of a file, by the beginning of its content. None is that of a spec: commands read all specs in a folder."""


@dataclass
class UserData:
    """``files`` has contents by paths beside the spec. By names of rows: ``keys`` are the paths that they name,
    ``contents`` what those say, ``comments`` what is told of others.
    """

    files: dict[str, Secret] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    contents: dict[str, str | bytes] = field(default_factory=dict)
    comments: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def disk(self) -> Disk:
        """Where a spec with the keys is read from."""
        return _Beside(self.files)

    def comment(self, rows: Mapping[str, Said]) -> None:
        """Add the comments to the rows of instances."""
        for name, words in self.comments.items():
            known = rows[name].comments.get(())
            rows[name].comments[()] = f"{known}, {words}" if known else words

    def named_in(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A file, as plain data, with the keys in its rows."""
        rows = {
            name: {**row, KEY: self.keys[name]} if name in self.keys else row
            for name, row in data.get("instances", {}).items()
        }
        return {**data, "instances": rows} if rows else dict(data)

    def read_into(self, document: Document) -> Document:
        """The document of a file with the keys."""
        rows = {
            name: row.model_copy(update={"user_data": self.contents[name]}) if name in self.contents else row
            for name, row in document.instances.items()
        }
        return document.model_copy(update={"instances": rows})


def user_data_of(instances: Iterable[LiveInstance], source: Source, found: Selected, folder: str) -> UserData:
    """The files for these instances, in a folder beside the spec; each is named as its row."""
    made = UserData()
    for live in instances:
        name = source.names[live.id]
        if code := found.unread.get(live.id):
            made.comments[name] = f"user data was not read: {code}"
            made.notes.append(f"the user data of instances.{name} was not read: {code}")
        elif live.id in found.user_data:
            _add(made, name, live, found.user_data[live.id], folder, owned=source.owned)
    return made


def _add(made: UserData, name: str, live: LiveInstance, secret: Secret, folder: str, *, owned: bool) -> None:
    hashed = live.tags.get(USER_DATA_TAG) if owned else None
    if owned and hashed is None and "guest_network" in launched_with(live):
        # It is what `guest_network` made: the row had none of its own.
        return
    content = secret.content
    suffix = next((suffix for begin, suffix in _SUFFIXES if content.startswith(begin)), ".txt")
    path, text = str(PurePosixPath(folder, name + suffix)), text_if_it_is(content)
    written = text if isinstance(text, bytes) else escaped(text, user_data=True).encode()
    made.files[path] = Secret(written)
    if hashed in (None, secret.digest) and len(written) <= USER_DATA_BYTES:
        made.keys[name], made.contents[name] = path, text
        return
    made.comments[name] = f"{KEY}: {path}"
    if owned:
        made.notes.append(
            f"{path} is in a comment only: the stack did not launch instances.{name} with this user data; "
            "guest_network adds to it, or another tool has set it"
        )


class _Beside(Disk):
    """A disk with these files beside the spec."""

    def __init__(self, files: Mapping[str, Secret]) -> None:
        self._files = files

    def user_data(self, named: object, root: Path) -> str | bytes:
        return text_if_it_is(self._files[str(named)].content)
