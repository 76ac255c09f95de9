"""What a memory holds at one version, for reading: messages, documents, files, and who wrote what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast, overload

import msgspec

from regrow.authoring.memories.paths import clean_path, fitting
from regrow.authoring.memories.reach import Reach
from regrow.codec import registry
from regrow.errors import UsageError
from regrow.journal.memories import Kind, Origin, Pin, Place, Suspect, Version
from regrow.journal.records import Value

T = TypeVar("T")
D = TypeVar("D")
_PAGE = 500
"""How many messages are fetched at a time."""


class MemoryEntry:
    """One version of a memory: what was written, and by whom.

    Attributes:
        memory: the memory in which it was written; of a fork, that may be the one that it was forked from.
        version: its number there.
        kind: what it is about: a message, document or file, or a revert, fork, quarantine or release.
        key: of the document, or path of the file; the reason of a quarantine or release.
        origin: who wrote it.
        base: for a revert or fork: the memory and version that it goes on from.
        suspect: for a quarantine or release: whose writes.
    """

    def __init__(self, reach: Reach, stored: Version) -> None:
        """Give a version to the code; its value is only read when it is asked for."""
        self.memory: str = stored.memory
        self.version: int = stored.version
        self.kind: Kind = stored.kind
        self.key: str = stored.key
        self.origin: Origin = stored.origin
        self.base: tuple[str, int] | None = None if stored.base is None else (stored.base.memory, stored.base.version)
        self.suspect: Suspect | None = stored.suspect
        self._reach = reach
        self._stored = stored

    @property
    def value(self) -> Any:
        """What was written: a new object each time. None for a deletion, and for what has no content."""
        stored = self._stored.value
        return None if stored is None else self._reach.load(stored)

    @property
    def raw(self) -> Value | None:
        """What was written as it is stored, for those who show it without the classes that it is made of."""
        return self._stored.value

    @property
    def deleted(self) -> bool:
        """Whether it deleted the document or file."""
        return self.kind in ("document", "file") and self._stored.value is None

    def __repr__(self) -> str:
        what = f"{self.kind} {self.key!r}" if self.key else self.kind
        return f"<{what} in {self.memory} version {self.version}, by {self.origin.actor}>"


class MemoryDiff(msgspec.Struct, frozen=True):
    """What differs between two versions of a memory.

    Attributes:
        added: messages, documents and files that only the second has.
        removed: those that only the first has.
        changed: documents and files that both have, written anew in between: the first's and the second's.
    """

    added: tuple[MemoryEntry, ...]
    removed: tuple[MemoryEntry, ...]
    changed: tuple[tuple[MemoryEntry, MemoryEntry], ...]


class Snapshot:
    """A memory at one version, and the way to it."""

    def __init__(self, reach: Reach, pin: Pin) -> None:
        """Read a memory at a version that is known to be there."""
        self.reach = reach
        self.pin = pin

    def entry(self, kind: Kind, key: str) -> MemoryEntry | None:
        """Give the version in which a document or file was last written; None if there is none."""
        with self.reach.store() as memories:
            found = memories.fact(self.reach.project, self.pin, kind, key)
        return None if found is None else MemoryEntry(self.reach, found)

    def keys(self, kind: Kind) -> list[str]:
        """Give the keys of all documents or files."""
        with self.reach.store() as memories:
            return memories.keys(self.reach.project, self.pin, kind)

    def count(self) -> int:
        """Give how many messages there are."""
        with self.reach.store() as memories:
            return memories.count(self.reach.project, self.pin)

    def messages(self, start: int = 0, limit: int | None = None) -> Iterator[MemoryEntry]:
        """Give messages from the one at `start` on, a page at a time."""
        left = limit
        last: Pin | None = None
        while left is None or left > 0:
            page = _PAGE if left is None else min(_PAGE, left)
            with self.reach.store() as memories:
                found = memories.messages(self.reach.project, self.pin, after=start, beyond=last, limit=page)
            for one in found:
                yield MemoryEntry(self.reach, one)
            if len(found) < page:
                return
            start, last = 0, Pin(found[-1].memory, found[-1].version)
            left = None if left is None else left - page

    def last(self, count: int) -> list[MemoryEntry]:
        """Give the last messages, in their order."""
        with self.reach.store() as memories:
            found = memories.messages(self.reach.project, self.pin, limit=max(0, count), newest_first=True)
        return [MemoryEntry(self.reach, one) for one in reversed(found)]

    def stored(self, place: Place) -> MemoryEntry:
        """Give what stands at a place."""
        with self.reach.store() as memories:
            return MemoryEntry(self.reach, memories.stored(self.reach.project, place.memory, place.version))

    def places(self) -> list[Place]:
        """Give where each fact stands."""
        with self.reach.store() as memories:
            return memories.places(self.reach.project, self.pin)

    def history(self) -> list[MemoryEntry]:
        """Give the memory's own versions, oldest first."""
        with self.reach.store() as memories:
            found = memories.history(self.reach.project, self.pin)
        return [MemoryEntry(self.reach, one) for one in found]

    def suspects(self) -> list[Suspect]:
        """Give what is in quarantine."""
        with self.reach.store() as memories:
            return memories.suspects(self.reach.project, self.pin)

    def diff(self, other: Snapshot) -> MemoryDiff:
        """Say what another version has that this one has not, and the other way round."""
        before, after = self.places(), other.places()
        old, new = set(before), set(after)
        at = {(place.kind, place.key): place for place in before if place.kind != "message"}
        now = {(place.kind, place.key) for place in after if place.kind != "message"}
        changed = [
            (at[place.kind, place.key], place)
            for place in after
            if place.kind != "message" and place not in old and (place.kind, place.key) in at
        ]
        rewritten = {place for _, place in changed}
        return MemoryDiff(
            tuple(other.stored(place) for place in after if place not in old and place not in rewritten),
            tuple(
                self.stored(place)
                for place in before
                if place not in new and (place.kind == "message" or (place.kind, place.key) not in now)
            ),
            tuple((self.stored(one), other.stored(another)) for one, another in changed),
        )


