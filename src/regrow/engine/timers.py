"""Durable sleeps: the moment of waking is recorded when one begins, and holds however often the run is resumed."""

from __future__ import annotations

import asyncio

from regrow.engine import decide
from regrow.engine.callee import Invocation
from regrow.engine.driver import GRACE_SECONDS
from regrow.engine.vault import NOTHING
from regrow.journal.records import CallCancelled, CallStarted, CallSucceeded


async def sleep(invocation: Invocation) -> None:
    """Carry a sleep out. Its only argument is how long, in seconds."""
    loop = asyncio.get_running_loop()
    scope = invocation.branch.scope
    driver = scope.driver
    call, known = driver.meet(invocation)
    started = driver.now()
    due: float | None = None
    if known is not None:
        decision = decide.on_call(known)
        if isinstance(decision, decide.AwaitCancellation):  # the code gave up on it, and will again
            await driver.wait_until(started + decision.after + GRACE_SECONDS)
            decision = decide.on_call(known, waited=True)
        if isinstance(decision, decide.Replay):
            if driver.is_out_of_turn(known):
                await driver.take_turn(known)
            driver.replay(known, decision.outcome)
            return
        due = known.begun.due if known.begun is not None else None
    if due is None:
        if driver.holds_back:
            await driver.hold(scope.path)
            driver.check()
        due = started + float(invocation.args[0])
        await driver.durable(driver.record(CallStarted(call, 1, due), loop))
    try:
        with driver.holding.at_rest(scope.path):
            await driver.wait_until(due)
        driver.tally.executed += 1
        await driver.durable(driver.record(CallSucceeded(call, 1, started, NOTHING), loop))
    except asyncio.CancelledError:
        driver.note_given_up(scope, CallCancelled(call, 1, started))
        raise
