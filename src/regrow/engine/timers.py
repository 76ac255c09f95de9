"""Durable sleeps: the moment of waking is recorded when one begins, and holds however often the run is resumed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from regrow.engine import decide
from regrow.engine.callee import Invocation
from regrow.engine.driver import GRACE_SECONDS
from regrow.engine.lives import Life, Loop, live_async
from regrow.engine.todo import AwaitCancellation, AwaitTurn, Hold, WaitUntil
from regrow.engine.vault import NOTHING
from regrow.journal.records import CallCancelled, CallStarted, CallSucceeded


def sleep(invocation: Invocation) -> Coroutine[Any, Any, None]:
    """Carry a sleep out. Its only argument is how long, in seconds."""
    return live_async(invocation, _life)


def _life(invocation: Invocation, loop: Loop) -> Life:
    scope = invocation.branch.scope
    driver = scope.driver
    call, known = driver.meet(invocation)
    started = driver.now()
    due: float | None = None
    if known is not None:
        decision = decide.on_call(known)
        if isinstance(decision, decide.AwaitCancellation):  # the code gave up on it, and will again
            yield AwaitCancellation(started + decision.after + GRACE_SECONDS)
            decision = decide.on_call(known, waited=True)
        if isinstance(decision, decide.Replay):
            if driver.is_out_of_turn(known):
                yield AwaitTurn(known)
            driver.replay(known, decision.outcome)
            return
        due = known.begun.due if known.begun is not None else None
    if due is None:
        if driver.holds_back:
            yield Hold(scope.path)
            driver.check()
        due = started + float(invocation.args[0])
        yield driver.record(CallStarted(call, 1, due), loop)
    try:
        yield WaitUntil(due)
        driver.tally.executed += 1
        yield driver.record(CallSucceeded(call, 1, started, NOTHING), loop)
    except asyncio.CancelledError:
        driver.note_given_up(scope, CallCancelled(call, 1, started))
        raise
