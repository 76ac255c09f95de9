"""Failures of the infrastructure: of what a worker runs on and in, and of what holds it to its limits."""

from __future__ import annotations

from typing import Literal

from regrow.amounts import readable_size
from regrow.errors.failure import Failure
from regrow.remedies import Extend, GiveUp, Grow, Remedy, Resume, RetryAfter


class OutOfMemory(Failure, MemoryError):
    """A worker reached its memory limit.

    Attributes:
        peak: the most that it was seen to use, in bytes; None if that is not known.
        limit: what it was allowed, in bytes; None if it was the host's, or if it is not known whose it was.
        growth: how fast it grew in the end, in bytes per second; None if that is not known.
        enforced_by: what stopped it, such as ``cgroup v2`` or ``RLIMIT_DATA``.
        ceiling: the largest limit that this host could give, in bytes; None if that is not known.
    """

    def __init__(
        self,
        path: str,
        *,
        peak: int | None,
        limit: int | None,
        growth: float | None = None,
        enforced_by: str = "",
        ceiling: int | None = None,
    ) -> None:
        reached = "" if limit is None else f": it reached its limit of {readable_size(limit)}"
        seen = "" if peak is None else f" (peak {readable_size(peak)})"
        super().__init__(f"{path or 'it'} ran out of memory{reached}{seen}")
        self.path = path
        self.peak = peak
        self.limit = limit
        self.growth = growth
        self.enforced_by = enforced_by
        self.ceiling = ceiling

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """More memory, if the host has it."""
        if self.limit is None:
            return (RetryAfter(1.0), GiveUp())
        more = 2 * max(self.limit, self.peak or 0)
        if self.ceiling is not None:
            more = min(more, self.ceiling)
        return (Grow(memory=more), GiveUp()) if more > self.limit else (GiveUp(),)


class TimedOut(Failure, TimeoutError):
    """A timeout (one attempt) or a deadline (all attempts together) passed.

    Attributes:
        limit: the time that this attempt had, in seconds.
        scope: which of the two it was. Of a deadline, earlier attempts may have used up a part.
    """

    def __init__(self, path: str, limit: float, scope: Literal["timeout", "deadline"]) -> None:
        how = f"within {limit:g} s" if scope == "timeout" else f"by its deadline, {limit:g} s after this attempt began"
        super().__init__(f"{path} did not finish {how}")
        self.path = path
        self.limit = limit
        self.scope = scope

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """More time for an attempt; a deadline is the author's last word."""
        return (Extend(2 * self.limit), RetryAfter(0.0), GiveUp()) if self.scope == "timeout" else (GiveUp(),)


class Preempted(Failure):
    """The place in which a worker ran was taken away: it got a SIGTERM, or its provider gave notice.

    Attributes:
        grace: how many seconds it had to save its work.
        source: who said so, such as ``SIGTERM`` or ``aws``.
    """

    def __init__(self, path: str, *, grace: float, source: str = "SIGTERM") -> None:
        super().__init__(f"{path} was preempted ({source}) with {grace:g} s of grace")
        self.path = path
        self.grace = grace
        self.source = source

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """It can go on elsewhere, or here, from its last checkpoint."""
        return (Resume(), GiveUp())


class WorkerLost(Failure):
    """A worker was killed from outside, or disappeared, and nothing says that it was its own fault.

    Attributes:
        signal: the name of the signal that it died of, if that is known.
    """

    def __init__(self, path: str, *, signal: str | None = None) -> None:
        how = f"was killed from outside with {signal}" if signal else "disappeared"
        super().__init__(f"{path}: its worker {how}")
        self.path = path
        self.signal = signal

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """Nothing speaks against beginning again."""
        return (Resume(), GiveUp())


class Crashed(Failure):
    """A worker died of a signal of its own making (a segmentation fault, say), or left with an exit code.

    Attributes:
        signal: the name of the signal, or None.
        code: the exit code, or None.
    """

    def __init__(self, path: str, *, signal: str | None = None, code: int | None = None) -> None:
        how = f"died of {signal}" if signal else f"left with exit code {code} and without a result"
        super().__init__(f"{path}: its worker {how}")
        self.path = path
        self.signal = signal
        self.code = code

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """A crash may be a matter of luck; code that has left will leave again."""
        return (RetryAfter(0.0), GiveUp()) if self.signal is not None else (GiveUp(),)


class DiskFull(Failure, OSError):
    """A worker filled its scratch folder up to its limit, or the disk was full.

    Attributes:
        used: bytes in its scratch folder, if that is known.
        limit: what it was allowed, in bytes; None if the disk itself was full.
        enforced_by: what stopped it.
    """

    def __init__(self, path: str, *, used: int | None, limit: int | None, enforced_by: str = "") -> None:
        what = (
            "the disk is full" if limit is None else f"its scratch folder reached its limit of {readable_size(limit)}"
        )
        super().__init__(f"{path or 'it'} ran out of disk: {what}")
        self.path = path
        self.used = used
        self.limit = limit
        self.enforced_by = enforced_by

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """More of the disk, if it was a limit of ours."""
        return (Grow(disk=2 * self.limit), GiveUp()) if self.limit is not None else (RetryAfter(60.0), GiveUp())


class ProcessLimit(Failure):
    """A worker started more processes than it may.

    Attributes:
        limit: how many it may have at a time.
        enforced_by: what stopped it.
    """

    def __init__(self, path: str, *, limit: int, enforced_by: str = "") -> None:
        super().__init__(f"{path} started more than {limit} processes")
        self.path = path
        self.limit = limit
        self.enforced_by = enforced_by

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """More of them, if that was meant."""
        return (Grow(processes=2 * self.limit), GiveUp())


class OutputLimit(Failure):
    """A worker printed more than it may.

    Attributes:
        limit: how many bytes it may print.
    """

    def __init__(self, path: str, *, limit: int) -> None:
        super().__init__(f"{path} printed more than {readable_size(limit)}")
        self.path = path
        self.limit = limit

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """More of it, if that was meant."""
        return (Grow(output=2 * self.limit), GiveUp())


class OutcomeUnknown(Failure):
    """A crash hid whether a once-only effect happened. Nothing of the run goes on until code or a human decides.

    Attributes:
        path: the call whose outcome is unknown.
        idempotency_key: the key under which the outside world may know the effect.
    """

    def __init__(self, path: str, idempotency_key: str) -> None:
        super().__init__(
            f"{path} was started with once=True and its outcome was never recorded; "
            f"look for idempotency key {idempotency_key} where its effect would be, then say with `regrow resolve`"
        )
        self.path = path
        self.idempotency_key = idempotency_key
