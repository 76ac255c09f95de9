"""Ending a worker before it is done: for its time, its driver or its place, or because nobody wants it any more.

It is told first, if it has a grace to use, and killed with all that it has started when that has passed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Coroutine
from typing import Any

from regrow.engine.driver import Driver
from regrow.executors.conversation import Conversation
from regrow.executors.evidence import Reason
from regrow.executors.forkserver import WorkerProcess
from regrow.executors.limits import usage
from regrow.executors.messages import Hold, Job, Stop, StopReason
from regrow.executors.warm import Exited
from regrow.executors.worker import GRACE_SECONDS

CLEAN_UP_SECONDS = 1.0
"""How long a worker that regrow ends has for its ``finally`` blocks."""
_HEED_SECONDS = 0.1
"""Between two looks whether the driver goes on."""
_START_SECONDS = 60.0
"""How long a forked worker may take to be under its limits, which takes milliseconds, before its time begins anyway."""


class Ending:
    """Whether a worker is to end early, and why; and that it does.

    Attributes:
        reason: why regrow has ended it; None as long as it has not.
        taken_by: who has taken its place away; empty as long as nobody has.
        grace: how many seconds it was given then to save its work.
        cancelled: whether nobody wants its result any more.
    """

    def __init__(self, driver: Driver, job: Job) -> None:
        """Be ready, before there is a worker: one may be told to end while it is still in the queue.

        Args:
            driver: of the run.
            job: what the worker runs.
        """
        self.reason: Reason | None = None
        self.taken_by = ""
        self.grace = GRACE_SECONDS
        self.cancelled = False
        self._driver = driver
        self._job = job
        self._process: WorkerProcess | None = None
        self._talk: Conversation | None = None

    def forked(self, process: WorkerProcess) -> None:
        """Note that there is a worker now."""
        self._process = process

    def reached(self, talk: Conversation) -> None:
        """Note that it can be told something now."""
        self._talk = talk

    def stop(self, reason: Reason, grace: float = 0.0) -> None:
        """End the worker, and remember why; the first reason counts.

        Args:
            reason: why.
            grace: how many seconds it has for its ``finally`` blocks.
        """
        if self.reason is None:
            self.reason = reason
        self._end_within(grace, reason)

    def preempt(self, source: str, grace: float) -> None:
        """Tell the worker that its place is being taken away.

        Args:
            source: who says so.
            grace: how many seconds it has to save its work.
        """
        if not self.taken_by and self.reason is None:
            self.taken_by, self.grace = source, grace
            self._end_within(grace, "preempted", source)

    def _end_within(self, grace: float, reason: Reason, source: str = "") -> None:
        if grace > 0 and self._talk is not None and (said := _stop_reason(reason)) is not None:
            self._talk.send(Stop(said, grace, source, final=self._driver.let_go_for is not None))
            asyncio.get_running_loop().call_later(grace, self.kill)
        else:
            self.kill()

    def was_signalled(self) -> None:
        """Note that the worker was sent a signal from outside, and see that it does not outstay its grace."""
        if self._talk is not None and not self.taken_by:
            self.taken_by = self._talk.signalled
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self.kill)

    def kill(self) -> None:
        """End it now, with all that it has started. It may be gone already."""
        process = self._process
        if process is None or process.exited.done():
            return
        for pid in reversed(usage.tree(process.pid) or [process.pid]):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    # -- what ends it -------------------------------------------------------------------------------------------------

    async def keep_time(self, talk: Conversation, began: float) -> None:
        """End the worker when its time has passed.

        Args:
            talk: with the worker.
            began: when the attempt began, by the monotonic clock, its time in the queue included.
        """
        if self._job.allowed is None:
            return
        limit, scope = self._job.allowed
        if scope == "timeout":
            # Neither the queue nor the start is the task's own time; but a start that hangs is nobody's.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(talk.ready.wait(), _START_SECONDS)
            await asyncio.sleep(limit)
        else:
            await asyncio.sleep(limit - (time.monotonic() - began))
        self.stop(scope, CLEAN_UP_SECONDS)

    async def heed_driver(self) -> None:
        """End the worker when its driver is over, also when nobody can tell us because its own loop is blocked."""
        driver, told = self._driver, False
        while not driver.closing:
            if driver.holds_back and not told and self._talk is not None:
                self._talk.send(Hold())
                told = True
            await asyncio.sleep(_HEED_SECONDS)
        self.cancelled = True
        if driver.is_over or driver.is_abandoned():
            self.stop("cancelled")  # another driver may have the run by now: nothing can be saved any more
        else:
            self.preempt("the driver", GRACE_SECONDS)

    async def gone(self, process: WorkerProcess) -> Exited | None:
        """Wait until the worker is gone, however often that is cancelled meanwhile."""
        while not process.exited.done():
            try:
                await asyncio.wait((process.exited,))
            except asyncio.CancelledError:
                first, self.cancelled = not self.cancelled, True
                if not first or self._driver.is_over:
                    self.kill()
                elif self._driver.closing:  # the run will be resumed, so what can be saved is worth the time
                    self.preempt("the driver", GRACE_SECONDS)
                else:
                    ordered = self._driver.grace if self._driver.cancelled_by is not None else None
                    self.stop("cancelled", CLEAN_UP_SECONDS if ordered is None else ordered)
        return process.exited.result()

    async def to_the_end(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what must not be left half done, however often that is cancelled meanwhile."""
        task = asyncio.get_running_loop().create_task(work)
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:
                self.cancelled = True
        task.result()


def _stop_reason(reason: Reason) -> StopReason | None:
    match reason:
        case "timeout" | "deadline" | "cancelled" | "preempted":
            return reason
        case _:
            return None
