"""Files and directories as values: what they hold counts, not where they lie.

Nothing is read when one is made. A digest is computed when it is first asked for, a stored file is fetched when it is
first opened, so that handing a `File` from task to task costs nothing but its name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, NamedTuple, NoReturn

from regrow.errors import Corrupted, UsageError

_CHUNK: Final = 1 << 20


class File:
    """A file's content under a name.

    Two files are equal if their contents are: names and places do not count.
    """

    __slots__ = ("_digest", "_locate", "_name", "_path", "_size")

    _digest: str | None
    _locate: Callable[[str], Path] | None
    _name: str
    _path: Path | None
    _size: int | None

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Take a local file.

        Args:
            path: where it lies. Nothing is read yet, and it must not change any more.
        """
        local = Path(path)
        self._fill(local, local.name, None, None, None)

    @classmethod
    def stored(cls, name: str, size: int, digest: str, locate: Callable[[str], Path] | None) -> File:
        """Stand for a file whose content lies in a store (called by the codec).

        Args:
            name: the name it had.
            size: its length in bytes.
            digest: the sha256 of its content, in hex.
            locate: gives a local path for a digest; None where no store is at hand and only facts are wanted.
        """
        file = object.__new__(cls)
        file._fill(None, name, size, digest, locate)
        return file

    def _fill(
        self, path: Path | None, name: str, size: int | None, digest: str | None, locate: Callable[[str], Path] | None
    ) -> None:
        for slot, value in (("path", path), ("name", name), ("size", size), ("digest", digest), ("locate", locate)):
            object.__setattr__(self, f"_{slot}", value)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._name

    @property
    def size(self) -> int:
        """Its length in bytes."""
        if self._size is None:
            object.__setattr__(self, "_size", self.path.stat().st_size)
        assert self._size is not None  # noqa: S101 - set above, for the type checker
        return self._size

    @property
    def digest(self) -> str:
        """The sha256 of its content, in hex; read once, in pieces."""
        if self._digest is None:
            object.__setattr__(self, "_digest", _sha256(self.path))
        assert self._digest is not None  # noqa: S101 - set above, for the type checker
        return self._digest

    @property
    def path(self) -> Path:
        """A local path to read from. A stored file is fetched at the first use, and is read-only."""
        if self._path is None:
            if self._locate is None:
                msg = f"the content of {self._name!r} is not at hand here: only its name, size and digest were read"
                raise UsageError(msg)
            object.__setattr__(self, "_path", self._locate(self.digest))
        assert self._path is not None  # noqa: S101 - set above, for the type checker
        return self._path

    def open(self) -> BinaryIO:
        """Open it for reading, in binary."""
        return self.path.open("rb")

    def read_bytes(self) -> bytes:
        """Read all of it."""
        return self.path.read_bytes()

    def read_text(self, encoding: str = "utf-8") -> str:
        """Read all of it as text.

        Args:
            encoding: how the text is written.
        """
        return self.path.read_text(encoding=encoding)

    def copy_to(self, target: str | os.PathLike[str]) -> Path:
        """Copy its content.

        Args:
            target: the new file, or an existing directory to put it into under its name.

        Returns:
            The path of the copy, which is writable.
        """
        place = Path(target)
        if place.is_dir():
            place /= _safe_name(self._name)
        return Path(shutil.copyfile(self.path, place))

    def __repr__(self) -> str:
        return f"File({self._name!r})"

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, File) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        msg = "a File cannot be changed"
        raise AttributeError(msg)


class DirEntry(NamedTuple):
    """One file of a directory.

    Attributes:
        path: where it lies under the directory, with forward slashes.
        digest: the sha256 of its content, in hex.
        size: its length in bytes.
        executable: whether its owner may execute it; the only permission that is kept.
    """

    path: str
    digest: str
    size: int
    executable: bool


