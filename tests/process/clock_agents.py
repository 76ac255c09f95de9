"""What runs while the clock of its machine is changed; started as a script, and by the name of one of its tasks.

`ledger` has a line for each thing that happened, with the process that says so and what the clock that nobody can set
says. A process that is refused the run tries again at once, until it has a result.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

import regrow

PATIENCE = 0.8
"""Seconds of sleep, of a timeout and between two attempts: long enough for a test to change the clock meanwhile."""


def note(what):
    handle = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{json.dumps([sys.argv[2], what, time.monotonic()])}\n".encode())
    os.close(handle)


def begin_to_wait():
    """Say that what comes now begins, and that it is waited for as soon as the loop has nothing else to do."""
    note("began")
    asyncio.get_running_loop().call_later(PATIENCE / 8, note, "waits")


@regrow.task
async def sleeper() -> str:
    begin_to_wait()
    await regrow.sleep(PATIENCE)
    note("ended")
    return "slept"


@regrow.step(timeout=PATIENCE)
async def endless() -> None:
    begin_to_wait()
    await asyncio.Event().wait()


@regrow.task
async def impatient() -> str:
    try:
        await endless()
    except regrow.TimedOut:
        note("ended")
    return "gave up"


@regrow.task
async def giving_up() -> str:
    try:
        async with asyncio.timeout(PATIENCE):
            begin_to_wait()
            await asyncio.Event().wait()
    except TimeoutError:
        note("ended")
    return "gave up"


@regrow.step(retries=1, backoff=regrow.Backoff(PATIENCE, jitter=0))
async def stumbling() -> str:
    if regrow.current().attempt == 1:
        begin_to_wait()
        raise ConnectionError("the first attempt fails")
    note("ended")
    return "stood up"


@regrow.task
async def walker() -> str:
    return await stumbling()


@regrow.step
async def work(number: int) -> int:
    note(f"work {number}")
    while number == 1 and not Path("go").exists():  # noqa: ASYNC110 - another process makes the file
        await asyncio.sleep(0.01)
    return number


@regrow.task
async def worker() -> str:
    return str([await work(number) for number in range(3)])


TASKS = {task.name: task for task in (sleeper, impatient, giving_up, walker, worker)}


def drive(task):
    pause = threading.Event()  # not `time.sleep`: libfaketime hands the kernel a moment that it refuses
    while True:
        try:
            print(regrow.run(task, key="clock", store="home"))
        except regrow.RunHeld:
            note("refused")
            pause.wait(0.01)
        except regrow.LeaseLost:
            note("lost")
        else:
            return


if __name__ == "__main__":
    drive(TASKS[sys.argv[1]])
