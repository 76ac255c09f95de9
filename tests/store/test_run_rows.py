"""What every store says of its runs in a list: whose they are, where they came from, and what is over."""

from __future__ import annotations

import apsw
import pytest

from regrow.errors import Corrupted
from regrow.journal.memories import Change, Origin
from regrow.journal.memory import MemoryStore
from regrow.journal.orders import GRACE_SECONDS, Order
from regrow.journal.records import RunRetried
from regrow.journal.store import DamagedRow, NewRun

pytestmark = pytest.mark.store


def run(name, project="default", epoch=0):
    return NewRun(name, "module:task", 1.0, project=project, epoch=epoch)


def test_a_list_of_one_project_has_no_runs_of_others(store):
    for name, project in [("one", "a"), ("two", "b"), ("three", "a")]:
        store.create(run(name, project))
    assert sorted(row.id for row in store.runs(project="a")) == ["one", "three"]
    assert [row.id for row in store.runs(project="b", limit=5)] == ["two"]
    assert store.runs(project="c") == []
    assert len(store.runs()) == 3


def test_only_what_was_brought_from_elsewhere_says_so(store):
    assert not store.create(run("own")).imported
    assert store.create(run("brought", epoch=3)).imported
    assert {row.id: row.imported for row in store.runs()} == {"own": False, "brought": True}


def test_a_run_that_is_here_is_not_called_imported_when_it_is_brought_once_more(store):
    store.create(run("r"))
    assert not store.create(run("r", epoch=3)).imported


def test_a_run_that_was_imported_and_deleted_leaves_nothing_to_the_next_of_its_name(store):
    store.create(run("r", epoch=3))
    store.delete("r")
    assert not store.create(run("r")).imported


def test_the_end_of_a_run_is_the_end_of_its_pause(store, journal):
    one = journal(store).claim().append()
    store.request_pause("run-1", "somebody")
    one.end()
    row = store.get("run-1")
    assert (row.status, row.paused_by, row.paused_at) == ("succeeded", None, None)


def test_a_run_that_is_retried_is_not_held_up_by_a_pause_that_came_after_its_end(store, journal):
    one = journal(store).claim().append().end("failed")
    store.request_pause("run-1", "somebody")
    one.claim()
    assert store.append([one.entry(RunRetried(()), reopens=True)]) == frozenset()
    row = store.get("run-1")
    assert (row.status, row.paused_by, row.paused_at) == ("running", None, None)


def test_an_order_from_before_orders_had_a_grace_is_given_the_usual_one(sqlite, journal):
    store = sqlite.open()
    one = journal(store).claim()
    store.request_cancel("run-1", "somebody", grace=5.0)
    with store._db.writing() as db:
        db.execute("UPDATE runs SET cancel_grace = NULL")
    assert store.orders(one.holder) == {"run-1": Order("cancel", "somebody", GRACE_SECONDS)}


def test_a_run_whose_very_name_is_damaged_hides_no_other(sqlite):
    store = sqlite.open()
    for name in ("one", "two"):
        store.create(run(name))
    store.close()
    db = apsw.Connection(str(sqlite._home / "journal.db"))
    db.execute("UPDATE runs SET id = CAST(x'6fff65' AS TEXT) WHERE id = 'one'")
    db.close()
    store, damaged = sqlite.open(), []
    assert [row.id for row in store.runs(damaged=damaged)] == ["two"]
    assert [(type(row), row.run) for row in damaged] == [(DamagedRow, r"o\xffe")]
    with pytest.raises(Corrupted, match=r"run o\\xffe: its row in the list of runs is damaged"):
        store.runs()


def test_a_store_in_memory_checks_the_memories_that_it_keeps():
    store = MemoryStore()
    assert store.check() == []
    store.memories.write("default", "m", [Change("document", "k")], Origin("", "", "me", "", 1.0))
    assert store.check() == []
    with store.memories._db.writing() as db:
        db.execute("UPDATE memory_versions SET actor = 'somebody'")
    assert [sentence[:9] for sentence in store.check()] == ["memory m:"]
