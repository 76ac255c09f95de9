"""What format 2 added, as its first version wrote it, is read by this one and all later ones.

`data/journal-2` was written by `make_journal_2.py` and is kept; see `test_format.py`.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
from pathlib import Path

import apsw
import msgspec
import pytest

from regrow.errors import Corrupted
from regrow.journal.records import (
    AttemptFailed,
    CheckpointSaved,
    RunCreated,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
    WorkerStarted,
    unseal_all,
)
from regrow.journal.sqlite import SqliteStore

DATA = Path(__file__).with_name("data") / "journal-2"
LATER = frozenset(("code",))
"""Fields of these that format 3 added; `test_format_3.py` has them."""
ADDED = (WorkerStarted, WorkerSampled, WorkerGrown, WorkerEnded, CheckpointSaved, AttemptFailed, RunCreated)


@pytest.fixture(scope="module")
def wrote():
    """The module that wrote the journal."""
    spec = importlib.util.spec_from_file_location("make_journal_2", Path(__file__).with_name("make_journal_2.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(tmp_path):
    """A copy of it."""
    shutil.copytree(DATA, tmp_path / "store")
    opened = SqliteStore(tmp_path / "store")
    yield opened
    opened.close()


def read(store, wrote):
    return unseal_all(wrote.RUN, store.read(wrote.RUN))


def test_the_kept_journal_is_of_the_second_format(tmp_path):
    shutil.copytree(DATA, tmp_path / "store")
    db = apsw.Connection(str(tmp_path / "store" / "journal.db"))
    assert db.execute("SELECT value FROM meta WHERE name = 'format'").fetchall() == [("2",)]
    db.close()


def test_the_kept_journal_names_no_machine():
    for file in DATA.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not re.search(rb"/(home|root|Users|tmp|usr|work|opt|var|private)/|site-packages", content), file
            assert socket.gethostname().encode() not in content


@pytest.mark.parametrize("kind", ADDED)
def test_the_kept_journal_has_each_field_of_what_was_added_with_another_value_than_its_default(wrote, kind):
    kept = [event for event in wrote.EVENTS if isinstance(event, kind)]
    for field in msgspec.structs.fields(kind):
        if field.default is not msgspec.NODEFAULT and field.name not in LATER:
            assert any(getattr(event, field.name) != field.default for event in kept), field.name


def test_every_field_of_every_record_is_read_as_it_was_written(store, wrote):
    read_back = read(store, wrote)
    for record, event in zip(read_back, wrote.EVENTS, strict=True):
        assert record.event == event
        assert (record.time, record.actor, record.epoch) == (1_735_689_600.0 + record.seq / 4, "driver", 1)
    assert store.check() == []


def test_the_run_is_listed_as_it_was_left(store, wrote):
    row = store.by_key("a project", "workers")
    assert (row.id, row.task, row.status, row.epoch) == (wrote.RUN, "module:agent", "interrupted", 1)
    assert row.holder == wrote.HOLDER


def test_what_a_checkpoint_was_saved_with_is_there_until_the_next_one_was(store, wrote):
    assert store.referenced_blobs() == {wrote.digest(wrote.SAVED), wrote.digest(wrote.FILE)}
    assert store.blobs.get(wrote.digest(wrote.SAVED)) == wrote.SAVED
    assert store.blobs.get(wrote.digest(wrote.FILE)) == wrote.FILE
    with pytest.raises(Corrupted, match="is missing"):
        store.blobs.get(wrote.digest(wrote.DROPPED))


def test_how_many_records_refer_to_a_blob_was_kept(store, wrote):
    store.release_blobs(wrote.RUN, wrote.checkpoint(2, wrote.SAVED).blobs)
    assert store.referenced_blobs() == frozenset()


def test_the_sizes_that_worked_are_still_known(store, wrote):
    assert store.sizes("module:train", 17, "a project") == list(reversed(wrote.SIZES))