Look = Callable[[], Snapshot]
"""Gives the version that is read: always the same in a view; in a memory itself the latest, recorded in a run."""


class MessageView(Sequence[Any]):
    """A dialogue, to be read like a list: iterated, indexed, sliced."""

    def __init__(self, look: Look) -> None:
        """Read through `look`."""
        self._look = look

    def __len__(self) -> int:
        return self._look().count()

    def __iter__(self) -> Iterator[Any]:
        return (entry.value for entry in self._look().messages())

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        """Give a message, or a list of them."""
        seen = self._look()
        count = seen.count()
        if isinstance(index, slice):
            start, stop, step = index.indices(count)
            if step == 1:
                return [entry.value for entry in seen.messages(start, max(0, stop - start))]
            return [entry.value for entry in seen.messages()][index]
        place = index + count if index < 0 else index
        if not 0 <= place < count:
            raise IndexError(f"there are {count} messages, and none at {index}")
        return next(iter(seen.messages(place, 1))).value

    def last(self, count: int) -> list[Any]:
        """Give the last messages, in their order."""
        return [entry.value for entry in self._look().last(count)]

    def entries(self, *, last: int | None = None) -> list[MemoryEntry]:
        """Give messages, or the last of them, with who wrote each."""
        seen = self._look()
        return list(seen.messages()) if last is None else seen.last(last)


class DocumentView:
    """Documents by key: any values that a step could return."""

    def __init__(self, look: Look) -> None:
        """Read through `look`."""
        self._look = look

    @overload
    def get(self, key: str, default: None = None) -> Any: ...
    @overload
    def get(self, key: str, default: D, *, of: type[T]) -> T | D: ...
    @overload
    def get(self, key: str, default: None = None, *, of: type[T]) -> T | None: ...
    @overload
    def get(self, key: str, default: Any = None) -> Any: ...
    def get(self, key: str, default: Any = None, *, of: type[Any] | None = None) -> Any:
        """Give a document, a new object each time.

        Args:
            key: names it.
            default: given if there is none.
            of: the class that it must have. A class that no task or step mentions becomes readable by being named here.

        Raises:
            UsageError: it has another class.
        """
        if of is not None and not _is_plain(of):
            registry.allow(of)
        entry = self._look().entry("document", key)
        if entry is None:
            return default
        value = entry.value
        if of is not None and not isinstance(value, of):
            raise UsageError(f"{key!r} in memory {entry.memory} is a {type(value).__name__}, not a {of.__name__}")
        return value

    def __getitem__(self, key: str) -> Any:
        entry = self._look().entry("document", key)
        if entry is None:
            raise KeyError(key)
        return entry.value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self._look().entry("document", key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def keys(self, prefix: str = "") -> list[str]:
        """Give the keys that begin with `prefix`, in order."""
        return [key for key in self._look().keys("document") if key.startswith(prefix)]

    def items(self, prefix: str = "") -> list[tuple[str, Any]]:
        """Give the keys that begin with `prefix`, each with its document."""
        seen = self._look()
        found = ((key, seen.entry("document", key)) for key in seen.keys("document") if key.startswith(prefix))
        return [(key, entry.value) for key, entry in found if entry is not None]

    def entry(self, key: str) -> MemoryEntry | None:
        """Give the version in which a document was last written, and so who wrote it."""
        return self._look().entry("document", key)


class FileView:
    """A small tree of files, by relative POSIX paths."""

    def __init__(self, look: Look) -> None:
        """Read through `look`."""
        self._look = look

    def read(self, path: str) -> bytes:
        """Give a file's content.

        Raises:
            FileNotFoundError: there is none.
        """
        entry = self._look().entry("file", clean_path(path))
        if entry is None:
            raise FileNotFoundError(f"there is no file {path!r} in this memory")
        return cast("bytes", entry.value)

    def read_text(self, path: str) -> str:
        """Give a file's content as text, which is UTF-8.

        Raises:
            FileNotFoundError: there is none.
        """
        return self.read(path).decode("utf-8")

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and self._look().entry("file", clean_path(path)) is not None

    def list(self, folder: str = "") -> list[str]:
        """Give the paths of all files in a folder, however deep, in order."""
        inside = f"{clean_path(folder)}/" if folder else ""
        return [path for path in self._look().keys("file") if path.startswith(inside)]

    def glob(self, pattern: str) -> Sequence[str]:
        """Give the paths that fit a pattern, in order: ``*`` is any part of a name, ``**`` any folders."""
        fits = fitting(pattern)
        return [path for path in self._look().keys("file") if fits(path)]

    def entry(self, path: str) -> MemoryEntry | None:
        """Give the version in which a file was last written, and so who wrote it."""
        return self._look().entry("file", clean_path(path))


def _is_plain(cls: type[Any]) -> bool:
    return cls.__module__ == "builtins"
