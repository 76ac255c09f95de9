"""What a run's records add up to.

`RunState.apply` is the only thing that changes a state, and it looks at nothing but the record: equal records give
equal states, on every machine, at every time. The driver applies each record as it writes it, and after a crash the
same fold over the stored records gives the same state; that is all there is to recovery.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import msgspec

from regrow.journal.records import (
    Answered,
    Asked,
    AttemptFailed,
    Call,
    CallCancelled,
    CallFailed,
    CallOutcome,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    ChunkYielded,
    Diverged,
    DriverClosed,
    DriverOpened,
    OutcomeDecided,
    Record,
    RunCreated,
    RunEnded,
    RunForked,
    RunRetried,
    SignalTaken,
    Spent,
    Value,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
    WorkerStarted,
)


class CallState(msgspec.Struct):
    """What is known of one call.

    Attributes:
        call: its identity.
        seq: the place of the latest record about it.
        attempts: its failed attempts, oldest first.
        forgiven: how many of these no longer count against its retries, because the run was retried since.
        begun: the latest announcement that an attempt would run.
        outcome: what the calling code was told.
        chunks: what a streaming step has handed out.
        decided: what somebody said of its unknown outcome.
        first_begun: when its first attempt began, in seconds since the epoch.
        begun_at: when it was last announced that an attempt would run, in seconds since the epoch.
        seconds: how long the attempt that led to its outcome took.
        unseen: the outcome that it had, if the code gave up on it at the very moment when that was recorded.
        patience: how long the code around it had been running by then, in seconds. Nothing that made the code give up
            on the call, or act on its outcome, can have taken longer.
        stumbled: the place of its latest failed attempt.
        checkpoint: what the task has saved of its work in progress.
        saved_at: the place of that record.
        reached: the largest memory limit that one of its workers was given, in bytes.
        asked: the question that it has put to people.
    """

    call: Call
    seq: int
    attempts: tuple[AttemptFailed | CallFailed, ...] = ()
    forgiven: int = 0
    begun: CallStarted | None = None
    outcome: CallOutcome | None = None
    chunks: list[Value] = msgspec.field(default_factory=list)
    decided: OutcomeDecided | None = None
    first_begun: float | None = None
    begun_at: float | None = None
    seconds: float = 0.0
    unseen: CallOutcome | None = None
    patience: float = 0.0
    stumbled: int = 0
    checkpoint: CheckpointSaved | None = None
    saved_at: int = 0
    reached: int | None = None
    asked: Asked | None = None


class RunState:
    """What is known of one run.

    Attributes:
        seq: the number of records applied.
        epoch: of the last lease.
        created: how the run came to be; set by the first record.
        forked: which run it began as a copy of, if it did.
        calls: each call that can still matter, by path. What lies inside a call that succeeded no longer can.
        divergences: where code and journal were seen to disagree.
        ended: how the run ended, if it has and was not retried.
        detour: the place of the first failure that was taken back; what was recorded after it may never be met again.
        began: when the run came to be, in seconds since the epoch.
        spent: how many failed attempts were followed by another one, since the run was last retried.
        costs: the money spent in each call and on all that it made, in billionths of a US dollar; under the empty path
            what the run has spent.
    """

    def __init__(self) -> None:
        """Know nothing."""
        self.seq = 0
        self.epoch = 0
        self.created: RunCreated | None = None
        self.forked: RunForked | None = None
        self.calls: dict[str, CallState] = {}
        self.divergences: list[Diverged] = []
        self.ended: RunEnded | None = None
        self.detour: int | None = None
        self.began = 0.0
        self.spent = 0
        self.costs: Counter[str] = Counter()
        self._opened = 0.0
        self._inside: dict[str, list[str]] = {}

    def apply(self, record: Record) -> None:
        """Take one more record into account."""
        self.seq = record.seq
        self.epoch = record.epoch
        event = record.event
        self._APPLY[type(event)](self, record, event)

    def inside(self, path: str) -> Iterable[CallState]:
        """Give every known call that was made, however deep, while the call at `path` ran."""
        left = [path]
        while left:
            for inner in self._inside.get(left.pop(), ()):
                yield self.calls[inner]
                left.append(inner)

    def children(self, path: str) -> list[CallState]:
        """Give the known calls that the call at `path` made itself."""
        return [self.calls[inner] for inner in self._inside.get(path, ())]

    def take_over(self, calls: Iterable[CallState], *, seq: int, detour: int | None) -> None:
        """Begin with what another process knows of a part of the run, up to record `seq`."""
        self.seq, self.detour = seq, detour
        for call in calls:
            self.calls[call.call.path] = call
            self._inside.setdefault(enclosing(call.call.path), []).append(call.call.path)

    # -- one method for each kind of record ----------------------------------------------------------------------------

    def _run_created(self, record: Record, event: RunCreated) -> None:
        self.created = event
        self.began = record.time

    def _run_forked(self, _record: Record, event: RunForked) -> None:
        self.forked = event

    def _driver_opened(self, record: Record, _event: DriverOpened) -> None:
        self._opened = record.time

    def _nothing_changes(
        self, _record: Record, event: DriverClosed | WorkerSampled | WorkerEnded | Answered | SignalTaken
    ) -> None:
        """These are for people: leases say that a driver let go, and a call's outcome what came of an answer."""

    def _asked(self, record: Record, event: Asked) -> None:
        call = self._call(event.call, record)
        call.asked = event
        call.begun_at = record.time
        if call.first_begun is None:
            call.first_begun = record.time

    def _call_started(self, record: Record, event: CallStarted) -> None:
        call = self._call(event.call, record)
        call.begun = event
        call.begun_at = record.time
        call.decided = None
        if call.first_begun is None:
            call.first_begun = record.time

    def _chunk_yielded(self, record: Record, event: ChunkYielded) -> None:
        call = self._call(event.call, record)
        call.chunks[event.index :] = [event.value]

    def _attempt_failed(self, record: Record, event: AttemptFailed) -> None:
        call = self._call(event.call, record)
        if call.first_begun is None:
            call.first_begun = event.started
        call.attempts = (*call.attempts, event)
        call.begun = None
        call.stumbled = record.seq
        self.spent += 1
        self._try_again(event.call.path, event.again)

    def _call_succeeded(self, record: Record, event: CallSucceeded) -> None:
        self._settle(event.call, event, record, event.started).checkpoint = None
        if event.call.path in self._inside:
            self._forget_inside(event.call.path)

    def _call_failed(self, record: Record, event: CallFailed) -> None:
        self._settle(event.call, event, record, event.started)

    def _call_cancelled(self, record: Record, event: CallCancelled) -> None:
        call = self._settle(event.call, event, record, event.started)
        if isinstance(call.unseen, CallCancelled):
            call.unseen = None

    def _outcome_decided(self, record: Record, event: OutcomeDecided) -> None:
        if call := self.calls.get(event.path):
            call.seq, call.decided = record.seq, event

    def _diverged(self, _record: Record, event: Diverged) -> None:
        self.divergences.append(event)

    def _run_retried(self, _record: Record, event: RunRetried) -> None:
        self.ended = None
        self.spent = 0
        for path in event.again:
            if call := self.calls.get(path):
                call.forgiven = len(call.attempts) + isinstance(call.outcome, CallFailed)
        self._try_again("", event.again)

    def _worker_started(self, _record: Record, event: WorkerStarted) -> None:
        if call := self.calls.get(event.path):
            call.reached = event.resources.memory

    def _worker_grown(self, _record: Record, event: WorkerGrown) -> None:
        if call := self.calls.get(event.path):
            call.reached = event.after

    def _checkpoint_saved(self, record: Record, event: CheckpointSaved) -> None:
        if call := self.calls.get(event.path):
            call.seq, call.saved_at, call.checkpoint = record.seq, record.seq, event

    def _money_spent(self, _record: Record, event: Spent) -> None:
        path = event.path
        while path:
            self.costs[path] += event.amount
            path = enclosing(path)
        self.costs[""] += event.amount

    def _run_ended(self, _record: Record, event: RunEnded) -> None:
        self.ended = event

    _APPLY: ClassVar[dict[type, Callable[[RunState, Record, Any], None]]] = {
        RunCreated: _run_created,
        RunForked: _run_forked,
        DriverOpened: _driver_opened,
        DriverClosed: _nothing_changes,
        CallStarted: _call_started,
        ChunkYielded: _chunk_yielded,
        AttemptFailed: _attempt_failed,
        CallSucceeded: _call_succeeded,
        CallFailed: _call_failed,
        CallCancelled: _call_cancelled,
        OutcomeDecided: _outcome_decided,
        Asked: _asked,
        Answered: _nothing_changes,
        SignalTaken: _nothing_changes,
        Diverged: _diverged,
        RunRetried: _run_retried,
        RunEnded: _run_ended,
        WorkerStarted: _worker_started,
        WorkerSampled: _nothing_changes,
        WorkerGrown: _worker_grown,
        WorkerEnded: _nothing_changes,
        CheckpointSaved: _checkpoint_saved,
        Spent: _money_spent,
    }

    # -- parts of these ------------------------------------------------------------------------------------------------

    def _settle(self, call: Call, outcome: CallOutcome, record: Record, started: float) -> CallState:
        """Take an outcome into account: what is known of a call from now on."""
        scope = enclosing(call.path)
        outer = self.calls.get(scope)
        since = outer.begun_at if outer is not None and outer.begun_at is not None else self._opened
        known = self.calls.get(call.path)
        if known is None:
            known = self.calls[call.path] = CallState(call, record.seq)
            self._inside.setdefault(scope, []).append(call.path)
        else:
            known.seq, known.unseen = record.seq, known.outcome
        known.outcome = outcome
        # A clock that was set back must not make either of them negative.
        known.seconds = seconds if (seconds := record.time - started) > 0.0 else 0.0
        known.patience = patience if (patience := record.time - since) > known.seconds else known.seconds
        return known

    def _call(self, call: Call, record: Record) -> CallState:
        state = self.calls.get(call.path)
        if state is None:
            state = self.calls[call.path] = CallState(call, record.seq)
            self._inside.setdefault(enclosing(call.path), []).append(call.path)
        state.seq = record.seq
        return state

    def _forget_inside(self, path: str) -> None:
        left = [path]
        while left:
            for inner in self._inside.pop(left.pop(), ()):
                del self.calls[inner]
                left.append(inner)

    def _try_again(self, scope: str, again: tuple[str, ...]) -> None:
        """Take back the failures that ended a scope, and what came after the first of them.

        What the code had handled before stays: it led where the code is now. A call that was cancelled after the first
        of these failures was cancelled because of it, and nothing will cancel it now. One that failed after it may be
        another strand's that met the same trouble, and that nobody has looked at: with `asyncio.gather`, the code is
        shown the first failure alone. Given again, each of them would fail the scope once more.
        """
        culprits: list[CallState] = []
        self._take_back(again, culprits)
        first = min((call.seq for call in culprits), default=None)
        if first is not None:
            self.detour = first if self.detour is None else min(first, self.detour)
            for call in list(self.inside(scope)):
                if isinstance(call.outcome, CallCancelled) and call.seq > first:
                    call.outcome, call.unseen = call.unseen, None
                elif isinstance(call.outcome, CallFailed) and call.seq > first:
                    self._take_back((call.call.path,), culprits)

    def _take_back(self, again: tuple[str, ...], culprits: list[CallState]) -> None:
        for path in again:
            call = self.calls.get(path)
            if call is None or not isinstance(call.outcome, CallFailed | CallCancelled):
                continue
            culprits.append(call)
            failed = call.outcome
            call.outcome = call.unseen = call.asked = None  # whoever is asked again is asked another question
            call.chunks = []  # the code that had read them begins anew, and so does the stream
            if call.begun is not None and not call.begun.once:  # what was once begun for once stays in doubt
                call.begun = None
            if isinstance(failed, CallFailed):
                call.attempts = (*call.attempts, failed)
                call.forgiven = max(call.forgiven, len(call.attempts))
                self._take_back(failed.again, culprits)


def enclosing(path: str) -> str:
    """Give the path of the call inside which a call was made; empty for a run's outermost call."""
    outer, _, _ = path.rpartition("/")
    while "~" in outer:
        rest, _, segment = outer.rpartition("/")
        if not segment.startswith("~"):
            break
        outer = rest
    return outer


def fold(records: Iterable[Record]) -> RunState:
    """Give the state that a run's records add up to."""
    state = RunState()
    for record in records:
        state.apply(record)
    return state
