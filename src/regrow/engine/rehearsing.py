"""What of a run's records is played to its code in a rehearsal: all, but for how the tasks to be entered came out.

A task that has its outcome is answered from the journal as a whole. To see its code run again, its outcome is left out,
and so are those of the tasks around it; what they had called keeps its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from regrow.engine.state import RunState, enclosing, fold
from regrow.journal.records import (
    CallCancelled,
    CallFailed,
    CallSucceeded,
    Record,
    RunEnded,
    RunRetried,
)

_Outcome = CallSucceeded | CallFailed | CallCancelled


def without_outcomes(records: Sequence[Record], entered: Collection[str]) -> list[Record]:
    """Leave out how some tasks, and the run, came out in the end; what a retry had taken back stays."""
    last_life = max((record.seq for record in records if isinstance(record.event, RunRetried)), default=0)
    return [record for record in records if record.seq < last_life or not _is_left_out(record, entered)]


def _is_left_out(record: Record, entered: Collection[str]) -> bool:
    event = record.event
    return isinstance(event, RunEnded) or (isinstance(event, _Outcome) and event.call.path in entered)


def tasks_around(records: Sequence[Record], path: str) -> set[str]:
    """Give the tasks inside which a call was made, from the outermost on."""
    found: set[str] = set()
    outer = enclosing(path)
    while outer:
        found.add(outer)
        outer = enclosing(outer)
    return found | set(_outermost(records))


def tasks_that_failed(records: Sequence[Record]) -> set[str]:
    """Give the tasks through which the failure went that ended the run, from the outermost to where it arose.

    What it arose in is among them if that is a task: its code has raised it, and would again.
    """
    ended = next((one.event for one in reversed(records) if isinstance(one.event, RunEnded)), None)
    found = set(_outermost(records))
    if ended is None:
        return found
    state = fold(records)
    left = list(ended.again)
    while left:
        path = left.pop()
        known = state.calls.get(path)
        if known is None or known.call.kind != "task" or not isinstance(known.outcome, CallFailed):
            continue
        found.add(path)
        left.extend(known.outcome.again)
    return found


def unfinished(state: RunState) -> set[str]:
    """Give the tasks that have begun and have no outcome, so that their code goes on when the run does.

    A task that has called nothing is not among them: what its code does is all its own, and would be done.
    """
    return {
        path
        for path, known in state.calls.items()
        if known.call.kind == "task" and known.outcome is None and (not enclosing(path) or state.children(path))
    }


def _outermost(records: Sequence[Record]) -> Iterator[str]:
    for record in records:
        call = getattr(record.event, "call", None)
        if call is not None and not enclosing(call.path):
            yield call.path
            return
