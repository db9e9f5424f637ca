"""botocore's data, cut to what this program needs.

EC2's model has more than 700 operations, and the list of endpoints all services: parsing them takes longer than
all else that a client needs. So EC2's model is cut to the operations of ``aws.actions``, and the endpoints to the
services that are called. Both are kept in the user's cache directory. They are made anew when in doubt: with
another botocore, other operations or another source file, and where the cache file is unreadable or another user
can write it.
"""

from __future__ import annotations

import functools
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
_ENDPOINTS = "endpoints"
_LARGEST = 16 * 2**20
_FORMAT = 2

OPERATIONS = frozenset(row.name for row in ACTIONS.values() if row.service == _CUT[0])
SERVICES = frozenset(
    {*(row.service for row in ACTIONS.values()), "organizations"}
    # botocore's own calls for credentials, as clients and as endpoints.
    | {"sts", "sso", "portal.sso", "sso-oidc", "oidc", "signin"}
)


class Models(Loader):
    """botocore's loader, which ``watch`` and a run of several specs keep: a file is read once per process."""

    def load_service_model(self, service_name: str, type_name: str, api_version: str | None = None) -> Any:
        """The model as botocore returns it; EC2's without the operations that are never called."""
        if (service_name, type_name) != _CUT or api_version is not None:
            return super().load_service_model(service_name, type_name, api_version)
        return self._cut["model"]

    def load_data_with_path(self, name: str) -> Any:
        """The data as botocore returns it; the endpoints without those of other services."""
        if name != _ENDPOINTS:
            return super().load_data_with_path(name)
        return self._cut["endpoints"], self._cut["path"]

    def list_available_services(self, type_name: str) -> list[str]:
        """The services that are called; botocore would look into a folder for each of its 400."""
        return sorted(SERVICES)

    @functools.cached_property
    def _cut(self) -> dict[str, Any]:
        key = self._key()
        return self._read(key) or self._made(key)

    def _made(self, key: str | None) -> dict[str, Any]:
        endpoints, path = super().load_data_with_path(_ENDPOINTS)
        made = {
            "key": key,
            "model": cut(super().load_service_model(*_CUT), OPERATIONS),
            "endpoints": cut_endpoints(endpoints, SERVICES),
            "path": path,
        }
        if (kept := cache_file()) and key:
            try:
                files.make_folders(kept.parent, 0o700)
                files.replace(kept, json.dumps(made).encode(), mode=0o600)
            except OSError as error:
                log.debug("botocore's data is not cached in %s: %s", kept, error.strerror)
        return made

    def _read(self, key: str | None) -> dict[str, Any] | None:
        """What is cached, None if there is nothing or it is in doubt."""
        path = cache_file()
        if path is None or key is None or not files.is_private(path):
            return None
        try:
            cached = json.loads(files.read_regular(path, _LARGEST))
            if (
                cached["key"] == key
                and cached["model"].keys() >= {"metadata", "operations", "shapes"}
                and cached["endpoints"].keys() >= {"partitions"}
                and isinstance(cached["path"], str)
            ):
                return dict(cached)
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            log.debug("botocore's data in %s is not used: %s", path, error)
        return None

    def _key(self) -> str | None:
        """Tells one cut from another; None where botocore's files are not found."""
        try:
            version = self.determine_latest_version(*_CUT)
            sources = [*self._sources(Path(_CUT[0], version), f"{_CUT[1]}*")]
            endpoints = [*self._sources(Path(), f"{_ENDPOINTS}.json*")]
        except (BotoCoreError, OSError):
            return None
        wanted = [sorted(OPERATIONS), sorted(SERVICES)]
        known = json.dumps([_FORMAT, botocore.__version__, wanted, sources, endpoints])
        return hashlib.sha256(known.encode()).hexdigest() if sources and endpoints else None

    def _sources(self, folder: Path, pattern: str) -> Iterator[tuple[str, int, int]]:
        """Path, size and time of change of each file that may be or extend the data, in botocore's order."""
        for root in self.search_paths:
            for path in sorted(Path(root, folder).glob(pattern)):
                found = path.stat()
                yield str(path), found.st_size, found.st_mtime_ns


def cache_file() -> Path | None:
    folder = files.cache_folder()
    return folder / "ec2.json" if folder else None


def cut_endpoints(endpoints: Mapping[str, Any], services: frozenset[str]) -> dict[str, Any]:
    """The list of endpoints with these services alone."""

    def kept(partition: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: each for name, each in partition["services"].items() if name in services}
        return {**partition, "services": found}

    return {**endpoints, "partitions": [kept(partition) for partition in endpoints["partitions"]]}


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
