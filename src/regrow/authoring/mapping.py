"""One task over many items, so many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from types import MethodType
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
    call = _callable(task)
    _check(concurrency, on_error)
    places = asyncio.Semaphore(concurrency) if concurrency is not None else None
    calls: list[asyncio.Task[Any]] = []
    failed = asyncio.Event()

    def ended(call: asyncio.Task[Any]) -> None:
        if places is not None:
            places.release()
        if on_error == "raise" and not call.cancelled() and call.exception() is not None:
            failed.set()

    try:
        for item in items:  # calls are made in the items' order, whatever finishes first: their paths come from it
            if places is not None:
                await places.acquire()
            if failed.is_set():
                break
            future = asyncio.ensure_future(call(item))
            future.add_done_callback(ended)
            calls.append(future)
        if on_error == "raise":
            return await asyncio.gather(*calls)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        left = [future for future in calls if not future.done()]
        for future in left:
            future.cancel()
        if left:  # of nothing, `gather` would make a loop of its own where none runs: in a coroutine that is closed
            await asyncio.gather(*left, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, Exception):
            raise outcome  # a cancellation is nobody's result
    return outcomes


def _callable(task: object) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    if isinstance(task, Recorded):
        return task.aio
    if isinstance(task, MethodType) and isinstance(task.__func__, Recorded):
        return partial(task.__func__.aio, task.__self__)
    raise UsageError(f"regrow.map takes a task or a step; {task!r} is neither")


def _check(concurrency: object, on_error: object) -> None:
    if concurrency is not None and not (isinstance(concurrency, int) and concurrency is not True and concurrency > 0):
        raise UsageError(f"regrow.map(concurrency=…) is a whole number, 1 or more; it is {concurrency!r}")
    if on_error not in ("raise", "collect"):
        raise UsageError(f"regrow.map(on_error=…) is 'raise' or 'collect'; it is {on_error!r}")
