"""How long to wait before the next attempt."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import msgspec

from regrow.errors import UsageError
from regrow.values.durations import Duration, seconds

_OVERFLOWING = 500
"""Attempts past which growing in floats could overflow; by then the cap has long been reached."""


class Backoff(msgspec.Struct, frozen=True):
    """Waits that grow from attempt to attempt: ``base * factor**(attempt - 1)``, at most `cap`, give or take `jitter`.

    Jitter is drawn from the call's identity and not from a clock or a dice, so that a resumed run waits for the very
    moment that it had announced; calls that failed together are spread all the same.

    Attributes:
        base: the wait after the first attempt; any `Duration`, kept as seconds.
        factor: by how much it grows each time, 1 or more.
        cap: its upper bound; any `Duration`, kept as seconds. What a server asks for through ``retry_after`` may
            exceed it.
        jitter: the share of the wait that is left to chance, 0 to 1; only ever added, never taken away.

    Raises:
        UsageError: a part of it is out of range.
    """

    base: Duration = 1.0
    factor: float = 2.0
    cap: Duration = 60.0
    jitter: float = 0.1

    def __post_init__(self) -> None:
        """Read the durations, and refuse what could not be meant."""
        if self.factor < 1:
            raise UsageError(f"Backoff(factor=…) must be 1 or more, so that waits do not shrink; it is {self.factor!r}")
        if not 0 <= self.jitter <= 1:
            raise UsageError(f"Backoff(jitter=…) is a share between 0 and 1; it is {self.jitter!r}")
        msgspec.structs.force_setattr(self, "base", seconds(self.base, what="Backoff(base=…)"))
        msgspec.structs.force_setattr(self, "cap", seconds(self.cap, what="Backoff(cap=…)"))

    def wait(self, attempt: int, identity: str, asked: float | None = None) -> float:
        """Give the wait in seconds after a failed attempt.

        Args:
            attempt: which attempt failed, from 1.
            identity: what the jitter is drawn from.
            asked: the least that the failed party itself asked for, in seconds.
        """
        base, cap = seconds(self.base), seconds(self.cap)
        grown = cap if attempt > _OVERFLOWING else min(cap, base * self.factor ** (attempt - 1))
        draw = int.from_bytes(hashlib.sha256(f"{identity}:{attempt}".encode()).digest()[:4], "big") / 2**32
        return max(grown, asked or 0.0) * (1 + self.jitter * draw)


def asked_wait(error: BaseException) -> float | None:
    """Read the ``retry_after`` that an error may carry: seconds as a number or text, or a timedelta.

    Anything else, dates included, is taken as not said: a wait must never come out of a misread value.
    """
    said = getattr(error, "retry_after", None)
    if isinstance(said, timedelta):
        said = said.total_seconds()
    if isinstance(said, str):
        try:
            said = float(said)
        except ValueError:
            return None
    if isinstance(said, int | float) and not isinstance(said, bool) and 0 <= said < float("inf"):
        return float(said)
    return None
