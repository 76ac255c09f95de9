"""Two runs side by side: aligned by the paths of their calls, with what differs in inputs, results and failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from regrow.codec import ErrorRecord
from regrow.insight.preview import preview, preview_inputs
from regrow.journal.records import (
    Asked,
    AttemptFailed,
    BlobRef,
    Call,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    ChunkYielded,
    OfCall,
    Record,
    Spent,
    Value,
)
from regrow.values.money import readable_money

Aspect = Literal["there", "inputs", "outcome", "result", "failure", "attempts", "cost"]
_WIDTH = 160


class Difference(msgspec.Struct, frozen=True):
    """One thing that differs in one call.

    Attributes:
        aspect: what. `there`: only one of the runs has the call.
        left: how it is in the first run, in words.
        right: in the second.
    """

    aspect: Aspect
    left: str
    right: str


class CallDifference(msgspec.Struct, frozen=True):
    """A call that is not the same in both runs. Seconds are of the attempt that settled it; None where none did."""

    path: str
    differences: tuple[Difference, ...]
    left_seconds: float | None = None
    right_seconds: float | None = None


class Total(msgspec.Struct, frozen=True):
    """What one run amounts to: its calls, how many of their attempts failed, how long its steps took, and its cost.

    The cost is in billionths of a US dollar.
    """

    calls: int
    failed_attempts: int
    seconds: float
    cost: int


class RunDifference(msgspec.Struct, frozen=True):
    """What differs between two runs.

    Attributes:
        same: how many calls are the same in both.
        part_at: the first call of the first run, in the order of its journal, that is not, for another reason than what
            it cost; empty if there is none.
        calls: those that are not, in that order; then those that only the second run has.
        left: of the first run.
        right: of the second.
    """

    same: int
    part_at: str
    calls: tuple[CallDifference, ...]
    left: Total
    right: Total


class _Seen(msgspec.Struct):
    call: Call
    outcome: CallSucceeded | CallFailed | CallCancelled | None = None
    failed: int = 0
    seconds: float | None = None
    chunks: list[Value] = msgspec.field(default_factory=list)
    cost: int = 0


def difference(left: Sequence[Record], right: Sequence[Record]) -> RunDifference:
    """Compare two runs by their records."""
    first, second = _calls_of(left), _calls_of(right)
    found: list[CallDifference] = []
    same = 0
    for path in (*first, *(path for path in second if path not in first)):
        one, other = first.get(path), second.get(path)
        differing = tuple(_differences(one, other))
        if differing:
            seconds = (one.seconds if one else None, other.seconds if other else None)
            found.append(CallDifference(path, differing, *seconds))
        else:
            same += 1
    return RunDifference(same, _where_they_part(found), tuple(found), _total(first), _total(second))


def _where_they_part(found: Sequence[CallDifference]) -> str:
    """Give the first call that differs; not one around it, which differs because of it."""
    going_elsewhere = [call for call in found if any(one.aspect != "cost" for one in call.differences)]
    for call in going_elsewhere:
        if not any(other.path.startswith(f"{call.path}/") for other in going_elsewhere):
            return call.path
    return ""


def _calls_of(records: Sequence[Record]) -> dict[str, _Seen]:
    found: dict[str, _Seen] = {}
    for record in records:
        event = record.event
        if not isinstance(event, OfCall):
            continue
        seen = found.setdefault(event.call.path, _Seen(event.call))
        match event:
            case CallSucceeded() | CallFailed() | CallCancelled():
                seen.outcome = event
                seen.seconds = max(0.0, record.time - event.started)
                seen.failed += isinstance(event, CallFailed)
            case AttemptFailed():
                seen.failed += 1
            case ChunkYielded():
                seen.chunks[event.index :] = [event.value]
            case CallStarted() | Asked():
                pass
    for record in records:
        if isinstance(record.event, Spent) and (payer := found.get(record.event.path)) is not None:
            payer.cost += record.event.amount
    return found


def _differences(one: _Seen | None, other: _Seen | None) -> list[Difference]:
    if one is None or other is None:
        return [Difference("there", _said(one), _said(other))]
    found = []
    if one.call.digest != other.call.digest:
        found.append(Difference("inputs", _inputs(one), _inputs(other)))
    match one.outcome, other.outcome:
        case CallSucceeded() as left, CallSucceeded() as right:
            if (left.value, one.chunks) != (right.value, other.chunks):
                found.append(Difference("result", _result(one), _result(other)))
        case CallFailed() as left, CallFailed() as right:
            if _failure(left.error) != _failure(right.error):
                found.append(Difference("failure", left.error.summary(), right.error.summary()))
        case left, right if type(left) is not type(right):
            found.append(Difference("outcome", _said(one), _said(other)))
        case _:
            pass
    if one.failed != other.failed:
        found.append(Difference("attempts", f"{one.failed} failed", f"{other.failed} failed"))
    if one.cost != other.cost:
        found.append(Difference("cost", readable_money(one.cost), readable_money(other.cost)))
    return found


def _said(seen: _Seen | None) -> str:
    """Say how a call stands in one of the runs."""
    if seen is None:
        return "not made"
    match seen.outcome:
        case None:
            return "not finished"
        case CallSucceeded():
            return f"gave {_result(seen)}"
        case CallFailed():
            return f"failed of {seen.outcome.error.summary()}"
        case CallCancelled():
            return "given up"


def _inputs(seen: _Seen) -> str:
    return preview_inputs(seen.call.inputs, width=_WIDTH) or f"inputs {seen.call.digest.hex()[:12]}"


def _result(seen: _Seen) -> str:
    assert isinstance(seen.outcome, CallSucceeded)  # noqa: S101 - asked only then
    if seen.outcome.chunks is not None:
        return f"{seen.outcome.chunks} values"
    value = seen.outcome.value
    return f"{value.size} bytes" if isinstance(value, BlobRef) else preview(value, width=_WIDTH)


def _failure(error: ErrorRecord) -> tuple[str, str]:
    """Give what makes two failures the same: where exactly in which file they arose may differ."""
    return error.type, error.message


def _total(calls: dict[str, _Seen]) -> Total:
    return Total(
        len(calls),
        sum(seen.failed for seen in calls.values()),
        # Tasks contain what is inside of them; counted once, by what does the work.
        sum(seen.seconds or 0.0 for seen in calls.values() if seen.call.kind != "task"),
        sum(seen.cost for seen in calls.values()),
    )
