"""What a driver and a worker say to each other, and what it takes to run one attempt.

Everything that crosses is data: msgpack of these structs, each under its tag. No code is sent, only the name of a task
and the file that defines it, which the worker's own interpreter has loaded.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from regrow.codec import ErrorRecord
from regrow.engine.decide import Allowance
from regrow.engine.state import CallState
from regrow.journal.records import Call, Event, RunForked, Value
from regrow.journal.store import LogLine
from regrow.values.policies import Bounds, GrowPolicy
from regrow.values.resources import Resources


class Code(msgspec.Struct, frozen=True):
    """Where a task is defined.

    Attributes:
        ref: the task, as ``module:qualname``.
        module: under which name its module is loaded.
        file: the module's source.
    """

    ref: str
    module: str
    file: str


class Job(msgspec.Struct, frozen=True):
    """One attempt at one call, for a worker.

    Attributes:
        call: which call.
        name: of the task.
        attempt: which one this is, from 1.
        forgiven: how many failed attempts do not count against the call's retries.
        first_begun: when the first attempt began, in seconds since the epoch.
        code: what to run.
        inputs: the encoded arguments, as a pair of a tuple and a mapping.
        input_size: how much they amount to in bytes, files included.
        resources: what the attempt may use.
        env: environment variables.
        secrets: names of environment variables of the driver's that it is handed.
        priority: the higher, the sooner it is placed.
        allowed: how many seconds it may take.
        on_oom: how its memory may grow.
        most: the most that it may grow to, by all budgets, in bytes.
        budget: of the call.
        right_size: begin with what earlier runs have needed.
        retries: how many failed attempts may be followed by another one.
    """

    call: Call
    name: str
    attempt: int
    forgiven: int
    first_begun: float
    code: Code
    inputs: Value
    input_size: int
    resources: Resources
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = ()
    priority: int = 0
    allowed: Allowance | None = None
    on_oom: GrowPolicy | None = None
    most: int | None = None
    budget: Bounds | None = None
    right_size: bool = True
    retries: int = 0


class Counted(msgspec.Struct, frozen=True):
    """What a worker adds to its driver's tally."""

    executed: int = 0
    replayed: int = 0
    seconds_saved: float = 0.0
    cached: int = 0
    cached_seconds: float = 0.0


# -- from the driver ---------------------------------------------------------------------------------------------------


class Start(msgspec.Struct, frozen=True, tag="start"):
    """Run this. Sent once, after the worker has been put under its limits.

    Attributes:
        run: the run's id.
        job: the attempt.
        known: what is recorded of the call, and inside of it.
        seq: the place of the journal's last record.
        detour: see `RunState.detour`.
        began: when the run began, in seconds since the epoch.
        spent: see `RunState.spent`.
        bounds: the run's own budget.
        project: the run's.
        forked: see `RunState.forked`.
        strict: whether divergences are raised.
        ceiling: the most memory that the host could give, in bytes.
        secrets: environment variables that must not be told to anybody.
        blobs: the folder of the blob store, if it is on this machine; else blobs travel over the channel.
        scratch: the attempt's own folder.
        gpus: the devices that it alone may see.
        data_limit: what RLIMIT_DATA is to be set to, above what the process has; None for no such limit.
        enforced_by: what holds the worker to its limits from outside.
    """

    run: str
    job: Job
    known: list[CallState]
    seq: int
    detour: int | None
    began: float
    spent: int
    bounds: Bounds | None
    project: str
    forked: RunForked | None
    strict: bool
    ceiling: int
    secrets: dict[str, str]
    blobs: str | None
    scratch: str
    gpus: tuple[str, ...]
    data_limit: int | None
    enforced_by: tuple[str, ...] = ()


class Ack(msgspec.Struct, frozen=True, tag="ack"):
    """What was asked for under this number is durable, or was refused for this reason."""

    number: int
    problem: ErrorRecord | None = None


