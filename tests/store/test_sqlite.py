"""What is SQLite's alone: files and their rights, durability settings, and the faults of disks."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

import regrow
from regrow.authoring import home
from regrow.errors import Corrupted, StoreUnavailable, UnreadableFormat
from regrow.journal.blobs import FileBlobs
from regrow.journal.chain import unseal_all
from regrow.journal.sqlite import FORMAT, SqliteStore
from regrow.journal.store import NewRun, SizeSeen

from .processes import SOURCE, at_once

pytestmark = pytest.mark.store


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def pragma(db, name):
    return db.execute(f"PRAGMA {name}").fetchall()[0][0]


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def careless_umask():
    former = os.umask(0)
    yield
    os.umask(former)


def test_what_a_store_makes_is_readable_by_its_owner_alone(careless_umask, sqlite, journal, tmp_path):
    store = sqlite.open()
    run = journal(store).claim().append(3)
    store.append([run.entry(blobs=(store.blobs.put(bytes(100_000)),))])
    home = tmp_path / "store"
    assert mode(home) == 0o700
    found = {path.relative_to(home).parts[0]: path for path in home.rglob("*")}
    assert {"journal.db", "journal.db-wal", "journal.db-shm", "blobs", "drivers"} <= set(found)
    for path in home.rglob("*"):
        if path.name != ".gitignore":
            assert mode(path) & 0o077 == 0, path


def test_a_store_keeps_itself_out_of_git(sqlite, tmp_path):
    sqlite.open()
    assert (tmp_path / "store" / ".gitignore").read_text() == "*\n"


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git here")
def test_git_sees_nothing_of_a_store(sqlite, journal, tmp_path):
    journal(sqlite.open()).claim().append()
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
    status = subprocess.run(["git", "status", "--porcelain", "-uall"], cwd=tmp_path, check=True, capture_output=True)
    assert b"store/" not in status.stdout


def test_a_folder_that_was_there_is_used_and_its_other_files_are_left_alone(tmp_path):
    home = tmp_path / "there"
    home.mkdir()
    (home / "file").write_text("mine")
    store = SqliteStore(home)
    assert store.runs() == []
    assert (home / "file").read_text() == "mine"
    assert mode(home / "journal.db") == 0o600
    store.close()


def test_asking_for_a_store_that_must_be_there_makes_none(tmp_path):
    with pytest.raises(StoreUnavailable, match="there is no store at"):
        SqliteStore(tmp_path / "store", create=False)
    assert not (tmp_path / "store").exists()


def test_what_a_killed_process_had_not_finished_writing_is_cleared_away(tmp_path):
    folder = tmp_path / "blobs"
    kept = FileBlobs(folder).put(b"kept")
    abandoned, under_way = folder / ".arriving-old", folder / ".arriving-new"
    for file in (abandoned, under_way):
        file.write_bytes(b"half")
    os.utime(abandoned, (1.0, 1.0))
    blobs = FileBlobs(folder)
    blobs.put(b"more")
    assert not abandoned.exists()
    assert under_way.exists()
    assert blobs.get(kept) == b"kept"


# -- durability --------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P1")
def test_every_connection_of_a_store_writes_ahead_and_syncs_at_each_commit(sqlite):
    store = sqlite.open()
    for db in (store._writer, store._reader):
        assert pragma(db, "journal_mode") == "wal"
        assert pragma(db, "synchronous") == 2  # FULL
        assert pragma(db, "foreign_keys") == 1


@pytest.mark.control
def test_without_asking_for_it_neither_would_hold(tmp_path):
    db = apsw.Connection(str(tmp_path / "plain.db"))
    db.execute("CREATE TABLE t (x)")
    assert pragma(db, "journal_mode") != "wal"
    db.execute("PRAGMA synchronous=NORMAL")
    assert pragma(db, "synchronous") != 2
    db.close()


@pytest.mark.promise("P1")
def test_the_sqlite_in_use_has_no_wal_reset_bug():
    assert tuple(map(int, apsw.sqlite_lib_version().split("."))) >= (3, 51, 3)


def synced(tmp_path, count, synchronous="FULL"):
    """Append records one by one in a process of its own, under strace, and count its calls to sync a file."""
    program = f"""
