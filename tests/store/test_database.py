"""One database, as all that is kept in it uses it: who waits for whom, which file it is, and what trouble is called."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import apsw
import pytest

from regrow.errors import Corrupted, StoreUnavailable
from regrow.journal.database import Database
from regrow.journal.formats import FORMATS

pytestmark = pytest.mark.store

SOON = 0.2
"""Seconds in which a thread that waits for nothing has long been through."""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "journal.db"


@pytest.fixture
def on_disk(file):
    database = Database(file, FORMATS, place="here")
    yield database
    database.close()


@pytest.fixture
def in_memory():
    return Database(None, FORMATS, place="memory")


def note(db):
    db.execute("INSERT INTO meta VALUES ('note', 'x')")


def notes(database, found):
    with database.reading() as db:
        found.append(db.execute("SELECT count(*) FROM meta WHERE name = 'note'").fetchall()[0][0])


def begin(function, *args):
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def test_a_file_is_read_while_it_is_written_as_it_was_before(on_disk):
    found = []
    with on_disk.writing() as db:
        note(db)
        begin(notes, on_disk, found).join(30)
        assert found == [0]
    notes(on_disk, found)
    assert found == [0, 1]


def test_nobody_sees_what_is_taken_back_in_a_database_in_memory(in_memory):
    found = []
    with pytest.raises(ZeroDivisionError), in_memory.writing() as db:
        note(db)
        reader = begin(notes, in_memory, found)
        reader.join(SOON)
        raise ZeroDivisionError
    reader.join(30)
    assert found == [0]


def test_a_database_is_closed_when_nobody_reads_it_any_more(file):
    database = Database(file, FORMATS, place="here")
    with database.reading() as db:
        closing = begin(database.close)
        closing.join(SOON)
        assert db.execute("SELECT 1").fetchall() == [(1,)]
    closing.join(30)
    assert not closing.is_alive()


def test_a_database_in_memory_closes_too(in_memory):
    closing = begin(in_memory.close)
    closing.join(30)
    assert not closing.is_alive()


LOCKED = """
import fcntl, sys
with open(sys.argv[1], "rb+") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 0, 0x40000000)
    except OSError:
        print("locked")
"""


def locked(file):
    """Tell whether another process finds SQLite's locks on a file."""
    return subprocess.check_output([sys.executable, "-c", LOCKED, file], text=True) == "locked\n"


def test_to_open_a_database_a_second_time_takes_no_lock_from_the_first(on_disk, file):
    note(on_disk.writer)
    assert locked(file), "SQLite holds a lock as long as a connection is open"
    again = Database(file, FORMATS, place="here")
    assert locked(file)
    again.close()


def test_a_file_that_was_moved_away_is_written_to_no_more_even_if_it_comes_back(on_disk, file):
    away = file.rename(file.with_name("elsewhere.db"))
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"journal\.db was moved, removed or unmounted"), on_disk.writing():
            pass
        if away.exists():
            away.rename(file)


def test_a_file_in_the_place_of_the_one_that_was_opened_is_not_written_to(on_disk, file):
    file.rename(file.with_name("elsewhere.db"))
    file.touch()
    with pytest.raises(StoreUnavailable, match=r"journal\.db was moved, removed or unmounted"), on_disk.writing():
        pass


def test_what_broke_first_is_what_is_said(on_disk, file):
    on_disk.explain(apsw.IOError("disk I/O error"))
    file.rename(file.with_name("elsewhere.db"))
    with pytest.raises(StoreUnavailable, match="had an input/output error"), on_disk.writing():
        pass


def test_trouble_names_the_place_or_the_file_or_that_it_is_in_memory(in_memory, on_disk, file):
    with pytest.raises(StoreUnavailable, match="cannot use a store at here: No such file"):
        Database(file.parent / "none" / "journal.db", FORMATS, place="here")
    assert str(on_disk.explain(apsw.FullError())).startswith(f"no room left to write {file};")
    assert str(in_memory.explain(apsw.FullError())).startswith("no room left to write the database in memory;")


def test_a_row_that_is_none_is_damage_of_the_list_that_it_is_in(in_memory):
    assert in_memory.checked([(1,)], ("version",), dict[str, int], "the list is") == [{"version": 1}]
    with pytest.raises(Corrupted, match="the list is damaged"):
        in_memory.checked([("x",)], ("version",), dict[str, int], "the list is")


def test_text_that_is_none_is_damage_of_the_file(on_disk, file):
    with on_disk.writing() as db:
        db.execute("INSERT INTO meta VALUES ('note', CAST(x'ff' AS TEXT))")
    with pytest.raises(Corrupted, match=f"{file} is damaged: it has text that is none"), on_disk.reading() as db:
        db.execute("SELECT value FROM meta WHERE name = 'note'").fetchall()


def test_what_is_left_to_a_parent_is_neither_read_nor_written(on_disk):
    on_disk.leave_to_parent()
    with pytest.raises(StoreUnavailable, match="opened before the process forked"), on_disk.reading():
        pass
    with pytest.raises(StoreUnavailable, match="opened before the process forked"), on_disk.writing():
        pass


def test_a_forked_child_leaves_the_database_to_its_parent(on_disk):
    pid = os.fork()
    if pid == 0:
        try:
            with on_disk.reading():
                os._exit(1)
        except StoreUnavailable:
            os._exit(0)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    with on_disk.reading() as db:
        assert db.execute("SELECT 1").fetchall() == [(1,)]


def test_tables_that_are_not_of_the_format_that_a_file_says_are_damage(file):
    made = Database(file, FORMATS, place="here")
    with made.writing() as db:
        db.execute("UPDATE meta SET value = '1' WHERE name = 'format'")
    made.close()
    with pytest.raises(Corrupted, match="says that it has format 1, and its tables are of another"):
        Database(file, FORMATS, place="here")