class Dir:
    """A directory's files as one value.

    Equal if the same content lies under the same relative paths. Empty directories, owners, times and other permissions
    are not part of it.
    """

    __slots__ = ("_files", "_locate", "_path")

    _files: tuple[DirEntry, ...] | None
    _locate: Callable[[str], Path] | None
    _path: Path | None

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Take a local directory.

        Args:
            path: where it lies. Nothing is read yet, and it must not change any more.
        """
        object.__setattr__(self, "_path", Path(path))
        object.__setattr__(self, "_files", None)
        object.__setattr__(self, "_locate", None)

    @classmethod
    def stored(cls, files: tuple[DirEntry, ...], locate: Callable[[str], Path] | None) -> Dir:
        """Stand for a directory whose files lie in a store (called by the codec).

        Args:
            files: what it holds.
            locate: gives a local path for a digest; None where no store is at hand and only facts are wanted.

        Raises:
            Corrupted: an entry would be written outside of the directory.
        """
        for entry in files:
            _safe_relative(entry.path)
        directory = object.__new__(cls)
        object.__setattr__(directory, "_path", None)
        object.__setattr__(directory, "_files", tuple(sorted(files)))
        object.__setattr__(directory, "_locate", locate)
        return directory

    @property
    def files(self) -> tuple[DirEntry, ...]:
        """Its files, sorted by path; a local directory is read once, here.

        Raises:
            UsageError: it holds a symlink that leads out of it or to a directory, or something that is not a file.
        """
        if self._files is None:
            assert self._path is not None  # noqa: S101 - one of the two is always set
            object.__setattr__(self, "_files", tuple(sorted(_entries(self._path))))
        assert self._files is not None  # noqa: S101 - set above, for the type checker
        return self._files

    @property
    def digest(self) -> str:
        """The sha256 of its list of files, in hex."""
        listing = hashlib.sha256()
        for path, digest, _, executable in self.files:
            listing.update(f"{digest} {int(executable)} {len(path.encode())} {path}\n".encode())
        return listing.hexdigest()

    def locate(self, entry: DirEntry) -> Path:
        """Give a local path to read one of its files from.

        Args:
            entry: one of `files`.
        """
        if self._path is not None:
            return self._path / entry.path
        if self._locate is None:
            msg = f"the content of {entry.path!r} is not at hand here: only its name, size and digest were read"
            raise UsageError(msg)
        return self._locate(entry.digest)

    def copy_to(self, target: str | os.PathLike[str]) -> Path:
        """Write all of it into a new or empty directory.

        Args:
            target: the directory. It must be empty, because what lies there already (a symlink, say) could lead a file
                to another place.

        Returns:
            The target's path.
        """
        place = Path(target)
        place.mkdir(parents=True, exist_ok=True)
        if any(place.iterdir()):
            msg = f"{place} is not empty: copy a Dir into a new or empty directory"
            raise UsageError(msg)
        for entry in self.files:
            copy = place / entry.path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.locate(entry), copy)
            if entry.executable:
                copy.chmod(copy.stat().st_mode | 0o111)
        return place

    def __repr__(self) -> str:
        return f"Dir({str(self._path)!r})" if self._path is not None else f"Dir(<{len(self.files)} stored files>)"

    def __eq__(self, other: object) -> bool:
        return self.files == other.files if isinstance(other, Dir) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.files)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        msg = "a Dir cannot be changed"
        raise AttributeError(msg)


def _sha256(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entries(root: Path) -> Iterator[DirEntry]:
    """Read a directory. Symlinks to files within are followed; any other could make the value depend on its place."""
    home = root.resolve()
    for folder, folders, names in os.walk(home, onerror=_reraise):
        here = Path(folder)
        for name in folders:
            if (here / name).is_symlink():
                _refuse(here / name, "a symlink to a directory; copy what it leads to")
        for name in names:
            path = here / name
            if not path.resolve().is_relative_to(home):
                _refuse(path, f"a symlink that leads out of {root}")
            if not path.is_file():
                _refuse(path, "neither a file nor a directory")
            relative = path.relative_to(home).as_posix()
            if relative.encode("utf-8", "ignore").decode() != relative:
                _refuse(path, "a file whose name is not valid UTF-8")
            status = path.stat()
            yield DirEntry(relative, _sha256(path), status.st_size, bool(status.st_mode & 0o100))


def _reraise(error: OSError) -> NoReturn:
    raise error  # os.walk would leave out what it cannot read


def _refuse(path: Path, why: str) -> NoReturn:
    msg = f"{os.fsencode(path)!r} is {why}" if not str(path).isprintable() else f"{path} is {why}"
    raise UsageError(msg)


def _safe_name(name: str) -> str:
    if name != PurePosixPath(name).name or name in {"", ".."} or "\\" in name or "\0" in name:
        msg = f"a stored file has the name {name!r}, which is no plain name"
        raise Corrupted(msg)
    return name


def _safe_relative(path: str) -> None:
    """Refuse a stored path that would be written elsewhere (`..`, absolute, a drive), whatever the system here is."""
    parts = path.split("/")
    if any(part in {"", ".", ".."} or "\0" in part or (os.sep != "/" and os.sep in part) for part in parts):
        msg = f"a stored directory holds {path!r}, which would lie outside of it"
        raise Corrupted(msg)
    if Path(path).is_absolute() or Path(path).drive:
        msg = f"a stored directory holds the absolute path {path!r}"
        raise Corrupted(msg)
