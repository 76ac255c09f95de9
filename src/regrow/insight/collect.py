"""What may be thrown away: runs that ended long ago, and blobs that no run refers to."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from regrow.insight.needed import needed_by_runs
from regrow.journal.store import DamagedRow, RunRow, Store

BLOB_GRACE_SECONDS = 3600.0
"""A blob is put before the record that refers to it; younger ones may be on their way into a run."""


class Blob(msgspec.Struct, frozen=True):
    """A blob that nothing refers to.

    Attributes:
        digest: its digest.
        size: in bytes.
        needed_by: a run whose records need it all the same, so that it must stay: the list of references is damaged.
    """

    digest: str
    size: int
    needed_by: str | None = None


def old_runs(store: Store, *, now: float, older_than: float, project: str | None = None) -> list[RunRow]:
    """Give the runs that ended more than `older_than` seconds ago, newest first: of one project, or of all.

    An unfinished run is never old, nor is one of which the list of runs does not say whether it is.
    """
    left_alone: list[DamagedRow] = []
    return [
        row
        for row in store.runs(project=project, damaged=left_alone)
        if row.ended is not None and row.outcome is not None and row.ended < now - older_than
    ]


def loose_blobs(store: Store, *, now: float) -> Iterator[Blob]:
    """Give the blobs that no run, no memory and nothing in the cache refers to, one by one.

    What is referred to is asked first, and each blob's age only when it is its turn: putting a blob that is there
    already makes it young again, so one that a run has come to need meanwhile is passed over. Journals are only read if
    there is anything to throw away.
    """
    referenced = store.referenced_blobs() | store.cache.blobs(now=now) | store.memories.blobs()
    if not any(_loose(store, referenced, now)):
        return
    needed = needed_by_runs(store)
    for digest, size in _loose(store, referenced, now):
        yield Blob(digest, size, needed.get(digest))


def _loose(store: Store, referenced: frozenset[str], now: float) -> Iterator[tuple[str, int]]:
    for digest, size, put in store.blobs.digests():
        if digest not in referenced and put < now - BLOB_GRACE_SECONDS:
            yield digest, size
