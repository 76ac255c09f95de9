"""Finding runs by what people type, and what may be thrown away."""

from __future__ import annotations

import os
import time

import pytest

from regrow.errors import UnknownRun
from regrow.insight.collect import loose_blobs, old_runs
from regrow.insight.runs import find_run, short
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import Entry, NewRun

pytestmark = pytest.mark.unit

FIRST = "06gzzzzzzzzzzzzzzzzzzzaaaa"
SECOND = "06h00000000000000000000bbb"


@pytest.fixture
def store(tmp_path, write):
    store = SqliteStore(tmp_path / "store")
    store.create(NewRun(FIRST, "agent:first", 1_000.0))
    store.create(NewRun(SECOND, "agent:second", 2_000.0, "monday"))
    epoch = store.claim(FIRST, "me (1)")
    write.begin()
    store.append([Entry(FIRST, epoch, write.stored[0], ("b" * 64,), "failed", time=1_500.0)])
    yield store
    store.close()


@pytest.mark.parametrize(
    ("typed", "run"),
    [
        (FIRST, FIRST),
        (FIRST[:6], FIRST),
        ("AAAA", FIRST),
        ("0bbb", SECOND),
        ("monday", SECOND),
        ("@last", SECOND),
        ("@failed", FIRST),
        (short(FIRST), FIRST),
    ],
)
def test_a_run_is_found_by_whatever_names_it(store, typed, run):
    assert find_run(store, typed).id == run


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("bbb", "at least 4"),
        ("zzzz9", "no run in"),
        ("@first", "@last and @failed"),
    ],
)
def test_what_names_no_run_is_refused_with_a_way_out(store, typed, said):
    with pytest.raises(UnknownRun, match=said):
        find_run(store, typed)


def test_what_fits_several_runs_is_refused_with_their_short_ids(store):
    store.create(NewRun("06h00000000000000000000ccc", "agent:third", 3_000.0))
    with pytest.raises(UnknownRun, match="fits 2 runs: 00000ccc, 00000bbb"):
        find_run(store, "06h00000")


def test_only_runs_that_ended_long_enough_ago_are_old(store):
    assert [row.id for row in old_runs(store, now=1_600.0, older_than=50.0)] == [FIRST]
    assert old_runs(store, now=1_600.0, older_than=200.0) == []


def test_blobs_that_no_run_needs_are_loose_once_they_are_an_hour_old(store):
    old, young = store.blobs.put(b"old"), store.blobs.put(b"young")
    file = store.blobs.path_of(old)
    os.utime(file, (time.time() - 4_000,) * 2)
    assert [blob.digest for blob in loose_blobs(store, now=time.time())] == [old]
    assert young != old


def test_a_blob_that_is_put_again_while_collecting_is_left_alone(store):
    for text in (b"one", b"two"):
        os.utime(store.blobs.path_of(store.blobs.put(text)), (time.time() - 4_000,) * 2)
    found = loose_blobs(store, now=time.time())
    first = next(found)
    for text in (b"one", b"two"):
        store.blobs.put(text)
    assert first.size == 3
    assert list(found) == []


def test_the_beginning_of_what_a_list_shows_is_enough(store):
    row = store.runs()[0]
    assert find_run(store, short(row.id)[:6]).id == row.id
