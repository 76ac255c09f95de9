"""What the first version wrote is read, resumed and returned, by this one and all later ones.

`data/journal-1` was written by `make_journal.py` and is kept: a change that makes a test here fail breaks journals that
users have. What later formats added is in journals of their own, such as `data/journal-2`; what holds for each is in
`test_kept_journals.py`.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path

import apsw
import pytest

import regrow
from regrow.authoring.home import host_of
from regrow.journal import chain
from regrow.journal.chain import unseal_all
from regrow.journal.records import BlobRef, CallCancelled, CallSucceeded, Diverged, DriverOpened, RunCreated
from regrow.journal.sqlite import SqliteStore

from .kept import journal_of


@pytest.fixture(scope="module")
def wrote():
    """The module whose agents' journals these are."""
    spec = importlib.util.spec_from_file_location("make_journal", Path(__file__).with_name("make_journal.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_journal"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_journal"]


@pytest.fixture(autouse=True)
def nothing_executed_yet(wrote):
    wrote.executed.clear()
    wrote.edition = 2


@pytest.fixture
def kept(regrow_home):
    """A copy of the journal, in the place where runs are looked for."""
    shutil.copytree(journal_of(1), regrow_home)
    return regrow_home


@pytest.fixture
def store(kept):
    opened = SqliteStore(kept)
    yield opened
    opened.close()


def read(store, key):
    run = store.by_key("default", key).id
    return unseal_all(run, store.read(run))


def report(wrote):
    return wrote.Report(
        title="an answer to 'what predicts churn?'",
        scores={"age": 1.0, "height": 2.0, "weight": 2.0},
        words=["word 0", "word 1", "word 2"],
        at="2025-01-01T00:00:03.750000+00:00",
        size=131_072,
        handled="age: a note, from ZeroDivisionError('division by zero')",
        receipt="receipt for an answer to 'what predicts churn?'",
    )


def test_the_kept_journal_holds_every_kind_of_record_that_there_was(store):
    assert len({type(record.event) for row in store.runs() for record in read(store, row.key)}) == 13


def test_every_record_is_read_with_its_chain_unbroken(store):
    assert store.check() == []
    assert {row.key: (row.status, len(read(store, row.key))) for row in store.runs()} == {
        "finished": ("succeeded", 36),
        "unfinished": ("interrupted", 16),
        "failed": ("failed", 13),
        "cancelled": ("cancelled", 5),
    }


def test_what_a_record_says_is_understood_as_it_was_meant(store):
    first, second, *rest = read(store, "finished")
    assert (first.seq, first.time, first.actor, first.epoch, first.previous) == (1, 1_735_689_600.5, "driver", 1, b"")
    created = first.event
    assert isinstance(created, RunCreated)
    assert (created.task, created.source, created.key) == ("make_journal:agent", "make_journal.py", "finished")
    assert (created.project, created.parent) == ("default", None)
    assert second.event == DriverOpened("somebody@somewhere pid 1 (00000000)", second.event.regrow, "3.11.7")
    events = {type(record.event): record.event for record in rest}
    assert events[CallCancelled].call.path == "agent#1/endless#1"
    parted = [record.event.path for record in rest if isinstance(record.event, Diverged)]
    assert parted[0] == "agent#1/ask#2!2"
    blobs = [record.event.value for record in rest if isinstance(getattr(record.event, "value", None), BlobRef)]
    assert len(blobs) == 1
    assert blobs[0].digest in store.referenced_blobs()
    assert len(store.blobs.get(blobs[0].digest)) == blobs[0].size > 131_072


def test_the_result_of_the_finished_run_is_returned(kept, wrote):
    assert regrow.run(wrote.agent, "what predicts churn?", key="finished") == report(wrote)
    assert wrote.executed == []


def test_the_key_of_the_finished_run_still_knows_its_inputs(kept, wrote):
    with pytest.raises(regrow.KeyConflict):
        regrow.run(wrote.agent, "another question", key="finished")
    with pytest.raises(regrow.KeyConflict):
        regrow.run(wrote.unfinished, 5, key="finished")


def test_the_unfinished_run_is_resumed_where_it_was(kept, wrote):
    result = regrow.run(wrote.unfinished, 5, key="unfinished", strict=True)
    assert result == [
        "an answer to 'before'",
        1.0,
        "word 0",
        "word 1",
        131_072,
        *(f"an answer to 'number {number}'" for number in range(5)),
    ]
    assert wrote.executed == ["ask number 2", "ask number 3", "ask number 4"]
    run = host_of(None).store.by_key("default", "unfinished")
    assert (run.status, run.epoch) == ("succeeded", 2)


def test_the_failure_of_the_failed_run_is_raised_as_it_was(kept, wrote):
    with pytest.raises(wrote.Unfit) as caught:
        regrow.run(wrote.failing, "age", key="failed")
    assert caught.value.args == ("age", 0.25)
    assert caught.value.feature == "age"
    assert caught.value.__notes__[0] == "a note"
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert wrote.executed == []


def test_the_cancelled_run_is_still_cancelled(kept, wrote):
    with pytest.raises(regrow.RunCancelled):
        regrow.run(wrote.cancelled, key="cancelled")


def test_the_whole_agent_replays_without_executing_anything(kept, wrote):
    """As if the process had died just before the end was recorded."""
    db = apsw.Connection(str(kept / "journal.db"))
    ((number, run),) = db.execute("SELECT number, id FROM runs WHERE key = 'finished'").fetchall()
    rows = db.execute("SELECT seq, body, hash FROM records WHERE number = ? ORDER BY seq", (number,)).fetchall()
    stored = [chain.StoredRecord(*row) for row in rows]
    (last,) = [
        record.seq
        for record in unseal_all(run, stored)
        if isinstance(record.event, CallSucceeded) and record.event.call.path == "agent#1"
    ]
    db.execute("DELETE FROM records WHERE number = ? AND seq >= ?", (number, last))
    db.execute("UPDATE runs SET outcome = NULL, ended = NULL WHERE number = ?", (number,))
    db.close()
    assert regrow.run(wrote.agent, "what predicts churn?", key="finished") == report(wrote)
    assert wrote.executed == []
