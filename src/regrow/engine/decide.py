"""What follows from what is known: pure functions, which see no clock, no store and no dice.

`on_call` is asked when the code makes a call, `blame` when something has ended in an exception. What follows from a
failed attempt is for the ladder of remedies to say (`regrow.engine.healer`). The driver carries out what they answer,
and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from regrow.engine.state import CallState
from regrow.journal.records import AttemptFailed, CallCancelled, CallFailed, CallSucceeded
from regrow.values.options import Options


class Replay(msgspec.Struct, frozen=True):
    """The call has an outcome: give it to the code again."""

    outcome: CallSucceeded | CallFailed


class Execute(msgspec.Struct, frozen=True):
    """Carry the call out.

    Attributes:
        attempt: which one this is, from 1.
        not_before: wait until then, in seconds since the epoch; 0 for at once.
        first_begun: when the first attempt began; None if this is the first.
    """

    attempt: int
    not_before: float = 0.0
    first_begun: float | None = None


class AwaitCancellation(msgspec.Struct, frozen=True):
    """The code had given up waiting for the call, after so many seconds at the most; it will again."""

    after: float


class AskOutcome(msgspec.Struct, frozen=True):
    """A once-only call was begun and its outcome never recorded: somebody must say what became of it."""

    attempt: int


class Accept(msgspec.Struct, frozen=True):
    """Somebody has said that a call whose outcome was unknown did happen: record what they said as its result."""

    attempt: int


Decision = Replay | Execute | AwaitCancellation | AskOutcome | Accept

_FIRST = Execute(1)


def on_call(known: CallState | None, *, waited: bool = False) -> Decision:
    """Say what to do about a call that the code makes.

    Args:
        known: what the journal says of it.
        waited: whether its cancellation has been awaited already, and did not come.
    """
    if known is None:
        return _FIRST
    outcome = known.outcome
    if isinstance(outcome, CallCancelled):
        if not waited:
            return AwaitCancellation(known.patience)
        outcome = known.unseen
    if isinstance(outcome, CallSucceeded | CallFailed):
        return Replay(outcome)
    attempt = len(known.attempts) + 1
    if known.begun is not None and known.begun.once:
        if known.decided is None:
            return AskOutcome(attempt)
        if known.decided.happened:
            return Accept(attempt)
    last = known.attempts[-1] if known.attempts else None
    waits = last.retry_at if isinstance(last, AttemptFailed) else 0.0
    return Execute(attempt, waits, known.first_begun)


def deadline(options: Options, first_begun: float) -> float | None:
    """Give the moment by which all attempts of a call must be done, if there is one."""
    if options.deadline is None:
        return None
    return options.deadline if options.deadline_is_moment else first_begun + options.deadline


Allowance = tuple[float, Literal["timeout", "deadline"]]
"""How many seconds, and of which kind of bound."""


def allowance(options: Options, timeout: float | None, first_begun: float, now: float) -> Allowance | None:
    """Give the seconds that an attempt beginning now may take, and which of the two bounds that is.

    Args:
        options: of the call; they say its deadline.
        timeout: what one attempt may take, in seconds: its own, or what a remedy has made of that.
        first_begun: when the first attempt began, in seconds since the epoch.
        now: likewise.
    """
    due = deadline(options, first_begun)
    left = None if due is None else max(0.0, due - now)
    if timeout is not None and (left is None or timeout <= left):
        return timeout, "timeout"
    return None if left is None else (left, "deadline")


ORIGIN = "__regrow_origin__"
"""The attribute by which an exception remembers the recorded calls that it came out of, as pairs of run and path."""


def mark(error: BaseException, run: str, path: str) -> BaseException:
    """Let an exception remember that it came out of the call at `path`, and give it back."""
    # Not `setattr`: a frozen dataclass, for one, refuses that.
    facts: dict[str, Any] = object.__getattribute__(error, "__dict__")
    facts[ORIGIN] = (*facts.get(ORIGIN, ()), (run, path))
    return error


def note(error: BaseException, text: str) -> None:
    """Add a note to an exception, as `add_note` would if a frozen dataclass, for one, did not refuse that."""
    facts: dict[str, Any] = object.__getattribute__(error, "__dict__")
    notes = facts.setdefault("__notes__", [])
    if isinstance(notes, list):
        notes.append(text)


def blame(error: BaseException, run: str, scope: str) -> tuple[str, ...]:
    """Say which recorded calls inside `scope` an exception came from.

    A failure that was caught and turned into another exception is still what the other one came from: through ``raise …
    from``, through being raised while the first was handled, or as a member of a group.

    Args:
        error: what ended the scope.
        run: in which run.
        scope: path of the call that it ended.
    """
    inside = scope + "/"
    origins = (origin for one in _lineage(error) for origin in getattr(one, ORIGIN, ()))
    return tuple(dict.fromkeys(path for of, path in origins if of == run and path.startswith(inside)))


def _lineage(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, BaseExceptionGroup):
            left.extend(reversed(one.exceptions))
        cause = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        if cause is not None:
            left.append(cause)
