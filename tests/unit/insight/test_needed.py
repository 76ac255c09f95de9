"""Which blobs a run's records need, whatever the store lists."""

from __future__ import annotations

import msgspec
import pytest

from regrow.codec import encode
from regrow.engine.vault import Vault
from regrow.insight.needed import needed_blobs, needed_by_runs
from regrow.journal.memory import MemoryStore
from regrow.journal.records import Asked, BlobRef, CallStarted, CallSucceeded, CheckpointSaved, ChunkYielded
from regrow.journal.store import Entry, NewRun
from regrow.values.files import File

from .writing import call

pytestmark = pytest.mark.unit

RUN = "r" * 26


@pytest.fixture
def store():
    return MemoryStore()


def saved(store, number, text):
    kept = Vault(store.blobs).keep(text, "checkpoint", inline_bytes=1)
    return CheckpointSaved("agent#1", 1, number, kept.value, kept.blobs)


def test_large_values_are_needed_with_the_files_inside_of_them(store, write, tmp_path):
    (tmp_path / "file").write_text("content")
    kept = Vault(store.blobs).keep(["x" * 100_000, File(tmp_path / "file")], "result")
    chunk = Vault(store.blobs).keep("y" * 100_000, "chunk")
    shown = BlobRef("d" * 64, 5)
    write.begin()(
        CallStarted(call("agent#1", "task"), 1),
        CallSucceeded(call("agent#1/step#1"), 1, 1.0, kept.value),
        ChunkYielded(call("agent#1/stream#1", "stream"), 0, chunk.value),
        Asked(call("agent#1/ask#1", "ask"), 1, "ask-1", shown, "e" * 64),
    )
    needed = needed_blobs(write.records, store.blobs)
    assert len(kept.blobs) == 2
    assert needed == dict.fromkeys(kept.blobs, 4) | dict.fromkeys(chunk.blobs, 5) | {"d" * 64: 6}


def test_only_the_checkpoint_that_a_call_could_go_on_from_is_needed(store, write):
    write.begin()(CallStarted(call("agent#1", "task"), 1), saved(store, 1, "first"), saved(store, 2, "second"))
    assert needed_blobs(write.records, store.blobs) == dict.fromkeys(saved(store, 2, "second").blobs, 5)
    write(CallSucceeded(call("agent#1", "task"), 1, 1.0, encode("done")))
    assert needed_blobs(write.records, store.blobs) == {}


def test_of_a_damaged_journal_everything_is_needed_that_looks_like_a_digest(store, write):
    store.create(NewRun(RUN, "agent:agent", 1_000.0))
    epoch = store.claim(RUN, "me")
    write.begin()(CallStarted(call("agent#1", "task"), 1), CallSucceeded(call("agent#1/a#1"), 1, 1.0, encode("c" * 64)))
    store.append([Entry(RUN, epoch, stored) for stored in write.stored])
    assert needed_by_runs(store) == {}
    last = store._records[RUN][-1]
    store._records[RUN][-1] = msgspec.structs.replace(last, hash=b"")
    assert needed_by_runs(store) == {"c" * 64: RUN}
