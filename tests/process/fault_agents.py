"""The tasks of test_faults.py, which a worker must be able to load from a file."""

from __future__ import annotations

import asyncio
import time

import regrow


@regrow.step
def note(what: str) -> str:
    return what


@regrow.task(isolate=True)
def train(epochs: int) -> str:
    for epoch in range(regrow.checkpoint().load(0), epochs):
        time.sleep(0.05)
        regrow.checkpoint().save(epoch + 1)
    return f"trained {epochs}, attempt {regrow.current().attempt}"


@regrow.task(memory="64Mi", disk="8Mi", retries=1, backoff=regrow.Backoff(base=0.0))
async def fit(data: dict[str, int]) -> str:
    await asyncio.sleep(0.01)
    return note(f"{data} in attempt {regrow.current().attempt}")


@regrow.task(memory="64Mi", on_oom=regrow.grow(2))
def grown(data: bytes) -> tuple[int, int]:
    limits = regrow.current().limits
    return len(data), limits.memory


@regrow.task(isolate=True, timeout="500ms")
def hurried() -> str:
    return "in time"


@regrow.task
async def agent(epochs: int) -> str:
    return await train.aio(epochs)


@regrow.task
async def in_a_hurry() -> str:
    return await hurried.aio()
