"""What format 2 added, as its first version wrote it, is read by this one and all later ones.

`data/journal-2` was written by `make_journal_2.py` and is kept; see `test_format.py`. What holds for each
kept journal is in `test_kept_journals.py`.
"""

from __future__ import annotations

import pytest

from regrow.errors import Corrupted

from . import make_journal_2 as wrote
from .kept import opened_copy


@pytest.fixture
def store(tmp_path):
    """A copy of the journal."""
    with opened_copy(2, tmp_path / "store") as opened:
        yield opened


def test_the_run_is_listed_as_it_was_left(store):
    row = store.by_key("a project", "workers")
    assert (row.id, row.task, row.status, row.epoch) == (wrote.RUN, "module:agent", "interrupted", 1)
    assert row.holder == wrote.HOLDER


def test_what_a_checkpoint_was_saved_with_is_there_until_the_next_one_was(store):
    assert store.referenced_blobs() == {wrote.digest(wrote.SAVED), wrote.digest(wrote.FILE)}
    assert store.blobs.get(wrote.digest(wrote.SAVED)) == wrote.SAVED
    assert store.blobs.get(wrote.digest(wrote.FILE)) == wrote.FILE
    with pytest.raises(Corrupted, match="is missing"):
        store.blobs.get(wrote.digest(wrote.DROPPED))


def test_how_many_records_refer_to_a_blob_was_kept(store):
    store.release_blobs(wrote.RUN, wrote.checkpoint(2, wrote.SAVED).blobs)
    assert store.referenced_blobs() == frozenset()


def test_the_sizes_that_worked_are_still_known(store):
    assert store.sizes("module:train", 17, "a project") == list(reversed(wrote.SIZES))
