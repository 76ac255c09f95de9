"""What tests of agents need, regrow's own tests and its users': fakes, faults and deaths. Nothing in regrow imports it.

The pytest plugin is `regrow.testing.pytest_plugin`; docs/testing.md has a page of recipes.
"""

from regrow.journal.memory import MemoryStore
from regrow.testing.clock import FakeClock
from regrow.testing.crash import Crash, CrashingStore
from regrow.testing.crash_points import Effects, MortalStore
from regrow.testing.fault import crash_after, disk_full, lost_worker, oom, preempt, rate_limit, slow, unavailable
from regrow.testing.faults import faults
from regrow.testing.scripted import ScriptedModel, ScriptExhausted
from regrow.testing.world import SimulatedWorld, WorldFailed

__all__ = [
    "Crash",
    "CrashingStore",
    "Effects",
    "FakeClock",
    "MemoryStore",
    "MortalStore",
    "ScriptExhausted",
    "ScriptedModel",
    "SimulatedWorld",
    "WorldFailed",
    "crash_after",
    "disk_full",
    "faults",
    "lost_worker",
    "oom",
    "preempt",
    "rate_limit",
    "slow",
    "unavailable",
]
