"""A store of an older format is brought to this one when it is opened: wholly or not at all, and whoever else is there.

The older one is a copy of the kept `data/journal-1`.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys

import apsw
import pytest

from regrow.errors import Corrupted, StoreUnavailable
from regrow.journal import database
from regrow.journal import sqlite as module
from regrow.journal.chain import StoredRecord, unseal_all
from regrow.journal.database import Database
from regrow.journal.sqlite import FORMAT, SqliteStore
from regrow.journal.store import NewRun, SizeSeen

from .kept import journal_of
from .processes import SOURCE, at_once

BLOB = "69aa655a0d4cf5756c3f1a81446389c29d1bcdc63caa21fdc3943b03dc7dc63f"
"""The one blob of the kept journal."""


@pytest.fixture
def old(tmp_path):
    """The home of a store of format 1."""
    shutil.copytree(journal_of(1), tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def upgraded(old):
    store = SqliteStore(old)
    yield store
    store.close()


@pytest.fixture
def hooked():
    """Where to put what is to be done with every new connection."""
    before = list(apsw.connection_hooks)
    yield apsw.connection_hooks
    apsw.connection_hooks[:] = before


def ask(home, statement):
    db = apsw.Connection(str(home / "journal.db"))
    try:
        return db.execute(statement).fetchall()
    finally:
        db.close()


def format_of(home):
    return ask(home, "SELECT value FROM meta WHERE name = 'format'")[0][0]


def schema(home):
    return ask(home, "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")


def content(home):
    tables = {
        "runs": "number, id, project, key, task, created, ended, outcome, epoch, cancel_requested_by",
        "records": "number, seq, hash, body",
        "leases": "number, holder, until",
        "blobs": "number, digest",
        "logs": "number, line, body",
    }
    return {table: ask(home, f"SELECT {columns} FROM {table} ORDER BY 1, 2") for table, columns in tables.items()}


def test_the_store_to_be_upgraded_is_of_the_first_format(old):
    assert format_of(old) == "1"
    assert FORMAT > 1


def test_an_upgraded_store_is_laid_out_as_a_new_one(old, tmp_path):
    SqliteStore(old).close()
    SqliteStore(tmp_path / "new").close()
    assert schema(old) == schema(tmp_path / "new")
    assert format_of(old) == format_of(tmp_path / "new") == str(FORMAT)


def test_a_store_of_the_second_format_is_laid_out_as_a_new_one_as_well(tmp_path):
    shutil.copytree(journal_of(2), tmp_path / "second")
    before = content(tmp_path / "second")
    SqliteStore(tmp_path / "second").close()
    SqliteStore(tmp_path / "new").close()
    assert schema(tmp_path / "second") == schema(tmp_path / "new")
    assert content(tmp_path / "second") == before


def test_an_upgrade_changes_nothing_of_what_was_there(old):
    before = content(old)
    assert all(before[table] for table in ("runs", "records", "blobs"))
    store = SqliteStore(old)
    for number, run, *_ in before["runs"]:
        stored = [StoredRecord(seq, body, hash_) for n, seq, hash_, body in before["records"] if n == number]
        assert store.read(run) == stored
        assert len(unseal_all(run, stored)) == len(stored) > 0
    assert store.check() == []
    assert store.referenced_blobs() == {BLOB}
    assert len(store.blobs.get(BLOB)) > 131_072
    store.close()
    assert content(old) == before


def test_an_upgraded_store_takes_whatever_a_new_one_does(upgraded, journal):
    run = journal(upgraded, "run-1", key="new").claim().append(3)
    digest = upgraded.blobs.put(b"content")
    upgraded.append([run.entry(blobs=(digest,))])
    seen = SizeSeen("module:task", 12, 2**30, 2**29, "run-1", 1.0)
    upgraded.remember_size(seen)
    assert upgraded.sizes("module:task", 12) == [seen]
    assert upgraded.referenced_blobs("run-1") == {digest}
    upgraded.release_blobs("run-1", [digest])
    assert upgraded.referenced_blobs("run-1") == frozenset()
    run.end()
    assert upgraded.get("run-1").status == "succeeded"


def test_what_an_older_run_refers_to_stays_when_a_checkpoint_with_the_same_content_goes(upgraded, journal):
    row = upgraded.by_key("default", "unfinished")
    assert upgraded.referenced_blobs(row.id) == {BLOB}
    run = journal(upgraded, row.id, key="unfinished").claim()
    last = upgraded.read(row.id)[-1]
    run.seq, run.previous = last.seq, last.hash
    assert upgraded.append([run.entry(blobs=(BLOB,))]) == frozenset()
    upgraded.release_blobs(row.id, [BLOB])
    assert upgraded.referenced_blobs(row.id) == {BLOB}


def test_an_upgraded_store_is_not_upgraded_again(old):
    SqliteStore(old).close()
    before = (old / "journal.db").read_bytes()
    SqliteStore(old).close()
    assert (old / "journal.db").read_bytes() == before


# -- not half ----------------------------------------------------------------------------------------------------------

KILLED_ON_THE_WAY = """
import os, signal, sys
import apsw
from regrow.journal import sqlite

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def prepare(db):
    db.create_scalar_function("die", die)
    if sys.argv[2] == "at the commit":
        db.set_commit_hook(die)

