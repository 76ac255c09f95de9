"""What a test can order: a kind of fault, the calls that it is for, and how often it strikes."""

from __future__ import annotations

from typing import Literal

import msgspec

from regrow.errors import UsageError
from regrow.values.durations import Duration, seconds

Failing = Literal["oom", "preempt", "lost_worker", "disk_full", "rate_limit", "unavailable"]
Kind = Literal[Failing, "slow", "crash_after"]


class Fault(msgspec.Struct, frozen=True):
    """What is to happen to which calls; made by `oom` and its like.

    Attributes:
        kind: what.
        target: which calls: a name (``train``), one of that name (``train#2``), or the end of a path
            (``score#1/train#2``).
        times: the first so many attempts of each of these calls are struck.
        after: how long, in seconds, the body runs before it is struck; 0 to strike in its place.
        chance: how likely each of these attempts is struck. What is drawn follows from the seed, the path and the
            attempt, and from nothing else.
        wait: what a `slow` call takes longer, in seconds; when a service asks to be called again; a preemption's grace.
        status: the HTTP status.
    """

    kind: Kind
    target: str
    times: int = 1
    after: float = 0.0
    chance: float = 1.0
    wait: float | None = None
    status: int | None = None

    def __post_init__(self) -> None:
        """Refuse what could never strike."""
        if not self.target or self.times < 1 or not 0 < self.chance <= 1:
            raise UsageError(f"{self}: a fault names a call, strikes one time or more, and with a chance of 0 to 1")

    def __str__(self) -> str:
        """Show it as it was written."""
        return f"{self.kind}({self.target!r})"


def oom(target: str, *, times: int = 1, after: Duration = 0, chance: float = 1.0) -> Fault:
    """Let a task run out of memory: `regrow.OutOfMemory`, at the limit that it has."""
    return Fault("oom", target, times, seconds(after), chance)


def preempt(target: str, *, after: Duration = 0, grace: Duration = 30, times: int = 1, chance: float = 1.0) -> Fault:
    """Take a task's machine away: `regrow.Preempted`. With ``real=True`` its worker gets a SIGTERM."""
    return Fault("preempt", target, times, seconds(after), chance, wait=seconds(grace))


def lost_worker(target: str, *, after: Duration = 0, times: int = 1, chance: float = 1.0) -> Fault:
    """Let a task's worker disappear: `regrow.WorkerLost`. With ``real=True`` it gets a SIGKILL."""
    return Fault("lost_worker", target, times, seconds(after), chance)


def disk_full(target: str, *, times: int = 1, after: Duration = 0, chance: float = 1.0) -> Fault:
    """Let a task find the disk full: `regrow.DiskFull`, at the limit that it has."""
    return Fault("disk_full", target, times, seconds(after), chance)


def rate_limit(
    target: str, *, times: int = 1, retry_after: Duration | None = None, status: int = 429, chance: float = 1.0
) -> Fault:
    """Let a service turn a call away: `regrow.RateLimited`."""
    wait = None if retry_after is None else seconds(retry_after)
    return Fault("rate_limit", target, times, chance=chance, wait=wait, status=status)


def unavailable(
    target: str, *, times: int = 1, retry_after: Duration | None = None, status: int = 503, chance: float = 1.0
) -> Fault:
    """Let a service be down: `regrow.Unavailable`."""
    wait = None if retry_after is None else seconds(retry_after)
    return Fault("unavailable", target, times, chance=chance, wait=wait, status=status)


def slow(target: str, by: Duration, *, times: int = 1, chance: float = 1.0) -> Fault:
    """Let a call take longer, in real time; its timeout runs."""
    return Fault("slow", target, times, chance=chance, wait=seconds(by))


def crash_after(target: str) -> Fault:
    """Let the whole process die once a call's result is recorded, before the code is given it.

    The run then raises `regrow.testing.Crash`, and ``regrow_store.revive()`` plays the start of the next process. Needs
    the `regrow_store` fixture, or a `regrow.testing.MortalStore`. Strikes once.
    """
    return Fault("crash_after", target)
