"""A run as the timeline of its attempts: how long each took, what it used against its limit, and how it was healed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from regrow.codec import ErrorRecord
from regrow.errors import Confidence
from regrow.insight.established import established, failure_name
from regrow.insight.healed import growth_words, remedy_words
from regrow.insight.tree import Attempt, AttemptOutcome, CallNode, tree_of
from regrow.journal.records import CallKind, Record


class AttemptLine(msgspec.Struct, frozen=True):
    """One attempt at a call. Moments are seconds since the epoch, amounts bytes.

    Attributes:
        path: of the call.
        name: what was called.
        kind: task, step, stream, sleep or now.
        inputs: what it was given, for people; empty where that was not kept.
        attempt: which attempt, from 1. One that a crash cut and that began again is there twice.
        start: when it began.
        end: when it ended; None if it has not, or if nobody was left to see it.
        outcome: how it went.
        isolated: whether it had a worker process of its own.
        samples: how much memory that used: pairs of a moment and an amount.
        limits: its memory limit over time: pairs of a moment and the limit from then on (None for no limit).
        peak: the most memory that it is known to have used.
        enforced_by: what held it to its limits, the strongest first.
        size_from: where its memory limit came from, if not from the task's own ``memory=``.
        growths: each time that its limit was raised under it, in words.
        failure: the name of the class of what it failed of, such as ``OutOfMemory``; empty if it did not.
        message: what that said, in one line.
        confidence: how sure that is; None for an exception of the code's own.
        evidence: what it was concluded from, one sentence each.
        remedy: what was done about it, such as ``grown to 512 MiB``; empty if nothing followed.
        chosen_by: which rung of the ladder chose that; empty if nothing followed.
    """

    path: str
    name: str
    kind: CallKind
    inputs: str
    attempt: int
    start: float
    end: float | None
    outcome: AttemptOutcome
    isolated: bool = False
    samples: tuple[tuple[float, int], ...] = ()
    limits: tuple[tuple[float, int | None], ...] = ()
    peak: int | None = None
    enforced_by: tuple[str, ...] = ()
    size_from: str = ""
    growths: tuple[str, ...] = ()
    failure: str = ""
    message: str = ""
    confidence: Confidence | None = None
    evidence: tuple[str, ...] = ()
    remedy: str = ""
    chosen_by: str = ""


def attempts_of(records: Sequence[Record]) -> tuple[AttemptLine, ...]:
    """Give every attempt of a run, in the order in which they began."""
    found = [
        _line(call, attempt, attempt.started)
        for call in tree_of(records).walk()
        for attempt in call.attempts
        if attempt.started is not None
    ]
    return tuple(sorted(found, key=lambda line: line.start))


def _line(call: CallNode, attempt: Attempt, started: float) -> AttemptLine:
    line = AttemptLine(
        path=call.path,
        name=call.name,
        kind=call.kind,
        inputs=call.inputs,
        attempt=attempt.number,
        start=started,
        end=attempt.ended,
        outcome=attempt.outcome,
        remedy=remedy_words(attempt.remedy, failure_name(attempt.error)) if attempt.chosen_by else "",
        chosen_by=attempt.chosen_by,
    )
    return _with_failure(_with_worker(line, attempt), attempt.error)


def _with_worker(line: AttemptLine, attempt: Attempt) -> AttemptLine:
    worker = attempt.worker
    if worker is None:
        return line
    return msgspec.structs.replace(
        line,
        end=attempt.ended if attempt.ended is not None else worker.ended,
        isolated=True,
        samples=worker.samples,
        limits=worker.limits,
        peak=worker.peak,
        enforced_by=worker.enforced_by,
        size_from=worker.size_from,
        growths=tuple(map(growth_words, worker.grown)),
    )


def _with_failure(line: AttemptLine, error: ErrorRecord | None) -> AttemptLine:
    if error is None:
        return line
    known = established(error)
    return msgspec.structs.replace(
        line,
        failure=failure_name(error),
        message=error.message.partition("\n")[0],
        confidence=known.confidence if known is not None else None,
        evidence=known.evidence if known is not None else (),
    )
