"""What the journal holds: small frozen records, one for each thing that happened to a run.

Start reading regrow here. A run is the list of its records; everything else (status, results, timelines) follows from
them. A record's event says what happened. Its envelope says when, in which place of the sequence, on whose account,
under which lease epoch, and carries the hash of its predecessor, which makes the list a chain (`regrow.journal.chain`).

Events are stored as msgpack arrays with a tag. Fields may be added at the end, with a default; none may ever be removed
or change its meaning, and tags are for ever. `tests/store/test_format.py` holds a journal of the first version.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from regrow.codec import ErrorRecord
from regrow.remedies import AskHuman, Extend, Grow, Resume, RetryAfter
from regrow.values.policies import Bounds
from regrow.values.resources import Resources


class BlobRef(msgspec.Struct, frozen=True, array_like=True):
    """Stands for a value that is too large for a record: the digest of its bytes, and their number."""

    digest: str
    size: int


Value = bytes | BlobRef
"""An encoded value (see `regrow.codec`), in place or in the blob store."""


class RecordedFallback(msgspec.Struct, frozen=True, tag="fallback"):
    """A `regrow.Fallback`, with the name of its task."""

    task: str


RecordedRemedy = Grow | Extend | Resume | RetryAfter | RecordedFallback | AskHuman
"""A remedy that leads to another attempt."""

CallKind = Literal["task", "step", "stream", "sleep", "now", "memory", "ask", "signal"]


class Call(msgspec.Struct, frozen=True, array_like=True):
    """One call's identity, and what was put into it.

    Attributes:
        path: where in the structure of the run it stands, such as ``agent#1/~work#2/train#1``: the second branch made
            of ``work`` in the agent, and the first ``train`` in it.
        kind: what sort of call.
        position: the how-manieth call of its branch it is, under whatever name, from 1. Only used to notice edits.
        digest: of its inputs; empty where there are none to compare.
        inputs: the inputs themselves where they are small and hold no secret, for people to read.
    """

    path: str
    kind: CallKind
    position: int
    digest: bytes
    inputs: bytes = b""


class RunCreated(msgspec.Struct, frozen=True, array_like=True, tag="run"):
    """The run came to be. Always the first record.

    `parent` is the run that it is a fork of. `code` is the SHA-256 of the file `source` as it was then, in hexadecimal.
    """

    run: str
    task: str
    source: str
    inputs: Value
    digest: bytes
    key: str | None = None
    project: str = "default"
    parent: str | None = None
    budget: Bounds | None = None
    code: str = ""


class RunForked(msgspec.Struct, frozen=True, array_like=True, tag="fork"):
    """The run began as a copy of another one's records; what follows is copied, until a driver takes it up.

    Attributes:
        run: the other one.
        at: the path of the first call that is not copied; empty if all is.
        upto: the place of the last record of the other run that was looked at.
        replaced: calls whose outcome is another one than it was there.
        inputs: parameters of the run that have other values than there.
        lineage: the run that this is a fork of, the one that that is a fork of, and so on, each with the moment (in
            seconds since the epoch) up to which its memories are this one's.
        memories: the last version of each memory that the copied records have used. Clocks may disagree; what was seen
            was there.
    """

    run: str
    at: str
    upto: int
    replaced: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    lineage: tuple[tuple[str, float], ...] = ()
    memories: dict[str, int] = {}


class DriverOpened(msgspec.Struct, frozen=True, array_like=True, tag="open"):
    """A driver has taken the lease; the epoch in the envelope is its own from here on."""

    holder: str
    regrow: str
    python: str


class DriverClosed(msgspec.Struct, frozen=True, array_like=True, tag="close"):
    """A driver has let go of an unfinished run in good order, and said why.

    `replayed` counts the calls that it answered from the journal, and `seconds_saved` is how long these had taken.
    """

    reason: str
    replayed: int = 0
    seconds_saved: float = 0.0


class CallStarted(msgspec.Struct, frozen=True, array_like=True, tag="start"):
    """An attempt is about to run. Written for tasks, once-only calls and timers; a step's end says it all."""

    call: Call
    attempt: int
    due: float | None = None
    once: bool = False


class ChunkYielded(msgspec.Struct, frozen=True, array_like=True, tag="chunk"):
    """A streaming step is about to hand out one more value."""

    call: Call
    index: int
    value: Value


class AttemptFailed(msgspec.Struct, frozen=True, array_like=True, tag="attempt"):
    """An attempt failed, and another one will follow at `retry_at`. `again` are the inner calls it failed of.

    `remedy` is what was chosen (None: the plain retry of `retries=`), by `chosen_by`. What was not the call's own
    fault (`counts` is False) takes nothing off its retries.
    """

    call: Call
    attempt: int
    started: float
    error: ErrorRecord
    retry_at: float
    again: tuple[str, ...] = ()
    remedy: RecordedRemedy | None = None
    chosen_by: str = "retries"
    counts: bool = True


