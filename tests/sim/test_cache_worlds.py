"""The shared cache in simulated worlds: runs that want the same, in processes that die, stall and lose their leases."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter

import pytest

import regrow
from regrow.testing import SimulatedWorld, WorldFailed

_SEEDS = int(os.environ.get("REGROW_SIM_SEEDS") or 60)
_SEED = os.environ.get("REGROW_SIM_SEED")


def effect(label: str) -> None:
    SimulatedWorld.here.witness.effect(label)


@regrow.step(cache=True)
async def look_up(what: str) -> str:
    effect(f"look up {what}")
    await asyncio.sleep(0.5)
    return what.upper()


@regrow.task(cache=True)
async def study(what: str) -> str:
    return await look_up(what) + await look_up("common")


@regrow.task(isolate=True, retries=20, backoff=regrow.Backoff(base=0.2, cap=1.0))
async def study_apart(what: str) -> str:
    return await look_up(what) + await look_up("common")


@regrow.task
async def agent(name: str) -> list[str]:
    return [*await asyncio.gather(study("a"), study("b"), look_up("a")), await study("a"), await study_apart("c")]


EXPECTED = ["ACOMMON", "BCOMMON", "A", "ACOMMON", "CCOMMON"]


def played(seed, **how):
    world = SimulatedWorld(seed, **how)
    for name in "xyz":
        world.run(agent, name, key=name, expected=EXPECTED)
    world.play()
    counted = Counter()
    for (_, _, label), times in world.witness.effects.items():
        counted[label] += times
    return counted


@pytest.fixture(autouse=True)
def quiet():
    logging.getLogger("regrow").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("regrow").setLevel(logging.NOTSET)


def test_each_run_has_its_results_and_every_promise_holds_whatever_happens():
    failures = []
    for seed in range(_SEEDS) if not _SEED else [int(_SEED)]:
        try:
            played(seed)
        except WorldFailed as failure:
            failures.append(str(failure))
    assert not failures, f"{len(failures)} worlds failed; `REGROW_SIM_SEED=… pytest {__file__}`\n" + failures[0]


def test_where_nothing_goes_wrong_everything_is_looked_up_once():
    for seed in range(20):
        assert played(seed, faults=()) == {f"look up {what}": 1 for what in ("a", "b", "c", "common")}


@pytest.mark.control
def test_without_the_cache_it_is_looked_up_again_and_again(monkeypatch):
    monkeypatch.setattr(look_up.callee, "options", regrow.step(look_up.__wrapped__).callee.options)
    assert played(0, faults=())["look up common"] > 3
