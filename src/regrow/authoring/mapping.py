"""One task over many items, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Literal, TypeVar, overload

from regrow.authoring.recorded import Recorded
from regrow.errors import UsageError

A = TypeVar("A")
T = TypeVar("T")


@overload
async def map(  # noqa: A001 - users write regrow.map
    task: Recorded[[A], Coroutine[Any, Any, T]],
    items: Iterable[A],
    *,
    concurrency: int | None = ...,
    on_error: Literal["raise"] = ...,
) -> list[T]: ...
@overload
async def map(  # noqa: A001
    task: Recorded[[A], Coroutine[Any, Any, T]],
    items: Iterable[A],
    *,
    concurrency: int | None = ...,
    on_error: Literal["collect"],
) -> list[T | Exception]: ...
@overload
async def map(  # noqa: A001
    task: Recorded[[A], T], items: Iterable[A], *, concurrency: int | None = ..., on_error: Literal["raise"] = ...
) -> list[T]: ...
@overload
async def map(  # noqa: A001
    task: Recorded[[A], T], items: Iterable[A], *, concurrency: int | None = ..., on_error: Literal["collect"]
) -> list[T | Exception]: ...
async def map(  # noqa: A001
    task: Recorded[Any, Any],
    items: Iterable[Any],
    *,
    concurrency: int | None = None,
    on_error: Literal["raise", "collect"] = "raise",
) -> list[Any]:
    """Call a task or step with each item, and give the results in the items' order.

    Args:
        task: takes one item.
        items: what to call it with; taken one by one, as places become free.
        concurrency: how many calls may be under way at once; all of them when None.
        on_error: ``"raise"`` cancels the others at the first failure and raises it; ``"collect"`` lets all finish, and
            puts the exception where the result would be.

    Raises:
        UsageError: an argument cannot be.
    """
    if not isinstance(task, Recorded):
        raise UsageError(f"regrow.map takes a task or a step; {task!r} is neither")
    if concurrency is not None and (isinstance(concurrency, bool) or concurrency < 1):
        raise UsageError(f"regrow.map(concurrency=…) must be 1 or more; it is {concurrency!r}")
    if on_error not in ("raise", "collect"):
        raise UsageError(f"regrow.map(on_error=…) is 'raise' or 'collect'; it is {on_error!r}")
    waiting = enumerate(items)
    results: dict[int, Any] = {}
    under_way: dict[asyncio.Task[Any], int] = {}
    try:
        while True:
            # Calls are made in the items' order, whatever finishes first: that is what their paths come from.
            while concurrency is None or len(under_way) < concurrency:
                following = next(waiting, None)
                if following is None:
                    break
                index, item = following
                under_way[asyncio.ensure_future(task.aio(item))] = index
            if not under_way:
                return [results[index] for index in range(len(results))]
            finished, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for future in finished:
                index = under_way.pop(future)
                error = future.exception()
                if error is None:
                    results[index] = future.result()
                elif on_error == "collect" and isinstance(error, Exception):
                    results[index] = error
                else:
                    raise error
    finally:
        for future in under_way:
            future.cancel()
        if under_way:
            await asyncio.gather(*under_way, return_exceptions=True)