class WorkerStarted(msgspec.Struct, frozen=True, array_like=True, tag="worker"):
    """A worker process runs an attempt.

    Attributes:
        path: of the call.
        attempt: which one.
        pid: of the worker, on `host`.
        host: the machine's name.
        resources: what it may use.
        enforced_by: what holds it to that, such as ``cgroup v1`` and ``RLIMIT_DATA``, the strongest first.
        size_from: where its memory limit comes from, in a few words, if not from the task's own `memory=`.
        kills: how often the machine's OOM killer had struck by then; a later reader can see whether it has since.
        boot: names the machine's uptime, so that `kills` of different boots are not compared.
        queued: how long it had waited for a place, in seconds.
    """

    path: str
    attempt: int
    pid: int
    host: str
    resources: Resources
    enforced_by: tuple[str, ...] = ()
    size_from: str = ""
    kills: int | None = None
    boot: str = ""
    queued: float = 0.0


class WorkerSampled(msgspec.Struct, frozen=True, array_like=True, tag="sample"):
    """How much memory a worker has used since the last such record: seconds since the epoch, and bytes."""

    path: str
    attempt: int
    samples: tuple[tuple[float, int], ...]


class WorkerGrown(msgspec.Struct, frozen=True, array_like=True, tag="grown"):
    """A worker that had reached its memory limit was held, given more, and went on: nothing was lost.

    `held` is how long it stood still, in seconds.
    """

    path: str
    attempt: int
    before: int
    after: int
    held: float
    enforced_by: str = ""


class WorkerEnded(msgspec.Struct, frozen=True, array_like=True, tag="gone"):
    """A worker process is gone.

    Attributes:
        path: of the call.
        attempt: which one.
        how: in a few words, such as ``result``, ``exit code 3`` or ``SIGKILL``.
        peak: the most memory that it used, in bytes; None if that is not known.
        cpu_seconds: processor time of the worker and its children.
        limit: its memory limit in the end.
        signal: the number of the signal that it died of, if it did.
        code: the exit code with which it left, if it did.
    """

    path: str
    attempt: int
    how: str
    peak: int | None = None
    cpu_seconds: float = 0.0
    limit: int | None = None
    signal: int | None = None
    code: int | None = None


class Spent(msgspec.Struct, frozen=True, array_like=True, tag="spent"):
    """An attempt at a call has spent money, whatever becomes of it: `amount` is in billionths of a US dollar.

    `on` says what for, in a few words.
    """

    path: str
    attempt: int
    amount: int
    on: str = ""


class CheckpointSaved(msgspec.Struct, frozen=True, array_like=True, tag="checkpoint"):
    """A task has saved its work in progress; what it had saved before is dropped, with its `blobs`.

    Code that begins again from here does not make the calls again that it had made before. So the place is saved as
    well: how many calls of each name, how many strands of each name, and how many calls in all its `branch` had made.
    `number` counts checkpoints, from 1.
    """

    path: str
    attempt: int
    number: int
    value: Value
    blobs: tuple[str, ...] = ()
    branch: str = ""
    calls: dict[str, int] = {}
    strands: dict[str, int] = {}
    position: int = 0


class CacheHit(msgspec.Struct, frozen=True, array_like=True):
    """Where the outcome of a call was computed that was found in the shared cache instead of being computed here.

    Attributes:
        run: by which run.
        path: by which call of it.
        time: when, in seconds since the epoch.
        seconds: how long it took there, which is what the hit saved.
        cost: what was spent on it there, in billionths of a US dollar, which is saved as well.
    """

    run: str
    path: str
    time: float
    seconds: float
    cost: int = 0


