"""The runs of a store, for programs: to look at them, to end, pause and go on with them, to stop them all.

What the command line does, and in the same words: `regrow ls`, `cancel`, `pause`, `resume`, `retry`, `stop`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar, cast, overload

from regrow.authoring.driving import drive
from regrow.authoring.home import StoreLike, host_of, project_of
from regrow.authoring.outcome import outcome_of
from regrow.authoring.task import Task
from regrow.engine.branches import current_branch, loop_is_running
from regrow.engine.conclude import conclude
from regrow.engine.host import Host
from regrow.errors import KeyConflict, RunOver, UnknownRun, UsageError
from regrow.journal.orders import EVERYWHERE, GRACE_SECONDS, Stop, in_force
from regrow.journal.presence import actor
from regrow.journal.store import RunRow, RunStatus
from regrow.values.durations import Duration, seconds

T = TypeVar("T")


class Runs:
    """The runs of one project of a store, wherever they are driven.

    A run is named by its id or by its key.
    """

    def __init__(self, store: StoreLike = None, *, project: str | None = None) -> None:
        """Look at a store.

        Args:
            store: which one; ``.regrow/`` in the working directory unless ``REGROW_HOME`` says otherwise.
            project: whose runs; ``default`` unless ``REGROW_PROJECT`` says otherwise.
        """
        self.project = project_of(project)
        self._host = host_of(store)
        self._store = self._host.store

    def list(self, *, status: RunStatus | None = None, limit: int | None = None) -> Sequence[RunRow]:
        """Give the runs, newest first: all, or those that stand like this; no more than `limit`."""
        rows = self._store.runs(project=self.project, limit=limit if status is None else None)
        return [row for row in rows if status is None or row.status == status][:limit]

    def get(self, run: str) -> RunRow:
        """Give one run.

        Raises:
            UnknownRun: this project has none with this id or key.
        """
        row = self._store.by_key(self.project, run) or self._store.get(run)
        if row.project != self.project:
            raise UnknownRun(run, f"run {run} belongs to project {row.project!r}, not to {self.project!r}")
        return row

    def cancel(self, run: str, *, grace: Duration = GRACE_SECONDS) -> RunRow:
        """Have a run cancelled. Its driver is asked to, and does it within a second; without one it is ended here.

        Args:
            run: which one.
            grace: how long its ``finally`` blocks may take. Then its workers are killed, and it ends without its code.

        Raises:
            UnknownRun: there is no such run.
            RunOver: it has ended already.
            UsageError: the grace cannot be read.
        """
        row = self._unfinished(run)
        if row.held:
            self._store.request_cancel(row.id, actor(), grace=seconds(grace, what="grace"))
        else:
            end_here(self._host, row)
        return self._store.get(row.id)

    def pause(self, run: str, *, grace: Duration = GRACE_SECONDS) -> RunRow:
        """Have a run paused: no new call begins, what runs may finish, and nobody goes on with it before `resume`.

        Args:
            run: which one.
            grace: how long the calls under way may take to finish. Then they are cut short, and executed again later.

        Raises:
            UnknownRun: there is no such run.
            RunOver: it has ended already.
            UsageError: the grace cannot be read.
        """
        row = self._unfinished(run)
        self._store.request_pause(row.id, actor(), grace=seconds(grace, what="grace"))
        return self._store.get(row.id)

    @overload
    def resume(self, run: str, task: Task[..., Coroutine[Any, Any, T]], *, strict: bool = ...) -> T: ...
    @overload
    def resume(self, run: str, task: Task[..., T], *, strict: bool = ...) -> T: ...
    def resume(self, run: str, task: Task[..., Any], *, strict: bool = False) -> Any:
        """Go on with a run that nobody drives, paused or not, and give its result; also that of one that has ended.

        Args:
            run: which one.
            task: what it is a run of.
            strict: see `regrow.run`.

        Raises:
            UnknownRun: there is no such run.
            KeyConflict: it is a run of another task.
            RunHeld: another live process drives it.
            RunStopped: somebody has stopped everything.
            UsageError: this was called inside a run, or where an event loop runs.
            BaseException: whatever failed the run, as the task raised it.
        """
        row = self._of(run, task)
        return outcome_of(self._host, row.id) if row.outcome is not None else self._go_on(row, task, strict=strict)

    @overload
    def retry(self, run: str, task: Task[..., Coroutine[Any, Any, T]], *, strict: bool = ...) -> T: ...
    @overload
    def retry(self, run: str, task: Task[..., T], *, strict: bool = ...) -> T: ...
    def retry(self, run: str, task: Task[..., Any], *, strict: bool = False) -> Any:
        """Try a failed or cancelled run again, as the same run, and give its result; see `resume` for the rest.

        Raises:
            RunOver: it has succeeded, or has not ended.
        """
        row = self._of(run, task)
        if row.outcome not in ("failed", "cancelled"):
            raise RunOver(row.id, f"run {row.id} is {row.status}; only a failed or cancelled one is tried again")
        return self._go_on(row, task, strict=strict, retry_as=actor())

    def stop(self, reason: str = "", *, everywhere: bool = False) -> Stop:
        """Stop all runs: within two seconds no step of theirs begins, and none may be begun or gone on with.

        That holds in every process, also in those that are started later, until `lift_stop`.

        Args:
            reason: why; everybody who is refused is told.
            everywhere: stop the runs of all projects of the store.
        """
        self._store.stop(EVERYWHERE if everywhere else self.project, actor(), reason)
        stop = self.stopped()
        assert stop is not None  # noqa: S101 - it is in force now
        return stop

    def lift_stop(self, *, everywhere: bool = False) -> bool:
        """Take a stop back, of this project or of the whole store. Tells whether there was one."""
        return self._store.lift_stop(EVERYWHERE if everywhere else self.project)

    def stopped(self) -> Stop | None:
        """Give the stop that holds for this project, if there is one."""
        return in_force(self._store.stops(), self.project)

    def _unfinished(self, run: str) -> RunRow:
        row = self.get(run)
        if row.outcome is not None:
            raise RunOver(row.id, f"run {row.id} has {row.outcome} already")
        return row

    def _of(self, run: str, task: Task[..., Any]) -> RunRow:
        if current_branch() is not None or loop_is_running():
            raise UsageError("a run is gone on with outside of runs and event loops; use a thread of its own for it")
        row = self.get(run)
        if row.task != task.ref:
            raise KeyConflict(row.id, f"run {row.id} is of {row.task}, not of {task.ref}")
        return row

    def _go_on(self, row: RunRow, task: Task[..., Any], *, strict: bool, retry_as: str | None = None) -> Any:
        driver = self._host.take_up(row.id, strict=strict, retry_as=retry_as, even_if_paused=True)
        created = driver.log.state.created
        assert created is not None  # noqa: S101 - a run's first record
        inputs = self._host.vault.load(created.inputs)
        args, kwargs = cast("tuple[tuple[Any, ...], dict[str, Any]]", inputs)
        return drive(self._host, driver, task, args, kwargs)


def end_here(host: Host, row: RunRow) -> None:
    """End a run as cancelled that nobody drives.

    Raises:
        RunHeld: somebody does by now.
    """
    driver = host.take_up(row.id, even_if_over=True)
    if driver.log.state.ended is not None:  # somebody was faster
        host.let_go(driver)
        return
    driver.cancel(actor())
    outermost = driver.log.state.children("")
    root = outermost[0].call.path if outermost else f"{row.task.rpartition(':')[2].rpartition('.')[2]}#1"
    conclude(host, driver, root, asyncio.CancelledError())
