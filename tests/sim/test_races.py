"""Whatever won a race wins it again, whichever kinds of call took part and whichever is asked for first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import regrow
from regrow.testing import Crash, CrashingStore

from .lives import divergences, ledger, live, note


@pytest.fixture(autouse=True)
def nothing_was_done():
    ledger.clear()


_decided: list[asyncio.Event] = []
"""What is slow waits until the race is decided, and not for a time: the first life is never in doubt."""


@regrow.step
async def quick() -> str:
    return "quick"


@regrow.step
async def fails_quickly() -> str:
    raise ConnectionError("quick")


@regrow.step
async def slow() -> str:
    await _decided[-1].wait()
    return "slow"


@regrow.task
async def slow_task() -> str:
    await _decided[-1].wait()
    return "slow"


@regrow.step
async def drip() -> AsyncIterator[str]:
    await _decided[-1].wait()
    yield "slow"


async def read() -> str:
    return "".join([one async for one in drip()])


async def dreams() -> str:
    await regrow.sleep(0.5)
    return "slow"


SLOW = {"a step": slow, "a task": slow_task, "a stream": read, "a sleep": dreams}


async def named(wait) -> str:
    try:
        return await wait()
    except Exception as error:
        return str(error)


@pytest.mark.promise("P4")
@pytest.mark.parametrize("winner", [quick, fails_quickly], ids=["which succeeded", "which failed"])
@pytest.mark.parametrize("way", SLOW)
def test_what_was_slower_is_not_faster_when_both_are_answered_from_the_journal(way, winner):
    @regrow.task
    async def agent() -> str:
        _decided.append(asyncio.Event())
        tasks = [asyncio.create_task(named(SLOW[way])), asyncio.create_task(named(winner))]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = "+".join(sorted(task.result() for task in done))
        _decided[-1].set()
        await asyncio.wait(tasks)
        note(f"first was {first}")
        return first

    calm, store = CrashingStore(), CrashingStore()
    assert live(agent, store=calm) == "quick"
    store.die_after(calm.appended - 2)  # the ends of the task and of the run are lost
    with pytest.raises(Crash):
        live(agent, store=store)
    store.revive()
    assert live(agent, store=store, strict=True) == "quick"
    assert set(ledger) == {"first was quick"}
    assert divergences(store) == []


@pytest.mark.promise("P4")
@pytest.mark.parametrize("fails", [False, True])
def test_what_is_executed_now_comes_when_the_code_has_acted_on_what_is_in_the_journal(fails):
    @regrow.step
    async def lost() -> str:
        note("lost")
        await asyncio.sleep(60 if ledger["lost"] == 1 else 0)
        if fails:
            raise ConnectionError("lost")
        return "lost"

    @regrow.step
    async def publish(first: str) -> str:
        note(f"publish {first}")
        return first

    @regrow.task
    async def agent() -> str:
        _decided.append(asyncio.Event())
        _decided[-1].set()
        tasks = [asyncio.create_task(named(slow)), asyncio.create_task(named(lost))]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = await publish("+".join(sorted(task.result() for task in done)))
        await asyncio.wait(tasks, timeout=0.2)
        return first

    store = CrashingStore()
    store.die_after(5)  # the run, the driver, the task, what was slow, and what was published
    with pytest.raises(Crash):
        live(agent, store=store)
    store.revive()
    ledger["lost"] = 1
    assert live(agent, store=store, strict=True) == "slow"
    assert ledger["publish slow"] == 1
