"""What one run leaves for the next: a lock, a journal and the last report of each stack.

In a directory of this machine, or below a prefix of an S3 bucket for runs on several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enireconcile.state.base import Held, Holder, Lock, Store
from enireconcile.state.journal import Journal

if TYPE_CHECKING:
    from enireconcile.aws.session import Session

__all__ = ["Held", "Holder", "Journal", "Lock", "Store", "open_store"]

_S3 = "s3://"


def open_store(folder: str | None, session: Session) -> Store:
    """The store at a directory or ``s3://bucket/prefix``; None is the user's own directory."""
    if folder is not None and folder.startswith(_S3):
        from enireconcile.aws.s3 import S3Bucket
        from enireconcile.state.s3 import S3Store

        bucket, _, prefix = folder.removeprefix(_S3).partition("/")
        return S3Store(S3Bucket(session, bucket, prefix))
    from pathlib import Path

    from enireconcile.state.directory import Directory, default_root

    return Directory(Path(folder) if folder else default_root())
