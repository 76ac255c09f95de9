"""Why a run stands where it stands: what happened, what was tried, and each way on with the command that takes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from regrow.codec import ErrorRecord, Frame
from regrow.engine.conclude import PAUSED, STOPPED
from regrow.insight.answered import Answers, with_answers
from regrow.insight.drives import Drive
from regrow.insight.established import Established, established
from regrow.insight.healed import history, is_healed
from regrow.insight.last_seen import Here, last_seen
from regrow.insight.stops import stop_words
from regrow.insight.tree import CallNode, RunTree, tree_of
from regrow.insight.ways import Ending, WayOn, ways_on
from regrow.journal.orders import Stop
from regrow.journal.records import Diverged, Record, RunEnded, RunRetried
from regrow.journal.store import RunRow
from regrow.values.durations import readable

_UNKNOWN = ("regrow:OutcomeUnknown", "regrow.errors:OutcomeUnknown")
_DIVERGENCE = ("regrow:Divergence", "regrow.errors:Divergence")
"""By either name, since the public one is put on at the end of `import regrow`."""


class Explanation(msgspec.Struct, frozen=True):
    """What there is to say about a run.

    Attributes:
        run: its id.
        task: of which task it is a run.
        status: how it stands.
        headline: the whole story in one sentence.
        error: what ended it, if something did.
        frame: the place in the user's own code that this came from.
        known: what regrow has established of it: how sure it is, on what evidence, and which ways out fit.
        culprits: the calls from which the failure came, the innermost last, with all their attempts.
        unfinished: calls that had begun and not finished, while nobody drives the run.
        overcome: calls that succeeded after attempts that had failed.
        tried: what was done about failures, one sentence each.
        last_seen: what the workers of an interrupted run were doing, and what their machine did since.
        divergences: where code and journal parted.
        finished: how many calls have an outcome; none of them will be executed again.
        ways: what can be done now, the most likely first.
        stop: what keeps it from going on before it is lifted; None for nothing.
    """

    run: str
    task: str
    status: str
    headline: str
    error: ErrorRecord | None
    frame: Frame | None
    known: Established | None
    culprits: tuple[CallNode, ...]
    unfinished: tuple[CallNode, ...]
    overcome: tuple[CallNode, ...]
    tried: tuple[str, ...]
    last_seen: tuple[str, ...]
    divergences: tuple[Diverged, ...]
    finished: int
    ways: tuple[WayOn, ...]
    stop: Stop | None = None


RESOLVED = "resolved"
"""How the reason begins for which somebody let go of a run that only took it up to say what became of a call."""


def explain(
    row: RunRow,
    records: Sequence[Record],
    *,
    options: str = "",
    loading: str = "",
    here: Here | None = None,
    answers: Answers | None = None,
    stop: Stop | None = None,
    lift: str = "",
) -> Explanation:
    """Explain a run.

    Args:
        row: as the store lists it.
        records: its journal.
        options: what every command must be given, such as `` --store DIR``.
        loading: what a command that loads the code must be given as well, such as `` --file agent.py``.
        here: where this is asked, as it is now; None if nothing is known of it.
        answers: what people have answered in the store.
        stop: what keeps runs of its project from going on; None for nothing.
        lift: the command that lifts that.
    """
    tree = with_answers(tree_of(records), answers or {})
    end = _last_end(records)
    calls = list(tree.walk())
    error = end.error if end is not None and row.outcome == "failed" else None
    culprits = tuple(_culprits(end, tree)) if error is not None and end is not None else ()
    unfinished = tuple(call for call in calls if call.status in ("begun", "unknown", "waiting")) if not row.held else ()
    unfinished = unfinished if row.outcome != "succeeded" else ()
    overcome = tuple(
        call for call in calls if call.status == "succeeded" and any(one.outcome == "failed" for one in call.attempts)
    )
    frame, known = own_frame(error) if error is not None else None, established(error)
    finished = sum(call.status in ("succeeded", "failed", "cancelled") for call in calls)
    headline = _headline(row, tree, end, error, decided=not any(call.status == "unknown" for call in unfinished))
    if stop is not None and row.status == "running":
        headline = f"{row.task.rpartition(':')[2]} is about to be interrupted by {row.holder}: {stop_words(stop)}"
    ways = ways_on(row, Ending(_kind(error), frame, known), unfinished, options=options, loading=loading)
    if stop is not None and ways and row.status != "running":
        ways = (WayOn(f"first lift the stop, before which nothing goes on: {stop_words(stop)}", lift), *ways)
    return Explanation(
        run=row.id,
        task=row.task,
        status=row.status,
        headline=headline,
        error=error,
        frame=frame,
        known=known,
        culprits=culprits,
        unfinished=unfinished,
        overcome=overcome,
        tried=tuple(_tried(tree, culprits, overcome)),
        last_seen=_last_seen(row, tree, here),
        divergences=tree.divergences,
        finished=finished,
        ways=ways,
        stop=stop if row.outcome != "succeeded" else None,
    )


def own_frame(error: ErrorRecord) -> Frame | None:
    """Give the innermost place in the user's own code that an error went through, or else its cause did."""
    own = [frame for frame in error.frames if frame.own]
    if own:
        return own[-1]
    for inner in (error.cause, error.context, *error.members):
        if inner is not None and (frame := own_frame(inner)) is not None:
            return frame
    return None


def is_unknown(error: ErrorRecord | None) -> bool:
    """Tell whether an error says that the outcome of a once-only call is unknown."""
    return error is not None and error.type in _UNKNOWN