import sys
from regrow.journal.chain import seal
from regrow.journal.records import RunCreated, Record
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import Entry, NewRun
store = SqliteStore({str(tmp_path / f"{synchronous}-{count}")!r})
store.create(NewRun("run-{count}", "module:task", 1.0))
store._writer.execute("PRAGMA synchronous={synchronous}")
epoch = store.claim("run-{count}", store.register())
for seq in range(1, {count} + 1):
    record = seal(Record(seq, 1.0, "driver", epoch, b"", RunCreated("run-{count}", "", "", b"", b"")))
    store.append([Entry("run-{count}", epoch, record)])
"""
    trace = tmp_path / f"trace-{count}"
    subprocess.run(
        ["strace", "-f", "-e", "trace=fsync,fdatasync", "-o", trace, sys.executable, "-c", program],
        check=True,
        env=SOURCE,
        capture_output=True,
    )
    return trace.read_text().count("sync(")


@pytest.mark.promise("P1")
@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace here to count the syncs with")
def test_each_append_is_synced_to_the_disk(tmp_path):
    assert synced(tmp_path, 25) - synced(tmp_path, 5) == 20
    # The control: with the setting that is usual in WAL mode, a power cut may take an acknowledged commit back.
    assert synced(tmp_path, 25, "NORMAL") - synced(tmp_path, 5, "NORMAL") == 0


# -- what is no store of ours ------------------------------------------------------------------------------------------


def test_a_store_of_a_newer_format_is_refused_and_left_as_it_is(sqlite, tmp_path):
    sqlite.open().close()
    file = tmp_path / "store" / "journal.db"
    db = apsw.Connection(str(file))
    db.execute(f"UPDATE meta SET value = '{FORMAT + 1}'; PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()
    before = file.read_bytes()
    with pytest.raises(UnreadableFormat, match=f"has store format {FORMAT + 1}, this regrow reads up to {FORMAT}"):
        sqlite.open()
    assert file.read_bytes() == before


@pytest.mark.promise("P7")
@pytest.mark.parametrize("content", [b"no database\n" * 1000, b"SQLite format 3\0" + bytes(5000)], ids=len)
def test_a_file_that_is_no_database_is_called_damaged_and_left_as_it_is(tmp_path, content):
    home = tmp_path / "store"
    home.mkdir()
    (home / "journal.db").write_bytes(content)
    with pytest.raises(Corrupted, match=r"journal\.db"):
        SqliteStore(home)
    assert (home / "journal.db").read_bytes() == content


def test_somebody_elses_database_is_refused_and_left_as_it_is(tmp_path):
    home = tmp_path / "store"
    home.mkdir()
    db = apsw.Connection(str(home / "journal.db"))
    db.execute("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
    db.close()
    with pytest.raises(Corrupted, match="not one of regrow's"):
        SqliteStore(home)
    db = apsw.Connection(str(home / "journal.db"))
    assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]
    db.close()


def test_a_file_in_the_place_of_the_folder_is_said_to_be_unusable(tmp_path):
    (tmp_path / "store").write_text("a file")
    with pytest.raises(StoreUnavailable, match="store"):
        SqliteStore(tmp_path / "store")


@pytest.mark.promise("P7")
def test_a_size_that_was_damaged_is_not_served(sqlite):
    store = sqlite.open()
    store.remember_size(SizeSeen("module:task", 1, 2**30, None, "run-1", 1.0))
    store._writer.execute("UPDATE sizes SET memory = 'much'")
    with pytest.raises(Corrupted, match="the sizes of tasks are damaged"):
        store.sizes("module:task", 1)


# -- disks -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def on_small_disk(small_disk):
    store = SqliteStore(small_disk / "store")
    yield store
    store.close()


def fill(disk, leave=0):
    """Take all the room that a disk has left, and give the file that holds it."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    os.truncate(ballast, max(0, ballast.stat().st_size - leave))
    return ballast


