"""The agents of test_hardening.py: isolated tasks, which a worker must be able to load from a file."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import stat
import struct
import threading
import time
from pathlib import Path

import regrow


def effect(line):
    handle = os.open("effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def wait_for(name):
    limit = time.monotonic() + 30
    while not Path(name).exists():
        assert time.monotonic() < limit, f"{name} did not come to be"
        time.sleep(0.01)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


# -- forks of its own --------------------------------------------------------------------------------------------------


@regrow.step
def tenfold(number: int) -> int:
    effect(f"tenfold {number}")
    return 10 * number


def _call_a_step(answers):
    try:
        answers.send(str(tenfold(1)))
    except BaseException as error:
        answers.send(type(error).__name__ + ": " + str(error))


@regrow.task(isolate=True, timeout=20)
def forks_and_calls_a_step_in_both() -> list[str]:
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    child = fork.Process(target=_call_a_step, args=(there,))
    child.start()
    mine = tenfold(2)
    theirs = here.recv() if here.poll(10) else "it has said nothing"
    child.join(5)
    return [str(mine), theirs, str(tenfold(3))]


# -- a driver that is over ---------------------------------------------------------------------------------------------


@regrow.task(isolate=True)
def deaf() -> None:
    """Go on whatever is raised, as code does that catches too much."""
    effect(f"deaf {os.getpid()}")
    for _ in range(60):
        try:
            time.sleep(0.5)
        except BaseException as error:
            effect(f"interrupted {type(error).__name__}")


@regrow.task
async def waits_for_it() -> None:
    await deaf.aio()


@regrow.task
async def blocks_its_loop_meanwhile() -> None:
    running = asyncio.create_task(deaf.aio())
    await asyncio.sleep(0)
    wait_for("go on")
    await running


# -- time that passes in the queue -------------------------------------------------------------------------------------


@regrow.task(isolate=True)
def hog() -> None:
    effect("hog")
    wait_for("go on")


@regrow.task(isolate=True)
def late() -> None:
    effect("late")


@regrow.task(isolate=True, once=True)
def late_and_once() -> None:
    effect("late")


@regrow.task
async def queues(which: str, cpus: float) -> list[str]:
    """Give what became of a task with a deadline for which there was no room."""
    occupying = asyncio.create_task(hog.override(cpu=cpus).aio())
    await asyncio.to_thread(wait_for, "effects")
    try:
        await globals()[which].override(cpu=cpus, deadline=0.3).aio()
    except regrow.TimedOut as failure:
        return [failure.scope, *failure.evidence]
    finally:
        Path("go on").touch()
        await occupying
    return ["it has finished"]


# -- once only ---------------------------------------------------------------------------------------------------------


@regrow.task(isolate=True, once=True)
def pays() -> str:
    effect("paid")
    die()


def _it_was_paid() -> regrow.Happened:
    effect("asked")
    return regrow.Happened("receipt")


def _it_was_not_paid() -> regrow.DidNotHappen:
    effect("asked")
    return regrow.DidNotHappen()


@regrow.task(isolate=True, once=True, reconcile=_it_was_paid)
def pays_as_can_be_seen() -> str:
    effect("paid")
    die()


@regrow.task(isolate=True, once=True, reconcile=_it_was_not_paid)
def dies_before_it_pays() -> str:
    effect("tried")
    die()


@regrow.task
async def customer(which: str) -> str:
    try:
        return await globals()[which].aio()
    except regrow.Failure as failure:
        return type(failure).__name__


# -- last words --------------------------------------------------------------------------------------------------------


@regrow.task(isolate=True, on_preempted=regrow.resume(0))
def prints_and_dies() -> None:
    print("the last line")
    die()


@regrow.task(isolate=True, on_preempted=regrow.resume(0))
def speaks_out_of_turn() -> None:
    for number in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.write(number, struct.pack("<I", 5) + b"abcde")
        except OSError:
            continue
    time.sleep(30)


@regrow.task(isolate=True)
def raises_at_length() -> None:
    raise ValueError("x" * 100_000_000)


@regrow.task
async def hears(which: str) -> list[str]:
    try:
        await globals()[which].aio()
    except regrow.Failure as failure:
        return [type(failure).__name__, failure.confidence, *failure.evidence]
    except Exception as error:
        return [type(error).__name__]
    return ["it has finished"]


# -- saving ------------------------------------------------------------------------------------------------------------

PREEMPTIONS = 20  # as many as `resume` allows for by itself


@regrow.task(isolate=True)
def saves_until_preempted() -> int:
    """Save again and again, and be sent a SIGTERM at a moment that is another one in each attempt."""
    progress = regrow.checkpoint()
    number = found = progress.load(0)
    attempt = regrow.current().attempt
    if attempt > PREEMPTIONS:
        return found
    effect(f"found {found}")
    threading.Timer(0.002 + attempt * 0.00037, os.kill, (os.getpid(), signal.SIGTERM)).start()
    for _ in range(20_000):
        progress.save(number + 1)
        number += 1
    raise AssertionError("the signal did not come")


@regrow.task
async def saver() -> int:
    return await saves_until_preempted.aio()
