"""Runs: executing a task so that it survives."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, overload

from regrow.authoring.home import StoreLike, host_of, project_of
from regrow.authoring.leaving import left_if_need_be
from regrow.authoring.recorded import Recorded
from regrow.authoring.stopping import said_how_to_resume, stopped_gently
from regrow.authoring.task import Task
from regrow.codec import digest_inputs, rebuild
from regrow.engine.branches import belongs_to, current_branch, drive_on, here, install, loop_is_running
from regrow.engine.callee import Invocation
from regrow.engine.calls import call_async, call_sync
from regrow.engine.conclude import conclude
from regrow.engine.driver import Driver
from regrow.engine.host import Host
from regrow.engine.news import Observer, Tally
from regrow.engine.state import RunState, fold
from regrow.errors import Corrupted, KeyConflict, RunCancelled, RunOver, UnknownRun, UsageError
from regrow.executors.loading import stop_if_only_loading
from regrow.journal.orders import GRACE_SECONDS
from regrow.journal.presence import actor
from regrow.journal.records import CallSucceeded, RunCreated, unseal_all
from regrow.journal.store import NewRun, RunRow, RunStatus
from regrow.values.durations import Duration, seconds
from regrow.values.ids import new_run_id
from regrow.values.policies import Budget

T = TypeVar("T")


class Handle:
    """A run that this process has started or taken up.

    Attributes:
        id: the run's id.
        tally: how many calls were executed, and how many answered from the journal, since it was taken up.
    """

    def __init__(self, host: Host, run: str, driver: Driver | None, work: asyncio.Task[Any] | None) -> None:
        """Made by `regrow.start`, not by users."""
        self.id = run
        self.tally: Tally = driver.tally if driver is not None else Tally()
        self._host = host
        self._driver = driver
        self._work = work

    @property
    def status(self) -> RunStatus:
        """The run's state, as the store has it now."""
        return self._host.store.get(self.id).status

    async def result(self) -> Any:
        """Wait for the run to end, and give its result.

        Raises:
            RunCancelled: it was cancelled.
            BaseException: whatever failed it.
        """
        if self._work is None:
            return outcome_of(self._host, self.id)
        return await asyncio.shield(self._work)

    async def cancel(self, *, grace: Duration = GRACE_SECONDS) -> None:
        """Cancel the run and its calls, and wait until their ``finally`` blocks have run.

        Args:
            grace: how long these may take. Code that has not ended by then is left behind, and the run has ended.

        Raises:
            UsageError: the grace cannot be read.
        """
        if self._driver is None or self._work is None or self._work.done():
            return
        allowed = seconds(grace, what="grace")
        self._driver.cancel("handle.cancel()", allowed)
        _, still_at_it = await asyncio.wait((self._work,), timeout=allowed)
        if still_at_it:
            self._host.end_by_force(self._driver, "handle.cancel()")
            await asyncio.wait((self._work,))
        if not self._work.cancelled():
            self._work.exception()  # seen here, so that asyncio does not warn of an error that nobody looked at

    async def pause(self, *, grace: Duration = GRACE_SECONDS) -> None:
        """Pause the run: no new call begins, what runs may finish, and the run is let go of until somebody resumes it.

        Args:
            grace: how long the calls under way may take to finish. Then they are cut short, and executed again later.

        Raises:
            UsageError: the grace cannot be read.
        """
        if self._work is None or self._work.done():
            return
        self._host.store.request_pause(self.id, actor(), grace=seconds(grace, what="grace"))
        await asyncio.wait((self._work,))
        if not self._work.cancelled():
            self._work.exception()  # RunPaused, unless the code was faster


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


# -- the parts, which the command line uses too ------------------------------------------------------------------------


