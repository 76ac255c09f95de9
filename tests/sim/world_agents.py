"""Agents for simulated worlds: each gives one result, whatever happens to it, and notes every effect that it has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import regrow
from regrow.engine.branches import scope_here
from regrow.testing import SimulatedWorld

_PROMPTLY = regrow.Backoff(base=0.2, cap=1.0)


def effect(label: str) -> None:
    SimulatedWorld.here.witness.effect(label)


def given(label: str) -> None:
    scope = scope_here()
    assert scope is not None
    SimulatedWorld.here.witness.handed_on(scope.driver.run, label)


@regrow.step
async def ask(what: str, takes: float = 0.0) -> str:
    effect(f"ask {what}")
    if takes:
        await asyncio.sleep(takes)
    return f"{what}!"


async def asked(what: str, takes: float = 0.0) -> str:
    answer = await ask(what, takes)
    given(f"ask {what}")
    return answer


@regrow.step
def count(number: int) -> int:
    effect(f"count {number}")
    return number + 1


@regrow.task
async def linear() -> list[str]:
    said = [await asked(f"linear {index}", 0.05 * (index % 2)) for index in range(6)]
    return [*said, str(count(count(1)))]


@regrow.task
async def leaf(name: str) -> str:
    first = await asked(f"{name} first", 0.01)
    return first + await asked(f"{name} second", 0.02)


async def strand(name: str) -> str:
    return await leaf(name) + await asked(f"{name} of its strand", 0.03)


@regrow.task
async def gathered() -> list[str]:
    parts = await asyncio.gather(*(strand(f"g{index}") for index in range(4)))
    async with asyncio.TaskGroup() as group:
        one = group.create_task(strand("t0"))
        other = group.create_task(leaf("t1"))
    return [*parts, one.result(), other.result()]


@regrow.step
async def pick(what: str) -> str:
    effect(f"pick {what}")
    await asyncio.sleep({"slow": 0.4, "fast": 0.2, "last": 0.9}[what])
    return what


@regrow.step(retries=20, backoff=_PROMPTLY)
async def priced(what: str) -> str:
    effect(f"priced {what}")
    regrow.spent("0.01", on="a service")
    await asyncio.sleep(0.02)
    return what


@regrow.task
async def paying() -> list[str]:
    found = await asyncio.gather(priced("one"), priced("other"))
    regrow.spent("0.02", on="the agent's own machine")
    return found


@regrow.task
async def racing() -> bool:
    """What wins is recorded, and must be what wins again; which one that is, is anybody's guess."""
    order: list[str] = []
    for next_one in asyncio.as_completed([pick("slow"), pick("fast"), pick("last")]):
        winner = await next_one
        order.append(winner)
        await asked(f"after {'-'.join(order)}")
    first, second = await asyncio.gather(asked("both a", 0.1), asked("both b", 0.1))
    return sorted(order) == ["fast", "last", "slow"] and first != second


@regrow.task
async def sleeping() -> str:
    await asked("before")
    await regrow.sleep("2s")
    moment = regrow.now()
    await asked("between")
    await regrow.sleep("40s")
    return f"{await asked('after')} {regrow.now() >= moment or 'set back'}"[:6]


@regrow.step(retries=50, backoff=_PROMPTLY)
async def flaky(what: str) -> str:
    effect(f"flaky {what}")
    scope = scope_here()
    assert scope is not None
    if scope.attempt < 3:
        raise ConnectionError(what)
    return what


@regrow.task
async def retrying() -> str:
    said = await flaky("one")
    try:
        async with asyncio.timeout(0.5):
            await asked("too slow", 5.0)
    except TimeoutError:
        said += " late"
    return said + await asyncio.to_thread(threaded, 3)


def threaded(number: int) -> str:
    return str(count(number))


@regrow.step
async def stream() -> AsyncIterator[int]:
    effect("stream")
    for index in range(4):
        await asyncio.sleep(0.05)
        yield index


@regrow.task
async def streaming() -> int:
    total = 0
    async for chunk in stream():
        total += chunk
        await asked(f"chunk {chunk}")
    return total


@regrow.step
async def charge(what: str) -> str:
    SimulatedWorld.here.witness.charge(regrow.current().idempotency_key, f"charge {what}")
    await asyncio.sleep(0.02)
    return what


async def _look(what: str) -> Any:
    world, scope = SimulatedWorld.here, scope_here()
    assert scope is not None
    if world.somebody_may_still(scope.driver.run):
        return None
    if world.witness.effects[scope.driver.run, scope.path, f"order {what}"]:
        return regrow.Happened(True)
    return regrow.DidNotHappen()


@regrow.step(once=True, reconcile=_look)
async def order(what: str) -> bool:
    effect(f"order {what}")
    await asyncio.sleep(0.05)
    return True


