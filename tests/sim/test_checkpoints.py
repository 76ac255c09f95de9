"""Checkpoints of tasks in the driver's own process, which dies at any record: nothing is lost, and nothing repeated."""

from __future__ import annotations

import asyncio

import pytest

import regrow
from regrow.testing import CrashingStore

from .lives import live, note, survives_every_crash


def test_a_crash_at_any_record_of_a_task_that_saves_loses_and_repeats_nothing():
    @regrow.step
    async def step(name: str) -> str:
        note(f"step {name}")
        return name

    @regrow.task
    async def saving() -> list[str]:
        progress = regrow.checkpoint()
        done = progress.load([])
        if not done:
            await asyncio.gather(step("a"), step("b"))
        for name in ["c", "d", "e"][len(done) :]:
            done = [*done, await step(name)]
            progress.save(done)
        return done

    @regrow.task
    async def agent() -> list[str]:
        return await saving()

    points = survives_every_crash(agent, expected=["c", "d", "e"], once_each=False)
    assert points > 8


def test_a_crash_while_the_second_checkpoint_is_recorded_leaves_the_first():
    found = []

    @regrow.task
    async def agent() -> int:
        progress = regrow.checkpoint()
        found.append(progress.load(0))
        for number in range(found[-1] + 1, 4):
            progress.save(number)
        return found[-1]

    for records in range(3, 7):  # the run, the driver, the task, and one, two or three checkpoints
        found.clear()
        store = CrashingStore()
        store.die_after(records)
        with pytest.raises(regrow.StoreUnavailable):
            live(agent, store=store)
        store.revive()
        live(agent, store=store)
        assert found[-1] == records - 3
