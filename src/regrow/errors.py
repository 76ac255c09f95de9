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
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, Self

from regrow.remedies import Extend, GiveUp, Grow, Remedy, Resume, RetryAfter, described, shown_size

Confidence = Literal["certain", "likely", "unknown"]
"""How sure it is what a failure was."""

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
    """A task or step did not succeed for a reason that regrow itself has established.

    Attributes:
        layer: where it arose.
        path: the call that failed; empty where it is not about one.
        confidence: how sure it is that this is what happened.
        evidence: what it was concluded from, one sentence each, the strongest first.
        facts: what was known of the attempt: numbers and texts by name, such as ``attempt``, ``limits``, ``samples``.
        history: the failed attempts that came before it, one line each, where healing was given up.
    """

    layer: Layer = "infrastructure"
    path: str = ""
    confidence: Confidence = "certain"
    evidence: tuple[str, ...] = ()
    facts: dict[str, Any] = {}  # noqa: RUF012 - a default that nobody writes to: `explained` sets a new one
    history: tuple[str, ...] = ()

    def explained(
        self,
        *,
        confidence: Confidence = "certain",
        evidence: tuple[str, ...] = (),
        facts: dict[str, Any] | None = None,
    ) -> Self:
        """Say how it is known, and give it back."""
        self.confidence = confidence
        self.evidence = evidence
        self.facts = facts if facts is not None else {}
        return self

    @property
    def context(self) -> dict[str, Any]:
        """All that is known of the failure, as plain data: for a policy, a log, or a model."""
        own = {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "facts"}
        told = {"failure": type(self).__name__, "message": str(self), "layer": self.layer}
        return told | {"confidence": self.confidence, "evidence": self.evidence} | self.facts | own

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """The ways out that fit this very failure, the most promising first."""
        return (RetryAfter(0.0), GiveUp())

    def describe(self) -> str:
        """Tell it in a few lines that a model, or a person, can act on."""
        lines = [f"{type(self).__name__} ({self.layer}, {self.confidence}): {self}"]
        lines += [f"- {sentence}" for sentence in self.evidence]
        lines += [f"- {name}: {told}" for name, value in self.facts.items() if (told := _told(name, value))]
        lines += [f"- before: {line}" for line in self.history]
        lines.append("Ways out:")
        lines += [f"- {described(remedy)}" for remedy in self.remedies]
        return "\n".join(lines)


class OutOfMemory(Failure, MemoryError):
    """A worker reached its memory limit.

    Attributes:
        peak: the most that it was seen to use, in bytes; None if that is not known.
        limit: what it was allowed, in bytes; None if it was the host's, or if it is not known whose it was.
        growth: how fast it grew in the end, in bytes per second; None if that is not known.
        enforced_by: what stopped it, such as ``cgroup v2`` or ``RLIMIT_DATA``.
        ceiling: the largest limit that this host could give, in bytes; None if that is not known.
    """

    def __init__(
        self,
        path: str,
        *,
        peak: int | None,
        limit: int | None,
        growth: float | None = None,
        enforced_by: str = "",
        ceiling: int | None = None,
    ) -> None:
        reached = "" if limit is None else f": it reached its limit of {shown_size(limit)}"
        seen = "" if peak is None else f" (peak {shown_size(peak)})"
        super().__init__(f"{path or 'it'} ran out of memory{reached}{seen}")
        self.path = path
        self.peak = peak
        self.limit = limit
        self.growth = growth
        self.enforced_by = enforced_by
        self.ceiling = ceiling

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """More memory, if the host has it."""
        if self.limit is None:
            return (RetryAfter(1.0), GiveUp())
        more = 2 * max(self.limit, self.peak or 0)
        if self.ceiling is not None:
            more = min(more, self.ceiling)
        return (Grow(memory=more), GiveUp()) if more > self.limit else (GiveUp(),)


class TimedOut(Failure, TimeoutError):
    """A timeout (one attempt) or a deadline (all attempts together) passed.

    Attributes:
        limit: the time that this attempt had, in seconds.
        scope: which of the two it was. Of a deadline, earlier attempts may have used up a part.
    """

    def __init__(self, path: str, limit: float, scope: Literal["timeout", "deadline"]) -> None:
        how = f"within {limit:g} s" if scope == "timeout" else f"by its deadline, {limit:g} s after this attempt began"
        super().__init__(f"{path} did not finish {how}")
        self.path = path
        self.limit = limit
        self.scope = scope

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """More time for an attempt; a deadline is the author's last word."""
        return (Extend(2 * self.limit), RetryAfter(0.0), GiveUp()) if self.scope == "timeout" else (GiveUp(),)