def _kind(error: ErrorRecord | None) -> Literal["unknown", "divergence", "other"]:
    if is_unknown(error):
        return "unknown"
    return "divergence" if error is not None and error.type in _DIVERGENCE else "other"


def _last_end(records: Sequence[Record]) -> RunEnded | None:
    for record in reversed(records):
        if isinstance(record.event, RunEnded):
            return record.event
        if isinstance(record.event, RunRetried):
            return None
    return None


def _culprits(end: RunEnded, tree: RunTree) -> list[CallNode]:
    """Follow the blame from the outermost call to the innermost one that failed."""
    by_path = {call.path: call for call in tree.walk()}
    found = [by_path[path] for path in end.again if path in by_path]
    for call in found:
        last = call.attempts[-1].error if call.attempts else None
        if last is None:
            continue
        # The same error, seen from the inside: it was handed on, or another one was raised because of it.
        found.extend(
            child
            for child in call.children
            if child.status == "failed" and child.error is not None and _comes_from(last, child.error)
        )
    return found


def _comes_from(error: ErrorRecord, origin: ErrorRecord) -> bool:
    if (error.type, error.message) == (origin.type, origin.message):
        return True
    return any(_comes_from(one, origin) for one in (error.cause, error.context, *error.members) if one is not None)


def _headline(row: RunRow, tree: RunTree, end: RunEnded | None, error: ErrorRecord | None, *, decided: bool) -> str:
    name = row.task.rpartition(":")[2]
    took = readable(max(0.0, (row.ended or tree.last) - row.created))
    match row.status:
        case "running" if row.paused_by is not None:
            return f"{name} is about to be paused, by {row.paused_by}; {row.holder} waits for the calls under way"
        case "paused":
            since = datetime.fromtimestamp(row.paused_at or 0.0).astimezone().strftime("%Y-%m-%d %H:%M:%S")
            return f"{name} is paused, by {row.paused_by} since {since}"
        case "running" if row.awaited:
            return f"{name} is being driven by {row.holder}, and waits for {row.awaited}"
        case "running":
            return f"{name} is being driven by {row.holder}; nothing has stopped it"
        case "waiting":
            return f"{name} waits for {row.awaited}"
        case "succeeded":
            return f"{name} succeeded after {took}"
        case "cancelled":
            return f"{name} was {end.reason if end is not None and end.reason else 'cancelled'} after {took}"
        case "failed" if is_unknown(error) and decided:
            return f"{name} stopped because nobody knew whether a once-only call happened; somebody has said so since"
        case "failed" if is_unknown(error):
            return f"{name} stopped because nobody knows whether a once-only call happened"
        case "failed":
            return f"{name} failed after {took}: {error.summary() if error is not None else 'no error was recorded'}"
        case _:
            return f"{name} was interrupted: {_interruption(tree)}"


def _last_drive(tree: RunTree) -> Drive | None:
    """Give the last drive in which the code was run."""
    drives = [drive for drive in tree.drives if not (drive.closed or "").startswith(RESOLVED)]
    return drives[-1] if drives else None


def _last_seen(row: RunRow, tree: RunTree, here: Here | None) -> tuple[str, ...]:
    drive = _last_drive(tree)
    if row.status != "interrupted" or drive is None or drive.closed is not None:
        return ()
    return last_seen(tree, drive, here)


def _interruption(tree: RunTree) -> str:
    last = _last_drive(tree)
    if last is None and tree.forked is not None:
        return "it is a fork that nobody has gone on with yet"
    if last is None:
        return "its driver was gone before anything was recorded"
    if last.closed is not None and last.closed.startswith((PAUSED, STOPPED)):
        return f"it was {last.closed}; {last.holder} let go of it in good order"
    if last.closed is not None:
        how = {"CancelledError": "stopped", "KeyboardInterrupt": "stopped with Ctrl-C", "SystemExit": "stopped"}
        return (
            f"{last.holder} was {how.get(last.closed, f'let go of it ({last.closed})')} and let go of it in good order"
        )
    # A driver that cannot write its journal cannot write that down either, and its lock goes with it as at a kill.
    return f"{last.holder} disappeared without a word (killed, or its machine went down, or it could not write)"


def _tried(tree: RunTree, culprits: Sequence[CallNode], overcome: Sequence[CallNode]) -> list[str]:
    said: list[str] = []
    for call in culprits:
        failed = [one for one in call.attempts if one.outcome == "failed"]
        if len(failed) > 1:
            waits = [
                following.started - one.ended
                for one, following in zip(call.attempts, call.attempts[1:], strict=False)
                if one.ended is not None and following.started is not None and following.started > one.ended
            ]
            waited = f", waiting {', '.join(map(readable, waits))} in between" if waits else ""
            said.append(f"{call.path} has failed {len(failed)} times{waited}")
    said.extend(
        f"{call.path} succeeded at attempt {call.attempts[-1].number}, after {_times(call)}" for call in overcome
    )
    said.extend(sentence for call in tree.walk() if is_healed(call) for sentence in history(call))
    if tree.retries:
        said.append(f"the run as a whole was retried {_count(tree.retries)}")
    if len(tree.drives) > 1 + tree.retries:
        said.append(f"it was taken up by {len(tree.drives)} drivers, one after another")
    return said


def _times(call: CallNode) -> str:
    failed = sum(one.outcome == "failed" for one in call.attempts)
    return "one failure" if failed == 1 else f"{failed} failures"


def _count(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
