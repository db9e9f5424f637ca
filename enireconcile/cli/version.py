"""The versions that a bug report needs. Loads none of the packages."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of

from enireconcile import __version__

_PACKAGES = ("boto3", "botocore", "click", "pydantic", "pyyaml", "rich", "moto")


def versions() -> dict[str, str | None]:
    """Name to version; None for a package that is not installed, as moto without the extra ``sandbox``."""
    return {
        "enireconcile": __version__,
        "python": platform.python_version(),
        **{name: _version_of(name) for name in _PACKAGES},
        "platform": platform.platform(),
    }


def _version_of(package: str) -> str | None:
    try:
        return version_of(package)
    except PackageNotFoundError:
        return None
