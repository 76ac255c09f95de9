"""What regrow's own tests use and its users' tests may: fakes for each seam, one a seam. Nothing in regrow imports it."""

from regrow.journal.memory import MemoryStore
from regrow.testing.clock import FakeClock
from regrow.testing.crash import Crash, CrashingStore

__all__ = ["Crash", "CrashingStore", "FakeClock", "MemoryStore"]
