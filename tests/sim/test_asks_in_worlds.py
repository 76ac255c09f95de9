"""Agents that ask people, in simulated worlds where everything goes wrong that can: workers, crashes, slow stores."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

import regrow
from regrow.errors import AskClosed
from regrow.journal.asks import Answer
from regrow.testing import SimulatedWorld

from .world_agents import asked

_SEEDS = int(os.environ.get("REGROW_SIM_SEEDS") or 0) // 20 or 60


@regrow.task(isolate=True, retries=20, on_preempted=regrow.resume(20), backoff=regrow.Backoff(base=0.2, cap=1.0))
async def inside() -> list[Any]:
    return [await regrow.ask("How many?", int), await asked("after it"), await regrow.wait_for("go", int)]


@regrow.step(approve=True)
async def pay(amount: int) -> str:
    return await asked(f"pay {amount}")


@regrow.task
async def agent() -> list[Any]:
    first = await asked("first")
    inner, paid = await asyncio.gather(inside(), pay(7))
    late = await regrow.ask("Anybody?", timeout=30, default=False)
    try:
        await pay(13)
    except regrow.Denied as no:
        return [first, inner, paid, late, no.who]
    return []


EXPECTED = ["first!", [5, "after it!", 1], "pay 7!", False, "somebody"]


def somebody_looks(world: SimulatedWorld) -> None:
    """Answer whatever waits, as a person in another process would, and send a signal once."""
    now = world.processes.clock.wall()
    for row in world.store.asks.listed():
        question = row.question
        if question.text == "Anybody?":
            continue
        yes = "13" not in question.evidence[0].text if question.evidence else True
        value, verdict = (
            (b"5", "value") if question.text == "How many?" else (b"true", "yes") if yes else (b"false", "no")
        )
        try:
            world.store.asks.answer(row.id, Answer("somebody", "test", now, value, verdict))  # type: ignore[arg-type]
        except AskClosed as closed:
            world.witness.broken("an open question can be answered", str(closed))
    for run in world.store.runs():
        if not world.sent:  # type: ignore[attr-defined]
            world.sent = world.store.signals.send(run.id, "go", b"1", "somebody", now)  # type: ignore[attr-defined]
    world.processes.operator.soon(somebody_looks, world, after=world.chance.choice((0.3, 3.0)))


def a_world(seed: int, **how: Any) -> SimulatedWorld:
    world = SimulatedWorld(seed, **how)
    world.sent = 0  # type: ignore[attr-defined]
    world.run(agent, key="asks", expected=EXPECTED)
    world.processes.operator.soon(somebody_looks, world, after=1.0)
    return world


@pytest.mark.promise("P2", "P8")
def test_whatever_goes_wrong_each_question_is_answered_once_and_the_run_ends_as_it_would():
    for seed in range(_SEEDS):
        world = a_world(seed)
        world.play()
        run = world.store.runs()[0].id
        rows = world.store.asks.listed(run=run, everything=True)
        assert [row.question.text for row in rows if row.decided is None] == [], f"seed {seed}"
        for row in rows:
            assert len(world.store.asks.answers(row.id)) <= 1, f"seed {seed}: {row.question.text}"


def test_in_a_quiet_world_nothing_is_asked_twice():
    world = a_world(1, faults=())
    world.play()
    assert len(world.store.asks.listed(everything=True)) == 4
