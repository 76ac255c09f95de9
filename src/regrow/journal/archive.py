"""A run as one file, to be looked at, debugged or gone on with elsewhere: records, logs, blobs, memories and source.

The file is a zip archive: ``manifest.json``, ``records.msgpack``, ``logs.msgpack``, ``memories.msgpack``,
``blobs/DIGEST`` and ``code/NAME``. Of each memory that the run has used it holds the versions up to the last used one.
Reading one trusts nothing in it: only these names are looked at, records must make up a sound chain,
blobs must have their digests, and nothing is executed or put where the archive says.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from regrow._version import __version__
from regrow.codec.contents import contents_of
from regrow.errors import Corrupted, RegrowError, UnreadableFormat
from regrow.journal.chain import StoredRecord, unseal_all
from regrow.journal.memories import Carried
from regrow.journal.pins import pins_of
from regrow.journal.records import BlobRef, Record, RunCreated, RunEnded, RunRetried
from regrow.journal.store import DEFAULT_PROJECT, Entry, LogLine, NewRun, RunRow, Store

FORMAT = 1
T = TypeVar("T")
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_HIGHEST_EPOCH = 1 << 53
_END_OF_TIME = 253_402_300_800.0
"""Of what a calendar can show: the end of the year 9999, in seconds since the epoch."""
_LARGEST_PART = 1 << 30
"""Bytes that a manifest, a journal or a log may have, unpacked: an archive may claim anything."""


class Source(msgspec.Struct, frozen=True):
    """The file that a run's task is in.

    Attributes:
        name: of the file, without its folder.
        sha256: of what is in the archive.
        as_run: whether that is what the run began with; None if that was not recorded.
    """

    name: str
    sha256: str
    as_run: bool | None


class Manifest(msgspec.Struct, frozen=True):
    """What an archive says of itself."""

    format: int
    regrow: str
    python: str
    run: str
    task: str
    created: float
    epoch: int
    blobs: tuple[str, ...]
    key: str | None = None
    project: str = DEFAULT_PROJECT
    source: Source | None = None
    memory_blobs: tuple[str, ...] = ()


Progress = Callable[[], None]


def export(store: Store, row: RunRow, file: Path, *, advance: Progress = lambda: None) -> Manifest:
    """Write a run into a file.

    Args:
        store: where the run is.
        row: the run.
        file: where to write; what is there is replaced once all is written.
        advance: called after each blob.

    Raises:
        Corrupted: the run is damaged; nothing is written.
        OSError: the file cannot be written.
    """
    stored = store.read(row.id)
    records = unseal_all(row.id, stored)
    digests = tuple(sorted(store.referenced_blobs(row.id)))
    code, source = _source(records)
    memories, memory_blobs = _memories(store, row.project, records)
    epoch = records[-1].epoch if records else 0
    manifest = Manifest(
        FORMAT, __version__, platform.python_version(), row.id, row.task, row.created, epoch, digests,
        row.key, row.project, source, memory_blobs,
    )  # fmt: skip
    arriving = file.with_name(f".{file.name}.arriving")
    try:
        with zipfile.ZipFile(arriving, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("manifest.json", msgspec.json.format(msgspec.json.encode(manifest)))
            archive.writestr("records.msgpack", msgspec.msgpack.encode(stored))
            archive.writestr("logs.msgpack", msgspec.msgpack.encode([line for _, line in store.read_logs(row.id)]))
            archive.writestr("memories.msgpack", msgspec.msgpack.encode(memories))
            for digest in sorted({*digests, *memory_blobs}):
                archive.write(store.blobs.path_of(digest), f"blobs/{digest}")
                advance()
            if source is not None:
                archive.writestr(f"code/{source.name}", code)
        arriving.replace(file)
    finally:
        arriving.unlink(missing_ok=True)
    return manifest


def _memories(store: Store, project: str, records: Iterable[Record]) -> tuple[list[Carried], tuple[str, ...]]:
    """Give the versions of memories that the run has used, and the blobs that these need."""
    carried: list[Carried] = []
    for pin in pins_of(record.event for record in records).values():
        with suppress(Corrupted):  # the memory was removed; the run could not read it here either
            carried.extend(store.memories.carried(project, pin))
    blobs: set[str] = set()
    for value in (one.version.value for one in carried):
        if isinstance(value, BlobRef):
            blobs.add(value.digest)
            blobs |= contents_of(store.blobs.get(value.digest))
        elif value is not None:
            blobs |= contents_of(value)
    return carried, tuple(sorted(blobs))


def _source(records: Iterable[Record]) -> tuple[bytes, Source | None]:
    created = next((one.event for one in records if isinstance(one.event, RunCreated)), None)
    if created is None or not created.source:
        return b"", None
    try:
        code = Path(created.source).read_bytes()
    except OSError:
        return b"", None
    digest = hashlib.sha256(code).hexdigest()
    return code, Source(Path(created.source).name, digest, digest == created.code if created.code else None)


class Archive:
    """An exported run, opened for reading.

    Attributes:
        manifest: what it says of itself.
        stored: the run's records as they were stored, which make up a sound chain.
    """

    def __init__(self, file: Path) -> None:
        """Open a file, and check its records.

        Raises:
            OSError: it cannot be read.
            UnreadableFormat: a newer version wrote it.
            Corrupted: it is no exported run, or not what was written.
        """
        self._file = file
        try:
            if file.exists() and not file.is_file():  # a pipe or a device would be read for ever
                raise zipfile.BadZipFile
            self._zip = zipfile.ZipFile(file)
        except zipfile.BadZipFile:
            raise Corrupted(f"{file} is no exported run (`regrow export` writes them)") from None
        try:
            self._check_listing()
            self.manifest = self._decoded("manifest.json", msgspec.json.Decoder(Manifest))
            if self.manifest.format > FORMAT:
                raise UnreadableFormat(
                    f"{file} has format {self.manifest.format}, this regrow reads up to {FORMAT}: use the newer version"
                )
            self.stored = self._decoded("records.msgpack", msgspec.msgpack.Decoder(list[StoredRecord]))
            self._records = unseal_all(self.manifest.run, self.stored)
            self._logs = self._decoded("logs.msgpack", msgspec.msgpack.Decoder(list[LogLine]))
            self._memories = self._decoded("memories.msgpack", msgspec.msgpack.Decoder(list[Carried]))
            self._check()
            self.code()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file."""
        self._zip.close()

    @property
    def memories(self) -> tuple[str, ...]:
        """The names of the memories that are in there."""
        return tuple(dict.fromkeys(one.version.memory for one in self._memories))

    def bring_into(
        self,
        store: Store,
        *,
        project: str,
        key: str | None,
        with_memories: bool = False,
        advance: Progress = lambda: None,
    ) -> bool:
        """Add the run to a store, under its own id.

        Args:
            store: where to.
            project: under which project.
            key: under which key.
            with_memories: bring the memories as well that it has used. Other agents of the project will read them, so
                whoever says this trusts the file.
            advance: called after each blob.

        Returns:
            False if the very same run is there already.

        Raises:
            Corrupted: a blob is missing or damaged.
            RegrowError: another run has this id or this key.
        """
        manifest = self.manifest
        is_here = self._is_here(store, project, key)
        digests = sorted({*(() if is_here else manifest.blobs), *(manifest.memory_blobs if with_memories else ())})
        self._check_room(digests)
        for digest in digests:
            self._bring_blob(store, digest)
            advance()
        if with_memories:
            store.memories.adopt(project, self._memories, manifest.memory_blobs)
        if is_here:
            return False
        row = store.create(NewRun(manifest.run, manifest.task, manifest.created, key, project, epoch=manifest.epoch))
        if row.id != manifest.run:
            raise self._key_is_taken(key, row)
        store.append(self._entries())
        store.write_logs(row.id, self._logs)
        return True

    def _is_here(self, store: Store, project: str, key: str | None) -> bool:
        """Tell whether the very same run is in a store. Raises what `bring_into` does, before anything is changed."""
        run = self.manifest.run
        if there := store.read(run):
            if there == self.stored:
                return True
            raise RegrowError(f"run {run} is here already, and is not the same; nothing was changed")
        taken = store.by_key(project, key) if key is not None else None
        if taken is not None and taken.id != run:
            raise self._key_is_taken(key, taken)
        return False

    def _key_is_taken(self, key: str | None, row: RunRow) -> RegrowError:
        return RegrowError(f"key {key!r} is that of run {row.id} here; give another one with --key")

    def code(self) -> tuple[str, bytes] | None:
        """Give the name and the content of the source file, if it is in there."""
        source = self.manifest.source
        if source is None:
            return None
        data = self._read(f"code/{source.name}")
        if hashlib.sha256(data).hexdigest() != source.sha256:
            raise Corrupted(f"{self._file} is damaged: its source file is not what was written")
        if not source.name.endswith(".py") or Path(source.name).name != source.name:
            raise Corrupted(f"{self._file}: {source.name!r} is no name of a source file that regrow writes")
        return source.name, data

    def _check_listing(self) -> None:
        """Refuse what `export` never writes and other programs may read otherwise than this one does."""
        listed = self._zip.infolist()
        plain = all(one.compress_type in _COMPRESSIONS and not one.flag_bits & _ENCRYPTED for one in listed)
        if not plain or len({one.filename for one in listed}) != len(listed):
            raise Corrupted(f"{self._file} is no exported run: it was written by another program")

    def _check(self) -> None:
        manifest, records = self.manifest, self._records
        created = records[0].event if records else None
        if not isinstance(created, RunCreated) or created.task != manifest.task or manifest.format < 1:
            raise Corrupted(f"{self._file} is damaged: its manifest does not fit its records")
        epochs = [0, *(record.epoch for record in records), manifest.epoch]
        if epochs != sorted(epochs) or manifest.epoch != records[-1].epoch or manifest.epoch >= _HIGHEST_EPOCH:
            raise Corrupted(f"{self._file} is damaged: its leases do not follow each other")
        times = (manifest.created, *(record.time for record in records), *(line.time for line in self._logs))
        if not all(0.0 <= time < _END_OF_TIME for time in times):
            raise Corrupted(f"{self._file} is damaged: something in it has a time that there is not")

    def _check_room(self, digests: Iterable[str]) -> None:
        """Refuse what would fill the disk."""
        listed = {one.filename: one.file_size for one in self._zip.infolist()}
        needed = sum(listed.get(f"blobs/{digest}", 0) for digest in digests)
        free = shutil.disk_usage(tempfile.gettempdir()).free
        if needed > free:
            raise RegrowError(f"{self._file} unpacks to {needed} bytes, and {free} are free; nothing was changed")

    def _entries(self) -> list[Entry]:
        manifest = self.manifest
        entries = []
        for stored, record in zip(self.stored, self._records, strict=True):
            event = record.event
            entries.append(
                Entry(
                    manifest.run,
                    manifest.epoch,
                    stored,
                    manifest.blobs if record.seq == 1 else (),
                    event.outcome if isinstance(event, RunEnded) else None,
                    isinstance(event, RunRetried),
                    record.time,
                )
            )
        return entries

    def _bring_blob(self, store: Store, digest: str) -> None:
        with tempfile.NamedTemporaryFile() as file:
            try:
                with self._zip.open(f"blobs/{digest}") as source:
                    while chunk := source.read(1 << 20):
                        file.write(chunk)
            except (KeyError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
                raise Corrupted(f"{self._file} is damaged: blob {digest} cannot be read ({problem})") from None
            file.flush()
            if store.blobs.put_file(Path(file.name)) != digest:
                raise Corrupted(f"{self._file} is damaged: blob {digest} is not what was written")

    def _decoded(self, name: str, decoder: msgspec.json.Decoder[T] | msgspec.msgpack.Decoder[T]) -> T:
        try:
            return decoder.decode(self._read(name))
        except msgspec.DecodeError as problem:
            raise Corrupted(f"{self._file} is damaged: {name} cannot be read ({problem})") from None

    def _read(self, name: str) -> bytes:
        try:
            if self._zip.getinfo(name).file_size > _LARGEST_PART:
                raise Corrupted(f"{self._file}: {name} is larger than any that regrow writes")
            return self._zip.read(name)
        except (KeyError, EOFError, zipfile.BadZipFile, zlib.error) as problem:
            raise Corrupted(f"{self._file} is no sound exported run: {name} cannot be read ({problem})") from None
