"""What an author says beforehand about failures: how to grow, how to resume, and how much healing may cost."""

from __future__ import annotations

import math

import msgspec

from regrow.errors import UsageError
from regrow.values.durations import Duration, seconds
from regrow.values.sizes import Size, size

_STEP = 2**20


class GrowPolicy(msgspec.Struct, frozen=True):
    """More memory after each out-of-memory; see `grow`.

    Attributes:
        factor: by how much the limit grows each time.
        max: the largest limit, in bytes; None for as much as the host has.
    """

    factor: float = 2.0
    max: int | None = None

    def next(self, limit: int, *, needed: int, ceiling: int) -> int | None:
        """Give the next limit in bytes, or None at the end of the ladder.

        Args:
            limit: the one that was reached.
            needed: what is known to be needed; a rung that is certainly too low is left out.
            ceiling: the most that the host could ever give.
        """
        top = min(self.max if self.max is not None else ceiling, ceiling)
        grown = limit * self.factor
        while grown < needed and grown < top:
            grown *= self.factor
        rounded = min(math.ceil(grown / _STEP) * _STEP, top)
        return rounded if rounded > limit and rounded >= min(needed, top) else None


def grow(factor: float = 2.0, *, max: Size | None = None) -> GrowPolicy:  # noqa: A002 - users write max=
    """Give a task more memory each time it runs out: for ``on_oom=``.

    Where the host can hold a worker at its limit, the limit is raised under it and nothing is lost; elsewhere it is
    started again with more.

    Args:
        factor: by how much the limit grows each time, more than 1.
        max: the largest limit; as much as the host has when None.

    Raises:
        UsageError: an argument is out of range.
    """
    given: object = factor
    if not isinstance(given, int | float) or isinstance(given, bool) or not 1 < given < float("inf"):
        raise UsageError(f"regrow.grow(factor=…) is a number above 1; it is {factor!r}")
    return GrowPolicy(float(given), None if max is None else size(max, what="regrow.grow(max=…)"))


class ResumePolicy(msgspec.Struct, frozen=True):
    """Begin again after a preemption; see `resume`."""

    times: int = 20


def resume(times: int = 20) -> ResumePolicy:
    """Begin again, from the last checkpoint, when a worker was preempted or lost: for ``on_preempted=``.

    This is what happens without being asked for; say it to change the number, and ``resume(0)`` to be told at once.

    Args:
        times: how often for one call. Not counted against its ``retries``.

    Raises:
        UsageError: the number is no whole one, or negative.
    """
    given: object = times
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise UsageError(f"regrow.resume(times=…) is a whole number, 0 or more; it is {times!r}")
    return ResumePolicy(times)


class Bounds(msgspec.Struct, frozen=True):
    """A `Budget` in plain numbers: attempts, bytes and seconds. None is no bound."""

    attempts: int | None = None
    memory: int | None = None
    wall_time: float | None = None


class Budget(msgspec.Struct, frozen=True):
    """What healing may cost at most. Once it is spent, the last failure is raised, with the history of all attempts.

    On a task it bounds each of its calls; on a run, all of the run's calls together.

    Attributes:
        attempts: how many attempts there may be, whatever they fail of. On a run: how many failed attempts may be
            followed by another one.
        memory: the largest memory limit that growing may lead to; any `Size`, kept as bytes.
        wall_time: how long after the first attempt began (on a run: after the run began) another one may still begin;
            any `Duration`, kept as seconds.

    Raises:
        UsageError: a part of it is out of range.
    """

    attempts: int | None = None
    memory: Size | None = None
    wall_time: Duration | None = None

    def __post_init__(self) -> None:
        """Read what was written, and refuse what could not be meant."""
        count: object = self.attempts
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
            raise UsageError(f"Budget(attempts=…) is a whole number, 1 or more; it is {count!r}")
        if self.memory is not None:
            msgspec.structs.force_setattr(self, "memory", size(self.memory, what="Budget(memory=…)"))
        if self.wall_time is not None:
            msgspec.structs.force_setattr(self, "wall_time", seconds(self.wall_time, what="Budget(wall_time=…)"))

    @property
    def bounds(self) -> Bounds:
        """The same in plain numbers."""
        return Bounds(
            self.attempts,
            None if self.memory is None else size(self.memory),
            None if self.wall_time is None else seconds(self.wall_time),
        )
