"""What a memory takes: messages, documents and files, each write a version and durable when it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from regrow.authoring.memories import operations
from regrow.authoring.memories.paths import clean_path
from regrow.authoring.memories.reach import Reach
from regrow.authoring.memories.reading import DocumentView, FileView, Look, MessageView
from regrow.errors import UsageError
from regrow.journal.memories import Pin
from regrow.values.files import File


class Labels:
    """What a memory says of everything that is written through it."""

    def __init__(self, name: str, actor: str, source: str, outside: Callable[[], Reach]) -> None:
        self.name = name
        self.actor = actor
        self.source = source
        self.outside = outside


class Messages(MessageView):
    """A dialogue. It can only be added to, and each message costs its own length."""

    def __init__(self, look: Look, labels: Labels) -> None:
        """Write under labels."""
        super().__init__(look)
        self._labels = labels

    def append(
        self, message: Any = None, /, *, expect: int | None = None, source: str | None = None, **fields: Any
    ) -> int:
        """Add a message; it is durable when this returns.

        Args:
            message: any value that a step could return; or give `fields`, which make a dict.
            expect: the version of the memory that the message answers to.
            source: where it came from, such as a URL.
            fields: such as ``role="user", content="…"``.

        Returns:
            The memory's new version.

        Raises:
            Conflict: the memory is not at the version `expect` any more.
            NotStorable: it has no durable form.
        """
        if fields and message is not None:
            raise UsageError("append() takes one value, or role=, content= and other fields, not both")
        return self.extend([fields or message], expect=expect, source=source)

    def extend(self, messages: Iterable[Any], *, expect: int | None = None, source: str | None = None) -> int:
        """Add several messages, all or none; see `append`."""
        given = list(messages)
        if not given:
            raise UsageError("there is no message to add")
        says = self._labels
        label = says.source if source is None else source
        done = operations.append(says.outside, says.name, given, expect, says.actor, label)
        return Pin(*done).version


class Documents(DocumentView):
    """Documents by key, to be written too. Each write is durable when it returns."""

    def __init__(self, look: Look, labels: Labels) -> None:
        """Write under labels."""
        super().__init__(look)
        self._labels = labels

    def set(self, key: str, value: Any, *, expect: int | None = None, source: str | None = None) -> int:
        """Write a document, whole.

        Args:
            key: names it.
            value: any value that a step could return.
            expect: the version of the memory that the writer has seen.
            source: where it came from, such as a URL.

        Returns:
            The memory's new version.

        Raises:
            Conflict: the memory is not at the version `expect` any more.
            NotStorable: the value has no durable form.
        """
        return self.write_if(key, value, expect, None, source)

    def delete(self, key: str, *, expect: int | None = None, source: str | None = None) -> int:
        """Delete a document; what it was stays in the history. Arguments and errors are those of `set`."""
        says = self._labels
        label = says.source if source is None else source
        done = operations.delete(says.outside, says.name, "document", _key(key), expect, says.actor, label)
        return Pin(*done).version

    def write_if(
        self, key: str, value: Any, expect: int | None, seen: tuple[str, int] | None, source: str | None
    ) -> int:
        """Write a document if it was last written in the version `seen`; version 0 stands for no document.

        Arguments and errors are otherwise those of `set`.
        """
        says = self._labels
        label = says.source if source is None else source
        done = operations.set_(says.outside, says.name, "document", _key(key), value, expect, seen, says.actor, label)
        return Pin(*done).version


class Files(FileView):
    """A small tree of files, to be written too. Each write is durable when it returns."""

    def __init__(self, look: Look, labels: Labels) -> None:
        """Write under labels."""
        super().__init__(look)
        self._labels = labels

    def write(
        self, path: str, content: bytes | str | File, *, expect: int | None = None, source: str | None = None
    ) -> int:
        """Write a file, whole; text becomes UTF-8.

        Args:
            path: a relative POSIX path, such as ``notes/day1.md``.
            content: what it holds.
            expect: the version of the memory that the writer has seen.
            source: where it came from, such as a URL.

        Returns:
            The memory's new version.

        Raises:
            Conflict: the memory is not at the version `expect` any more.
        """
        data = content.path.read_bytes() if isinstance(content, File) else content
        data = data.encode("utf-8") if isinstance(data, str) else bytes(data)
        says = self._labels
        label = says.source if source is None else source
        place = clean_path(path)
        done = operations.write_file(says.outside, says.name, "file", place, data, expect, None, says.actor, label)
        return Pin(*done).version

    def delete(self, path: str, *, expect: int | None = None, source: str | None = None) -> int:
        """Delete a file; what it was stays in the history. Arguments and errors are those of `write`."""
        says = self._labels
        label = says.source if source is None else source
        done = operations.delete(says.outside, says.name, "file", clean_path(path), expect, says.actor, label)
        return Pin(*done).version


def _key(key: str) -> str:
    if not key:
        raise UsageError(f"a document's key is text that is not empty, not {key!r}")
    return key
