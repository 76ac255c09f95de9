"""What must hold of every run's records, whatever happened to the run.

`check_run` sees records and nothing else. The tests ask it after every crash, and `regrow doctor` of every run there
is. That the chain of hashes holds is checked where records are read (`regrow.journal.chain.unseal_all`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from regrow.journal.records import (
    Answered,
    Asked,
    AttemptFailed,
    CallCancelled,
    CallFailed,
    CallOutcome,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    ChunkYielded,
    DriverClosed,
    DriverOpened,
    OutcomeDecided,
    Record,
    RunCreated,
    RunEnded,
    RunForked,
    RunRetried,
    Spent,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
    WorkerStarted,
)

_OfAttempt = CallStarted | AttemptFailed | CallOutcome
_OfCall = _OfAttempt | ChunkYielded
_AFTER_THE_END = DriverOpened | DriverClosed | OutcomeDecided | RunRetried


class Violation(msgspec.Struct, frozen=True):
    """Something that cannot have happened, and yet is recorded.

    Attributes:
        seq: the record at which it shows.
        rule: what must hold, in a few words that stay the same.
        text: what was found instead.
    """

    seq: int
    rule: str
    text: str


def check_run(records: Sequence[Record]) -> list[Violation]:
    """Find everything in a run's records that breaks an invariant. An empty list means that all hold."""
    found: list[Violation] = []
    if not records:
        return found
    rules = (_Envelopes(), _Ends(), _Calls(), _Workers(), _Asks(), _Costs())
    for record in records:
        found.extend(Violation(record.seq, rule, text) for one in rules for rule, text in one.see(record))
    return found


_Found = Iterator[tuple[str, str]]


class _Envelopes:
    """Sequence, epochs, and the first record."""

    def __init__(self) -> None:
        self._seq = 0
        self._epoch = 0

    def see(self, record: Record) -> _Found:
        event = record.event
        if record.seq != self._seq + 1:
            yield "records are numbered without gaps", f"record {record.seq} follows record {self._seq}"
        if (self._seq == 0) != isinstance(event, RunCreated):
            yield "a run begins with its creation, once", f"record {record.seq} is {_name(event)}"
        if record.epoch < self._epoch:
            yield "epochs never fall", f"epoch {record.epoch} follows epoch {self._epoch}: two drivers have written"
        elif record.epoch > self._epoch and not isinstance(event, RunCreated | DriverOpened):
            yield "a new epoch begins with its driver", f"epoch {record.epoch} begins with {_name(event)}"
        self._seq = record.seq
        self._epoch = max(self._epoch, record.epoch)


class _Ends:
    """A run ends once, and is only taken up again by being retried."""

    def __init__(self) -> None:
        self._ended: RunEnded | None = None

    def see(self, record: Record) -> _Found:
        event = record.event
        ended = self._ended
        if isinstance(event, RunRetried):
            if ended is None or ended.outcome == "succeeded":
                state = "has not ended" if ended is None else "has succeeded"
                yield "only a failed or cancelled run is retried", f"it is retried though it {state}"
            self._ended = None
        elif isinstance(event, RunEnded):
            if ended is not None:
                yield "a run ends once", f"it ends as {event.outcome}, and has ended as {ended.outcome} before"
            self._ended = event
        elif ended is not None and not isinstance(event, _AFTER_THE_END):
            yield "nothing happens in a run that has ended", f"{_name(event)} is recorded after its end"


