"""A run's records as the tree of its calls: what was made inside what, each attempt, how long it took, how it ended."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from regrow.codec import ErrorRecord
from regrow.engine.state import RunState, enclosing, fold
from regrow.insight.asked import AskedNode, asked_node, with_decision
from regrow.insight.drives import Drive, drives_of
from regrow.insight.preview import preview_inputs
from regrow.insight.workers import Worker, WorkerNotes
from regrow.journal.records import (
    Answered,
    Asked,
    AttemptFailed,
    CacheHit,
    CallCancelled,
    CallFailed,
    CallKind,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    ChunkYielded,
    Diverged,
    DriverOpened,
    OfCall,
    OfWorker,
    OutcomeDecided,
    Record,
    RecordedRemedy,
    RunForked,
    RunRetried,
    Spent,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
    WorkerStarted,
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
        remedy: what was to be different in the next one; None for nothing.
        chosen_by: which rung of the ladder chose that there is a next one; empty if there is none.
        counts: whether its failure took one off the call's retries.
        worker: the process in which it ran, if it had one of its own.
        checkpoint: the number of the last checkpoint that the call had saved when it ended; 0 for none.
    """

    number: int
    outcome: AttemptOutcome
    started: float | None
    ended: float | None = None
    error: ErrorRecord | None = None
    retry_at: float | None = None
    remedy: RecordedRemedy | None = None
    chosen_by: str = ""
    counts: bool = True
    worker: Worker | None = None
    checkpoint: int = 0

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
        kind: task, step, stream, sleep, now, ask or signal.
        status: what became of it.
        attempts: each try, oldest first.
        children: the calls made while it ran.
        inputs: what it was given, for people; empty where that was not kept.
        chunks: how many values a stream has handed out.
        due: when a sleep ends.
        taken_back: how many of its failures were taken back when an outer call was tried again.
        checkpoints: the number of the last checkpoint that it has saved.
        hit: where its outcome was computed, if it was found in the shared cache.
        asked: the question that it has put to people.
        cost: the money spent in it and on what it made, by all attempts, in billionths of a US dollar.
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
    checkpoints: int = 0
    hit: CacheHit | None = None
    asked: AskedNode | None = None
    cost: int = 0

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

    @property
    def worker(self) -> Worker | None:
        """The process in which its last attempt ran, if it had one of its own."""
        return self.attempts[-1].worker if self.attempts else None

    def walk(self) -> Iterator[CallNode]:
        """Give it, and every call inside it."""
        yield self
        for child in self.children:
            yield from child.walk()