class CallSucceeded(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """A call gave its result. `chunks` counts what a streaming step gave; its result is then empty.

    With a `hit` it was not executed: the result was found in the shared cache.
    """

    call: Call
    attempt: int
    started: float
    value: Value
    chunks: int | None = None
    hit: CacheHit | None = None


class CallFailed(msgspec.Struct, frozen=True, array_like=True, tag="fail"):
    """A call's last attempt failed; the error was handed to the code that had called it.

    With a `hit` it was not executed: the failure was found in the shared cache.
    """

    call: Call
    attempt: int
    started: float
    error: ErrorRecord
    again: tuple[str, ...] = ()
    hit: CacheHit | None = None


class CallCancelled(msgspec.Struct, frozen=True, array_like=True, tag="cut"):
    """The code itself gave up waiting for a call (a timeout around it, a sibling that failed)."""

    call: Call
    attempt: int
    started: float


class OutcomeDecided(msgspec.Struct, frozen=True, array_like=True, tag="decide"):
    """Somebody has said what became of a once-only call whose outcome was unknown."""

    path: str
    happened: bool
    value: Value = b""
    reason: str = ""


class Asked(msgspec.Struct, frozen=True, array_like=True, tag="asked"):
    """A question is about to be put to people. What is posted is what stands here, also after a crash in between.

    Attributes:
        call: the call that asks.
        attempt: which attempt at it.
        ask: the question's id.
        shown: all that people are shown, as JSON.
        digest: the SHA-256 of that, in hexadecimal.
        due: until when it can be answered, in seconds since the epoch; None for ever.
        remind: seconds between two reminders; None for none.
        evidence: the values themselves behind what is shown as evidence; empty where there are none.
        question: the question alone, in at most 200 characters.
    """

    call: Call
    attempt: int
    ask: str
    shown: Value
    digest: str
    due: float | None = None
    remind: float | None = None
    evidence: Value = b""
    question: str = ""


class Said(msgspec.Struct, frozen=True, array_like=True):
    """One person's answer.

    Attributes:
        who: the name under which they gave it.
        how: how that name was established.
        time: when they did, in seconds since the epoch.
        verdict: ``yes``, ``no`` or ``value``.
        why: their reason.
        number: of the answer, among all to its question.
        value: the answer as JSON; empty where it is large, and stands in the call's result alone.
    """

    who: str
    how: str
    time: float
    verdict: str
    why: str = ""
    number: int = 0
    value: bytes = b""


class Answered(msgspec.Struct, frozen=True, array_like=True, tag="answered"):
    """What the store has decided of a question.

    Attributes:
        path: of the call that had asked.
        ask: the question's id.
        digest: the hash of what was shown.
        how: ``answered``, ``timed out``, or ``refused``: then what was said did not fit, and it is asked again.
        said: who said what; the last one was decisive.
        reason: why it was refused.
    """

    path: str
    ask: str
    digest: str
    how: Literal["answered", "timed out", "refused"]
    said: tuple[Said, ...] = ()
    reason: str = ""


class SignalTaken(msgspec.Struct, frozen=True, array_like=True, tag="signal"):
    """The call at `path` was given a signal that `actor` had sent, the run's `place`-th, at `time`."""

    path: str
    name: str
    place: int
    actor: str
    time: float


class Diverged(msgspec.Struct, frozen=True, array_like=True, tag="diverge"):
    """The code no longer fitted the journal at `path`; it went on afresh from there."""

    path: str
    reason: str


class RunRetried(msgspec.Struct, frozen=True, array_like=True, tag="retry"):
    """A failed or cancelled run is tried again. `again` are the calls whose failure had ended it."""

    again: tuple[str, ...]


RunOutcome = Literal["succeeded", "failed", "cancelled"]


class RunEnded(msgspec.Struct, frozen=True, array_like=True, tag="end"):
    """The run is over. `error` is what ended a failed one, `again` the calls from which that came.

    `replayed` and `seconds_saved` are those of the driver that ended it; see `DriverClosed`.
    """

    outcome: RunOutcome
    error: ErrorRecord | None = None
    again: tuple[str, ...] = ()
    reason: str = ""
    replayed: int = 0
    seconds_saved: float = 0.0


OfRun = RunCreated | RunForked | DriverOpened | DriverClosed | RunRetried | RunEnded
"""What happens to a run as a whole."""

CallOutcome = CallSucceeded | CallFailed | CallCancelled
"""What the calling code was told."""

OfCall = CallStarted | Asked | ChunkYielded | AttemptFailed | CallOutcome
"""What happens to a call, and says which one it is in all its parts."""

OfWorker = WorkerStarted | WorkerSampled | WorkerGrown | WorkerEnded
OfPath = OfWorker | OutcomeDecided | Answered | SignalTaken | CheckpointSaved | Spent | Diverged
"""What happens beside, and names its call by its path."""

Event = OfRun | OfCall | OfPath


class Record(msgspec.Struct, frozen=True, array_like=True):
    """An event and its envelope.

    Attributes:
        seq: place in the run, from 1, without gaps.
        time: seconds since the epoch, by the clock of the driver that wrote it.
        actor: who or what caused it: ``driver``, or a person as ``user@host``.
        epoch: the lease under which it was written; it never falls.
        previous: hash of the record before it; empty in the first.
    """

    seq: int
    time: float
    actor: str
    epoch: int
    previous: bytes
    event: Event
