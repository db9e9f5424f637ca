"""What one run leaves for the next: a lock, a journal and the last report of each stack.

In a directory of this machine, or below a prefix of an S3 bucket for runs on several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enireconcile.store.base import Held, Holder, Lock, Store
from enireconcile.store.journal import Journal

if TYPE_CHECKING:
    from enireconcile.aws.session import Session

__all__ = ["Held", "Holder", "Journal", "Lock", "Store", "open_store"]

_S3 = "s3://"


def open_store(place: str | None, session: Session) -> Store:
    """The store at a directory or ``s3://bucket/prefix``; None is the user's own directory."""
    if place is not None and place.startswith(_S3):
        from enireconcile.aws.objects import Bucket
        from enireconcile.store.bucket import BucketStore

        bucket, _, prefix = place.removeprefix(_S3).partition("/")
        return BucketStore(Bucket(session, bucket, prefix))
    from pathlib import Path

    from enireconcile.store.directory import Directory, default_root

    return Directory(Path(place) if place else default_root())
