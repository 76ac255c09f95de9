"""What a fork takes over of the run that it is made of: the records up to a call, some of them with another outcome.

A fork is what a crash at that moment would have left, under another id. Going on with it needs nothing that resuming a
run does not need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from regrow.engine.state import enclosing
from regrow.errors import UsageError
from regrow.journal.pins import pins_of
from regrow.journal.records import (
    Call,
    CallOutcome,
    CallStarted,
    CallSucceeded,
    DriverClosed,
    DriverOpened,
    Event,
    OfCall,
    OfPath,
    Record,
    RunCreated,
    RunEnded,
    RunForked,
    RunRetried,
    Value,
)


class Copied(msgspec.Struct, frozen=True):
    """A record as a fork takes it over."""

    time: float
    actor: str
    event: Event


class NewInputs(msgspec.Struct, frozen=True):
    """Other inputs for the fork.

    Attributes:
        value: all of them, encoded.
        digest: of them.
        shown: the same as `value` where that is small, for people.
        changed: the names of those that are other than before.
    """

    value: Value
    digest: bytes
    shown: bytes
    changed: tuple[str, ...]


class Fork(msgspec.Struct, frozen=True):
    """How a fork begins.

    Attributes:
        created: its first record's event.
        forked: its second one's.
        copied: what follows.
    """

    created: RunCreated
    forked: RunForked
    copied: tuple[Copied, ...]


def paths_of(records: Sequence[Record]) -> dict[str, Call]:
    """Give all recorded calls by path, in the order in which something was first recorded of them."""
    return {event.call.path: event.call for event in (one.event for one in records) if isinstance(event, OfCall)}


def plan_fork(
    records: Sequence[Record],
    run: str,
    *,
    key: str | None,
    at: str = "",
    replaced: Mapping[str, Value] | None = None,
    inputs: NewInputs | None = None,
) -> Fork:
    """Say how a fork begins.

    Args:
        records: of the run that it is made of.
        run: the fork's own id.
        key: the fork's own key.
        at: path of the first call that the fork makes afresh, unless it is among those that are replaced: then that is
            the last one that it does not. Empty for the whole journal, of which all is kept that still fits.
        replaced: other results, encoded, by the paths of their calls.
        inputs: the run's other inputs.

    Raises:
        UsageError: a call is not recorded, not of a kind whose result can be replaced, or comes after `at`.
    """
    replaced = dict(replaced or {})
    calls = paths_of(records)
    for path in (*replaced, *([at] if at else [])):
        if path not in calls:
            raise UsageError(f"no call {path!r} is recorded; `regrow show RUN --full` lists them")
    for path in replaced:
        if calls[path].kind in ("stream", "sleep"):
            raise UsageError(f"{path} is a {calls[path].kind}, and has no single result that could be replaced")
        if calls[path].kind == "memory":
            raise UsageError(f"{path} reads or writes a memory: what is recorded of it is a place there, and no value")
    prefix = _prefix(records, at) if at else list(records)
    copied: list[Copied] = []
    settled = {path: _place_of(prefix, path) for path in replaced}
    last_life = max((place for place, one in enumerate(prefix) if isinstance(one.event, RunRetried)), default=0)
    outermost = next((path for path in calls if not enclosing(path)), "")
    in_flight = _settled(records) - _settled(prefix)
    for place, record in enumerate(prefix):
        copied.extend(
            Copied(record.time, record.actor, _given(calls[path], replaced[path], record.time))
            for path, there in settled.items()
            if there == place
        )
        event = record.event
        if any(_concerns(event, path) for path in replaced):
            continue
        if isinstance(event, CallStarted) and event.once and event.call.path in in_flight:
            continue  # what came of it is known, and was the other run's; the fork makes it under a key of its own
        if _is_taken_over(event, outermost, is_last_life=place >= last_life):
            copied.append(Copied(record.time, record.actor, _with_inputs(event, outermost, inputs)))
    for path in (path for path, there in settled.items() if there is None):
        if path != at:
            raise UsageError(f"{path} comes after {at}, and is made afresh; replace what comes before that")
        time = records[len(prefix)].time
        copied.append(Copied(time, "driver", _given(calls[path], replaced[path], time)))
    created = _created(records, run, key, inputs)
    changed = inputs.changed if inputs is not None else ()
    lineage = _lineage(records, prefix[-1].time)
    memories = {name: pin.version for name, pin in pins_of(one.event for one in copied).items()}
    forked = RunForked(_original(records).run, at, prefix[-1].seq, tuple(replaced), changed, lineage, memories)
    return Fork(created, forked, tuple(copied))


def _lineage(records: Sequence[Record], moment: float) -> tuple[tuple[str, float], ...]:
    """Give the runs that a fork goes back to, each with the moment up to which its memories count."""
    parents = next((one.event.lineage for one in records if isinstance(one.event, RunForked)), ())
    return ((_original(records).run, moment), *((run, min(moment, until)) for run, until in parents))


def _prefix(records: Sequence[Record], at: str) -> list[Record]:
    """Give what was recorded before anything was of the call at a path."""
    prefix: list[Record] = []
    for record in records:
        if _concerns(record.event, at):
            break
        prefix.append(record)
    return prefix


def _place_of(prefix: Sequence[Record], path: str) -> int | None:
    """Give the place in a prefix at which a call was settled last; None if nothing is recorded of it there."""
    about = [place for place, record in enumerate(prefix) if _concerns(record.event, path)]
    ends = [
        place for place in about if isinstance(event := prefix[place].event, CallOutcome) and event.call.path == path
    ]
    return ends[-1] if ends else about[-1] if about else None


def _settled(records: Sequence[Record]) -> set[str]:
    """Give the calls that have an outcome."""
    return {one.event.call.path for one in records if isinstance(one.event, CallOutcome)}


def _concerns(event: Event, path: str) -> bool:
    """Tell whether an event is about a call, or about something inside of it."""
    own = event.call.path if isinstance(event, OfCall) else event.path if isinstance(event, OfPath) else None
    return own is not None and (own == path or own.startswith(f"{path}/"))


def _is_taken_over(event: Event, outermost: str, *, is_last_life: bool) -> bool:
    """Tell whether a record is copied. How the run ended is not, unless it was retried: that takes it back.

    Who drove the other run is not, either: nobody has driven this one.
    """
    if isinstance(event, RunCreated | RunForked | DriverOpened | DriverClosed):
        return False
    ends = isinstance(event, RunEnded) or (isinstance(event, CallOutcome) and event.call.path == outermost)
    return not (ends and is_last_life)


def _with_inputs(event: Event, outermost: str, inputs: NewInputs | None) -> Event:
    """Let the outermost call have been made with other inputs."""
    if inputs is None or not isinstance(event, OfCall) or event.call.path != outermost:
        return event
    call = msgspec.structs.replace(event.call, digest=inputs.digest, inputs=inputs.shown)
    return msgspec.structs.replace(event, call=call)


def _given(call: Call, value: Value, time: float) -> CallSucceeded:
    return CallSucceeded(call, 1, time, value)


def _original(records: Sequence[Record]) -> RunCreated:
    created = records[0].event if records else None
    if not isinstance(created, RunCreated):
        raise UsageError("nothing is recorded of this run, so nothing can be made of it")
    return created


def _created(records: Sequence[Record], run: str, key: str | None, inputs: NewInputs | None) -> RunCreated:
    original = _original(records)
    new = msgspec.structs.replace(original, run=run, key=key, parent=original.run)
    if inputs is None:
        return new
    return msgspec.structs.replace(new, inputs=inputs.value, digest=inputs.digest)
