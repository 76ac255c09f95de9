"""The agents that are timed in workers.

NumPy and pandas are loaded here because a task that is worth a worker commonly loads them: a worker is forked from a
process that has, and resuming means loading them again.

A worker that dies cannot say when. So these write a `Moment` into a file for each megabyte that they take. The file is
there before them, written in full, so that its pages count to whoever made it: dirty pages of a worker's own would have
to be written back when it reaches its limit, and that would be timed instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import struct
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np  # noqa: F401 - see above
import pandas as pd  # noqa: F401 - see above

import regrow

MEGABYTE = 1_000_000
LIMIT = 64_000_000
STEPS_BEFORE_THE_KILL = 100
_MOMENT = struct.Struct("<dqq")
_MOST_MOMENTS = 2000


class Moment(NamedTuple):
    """Where a worker stood: the time, the attempt, and the most memory that its process had had until then."""

    time: float
    attempt: int
    peak: int


def new_trace(path: Path) -> str:
    """Make the file that workers write their moments into."""
    path.write_bytes(bytes(_MOMENT.size * _MOST_MOMENTS))
    return str(path)


def moments(trace: str) -> list[Moment]:
    """Read what workers have written into a file, the first of it first."""
    every = [Moment(*one) for one in _MOMENT.iter_unpack(Path(trace).read_bytes())]
    return [one for one in every if one.time]


class _Trace:
    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY)
        self._attempt = regrow.current().attempt
        self._next = len(moments(path))

    def note(self) -> None:
        os.pwrite(self._file, _MOMENT.pack(time.time(), self._attempt, _peak()), self._next * _MOMENT.size)
        self._next += 1


def _peak() -> int:
    with contextlib.suppress(OSError):
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii"))
        return int(found[1]) * 1024 if found else 0
    return 0


def _take(amount: int, trace: _Trace, *, rate: float | None = None) -> list[bytes]:
    """Take so many bytes and touch them, a megabyte at a time, at so many bytes a second if told."""
    begun = time.perf_counter()
    taken = []
    for number in range(1, amount // MEGABYTE + 1):
        taken.append(b"\1" * MEGABYTE)
        trace.note()
        if rate is not None:
            time.sleep(max(0.0, begun + number * MEGABYTE / rate - time.perf_counter()))
    return taken


# -- latency -----------------------------------------------------------------------------------------------------------


@regrow.task(memory=LIMIT, isolate=True)
def stamp() -> float:
    """Say when it runs."""
    return time.time()


@regrow.task
async def one_by_one(count: int) -> list[tuple[float, float]]:
    """Give, for each of so many isolated calls, the seconds until it ran and until its result was back."""
    found = []
    for _ in range(count):
        called = time.time()
        ran = await stamp.aio()
        found.append((ran - called, time.time() - called))
    return found


@regrow.task
async def two_at_a_time(count: int) -> int:
    """Make so many isolated calls on two strands."""

    async def strand() -> None:
        for _ in range(count // 2):
            await stamp.aio()

    await asyncio.gather(strand(), strand())
    return count


# -- out of memory -----------------------------------------------------------------------------------------------------


def _twice_as_much(_failure: regrow.Failure) -> regrow.Remedy:
    return regrow.Grow(memory=2 * LIMIT)


# `on_failure=`: a worker that its own `on_oom=` could help is held where the host can do that, and not killed.
@regrow.task(memory=LIMIT, on_failure=_twice_as_much, right_size=False)
def dies_once(trace: str) -> None:
    """Run out of memory in the first attempt."""
    notes = _Trace(trace)
    notes.note()
    if regrow.current().attempt == 1:
        _take(8 * LIMIT, notes)


@regrow.task(memory=LIMIT, on_oom=regrow.grow(2), right_size=False)
def grows(trace: str) -> None:
    """Take half as much again as it has, and be given it."""
    notes = _Trace(trace)
    notes.note()
    _take(LIMIT * 3 // 2, notes)


@regrow.task(memory=4 * LIMIT, isolate=True, right_size=False)
def runs_over(trace: str, rate: float) -> None:
    """Go past its limit at so many bytes a second."""
    notes = _Trace(trace)
    notes.note()
    _take(8 * LIMIT, notes, rate=rate)


@regrow.task
async def overshooting(traces: list[str], rate: float) -> list[str]:
    """Give what the ends of such workers were put down to."""
    ends = []
    for trace in traces:
        try:
            await runs_over.aio(trace, rate)
        except regrow.Failure as failure:
            ends.append(type(failure).__name__)
    return ends


# -- being watched -----------------------------------------------------------------------------------------------------


@regrow.task(memory=4 * LIMIT, isolate=True)
def is_calm(trace: str, seconds: float) -> None:
    """Use little, and wait."""
    notes = _Trace(trace)
    taken = _take(10 * MEGABYTE, notes)
    time.sleep(seconds)
    del taken


@regrow.task(memory=4 * LIMIT, isolate=True)
def creeps_up(trace: str, seconds: float) -> None:
    """Use most of what it may, and slowly more."""
    notes = _Trace(trace)
    taken = _take(3 * LIMIT, notes)
    more = LIMIT // 2
    taken += _take(more, notes, rate=more / seconds)
    del taken


@regrow.task
async def watching(traces: tuple[str, str], times: int) -> tuple[list[float], list[float]]:
    """Give the shares of a processor that this process takes while it watches two workers, and while it does nothing.

    Args:
        traces: for the workers.
        times: how often to look, for half a second each.
    """
    settling = 0.5
    whole = times * 0.5 + 2 * settling
    calm, creeping = traces
    workers = asyncio.gather(is_calm.aio(calm, whole), creeps_up.aio(creeping, whole))
    await asyncio.sleep(settling)
    busy = [await _processor_share(0.5) for _ in range(times)]
    await workers
    return busy, [await _processor_share(0.5) for _ in range(times)]


async def _processor_share(seconds: float) -> float:
    begun, used = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    return (time.process_time() - used) / (time.perf_counter() - begun)


# -- a driver that is killed -------------------------------------------------------------------------------------------


@regrow.step
async def add(number: int) -> int:
    """Do next to nothing."""
    return number + 1


@regrow.step
def first_after(folder: str) -> float:
    """Say that the driver can be killed, and wait for that. When it was, say when this runs."""
    ready = Path(folder, "ready")
    if not ready.exists():
        ready.touch()
        time.sleep(60)
    return time.time()


@regrow.task
async def killed(folder: str) -> tuple[float, float]:
    """Give when the first new step ran, and when the first new worker did."""
    number = 0
    for _ in range(STEPS_BEFORE_THE_KILL):
        number = await add(number)
    await stamp.aio()
    return first_after(folder), await stamp.aio()