@pytest.mark.promise("P1")
@pytest.mark.parametrize("leave", [0, 4096, 8192, 20_000, 50_000, 150_000])
@pytest.mark.parametrize("batch", [1, 5])
def test_a_full_disk_loses_nothing_and_work_goes_on_with_room(small_disk, on_small_disk, journal, leave, batch):
    store = on_small_disk
    run = journal(store).claim().append(3)
    ballast = fill(small_disk, leave)
    acknowledged = 3
    with pytest.raises(StoreUnavailable, match="no room left"):
        while acknowledged < 2000:
            last = run.seq, run.previous
            run.append(batch)
            acknowledged += batch
    assert len(unseal_all("run-1", store.read("run-1"))) == acknowledged
    with pytest.raises(StoreUnavailable):
        store.create(NewRun("run-2", "module:" + "task" * 5000, 1.0))
    ballast.unlink()
    run.seq, run.previous = last
    run.append(batch).append(10).end()
    assert len(unseal_all("run-1", store.read("run-1"))) == acknowledged + batch + 11
    assert store.get("run-1").status == "succeeded"
    assert store.check() == []


def test_runs_can_be_read_while_the_disk_is_full(small_disk, on_small_disk, journal):
    journal(on_small_disk).claim().append(3)
    fill(small_disk)
    other = SqliteStore(small_disk / "store")
    assert [row.id for row in other.runs()] == ["run-1"]
    assert len(unseal_all("run-1", other.read("run-1"))) == 3
    other.close()


def test_a_store_that_no_room_is_left_for_can_be_made_later(small_disk):
    ballast = fill(small_disk)
    with pytest.raises(StoreUnavailable):
        SqliteStore(small_disk / "store")
    ballast.unlink()
    store = SqliteStore(small_disk / "store")
    assert store.runs() == []
    store.close()


@pytest.mark.promise("P1")
@pytest.mark.parametrize("leave", [0, 4096, 12_288])
def test_a_full_disk_leaves_an_older_store_as_it_was_until_there_is_room(small_disk, leave):
    shutil.copytree(Path(__file__).with_name("data") / "journal-1", small_disk / "store")
    # Another connection keeps SQLite's own files in place, so that it is the upgrade that finds no room.
    other = apsw.Connection(str(small_disk / "store" / "journal.db"))
    other.execute("PRAGMA journal_mode=WAL; SELECT * FROM meta").fetchall()
    ballast = fill(small_disk, leave)
    with pytest.raises(StoreUnavailable, match="no room left"):
        SqliteStore(small_disk / "store")
    assert other.execute("SELECT value FROM meta").fetchall() == [("1",)]
    assert other.execute("SELECT name FROM sqlite_schema WHERE name = 'sizes'").fetchall() == []
    other.close()
    ballast.unlink()
    store = SqliteStore(small_disk / "store")
    assert len(store.runs()) == 4
    assert store.sizes("module:task", 1) == []
    store.close()


def test_a_blob_that_no_room_is_left_for_leaves_nothing_behind(small_disk, on_small_disk):
    blobs = on_small_disk.blobs
    kept = blobs.put(bytes(100_000))
    ballast = fill(small_disk, leave=50_000)
    large = bytes(range(256)) * 1000
    with pytest.raises(StoreUnavailable, match=r"No space left.*0 MiB free"):
        blobs.put(large)
    assert [digest for digest, _, _ in blobs.digests()] == [kept]
    assert not list((small_disk / "store" / "blobs").glob(".arriving-*"))
    assert blobs.get(kept) == bytes(100_000)
    ballast.unlink()
    assert blobs.get(blobs.put(large)) == large


def test_a_disk_that_became_read_only_is_said_to_be_unavailable(small_disk, on_small_disk, journal):
    run = journal(on_small_disk).claim().append(3)
    before = run.seq, run.previous
    on_small_disk.unregister(run.holder)
    on_small_disk.close()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    try:
        with pytest.raises(StoreUnavailable):
            SqliteStore(small_disk / "store")
        with pytest.raises(StoreUnavailable):
            SqliteStore(small_disk / "elsewhere")
        with pytest.raises(StoreUnavailable, match="Read-only file system"):
            on_small_disk.blobs.put(b"content")
    finally:
        subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    store = SqliteStore(small_disk / "store")
    run.store, (run.seq, run.previous) = store, before
    run.append(2)
    assert len(unseal_all("run-1", store.read("run-1"))) == 5
    store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_said_to_be_unavailable(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path / "locked" / "store")
    with pytest.raises(StoreUnavailable):
        SqliteStore(tmp_path / "locked")


def test_a_writer_that_may_only_read_says_so(sqlite, journal):
    store = sqlite.open()
    run = journal(store).claim().append()
    last = run.seq, run.previous
    store._writer.execute("PRAGMA query_only=ON")
    with pytest.raises(StoreUnavailable, match="read-only"):
        run.append()
    store._writer.execute("PRAGMA query_only=OFF")
    run.seq, run.previous = last
    run.append()
    assert len(unseal_all("run-1", store.read("run-1"))) == 2


