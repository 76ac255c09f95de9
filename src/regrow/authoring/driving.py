"""Driving a run that was taken up to its end: its code, what interrupts that, and what its end means.

Whoever waits in a thread calls `drive`, which makes an event loop for a coroutine function and none for a plain one.
Whoever has a loop awaits `drive_async` on it.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from regrow.authoring.leaving import left_if_need_be
from regrow.authoring.stopping import said_how_to_resume, stopped_gently
from regrow.authoring.task import Task
from regrow.engine.branches import belongs_to, drive_on, here, install
from regrow.engine.callee import Invocation
from regrow.engine.calls import call_async, call_sync
from regrow.engine.conclude import conclude
from regrow.engine.driver import Driver
from regrow.engine.host import Host


def drive(host: Host, driver: Driver, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Execute a run that was taken up, to its end, in this thread."""
    if task.callee.mode == "sync":
        return _drive_sync(host, driver, task, args, kwargs)

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        drive_on(loop)
        work = asyncio.Task(drive_async(host, driver, task, args, kwargs), loop=loop)
        # Ctrl-C is the runner's to take: it cancels this coroutine.
        with stopped_gently(driver, signal.SIGTERM) as asked:
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                driver.let_go()  # the run's own cancellation ends in RunCancelled, not here
                await asyncio.wait((work,))
                if asked:
                    raise asked[0] from None
                raise

    with said_how_to_resume(host, driver), left_if_need_be(driver) as runner:
        try:
            return runner.run(main())
        except (KeyboardInterrupt, SystemExit):
            # Raised by the code itself, these end the loop on the spot; what the runner cancels now is not given up on.
            driver.let_go()
            raise


async def drive_async(
    host: Host, driver: Driver, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Execute a run that was taken up, to its end, on the event loop that runs here."""
    belongs_to(driver)
    invocation = Invocation(task.callee, driver.root_branch(), args, kwargs)
    loop = asyncio.get_running_loop()
    # Not `loop.create_task`: this strand is the driver's own, and must not count as a branch of anybody's.
    work = asyncio.Task(call_async(invocation), loop=loop)
    driver.is_abandoned = loop.is_closed
    driver.interrupt = lambda: _cancel_on(loop, work)
    left: asyncio.Future[None] = loop.create_future()
    driver.leave = lambda: _settle_on(loop, left)
    if driver.cancelled_by or driver.closing:  # before this began
        driver.interrupt()
    error: BaseException | None = None
    result = None
    while not (work.done() or driver.forced):
        try:
            await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            driver.let_go()
    if not work.done() or work.cancelled():
        error = asyncio.CancelledError()
    elif (error := work.exception()) is None:
        result = work.result()
    told = conclude(host, driver, invocation.path, error)
    if told is not None:
        raise told
    return result


def _drive_sync(host: Host, driver: Driver, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    install()
    invocation = Invocation(task.callee, driver.root_branch(), args, kwargs)
    error: BaseException | None = None
    result = None
    place = here()
    with said_how_to_resume(host, driver), stopped_gently(driver, signal.SIGINT, signal.SIGTERM) as asked:
        try:
            place.branch = invocation.branch
            result = call_sync(invocation)
        except BaseException as raised:  # noqa: BLE001 - what it means is decided below
            error = raised
            if isinstance(raised, KeyboardInterrupt | SystemExit):
                driver.let_go()
        finally:
            place.branch = None  # whatever an interrupt at the wrong moment has left there
        told = conclude(host, driver, invocation.path, error)
        if asked and driver.log.state.ended is None and driver.let_go_for is None:
            raise asked[0]
        if told is not None:
            raise told
        return result


def _settle_on(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(None))


def _cancel_on(loop: asyncio.AbstractEventLoop, work: asyncio.Task[Any]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(work.cancel)
