"""The handle to a run that goes on while its program does something else."""

from __future__ import annotations

import asyncio
from typing import Any

from regrow.authoring.outcome import outcome_of
from regrow.engine.driver import Driver
from regrow.engine.host import Host
from regrow.engine.news import Tally
from regrow.journal.orders import GRACE_SECONDS
from regrow.journal.presence import actor
from regrow.journal.store import RunStatus
from regrow.values.durations import Duration, seconds


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
