"""Blobs on disk: durable in the right order, nothing half-written under its name, nothing left open or behind."""

from __future__ import annotations

import gc
import os
import stat
import tempfile
import time
from pathlib import Path

import pytest

from regrow.journal import blobs as module
from regrow.journal.blobs import FileBlobs, MemoryBlobs

_OPEN_FILES = Path("/proc/self/fd")


@pytest.fixture
def blobs(tmp_path):
    (tmp_path / "store").mkdir()
    return FileBlobs(tmp_path / "store" / "blobs")


@pytest.fixture
def synced(monkeypatch):
    """Give what is synced, in order: a folder by its name, a file as how much of it there was and under which name."""
    events = []
    fsync = os.fsync

    def spy(handle):
        facts = os.fstat(handle)
        place = Path(f"/proc/self/fd/{handle}").readlink()
        events.append(place.name if stat.S_ISDIR(facts.st_mode) else (facts.st_size, place.name))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", spy)
    if not _OPEN_FILES.exists():
        pytest.skip("what a handle is of can only be asked where there is /proc")
    return events


@pytest.mark.promise("P3")
@pytest.mark.parametrize("way", ["bytes", "file"])
def test_content_is_synced_before_its_name_and_its_name_before_the_blob_is_referred_to(blobs, synced, tmp_path, way):
    blobs.put(b"there already")
    synced.clear()
    source = tmp_path / "source"
    source.write_bytes(b"content")
    digest = blobs.put(b"content") if way == "bytes" else blobs.put_file(source)
    (size, arriving), *folders = synced
    assert size == len(b"content")
    assert arriving.startswith(".arriving-")
    assert folders == [digest[:2], "blobs"]


def test_the_folder_of_blobs_is_itself_synced_into_the_one_above_it(blobs, synced):
    blobs.put(b"content")
    assert synced[0] == "store"


def test_a_blob_that_is_there_is_not_written_again_but_synced_since_its_writer_may_have_died(blobs, synced, tmp_path):
    digest = blobs.put(b"content")
    source = tmp_path / "source"
    source.write_bytes(b"content")
    for put in (lambda: blobs.put(b"content"), lambda: blobs.put_file(source)):
        inode = blobs.path_of(digest).stat().st_ino
        synced.clear()
        assert put() == digest
        assert synced == [digest[:2], "blobs"]
        assert blobs.path_of(digest).stat().st_ino == inode


def test_putting_a_blob_again_renews_its_time(blobs):
    digest = blobs.put(b"content")
    os.utime(blobs.path_of(digest), (1.0, 1.0))
    blobs.put(b"content")
    ((_, size, touched),) = blobs.digests()
    assert size == len(b"content")
    assert touched > time.time() - 3600


def test_what_is_under_way_has_no_blobs_name_and_does_not_stay_if_it_fails(blobs, monkeypatch):
    def fails(handle, mode):
        raise ZeroDivisionError

    monkeypatch.setattr(os, "fchmod", fails)
    with pytest.raises(ZeroDivisionError):
        blobs.put(b"content")
    assert list(blobs.folder.iterdir()) == []


def test_a_blob_is_for_its_owner_to_read_alone_and_so_are_the_folders(blobs):
    path = blobs.path_of(blobs.put(b"content"))
    assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent, blobs.folder)] == [0o400, 0o700, 0o700]


def test_nothing_is_left_open(blobs):
    if not _OPEN_FILES.exists():
        pytest.skip("open files can only be counted where there is /proc")
    blobs.put(b"first")
    before = len(list(_OPEN_FILES.iterdir()))
    for number in range(5):
        blobs.get(blobs.put(b"content %d" % number))
    assert len(list(_OPEN_FILES.iterdir())) == before


def test_leftovers_are_looked_for_once_and_those_of_the_last_hour_are_somebodys(blobs):
    blobs.put(b"first")
    again = FileBlobs(blobs.folder)
    ages = {"old": 3700.0, "young": 3500.0}
    files = {name: blobs.folder / f".arriving-{name}" for name in ages}
    for name, file in files.items():
        file.write_bytes(b"half")
        os.utime(file, (time.time() - ages[name],) * 2)
    blobs.put(b"second")
    assert files["old"].exists()
    again.put(b"third")
    assert {name: file.exists() for name, file in files.items()} == {"old": False, "young": True}


def test_two_processes_may_make_the_folder_at_once(blobs, monkeypatch):
    exists = type(blobs.folder).exists

    def made_meanwhile(self):
        found = exists(self)
        if self == blobs.folder:
            self.mkdir(exist_ok=True)
        return found

    monkeypatch.setattr(type(blobs.folder), "exists", made_meanwhile)
    assert blobs.get(blobs.put(b"content")) == b"content"


def test_the_files_of_a_store_in_memory_are_read_only_and_go_with_it(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    blobs = MemoryBlobs()
    path = blobs.path_of(blobs.put(b"content"))
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert blobs.path_of(blobs.put(b"more")).parent == path.parent
    del blobs
    gc.collect()
    assert not path.parent.exists()


def test_a_store_in_memory_whose_files_somebody_has_removed_goes_quietly(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    blobs = MemoryBlobs()
    path = blobs.path_of(blobs.put(b"content"))
    path.unlink()
    path.parent.rmdir()
    del blobs
    gc.collect()  # an error here would be a warning, and that an error
    assert list(tmp_path.iterdir()) == []


def test_blobs_in_memory_are_as_old_as_time():
    blobs = MemoryBlobs()
    digest = blobs.put(b"content")
    assert list(blobs.digests()) == [(digest, 7, 0.0)]


def test_large_files_are_kept_whole(blobs, tmp_path):
    source = tmp_path / "source"
    content = os.urandom(module._CHUNK + 5)
    source.write_bytes(content)
    assert blobs.get(blobs.put_file(source)) == content
