"""The process executor: a worker process for each attempt of an isolated task, under limits that bite.

One office serves all runs of this process, because the host's capacity is one. It is opened, and its code loaded, when
the first isolated task runs: that is a tenth of what `import regrow` takes, and most scripts have no such task.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from regrow.engine.callee import Callee
from regrow.engine.scope import Scope
from regrow.engine.vault import Kept
from regrow.executors.inline import InlineExecutor
from regrow.executors.jobs import job_of
from regrow.executors.limits import cgroups, machine
from regrow.executors.limits.cgroups import CgroupHost

if TYPE_CHECKING:
    from regrow.executors.office import LocalOffice

_HEED_SECONDS = 0.1
"""How long a thread that waits for a worker may not notice that its run is to end."""


class ProcessExecutor:
    """Runs isolated tasks in workers, and everything else where its caller runs.

    Attributes:
        ceiling: the most memory that this host could give to one task, in bytes.
    """

    def __init__(self, entry: str, detect: Callable[[], CgroupHost | None] | None = None) -> None:
        """Start nothing yet.

        Args:
            entry: the module whose ``main()`` a fork server runs.
            detect: finds where groups for workers can be made, and gives None for nowhere; `cgroups.detect` otherwise.
        """
        self._entry = entry
        self._detect = detect
        self._inline = InlineExecutor()
        self._lock = threading.Lock()
        self._office: LocalOffice | None = None
        self._ceiling: int | None = None

    @property
    def ceiling(self) -> int:
        """See the class."""
        if self._ceiling is None:
            self._ceiling = machine.this_machine(cgroups.container_limit()).memory
        return self._ceiling

    async def run(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run`."""
        if not callee.isolated:
            return await self._inline.run(callee, scope, args, kwargs)
        ongoing = self._begin(callee, scope, args, kwargs)
        waiting = asyncio.wrap_future(ongoing.done)
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            while not waiting.done():  # its worker is ended first: nothing of a call outlives it
                ongoing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait((waiting,))
            if not waiting.cancelled():
                waiting.exception()  # seen here; what nobody waits for any more is no failure
            raise

    def run_blocking(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run_blocking`."""
        if not callee.isolated:
            return self._inline.run_blocking(callee, scope, args, kwargs)
        ongoing = self._begin(callee, scope, args, kwargs)
        try:
            # Not `result(timeout)`: what it raises then is a TimeoutError, and so is a task's own TimedOut.
            while not concurrent.futures.wait([ongoing.done], _HEED_SECONDS).done:
                scope.driver.heed_interruption()
            return ongoing.done.result()
        except BaseException:
            while not ongoing.done.done():  # its worker is ended first: nothing of a call outlives it
                ongoing.cancel()
                with contextlib.suppress(KeyboardInterrupt):  # a second one means at once, and so it is cancelled again
                    concurrent.futures.wait([ongoing.done])
            raise

    def preempt(self, source: str, grace: float) -> None:
        """Tell all workers that this host is being taken away, and place no new ones as long as it may last.

        Args:
            source: who says so.
            grace: seconds until then.
        """
        office = self._here()
        office.loop.call_soon_threadsafe(office.drain, source, grace)

    def close(self) -> None:
        """End all workers and servers."""
        with self._lock:
            office, self._office = self._office, None
        if office is not None and office.pid == os.getpid():
            office.close()

    def _begin(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Ongoing:
        office = self._here()
        return _Ongoing(office, office.carry_out(scope.driver, job_of(callee, scope, args, kwargs), None))

    def _here(self) -> LocalOffice:
        """Give the office of this process: the child of a fork has its parent's object, and none of its threads."""
        with self._lock:
            if self._office is None or self._office.pid != os.getpid():
                from regrow.executors.office import LocalOffice  # noqa: PLC0415 - see the module

                self._office = LocalOffice(self._entry, (self._detect or cgroups.detect)())
            return self._office


class _Ongoing:
    """Work on the office's loop, for somebody who is elsewhere. It is done when it has really ended."""

    def __init__(self, office: LocalOffice, work: Coroutine[Any, Any, Kept]) -> None:
        self.done: concurrent.futures.Future[Kept] = concurrent.futures.Future()
        self._office = office
        self._task: asyncio.Task[None] | None = None
        office.loop.call_soon_threadsafe(self._start, work)

    def cancel(self) -> None:
        self._office.loop.call_soon_threadsafe(lambda: self._task.cancel() if self._task is not None else None)

    def _start(self, work: Coroutine[Any, Any, Kept]) -> None:
        self._task = asyncio.get_running_loop().create_task(self._carry_out(work))

    async def _carry_out(self, work: Coroutine[Any, Any, Kept]) -> None:
        try:
            self.done.set_result(await work)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            self.done.set_exception(error)
