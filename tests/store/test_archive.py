"""A run on its way from one store to another: what is carried, what is refused, and what a refusal leaves alone."""

import contextlib
import hashlib
import json
import platform
import types
import zipfile
from pathlib import Path

import msgspec
import pytest

from regrow import __version__
from regrow.codec import encode
from regrow.codec.codes import Code
from regrow.errors import Corrupted, RegrowError, UnreadableFormat
from regrow.journal import archive as archives
from regrow.journal.archive import Archive, Manifest, Source, export
from regrow.journal.chain import seal, unseal_all
from regrow.journal.memories import Change, Origin
from regrow.journal.memory import MemoryStore
from regrow.journal.records import BlobRef, Call, CallSucceeded, Record, RunCreated, RunEnded, RunRetried
from regrow.journal.store import LogLine, NewRun

pytestmark = pytest.mark.store

CODE = b"print('never executed')\n"
ME = Origin("run-1", "task#1", "task", "", 1.0)
LOGS = [LogLine(5.0, "task#1", 1, "INFO", "first"), LogLine(6.0, "task#1", 2, "ERROR", "second")]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def created_event(**more):
    return RunCreated("run-1", "module:task", **{"source": "", "inputs": encode(None), "digest": b"", **more})


def used(pin, number):
    call = Call(f"task#1/memory.get#{number}", "memory", number, b"")
    return CallSucceeded(call, 1, 1.0, encode((pin.memory, pin.version, pin.hash)))


def holding_file(digest):
    """An encoded value with a file in it, as `regrow.codec` writes one."""
    inside = msgspec.msgpack.encode(["name", digest])
    return encode(None)[:1] + msgspec.msgpack.encode(msgspec.msgpack.Ext(Code.FILE.value, inside))


def remember(store, value, *, memory="m", project="p", blobs=()):
    change = Change("document", "k", value, tuple(blobs))
    return store.memories.write(project, memory, [change], ME)


@pytest.fixture
def home():
    """The store that runs are exported from."""
    return MemoryStore()


@pytest.fixture
def script(tmp_path):
    file = tmp_path / "agent.py"
    file.write_bytes(CODE)
    return file


@pytest.fixture
def written(home, journal, script):
    """A run with a source, a blob, a memory, logs and an end."""
    run = journal(home, key="k", project="p", created=7.0).claim()
    large = home.blobs.put(b"large")
    pin = remember(home, encode("known"))
    first = run.entry(created_event(source=str(script), key="k", project="p", code=sha256(CODE)), blobs=(large,))
    call = Call("task#1/step#1", "step", 1, b"")
    done = run.entry(CallSucceeded(call, 1, 1.0, BlobRef(large, 5)))
    home.append([first, done, run.entry(used(pin, 2)), run.entry(RunEnded("failed"), outcome="failed")])
    home.write_logs(run.run, LOGS)
    return run


@pytest.fixture
def exported(home, written, tmp_path):
    file = tmp_path / "run.regrow"
    export(home, home.get(written.run), file)
    return file


def parts_of(file):
    with zipfile.ZipFile(file) as source:
        return {name: source.read(name) for name in source.namelist()}


