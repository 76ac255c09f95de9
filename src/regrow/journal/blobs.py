"""Blobs: values too large for a record, kept under the SHA-256 of their bytes.

A blob is written whole and made durable before the record that refers to it, so a record never points at nothing; what
a crash leaves behind is at worst a blob that nobody refers to, which `regrow gc` removes.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from regrow.errors import Corrupted, StoreUnavailable

_CHUNK = 1 << 20
_ABANDONED_SECONDS = 3600.0


class BlobStore(Protocol):
    """Content by digest (SHA-256, in hex). Methods may be called from any thread."""

    def put(self, data: bytes) -> str:
        """Keep bytes durably, and give their digest.

        Raises:
            StoreUnavailable: there is no room or no right to write.
        """
        ...

    def put_file(self, path: Path) -> str:
        """Keep a copy of a file's content durably, and give its digest."""
        ...

    def get(self, digest: str) -> bytes:
        """Give the content, checked against its digest.

        Raises:
            Corrupted: it is missing, or not what was written.
        """
        ...

    def path_of(self, digest: str) -> Path:
        """Give a local read-only file with the content, checked against its digest.

        Raises:
            Corrupted: it is missing, or not what was written.
        """
        ...

    def digests(self) -> Iterator[tuple[str, int, float]]:
        """Give each blob's digest, size in bytes, and the time it was last put."""
        ...

    def delete(self, digest: str) -> None:
        """Forget a blob; nothing happens if there is none."""
        ...


class FileBlobs:
    """Blobs as files, in 256 folders named by the first byte of their digests.

    Attributes:
        folder: below which they lie.
    """

    def __init__(self, folder: Path) -> None:
        """Keep blobs below `folder`, which is made when the first one comes."""
        self.folder = folder
        self._swept = False

    def put(self, data: bytes) -> str:
        """See `BlobStore.put`."""
        digest = hashlib.sha256(data).hexdigest()
        with _said_clearly(self.folder):
            if not self._is_here(digest):
                with self._arriving() as (file, arrived):
                    file.write(data)
                    self._settle(file, arrived, digest)
        return digest

    def put_file(self, path: Path) -> str:
        """See `BlobStore.put_file`. The digest is of the copy, so a file that changes meanwhile cannot mislead."""
        # What is wrong with the user's own file is theirs to see as it is, so it is opened first.
        with path.open("rb") as source, _said_clearly(self.folder), self._arriving() as (file, arrived):
            hasher = hashlib.sha256()
            while chunk := source.read(_CHUNK):
                hasher.update(chunk)
                file.write(chunk)
            digest = hasher.hexdigest()
            if not self._is_here(digest):
                self._settle(file, arrived, digest)
        return digest

    def get(self, digest: str) -> bytes:
        """See `BlobStore.get`."""
        with _read_clearly(digest, self.folder):
            data = self._path(digest).read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise Corrupted(f"blob {digest} in {self.folder} is damaged: its bytes do not match its digest")
        return data

    def path_of(self, digest: str) -> Path:
        """See `BlobStore.path_of`."""
        path = self._path(digest)
        with _read_clearly(digest, self.folder), path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise Corrupted(f"blob {digest} in {self.folder} is damaged: its bytes do not match its digest")
        return path

    def digests(self) -> Iterator[tuple[str, int, float]]:
        """See `BlobStore.digests`."""
        for path in sorted(self.folder.glob("??/*")):
            with contextlib.suppress(FileNotFoundError):
                facts = path.stat()
                yield path.parent.name + path.name, facts.st_size, facts.st_mtime

    def delete(self, digest: str) -> None:
        """See `BlobStore.delete`."""
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest[2:]

    def _is_here(self, digest: str) -> bool:
        """Tell whether a blob is here, sound and durable; and renew its time, so that a collection leaves it alone.

        Another process may have renamed it and died before its folder was synced; and a damaged one must not stand in
        for the sound content that is at hand now, which replaces it.
        """
        path = self._path(digest)
        try:
            os.utime(path)
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return False
        except FileNotFoundError:
            return False
        self._sync_folders(path)
        return True

    def _sync_folders(self, path: Path) -> None:
        _sync_folder(path.parent)
        _sync_folder(self.folder)  # costs nothing when nothing changed in it

    @contextlib.contextmanager
    def _arriving(self) -> Iterator[tuple[BinaryIO, Path]]:
        if not self.folder.exists():
            # Not its parents: where the store was moved away, no second one must begin.
            self.folder.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(self.folder.parent)
        if not self._swept:
            self._sweep()
        handle, name = tempfile.mkstemp(prefix=".arriving-", dir=self.folder)
        try:
            with os.fdopen(handle, "wb") as file:
                yield file, Path(name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what processes that were killed had not finished writing; whoever still writes touches its file."""
        self._swept = True
        for left in self.folder.glob(".arriving-*"):
            with contextlib.suppress(FileNotFoundError):
                if left.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                    left.unlink()

    def _settle(self, file: BinaryIO, arrived: Path, digest: str) -> None:
        """Make an arrived file durable under its name: first its content, then the name, then the folder's list."""
        file.flush()
        os.fchmod(file.fileno(), 0o400)
        os.fsync(file.fileno())
        target = self._path(digest)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        arrived.replace(target)
        self._sync_folders(target)


class MemoryBlobs:
    """Blobs in a dictionary, for tests. A file is only made when a path is asked for."""

    def __init__(self) -> None:
        """Start empty."""
        self._content: dict[str, bytes] = {}
        self._files: Path | None = None

    def put(self, data: bytes) -> str:
        """See `BlobStore.put`."""
        digest = hashlib.sha256(data).hexdigest()
        self._content[digest] = bytes(data)
        return digest

    def put_file(self, path: Path) -> str:
        """See `BlobStore.put_file`."""
        return self.put(path.read_bytes())

    def get(self, digest: str) -> bytes:
        """See `BlobStore.get`."""
        try:
            data = self._content[digest]
        except KeyError:
            raise Corrupted(f"blob {digest} is missing from memory") from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise Corrupted(f"blob {digest} in memory is damaged: its bytes do not match its digest")
        return data

    def path_of(self, digest: str) -> Path:
        """See `BlobStore.path_of`."""
        data = self.get(digest)
        if self._files is None:
            self._files = Path(tempfile.mkdtemp(prefix="regrow-blobs-"))
            # Not a TemporaryDirectory: that warns when nobody closes it, and a store in a test is simply dropped.
            weakref.finalize(self, shutil.rmtree, self._files, ignore_errors=True)
        path = self._files / digest
        if not path.exists():
            path.write_bytes(data)
            path.chmod(0o400)
        return path

    def digests(self) -> Iterator[tuple[str, int, float]]:
        """See `BlobStore.digests`; here every blob is as old as time."""
        for digest, data in sorted(self._content.items()):
            yield digest, len(data), 0.0

    def delete(self, digest: str) -> None:
        """See `BlobStore.delete`."""
        self._content.pop(digest, None)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _read_clearly(digest: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise Corrupted(f"blob {digest} is missing from {folder}") from None
    except OSError as problem:
        raise StoreUnavailable(f"cannot read blob {digest} in {folder}: {problem.strerror}") from problem


@contextlib.contextmanager
def _said_clearly(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        free = shutil.disk_usage(there).free
        remedy = "make room" if problem.errno in (errno.ENOSPC, errno.EDQUOT) else "see to the disk"
        raise StoreUnavailable(
            f"cannot write a blob below {folder}: {problem.strerror} ({free / 2**20:.0f} MiB free there); "
            f"{remedy}, then resume"
        ) from problem
