"""The agents of test_nesting.py and test_surroundings.py: isolated tasks, which a worker must be able to load."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import regrow

MIB = 2**20


def effect(line):
    handle = os.open("effects", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def wait_for(name):
    limit = time.monotonic() + 30
    while not Path(name).exists():
        assert time.monotonic() < limit, f"{name} did not come to be"
        time.sleep(0.01)


# -- parents and their children ----------------------------------------------------------------------------------------


@regrow.task(isolate=True)
def child() -> None:
    effect(f"child {os.getpid()}")
    time.sleep(60)


@regrow.task(isolate=True)
def deaf_child() -> None:
    """Be deaf to whoever asks it to end, as a library in C may be for minutes."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    effect(f"child {os.getpid()}")
    time.sleep(60)


@regrow.task
async def parent_in_the_driver(which: str) -> None:
    await globals()[which].aio()


@regrow.task(isolate=True)
async def isolated_parent(which: str) -> None:
    effect(f"parent {os.getpid()}")
    await globals()[which].aio()


@regrow.task(isolate=True)
def synchronous_parent(which: str) -> None:
    effect(f"parent {os.getpid()}")
    globals()[which]()


@regrow.task
async def bounded(parent: str, which: str, bound: str) -> str:
    """Give what a parent is ended with that has only half a second."""
    await double.aio(0)  # from here on it is warm, and the time is the parent's own
    task = globals()[parent].override(**{bound: 0.5})
    try:
        await task.aio(which)
    except regrow.TimedOut as failure:
        return failure.scope
    return "it has finished"


@regrow.task
async def impatient(which: str) -> str:
    try:
        await double.aio(0)
        async with asyncio.timeout(0.5):
            await globals()[which].aio()
    except TimeoutError:
        return "given up"
    return "it has finished"


@regrow.task(isolate=True)
async def impatient_in_a_worker(which: str) -> str:
    return await impatient.__wrapped__(which)


# -- three deep --------------------------------------------------------------------------------------------------------


@regrow.step
def leaf(label: str) -> int:
    effect(label)
    return 1


@regrow.task(cpu=2)
def inner(label: str) -> int:
    return leaf(f"{label}.step")


@regrow.task(cpu=2)
async def middle(label: str) -> int:
    first = leaf(f"{label}.step")
    return first + sum(await asyncio.gather(*(inner.aio(f"{label}.{number}") for number in range(3))))


@regrow.task(cpu=2)
async def outer(label: str) -> int:
    first = leaf(f"{label}.step")
    return first + sum(await asyncio.gather(*(middle.aio(f"{label}.{number}") for number in range(3))))


@regrow.task
async def three_deep() -> int:
    return sum(await asyncio.gather(*(outer.aio(str(number)) for number in range(3))))


@regrow.task(cpu=2)
def blocking_middle(label: str) -> int:
    return leaf(f"{label}.step") + sum(inner(f"{label}.{number}") for number in range(2))


@regrow.task(cpu=2)
def blocking_outer() -> int:
    return leaf("step") + sum(blocking_middle(str(number)) for number in range(2))


@regrow.task(isolate=True, retries=1, backoff=regrow.Backoff(base=0.0))
def dies_halfway() -> list[int]:
    done = [leaf("first"), inner("second")]
    if regrow.current().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return [*done, leaf("third")]


@regrow.task
async def call(task: str) -> object:
    return await globals()[task].aio()


# -- synchronous code --------------------------------------------------------------------------------------------------


@regrow.task(isolate=True)
def double(number: int) -> int:
    effect(f"double {number} {os.getpid()}")
    return 2 * number


@regrow.task
async def calls_it_straight() -> int:
    return double(1)


@regrow.task
async def calls_it_in_a_thread() -> list[int]:
    return list(await asyncio.gather(*(asyncio.to_thread(double, number) for number in range(3))))


@regrow.task
def synchronous_run() -> list[int]:
    return [double(number) for number in range(3)]


@regrow.task
def synchronous_run_with_a_child() -> None:
    child()


# -- capacity ----------------------------------------------------------------------------------------------------------


@regrow.task(isolate=True)
def occupant(label: str) -> None:
    effect(f"+{label}")
    time.sleep(0.1)
    effect(f"-{label}")


@regrow.task
async def crowd(number: int, cpu: float) -> None:
    task = occupant.override(cpu=cpu)
    await asyncio.gather(*(task.aio(str(one)) for one in range(number)))


