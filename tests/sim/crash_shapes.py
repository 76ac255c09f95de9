"""Shapes of workflow, each as small as it can be: for `test_crash_points`, which kills every one of them everywhere."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import regrow
from regrow.engine.branches import scope_here
from regrow.testing import Effects

_AT_ONCE = regrow.Backoff(base=0)


class Book:
    """Where the shapes note what they do: another book for each life and death that is played."""

    effects = Effects()


def note(what: str) -> None:
    Book.effects.note(what)


@regrow.step
async def do(what: str, seconds: float = 0.0) -> str:
    note(what)
    await asyncio.sleep(seconds)
    return what


@regrow.step
def compute(number: int) -> int:
    note(f"compute {number}")
    return number * 2


@regrow.step
async def refuse(what: str) -> None:
    note(f"refuse {what}")
    raise LookupError(what)


@regrow.task
async def leaf(what: str) -> str:
    return await do(f"{what} a") + await do(f"{what} b")


@regrow.task
async def linear() -> list[str]:
    return [await do("one"), await do("two"), await do("three")]


@regrow.task
async def loop() -> int:
    total = 1
    for _ in range(4):
        total = compute(total)
    return total


@regrow.task
async def same_call_many_times() -> list[str]:
    return [await do("same") for _ in range(3)] + await asyncio.gather(*(do("same") for _ in range(2)))


@regrow.task
async def gather_of_steps() -> list[str]:
    return await asyncio.gather(do("left"), do("right", 0.001), do("middle"))


async def strand(what: str) -> str:
    return await do(f"{what} first") + await leaf(what)


@regrow.task
async def gather_of_strands() -> list[str]:
    return await asyncio.gather(*(strand(f"s{index}") for index in range(3)))


@regrow.task
async def task_group() -> list[str]:
    async with asyncio.TaskGroup() as group:
        made = [group.create_task(strand(f"g{index}")) for index in range(2)]
    return [one.result() for one in made]


@regrow.task
async def task_group_that_fails() -> str:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(do("patient", 5.0))
            group.create_task(refuse("early"))
    except* LookupError:
        pass
    return await do("mended")


@regrow.task
async def as_completed() -> list[str]:
    order = []
    fast = asyncio.create_task(do("fast"))
    slow = asyncio.create_task(after(fast, "slow"))
    for one in asyncio.as_completed([slow, fast, asyncio.create_task(after(slow, "slower"))]):
        order.append(await one)
        await do(f"after {order[-1]}")
    return order


async def after(first: asyncio.Task[str], what: str) -> str:
    """Be later by what happens, not by the clock: a loaded machine's is no judge."""
    await asyncio.wait((first,))
    return await do(what)


@regrow.task
async def first_completed() -> list[str]:
    short = asyncio.create_task(do("short"))
    made = [asyncio.create_task(after(short, "long")), short]
    done, left = await asyncio.wait(made, return_when=asyncio.FIRST_COMPLETED)
    said = [one.result() for one in done]
    await do("between")
    return said + [await one for one in left]


@regrow.task
async def nested() -> str:
    return await leaf("outer") + await middle("inner")


@regrow.task
async def middle(what: str) -> str:
    return await leaf(what) + await do("middle")


@regrow.task
async def recursion(depth: int = 4) -> int:
    await do(f"depth {depth}")
    return 1 if depth == 0 else 1 + await recursion(depth - 1)


@regrow.step
async def chunks() -> AsyncIterator[int]:
    for index in range(3):
        yield index


@regrow.task
async def streaming() -> list[str]:
    return [await do(f"chunk {chunk}") async for chunk in chunks()]


@regrow.task
async def two_streams() -> list[int]:
    async def read() -> int:
        return sum([chunk async for chunk in chunks()])

    return await asyncio.gather(read(), read())


@regrow.step(retries=5, backoff=_AT_ONCE)
async def flaky(what: str, until: int) -> str:
    scope = scope_here()
    note(f"{what} {scope.attempt}")
    if scope.attempt < until:
        raise ConnectionError(what)
    return what


@regrow.task
async def retry_ladder() -> list[str]:
    return [await flaky("a", 3), await flaky("b", 1), await flaky("c", 2)]


@regrow.task(retries=3, backoff=_AT_ONCE)
async def retried_task() -> str:
    first = await do("kept")
    scope = scope_here()
    if scope.attempt < 3:
        await refuse("twice")
    return first


@regrow.task
async def exhausted_retries() -> str:
    try:
        await flaky.override(retries=1)("never", 9)
    except ConnectionError as error:
        return await do(f"caught {error}")
    return "unreachable"


@regrow.task
async def failing() -> None:
    await do("before")
    try:
        await refuse("the end")
    finally:
        await do("cleaning up")


@regrow.task
async def failure_handled() -> str:
    try:
        await refuse("x")
    except LookupError:
        return await do("handled")
    return "unreachable"


@regrow.task
async def fallen_back() -> str:
    return await weak("w")


@regrow.task
async def strong(what: str) -> str:
    return await do(f"strong {what}")


@regrow.step(on_failure=lambda _: regrow.Fallback(strong))
async def weak(what: str) -> str:
    note(f"weak {what}")
    raise ConnectionError(what)


@regrow.task
async def checkpointed() -> int:
    saved = regrow.checkpoint()
    done = saved.load(default=0)
    while done < 3:
        await do(f"batch {done}")
        done += 1
        saved.save(done)
    return done


@regrow.task
async def timed_out() -> str:
    try:
        async with asyncio.timeout(0.02):
            await do("too long", 5.0)
    except TimeoutError:
        return await do("in time")
    return "unreachable"


@regrow.step(timeout=0.02)
async def bounded() -> str:
    note("bounded")
    await asyncio.sleep(5)
    return "unreachable"


