"""Agents that are cancelled, paused and stopped: some that end when asked to, and some that do not.

What really happens is lines in ``effects``. Each waits for nothing but the file that lets it go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import regrow


def effect(line: str) -> None:
    handle = os.open("effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def is_there(name: str) -> bool:
    return Path(name).exists()


def wait_for(name: str) -> None:
    while not is_there(name):
        time.sleep(0.01)


async def until(name: str) -> None:
    while not is_there(name):  # noqa: ASYNC110 - the other process has nothing else to tell us with
        await asyncio.sleep(0.01)


@regrow.step
async def step(label: str) -> str:
    effect(f"step {label}")
    return label


# -- what ends when it is asked to -------------------------------------------------------------------------------------


@regrow.task
async def tidy() -> None:
    """Is cancelled anywhere, and cleans up with a recorded call."""
    try:
        effect("begun")
        await asyncio.Event().wait()
    finally:
        await step("cleaned up")


@regrow.task(memory="256Mi")
async def innermost() -> None:
    effect("innermost begun")
    try:
        await asyncio.Event().wait()
    finally:
        await step("innermost cleaned up")


@regrow.task(memory="512Mi")
async def middle() -> None:
    effect("middle begun")
    try:
        await innermost()
    finally:
        await step("middle cleaned up")


@regrow.task(memory="512Mi")
def blocking_middle() -> None:
    effect("middle begun")
    try:
        innermost_in_thread()
    finally:
        effect("middle cleaned up")


@regrow.task(memory="256Mi")
def innermost_in_thread() -> None:
    effect("innermost begun")
    try:
        wait_for("never")
    finally:
        effect("innermost cleaned up")


@regrow.task
async def outermost(blocking: bool = False) -> None:
    try:
        await (blocking_middle.aio() if blocking else middle())
    finally:
        await step("outermost cleaned up")


# -- what does not -----------------------------------------------------------------------------------------------------


@regrow.task
async def deaf() -> None:
    """Swallows every cancellation."""
    effect(f"begun {os.getpid()}")
    while True:
        try:
            await step("never recorded") if is_there("cancelled") else await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            effect("swallowed")
            await asyncio.sleep(0.01)


@regrow.task
def deaf_in_the_main_thread() -> None:
    effect(f"begun {os.getpid()}")
    while True:
        try:
            time.sleep(0.05)
        except BaseException:
            effect("swallowed")


@regrow.task
def blocked_in_the_main_thread() -> None:
    effect(f"begun {os.getpid()}")
    wait_for("never")


@regrow.step
def endless() -> None:
    effect(f"begun {os.getpid()}")
    wait_for("never")


@regrow.task
async def endless_thread() -> None:
    await endless.aio()


@regrow.task
async def blocked_loop() -> None:
    effect(f"begun {os.getpid()}")
    wait_for("never")


@regrow.task(memory="256Mi")
def deaf_in_a_worker() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    effect(f"worker {os.getpid()}")
    wait_for("never")


@regrow.task
async def with_a_deaf_worker() -> None:
    effect(f"begun {os.getpid()}")
    await deaf_in_a_worker.aio()


# -- what is paused ----------------------------------------------------------------------------------------------------


@regrow.step
async def slow_step(label: str) -> str:
    effect(f"begun {label}")
    await until(f"finish-{label}")
    effect(f"finished {label}")
    return label


@regrow.task
async def three_strands() -> list[str]:
    """Has one call under way, one asleep, and one that wants to begin."""

    async def third() -> str:
        await until("go")
        effect("wants to begin")
        return await step("third")

    async def sleeps() -> str:
        await regrow.sleep(1.0)
        return "slept"

    return list(await asyncio.gather(slow_step("first"), sleeps(), third()))


@regrow.task
def steps_in_the_main_thread(count: int = 10_000) -> int:
    return sum(one_after_the_other(number) for number in range(count) if not is_there("enough"))


@regrow.step
def one_after_the_other(number: int) -> int:
    effect(f"number {number}")
    time.sleep(0.01)
    return 1


@regrow.task(memory="256Mi")
async def calls_in_a_worker() -> int:
    """Has one call under way, and begins one after another beside it."""

    async def ticking() -> int:
        number = 0
        while not is_there("enough"):
            number += 1
            await step(f"{number}")
        return number

    _, ticks = await asyncio.gather(slow_step("first"), ticking())
    return ticks


@regrow.task
async def with_a_worker() -> int:
    return await calls_in_a_worker()


# -- what is stopped ---------------------------------------------------------------------------------------------------


@regrow.step(retries=1000, backoff=regrow.Backoff(base=0.01, cap=0.02))
async def flaky(who: str) -> None:
    effect(f"{time.time()} {who}")
    raise ConnectionError("again")


@regrow.step
async def timed(who: str) -> None:
    effect(f"{time.time()} {who}")


@regrow.step
def timed_in_a_thread(who: str) -> None:
    effect(f"{time.time()} {who}")


@regrow.task(memory="256Mi")
def stubborn_worker(who: str) -> None:
    """Catches its preemption, and goes on calling."""
    while True:
        try:
            time.sleep(0.01)
            timed_in_a_thread(who)
        except (regrow.Failure, asyncio.CancelledError):
            time.sleep(0.01)


@regrow.task
async def busy(who: str, workers: bool = False) -> None:
    """Is at work in every way there is, and takes no interruption for an answer."""

    async def stubborn() -> None:
        while True:
            try:
                await timed(who)
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                await asyncio.sleep(0.01)

    def in_a_thread() -> None:
        while not is_there("enough"):
            with contextlib.suppress(asyncio.CancelledError):
                timed_in_a_thread(who)
            time.sleep(0.01)

    work = [stubborn(), asyncio.to_thread(in_a_thread), flaky(who)]
    if workers:
        work.append(stubborn_worker.aio(who))
    await asyncio.gather(*work)