def made_of(file, parts, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(file, "w", compression) as target:
        for name, data in parts.items():
            target.writestr(name, data)
    return file


def claiming(exported, **claims):
    parts = parts_of(exported)
    manifest = json.loads(parts["manifest.json"]) | claims
    return made_of(exported, parts | {"manifest.json": json.dumps(manifest).encode()})


@pytest.fixture
def forged(tmp_path):
    """Makes an archive of events, with times and leases as somebody who makes archives up might choose them."""

    def forge(*events, times=(1000.0, 1000.0), epochs=(1, 1), logs=(), **claims):
        stored, previous = [], b""
        for number, (event, time, epoch) in enumerate(zip(events, times, epochs, strict=False), 1):
            stored.append(seal(Record(number, time, "driver", epoch, previous, event)))
            previous = stored[-1].hash
        manifest = Manifest(1, __version__, "3.11", "run-1", "module:task", 1.0, epochs[-1], ())
        parts = {
            "manifest.json": msgspec.json.encode(msgspec.structs.replace(manifest, **claims)),
            "records.msgpack": msgspec.msgpack.encode(stored),
            "logs.msgpack": msgspec.msgpack.encode(logs),
            "memories.msgpack": msgspec.msgpack.encode([]),
        }
        return made_of(tmp_path / "forged.regrow", parts)

    return forge


def brought(file, store, *, project="there", key=None, **how):
    with Archive(file) as archive:
        return archive.bring_into(store, project=project, key=key, **how)


def refused(file, match, error=Corrupted, **how):
    """Nothing of what is refused gets into a store."""
    store = MemoryStore()
    with pytest.raises(error, match=match) as raised:
        brought(file, store, **how)
    assert store.runs() == []
    return raised.value


# Writing


def test_a_manifest_says_what_is_in_the_archive(home, written, exported):
    large, code = sha256(b"large"), sha256(CODE)
    said = Manifest(
        1, __version__, platform.python_version(), "run-1", "module:task", 7.0, written.epoch, (large,), "k", "p",
        Source("agent.py", code, as_run=True),
    )  # fmt: skip
    assert export(home, home.get("run-1"), exported) == said
    with Archive(exported) as archive:
        assert archive.manifest == said
    assert written.epoch == 1


def test_an_archive_is_a_zip_file_with_a_place_for_everything(home, exported):
    parts = parts_of(exported)
    blob = f"blobs/{sha256(b'large')}"
    assert sorted(parts) == sorted(
        ["manifest.json", "records.msgpack", "logs.msgpack", "memories.msgpack", blob, "code/agent.py"]
    )
    assert parts[blob] == b"large"
    assert parts["code/agent.py"] == CODE
    assert parts["manifest.json"].startswith(b"{\n")
    assert msgspec.msgpack.decode(parts["logs.msgpack"], type=list[LogLine]) == LOGS
    with zipfile.ZipFile(exported) as source:
        assert {one.compress_type for one in source.infolist()} == {zipfile.ZIP_DEFLATED}


def test_what_is_exported_are_the_records_as_they_are_stored(home, exported):
    with Archive(exported) as archive:
        assert archive.stored == home.read("run-1")


def test_an_export_replaces_the_file_and_leaves_nothing_beside_it(home, written, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "run.regrow").write_text("of yesterday")
    export(home, home.get("run-1"), folder / "run.regrow")
    assert [one.name for one in folder.iterdir()] == ["run.regrow"]
    assert "manifest.json" in parts_of(folder / "run.regrow")


def test_an_export_that_fails_leaves_the_file_as_it_was(home, written, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "run.regrow").write_text("of yesterday")
    home.blobs.delete(sha256(b"large"))
    with pytest.raises(Corrupted, match="is missing"):
        export(home, home.get("run-1"), folder / "run.regrow")
    assert [one.name for one in folder.iterdir()] == ["run.regrow"]
    assert (folder / "run.regrow").read_text() == "of yesterday"


def test_while_an_export_is_written_it_has_another_name(home, written, tmp_path):
    seen = []
    file = tmp_path / "run.regrow"
    row = home.get("run-1")
    export(home, row, file, advance=lambda: seen.append((file.exists(), (tmp_path / ".run.regrow.arriving").exists())))
    assert seen == [(False, True)]


def test_a_damaged_run_is_not_exported(home, written, tmp_path, monkeypatch):
    stored = home.read("run-1")
    monkeypatch.setattr(home, "read", lambda _: stored[1:])
    with pytest.raises(Corrupted, match="run-1"):
        export(home, written.row, tmp_path / "run.regrow")
    assert not (tmp_path / "run.regrow").exists()


def test_a_run_without_a_record_can_be_written_and_is_refused_when_read(home, tmp_path):
    row = home.create(NewRun("run-1", "module:task", 1.0))
    manifest = export(home, row, tmp_path / "empty.regrow")
    assert (manifest.epoch, manifest.blobs, manifest.source, manifest.key) == (0, (), None, None)
    refused(tmp_path / "empty.regrow", "its manifest does not fit its records")


def test_a_run_that_does_not_begin_as_one_can_be_written_and_is_refused_when_read(home, journal, tmp_path):
    run = journal(home)
    home.append([run.entry(RunEnded("failed"))])
    assert export(home, run.row, tmp_path / "odd.regrow").source is None
    refused(tmp_path / "odd.regrow", "its manifest does not fit its records")


# Source files


@pytest.mark.parametrize(("then", "as_run"), [(CODE, True), (b"other", False), (None, None)])
def test_a_source_says_whether_it_is_what_the_run_began_with(home, journal, script, then, as_run):
    run, file = journal(home), script.with_name("run.regrow")
    event = created_event(source=str(script), code="" if then is None else sha256(then))
    home.append([run.entry(event)])
    manifest = export(home, run.row, file)
    assert manifest.source == Source("agent.py", sha256(CODE), as_run)
    with Archive(file) as archive:
        assert archive.code() == ("agent.py", CODE)


@pytest.mark.parametrize("source", ["", "/no/such/agent.py"])
def test_a_run_whose_source_is_gone_is_exported_without(home, journal, tmp_path, source):
    run = journal(home)
    home.append([run.entry(created_event(source=source, code=sha256(CODE)))])
    assert export(home, run.row, tmp_path / "run.regrow").source is None
    assert not [name for name in parts_of(tmp_path / "run.regrow") if name.startswith("code/")]
    with Archive(tmp_path / "run.regrow") as archive:
        assert archive.code() is None


def test_a_source_that_is_not_what_was_written_is_refused(exported):
    made_of(exported, parts_of(exported) | {"code/agent.py": CODE + b"#"})
    refused(exported, "its source file is not what was written")


@pytest.mark.parametrize("name", ["agent.txt", "folder/agent.py", "../agent.py"])
def test_a_source_with_a_name_that_is_not_that_of_a_script_is_refused(exported, name):
    made_of(exported, parts_of(exported) | {f"code/{name}": CODE})
    claiming(exported, source={"name": name, "sha256": sha256(CODE), "as_run": True})
    refused(exported, "is no name of a source file")


def test_a_source_that_is_missing_is_refused_by_its_name(exported):
    parts = parts_of(exported)
    del parts["code/agent.py"]
    refused(made_of(exported, parts), "code/agent.py cannot be read")


# Bringing in


def test_a_run_arrives_as_it_left(store, home, exported):
    assert brought(exported, store, project="there", key="mine") is True
    row = store.get("run-1")
    assert (row.task, row.created, row.key, row.project, row.outcome, row.epoch, row.held) == (
        "module:task", 7.0, "mine", "there", "failed", 1, False,
    )  # fmt: skip
    assert row.imported
    assert row.ended == unseal_all("run-1", home.read("run-1"))[-1].time
    assert store.read("run-1") == home.read("run-1")
    assert [line for _, line in store.read_logs("run-1")] == LOGS
    assert store.referenced_blobs("run-1") == {sha256(b"large")}
    assert store.blobs.get(sha256(b"large")) == b"large"
    assert store.check() == []


def test_a_blob_of_a_run_that_arrived_is_held_once(store, exported):
    brought(exported, store)
    store.release_blobs("run-1", [sha256(b"large")])
    assert store.referenced_blobs("run-1") == frozenset()


def test_a_run_that_was_tried_again_after_its_end_is_not_over(home, journal, tmp_path):
    run = journal(home).claim()
    home.append([run.entry(), run.entry(RunEnded("failed"), outcome="failed")])
    run.claim()
    home.append([run.entry(RunRetried(()), reopens=True), run.entry()])
    export(home, home.get(run.run), tmp_path / "run.regrow")
    store = MemoryStore()
    brought(tmp_path / "run.regrow", store)
    row = store.get("run-1")
    assert (row.outcome, row.ended, row.status, row.epoch) == (None, None, "interrupted", 2)


def test_a_second_import_adds_nothing(store, exported):
    assert brought(exported, store) is True
    assert brought(exported, store) is False
    assert len(store.runs()) == 1
    assert len(store.read_logs("run-1")) == len(LOGS)


def test_a_second_import_does_not_even_look_at_blobs(exported):
    store, steps = MemoryStore(), []
    brought(exported, store, advance=lambda: steps.append("first"))
    brought(exported, store, advance=lambda: steps.append("second"))
    assert steps == ["first"]


def test_a_run_that_has_gone_on_here_is_not_overwritten(exported, journal):
    store = MemoryStore()
    here = journal(store, project="elsewhere").append(2)
    before = store.read("run-1")
    with pytest.raises(RegrowError, match="run run-1 is here already, and is not the same; nothing was changed"):
        brought(exported, store)
    assert store.read("run-1") == before
    assert store.get("run-1").project == here.row.project
    assert list(store.blobs.digests()) == []


@pytest.mark.parametrize("key", [None, "mine"])
def test_an_import_that_broke_off_before_the_records_is_finished_by_the_next(exported, store, key):
    store.create(NewRun("run-1", "module:task", 7.0, key, "there", epoch=1))
    assert brought(exported, store, key=key) is True
    assert len(store.read("run-1")) == 4


def test_a_key_that_is_another_runs_is_refused_before_anything_is_changed(exported):
    store = MemoryStore()
    store.create(NewRun("run-2", "module:task", 1.0, "mine", "there"))
    with pytest.raises(RegrowError, match="key 'mine' is that of run run-2 here; give another one with --key"):
        brought(exported, store, key="mine")
    assert [row.id for row in store.runs()] == ["run-2"]
    assert list(store.blobs.digests()) == []


def test_a_run_without_a_key_comes_beside_another_one_without(store, exported):
    store.create(NewRun("run-2", "module:task", 1.0, None, "there"))
    assert brought(exported, store) is True
    assert {row.id for row in store.runs()} == {"run-1", "run-2"}


def test_the_same_key_in_another_project_is_free(exported):
    store = MemoryStore()
    store.create(NewRun("run-2", "module:task", 1.0, "mine", "elsewhere"))
    assert brought(exported, store, key="mine") is True


def test_a_key_that_somebody_takes_meanwhile_is_refused_as_well(exported):
    store = MemoryStore()
    other = NewRun("run-2", "module:task", 1.0, "mine", "there")
    with pytest.raises(RegrowError, match="key 'mine' is that of run run-2 here"):
        brought(exported, store, key="mine", advance=lambda: store.create(other))
    assert [row.id for row in store.runs()] == ["run-2"]
    assert store.read("run-2") == []


# Memories


def test_memories_stay_in_the_file_unless_they_are_asked_for(exported):
    store = MemoryStore()
    brought(exported, store)
    assert store.memories.rows() == []


def test_memories_that_are_asked_for_come_into_the_project_of_the_run(home, exported):
    store = MemoryStore()
    brought(exported, store, with_memories=True)
    assert [row.name for row in store.memories.rows("there")] == ["m"]
    assert store.memories.head("there", "m") == home.memories.head("p", "m")


def test_memories_can_be_asked_for_when_the_run_is_there_already(exported):
    store = MemoryStore()
    brought(exported, store)
    assert brought(exported, store, with_memories=True) is False
    assert [row.name for row in store.memories.rows("there")] == ["m"]


def test_a_memory_is_carried_as_far_as_the_run_has_used_it(home, written, tmp_path):
    remember(home, encode("since"))
    remember(home, encode("never used"), memory="other")
    export(home, home.get("run-1"), tmp_path / "run.regrow")
    store = MemoryStore()
    with Archive(tmp_path / "run.regrow") as archive:
        assert archive.memories == ("m",)
    brought(tmp_path / "run.regrow", store, with_memories=True)
    assert [(row.name, row.version) for row in store.memories.rows()] == [("m", 1)]


def test_each_memory_is_named_once(home, journal, tmp_path):
    run = journal(home, project="p")
    pins = [remember(home, encode(number), memory=name) for name in ("b", "a") for number in (1, 2)]
    home.append([run.entry(), *(run.entry(used(pin, number)) for number, pin in enumerate(pins, 1))])
    export(home, run.row, tmp_path / "run.regrow")
    with Archive(tmp_path / "run.regrow") as archive:
        assert archive.memories == ("b", "a")


def test_a_memory_that_was_removed_does_not_keep_a_run_from_being_exported(home, written, tmp_path):
    home.memories.remove("p", "m")
    export(home, home.get("run-1"), tmp_path / "run.regrow")
    with Archive(tmp_path / "run.regrow") as archive:
        assert archive.memories == ()


@pytest.fixture
def rich_memory(home, journal, tmp_path):
    """A run that has used a memory with a large value, files in values large and small, and a deletion."""
    run = journal(home, project="p")
    of_large, of_small = home.blobs.put(b"file in a large one"), home.blobs.put(b"file in a small one")
    large = holding_file(of_large)
    place = home.blobs.put(large)
    changes = [
        Change("document", "large", BlobRef(place, len(large)), (place, of_large)),
        Change("document", "small", holding_file(of_small), (of_small,)),
        Change("document", "small", None),
    ]
    pin = home.memories.write("p", "m", changes, ME)
    home.append([run.entry(), run.entry(used(pin, 1))])
    manifest = export(home, run.row, tmp_path / "run.regrow")
    assert manifest.memory_blobs == tuple(sorted((place, of_large, of_small)))
    assert manifest.blobs == ()
    return tmp_path / "run.regrow", manifest


def test_the_blobs_of_memories_come_with_them(rich_memory):
    file, manifest = rich_memory
    store, steps = MemoryStore(), []
    brought(file, store, with_memories=True, advance=lambda: steps.append(1))
    assert tuple(digest for digest, _, _ in store.blobs.digests()) == manifest.memory_blobs
    assert store.memories.blobs() == set(manifest.memory_blobs)
    assert len(steps) == 3
    assert store.check() == []


def test_the_blobs_of_memories_stay_away_with_them(rich_memory):
    file, _ = rich_memory
    store = MemoryStore()
    brought(file, store)
    assert list(store.blobs.digests()) == []


def test_a_blob_that_run_and_memory_share_is_written_once(home, journal, tmp_path):
    run = journal(home, project="p")
    shared = home.blobs.put(b"shared")
    pin = remember(home, BlobRef(shared, 6), blobs=(shared,))
    home.append([run.entry(blobs=(shared,)), run.entry(used(pin, 1))])
    steps = []
    export(home, run.row, tmp_path / "run.regrow", advance=lambda: steps.append(1))
    assert steps == [1]
    assert brought(tmp_path / "run.regrow", MemoryStore(), with_memories=True)


# What is refused


@pytest.mark.parametrize("made", [lambda file: file.write_text("no zip"), Path.mkdir], ids=["text", "folder"])
def test_what_is_no_archive_is_refused(tmp_path, made):
    made(tmp_path / "odd")
    refused(tmp_path / "odd", r"is no exported run \(`regrow export` writes them\)")


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        Archive(tmp_path / "missing")


def test_a_newer_format_is_refused_and_says_what_to_do(exported):
    claiming(exported, format=2)
    refused(exported, "has format 2, this regrow reads up to 1: use the newer version", UnreadableFormat)


def test_a_manifest_need_not_say_what_older_versions_did_not(exported):
    claiming(exported)
    parts = parts_of(exported)
    manifest = json.loads(parts["manifest.json"])
    for name in ("key", "project", "source", "memory_blobs"):
        del manifest[name]
    made_of(exported, parts | {"manifest.json": json.dumps(manifest).encode()})
    with Archive(exported) as archive:
        said = archive.manifest
    assert (said.key, said.project, said.source, said.memory_blobs) == (None, "default", None, ())


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_that_was_packed_again_is_read(exported, compression):
    made_of(exported, parts_of(exported), compression)
    assert brought(exported, MemoryStore()) is True


@pytest.mark.parametrize(
    "claims", [{"task": "module:other"}, {"format": 0}, {"format": -1}], ids=["task", "format 0", "format -1"]
)
def test_a_manifest_that_does_not_fit_the_records_is_refused(exported, claims):
    refused(claiming(exported, **claims), "its manifest does not fit its records")


def test_records_that_do_not_begin_with_a_run_are_refused(forged):
    refused(forged(RunEnded("failed"), RunEnded("failed")), "its manifest does not fit its records")


@pytest.mark.parametrize("epoch", [0, 2])
def test_a_lease_that_is_not_that_of_the_last_record_is_refused(exported, epoch):
    refused(claiming(exported, epoch=epoch), "its leases do not follow each other")


HIGHEST = 1 << 53


@pytest.mark.parametrize(
    ("epochs", "sound"),
    [
        ((1, 2), True),
        ((0, 0), True),
        ((3, 2), False),
        ((-1, -1), False),
        ((1, HIGHEST - 1), True),
        ((1, HIGHEST), False),
    ],
)
def test_leases_follow_each_other_and_none_is_too_high(forged, epochs, sound):
    file = forged(created_event(), RunEnded("failed"), epochs=epochs)
    if sound:
        assert brought(file, MemoryStore()) is True
    else:
        refused(file, "its leases do not follow each other")


END = 253_402_300_800.0


@pytest.mark.parametrize(("time", "sound"), [(0.0, True), (END - 1.0, True), (END, False), (-1.0, False)])
@pytest.mark.parametrize("where", ["manifest", "record", "log"])
def test_a_time_that_no_calendar_shows_is_refused_wherever_it_stands(forged, time, sound, where):
    how = {
        "manifest": {"created": time},
        "record": {"times": (1000.0, time)},
        "log": {"logs": [LogLine(time, "", 1, "INFO", "text")]},
    }
    file = forged(created_event(), RunEnded("failed"), **how[where])
    if sound:
        assert brought(file, MemoryStore()) is True
    else:
        refused(file, "something in it has a time that there is not")


@pytest.mark.parametrize("name", ["manifest.json", "records.msgpack", "logs.msgpack", "memories.msgpack"])
def test_a_part_that_is_missing_or_something_else_is_named(exported, name):
    parts = parts_of(exported)
    refused(made_of(exported, parts | {name: b"\xc1"}), rf"is damaged: {name} cannot be read \(")
    del parts[name]
    refused(made_of(exported, parts), rf"is no sound exported run: {name} cannot be read \(")


def test_a_part_may_be_as_large_as_the_limit_and_no_larger(exported, monkeypatch):
    largest = max(len(data) for name, data in parts_of(exported).items() if not name.startswith("blobs/"))
    monkeypatch.setattr(archives, "_LARGEST_PART", largest)
    assert brought(exported, MemoryStore()) is True
    monkeypatch.setattr(archives, "_LARGEST_PART", largest - 1)
    refused(exported, "is larger than any that regrow writes")


def test_a_part_of_a_gigabyte_is_within_the_limit():
    assert archives._LARGEST_PART == 1024**3


def test_a_name_that_is_there_twice_is_refused(exported):
    with zipfile.ZipFile(exported, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("logs.msgpack", b"\x90")
    refused(exported, "it was written by another program")


@pytest.mark.parametrize(("offset", "value"), [(8, 1), (10, 99)], ids=["encrypted", "compressed otherwise"])
def test_what_only_other_programs_write_is_refused(exported, offset, value):
    data = bytearray(exported.read_bytes())
    data[data.find(b"PK\x01\x02") + offset] = value
    exported.write_bytes(data)
    refused(exported, "it was written by another program")


def test_a_flag_that_says_how_names_are_written_is_no_encryption(exported):
    data = bytearray(exported.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 9), (b"PK\x03\x04", 7)):
        data[data.find(signature) + offset] = 0x08
    exported.write_bytes(data)
    assert brought(exported, MemoryStore()) is True


def test_a_blob_that_is_missing_is_refused_by_its_digest(exported):
    parts, digest = parts_of(exported), sha256(b"large")
    del parts[f"blobs/{digest}"]
    refused(made_of(exported, parts), f"is damaged: blob {digest} cannot be read")


def test_a_blob_that_is_missing_takes_no_room(exported, monkeypatch):
    parts = parts_of(exported)
    del parts[f"blobs/{sha256(b'large')}"]
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=0))
    refused(made_of(exported, parts), "cannot be read")


