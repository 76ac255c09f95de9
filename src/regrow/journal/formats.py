"""How a store's database comes to be, format by format.

Every part of the store brings its own tables. What lists them all is a module of its own, because both stores are made
from it: the SQLite store in a file, and what the store in memory keeps beside its runs.
"""

from __future__ import annotations

from pathlib import Path

from regrow.journal.database import statements
from regrow.journal.sqlite_asks import ASKS_FORMAT_3
from regrow.journal.sqlite_cache import CACHE_FORMAT_3
from regrow.journal.sqlite_memories import MEMORIES_FORMAT_3
from regrow.journal.sqlite_signals import SIGNALS_FORMAT_3

_RUNS = statements(Path(__file__).with_name("formats.sql"))

FORMATS = (
    (_RUNS["format_1"],),
    (_RUNS["format_2"],),
    (_RUNS["format_3"], ASKS_FORMAT_3, SIGNALS_FORMAT_3, CACHE_FORMAT_3, MEMORIES_FORMAT_3),
)
"""The steps from nothing to the latest format. None is ever changed once it is released."""
