"""When to look at a worker's memory next, whether it has gone too far, and whom to end when the host runs short.

Decisions only: the time, the figures and the acting are the caller's. A worker is looked at seldom while nothing can
happen, and fifty times a second when it may reach its limit before the next look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

QUICK = 0.02
"""Seconds between looks at a worker that is near its limit, or runs towards it. At 500 MB/s that is 10 MB."""
CALM = 0.25
"""Seconds between looks at one that is not."""
CALM_GUARD = 0.1
"""Seconds between looks at what the host or container has left, while no worker could take it all in between."""
NEAR = 0.7
"""From which share of the limit a worker is looked at quickly, however still it holds."""
SOON = 0.5
"""Seconds: a worker that would reach its limit in less, at its present rate, is looked at quickly."""
TOP_SPEED = 2 * 2**30
"""Bytes a second that a worker may suddenly start to take. One thread that writes to fresh memory took 1 to 3 GB/s when
we measured it. A calm worker is looked at again before it could reach its limit at this speed."""
_RATE_OVER = 0.25
"""Seconds over which growth is measured, so that one large allocation among many looks is not taken for a trend."""
_KEPT = 64
_PENDING = 64
_AT_ONCE = 8
_NOTABLE_SHARE = 0.05
_NOTABLE = 16 * 2**20
RESERVE = 64 * 2**20
RESERVE_SHARE = 0.03
"""What of the host or container is kept free: the larger of the two. Less, and the kernel may choose a victim first."""

Sample = tuple[float, int]
"""A moment, in seconds of the caller's clock, and the bytes in use at it."""


class Watch:
    """What is known of one worker's memory, from looks at it.

    Attributes:
        limit: bytes that it may use; None for no limit. May be set at any time, when a worker grows in place.
        peak: the most bytes seen so far. The true peak lies between two looks.
        growth: bytes a second by the last looks, negative if it shrinks; None until there are two.
    """

    def __init__(self, limit: int | None, *, kept: int = _KEPT) -> None:
        """Watch a worker under `limit`, remembering the last `kept` samples."""
        self.limit = limit
        self.peak = 0
        self.growth: float | None = None
        self._last: deque[Sample] = deque(maxlen=kept)
        self._recorded = 0
        self._pending: list[Sample] = []

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The last samples, oldest first: the evidence when the worker dies."""
        return tuple(self._last)

    @property
    def growth_to_peak(self) -> float | None:
        """The growth before the highest of the last looks; after it the system may have begun to take memory back."""
        looks = list(self._last)
        highest = max(range(len(looks)), key=lambda at: looks[at][1], default=None)
        return None if highest is None else _rate(looks[: highest + 1])

    def see(self, now: float, memory: int) -> None:
        """Take in one look.

        Args:
            now: seconds, by a clock that does not go back.
            memory: bytes in use.
        """
        self._last.append((now, memory))
        self.peak = max(self.peak, memory)
        self.growth = _rate(self._last)
        if abs(memory - self._recorded) > self._notable():
            self._recorded = memory
            self._pending.append((now, memory))
            if len(self._pending) > _PENDING:
                self._pending = list(_thinned(self._pending, _PENDING // 2))

    def interval(self) -> float:
        """Give the seconds until the next look."""
        if self.limit is None:
            return CALM
        memory = self._memory()
        room = self.limit - memory
        runs_towards_it = self.growth is not None and self.growth > 0 and room < self.growth * SOON
        if runs_towards_it or memory > self.limit * NEAR:
            return QUICK
        return min(CALM, max(QUICK, room / TOP_SPEED))

    def is_over(self) -> bool:
        """Tell whether the last look found more than the limit."""
        return self.limit is not None and self._memory() > self.limit

    def new_samples(self) -> tuple[Sample, ...]:
        """Give the samples worth a record since this was last asked, and forget them.

        A sample is worth one if it differs from the one before by more than 5 % of the limit, or 16 MiB without a
        limit; a worker that stays below that from the beginning writes nothing. At most 8 are given: the first, the
        last, the highest, and an even choice among the rest.
        """
        given, self._pending = _thinned(self._pending, _AT_ONCE), []
        return given

    def _memory(self) -> int:
        return self._last[-1][1] if self._last else 0

    def _notable(self) -> float:
        return _NOTABLE if self.limit is None else self.limit * _NOTABLE_SHARE


class HostGuard:
    """Chooses which worker goes when the host or container itself runs short.

    A container that reaches its limit may be ended as a whole, with the driver in it: Kubernetes asks for that since
    1.28, with ``memory.oom.group``. One worker less is the smaller loss, and it is one that can be healed.
    """

    def __init__(self) -> None:
        self._leaving: str | None = None

    def interval(self, free: int, total: int) -> float:
        """Give the seconds until the next look at what is left; the arguments are those of `victim`."""
        return CALM_GUARD if free - _reserve(total) > CALM_GUARD * TOP_SPEED else QUICK

    def victim(self, free: int, total: int, usage: Mapping[str, tuple[int, int | None]]) -> str | None:
        """Name the worker that must go now, or None if none must.

        Among those that alone would free the whole reserve, it is the largest without a limit, or else the one that has
        used most of its own. If none is that large, it is the largest. A worker that was named is named again, and no
        other, until it is no longer in `usage`: the memory of one that is being killed is not free yet.

        Args:
            free: bytes that are left; see `free_memory`.
            total: bytes that the host or container has.
            usage: the bytes that each worker uses, and its limit or None, by its name.
        """
        reserve = _reserve(total)
        if self._leaving not in usage:
            self._leaving = None
        if free >= reserve:
            return None
        if self._leaving is None:
            self._leaving = _choose(usage, reserve)
        return self._leaving


def free_memory(available: int, container_limit: int | None, container_usage: int) -> int:
    """Give the bytes that workers can still take: of the machine, and of the container if it has a limit.

    Args:
        available: bytes by the machine's own estimate.
        container_limit: bytes that the container may use; None for no limit.
        container_usage: bytes that it uses, without the cached files that the kernel would drop first
            (``inactive_file``): they fill every container in the end, and kill none.
    """
    return available if container_limit is None else min(available, max(0, container_limit - container_usage))


def _reserve(total: int) -> int:
    return max(RESERVE, int(total * RESERVE_SHARE))


def _choose(usage: Mapping[str, tuple[int, int | None]], reserve: int) -> str | None:
    large = {name: (used, limit) for name, (used, limit) in usage.items() if used >= reserve}
    if not large:
        return max((name for name in usage if usage[name][0] > 0), key=lambda name: usage[name][0], default=None)
    unlimited = [name for name, (_, limit) in large.items() if limit is None]
    if unlimited:
        return max(unlimited, key=lambda name: large[name][0])
    return max(large, key=lambda name: large[name][0] / (large[name][1] or 1))


def _rate(samples: Sequence[Sample]) -> float | None:
    """Give the growth over the last looks: as many as lie in the window, but two at least. None before there are."""
    now, memory = samples[-1]
    found: Sample | None = None
    for sample in reversed(samples):
        if found is not None and now - sample[0] > _RATE_OVER:
            break
        if sample[0] < now:
            found = sample
    return None if found is None else (memory - found[1]) / (now - found[0])


def _thinned(samples: Sequence[Sample], at_most: int) -> tuple[Sample, ...]:
    if len(samples) <= at_most:
        return tuple(samples)
    last = len(samples) - 1
    highest = max(range(len(samples)), key=lambda at: samples[at][1])
    chosen = {round(last * step / (at_most - 2)) for step in range(at_most - 1)} | {highest}
    return tuple(samples[at] for at in sorted(chosen))
