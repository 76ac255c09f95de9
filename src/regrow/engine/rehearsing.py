"""What of a run's records is played to its code in a rehearsal: all, but for how the tasks to be entered came out.

A task that has its outcome is answered from the journal as a whole. To see its code run again, its outcome is left out,
and so are those of the tasks around it; what they had called keeps its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from regrow.engine.forking import paths_of
from regrow.engine.state import RunState, enclosing, fold
from regrow.journal.records import (
    AttemptFailed,
    CallFailed,
    CallOutcome,
    CallSucceeded,
    CheckpointSaved,
    Record,
    RunEnded,
    RunRetried,
)


def without_outcomes(
    records: Sequence[Record], entered: Collection[str], *, from_the_start: bool = False
) -> list[Record]:
    """Leave out how some tasks, and the run, came out in the end; what a retry had taken back stays.

    Args:
        records: of the run.
        entered: the tasks.
        from_the_start: leave out their checkpoints, too. Those of a task that has succeeded are left out in any case:
            they are let go of then, and the code would find nothing left to do.
    """
    left_out = _in_effect(records, entered)
    begun_anew = set(entered)
    if not from_the_start:
        begun_anew &= {one.event.call.path for one in records if isinstance(one.event, CallSucceeded)}
    return [
        record
        for record in records
        if not (isinstance(record.event, CheckpointSaved) and record.event.path in begun_anew)
        and record.seq not in left_out
    ]


def _in_effect(records: Sequence[Record], entered: Collection[str]) -> set[int]:
    """Give the places at which some tasks, and the run, came out, and which nothing has taken back since.

    A success is never taken back, in whichever life of the run it was. A failure is, by a retry of the run or by the
    next attempt at the call around it; then it is played, or the failures inside of it would stand.
    """
    state = RunState()
    standing: dict[str, dict[int, CallOutcome]] = {}
    ended: set[int] = set()
    for record in records:
        event = record.event
        state.apply(record)
        if isinstance(event, RunEnded):
            ended.add(record.seq)
        elif isinstance(event, CallOutcome) and event.call.path in entered:
            standing.setdefault(event.call.path, {})[record.seq] = event
        elif isinstance(event, RunRetried | AttemptFailed):
            if isinstance(event, RunRetried):
                ended.clear()
            for path, outcomes in standing.items():
                if (known := state.calls.get(path)) is not None:  # or it lies inside of a success, which is final
                    left = (known.outcome, known.unseen)
                    standing[path] = {seq: one for seq, one in outcomes.items() if any(one is it for it in left)}
    return ended.union(*standing.values())


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

    What it arose in is among them if that is a task whose own code has raised it, and would again. One that was ended
    from outside (it ran out of memory or time, or its worker died) is not: nothing would hold it now.
    """
    ended = next((one.event for one in reversed(records) if isinstance(one.event, RunEnded)), None)
    state = fold(records)
    found = unfinished(state)
    left = list(ended.again) if ended is not None else []
    if not left:
        return found | set(_outermost(records))
    while left:
        path = left.pop()
        known = state.calls.get(path)
        if known is None or known.call.kind != "task":
            continue
        if isinstance(known.outcome, CallFailed):
            if _was_ended_from_outside(known.outcome):
                continue
            left.extend(known.outcome.again)
        elif enclosing(path):
            continue
        found.add(path)
    return found


def _was_ended_from_outside(failed: CallFailed) -> bool:
    return failed.error.layer == "infrastructure" and not failed.again


def with_calls(records: Sequence[Record], entered: Collection[str]) -> set[str]:
    """Give those of some tasks that have made a recorded call, and the outermost.

    What the code of the others does is all its own, and would be done.
    """
    outer = {enclosing(path) for path in paths_of(records)}
    return {path for path in entered if path in outer or not enclosing(path)}


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