class Preempted(Failure):
    """The place in which a worker ran was taken away: it got a SIGTERM, or its provider gave notice.

    Attributes:
        grace: how many seconds it had to save its work.
        source: who said so, such as ``SIGTERM`` or ``aws``.
    """

    def __init__(self, path: str, *, grace: float, source: str = "SIGTERM") -> None:
        super().__init__(f"{path} was preempted ({source}) with {grace:g} s of grace")
        self.path = path
        self.grace = grace
        self.source = source

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """It can go on elsewhere, or here, from its last checkpoint."""
        return (Resume(), GiveUp())


class WorkerLost(Failure):
    """A worker was killed from outside, or disappeared, and nothing says that it was its own fault.

    Attributes:
        signal: the name of the signal that it died of, if that is known.
    """

    def __init__(self, path: str, *, signal: str | None = None) -> None:
        how = f"was killed from outside with {signal}" if signal else "disappeared"
        super().__init__(f"{path}: its worker {how}")
        self.path = path
        self.signal = signal

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """Nothing speaks against beginning again."""
        return (Resume(), GiveUp())


class Crashed(Failure):
    """A worker died of a signal of its own making (a segmentation fault, say), or left with an exit code.

    Attributes:
        signal: the name of the signal, or None.
        code: the exit code, or None.
    """

    def __init__(self, path: str, *, signal: str | None = None, code: int | None = None) -> None:
        how = f"died of {signal}" if signal else f"left with exit code {code} and without a result"
        super().__init__(f"{path}: its worker {how}")
        self.path = path
        self.signal = signal
        self.code = code

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """A crash may be a matter of luck; code that has left will leave again."""
        return (RetryAfter(0.0), GiveUp()) if self.signal is not None else (GiveUp(),)


class DiskFull(Failure, OSError):
    """A worker filled its scratch folder up to its limit, or the disk was full.

    Attributes:
        used: bytes in its scratch folder, if that is known.
        limit: what it was allowed, in bytes; None if the disk itself was full.
        enforced_by: what stopped it.
    """

    def __init__(self, path: str, *, used: int | None, limit: int | None, enforced_by: str = "") -> None:
        what = "the disk is full" if limit is None else f"its scratch folder reached its limit of {shown_size(limit)}"
        super().__init__(f"{path or 'it'} ran out of disk: {what}")
        self.path = path
        self.used = used
        self.limit = limit
        self.enforced_by = enforced_by

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """More of the disk, if it was a limit of ours."""
        return (Grow(disk=2 * self.limit), GiveUp()) if self.limit is not None else (RetryAfter(60.0), GiveUp())


class ProcessLimit(Failure):
    """A worker started more processes than it may.

    Attributes:
        limit: how many it may have at a time.
        enforced_by: what stopped it.
    """

    def __init__(self, path: str, *, limit: int, enforced_by: str = "") -> None:
        super().__init__(f"{path} started more than {limit} processes")
        self.path = path
        self.limit = limit
        self.enforced_by = enforced_by

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """More of them, if that was meant."""
        return (Grow(processes=2 * self.limit), GiveUp())


class OutputLimit(Failure):
    """A worker printed more than it may.

    Attributes:
        limit: how many bytes it may print.
    """

    def __init__(self, path: str, *, limit: int) -> None:
        super().__init__(f"{path} printed more than {shown_size(limit)}")
        self.path = path
        self.limit = limit

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """More of it, if that was meant."""
        return (Grow(output=2 * self.limit), GiveUp())


