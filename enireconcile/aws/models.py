"""botocore's service models, EC2's cut to the operations of ``aws.actions``.

EC2's model has more than 700 operations: parsing it takes longer than all else that a client needs. The cut model
is kept in the user's cache directory. It is made anew when it is in doubt: with another botocore, other operations
or another source file, and where the cache file is unreadable or another user can write it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore
from botocore.exceptions import BotoCoreError
from botocore.loaders import Loader

from enireconcile import files
from enireconcile.aws.actions import ACTIONS

log = logging.getLogger("enireconcile.aws")
_CUT = ("ec2", "service-2")
_LARGEST = 16 * 2**20
_FORMAT = 1


class Models(Loader):
    """botocore's loader, which ``watch`` and a run of several specs keep: a model is read once per process."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        """The model as botocore returns it; EC2's without the operations that are never called."""
        if (service_name, type_name) != _CUT or api_version is not None:
            return super().load_service_model(service_name, type_name, api_version)
        if self._cut is None:
            self._cut = self._read() or self._made()
        return self._cut

    _cut: dict[str, Any] | None = None

    def _made(self) -> dict[str, Any]:
        model = cut(super().load_service_model(*_CUT), OPERATIONS)
        if (path := cache_file()) and (key := self._key()):
            try:
                files.make_folders(path.parent, 0o700)
                files.replace(path, json.dumps({"key": key, "model": model}).encode(), mode=0o600)
            except OSError as error:
                log.debug("the model of EC2 is not cached in %s: %s", path, error.strerror)
        return model

    def _read(self) -> dict[str, Any] | None:
        """The cached model, None if there is none or it is in doubt."""
        path, key = cache_file(), self._key()
        if path is None or key is None or not files.is_private(path):
            return None
        try:
            cached = json.loads(files.read_regular(path, _LARGEST))
            if cached["key"] == key and cached["model"].keys() >= {"metadata", "operations", "shapes"}:
                return dict(cached["model"])
        except (OSError, ValueError, TypeError, LookupError) as error:
            log.debug("the model of EC2 in %s is not used: %s", path, error)
        return None

    def _key(self) -> str | None:
        """Tells one cut from another; None where botocore's file is not found."""
        try:
            version = self.determine_latest_version(*_CUT)
            sources = [*self._sources(version)]
        except (BotoCoreError, OSError):
            return None
        known = json.dumps([_FORMAT, botocore.__version__, sorted(OPERATIONS), sources])
        return hashlib.sha256(known.encode()).hexdigest() if sources else None

    def _sources(self, version: str) -> Iterator[tuple[str, int, int]]:
        """Path, size and time of change of each file that may be or extend the model, in botocore's order."""
        for folder in self.search_paths:
            for path in sorted(Path(folder, _CUT[0], version).glob(f"{_CUT[1]}*")):
                found = path.stat()
                yield str(path), found.st_size, found.st_mtime_ns


OPERATIONS = frozenset(row.name for row in ACTIONS.values() if row.service == _CUT[0])


def cache_file() -> Path | None:
    folder = files.cache_folder()
    return folder / "ec2.json" if folder else None


def cut(model: Mapping[str, Any], operations: frozenset[str]) -> dict[str, Any]:
    """A model with these operations, the shapes that they need, and no documentation."""
    kept = {
        name: _undocumented(model["operations"][name]) for name in sorted(operations & model["operations"].keys())
    }
    shapes: dict[str, Any] = {}
    waiting = [*_named([*kept.values()])]
    while waiting:
        name = waiting.pop()
        if name not in shapes:
            shapes[name] = _shape(model["shapes"][name])
            waiting += _named(shapes[name])
    return {**model, "operations": kept, "shapes": dict(sorted(shapes.items()))}


def _shape(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Without documentation; a member may have that name, too."""
    plain = _undocumented(shape)
    if "members" in plain:
        plain["members"] = {name: _undocumented(member) for name, member in plain["members"].items()}
    for part in ("member", "key", "value"):
        if part in plain:
            plain[part] = _undocumented(plain[part])
    return plain


def _undocumented(part: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key not in ("documentation", "documentationUrl")}


def _named(part: Any) -> Iterator[str]:
    """The names of the shapes that a part of a model refers to."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key == "shape" and isinstance(value, str):
                yield value
            else:
                yield from _named(value)
    elif isinstance(part, list):
        for each in part:
            yield from _named(each)
