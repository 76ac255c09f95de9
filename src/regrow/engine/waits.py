"""A call that waits for something from outside: for days, if need be, and through the ends of its process.

What all such calls have in common is written here once, as a generator that says what to do next, in the way of
`regrow.engine.calls`. What one waits for is a `Waiting`: how it begins, how it looks, what giving up means. It looks
again and again, because the store is another process's as well and calls nobody back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from typing import Any, Protocol

import msgspec

from regrow.codec import capture
from regrow.engine import decide
from regrow.engine.callee import Invocation
from regrow.engine.committer import Ticket
from regrow.engine.driver import GRACE_SECONDS, Driver
from regrow.engine.state import CallState
from regrow.engine.todo import AwaitRecorded, AwaitTurn, Hold, WaitUntil
from regrow.engine.vault import Kept
from regrow.errors import StoreError
from regrow.journal.records import Answered, Call, CallCancelled, CallFailed, CallSucceeded, SignalTaken

_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 1.0
_PAUSES_GROW_AFTER = 60.0
"""Seconds between two looks. Somebody who answers at once must not feel a wait; after a minute a second goes unseen."""


class Rest(msgspec.Struct, frozen=True):
    """Do nothing for a while, in seconds."""

    seconds: float


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


Todo = Rest | WaitUntil | Hold | AwaitTurn | AwaitRecorded | Ticket
_Loop = asyncio.AbstractEventLoop | None


class Waiting(Protocol):
    """Something that a call waits for."""

    def begin(self, call: Call, known: CallState | None, attempt: int, loop: _Loop) -> Generator[Ticket, None, None]:
        """Make durable that it is waited for, and make that known."""
        ...

    def look(self) -> Found | None:
        """Look whether it has come."""
        ...

    def give_up(self) -> None:
        """Take note that the code does not wait any more."""
        ...


async def wait_async(invocation: Invocation, waiting: Waiting) -> Any:
    """Wait in a coroutine."""
    driver = invocation.branch.scope.driver
    life = _life(driver, invocation, waiting, asyncio.get_running_loop())
    try:
        todo = next(life)
        while True:
            try:
                match todo:
                    case Rest():
                        await asyncio.sleep(todo.seconds)
                    case WaitUntil():
                        await driver.wait_until(todo.moment)
                    case Hold():
                        await driver.hold(todo.path)
                    case AwaitTurn():
                        await driver.take_turn(todo.known)
                    case AwaitRecorded():
                        await driver.let_recorded_go_first()
                    case _:
                        await driver.durable(todo)
            except BaseException as error:  # noqa: BLE001 - the life decides what it means
                todo = life.throw(error)
            else:
                todo = life.send(None)
    except StopIteration as end:
        return end.value


def wait_in_thread(invocation: Invocation, waiting: Waiting) -> Any:
    """Wait in the caller's own thread."""
    driver = invocation.branch.scope.driver
    driver.heed_interruption()
    life = _life(driver, invocation, waiting, None)
    try:
        todo = next(life)
        while True:
            try:
                match todo:
                    case Rest():
                        driver.pause_in_thread(todo.seconds)
                    case WaitUntil():
                        driver.wait_in_thread_until(todo.moment)
                    case Hold():
                        driver.hold_in_thread(todo.path)
                    case AwaitTurn() | AwaitRecorded():
                        pass  # only coroutines take turns
                    case _:
                        driver.durable_in_thread(todo)
            except BaseException as error:  # noqa: BLE001 - the life decides what it means
                todo = life.throw(error)
            else:
                todo = life.send(None)
    except StopIteration as end:
        return end.value


def _life(driver: Driver, invocation: Invocation, waiting: Waiting, loop: _Loop) -> Generator[Todo, None, Any]:
    call, known = driver.meet(invocation)
    decision = decide.on_call(known)
    if isinstance(decision, decide.AwaitCancellation):  # the code gave up on it, and will again
        yield WaitUntil(driver.now() + decision.after + GRACE_SECONDS)
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
            yield Rest(pause)
            driver.check()
            rested += pause
    except StoreError as problem:
        raise driver.halt(problem) from problem
    return found