@regrow.task
async def by_priority(cpu: float) -> None:
    order = [("first", 0), ("low", -1), ("usual", 0), ("high", 5), ("also usual", 0)]
    await asyncio.gather(*(occupant.override(cpu=cpu, priority=rank).aio(label) for label, rank in order))


@regrow.task
async def asks_for(option: str, amount: str) -> None:
    value = int(amount) if amount.isdigit() else amount
    await occupant.override(retries=3, **{option: value}).aio("never")


# -- surroundings ------------------------------------------------------------------------------------------------------


@regrow.task(secrets=["REGROW_TEST_TOKEN"])
def uses_a_secret() -> list[int]:
    token = os.environ["REGROW_TEST_TOKEN"]
    print(f"printed {token}")
    sys.stderr.write(f"complained of {token}\n")
    logging.getLogger("agent").warning("logged %s", token)
    return [len(token), os.getppid()]


@regrow.task(secrets=["REGROW_TEST_TOKEN"])
def fails_with_a_secret() -> None:
    raise ValueError(f"the service refused {os.environ['REGROW_TEST_TOKEN']}")


@regrow.task(isolate=True)
def was_handed_nothing() -> str:
    return os.environ["REGROW_TEST_TOKEN"]


@regrow.task(secrets=["REGROW_TEST_ABSENT"])
def wants_what_is_not_there() -> None:
    effect("ran")


@regrow.task(env={"REGROW_TEST_REGION": "north"})
def has_an_environment() -> str:
    return os.environ["REGROW_TEST_REGION"]


@regrow.task(memory="256Mi", cpu=1, disk="32Mi", timeout=60, retries=2, budget=regrow.Budget(attempts=5, memory="1Gi"))
def looks_around() -> dict[str, object]:
    held = b"x" * (40 * MIB)
    me = regrow.current()
    assert me.scratch is not None
    assert me.limits is not None
    assert me.resources is not None
    (me.scratch / "note").write_text("mine", "utf-8")
    return {
        "task": me.task,
        "path": me.path,
        "attempt": me.attempt,
        "isolated": me.isolated,
        "given": [me.resources.memory, me.resources.cpu, me.resources.disk],
        "limits": me.limits.memory,
        "enforced_by": list(me.enforced_by),
        "memory": me.usage.memory,
        "processes": me.usage.processes,
        "seconds": me.remaining.seconds,
        "retries": me.remaining.retries,
        "attempts": me.remaining.attempts,
        "most": me.remaining.memory,
        "scratch": str(me.scratch),
        "told": me.describe(),
        "held": len(held),
    }


@regrow.task(memory="64Mi", on_oom=regrow.grow(2))
def grows_and_looks() -> list[object]:
    before = regrow.current()
    held = [b"x" * MIB for _ in range(100)]
    after = regrow.current()
    assert before.limits is not None
    assert after.limits is not None
    assert after.resources is not None
    return [before.limits.memory, after.limits.memory, after.resources.memory, after.describe(), len(held)]


@regrow.task(isolate=True, retries=1, backoff=regrow.Backoff(base=0.0))
def looks_back() -> list[object]:
    me = regrow.current()
    if me.attempt == 1:
        os._exit(3)
    return [type(me.failures[0]).__name__, me.remaining.retries, me.describe()]


@regrow.task
async def looks_around_in_the_driver() -> list[object]:
    me = regrow.current()
    return [me.isolated, me.resources, me.limits, me.scratch, me.usage.memory, me.describe()]


@regrow.task(isolate=True, retries=1, backoff=regrow.Backoff(base=0.0))
def prints(name: str) -> None:
    attempt = regrow.current().attempt
    print(f"{name} out {attempt}")
    sys.stderr.write(f"{name} err {attempt}\n")
    logging.getLogger("agent").warning("%s logged %d", name, attempt)
    sys.stdout.write(f"{name} without an end {attempt}")
    sys.stdout.flush()
    if attempt == 1:
        raise ValueError(name)


@regrow.task
async def two_that_print() -> None:
    await asyncio.gather(prints.aio("a"), prints.aio("b"))


@regrow.task(isolate=True)
def asks_in_a_thread() -> str:
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(regrow.current().path))
    thread.start()
    thread.join()
    return found[0]
