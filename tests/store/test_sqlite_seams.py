"""Where SQLite, the operating system and other processes come between a store and its file."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import apsw
import pytest

from regrow.errors import Corrupted, StoreUnavailable
from regrow.journal import database as module
from regrow.journal.blobs import FileBlobs
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import LogLine, NewRun


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "store")
    yield store
    store.close()


def test_a_store_may_lie_below_folders_that_are_not_there_yet(tmp_path):
    store = SqliteStore(tmp_path / "not" / "yet" / "there")
    assert stat.S_IMODE(store.home.stat().st_mode) == 0o700
    store.close()


def test_a_store_that_must_be_there_and_is_opens(tmp_path, store):
    store.create(NewRun("r", "agent", 1.0))
    again = SqliteStore(store.home, create=False)
    assert again.get("r").task == "agent"
    again.close()


def test_a_run_with_a_key_of_its_own_is_given_back_as_it_was_made(store):
    assert store.create(NewRun("one", "agent", 1.0, "k")).id == "one"
    assert store.create(NewRun("two", "agent", 1.0, "k")).id == "one"
    assert store.create(NewRun("three", "agent", 1.0)).id == "three"


def test_a_key_whose_run_is_deleted_while_it_is_asked_for_is_free(store, monkeypatch):
    store.create(NewRun("one", "agent", 1.0, "k"))
    by_key = store.by_key

    def deleted_meanwhile(project, key):
        monkeypatch.undo()
        store.delete("one")
        return by_key(project, key)

    monkeypatch.setattr(store, "by_key", deleted_meanwhile)
    assert store.create(NewRun("two", "agent", 1.0, "k")).id == "two"


def test_a_log_line_that_is_damaged_is_said_to_be_and_not_served(store):
    store.create(NewRun("r", "agent", 1.0))
    store.write_logs("r", [LogLine(1.0, "agent#1", 1, "INFO", "hello")])
    store._writer.execute("UPDATE logs SET body = x'c1'")
    with pytest.raises(Corrupted, match="run r: its log is damaged"):
        store.read_logs("r")


def test_text_that_is_none_is_damage(store):
    store.create(NewRun("r", "agent", 1.0))
    store._writer.execute("UPDATE runs SET task = CAST(x'ff' AS TEXT)")
    with pytest.raises(Corrupted, match="text that is none"):
        store.get("r")


def test_what_sqlite_finds_wrong_with_its_file_is_told(store):
    store.create(NewRun("r", "agent", 1.0))
    assert store.check() == []
    store._writer.execute("PRAGMA writable_schema = ON")
    stricter = "UPDATE sqlite_schema SET sql = replace(sql, 'outcome             TEXT', 'outcome TEXT NOT NULL')"
    store._writer.execute(stricter)
    store._writer.execute("PRAGMA writable_schema = OFF")
    other = SqliteStore(store.home)
    try:
        assert other.check() == ["NULL value in runs.outcome"]
    finally:
        other.close()


def test_a_forked_child_is_kept_off_the_connections_of_its_parent(store):
    store.create(NewRun("r", "agent", 1.0))
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = []
        try:
            for attempt in (lambda: store.get("r"), lambda: store.release("r", 1), lambda: store.append(())):
                try:
                    attempt()
                except StoreUnavailable as problem:
                    said.append("before the process forked" in str(problem))
            os.write(writing, repr(said).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as answer:
        assert answer.read() == b"[True, True, True]"
    assert store.get("r").id == "r"


class TestPatience:
    """SQLite does not wait for the change to write-ahead logging when several processes make it."""

    class Busy:
        def __init__(self, times):
            self.left = times
            self.asked = 0

        def execute(self, statement):
            self.asked += 1
            if self.left:
                self.left -= 1
                raise apsw.BusyError("locked")
            return self

        def fetchall(self):
            return []

    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch):
        """Let time pass by sleeping only."""
        now = [1000.0]
        slept = []

        def sleep(seconds):
            slept.append(seconds)
            now[0] += seconds

        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(module.time, "sleep", sleep)
        return slept

    def test_a_database_that_is_busy_is_asked_again_soon(self, clock):
        db = self.Busy(3)
        module._patiently(db, "PRAGMA journal_mode=WAL")
        assert db.asked == 4
        assert len(clock) == 3
        assert max(clock) < 0.1

    def test_one_that_stays_busy_for_half_a_minute_is_given_up_on(self, clock):
        with pytest.raises(apsw.BusyError):
            module._patiently(self.Busy(10**9), "PRAGMA journal_mode=WAL")
        assert 29.9 < sum(clock) < 30.1


def test_a_blob_that_cannot_be_read_is_not_said_to_be_missing(tmp_path):
    blobs = FileBlobs(tmp_path)
    digest = blobs.put(b"content")
    file = blobs._path(digest)
    file.unlink()
    file.mkdir()
    with pytest.raises(StoreUnavailable, match=f"cannot read blob {digest}"):
        blobs.get(digest)


def test_a_store_that_cannot_keep_itself_out_of_git_is_not_made(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StoreUnavailable, match=r"cannot use a store at .*: No space left"):
        SqliteStore(tmp_path / "store")
    assert not (tmp_path / "store" / "journal.db").exists()


@pytest.mark.parametrize(
    ("problem", "remedy"),
    [
        (errno.ENOSPC, "make room, then resume"),
        (errno.EDQUOT, "make room, then resume"),
        (errno.EIO, "see to the disk, then resume"),
    ],
)
def test_a_blob_that_cannot_be_written_says_what_to_do(tmp_path, monkeypatch, problem, remedy):
    def fail(_):
        raise OSError(problem, os.strerror(problem))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreUnavailable, match=remedy):
        FileBlobs(tmp_path).put(b"content")
