"""Which unfinished runs have used a memory, and would not find it again when they are resumed."""

from __future__ import annotations

from regrow.codec import decode
from regrow.journal.chain import unseal_all
from regrow.journal.records import CallSucceeded
from regrow.journal.store import RunRow, Store


def unfinished_users(store: Store, project: str, memory: str) -> list[RunRow]:
    """Give the unfinished runs of a project whose journals name a memory as read or written, newest first."""
    return [row for row in store.runs(project=project) if row.outcome is None and _uses(store, row, memory)]


def _uses(store: Store, row: RunRow, memory: str) -> bool:
    for record in unseal_all(row.id, store.read(row.id)):
        event = record.event
        # A search is left out: it is recorded with what it found, and the read before it names the memory.
        if isinstance(event, CallSucceeded) and event.call.kind == "memory" and isinstance(event.value, bytes):
            told = decode(event.value)
            if isinstance(told, list) and told[:1] == [memory]:
                return True
    return False
