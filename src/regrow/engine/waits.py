"""A call that waits for something from outside: for days, if need be, and through the ends of its process.

What all such calls have in common is written here once, as a life (`regrow.engine.lives`). What one waits for is a
`Waiting`: how it begins, how it looks, what giving up means. It looks again and again, because the store is another
process's as well and calls nobody back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, Protocol

import msgspec

from regrow.codec import capture
from regrow.engine import decide
from regrow.engine.callee import Invocation
from regrow.engine.committer import Ticket
from regrow.engine.driver import GRACE_SECONDS, Driver
from regrow.engine.lives import Life, Loop, Todo, live_async, live_in_thread
from regrow.engine.state import CallState
from regrow.engine.todo import AwaitCancellation, AwaitRecorded, AwaitTurn, Hold, Pause
from regrow.engine.vault import Kept
from regrow.errors import StoreError
from regrow.journal.records import Answered, Call, CallCancelled, CallFailed, CallSucceeded, SignalTaken

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 1.0
_PAUSES_GROW_AFTER = 60.0
"""Seconds between two looks. Somebody who answers at once must not feel a wait; after a minute a second goes unseen."""


class Found(msgspec.Struct, frozen=True):
    """What was waited for has come.

    Attributes:
        event: says where it came from.
        value: what the code is given.
        kept: the same, as it is recorded.
        error: what the code is raised instead.
    """

    event: Answered | SignalTaken | None
    value: object = None
    kept: Kept = Kept(b"")
    error: Exception | None = None


class Waiting(Protocol):
    """Something that a call waits for."""

    def begin(self, call: Call, known: CallState | None, attempt: int, loop: Loop) -> Generator[Ticket, None, None]:
        """Make durable that it is waited for, and make that known."""
        ...

    def look(self) -> Found | None:
        """Look whether it has come."""
        ...

    def give_up(self) -> None:
        """Take note that the code does not wait any more."""
        ...


def wait_async(invocation: Invocation, waiting: Waiting) -> Coroutine[Any, Any, Any]:
    """Wait in a coroutine."""
    return live_async(invocation, partial(_life, waiting))


def wait_in_thread(invocation: Invocation, waiting: Waiting) -> Any:
    """Wait in the caller's own thread."""
    return live_in_thread(invocation, partial(_life, waiting))


def _life(waiting: Waiting, invocation: Invocation, loop: Loop) -> Life:
    driver = invocation.branch.scope.driver
    call, known = driver.meet(invocation)
    decision = decide.on_call(known)
    if isinstance(decision, decide.AwaitCancellation):  # the code gave up on it, and will again
        yield AwaitCancellation(driver.now() + decision.after + GRACE_SECONDS)
        decision = decide.on_call(known, waited=True)
    if known is not None and isinstance(decision, decide.Replay):
        if loop is not None and driver.is_out_of_turn(known):
            yield AwaitTurn(known)
        return driver.replay(known, decision.outcome)
    if driver.holds_back:
        yield Hold(invocation.branch.scope.path)
        driver.check()
    assert isinstance(decision, decide.Execute)  # noqa: S101 - nothing that waits is once-only
    attempt = decision.attempt
    started = known.begun_at if known is not None and known.begun_at is not None else driver.now()
    try:
        with driver.holding.at_rest(invocation.branch.scope.path):
            found = yield from _wait(driver, waiting, waiting.begin(call, known, attempt, loop))
        if loop is not None and driver.is_ahead():
            yield AwaitRecorded()
        driver.tally.executed += 1
        if found.event is not None:
            driver.hand_in(found.event)
        if found.error is not None:
            yield driver.record(CallFailed(call, attempt, started, capture(found.error)), loop)
            raise decide.mark(found.error, driver.run, call.path)
        yield driver.record(CallSucceeded(call, attempt, started, found.kept.value), loop, found.kept.blobs)
    except asyncio.CancelledError:
        scope = invocation.branch.scope
        if driver.is_given_up_in(scope):
            with contextlib.suppress(StoreError):  # somebody may then answer in vain
                waiting.give_up()
        driver.note_given_up(scope, CallCancelled(call, attempt, started))
        raise
    return found.value


def _wait(driver: Driver, waiting: Waiting, beginning: Generator[Ticket, None, None]) -> Generator[Todo, None, Found]:
    """Wait until it has come. A store that cannot be asked ends the run for now, as one that cannot be written does."""
    try:
        yield from beginning
        rested = 0.0
        while (found := waiting.look()) is None:
            pause = _FIRST_PAUSE if rested < _PAUSES_GROW_AFTER else _LONGEST_PAUSE
            yield Pause(pause)
            driver.check()
            rested += pause
    except StoreError as problem:
        raise driver.halt(problem) from problem
    return found