apsw.connection_hooks.append(prepare)
if sys.argv[2] == "in the middle":
    *before, last = sqlite.FORMATS
    sqlite.FORMATS = (*before, (*last, "SELECT die()"))
sqlite.SqliteStore(sys.argv[1])
"""


@pytest.mark.parametrize("moment", ["in the middle", "at the commit"])
def test_an_upgrade_that_is_killed_leaves_the_old_format(old, moment):
    before = schema(old), content(old)
    died = subprocess.run([sys.executable, "-c", KILLED_ON_THE_WAY, old, moment], check=False, env=SOURCE)
    assert died.returncode == -signal.SIGKILL
    assert (schema(old), content(old)) == before
    assert format_of(old) == "1"
    SqliteStore(old).close()
    assert format_of(old) == str(FORMAT)


def test_an_upgrade_that_fails_leaves_the_old_format_and_says_so(old, monkeypatch):
    before = schema(old), content(old)
    with monkeypatch.context() as patch:
        *earlier, last = module.FORMATS
        patch.setattr(module, "FORMATS", (*earlier, (*last, "SELECT no_such_function()")))
        with pytest.raises(StoreUnavailable, match="no_such_function"):
            SqliteStore(old)
    assert (schema(old), content(old)) == before
    SqliteStore(old).close()
    assert format_of(old) == str(FORMAT)


def test_a_store_that_may_only_be_read_is_not_upgraded_and_says_so(old, hooked):
    before = schema(old), content(old)
    hooked.append(lambda db: db.execute("PRAGMA query_only=ON"))
    with pytest.raises(StoreUnavailable, match=r"journal\.db is read-only"):
        SqliteStore(old)
    hooked.pop()
    assert (schema(old), content(old)) == before


def test_a_store_that_stays_locked_is_not_upgraded_and_says_so(old, monkeypatch):
    monkeypatch.setattr(database, "_BUSY_MILLISECONDS", 50)
    db = apsw.Connection(str(old / "journal.db"))
    db.execute("PRAGMA journal_mode=WAL; BEGIN IMMEDIATE").fetchall()
    with pytest.raises(StoreUnavailable, match="stayed locked by another process"):
        SqliteStore(old)
    db.execute("ROLLBACK")
    assert db.execute("SELECT value FROM meta").fetchall() == [("1",)]
    db.close()


@pytest.mark.parametrize("said", ["0", "", "one", "-1", None])
def test_a_store_that_does_not_say_its_format_is_damaged_and_left_as_it_is(old, said):
    statement = "DELETE FROM meta" if said is None else f"UPDATE meta SET value = '{said}'"
    ask(old, statement)
    before = schema(old), content(old)
    with pytest.raises(Corrupted, match="does not say which format it has"):
        SqliteStore(old)
    assert (schema(old), content(old)) == before


# -- in company --------------------------------------------------------------------------------------------------------

OPENER = """
import sys
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import NewRun, SizeSeen
sys.stdin.readline()
store = SqliteStore(sys.argv[1])
store.create(NewRun(f"run-{sys.argv[2]}", "module:task", 1.0))
store.remember_size(SizeSeen("module:task", 1, int(sys.argv[2]), None, "run", 1.0))
store.close()
"""


def test_processes_that_open_an_older_store_at_once_upgrade_it_once(old):
    at_once(4, OPENER, old)
    store = SqliteStore(old)
    assert sorted(seen.memory for seen in store.sizes("module:task", 1)) == [0, 1, 2, 3]
    assert len(store.runs()) == 8
    assert store.check() == []
    store.close()


@pytest.mark.parametrize("place", ["store", "new"])
def test_a_process_that_is_overtaken_between_looking_and_upgrading_finds_it_done(old, place, monkeypatch):
    look = Database._format

    def look_and_be_overtaken(self):
        found = look(self)
        monkeypatch.setattr(Database, "_format", look)
        SqliteStore(old.parent / place).close()
        return found

    monkeypatch.setattr(Database, "_format", look_and_be_overtaken)
    store = SqliteStore(old.parent / place)
    assert len(store.runs()) == (4 if place == "store" else 0)
    assert store.check() == []
    store.close()
    assert format_of(old.parent / place) == str(FORMAT)


def test_an_older_regrow_that_has_the_store_open_goes_on_writing(old):
    """With the statements of format 1, on a connection from before the upgrade."""
    db = apsw.Connection(str(old / "journal.db"))
    cursor = db.cursor()
    refer = "INSERT OR IGNORE INTO blobs (number, digest) VALUES (?, ?)"
    append = "INSERT INTO records (number, seq, hash, body) VALUES (?, ?, ?, ?)"
    cursor.execute("PRAGMA journal_mode=WAL").fetchall()
    cursor.execute(refer, (1, "aa" * 32))
    store = SqliteStore(old)
    cursor.execute(refer, (1, "bb" * 32))
    cursor.execute(append, (99, 1, b"hash", b"body"))
    assert store.referenced_blobs() == {BLOB, "aa" * 32, "bb" * 32}
    store.create(NewRun("run-1", "module:task", 1.0))
    assert store.get("run-1").epoch == 0
    store.close()
    db.close()
