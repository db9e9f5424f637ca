"""What a run leaves for the next one: lock, journal and last report of each stack.

They are in a directory, or below a prefix of an S3 bucket if several machines run the same stack.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enireconcile.state.base import HeldLock, Holder, LockInfo, Store
from enireconcile.state.journal import Journal

if TYPE_CHECKING:
    from enireconcile.aws.session import Session

__all__ = ["HeldLock", "Holder", "Journal", "LockInfo", "Store", "open_store"]

_S3 = "s3://"


def open_store(folder: str | None, session: Session) -> Store:
    """The store in a directory or at ``s3://bucket/prefix``; None means the user's state directory."""
    if folder is not None and folder.startswith(_S3):
        from enireconcile.aws.s3 import S3Bucket
        from enireconcile.state.s3 import S3Store

        bucket, _, prefix = folder.removeprefix(_S3).partition("/")
        return S3Store(S3Bucket(session, bucket, prefix))
    from pathlib import Path

    from enireconcile.state.directory import Directory, default_root

    return Directory(Path(folder) if folder else default_root())
