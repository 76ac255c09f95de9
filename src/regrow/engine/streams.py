"""Streaming steps: async generators whose every value is recorded before the code gets to see it.

A stream that a crash has cut cannot be taken up in its middle. What was recorded is handed out again; then the body
runs from its start, and as long as it repeats itself nothing is lost. If it gives something else (a language model
does), the code has already acted on chunks that do not belong to the new stream, and is told so with `StreamCut`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from regrow.codec import capture
from regrow.engine import decide
from regrow.engine.branches import run_on
from regrow.engine.callee import Invocation
from regrow.engine.driver import GRACE_SECONDS
from regrow.engine.failing import allowed_to, judge
from regrow.engine.healer import GiveUp, TryAgain
from regrow.engine.scope import Scope
from regrow.engine.vault import NOTHING
from regrow.errors import StreamCut, TimedOut
from regrow.journal.records import (
    AttemptFailed,
    Call,
    CallCancelled,
    CallFailed,
    CallSucceeded,
    ChunkYielded,
    RecordedFallback,
    Value,
)
from regrow.remedies import AskHuman


async def stream(invocation: Invocation) -> AsyncGenerator[Any, None]:
    """Carry out a call of a streaming step."""
    loop = asyncio.get_running_loop()
    outer = invocation.branch.scope
    driver = outer.driver
    options = invocation.callee.options
    call, known = driver.meet(invocation)
    recorded: list[Value] = list(known.chunks) if known else []
    decision = decide.on_call(known)
    for chunk in recorded:
        yield driver.load(chunk)
    if isinstance(decision, decide.AwaitCancellation):
        # The code left the stream here or was cancelled while it waited for more; edited code that waits gets more.
        with driver.holding_back(), driver.holding.at_rest(outer.path):
            await driver.wait_until(driver.now() + decision.after + GRACE_SECONDS)
        decision = decide.on_call(known, waited=True)
    if known is not None and isinstance(decision, decide.Replay):
        if driver.is_out_of_turn(known):
            await driver.take_turn(known)
        driver.replay(known, decision.outcome)
        return
    assert isinstance(decision, decide.Execute)  # noqa: S101 - a stream is never once-only, so nothing else is left
    attempt, first_begun, moment = decision.attempt, decision.first_begun, decision.not_before
    started = driver.now()
    if driver.holds_back:
        await driver.hold(outer.path)
    try:
        while True:
            with driver.holding.at_rest(outer.path):
                await driver.wait_until(moment)
            driver.check()
            started = driver.now()
            if first_begun is None:
                first_begun = started
            scope = Scope(driver, call, outer, attempt=attempt, known=known, options=options, first_begun=first_begun)
            scope.allowed = allowed = allowed_to(driver, scope)
            try:
                async with _running(invocation, scope) as body:
                    async for chunk in _new_chunks(call, body, scope, recorded, allowed):
                        yield chunk
                driver.check()
                driver.look_for_passed_over(call.path)
            except Exception as error:  # noqa: BLE001 - a failure is a result: it is recorded, then handed on
                moment = await _failed(call, scope, error, started)
                known = driver.log.state.calls[call.path]
                attempt += 1
            else:
                driver.tally.executed += 1
                done = CallSucceeded(call, attempt, started, NOTHING, len(recorded))
                await driver.durable(driver.record(done, loop))
                return
    except (GeneratorExit, asyncio.CancelledError):
        driver.note_given_up(outer, CallCancelled(call, attempt, started))
        raise


async def _failed(call: Call, scope: Scope, error: Exception, started: float) -> float:
    """Record a failed attempt; give the moment of the next one, or raise the error if there is none."""
    driver, attempt = scope.driver, scope.attempt
    driver.check()
    loop = asyncio.get_running_loop()
    again = decide.blame(error, driver.run, call.path)
    verdict = judge(driver, scope, error)
    if isinstance(verdict, TryAgain) and isinstance(verdict.remedy, RecordedFallback | AskHuman):
        error.add_note("regrow: nothing can stand in for a stream, nor is a person asked about one; ask about its task")
        verdict = GiveUp("policy")
    if isinstance(error, StreamCut) or isinstance(verdict, GiveUp):
        driver.tally.executed += 1
        await driver.durable(driver.record(CallFailed(call, attempt, started, capture(error), again), loop))
        raise decide.mark(error, driver.run, call.path)
    failed = AttemptFailed(
        call, attempt, started, capture(error), verdict.moment, again, verdict.remedy, verdict.chosen_by, verdict.counts
    )
    await driver.durable(driver.record(failed, loop))
    driver.begin_anew(call.path)
    return verdict.moment


@asynccontextmanager
async def _running(invocation: Invocation, scope: Scope) -> AsyncIterator[AsyncGenerator[Any, None]]:
    """Start a body, and end it with its ``finally`` blocks however the stream ends."""
    body = invocation.callee.function(*invocation.args, **invocation.kwargs)
    outer = invocation.branch.scope
    scope.driver.begin(outer)
    try:
        yield body
    finally:
        scope.driver.end(outer)
        await run_on(scope.main, _close(body))


async def _close(body: AsyncGenerator[Any, None]) -> None:
    await body.aclose()


async def _next(body: AsyncGenerator[Any, None]) -> Any:
    """Give the next chunk, or `_END`: a ``StopAsyncIteration`` could not leave a coroutine."""
    try:
        return await anext(body)
    except StopAsyncIteration:
        return _END


_END = object()


async def _new_chunks(
    call: Call, body: AsyncGenerator[Any, None], scope: Scope, recorded: list[Value], allowed: decide.Allowance | None
) -> AsyncIterator[Any]:
    """Give the chunks that have not been handed out yet, each once it is recorded."""
    driver = scope.driver
    loop = asyncio.get_running_loop()
    due = None if allowed is None else loop.time() + allowed[0]
    index = 0
    while True:
        try:
            async with asyncio.timeout_at(due) as scope.bound:
                with driver.holding.at_work(call.path):
                    chunk = await run_on(scope.main, _next(body))
        except TimeoutError as error:
            if scope.timed_out and allowed is not None:
                raise TimedOut(call.path, *allowed) from error
            raise
        if chunk is _END:
            if index < len(recorded):
                raise StreamCut(call.path, len(recorded))
            return
        kept = driver.keep(chunk, "chunk")
        if index < len(recorded):
            if recorded[index] != kept.value:
                raise StreamCut(call.path, len(recorded))
        else:
            await driver.durable(driver.record(ChunkYielded(call, index, kept.value), loop, kept.blobs))
            recorded.append(kept.value)
            yield chunk
        index += 1
