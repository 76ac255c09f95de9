"""What was done about failures, in words: the same ones in `show`, `why`, and the live view."""

from __future__ import annotations

from collections.abc import Iterator

from regrow.errors import Preempted, WorkerLost
from regrow.insight.established import failure_name
from regrow.insight.tree import Attempt, CallNode
from regrow.insight.workers import Growth
from regrow.journal.records import RecordedFallback, RecordedRemedy, WorkerGrown
from regrow.remedies import AskHuman, Extend, Grow, Resume, RetryAfter
from regrow.values.durations import readable
from regrow.values.sizes import readable_size

_AFTER = {Preempted.__name__: " after preemption", WorkerLost.__name__: " after its worker was lost"}


def remedy_words(remedy: RecordedRemedy | None, failure: str = "") -> str:
    """Say what was done, such as ``grown to 512 MiB``.

    Args:
        remedy: what was chosen; None for the plain retry.
        failure: the name of the failure's class, where that adds to it.
    """
    match remedy:
        case None:
            return "tried again"
        case Grow():
            parts = [words for words in _grown(remedy) if words]
            return f"grown to {' and '.join(parts)}" if parts else "tried again"
        case Extend(timeout=timeout):
            return f"given {readable(timeout)} an attempt"
        case Resume():
            return f"resumed{_AFTER.get(failure, '')}"
        case RetryAfter(seconds=seconds):
            return f"tried again after {readable(seconds)}" if seconds else "tried again"
        case RecordedFallback(task=task):
            return f"answered by {task} instead"
        case AskHuman():
            return "put to a person"


def growth_words(growth: Growth | WorkerGrown) -> str:
    """Say that a limit was raised under a worker, and what that cost."""
    amounts = two_sizes(growth.before, "→", growth.after)
    return f"{amounts} in place, held {readable(growth.held)}, nothing lost"


def two_sizes(first: int, word: str, second: int) -> str:
    """Give two amounts with a word between them, and their unit once if it is the same: ``240 of 256 MiB``."""
    one, other = readable_size(first), readable_size(second)
    number, _, unit = one.partition(" ")
    return f"{number if other.endswith(f' {unit}') else one} {word} {other}"


def what_followed(attempt: Attempt) -> str:
    """Say what a failed attempt led to, and who chose that; empty if nothing followed."""
    if not attempt.chosen_by:
        return ""
    words = remedy_words(attempt.remedy, failure_name(attempt.error))
    anew = " and begun again" if isinstance(attempt.remedy, Grow) else ""
    since = f" from checkpoint {attempt.checkpoint}" if attempt.checkpoint else ""
    return f"{words}{anew}{since} ({attempt.chosen_by}{'' if attempt.counts else ', takes nothing off its retries'})"


def history(call: CallNode) -> Iterator[str]:
    """Tell how a call was healed, one sentence each, oldest first."""
    for attempt in call.attempts:
        if attempt.worker is not None:
            for growth in attempt.worker.grown:
                yield f"{call.path}: attempt {attempt.number} reached its limit: {growth_words(growth)}"
        if followed := what_followed(attempt):
            yield f"{call.path}: attempt {attempt.number} ended in {failure_name(attempt.error)}: {followed}"


def is_healed(call: CallNode) -> bool:
    """Tell whether more than a plain retry was done for a call."""
    return any(
        attempt.remedy is not None or (attempt.worker is not None and attempt.worker.grown) for attempt in call.attempts
    )


def _grown(remedy: Grow) -> Iterator[str]:
    if remedy.memory is not None:
        yield readable_size(remedy.memory)
    if remedy.disk is not None:
        yield f"{readable_size(remedy.disk)} of scratch disk"
    if remedy.output is not None:
        yield f"{readable_size(remedy.output)} of output"
    if remedy.processes is not None:
        yield f"{remedy.processes} processes"