class RateLimited(Failure):
    """A service asked the code to come back later.

    Attributes:
        retry_after: when, in seconds from then; None if it did not say.
        status: the HTTP status, if there was one.
    """

    layer: Layer = "network"

    def __init__(self, message: str, *, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """Do as it asked."""
        return (RetryAfter(self.retry_after if self.retry_after is not None else 30.0), GiveUp())


class Unavailable(Failure):
    """A service was not there, or said that it could not answer now.

    Attributes:
        status: the HTTP status, if there was one.
        retry_after: when it asked to be tried again, in seconds; None if it did not say.
    """

    layer: Layer = "network"

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """It may be there again in a while."""
        return (RetryAfter(self.retry_after if self.retry_after is not None else 5.0), GiveUp())


class ConnectionLost(Failure):
    """The network failed under a call: refused, reset, unresolved, or silent for too long."""

    layer: Layer = "network"

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """The next connection may hold."""
        return (RetryAfter(1.0), GiveUp())


class Raised(Failure):
    """Stands for an exception of the code's own where a policy is asked for a remedy; `error` is that exception."""

    layer: Layer = "logical"

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.error = error


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


class NoAnswer(Failure, TimeoutError):
    """Nobody answered a question, or no signal came, within the time that was given for it.

    Attributes:
        path: the call that waited.
        limit: how long that was, in seconds.
    """

    layer: Layer = "logical"

    def __init__(self, path: str, limit: float, what: str = "nobody answered") -> None:
        super().__init__(f"{path}: {what} within {limit:g} s")
        self.path = path
        self.limit = limit

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """To wait again, or to do without."""
        return (RetryAfter(0.0), GiveUp())


class Denied(Failure):
    """A call was not approved, and was not executed.

    Attributes:
        path: the call.
        who: who said no; empty if nobody said anything in time.
        why: the reason that they gave.
    """

    layer: Layer = "logical"

    def __init__(self, path: str, who: str, why: str = "") -> None:
        by = f"was denied by {who}" if who else "was not approved in time"
        super().__init__(f"{path} {by}{f': {why}' if why else ''}; it was not executed")
        self.path = path
        self.who = who
        self.why = why

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """None: a person has decided."""
        return (GiveUp(),)


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


class AskError(RegrowError):
    """Something about a question to people.

    Attributes:
        ask: the question's id (or what the user typed for it).
    """

    def __init__(self, ask: str, message: str) -> None:
        super().__init__(message)
        self.ask = ask


class UnknownAsk(AskError, LookupError):
    """The store has no such question."""


class AskClosed(AskError):
    """The question can't be answered any more, or not by this person."""


class UnfitAnswer(AskError, ValueError):
    """The answer is not what was asked for.

    Attributes:
        where: the field that does not fit, such as ``answer.items[3].price``.
        reason: what is wrong with it.
    """

    def __init__(self, ask: str, where: str, reason: str) -> None:
        super().__init__(ask, f"{where}: {reason}")
        self.where = where
        self.reason = reason


class BadSignature(RegrowError):
    """A signed message that is forged, was changed on its way, is too old, or was used before."""


class Conflict(RegrowError):
    """A memory is not at the version that a write expected: somebody else was quicker. Nothing was written.

    Attributes:
        memory: its name.
        expected: the version that the writer had seen; if `key` is given, the one in which that was last written.
        actual: the one that it is.
        since: who has written meanwhile, one line each, the latest few.
        key: of the document that was compared; empty where it was the whole memory.
    """

    def __init__(self, memory: str, expected: int, actual: int, since: tuple[str, ...] = (), *, key: str = "") -> None:
        what = f"{key!r} in memory {memory}" if key else f"memory {memory}"
        meanwhile = f" (since then: {'; '.join(since)})" if since else ""
        super().__init__(
            f"{what} is at version {actual}, not at {expected}{meanwhile}; nothing was written: read it again and "
            f"decide anew, or let memory.update() or regrow.retry_on_conflict() do that"
        )
        self.memory = memory
        self.expected = expected
        self.actual = actual
        self.since = since
        self.key = key


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


class RunPaused(RunError):
    """The run is paused: nothing of it goes on until somebody resumes it.

    Attributes:
        by: who has paused it.
        since: when, in seconds since the epoch.
    """

    def __init__(self, run: str, by: str, since: float) -> None:
        super().__init__(run, f"run {run} is paused, by {by} since {_moment(since)}; go on with: regrow resume {run}")
        self.by = by
        self.since = since


class RunStopped(RunError):
    """Somebody has stopped all runs of a project, or of the whole store; none is begun or gone on with.

    Attributes:
        by: who.
        since: when, in seconds since the epoch.
        reason: why, in their words; may be empty.
        project: the project; empty for the whole store.
    """

    def __init__(self, run: str, by: str, since: float, reason: str, project: str) -> None:
        what, option = (f"project {project!r}", f"--project {project}") if project else ("this store", "--all")
        said = f" ({reason})" if reason else ""
        super().__init__(
            run,
            f"nothing of {what} may run: it was stopped by {by} at {_moment(since)}{said}; "
            f"lift that with: regrow stop --lift {option}",
        )
        self.by = by
        self.since = since
        self.reason = reason
        self.project = project


class StoreError(RegrowError):
    """Something about the place where runs are kept."""


class StoreUnavailable(StoreError):
    """The store cannot be read or written now: full, read-only, locked, missing permissions."""


class UnreadableFormat(StoreError):
    """The store was written by a newer version of regrow."""


class Corrupted(StoreError):
    """What is stored is not what was written."""


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def _told(name: str, value: object) -> str:
    """Give a fact as a reader wants it; nothing for one that is no single figure or text."""
    match name, value:
        case "peak", int():
            return shown_size(value)
        case "ran", int() | float():
            return f"{value:.2f} s"
        case _, str() | int():
            return str(value)
        case _, float():
            return f"{value:.6g}"
        case _:
            return ""
