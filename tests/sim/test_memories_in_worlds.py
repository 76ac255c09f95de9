"""An agent with a memory in simulated worlds: workers lost, drivers overtaken, messages twice, appends that lie."""

import pytest

import regrow
from regrow.testing import SimulatedWorld

from .world_agents import asked

pytestmark = pytest.mark.sim

_SOON = regrow.Backoff(base=0.1)
ROUNDS = 4


@regrow.task(memory="64Mi", on_oom=regrow.grow(2, max="1Gi"), retries=5, backoff=_SOON)
async def in_a_worker(number: int) -> None:
    regrow.memory("m").messages.append(f"worker {number}")


@regrow.task
async def remembers() -> list:
    memory = regrow.memory("m")
    for number in range(ROUNDS):
        await asked(f"{number}")
        memory.messages.append(f"driver {number}")
        memory.update("count", lambda count: count + 1, default=0)
        await in_a_worker(number)
    return [list(memory.messages), memory.kv["count"], memory.version()]


EXPECTED = [[f"{who} {number}" for number in range(ROUNDS) for who in ("driver", "worker")], ROUNDS, 3 * ROUNDS]


def test_whatever_goes_wrong_each_write_is_in_the_memory_once():
    reached = set()
    for seed in range(40):
        world = SimulatedWorld(seed)
        world.run(remembers, key="a", expected=EXPECTED)
        world.play()
        memories = world.store.memories
        assert memories.head("default", "m").version == EXPECTED[2], f"to see it again: SimulatedWorld({seed})"
        assert memories.check() == [], f"to see it again: SimulatedWorld({seed})"
        reached.update(world.reached)
    assert {"a worker lost", "a message that came twice", "a crash after an append"} <= reached
