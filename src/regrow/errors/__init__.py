"""Every error that regrow raises of its own accord.

A user's exception is never wrapped: it keeps its type, arguments, cause and notes wherever it is caught, live or
replayed. What follows is only what regrow itself has to say::

    RegrowError
    ├── UsageError                 the code asks for something that cannot work
    │   └── NotInRun               this call needs a run around it
    ├── NotStorable                a value that has no durable form; names the value's path
    ├── Divergence                 the code no longer fits its journal
    ├── Failure                    a task or step did not succeed; carries layer, evidence and remedies
    │   ├── OutOfMemory            it reached its memory limit (also a MemoryError)
    │   ├── TimedOut               a timeout or deadline passed (also a TimeoutError)
    │   ├── Preempted              its machine or its place was taken away
    │   ├── WorkerLost             its worker was killed from outside, or is gone without a trace
    │   ├── Crashed                its worker died of a signal, or left with an exit code
    │   ├── DiskFull               its scratch folder, or the disk, was full
    │   ├── ProcessLimit           it started more processes than it may
    │   ├── OutputLimit            it printed more than it may
    │   ├── RateLimited            a service asked it to come back later
    │   ├── Unavailable            a service was not there, or said that it could not answer now
    │   ├── ConnectionLost         the network failed under it
    │   ├── Raised                 an exception of the code's own, as a policy is shown it
    │   ├── StreamCut              a stream was cut by a crash and did not repeat itself afterwards
    │   ├── OutcomeUnknown         a crash hid whether a once-only effect happened
    │   ├── NoAnswer               nobody answered, or nothing came, in time (also a TimeoutError)
    │   ├── Denied                 somebody who had to approve a call said no
    │   └── ForeignError           stands for a recorded exception whose class is not loaded here
    ├── AskError                   about a question to people
    │   ├── UnknownAsk             no such question in this store
    │   ├── AskClosed              it can't be answered any more, or not by this person
    │   └── UnfitAnswer            the answer is not what was asked for; names the field
    ├── BadSignature               a signed message that is forged, changed, too old, or used before
    ├── Conflict                   somebody else was quicker to write to a memory
    ├── RunError                   about one run
    │   ├── UnknownRun             no such run in this store
    │   ├── KeyConflict            this key belongs to a run with another task or other inputs
    │   ├── RunHeld                another live process drives this run
    │   ├── RunOver                the run has ended already
    │   ├── LeaseLost              another driver took this run over; this one may not write any more
    │   ├── RunCancelled           the run was cancelled
    │   ├── RunPaused              the run is paused, until somebody resumes it
    │   └── RunStopped             nothing may run here: somebody has stopped the project, or the whole store
    └── StoreError                 about the place where runs are kept
        ├── StoreUnavailable       it cannot be read or written now (full, read-only, locked)
        ├── UnreadableFormat       it was written by a newer version of regrow
        └── Corrupted              what is stored is not what was written

Where one is defined is nobody's business: all are `regrow.X`, in tracebacks and in journals too. Inside of regrow they
are imported from here. There is a module for each layer of failures, and for each sort of the others.
"""

from __future__ import annotations

from regrow.errors.asks import AskClosed, AskError, BadSignature, UnfitAnswer, UnknownAsk
from regrow.errors.failure import Confidence, Failure, Layer
from regrow.errors.infrastructure import (
    Crashed,
    DiskFull,
    OutcomeUnknown,
    OutOfMemory,
    OutputLimit,
    Preempted,
    ProcessLimit,
    TimedOut,
    WorkerLost,
)
from regrow.errors.logical import Denied, ForeignError, NoAnswer, Raised
from regrow.errors.network import ConnectionLost, RateLimited, StreamCut, Unavailable
from regrow.errors.root import Divergence, NotInRun, NotStorable, RegrowError, UsageError
from regrow.errors.runs import (
    KeyConflict,
    LeaseLost,
    RunCancelled,
    RunError,
    RunHeld,
    RunOver,
    RunPaused,
    RunStopped,
    UnknownRun,
)
from regrow.errors.stores import Conflict, Corrupted, StoreError, StoreUnavailable, UnreadableFormat

__all__ = [
    "AskClosed",
    "AskError",
    "BadSignature",
    "Confidence",
    "Conflict",
    "ConnectionLost",
    "Corrupted",
    "Crashed",
    "Denied",
    "DiskFull",
    "Divergence",
    "Failure",
    "ForeignError",
    "KeyConflict",
    "Layer",
    "LeaseLost",
    "NoAnswer",
    "NotInRun",
    "NotStorable",
    "OutOfMemory",
    "OutcomeUnknown",
    "OutputLimit",
    "Preempted",
    "ProcessLimit",
    "Raised",
    "RateLimited",
    "RegrowError",
    "RunCancelled",
    "RunError",
    "RunHeld",
    "RunOver",
    "RunPaused",
    "RunStopped",
    "StoreError",
    "StoreUnavailable",
    "StreamCut",
    "TimedOut",
    "Unavailable",
    "UnfitAnswer",
    "UnknownAsk",
    "UnknownRun",
    "UnreadableFormat",
    "UsageError",
    "WorkerLost",
]