class Spawned(msgspec.Struct, frozen=True, tag="spawned"):
    """The nested call that was asked for under this number has ended.

    `blobs` are those of the value; `again` are the calls that the error came from.
    """

    number: int
    value: Value | None = None
    blobs: tuple[str, ...] = ()
    error: ErrorRecord | None = None
    again: tuple[str, ...] = ()


class Blob(msgspec.Struct, frozen=True, tag="blob"):
    """A blob that was asked for, or the digest of one that was handed over."""

    number: int
    data: bytes = b""
    digest: str = ""
    problem: ErrorRecord | None = None


class Response(msgspec.Struct, frozen=True, tag="response"):
    """What a service has given, or why it could not."""

    number: int
    result: Any = None
    problem: ErrorRecord | None = None


StopReason = Literal["timeout", "deadline", "cancelled", "preempted"]


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """End, within `grace` seconds. If it is `final`, not even a ``finally`` block may make a call any more."""

    reason: StopReason
    grace: float
    source: str = ""
    final: bool = False


class NewLimit(msgspec.Struct, frozen=True, tag="limit"):
    """The memory limit was raised."""

    memory: int


class Hold(msgspec.Struct, frozen=True, tag="hold"):
    """Begin no new call; what runs may finish."""


ToWorker = Start | Ack | Spawned | Blob | Response | Stop | NewLimit | Hold


# -- from the worker ---------------------------------------------------------------------------------------------------


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The limits that a process sets for itself are in force; the task begins."""

    enforced_by: tuple[str, ...]


class Append(msgspec.Struct, frozen=True, tag="append"):
    """Record this. With a number, say when it is durable."""

    event: Event
    blobs: tuple[str, ...] = ()
    number: int | None = None


class Logged(msgspec.Struct, frozen=True, tag="log"):
    """The code has logged a line."""

    line: LogLine


class Spawn(msgspec.Struct, frozen=True, tag="spawn"):
    """Run a task inside this one, in a worker of its own."""

    number: int
    job: Job


class Withdraw(msgspec.Struct, frozen=True, tag="withdraw"):
    """End a nested task that nobody waits for any more."""

    number: int


class PutBlob(msgspec.Struct, frozen=True, tag="put"):
    """Keep these bytes."""

    number: int
    data: bytes


class GetBlob(msgspec.Struct, frozen=True, tag="get"):
    """Give these bytes."""

    number: int
    digest: str


class ReleaseBlobs(msgspec.Struct, frozen=True, tag="release"):
    """These are needed no more."""

    digests: tuple[str, ...]


class Request(msgspec.Struct, frozen=True, tag="request"):
    """Call a method of a service, and answer with what it gives; see `regrow.executors.services`."""

    number: int
    service: str
    method: str
    arguments: dict[str, Any]


class Signalled(msgspec.Struct, frozen=True, tag="signal"):
    """A signal that asks it to end has reached the worker, from outside."""

    name: str


class Resting(msgspec.Struct, frozen=True, tag="resting"):
    """Since it was told to hold: whether no call of the worker's own is under way that would end by itself."""

    at_rest: bool


FrameKind = Literal["raised", "memory", "no-space", "file-size", "processes", "preempted", "cancelled", "halted"]


class Gave(msgspec.Struct, frozen=True, tag="gave"):
    """The task has given a result."""

    value: Value
    blobs: tuple[str, ...]
    counted: Counted
    peak: int | None = None
    threads_left: int = 0


class Threw(msgspec.Struct, frozen=True, tag="threw"):
    """The task has ended in an exception.

    Attributes:
        error: the exception.
        kind: what sort it is, as far as the worker can tell.
        again: the calls that it came from.
        counted: what was done.
        peak: the most memory that the worker itself has used, in bytes.
        data_limited: whether its private memory was near its RLIMIT_DATA.
    """

    error: ErrorRecord
    kind: FrameKind
    again: tuple[str, ...]
    counted: Counted
    peak: int | None = None
    data_limited: bool = False


FromWorker = (
    Ready
    | Append
    | Logged
    | Spawn
    | Withdraw
    | PutBlob
    | GetBlob
    | ReleaseBlobs
    | Request
    | Signalled
    | Resting
    | Gave
    | Threw
)
