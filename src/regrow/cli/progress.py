"""What a driver is doing, as it does it: collected from its observer's events, shown by `live` or as plain lines."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from regrow.codec import ErrorRecord
from regrow.engine.news import Replayed
from regrow.engine.state import enclosing
from regrow.insight.asked import asked_node
from regrow.insight.established import failure_name
from regrow.insight.healed import growth_words, remedy_words
from regrow.insight.preview import preview_inputs
from regrow.journal.records import (
    Asked,
    AttemptFailed,
    CacheHit,
    Call,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    ChunkYielded,
    Diverged,
    OfWorker,
    Record,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
    WorkerStarted,
)

_OfWorker = OfWorker | CheckpointSaved


class Working:
    """A call that is under way."""

    __slots__ = (
        "announced",
        "attempt",
        "began",
        "checkpoint",
        "chunks",
        "due",
        "error",
        "groups",
        "healed",
        "inputs",
        "kind",
        "limit",
        "memory",
        "name",
        "path",
        "retry_at",
    )

    def __init__(self, path: str) -> None:
        """Begin to watch a call."""
        self.path = path
        self.name = _name(path)
        self.kind = "step"
        self.began = time.time()
        self.attempt = 1
        self.inputs = ""
        self.chunks = 0
        self.due: float | None = None
        self.retry_at: float | None = None
        self.error: ErrorRecord | None = None
        self.announced = False
        self.memory: int | None = None
        """What its worker was last seen to use, in bytes."""
        self.limit: int | None = None
        """What its worker may use, in bytes."""
        self.checkpoint = 0
        self.healed = ""
        """What was last done about a failure of it, in words."""
        self.groups: dict[str, Group] = {}


class Group:
    """The calls of one name inside one call: those under way one by one, the others only counted.

    A run may make a hundred thousand calls; what is kept of one that has finished is its place in these numbers.
    """

    __slots__ = (
        "cached", "cancelled", "done", "failed", "last_error", "name", "replayed", "retried", "seconds", "working",
    )  # fmt: skip

    def __init__(self, name: str) -> None:
        """Begin to count the calls of a name."""
        self.name = name
        self.done = 0
        self.failed = 0
        self.cancelled = 0
        self.replayed = 0
        self.cached = 0
        self.retried = 0
        self.seconds = 0.0
        self.last_error: ErrorRecord | None = None
        self.working: dict[str, Working] = {}


class Totals:
    """Of a whole run, in this process."""

    __slots__ = ("cached", "cancelled", "done", "failed", "replayed", "retried", "saved")

    def __init__(self) -> None:
        """Begin at nothing."""
        self.done = 0
        self.failed = 0
        self.cancelled = 0
        self.replayed = 0
        self.cached = 0
        self.retried = 0
        self.saved = 0.0


class Progress:
    """The calls of a run that are under way, and how many were.

    Attributes:
        lock: held while it changes; hold it while reading.
        root: stands around the outermost call.
        totals: numbers over all calls.
        diverged: where code and journal have parted.
    """

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.lock = threading.Lock()
        self.root = Working("")
        self.totals = Totals()
        self.diverged: list[Diverged] = []
        self._working: dict[str, Working] = {"": self.root}

    def __call__(self, news: Record | Replayed) -> None:
        """Take something into account. This is the driver's observer."""
        with self.lock:
            if isinstance(news, Replayed):
                group = self._group(news.call.path)
                group.replayed += 1
                self.totals.replayed += 1
                self.totals.saved += news.seconds
                self._end(news.call.path, group)
                return
            event = news.event
            match event:
                case CallStarted():
                    call = self._begun(event.call)
                    call.began, call.attempt, call.due, call.retry_at = news.time, event.attempt, event.due, None
                case Asked():
                    call = self._begun(event.call)
                    call.began, call.healed = news.time, asked_node(event).describe()
                case ChunkYielded():
                    self._begun(event.call).chunks = event.index + 1
                case WorkerStarted() | WorkerSampled() | WorkerGrown() | WorkerEnded() | CheckpointSaved():
                    self._of_worker(event)
                case AttemptFailed():
                    self._failed_attempt(event)
                case CallSucceeded(hit=CacheHit() as hit):
                    group = self._group(event.call.path)
                    group.cached += 1
                    self.totals.cached += 1
                    self.totals.saved += hit.seconds
                    self._end(event.call.path, group)
                case CallSucceeded():
                    group = self._group(event.call.path)
                    group.done += 1
                    group.seconds += max(0.0, news.time - event.started)
                    self.totals.done += 1
                    self._end(event.call.path, group)
                case CallFailed():
                    group = self._group(event.call.path)
                    group.failed += 1
                    group.last_error = event.error
                    self.totals.failed += 1
                    self._end(event.call.path, group)
                case CallCancelled():
                    group = self._group(event.call.path)
                    group.cancelled += 1
                    self.totals.cancelled += 1
                    self._end(event.call.path, group)
                case Diverged():
                    self.diverged.append(event)
                case _:
                    pass

    def _failed_attempt(self, event: AttemptFailed) -> None:
        call = self._begun(event.call)
        call.attempt, call.error, call.retry_at = event.attempt + 1, event.error, event.retry_at
        call.healed = "" if event.remedy is None else remedy_words(event.remedy, failure_name(event.error))
        call.groups.clear()
        for path in [path for path in self._working if path.startswith(f"{event.call.path}/")]:
            del self._working[path]
        self._group(event.call.path).retried += 1
        self.totals.retried += 1

    def _of_worker(self, event: _OfWorker) -> None:
        call = self._working.get(event.path)
        if call is None:  # it has ended; its worker was seen off after that
            return
        match event:
            case WorkerStarted():
                call.memory, call.limit = None, event.resources.memory
            case WorkerSampled():
                call.memory = event.samples[-1][1] if event.samples else call.memory
            case WorkerGrown():
                call.limit, call.healed = event.after, growth_words(event)
            case WorkerEnded():
                call.memory = call.limit = None
            case CheckpointSaved():
                call.checkpoint = event.number

    def _begun(self, call: Call) -> Working:
        working = self._watch(call.path)
        if not working.announced:
            working.announced = True
            working.kind = call.kind
            working.inputs = preview_inputs(call.inputs, width=120)
        return working

    def _watch(self, path: str) -> Working:
        working = self._working.get(path)
        if working is None:
            working = self._working[path] = Working(path)
            self._group(path).working[path] = working
        return working

    def _group(self, path: str) -> Group:
        groups = self._watch(enclosing(path)).groups
        name = _name(path)
        group = groups.get(name)
        if group is None:
            group = groups[name] = Group(name)
        return group

    def _end(self, path: str, group: Group) -> None:
        working = group.working.pop(path, None)
        if working is not None:
            for inner in _paths(working):
                self._working.pop(inner, None)


def _paths(working: Working) -> Iterator[str]:
    yield working.path
    for group in working.groups.values():
        for inner in group.working.values():
            yield from _paths(inner)


def _name(path: str) -> str:
    return path.rpartition("/")[2].partition("#")[0]
