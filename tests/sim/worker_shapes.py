"""Shapes of workflow that need workers, for simulated worlds."""

from __future__ import annotations

import asyncio
from typing import Any

import regrow
from regrow.engine.branches import scope_here

from .world_agents import asked, count, paying, saving, slow_at_first, strand

_SOON = regrow.Backoff(base=0.1)


@regrow.task(memory="64Mi", on_oom=regrow.grow(2, max="1Gi"))
async def hungry(needs: int) -> str:
    said = await asked(f"hungry for {needs}")
    scope = scope_here()
    assert scope is not None
    assert scope.resources is not None
    if (scope.resources.memory or 0) < needs:
        raise MemoryError
    return said


@regrow.task
async def oom_ladder() -> str:
    return await hungry(200 * 2**20)


@regrow.task
async def workers_side_by_side() -> list[str]:
    return await asyncio.gather(hungry(1), hungry(100 * 2**20), strand("beside"))


@regrow.task(isolate=True)
async def outer_worker() -> list[str]:
    return [await hungry(2), await strand("inside")]


@regrow.task
async def workers_in_workers() -> list[str]:
    return await outer_worker()


@regrow.task
async def worker_with_checkpoints() -> int:
    return await saving(3)


@regrow.task
async def worker_timed_out() -> int:
    return await slow_at_first()


@regrow.task(isolate=True)
def blocking_worker(number: int) -> int:
    return count(count(number))


@regrow.task
async def synchronous_worker() -> int:
    return await blocking_worker.aio(3)


@regrow.task(isolate=True)
async def paying_inside() -> list[str]:
    return await paying()


@regrow.task
async def paying_worker() -> list[str]:
    return await paying_inside()


SHAPES: dict[Any, object] = {
    oom_ladder: f"hungry for {200 * 2**20}!",
    workers_side_by_side: [
        "hungry for 1!",
        f"hungry for {100 * 2**20}!",
        "beside first!beside second!beside of its strand!",
    ],
    workers_in_workers: ["hungry for 2!", "inside first!inside second!inside of its strand!"],
    worker_with_checkpoints: 3,
    worker_timed_out: 1,
    synchronous_worker: 5,
    paying_worker: ["one", "other"],
}