def open_run(
    host: Host,
    task: Task[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    key: str | None = None,
    strict: bool = False,
    budget: Budget | None = None,
    project: str | None = None,
    observers: tuple[Observer, ...] = (),
) -> Driver | RunRow:
    """Create a run, or find the one that has this key.

    Returns:
        A driver that is ready to go on with it; or, if it has ended already, its row.

    Raises:
        UsageError: this cannot be run.
        NotStorable: an argument has no durable form.
        KeyConflict: the key belongs to a run of another task or with other inputs.
        RunHeld: another live process drives it.
        RunPaused: somebody has paused it.
        RunStopped: somebody has stopped everything.
    """
    _check_runnable(task, key, budget)
    callee = task.callee
    inputs = digest_inputs(callee.inputs(args, kwargs), allow_opaque=False, where=callee.name)
    kept = host.vault.keep((args, kwargs), callee.name)
    now, name = time.time(), project_of(project)
    if key is None or host.store.by_key(name, key) is None:
        host.refuse_if_stopped(name)  # before there is a run that nothing was ever done for
    fresh = new_run_id(now, key=key)
    row = host.store.create(NewRun(fresh, task.ref, now, key, name))
    if row.id != fresh:
        _check_same(host, row, task, inputs.digest)
        if row.outcome is not None:
            return row
    source = source_of(callee.function)
    created = RunCreated(
        row.id,
        task.ref,
        source,
        kept.value,
        inputs.digest,
        key,
        row.project,
        budget=None if budget is None else budget.bounds,
        code=digest_of_source(source),
    )
    try:
        return host.take_up(row.id, created=created, created_blobs=kept.blobs, strict=strict, observers=observers)
    except RunOver:  # another process has ended it since we looked
        return host.store.get(row.id)


def drive(host: Host, driver: Driver, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Execute a run that was taken up, to its end, in this thread."""
    if task.callee.mode == "sync":
        return _drive_sync(host, driver, task, args, kwargs)

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        drive_on(loop)
        work = asyncio.Task(drive_async(host, driver, task, args, kwargs), loop=loop)
        # Ctrl-C is the runner's to take: it cancels this coroutine.
        with stopped_gently(driver, signal.SIGTERM) as asked:
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                driver.let_go()  # the run's own cancellation ends in RunCancelled, not here
                await asyncio.wait((work,))
                if asked:
                    raise asked[0] from None
                raise

    with said_how_to_resume(host, driver), left_if_need_be(driver) as runner:
        try:
            return runner.run(main())
        except (KeyboardInterrupt, SystemExit):
            # Raised by the code itself, these end the loop on the spot; what the runner cancels now is not given up on.
            driver.let_go()
            raise


def outcome_of(host: Host, run: str) -> Any:
    """Give the result of a run that has ended, or raise what ended it.

    Raises:
        RunCancelled: it was cancelled.
        UnknownRun: it has not ended, or does not exist.
    """
    state = fold(unseal_all(run, host.store.read(run)))
    ended = state.ended
    if ended is None:
        if host.store.get(run).outcome is not None:
            raise Corrupted(f"run {run}: it has ended, and the record of its end is missing")
        raise UnknownRun(run, f"run {run} has not ended")
    if ended.outcome == "cancelled":
        raise RunCancelled(run, f"run {run} was {ended.reason or 'cancelled'}")
    if ended.error is not None:
        error = rebuild(ended.error)
        error.add_note(f"regrow: this is what run {run} failed of; `regrow retry {run}` tries again what failed")
        raise error
    return host.vault.load(_root_value(run, state))


def _root_value(run: str, state: RunState) -> Any:
    for call in state.children(""):
        if isinstance(call.outcome, CallSucceeded):
            return call.outcome.value
    raise UnknownRun(run, f"run {run} has no recorded result")


async def drive_async(
    host: Host, driver: Driver, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Execute a run that was taken up, to its end, on the event loop that runs here."""
    belongs_to(driver)
    invocation = Invocation(task.callee, driver.root_branch(), args, kwargs)
    loop = asyncio.get_running_loop()
    # Not `loop.create_task`: this strand is the driver's own, and must not count as a branch of anybody's.
    work = asyncio.Task(call_async(invocation), loop=loop)
    driver.is_abandoned = loop.is_closed
    driver.interrupt = lambda: _cancel_on(loop, work)
    left: asyncio.Future[None] = loop.create_future()
    driver.leave = lambda: _settle_on(loop, left)
    if driver.cancelled_by or driver.closing:  # before this began
        driver.interrupt()
    error: BaseException | None = None
    result = None
    while not (work.done() or driver.forced):
        try:
            await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            driver.let_go()
    if not work.done() or work.cancelled():
        error = asyncio.CancelledError()
    elif (error := work.exception()) is None:
        result = work.result()
    told = conclude(host, driver, invocation.path, error)
    if told is not None:
        raise told
    return result


def _drive_sync(host: Host, driver: Driver, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    install()
    invocation = Invocation(task.callee, driver.root_branch(), args, kwargs)
    error: BaseException | None = None
    result = None
    place = here()
    with said_how_to_resume(host, driver), stopped_gently(driver, signal.SIGINT, signal.SIGTERM) as asked:
        try:
            place.branch = invocation.branch
            result = call_sync(invocation)
        except BaseException as raised:  # noqa: BLE001 - what it means is decided below
            error = raised
            if isinstance(raised, KeyboardInterrupt | SystemExit):
                driver.let_go()
        finally:
            place.branch = None  # whatever an interrupt at the wrong moment has left there
        told = conclude(host, driver, invocation.path, error)
        if asked and driver.log.state.ended is None and driver.let_go_for is None:
            raise asked[0]
        if told is not None:
            raise told
        return result


def _check_runnable(task: object, key: object, budget: object) -> None:
    if not isinstance(task, Task):
        name = getattr(task, "__name__", repr(task))
        what = "a step" if isinstance(task, Recorded) else "not a task"
        raise UsageError(f"a run is a run of a task, and {name} is {what}; decorate it with @regrow.task")
    if key is not None and not (isinstance(key, str) and key):
        raise UsageError(f"key= is a name for the run, and must be text that is not empty; it is {key!r}")
    if budget is not None and not isinstance(budget, Budget):
        raise UsageError(f"budget= takes regrow.Budget(attempts, memory, wall_time); it is {budget!r}")


def _check_same(host: Host, row: RunRow, task: Task[..., Any], digest: bytes) -> None:
    created = fold(unseal_all(row.id, host.store.read(row.id, limit=1))).created
    way_on = f"`regrow resume {row.id}` goes on with that one, new work needs a key of its own"
    if row.task != task.ref:
        raise KeyConflict(row.id, f"key {row.key!r} is that of run {row.id} of {row.task}, not of {task.ref}; {way_on}")
    if created is not None and created.digest != digest:
        raise KeyConflict(row.id, f"key {row.key!r} is that of run {row.id} of {row.task} with other inputs; {way_on}")


def source_of(function: Any) -> str:
    """Give the file that a task is written in, so that the command line can find it again; empty for a notebook's."""
    try:
        file = inspect.getsourcefile(function)
    except TypeError:
        return ""
    return str(Path(file).absolute()) if file and Path(file).exists() else ""


def digest_of_source(source: str) -> str:
    """Give the SHA-256 of a source file, in hexadecimal; empty if it cannot be read."""
    try:
        return hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else ""
    except OSError:
        return ""


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


def _settle_on(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(None))


def _cancel_on(loop: asyncio.AbstractEventLoop, work: asyncio.Task[Any]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(work.cancel)