@regrow.step(once=True)
async def order_blindly(what: str) -> bool:
    effect(f"order {what}")
    await asyncio.sleep(0.05)
    return True


@regrow.task
async def buying() -> list[object]:
    charged = [await charge("a"), await charge("b")]
    return [*charged, await order("c"), await order_blindly("d"), await order("e")]


# -- in workers --------------------------------------------------------------------------------------------------------


@regrow.task(memory="256Mi", on_oom=regrow.grow(2, max="32Gi"), retries=20, backoff=_PROMPTLY)
async def train(name: str) -> str:
    first = await asked(f"{name} epoch 1", 0.3)
    return first + await asked(f"{name} epoch 2", 0.3)


@regrow.task(isolate=True, retries=20, backoff=_PROMPTLY)
def train_blocking(number: int) -> int:
    return count(count(number))


@regrow.task(isolate=True, retries=20, backoff=_PROMPTLY)
async def saving(upto: int) -> int:
    checkpoint = regrow.checkpoint()
    done = checkpoint.load(default=0)
    if done:
        SimulatedWorld.here.reached["a checkpoint gone on from"] += 1
    while done < upto:
        await asked(f"batch {done}", 0.1)
        done += 1
        checkpoint.save(done)
    return done


@regrow.task(isolate=True, timeout="1s", retries=20, backoff=_PROMPTLY)
async def slow_at_first() -> int:
    scope = scope_here()
    assert scope is not None
    await asyncio.sleep(30 if scope.attempt == 1 else 0.1)
    return 1


@regrow.task
async def training() -> list[object]:
    models = await asyncio.gather(*(train(f"m{index}") for index in range(3)))
    return [*models, await train_blocking.aio(5), await saving(3), await slow_at_first()]


@regrow.task(isolate=True)
async def lingering(seconds: float) -> float:
    try:
        await asyncio.sleep(5)
    finally:
        await asyncio.sleep(seconds)
    return seconds


@regrow.task
async def lingerers() -> list[float]:
    return await asyncio.gather(lingering(0.1), lingering(0.6))


@regrow.task(isolate=True, retries=20, backoff=_PROMPTLY)
async def manager() -> list[str]:
    """A worker whose task has workers of its own."""
    return [await train("nested"), *await regrow.map(leaf, ["x", "y", "z"], concurrency=2)]


# -- edited between two lives ------------------------------------------------------------------------------------------


def _version(function: Any) -> Any:
    function.__name__ = "edited"
    function.__qualname__ = "edited"
    return regrow.task(function)


@_version
async def edited() -> str:
    said = [await ask("one", 0.1), await ask("two", 0.1), await ask("three", 0.1)]
    await regrow.sleep("1s")
    return "".join([*said, await ask("four", 0.1)])


@_version
async def edited_added() -> str:
    said = [await ask("one", 0.1), await ask("two", 0.1), await ask("inserted", 0.1), await ask("three", 0.1)]
    await regrow.sleep("1s")
    return "".join([*said, str(count(1)), await ask("four", 0.1)])


@_version
async def edited_removed() -> str:
    said = [await ask("one", 0.1), await ask("three", 0.1)]
    return "".join([*said, await ask("four", 0.1)])


@_version
async def edited_moved() -> str:
    said = [await ask("three", 0.1), await ask("one", 0.1), await ask("two", 0.1)]
    await regrow.sleep("1s")
    return "".join([*said, await ask("four", 0.1)])


EXPECTED: dict[Any, object] = {
    linear: [*(f"linear {index}!" for index in range(6)), "3"],
    gathered: [
        *(f"g{index} first!g{index} second!g{index} of its strand!" for index in range(4)),
        "t0 first!t0 second!t0 of its strand!",
        "t1 first!t1 second!",
    ],
    paying: ["one", "other"],
    racing: True,
    sleeping: "after!",
    retrying: "one late4",
    streaming: 6,
    buying: ["a", "b", True, True, True],
    training: ["m0 epoch 1!m0 epoch 2!", "m1 epoch 1!m1 epoch 2!", "m2 epoch 1!m2 epoch 2!", 7, 3, 1],
    manager: [
        "nested epoch 1!nested epoch 2!",
        "x first!x second!",
        "y first!y second!",
        "z first!z second!",
    ],
}


def a_world(seed: int, **how: Any) -> SimulatedWorld:
    """Give the world of a seed, with some of these agents in it."""
    world = SimulatedWorld(seed, **how)
    for agent in world.chance.sample(list(EXPECTED), 2):
        world.run(agent, key=agent.name, expected=EXPECTED[agent])
    if world.chance.random() < 0.3:
        world.run(edited, key="edited", edited=[edited_added, edited_removed, edited_moved])
    return world