@regrow.task
async def step_timed_out() -> str:
    try:
        return await bounded()
    except regrow.TimedOut:
        return await do("without it")


@regrow.task
async def cancelled_strand() -> str:
    strand_of_its_own = asyncio.create_task(do("given up", 5.0))
    await asyncio.sleep(0)  # let it begin: what is recorded takes no time, and it would be cancelled before that
    await do("meanwhile", 0.005)
    strand_of_its_own.cancel()
    await asyncio.wait([strand_of_its_own])
    return await do("afterwards")


@regrow.task
async def sleeping() -> str:
    await do("before")
    await regrow.sleep(0.01)
    await asyncio.gather(regrow.sleep(0.01), regrow.sleep(0.005))
    return await do("after")


@regrow.task
async def clock() -> bool:
    first = regrow.now()
    await do("between")
    return first <= regrow.now()


@regrow.step
async def odd_fails(number: int) -> int:
    note(f"item {number}")
    if number % 2:
        raise ValueError(number)
    return number


@regrow.task
async def map_with_partial_failure() -> list[str]:
    found = await regrow.map(odd_fails, range(5), concurrency=2, on_error="collect")
    return [await do(str(one)) for one in found]


@regrow.task
async def map_that_raises() -> str:
    try:
        await regrow.map(odd_fails, [0, 2, 3, 4], concurrency=1)
    except ValueError as error:
        return await do(f"stopped at {error}")
    return "unreachable"


@regrow.task
async def in_threads() -> list[int]:
    return await asyncio.gather(asyncio.to_thread(_in_thread, 1), asyncio.to_thread(_in_thread, 2), compute.aio(30))


def _in_thread(number: int) -> int:
    return compute(compute(number * 100))


@regrow.task
async def own_thread() -> list[int]:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(compute(7)))
    thread.start()
    await asyncio.to_thread(thread.join)
    return results


@regrow.task
def synchronous() -> int:
    return sum(blocking_leaf(index) for index in range(3))


@regrow.task
def blocking_leaf(number: int) -> int:
    return compute(number)


@regrow.step(once=True, reconcile=lambda _what: regrow.DidNotHappen())
async def once(what: str) -> str:
    return what


@regrow.task
async def once_only() -> list[str]:
    return [await once("x"), await do("y"), await once("z")]


@regrow.step
async def charge(what: str) -> str:
    Book.effects.note(what, key=regrow.current().idempotency_key)
    return what


@regrow.task
async def keyed() -> list[str]:
    return await asyncio.gather(charge("a"), charge("b"), charge("c"))


@regrow.task
async def large_values() -> int:
    blob = await big("x")
    return len(await big(blob[:5]))


@regrow.step
async def big(prefix: str) -> str:
    note(f"big {prefix}")
    return prefix + "y" * 100_000


@regrow.task
async def started_and_left() -> str:
    background = asyncio.create_task(leaf("background"))
    said = await do("foreground")
    return said + await background


@regrow.task
async def semaphore() -> list[str]:
    gate = asyncio.Semaphore(2)

    async def through(what: str) -> str:
        async with gate:
            return await do(what)

    return await asyncio.gather(*(through(f"gate {index}") for index in range(4)))


@regrow.task
async def queue() -> list[str]:
    work: asyncio.Queue[int | None] = asyncio.Queue()

    async def produce() -> None:
        for index in range(3):
            await do(f"made {index}")
            await work.put(index)
        await work.put(None)

    async def consume() -> list[str]:
        found = []
        while (item := await work.get()) is not None:
            found.append(await do(f"used {item}"))
        return found

    return (await asyncio.gather(consume(), produce()))[0]


@regrow.step(cache=True)
async def shared(what: str) -> str:
    note(f"shared {what}")
    await asyncio.sleep(0.001)
    return what


@regrow.task(cache=True)
async def shared_leaf(what: str) -> str:
    return await shared(f"{what} a") + await shared("b")


@regrow.task
async def shared_calls() -> list[str]:
    in_order = [await shared("a"), await shared("a"), await shared_leaf("x"), await shared_leaf("x")]
    return in_order + await asyncio.gather(shared("c"), shared("c"), shared("b"))


@regrow.step(cache=regrow.Cache(failures=True))
async def shared_refusal(what: str) -> None:
    note(f"refuse {what}")
    raise LookupError(what)


@regrow.task
async def shared_failures() -> str:
    for _ in range(2):
        try:
            await shared_refusal("x")
        except LookupError:
            await do("handled")
    return "done"


@regrow.task
async def remembering() -> list[Any]:
    memory = regrow.memory("shapes/remembering")
    for number in range(2):
        memory.messages.append(role="user", content=await do(f"heard {number}"))
        memory.update("count", lambda count: count + 1, default=0)
    return [list(memory.messages), memory.kv.get("count"), memory.version()]


@regrow.step
async def priced(what: str) -> str:
    note(f"priced {what}")
    regrow.spent("0.01", on="a service")
    return what


@regrow.task
async def paying() -> str:
    answer = await priced("a")
    regrow.spent("0.02", on="the agent's own machine")
    return answer + await priced("b")


SHAPES: list[Any] = [
    linear, loop, same_call_many_times, gather_of_steps, gather_of_strands, task_group, task_group_that_fails,
    as_completed, first_completed, nested, recursion, streaming, two_streams, retry_ladder, retried_task,
    exhausted_retries, failing, failure_handled, fallen_back, checkpointed, timed_out, step_timed_out,
    cancelled_strand, sleeping, clock, map_with_partial_failure, map_that_raises, in_threads, own_thread, synchronous,
    once_only, keyed, large_values, started_and_left, semaphore, queue,
    shared_calls, shared_failures, remembering, paying,
]  # fmt: skip