class RunTree(msgspec.Struct, frozen=True):
    """What a run's records say.

    Attributes:
        run: its id; empty if there is no record yet.
        task: of which task it is a run.
        source: the file in which that is.
        calls: its outermost calls; one, unless the code was edited.
        drives: who had it, in order.
        divergences: where code and journal parted.
        forked: of which run it is a fork, and from where on; None if it is none.
        retries: how often the run as a whole was tried again.
        created: when it began.
        last: when its last record was written.
        cost: the money spent, in billionths of a US dollar.
        inherited_cost: how much of that the run had spent that this is a fork of.
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
    forked: RunForked | None = None
    cost: int = 0
    inherited_cost: int = 0

    def walk(self) -> Iterator[CallNode]:
        """Give every call, each before those inside it."""
        for call in self.calls:
            yield from call.walk()


_AboutCall = Answered | OutcomeDecided | CheckpointSaved | OfWorker
"""What is recorded of a call beside its attempts."""


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
        self.checkpoints = 0
        self.hit: CacheHit | None = None
        self.asked: AskedNode | None = None
        self.workers: dict[int, WorkerNotes] = {}
        """By the place that their attempt has, or will have, among `attempts`."""
        self.latest: dict[int, WorkerNotes] = {}
        """By the number of their attempt; one that a crash cut and that began again has had several."""

    def close(self, attempt: Attempt) -> None:
        self.attempts.append(msgspec.structs.replace(attempt, checkpoint=self.checkpoints))
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
        drives=drives_of(records),
        divergences=tuple(state.divergences),
        retries=sum(isinstance(record.event, RunRetried) for record in records),
        created=records[0].time if records else 0.0,
        last=records[-1].time if records else 0.0,
        forked=state.forked,
        cost=state.costs[""],
        inherited_cost=_inherited_cost(records) if state.forked is not None else 0,
    )


def _inherited_cost(records: Sequence[Record]) -> int:
    """Add up what was copied into a fork: that is before anybody drove it."""
    copied = itertools.takewhile(lambda record: not isinstance(record.event, DriverOpened), records)
    return sum(record.event.amount for record in copied if isinstance(record.event, Spent))


def _read(record: Record, drafts: dict[str, _Draft], roots: list[_Draft]) -> None:
    event = record.event
    if isinstance(event, _AboutCall):
        if (known := drafts.get(event.path)) is not None:
            _note(record.time, event, known)
        return
    if not isinstance(event, OfCall):
        return
    draft = _draft(event.call.path, drafts, roots, record.time)
    draft.kind, draft.inputs = event.call.kind, event.call.inputs
    match event:
        case Asked():
            draft.begun, draft.begun_attempt, draft.due = record.time, event.attempt, event.due
            draft.asked, draft.outcome = asked_node(event), "begun"
        case CallStarted():
            if draft.begun is not None and draft.begun_attempt == event.attempt:
                draft.close(Attempt(event.attempt, "unfinished", draft.begun))  # a crash cut it, and it began again
            draft.begun, draft.begun_attempt, draft.due, draft.once = record.time, event.attempt, event.due, event.once
            draft.latest.pop(event.attempt, None)  # it is given another worker
            draft.outcome = "unknown" if event.once else "begun"
        case ChunkYielded():
            draft.chunks = event.index + 1
        case AttemptFailed():
            draft.close(_failed(event, record.time))
            draft.outcome = "waiting"
        case CallSucceeded():
            draft.close(Attempt(event.attempt, "succeeded", event.started, record.time))
            draft.outcome, draft.hit = "succeeded", event.hit
            draft.chunks = event.chunks if event.chunks is not None else draft.chunks
        case CallFailed():
            draft.close(Attempt(event.attempt, "failed", event.started, record.time, event.error))
            draft.outcome, draft.hit = "failed", event.hit
        case CallCancelled():
            draft.close(Attempt(event.attempt, "cancelled", event.started, record.time))
            draft.outcome = "cancelled"


def _failed(event: AttemptFailed, time: float) -> Attempt:
    return Attempt(
        event.attempt,
        "failed",
        event.started,
        time,
        event.error,
        event.retry_at,
        event.remedy,
        event.chosen_by,
        event.counts,
    )


def _note(time: float, event: _AboutCall, draft: _Draft) -> None:
    match event:
        case Answered():
            draft.asked = with_decision(draft.asked, event)
        case OutcomeDecided():
            draft.once = False  # nothing is unknown about it any more
        case CheckpointSaved():
            draft.checkpoints = event.number
        case WorkerStarted() | WorkerSampled() | WorkerGrown() | WorkerEnded():
            notes = draft.latest.get(event.attempt)
            if notes is None:
                notes = draft.workers[len(draft.attempts)] = draft.latest[event.attempt] = WorkerNotes()
            notes.note(event, time)


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
        attempts.append(Attempt(draft.begun_attempt, "unfinished", draft.begun, checkpoint=draft.checkpoints))
        if draft.outcome == "unknown" and not draft.once:
            status = "begun"
    for place, notes in draft.workers.items():
        if place < len(attempts):
            attempts[place] = msgspec.structs.replace(attempts[place], worker=notes.worker())
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
        checkpoints=draft.checkpoints,
        hit=draft.hit if status in ("succeeded", "failed") else None,
        asked=draft.asked,
        cost=state.costs[draft.path],
    )
