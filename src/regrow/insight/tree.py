"""A run's records as the tree of its calls: what was made inside what, each attempt, how long it took, how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from regrow.codec import ErrorRecord
from regrow.engine.state import RunState, enclosing, fold
from regrow.insight.preview import preview_inputs
from regrow.journal.records import (
    AttemptFailed,
    CallCancelled,
    CallFailed,
    CallKind,
    CallStarted,
    CallSucceeded,
    ChunkYielded,
    Diverged,
    DriverClosed,
    DriverOpened,
    OutcomeDecided,
    Record,
    RunEnded,
    RunRetried,
)

CallStatus = Literal["succeeded", "failed", "cancelled", "waiting", "begun", "unknown"]
"""`waiting`: failed, and to be tried again. `begun`: announced, or seen by what it made, and not finished. `unknown`:
begun for once only, and not finished: if no driver holds the run, nobody knows what became of it."""

AttemptOutcome = Literal["succeeded", "failed", "cancelled", "unfinished"]


class Attempt(msgspec.Struct, frozen=True):
    """One try of a call.

    Attributes:
        number: from 1.
        outcome: how it went.
        started: when, in seconds since the epoch; None where that was not recorded.
        ended: likewise.
        error: its own, if it failed.
        retry_at: when the next one was to follow.
    """

    number: int
    outcome: AttemptOutcome
    started: float | None
    ended: float | None = None
    error: ErrorRecord | None = None
    retry_at: float | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.started is None or self.ended is None else max(0.0, self.ended - self.started)


class CallNode(msgspec.Struct, frozen=True):
    """One call.

    Attributes:
        path: its identity in the run.
        name: what was called.
        place: its path from the call around it on, such as ``~work#2/train#1``.
        kind: task, step, stream, sleep or now.
        status: what became of it.
        attempts: each try, oldest first.
        children: the calls made while it ran.
        inputs: what it was given, for people; empty where that was not kept.
        chunks: how many values a stream has handed out.
        due: when a sleep ends.
        taken_back: how many of its failures were taken back when an outer call was tried again.
    """

    path: str
    name: str
    place: str
    kind: CallKind
    status: CallStatus
    attempts: tuple[Attempt, ...]
    children: tuple[CallNode, ...] = ()
    inputs: str = ""
    chunks: int = 0
    due: float | None = None
    taken_back: int = 0

    @property
    def started(self) -> float | None:
        """When its first attempt began."""
        return next((one.started for one in self.attempts if one.started is not None), None)

    @property
    def ended(self) -> float | None:
        """When its last attempt ended."""
        return self.attempts[-1].ended if self.attempts else None

    @property
    def seconds(self) -> float | None:
        """From the beginning of the first attempt to the end of the last."""
        return None if self.started is None or self.ended is None else max(0.0, self.ended - self.started)

    @property
    def error(self) -> ErrorRecord | None:
        """What its last attempt failed of, if that is how it stands."""
        last = self.attempts[-1] if self.attempts else None
        return last.error if last is not None and self.status in ("failed", "waiting") else None

    def walk(self) -> Iterator[CallNode]:
        """Give it, and every call inside it."""
        yield self
        for child in self.children:
            yield from child.walk()


class Drive(msgspec.Struct, frozen=True):
    """The time for which one driver had the run.

    Attributes:
        holder: who.
        opened: when it took the run up.
        last: when it wrote its last record.
        closed: why it let go of the unfinished run, if it did so in good order.
        replayed: how many calls it answered from the journal; None if it died before it could say.
        seconds_saved: how long these had taken when they ran.
    """

    holder: str
    opened: float
    last: float
    closed: str | None = None
    replayed: int | None = None
    seconds_saved: float = 0.0


class RunTree(msgspec.Struct, frozen=True):
    """What a run's records say.

    Attributes:
        run: its id; empty if there is no record yet.
        task: of which task it is a run.
        source: the file in which that is.
        calls: its outermost calls; one, unless the code was edited.
        drives: who had it, in order.
        divergences: where code and journal parted.
        retries: how often the run as a whole was tried again.
        created: when it began.
        last: when its last record was written.
    """

    run: str
    task: str
    source: str
    calls: tuple[CallNode, ...]
    drives: tuple[Drive, ...]
    divergences: tuple[Diverged, ...]
    retries: int
    created: float
    last: float

    def walk(self) -> Iterator[CallNode]:
        """Give every call, each before those inside it."""
        for call in self.calls:
            yield from call.walk()


class _Draft:
    """A call while the records are being read."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.kind: CallKind = "step"
        self.inputs = b""
        self.attempts: list[Attempt] = []
        self.begun: float | None = None
        self.begun_attempt = 1
        self.chunks = 0
        self.due: float | None = None
        self.once = False
        self.first_seen = 0.0
        self.children: list[_Draft] = []
        self.outcome: CallStatus = "begun"

    def close(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        self.begun = None


def tree_of(records: Sequence[Record]) -> RunTree:
    """Give the tree of a run's calls."""
    drafts: dict[str, _Draft] = {}
    roots: list[_Draft] = []
    for record in records:
        _read(record, drafts, roots)
    state = fold(records)
    created = state.created
    return RunTree(
        run=created.run if created else "",
        task=created.task if created else "",
        source=created.source if created else "",
        calls=tuple(_node(draft, state) for draft in sorted(roots, key=_beginning)),
        drives=_drives(records),
        divergences=tuple(state.divergences),
        retries=sum(isinstance(record.event, RunRetried) for record in records),
        created=records[0].time if records else 0.0,
        last=records[-1].time if records else 0.0,
    )


def _read(record: Record, drafts: dict[str, _Draft], roots: list[_Draft]) -> None:
    event = record.event
    if isinstance(event, OutcomeDecided):
        if (decided := drafts.get(event.path)) is not None:
            decided.once = False  # nothing is unknown about it any more
        return
    if not isinstance(event, CallStarted | ChunkYielded | AttemptFailed | CallSucceeded | CallFailed | CallCancelled):
        return
    draft = _draft(event.call.path, drafts, roots, record.time)
    draft.kind, draft.inputs = event.call.kind, event.call.inputs
    match event:
        case CallStarted():
            if draft.begun is not None and draft.begun_attempt == event.attempt:
                draft.close(Attempt(event.attempt, "unfinished", draft.begun))  # a crash cut it, and it began again
            draft.begun, draft.begun_attempt, draft.due, draft.once = record.time, event.attempt, event.due, event.once
            draft.outcome = "unknown" if event.once else "begun"
        case ChunkYielded():
            draft.chunks = event.index + 1
        case AttemptFailed():
            draft.close(Attempt(event.attempt, "failed", event.started, record.time, event.error, event.retry_at))
            draft.outcome = "waiting"
        case CallSucceeded():
            draft.close(Attempt(event.attempt, "succeeded", event.started, record.time))
            draft.outcome = "succeeded"
            draft.chunks = event.chunks if event.chunks is not None else draft.chunks
        case CallFailed():
            draft.close(Attempt(event.attempt, "failed", event.started, record.time, event.error))
            draft.outcome = "failed"
        case CallCancelled():
            draft.close(Attempt(event.attempt, "cancelled", event.started, record.time))
            draft.outcome = "cancelled"


def _draft(path: str, drafts: dict[str, _Draft], roots: list[_Draft], seen: float) -> _Draft:
    draft = drafts.get(path)
    if draft is None:
        draft = drafts[path] = _Draft(path)
        draft.first_seen = seen
        outer = enclosing(path)
        # A step leaves no mark before its end, but the calls inside it may.
        (roots if not outer else _draft(outer, drafts, roots, seen).children).append(draft)
    return draft


def _beginning(draft: _Draft) -> float:
    if draft.attempts and draft.attempts[0].started is not None:
        return draft.attempts[0].started
    return draft.first_seen


def _node(draft: _Draft, state: RunState) -> CallNode:
    attempts = list(draft.attempts)
    status = draft.outcome
    known = state.calls.get(draft.path)
    taken_back = 0
    if known is not None and known.outcome is None and status in ("failed", "cancelled"):
        taken_back, status = sum(one.outcome == "failed" for one in attempts), "waiting"
    if draft.begun is not None:
        attempts.append(Attempt(draft.begun_attempt, "unfinished", draft.begun))
        if draft.outcome == "unknown" and not draft.once:
            status = "begun"
    outer = enclosing(draft.path)
    return CallNode(
        path=draft.path,
        name=draft.path.rpartition("/")[2].partition("#")[0],
        place=draft.path[len(outer) + 1 :] if outer else draft.path,
        kind=draft.kind,
        status=status,
        attempts=tuple(attempts),
        children=tuple(_node(child, state) for child in sorted(draft.children, key=_beginning)),
        inputs=preview_inputs(draft.inputs, width=200),
        chunks=draft.chunks,
        due=draft.due,
        taken_back=taken_back,
    )


def _drives(records: Sequence[Record]) -> tuple[Drive, ...]:
    drives: list[Drive] = []
    for record in records:
        if isinstance(record.event, DriverOpened):
            drives.append(Drive(record.event.holder, record.time, record.time))
        elif drives:
            event = record.event
            closed = event.reason if isinstance(event, DriverClosed) else None
            drive = msgspec.structs.replace(drives[-1], last=record.time, closed=closed)
            if isinstance(event, DriverClosed | RunEnded):
                drive = msgspec.structs.replace(drive, replayed=event.replayed, seconds_saved=event.seconds_saved)
            drives[-1] = drive
    return tuple(drives)
