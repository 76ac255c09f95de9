"""Which blobs the records of a run need, as against those that the store lists for it.

The list lies outside of the chains of the records. Where the two do not agree, the records are right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from regrow.codec.contents import contents_of
from regrow.engine.state import fold
from regrow.errors import RegrowError, StoreError
from regrow.journal.blobs import BlobStore
from regrow.journal.chain import StoredRecord, unseal_all
from regrow.journal.records import (
    Asked,
    BlobRef,
    CallSucceeded,
    CheckpointSaved,
    ChunkYielded,
    Event,
    OutcomeDecided,
    Record,
    RunCreated,
    Value,
)
from regrow.journal.store import DamagedRow, Store

_DIGEST = re.compile(rb"[0-9a-f]{64}")


def needed_blobs(records: Sequence[Record], blobs: BlobStore) -> dict[str, int]:
    """Give the digests of the blobs that a run needs, each with the place of a record that names it.

    Files inside of large values are among them, if these can be read. Of checkpoints only those are needed that a call
    could still go on from: the others were let go of.
    """
    calls = fold(records).calls
    needed: dict[str, int] = {}
    for record in records:
        event = record.event
        if isinstance(event, CheckpointSaved):
            known = calls.get(event.path)
            if known is None or known.checkpoint != event:
                continue
        for value in _values(event):
            for digest in _digests(value, blobs):
                needed.setdefault(digest, record.seq)
    return needed


def needed_by_runs(store: Store) -> dict[str, str]:
    """Give the digests of the blobs that any run needs, each with the id of such a run. Reads every journal.

    Of a journal that is damaged, everything counts as needed that looks like a digest.
    """
    damaged: list[DamagedRow] = []
    runs = [row.id for row in store.runs(damaged=damaged)]
    needed: dict[str, str] = {}
    for run in (*runs, *(one.run for one in damaged)):
        needed.update(dict.fromkeys(_needed_by(run, store), run))
    return needed


def _needed_by(run: str, store: Store) -> Iterable[str]:
    stored = store.read(run)
    try:
        return needed_blobs(unseal_all(run, stored), store.blobs)
    except RegrowError:
        return _anything_like_a_digest(stored)


def _anything_like_a_digest(stored: Sequence[StoredRecord]) -> Iterator[str]:
    for record in stored:
        yield from (found.decode() for found in _DIGEST.findall(record.body))


def _values(event: Event) -> tuple[Value, ...]:
    match event:
        case RunCreated():
            return (event.inputs,)
        case ChunkYielded() | CallSucceeded() | CheckpointSaved() | OutcomeDecided():
            return (event.value,)
        case Asked():
            return (event.shown, event.evidence)
        case _:
            return ()


def _digests(value: Value, blobs: BlobStore) -> Iterator[str]:
    if isinstance(value, BlobRef):
        yield value.digest
        try:
            value = blobs.get(value.digest)
        except StoreError:
            return  # whoever verifies blobs says so
    yield from contents_of(value)
