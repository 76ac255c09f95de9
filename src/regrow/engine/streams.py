"""Streaming steps: async generators whose every value is recorded before the code gets to see it.

A stream that a crash has cut cannot be taken up in its middle. What was recorded is handed out again; then the body runs
from its start, and as long as it repeats itself nothing is lost. If it gives something else (a language model does), the
code has already acted on chunks that do not belong to the new stream, and is told so with `StreamCut`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from regrow.codec import capture
from regrow.engine import decide
from regrow.engine.branches import Branch, standing_at
from regrow.engine.callee import Callee
from regrow.engine.committer import arrival
from regrow.engine.driver import Driver
from regrow.engine.scope import Scope
from regrow.engine.vault import NOTHING
from regrow.errors import StreamCut, TimedOut
from regrow.journal.records import AttemptFailed, Call, CallCancelled, CallFailed, CallSucceeded, ChunkYielded, Value


async def stream(
    driver: Driver,
    callee: Callee,
    branch: Branch,
    site: tuple[str, int],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> AsyncGenerator[Any, None]:
    """Carry out a call of a streaming step. The arguments are those of `Driver.call_async`."""
    call, known = driver.meet(callee, site, args, kwargs)
    decision = decide.on_call(known)
    recorded: list[Value] = list(known.chunks) if known else []
    for chunk in recorded:
        yield driver.vault.load(chunk)
    if isinstance(decision, decide.Replay):
        driver.replay(call, decision.outcome)
        return
    if isinstance(decision, decide.AwaitCancellation):
        await asyncio.sleep(decision.after)
        decision = decide.on_call(known, waited=True)
    attempt = decision.attempt if isinstance(decision, decide.Execute) else 1
    first_begun: float | None = None
    while True:
        started = driver.now()
        first_begun = first_begun if first_begun is not None else started
        scope = Scope(driver, call, branch.scope, attempt=attempt)
        allowed = decide.allowance(callee.options, first_begun, started)
        try:
            async with _running(callee, scope, args, kwargs) as body:
                async for chunk in _chunks(driver, call, body, scope, recorded, allowed):
                    yield chunk
        except (GeneratorExit, asyncio.CancelledError):
            driver.note_cancelled(scope, CallCancelled(call, attempt, started))
            raise
        except Exception as error:
            driver.check()
            verdict = decide.after_failure(
                callee.options, call.path, attempt, error, forgiven=0, first_begun=first_begun, now=driver.now()
            )
            again = decide.blame(error, call.path)
            if isinstance(error, StreamCut) or isinstance(verdict, decide.GiveUp):
                await arrival(driver.record_on_loop(CallFailed(call, attempt, started, capture(error), again)))
                raise decide.mark(error, call.path) from error.__cause__
            await arrival(
                driver.record_on_loop(AttemptFailed(call, attempt, started, capture(error), verdict.moment, again))
            )
            driver.forget_inside(call.path)
            await driver.wait_until(verdict.moment)
            attempt += 1
        else:
            driver.tally.executed += 1
            await arrival(driver.record_on_loop(CallSucceeded(call, attempt, started, NOTHING, len(recorded))))
            return


@asynccontextmanager
async def _running(
    callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> AsyncIterator[AsyncGenerator[Any, None]]:
    """Start a body, and end it with its ``finally`` blocks however the stream ends."""
    body = callee.function(*args, **kwargs)
    scope.driver.begin(scope)
    try:
        yield body
    finally:
        scope.driver.end(scope)
        with standing_at(scope.main):
            await body.aclose()


async def _chunks(
    driver: Driver,
    call: Call,
    body: AsyncGenerator[Any, None],
    scope: Scope,
    recorded: list[Value],
    allowed: tuple[float, Any] | None,
) -> AsyncIterator[Any]:
    """Give the chunks that have not been handed out yet, each once it is recorded."""
    loop = asyncio.get_running_loop()
    due = None if allowed is None else loop.time() + allowed[0]
    index = 0
    while True:
        try:
            async with asyncio.timeout_at(due) as scope.bound:
                with standing_at(scope.main):
                    chunk = await anext(body)
        except StopAsyncIteration:
            if index < len(recorded):
                raise StreamCut(call.path, len(recorded)) from None
            return
        except TimeoutError as error:
            if scope.timed_out and allowed is not None:
                raise TimedOut(call.path, *allowed) from error
            raise
        kept = driver.keep(chunk, "chunk")
        if index < len(recorded):
            if recorded[index] != kept.value:
                raise StreamCut(call.path, len(recorded))
        else:
            await arrival(driver.record_on_loop(ChunkYielded(call, index, kept.value), kept.blobs))
            recorded.append(kept.value)
            yield chunk
        index += 1