class BrokenDisk(apsw.VFS):
    """A disk whose syncs fail from some moment on."""

    def __init__(self):
        self.broken = False
        super().__init__("broken-disk", "")

    def xOpen(self, name, flags):  # noqa: N802 - SQLite's own name
        return BrokenFile(self, name, flags)


class BrokenFile(apsw.VFSFile):
    def __init__(self, disk, name, flags):
        self._disk = disk
        super().__init__("", name, flags)

    def xSync(self, flags):  # noqa: N802 - SQLite's own name
        if self._disk.broken:
            raise apsw.IOError
        super().xSync(flags)


@pytest.mark.promise("P1")
def test_after_a_sync_that_failed_nothing_more_is_acknowledged(sqlite, journal, monkeypatch):
    disk = BrokenDisk()
    connection = apsw.Connection
    monkeypatch.setattr(apsw, "Connection", lambda file: connection(file, vfs="broken-disk"))
    store = sqlite.open()
    run = journal(store).claim().append(3)
    disk.broken = True
    with pytest.raises(StoreUnavailable, match="input/output error"):
        run.append()
    disk.broken = False  # the kernel may have dropped the pages, so that a second sync would succeed
    for act in (run.append, lambda: store.create(NewRun("run-2", "module:task", 1.0)), lambda: run.append(3)):
        with pytest.raises(StoreUnavailable, match="nothing after it is acknowledged"):
            act()
    assert len(store.read("run-1")) >= 3
    fresh = sqlite.open()
    assert [record.seq for record in unseal_all("run-1", fresh.read("run-1"))][:3] == [1, 2, 3]
    sqlite.close()
    sqlite._open.clear()
    disk.unregister()


# -- several processes -------------------------------------------------------------------------------------------------

CREATOR = """
import sys
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import NewRun
sys.stdin.readline()
store = SqliteStore(sys.argv[1])
for round_ in range(20):
    print(store.create(NewRun(f"{round_}-{sys.argv[2]}", "module:task", 1.0, f"key {round_}")).id)
store.close()
"""


def test_processes_that_make_the_store_and_one_key_at_once_get_one_store_and_one_run(tmp_path):
    answers = at_once(4, CREATOR, tmp_path / "store")
    assert len(set(answers)) == 1
    store = SqliteStore(tmp_path / "store")
    assert len(store.runs()) == 20
    store.close()


def test_threads_that_make_the_store_at_once_get_one(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    for round_ in range(10):
        with ThreadPoolExecutor(6) as pool:
            stores = list(pool.map(lambda _, round_=round_: SqliteStore(tmp_path / f"store-{round_}"), range(6)))
        stores[0].create(NewRun("run-1", "module:task", 1.0))
        assert all(store.get("run-1").epoch == 0 for store in stores)
        for store in stores:
            store.close()


# -- a whole run on a full disk ----------------------------------------------------------------------------------------

executed = []
on_way = {}


@regrow.step
async def work(number: int, size: int) -> bytes:
    executed.append(number)
    if on_way.get(number):
        on_way.pop(number)()
    return bytes([number]) * size


@regrow.task
async def job(size: int) -> int:
    return sum([len(await work(number, size)) for number in range(6)])


@pytest.mark.promise("P1", "P2")
@pytest.mark.parametrize("size", [6_000, 70_000], ids=["in the record", "as a blob"])
def test_a_run_that_meets_a_full_disk_stops_and_is_resumed_without_repeating_what_was_recorded(small_disk, size):
    def live():
        try:
            return regrow.run(job, size, key="job", store=small_disk / "store")
        finally:
            host = home.host_of(small_disk / "store")
            home.forget(host)
            host.store.close()

    executed.clear()
    on_way[3] = lambda: fill(small_disk, leave=3000)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match=r"room left|No space left"):
            live()
        assert [executed.count(number) for number in (0, 1, 2)] == [1] * 3
    attempts = executed.count(3)
    (small_disk / "ballast").unlink()
    assert live() == 6 * size
    assert [executed.count(number) for number in range(6)] == [1, 1, 1, attempts + 1, 1, 1]
