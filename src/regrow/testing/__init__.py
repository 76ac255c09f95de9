"""Fakes for tests, regrow's own and its users': one for each seam. Nothing in regrow imports them."""

from regrow.journal.memory import MemoryStore
from regrow.testing.clock import FakeClock
from regrow.testing.crash import Crash, CrashingStore

__all__ = ["Crash", "CrashingStore", "FakeClock", "MemoryStore"]
