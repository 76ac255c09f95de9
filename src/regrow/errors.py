"""Every error that regrow raises of its own accord.

A user's exception is never wrapped: it keeps its type, arguments, cause and notes wherever it is caught, live or
replayed. What follows is only what regrow itself has to say::

    RegrowError
    ├── UsageError                 the code asks for something that cannot work
    │   └── NotInRun               this call needs a run around it
    ├── NotStorable                a value that has no durable form; names the value's path
    ├── Divergence                 the code no longer fits its journal
    ├── Failure                    a task or step did not succeed; carries its layer
    │   ├── TimedOut               a timeout or deadline passed
    │   ├── StreamCut              a stream was cut by a crash and did not repeat itself afterwards
    │   ├── OutcomeUnknown         a crash hid whether a once-only effect happened
    │   └── ForeignError           stands for a recorded exception whose class is not loaded here
    ├── RunError                   about one run
    │   ├── UnknownRun             no such run in this store
    │   ├── KeyConflict            this key belongs to a run with another task or other inputs
    │   ├── RunHeld                another live process drives this run
    │   ├── RunOver                the run has ended already
    │   ├── LeaseLost              another driver took this run over; this one may not write any more
    │   └── RunCancelled           the run was cancelled
    └── StoreError                 about the place where runs are kept
        ├── StoreUnavailable       it cannot be read or written now (full, read-only, locked)
        ├── UnreadableFormat       it was written by a newer version of regrow
        └── Corrupted              what is stored is not what was written
"""

from __future__ import annotations

from typing import Literal

Layer = Literal["infrastructure", "network", "logical", "semantic"]
"""Where a failure arose (design: agents fail in layers)."""


class RegrowError(Exception):
    """The root of regrow's own errors."""


class UsageError(RegrowError):
    """The code asks for something that cannot work; the message says what to write instead."""


class NotInRun(UsageError):
    """The call needs a run around it."""


class NotStorable(RegrowError, TypeError):
    """A value that cannot be written to the journal.

    Attributes:
        where: the value's path as a user would write it, such as ``result.items[3].handle``.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class Divergence(RegrowError):
    """The code no longer fits its journal.

    Attributes:
        path: the call at which the two part.
        reason: what differs, in words.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Failure(RegrowError):
    """A task or step did not succeed for a reason that regrow itself has established."""

    layer: Layer = "infrastructure"


class TimedOut(Failure, TimeoutError):
    """A timeout (one attempt) or a deadline (all attempts together) passed.

    Attributes:
        path: the call that ran out of time.
        limit: the time it had, in seconds.
        scope: which of the two it was.
    """

    def __init__(self, path: str, limit: float, scope: Literal["timeout", "deadline"]) -> None:
        what = "one attempt" if scope == "timeout" else "all its attempts"
        super().__init__(f"{path} did not finish within {limit:g} s for {what}")
        self.path = path
        self.limit = limit
        self.scope = scope


class StreamCut(Failure):
    """A stream was cut by a crash, and running it again gave other chunks than those already handed out.

    Attributes:
        path: the streaming step.
        received: how many chunks had been handed out and recorded before the cut.
    """

    layer: Layer = "network"

    def __init__(self, path: str, received: int) -> None:
        super().__init__(
            f"{path} was cut after {received} recorded chunks, and did not give the same chunks when it was run again"
        )
        self.path = path
        self.received = received


class OutcomeUnknown(Failure):
    """A crash hid whether a once-only effect happened. Nothing of the run goes on until code or a human decides.

    Attributes:
        path: the call whose outcome is unknown.
        idempotency_key: the key under which the outside world may know the effect.
    """

    def __init__(self, path: str, idempotency_key: str) -> None:
        super().__init__(
            f"{path} was started with once=True and its outcome was never recorded; "
            f"look for idempotency key {idempotency_key} where its effect would be, then say with `regrow resolve`"
        )
        self.path = path
        self.idempotency_key = idempotency_key


class ForeignError(Failure):
    """Stands for a recorded exception whose class is not loaded in this process.

    Attributes:
        type_name: the class that was recorded, as ``module:qualname``.
        text: what ``str()`` of the exception gave.
    """

    layer: Layer = "logical"

    def __init__(self, type_name: str, text: str) -> None:
        super().__init__(f"{type_name}: {text}")
        self.type_name = type_name
        self.text = text


class RunError(RegrowError):
    """Something about one run.

    Attributes:
        run: the run's id (or what the user typed for it).
    """

    def __init__(self, run: str, message: str) -> None:
        super().__init__(message)
        self.run = run


class UnknownRun(RunError, LookupError):
    """The store has no such run."""


class KeyConflict(RunError):
    """The key belongs to a run of another task, or with other inputs."""


class RunHeld(RunError):
    """Another live process drives the run.

    Attributes:
        holder: who, as ``user@host pid N``.
    """

    def __init__(self, run: str, holder: str) -> None:
        super().__init__(run, f"run {run} is being driven by {holder}")
        self.holder = holder


class RunOver(RunError):
    """The run has ended already, and is not to be tried again."""


class LeaseLost(RunError):
    """Another driver took the run over; this one can no longer append to its journal."""


class RunCancelled(RunError):
    """The run was cancelled."""


class StoreError(RegrowError):
    """Something about the place where runs are kept."""


class StoreUnavailable(StoreError):
    """The store cannot be read or written now: full, read-only, locked, missing permissions."""


class UnreadableFormat(StoreError):
    """The store was written by a newer version of regrow."""


class Corrupted(StoreError):
    """What is stored is not what was written."""
