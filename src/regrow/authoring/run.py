"""Running a task so that it survives, and waiting for it or not."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar, overload

from regrow.authoring.driving import drive, drive_async
from regrow.authoring.handle import Handle
from regrow.authoring.home import StoreLike, host_of
from regrow.authoring.opening import open_run
from regrow.authoring.outcome import outcome_of
from regrow.authoring.task import Task
from regrow.engine.branches import current_branch, drive_on, loop_is_running
from regrow.errors import UsageError
from regrow.executors.loading import stop_if_only_loading
from regrow.journal.store import RunRow
from regrow.values.policies import Budget

T = TypeVar("T")


@overload
def run(
    task: Task[..., Coroutine[Any, Any, T]],
    *args: Any,
    key: str | None = ...,
    store: StoreLike = ...,
    strict: bool = ...,
    budget: Budget | None = ...,
    project: str | None = ...,
    **kwargs: Any,
) -> T: ...
@overload
def run(
    task: Task[..., T],
    *args: Any,
    key: str | None = ...,
    store: StoreLike = ...,
    strict: bool = ...,
    budget: Budget | None = ...,
    project: str | None = ...,
    **kwargs: Any,
) -> T: ...
def run(
    task: Task[..., Any],
    *args: Any,
    key: str | None = None,
    store: StoreLike = None,
    strict: bool = False,
    budget: Budget | None = None,
    project: str | None = None,
    **kwargs: Any,
) -> Any:
    """Run a task so that it survives, and give its result.

    Args:
        task: what to run, decorated with `regrow.task`.
        args: its arguments; they are recorded.
        key: names the run. The same key is the same run: finished, its result is returned (or its failure raised);
            interrupted, it is resumed.
        store: where to keep the run; ``.regrow/`` in the working directory unless ``REGROW_HOME`` says otherwise.
        strict: raise `regrow.Divergence` where the code no longer fits a journal that is resumed, before any effect.
        budget: what healing may cost in this run; recorded with it, and the same when it is resumed.
        project: the namespace that the run and its key belong to; ``default`` unless ``REGROW_PROJECT`` says otherwise.
        kwargs: further arguments of the task.

    Raises:
        UsageError: this cannot be run, or not from here.
        KeyConflict: the key belongs to a run of another task or with other inputs.
        RunHeld: another live process drives this very run.
        RunPaused: it was paused before, or has been now.
        RunStopped: somebody has stopped everything.
        RunCancelled: the run was cancelled.
        BaseException: whatever failed the run, as the task raised it.
    """
    stop_if_only_loading()
    if current_branch() is not None:
        raise UsageError("regrow.run was called inside a run; there a task is called like a function: `await task(…)`")
    if loop_is_running():
        if "ipykernel" in sys.modules:
            return _in_own_thread(
                lambda: run(task, *args, key=key, store=store, strict=strict, budget=budget, project=project, **kwargs)
            )
        raise UsageError("regrow.run would block the event loop that runs here; use `handle = await regrow.start(…)`")
    host = host_of(store)
    opened = open_run(host, task, args, kwargs, key=key, strict=strict, budget=budget, project=project)
    if isinstance(opened, RunRow):
        return outcome_of(host, opened.id)
    return drive(host, opened, task, args, kwargs)


async def start(
    task: Task[..., Any],
    *args: Any,
    key: str | None = None,
    store: StoreLike = None,
    strict: bool = False,
    budget: Budget | None = None,
    project: str | None = None,
    **kwargs: Any,
) -> Handle:
    """Start a run on the event loop that runs here, and give a handle to it. The arguments are those of `run`.

    Raises:
        UsageError: this cannot be run, or not from here.
        KeyConflict: the key belongs to a run of another task or with other inputs.
        RunHeld: another live process drives this very run.
    """
    stop_if_only_loading()
    if current_branch() is not None:
        raise UsageError(
            "regrow.start was called inside a run; there a task is called like a function: `await task(…)`"
        )
    host = host_of(store)
    opened = open_run(host, task, args, kwargs, key=key, strict=strict, budget=budget, project=project)
    if isinstance(opened, RunRow):
        return Handle(host, opened.id, None, None)
    loop = asyncio.get_running_loop()
    drive_on(loop)
    work = asyncio.Task(drive_async(host, opened, task, args, kwargs), loop=loop)
    return Handle(host, opened.run, opened, work)


def _in_own_thread(function: Callable[[], T]) -> T:
    """Run in a thread without a loop: a notebook's own loop always runs, and a cell is expected to block."""
    outcome: Future[T] = Future()

    def body() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the notebook's thread
            outcome.set_exception(error)

    threading.Thread(target=body, name="regrow-run").start()
    return outcome.result()
