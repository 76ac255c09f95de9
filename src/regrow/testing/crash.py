"""A process that dies, played inside one: a store that from some append on takes nothing any more."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from regrow.errors import StoreUnavailable
from regrow.journal.asks import Asks
from regrow.journal.cache import SharedCache
from regrow.journal.memory import MemoryStore
from regrow.journal.signals import Signals
from regrow.journal.store import Entry, SizeSeen


class Crash(StoreUnavailable):
    """The process has died, as far as the store is concerned."""


class CrashingStore(MemoryStore):
    """A `MemoryStore` whose process can be made to die at any record.

    After the death nothing is stored and nothing returned; `revive` plays the start of a new process, which finds what
    had been acknowledged, and every lease without a holder.

    Attributes:
        appended: how many records were stored so far, over all lives.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Start alive and empty."""
        super().__init__(clock)
        self.appended = 0
        self._dies_after: int | None = None
        self._dead = False

    def die_after(self, records: int) -> None:
        """Die once so many more records are stored; what comes in the same commit is lost."""
        self._dies_after = self.appended + records

    def revive(self) -> None:
        """Be a new process, which will not die unless told to."""
        self._dead = False
        self._dies_after = None
        self.forget_leases()

    def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        """See `Store.append`; dies on the way when it is time."""
        self._be_alive()
        if self._dies_after is not None and self.appended + len(entries) > self._dies_after:
            kept = entries[: self._dies_after - self.appended]
            super().append(kept)
            self.appended += len(kept)
            self._dead = True
            raise Crash("the process has died")
        self.appended += len(entries)
        return super().append(entries)

    @property
    def asks(self) -> Asks:
        """See `Store.asks`."""
        self._be_alive()
        return super().asks

    @property
    def signals(self) -> Signals:
        """See `Store.signals`."""
        self._be_alive()
        return super().signals

    def release_blobs(self, run: str, digests: Sequence[str]) -> None:
        """See `Store.release_blobs`."""
        self._be_alive()
        super().release_blobs(run, digests)

    def remember_size(self, seen: SizeSeen, project: str = "default") -> None:
        """See `Store.remember_size`."""
        self._be_alive()
        super().remember_size(seen, project)

    @property
    def cache(self) -> SharedCache:
        """See `Store.cache`."""
        self._be_alive()
        return super().cache

    def _be_alive(self) -> None:
        if self._dead:
            raise Crash("the process is dead")
