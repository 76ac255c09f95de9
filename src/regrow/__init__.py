"""regrow runs AI agents that survive.

An agent is plain Python. `task` and `step` make its functions recorded, `run` executes one so that a killed process, a
crash or a failure never repeats what was done. See the README for a first agent and docs/design.md for how it works.
"""

from regrow._version import __version__
from regrow.authoring.answering import OpenAsk, accept_callback, answer, inbox, signal
from regrow.authoring.asking import ask, ask_blocking, wait_for, wait_for_blocking
from regrow.authoring.checkpoint import Checkpoint, checkpoint
from regrow.authoring.context import Current, Remaining, current, now, sleep
from regrow.authoring.forking import fork
from regrow.authoring.handle import Handle
from regrow.authoring.heeding import heed_notices
from regrow.authoring.mapping import map  # noqa: A004 - users write regrow.map
from regrow.authoring.memories.finding import SearchHit
from regrow.authoring.memories.handle import Memory, MemoryView, memory, retry_on_conflict
from regrow.authoring.memories.reading import MemoryDiff, MemoryEntry
from regrow.authoring.recorded import storable
from regrow.authoring.run import run, start
from regrow.authoring.runs import Runs
from regrow.authoring.spending import spent
from regrow.authoring.step import Step, step
from regrow.authoring.task import Environment, Task, task
from regrow.engine.calls import DidNotHappen, Happened
from regrow.engine.news import Tally
from regrow.errors import (
    AskClosed,
    AskError,
    BadSignature,
    Conflict,
    ConnectionLost,
    Corrupted,
    Crashed,
    Denied,
    DiskFull,
    Divergence,
    Failure,
    ForeignError,
    KeyConflict,
    LeaseLost,
    NoAnswer,
    NotInRun,
    NotStorable,
    OutcomeUnknown,
    OutOfMemory,
    OutputLimit,
    Preempted,
    ProcessLimit,
    Raised,
    RateLimited,
    RegrowError,
    RunCancelled,
    RunError,
    RunHeld,
    RunOver,
    RunPaused,
    RunStopped,
    StoreError,
    StoreUnavailable,
    StreamCut,
    TimedOut,
    Unavailable,
    UnfitAnswer,
    UnknownAsk,
    UnknownRun,
    UnreadableFormat,
    UsageError,
    WorkerLost,
)
from regrow.executors.limits.usage import Usage
from regrow.healing.recognise import failure_of
from regrow.journal.store import RunRow
from regrow.remedies import AskHuman, Extend, Fallback, GiveUp, Grow, Remedy, Resume, RetryAfter
from regrow.values.approval import Approve
from regrow.values.backoff import Backoff
from regrow.values.cache import Cache
from regrow.values.durations import Duration
from regrow.values.files import Dir, File
from regrow.values.policies import Budget, GrowPolicy, ResumePolicy, grow, resume
from regrow.values.resources import Resources
from regrow.values.secret import Secret
from regrow.values.sizes import Size

__all__ = [
    "Approve",
    "AskClosed",
    "AskError",
    "AskHuman",
    "Backoff",
    "BadSignature",
    "Budget",
    "Cache",
    "Checkpoint",
    "Conflict",
    "ConnectionLost",
    "Corrupted",
    "Crashed",
    "Current",
    "Denied",
    "DidNotHappen",
    "Dir",
    "DiskFull",
    "Divergence",
    "Duration",
    "Environment",
    "Extend",
    "Failure",
    "Fallback",
    "File",
    "ForeignError",
    "GiveUp",
    "Grow",
    "GrowPolicy",
    "Handle",
    "Happened",
    "KeyConflict",
    "LeaseLost",
    "Memory",
    "MemoryDiff",
    "MemoryEntry",
    "MemoryView",
    "NoAnswer",
    "NotInRun",
    "NotStorable",
    "OpenAsk",
    "OutOfMemory",
    "OutcomeUnknown",
    "OutputLimit",
    "Preempted",
    "ProcessLimit",
    "Raised",
    "RateLimited",
    "RegrowError",
    "Remaining",
    "Remedy",
    "Resources",
    "Resume",
    "ResumePolicy",
    "RetryAfter",
    "RunCancelled",
    "RunError",
    "RunHeld",
    "RunOver",
    "RunPaused",
    "RunRow",
    "RunStopped",
    "Runs",
    "SearchHit",
    "Secret",
    "Size",
    "Step",
    "StoreError",
    "StoreUnavailable",
    "StreamCut",
    "Tally",
    "Task",
    "TimedOut",
    "Unavailable",
    "UnfitAnswer",
    "UnknownAsk",
    "UnknownRun",
    "UnreadableFormat",
    "Usage",
    "UsageError",
    "WorkerLost",
    "__version__",
    "accept_callback",
    "answer",
    "ask",
    "ask_blocking",
    "checkpoint",
    "current",
    "failure_of",
    "fork",
    "grow",
    "heed_notices",
    "inbox",
    "map",
    "memory",
    "now",
    "resume",
    "retry_on_conflict",
    "run",
    "signal",
    "sleep",
    "spent",
    "start",
    "step",
    "storable",
    "task",
    "wait_for",
    "wait_for_blocking",
]

# One flat public namespace: where a name is defined is nobody's business, in tracebacks and in pickled references
# alike.
for _value in [globals()[name] for name in __all__]:
    if callable(_value):
        _value.__module__ = __name__
del _value
