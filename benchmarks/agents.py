"""The agents that are timed."""

from __future__ import annotations

import asyncio

import regrow


@regrow.step
async def add(number: int) -> int:
    """Do next to nothing, so that what is timed is the recording."""
    return number + 1


@regrow.step
async def produce(index: int, size: int) -> bytes:
    """Give so many bytes."""
    return index.to_bytes(8, "big") * (size // 8)


@regrow.task
async def sequential(steps: int) -> int:
    """Make one call after the other."""
    number = 0
    for _ in range(steps):
        number = await add(number)
    return number


@regrow.task
async def concurrent(branches: int, steps: int) -> int:
    """Make calls on several branches at once."""

    async def branch() -> int:
        number = 0
        for _ in range(steps):
            number = await add(number)
        return number

    return sum(await asyncio.gather(*(branch() for _ in range(branches))))


@regrow.task
async def fan_out(width: int) -> int:
    """Make all calls at once."""
    return sum(await asyncio.gather(*(add(index) for index in range(width))))


@regrow.task
async def large_results(count: int, size: int) -> int:
    """Get large results, one after the other."""
    total = 0
    for index in range(count):
        total += len(await produce(index, size))
    return total


@regrow.task
async def then_dies(steps: int, blobs: int, size: int) -> int:
    """Do some work, and stop without an end, so that it can be resumed."""
    number = 0
    for _ in range(steps):
        number = await add(number)
    for index in range(blobs):
        await produce(index, size)
    if not survive:
        raise KeyboardInterrupt
    return number


survive: list[bool] = []
