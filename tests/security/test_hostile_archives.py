"""Exported runs that somebody has made up: each is refused with a reason, and nothing of it gets into the store."""

import json
import os
import warnings
import zipfile

import pytest

import regrow
from regrow.journal import archive as archives
from regrow.journal.archive import Archive
from regrow.testing import MemoryStore

pytestmark = pytest.mark.security


@regrow.step
async def read(size: int) -> bytes:
    return b"x" * size


@regrow.task
async def count(size: int) -> int:
    return len(await read(size))


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict[str, bytes]:
    """An exported run, by the names of its parts."""
    store = MemoryStore()
    regrow.run(count, 200_000, store=store)
    file = tmp_path_factory.mktemp("exported") / "run.regrow"
    archives.export(store, store.runs()[0], file)
    with zipfile.ZipFile(file) as source:
        return {name: source.read(name) for name in source.namelist()}


def made_of(file, parts, *more):
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target:
        warnings.simplefilter("ignore", UserWarning)  # a name that is there twice
        for name, data in (*parts.items(), *more):
            target.writestr(name, data)
    return file


def claiming(parts, **claims):
    return parts | {"manifest.json": json.dumps(json.loads(parts["manifest.json"]) | claims).encode()}


def refused(file):
    store = MemoryStore()
    with pytest.raises(regrow.RegrowError) as raised, Archive(file) as archive:
        archive.bring_into(store, project="default", key=None)
    assert store.runs() == []
    return str(raised.value)


def test_an_archive_that_is_as_it_was_written_is_taken_in(tmp_path, parts):
    store = MemoryStore()
    with Archive(made_of(tmp_path / "sound", parts)) as archive:
        assert archive.bring_into(store, project="default", key=None)
        assert not archive.bring_into(store, project="default", key=None)
    assert len(store.runs()) == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"run": "../../x"},
        {"task": "os:system"},
        {"created": 1e308},
        {"created": -1.0},
        {"epoch": -5},
        {"epoch": 0},
        {"epoch": 2**62},
        {"epoch": 2**70},
        {"format": 0},
        {"format": 10**6},
        {"blobs": ["../../../etc/passwd"]},
        {"blobs": ["a" * 64]},
        {"source": {"name": "../../evil.py", "sha256": "", "as_run": True}},
    ],
    ids=str,
)
def test_a_manifest_that_lies_is_refused(tmp_path, parts, claims):
    assert refused(made_of(tmp_path / "lying", claiming(parts, **claims)))


@pytest.mark.parametrize("name", ["manifest.json", "records.msgpack", "logs.msgpack", "memories.msgpack"])
@pytest.mark.parametrize("data", [b"", b"\x90", b"\xc1", b"\xdd\xff\xff\xff\xff", b"[" * 200_000, b"\x91" * 200_000])
def test_a_part_that_is_something_else_is_refused(tmp_path, parts, name, data):
    if data == b"\x90" and name in ("logs.msgpack", "memories.msgpack"):
        pytest.skip("there may be none of these")
    assert refused(made_of(tmp_path / "odd", parts | {name: data}))


def test_a_part_that_unpacks_without_end_is_refused(tmp_path, parts, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST_PART", 1 << 20)
    assert "larger than any" in refused(made_of(tmp_path / "bomb", parts | {"records.msgpack": bytes(2 << 20)}))


def test_blobs_that_would_fill_the_disk_are_refused(tmp_path, parts, monkeypatch):
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    assert "are free" in refused(made_of(tmp_path / "large", parts))


def test_a_name_that_is_there_twice_is_refused(tmp_path, parts):
    twice = made_of(tmp_path / "twice", parts, ("records.msgpack", b"\x90"))
    assert "another program" in refused(twice)


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 99)], ids=["encrypted", "compressed otherwise"])
def test_what_only_other_programs_write_is_refused(tmp_path, parts, offset, value):
    file = made_of(tmp_path / "strange", parts)
    data = bytearray(file.read_bytes())
    data[data.find(b"PK\x01\x02") + offset] = value
    file.write_bytes(data)
    assert "another program" in refused(file)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "no exported run" in refused(tmp_path / "pipe")


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.99])
def test_one_that_is_cut_short_is_refused(tmp_path, parts, keep):
    file = made_of(tmp_path / "short", parts)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * keep)])
    assert "no exported run" in refused(file)
