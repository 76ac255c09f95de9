"""What is wrong with the place where runs are kept; and the memory there that somebody else was quicker to write."""

from __future__ import annotations

from regrow.errors.root import RegrowError


class StoreError(RegrowError):
    """Something about the place where runs are kept."""


class StoreUnavailable(StoreError):
    """The store cannot be read or written now: full, read-only, locked, missing permissions."""


class UnreadableFormat(StoreError):
    """The store was written by a newer version of regrow."""


class Corrupted(StoreError):
    """What is stored is not what was written."""


class Conflict(RegrowError):
    """A memory is not at the version that a write expected: somebody else was quicker. Nothing was written.

    Attributes:
        memory: its name.
        expected: the version that the writer had seen; if `key` is given, the one in which that was last written.
        actual: the one that it is.
        since: who has written meanwhile, one line each, the latest few.
        key: of the document that was compared; empty where it was the whole memory.
    """

    def __init__(self, memory: str, expected: int, actual: int, since: tuple[str, ...] = (), *, key: str = "") -> None:
        what = f"{key!r} in memory {memory}" if key else f"memory {memory}"
        meanwhile = f" (since then: {'; '.join(since)})" if since else ""
        super().__init__(
            f"{what} is at version {actual}, not at {expected}{meanwhile}; nothing was written: read it again and "
            f"decide anew, or let memory.update() or regrow.retry_on_conflict() do that"
        )
        self.memory = memory
        self.expected = expected
        self.actual = actual
        self.since = since
        self.key = key