class _Calls:
    """Attempts count up, success is final, and no retry comes before its failure."""

    def __init__(self) -> None:
        self._attempt: dict[str, int] = {}
        self._failed: dict[str, int] = {}
        self._succeeded: set[str] = set()
        self._once: set[str] = set()

    def see(self, record: Record) -> _Found:
        event = record.event
        if isinstance(event, OutcomeDecided):
            if event.path not in self._once:
                yield "only the outcome of a once-only call is decided", f"{event.path} was never begun for once"
        elif isinstance(event, _OfCall):
            yield from self._success(event)
            if not isinstance(event, ChunkYielded):
                yield from self._attempts(event, record.time)
            if isinstance(event, CallStarted) and event.once:
                self._once.add(event.call.path)

    def _success(self, event: _OfCall) -> _Found:
        path = event.call.path
        again = path in self._succeeded
        if isinstance(event, CallSucceeded):
            self._succeeded.add(path)
            if again:
                yield "a call succeeds once", f"{path} has succeeded before"
        elif again and not isinstance(event, CallCancelled):  # the code may give up while a success is being recorded
            yield "nothing happens in a call that has succeeded", f"{_name(event)} of {path} after its success"

    def _attempts(self, event: _OfAttempt, time: float) -> _Found:
        path = event.call.path
        if event.attempt < self._attempt.get(path, 1):
            yield "attempts count up", f"attempt {event.attempt} of {path} follows attempt {self._attempt.get(path, 1)}"
        self._attempt[path] = event.attempt
        if isinstance(event, AttemptFailed | CallFailed):
            if event.attempt <= self._failed.get(path, 0):
                yield "an attempt fails once", f"attempt {event.attempt} of {path} has failed before"
            self._failed[path] = event.attempt
        # A clock that was set back during the attempt explains it; the record's own time shows that.
        if isinstance(event, AttemptFailed) and event.retry_at < event.started <= time:
            yield (
                "no retry comes before its failure",
                f"{path} was to be tried again before attempt {event.attempt} began",
            )


class _Workers:
    """Each runs an attempt that has begun, within limits that only ever grow; checkpoints are counted."""

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}
        self._limits: dict[str, int | None] = {}
        self._checkpoints: dict[str, int] = {}

    def see(self, record: Record) -> _Found:
        event = record.event
        match event:
            case CallStarted():
                self._begun[event.call.path] = event.attempt
            case WorkerStarted() | WorkerSampled() | WorkerGrown() | WorkerEnded():
                if event.attempt > self._begun.get(event.path, 0):
                    yield "a worker runs an attempt that has begun", f"{_name(event)} of {event.path} comes before it"
                if isinstance(event, WorkerStarted):
                    self._limits[event.path] = event.resources.memory
                elif isinstance(event, WorkerGrown):
                    if event.before != self._limits.get(event.path) or event.after <= event.before:
                        had = self._limits.get(event.path)
                        text = f"{event.path} grows from {event.before} to {event.after} bytes, and had {had}"
                        yield "a limit grows from what it was", text
                    self._limits[event.path] = event.after
            case CheckpointSaved():
                if event.number != self._checkpoints.get(event.path, 0) + 1:
                    yield "checkpoints are counted", f"checkpoint {event.number} of {event.path} is out of order"
                self._checkpoints[event.path] = event.number
            case _:
                return


class _Asks:
    """What is answered was asked, and is decided once."""

    def __init__(self) -> None:
        self._open: dict[str, str] = {}
        self._replaced: tuple[str, ...] = ()

    def see(self, record: Record) -> _Found:
        event = record.event
        if isinstance(event, RunForked):
            self._replaced = event.replaced
        elif isinstance(event, Asked):
            self._open[event.call.path] = event.ask
        elif isinstance(event, Answered):
            if self._open.get(event.path) != event.ask:
                yield "what is answered is open", f"{event.ask} of {event.path} is answered, and is not open"
        elif (
            isinstance(event, CallSucceeded | CallFailed)
            and event.call.kind == "ask"
            and event.call.path not in self._replaced  # a fork may be given an answer that nobody gave
            and self._open.pop(event.call.path, None) is None
        ):
            yield "what has an answer was asked", f"{event.call.path} has an outcome, and was never asked"


class _Costs:
    """What was spent was something."""

    def see(self, record: Record) -> _Found:
        event = record.event
        if isinstance(event, Spent) and event.amount <= 0:
            yield "what is spent is more than nothing", f"{event.path} has spent {event.amount} billionths of a dollar"


def _name(event: object) -> str:
    return type(event).__name__