def test_a_blob_that_is_another_one_is_refused(exported):
    digest = sha256(b"large")
    made_of(exported, parts_of(exported) | {f"blobs/{digest}": b"LARGE"})
    refused(exported, f"is damaged: blob {digest} is not what was written")


def test_a_blob_of_many_pieces_arrives_whole(home, journal, tmp_path):
    run = journal(home)
    content = bytes(range(256)) * 4096 + b"and a bit more"
    digest = home.blobs.put(content)
    home.append([run.entry(blobs=(digest,))])
    export(home, run.row, tmp_path / "run.regrow")
    store = MemoryStore()
    brought(tmp_path / "run.regrow", store)
    assert store.blobs.get(digest) == content
    assert store.referenced_blobs(run.run) == {digest}


def test_what_would_fill_the_disk_is_refused_and_what_just_fits_is_not(exported, monkeypatch):
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=4))
    refused(exported, "unpacks to 5 bytes, and 4 are free; nothing was changed", RegrowError)
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=5))
    assert brought(exported, MemoryStore()) is True


# Letting go of the file


@pytest.fixture
def opened(monkeypatch):
    """The zip files that were opened since."""
    real, found = zipfile.ZipFile, []

    def noting(*args, **kwargs):
        found.append(real(*args, **kwargs))
        return found[-1]

    monkeypatch.setattr(archives.zipfile, "ZipFile", noting)
    return found


def test_the_file_is_let_go_of_at_the_end_of_the_block(exported, opened):
    with Archive(exported):
        assert opened[0].fp is not None
    assert opened[0].fp is None


def test_the_file_is_let_go_of_when_it_is_refused(exported, opened):
    claiming(exported, format=0)
    del opened[:]
    with contextlib.suppress(Corrupted):
        Archive(exported)
    assert [one.fp for one in opened] == [None]
