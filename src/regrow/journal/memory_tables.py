"""What a `MemoryStore` keeps beside runs: in the tables of a real store, in a database that has no file.

It is made when the first of them is used. Making one costs a millisecond, and simulated worlds make thousands of
stores that never ask anybody anything. A twin in dictionaries was rejected: it would drift from the statements that
count.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property

from regrow.journal.database import Database
from regrow.journal.formats import FORMATS
from regrow.journal.sqlite_asks import SqliteAsks
from regrow.journal.sqlite_cache import SqliteCache
from regrow.journal.sqlite_memories import SqliteMemories
from regrow.journal.sqlite_signals import SqliteSignals


class MemoryTables:
    """The tables of one store in memory; shared by all that connect to it."""

    def __init__(self, lease_of: Callable[[str], int | None]) -> None:
        """Make nothing yet; `lease_of` gives the epoch of the lease that a run is under, or None."""
        self._lease_of = lease_of
        self._guard = threading.Lock()
        self._made: Database | None = None

    @property
    def in_use(self) -> bool:
        """Whether anything was ever kept here."""
        return self._made is not None

    @property
    def database(self) -> Database:
        """The database; made now if need be."""
        with self._guard:
            if self._made is None:
                self._made = Database(None, FORMATS, place="memory")
            return self._made

    @cached_property
    def asks(self) -> SqliteAsks:
        """Questions to people."""
        return SqliteAsks(self.database)

    @cached_property
    def signals(self) -> SqliteSignals:
        """Signals to runs."""
        return SqliteSignals(self.database)

    @cached_property
    def cache(self) -> SqliteCache:
        """Outcomes that runs share."""
        return SqliteCache(self.database, self._lease_of)

    @cached_property
    def memories(self) -> SqliteMemories:
        """Agents' memories."""
        return SqliteMemories(self.database, epoch_of=self._lease_of)
