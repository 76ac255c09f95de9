"""Lives: what happens to a call, from the moment the code makes it to its outcome, written once for both worlds.

A life is a generator that says what is to be done next and does none of it itself; it is sent what came of that, or
raised what went wrong. `live_async` does what it says in a coroutine, `live_in_thread` in the caller's own thread. The
lives themselves are in `regrow.engine.calls` (what is executed) and `regrow.engine.waits` (what is waited for).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from regrow.engine.callee import Invocation
from regrow.engine.committer import Ticket
from regrow.engine.driver import Driver
from regrow.engine.todo import AwaitCancellation, AwaitRecorded, AwaitTurn, Hold, Pause, RunBody, WaitUntil

Wait = WaitUntil | AwaitCancellation | Pause | Hold | AwaitTurn | AwaitRecorded | Ticket
"""A ticket is something that must become durable before the call goes on."""

Todo = RunBody | Wait
"""What a life asks for."""

Life = Generator[Todo, Any, Any]
Loop = asyncio.AbstractEventLoop | None
"""The loop on which a life goes on; None in a thread."""

Begin = Callable[[Invocation, Loop], Life]


async def live_async(invocation: Invocation, begin: Begin) -> Any:
    """Carry a call's life out in a coroutine; give what it returns, and raise what it raises."""
    driver = invocation.branch.scope.driver
    life = begin(invocation, asyncio.get_running_loop())
    try:
        todo = next(life)
        while True:
            result = None
            try:
                if isinstance(todo, RunBody):  # the first, for it is most of them
                    result = await _run_body(driver, todo, invocation)
                else:
                    await _wait(driver, todo, invocation.branch.scope.path)
            except BaseException as error:  # noqa: BLE001 - the life decides what it means
                todo = life.throw(error)
            else:
                todo = life.send(result)
    except StopIteration as end:
        return end.value


def live_in_thread(invocation: Invocation, begin: Begin) -> Any:
    """Carry a call's life out in the caller's own thread; give what it returns, and raise what it raises."""
    driver = invocation.branch.scope.driver
    driver.heed_interruption()
    life = begin(invocation, None)
    try:
        todo = next(life)
        while True:
            result = None
            try:
                if isinstance(todo, RunBody):
                    result = driver.executor.run_blocking(todo.callee, todo.scope, invocation.args, invocation.kwargs)
                else:
                    _wait_in_thread(driver, todo, invocation.branch.scope.path)
            except BaseException as error:  # noqa: BLE001 - the life decides what it means
                todo = life.throw(error)
            else:
                todo = life.send(result)
    except StopIteration as end:
        return end.value


async def _run_body(driver: Driver, todo: RunBody, invocation: Invocation) -> Any:
    allowed = todo.scope.allowed
    if allowed is None or todo.callee.isolated:  # a worker is held to its time by whoever can end it
        return await driver.executor.run(todo.callee, todo.scope, invocation.args, invocation.kwargs)
    async with asyncio.timeout(allowed[0]) as todo.scope.bound:
        return await driver.executor.run(todo.callee, todo.scope, invocation.args, invocation.kwargs)


async def _wait(driver: Driver, wait: Wait, path: str) -> None:
    """Wait for the sake of a call that was made inside the one at `path`."""
    match wait:
        case WaitUntil():
            with driver.holding.at_rest(path):
                await driver.wait_until(wait.moment)
        case AwaitCancellation():
            with driver.holding_back(), driver.holding.at_rest(path):
                await driver.wait_until(wait.moment)
        case Pause():
            with driver.holding.at_rest(path):
                await asyncio.sleep(wait.seconds)
        case Hold():
            await driver.hold(wait.path)
        case AwaitTurn():
            await driver.take_turn(wait.known)
        case AwaitRecorded():
            await driver.let_recorded_go_first()
        case _:
            await driver.durable(wait)


def _wait_in_thread(driver: Driver, wait: Wait, path: str) -> None:
    match wait:
        case WaitUntil() | AwaitCancellation():
            with driver.holding.at_rest(path):
                driver.wait_in_thread_until(wait.moment)
        case Pause():
            with driver.holding.at_rest(path):
                driver.pause_in_thread(wait.seconds)
        case Hold():
            driver.hold_in_thread(wait.path)
        case AwaitTurn() | AwaitRecorded():
            pass  # only coroutines take turns
        case _:
            driver.durable_in_thread(wait)
