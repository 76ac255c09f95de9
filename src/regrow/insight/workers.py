"""A worker process as the journal saw it: what it was allowed, what it used, and how it ended."""

from __future__ import annotations

import msgspec

from regrow.journal.records import WorkerEnded, WorkerGrown, WorkerSampled, WorkerStarted
from regrow.values.resources import Resources

WorkerEvent = WorkerStarted | WorkerSampled | WorkerGrown | WorkerEnded
"""What is recorded of a worker."""


class Growth(msgspec.Struct, frozen=True):
    """A memory limit that was raised under a worker, which went on: nothing was lost.

    Attributes:
        time: when, in seconds since the epoch.
        before: the limit that it had reached, in bytes.
        after: the one with which it went on.
        held: how long it stood still, in seconds.
        enforced_by: what had held it.
    """

    time: float
    before: int
    after: int
    held: float
    enforced_by: str


class Worker(msgspec.Struct, frozen=True):
    """The process in which one attempt ran.

    Attributes:
        pid: of the worker, on `host`.
        host: the machine's name.
        started: when it began, in seconds since the epoch.
        resources: what it was given at first.
        enforced_by: what held it to that, the strongest first.
        size_from: where its memory limit came from, if not from the task's own `memory=`.
        kills: how often the machine's OOM killer had struck when it began; None if that is not known.
        boot: names the machine's uptime at that time.
        queued: how many seconds it had waited for a place.
        grown: each time that its memory limit was raised under it.
        samples: how much memory it used: pairs of a moment and bytes.
        peak: the most memory that it is known to have used, in bytes.
        limit: its memory limit in the end, in bytes; None for no limit.
        ended: when it was gone; None while that is not recorded.
        how: how it ended, in a few words; empty while that is not recorded.
        cpu_seconds: processor time of the worker and its children.
        signal: the number of the signal that it died of, if it did.
        code: the exit code with which it left, if it did.
    """

    pid: int
    host: str
    started: float
    resources: Resources
    enforced_by: tuple[str, ...] = ()
    size_from: str = ""
    kills: int | None = None
    boot: str = ""
    queued: float = 0.0
    grown: tuple[Growth, ...] = ()
    samples: tuple[tuple[float, int], ...] = ()
    peak: int | None = None
    limit: int | None = None
    ended: float | None = None
    how: str = ""
    cpu_seconds: float = 0.0
    signal: int | None = None
    code: int | None = None

    @property
    def limits(self) -> tuple[tuple[float, int | None], ...]:
        """Its memory limit over time: pairs of a moment and the bytes that held from then on."""
        return ((self.started, self.resources.memory), *((one.time, one.after) for one in self.grown))


class WorkerNotes:
    """A worker while the records about it are being read.

    A sample may be recorded before the beginning, which is recorded once it is known what holds the worker to its
    limits. In lists, because a long life has many samples.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self._started: tuple[float, WorkerStarted] | None = None
        self._grown: list[Growth] = []
        self._samples: list[tuple[float, int]] = []
        self._ended: tuple[float, WorkerEnded] | None = None

    def note(self, event: WorkerEvent, time: float) -> None:
        """Take one more record into account, which was written at `time`."""
        match event:
            case WorkerStarted():
                self._started = (time, event)
            case WorkerSampled():
                self._samples.extend(event.samples)
            case WorkerGrown():
                self._grown.append(Growth(time, event.before, event.after, event.held, event.enforced_by))
            case WorkerEnded():
                self._ended = (time, event)

    def worker(self) -> Worker | None:
        """Give what is known of it; None if it was gone before it could begin."""
        if self._started is None:
            return None
        time, first = self._started
        ended, last = self._ended if self._ended is not None else (None, None)
        limit = self._grown[-1].after if self._grown else first.resources.memory
        seen = max((amount for _, amount in self._samples), default=None)
        return Worker(
            pid=first.pid,
            host=first.host,
            started=time,
            resources=first.resources,
            enforced_by=first.enforced_by,
            size_from=first.size_from,
            kills=first.kills,
            boot=first.boot,
            queued=first.queued,
            grown=tuple(self._grown),
            samples=tuple(self._samples),
            peak=last.peak if last is not None and last.peak is not None else seen,
            limit=last.limit if last is not None and last.limit is not None else limit,
            ended=ended,
            how=last.how if last is not None else "",
            cpu_seconds=last.cpu_seconds if last is not None else 0.0,
            signal=last.signal if last is not None else None,
            code=last.code if last is not None else None,
        )
