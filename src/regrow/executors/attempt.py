"""One attempt in one worker, from its place in the queue to the explanation of its end.

Everything here runs on the office's event loop, which is nobody else's: a driver whose code blocks its own loop for
minutes does not keep a limit from biting.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from regrow.engine.driver import Driver
from regrow.engine.vault import Kept
from regrow.errors import DiskFull, RegrowError, TimedOut
from regrow.executors.briefing import brief, most_memory, sized
from regrow.executors.capacity import Claim, Placed
from regrow.executors.conversation import Conversation
from regrow.executors.evidence import NOT_BEGUN, Evidence, Reason
from regrow.executors.forkserver import WorkerProcess
from regrow.executors.limits import machine, usage
from regrow.executors.limits.cgroups import Cgroup, CgroupHost
from regrow.executors.messages import Gave, Hold, Job, NewLimit, Stop, StopReason, Threw
from regrow.executors.outcome import conclude, frame_of, note_end
from regrow.executors.output import Output
from regrow.executors.scratch import make as make_scratch
from regrow.executors.supervision import Supervision
from regrow.executors.warm import Exited
from regrow.executors.worker import GRACE_SECONDS
from regrow.journal.records import WorkerStarted
from regrow.values.resources import Resources

T = TypeVar("T")

_CLEAN_UP_SECONDS = 1.0
"""How long a worker that regrow ends has for its ``finally`` blocks."""
_DRAIN_SECONDS = 2.0
"""How long to wait for what a dead worker has still in its pipes; its children may hold them open a little longer."""
_HEED_SECONDS = 0.1
"""Between two looks whether the driver goes on."""
_START_SECONDS = 60.0
"""How long a forked worker may take to be under its limits, which takes milliseconds, before its time begins anyway."""


class Office(Protocol):
    """Where workers are placed and come from; see `ProcessExecutor`."""

    host: machine.Machine
    groups: CgroupHost | None

    async def place(self, claim: Claim) -> Placed:
        """Wait for a place."""
        ...

    def leave(self, claim: str) -> None:
        """Give a place back, or leave the queue."""
        ...

    def reserve(self, claim: str, memory: int) -> bool:
        """Keep more memory for a place, if the host has it free."""
        ...

    async def fork(self, job: Job, resources: Resources) -> WorkerProcess:
        """Give a worker that has loaded a job's code."""
        ...

    async def carry_out(self, driver: Driver, job: Job, parent: str) -> Kept:
        """Run a task inside a task, to its end."""
        ...


class Attempt:
    """An attempt under way.

    Attributes:
        id: names its place, its cgroup and its log lines.
        job: what is run.
    """

    def __init__(self, office: Office, driver: Driver, job: Job, *, number: int, parent: str | None = None) -> None:
        """Be ready to run.

        Args:
            office: where workers come from.
            driver: of the run.
            job: what to run.
            number: which no other attempt of this office has.
            parent: the attempt inside which this one was asked for.
        """
        self.id = f"{number}-{job.name}"
        self.job = job
        self._office = office
        self._driver = driver
        self._parent = parent
        self._began = time.monotonic()
        self._reason: Reason | None = None
        self._cancelled = False
        self._taken_by = ""
        self._grace = GRACE_SECONDS
        self._process: WorkerProcess | None = None
        self._group: Cgroup | None = None
        self._conversation: Conversation | None = None
        self._supervision: Supervision | None = None
        self._broken: BaseException | None = None

    @property
    def memory(self) -> tuple[int, int | None]:
        """What it uses and what it may use, in bytes."""
        if self._supervision is None:
            return 0, None
        samples = self._supervision.watch.samples
        return (samples[-1][1] if samples else 0), self._supervision.resources.memory

    async def run(self) -> Kept:
        """Run it, and give the result once the worker is gone.

        Raises:
            Failure: what the worker died of.
            Exception: what the task raised.
            CancelledError: nobody wants it any more; by then the worker is gone.
        """
        resources, size_from = sized(self._driver, self.job, self._office.host)
        with self._driver.holding.at_rest(self.job.call.path):
            placed = await self._in_time("still in the queue", self._office.place(self._claim(resources)))
        queued = time.monotonic() - self._began
        scratch: Path | None = None
        try:
            if self._driver.holds_back:
                await self._driver.hold(self.job.call.path)
            scratch = self._make_scratch()
            waiting = f"still waiting for a worker that has loaded {self.job.code.file}"
            self._process = process = await self._in_time(waiting, self._office.fork(self.job, resources))
            # In a thread: to move a process takes the kernel milliseconds when nothing else has just woken it up.
            await self._to_the_end(asyncio.to_thread(self._make_group, process.pid, resources))
            try:
                with self._driver.holding.at_work(self.job.call.path):
                    return await self._supervised(process, placed, scratch, size_from, queued)
            finally:
                if self._group is not None:
                    await asyncio.to_thread(self._group.close)
        finally:
            self._office.leave(self.id)
            if scratch is not None:
                await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)

    def _make_scratch(self) -> Path:
        try:
            return make_scratch(self.id)
        except OSError as problem:
            if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise DiskFull(self.job.call.path, used=None, limit=None) from problem

    def _claim(self, resources: Resources) -> Claim:
        return Claim(self.id, resources, self.job.priority, self._parent)

    async def _in_time(self, how_far: str, work: Coroutine[Any, Any, T]) -> T:
        """Do what comes before a task's own time; a deadline passes all the same.

        Raises:
            TimedOut: it has.
        """
        if self.job.allowed is None or self.job.allowed[1] != "deadline":
            return await work
        limit, scope = self.job.allowed
        bound = asyncio.timeout(limit - (time.monotonic() - self._began))
        try:
            async with bound:
                return await work
        except TimeoutError:
            if not bound.expired():
                raise
            late = TimedOut(self.job.call.path, limit, scope)
            raise late.explained(evidence=(f"when its deadline passed it was {how_far}",), facts=NOT_BEGUN) from None

    # -- ending it early -----------------------------------------------------------------------------------------------

    def stop(self, reason: Reason, grace: float = 0.0) -> None:
        """End the worker, and remember why; the first reason counts.

        Args:
            reason: why.
            grace: how many seconds it has for its ``finally`` blocks.
        """
        if self._reason is None:
            self._reason = reason
        self._end_within(grace, reason)

    def preempt(self, source: str, grace: float) -> None:
        """Tell the worker that its place is being taken away.

        Args:
            source: who says so.
            grace: how many seconds it has to save its work.
        """
        if not self._taken_by and self._reason is None:
            self._taken_by, self._grace = source, grace
            self._end_within(grace, "preempted", source)

    def _end_within(self, grace: float, reason: Reason, source: str = "") -> None:
        if grace > 0 and self._conversation is not None and (said := _stop_reason(reason)) is not None:
            self._conversation.send(Stop(said, grace, source, final=self._driver.let_go_for is not None))
            asyncio.get_running_loop().call_later(grace, self._kill)
        else:
            self._kill()

    def _was_signalled(self) -> None:
        """Note that the worker was sent a signal from outside, and see that it does not outstay its grace."""
        if self._conversation is not None and not self._taken_by:
            self._taken_by = self._conversation.signalled
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._kill)

    def _kill(self) -> None:
        process = self._process
        if process is None or process.exited.done():
            return
        for pid in reversed(usage.tree(process.pid) or [process.pid]):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    # -- while it runs -------------------------------------------------------------------------------------------------

    def _make_group(self, pid: int, resources: Resources) -> None:
        if self._office.groups is None:
            return
        group = None
        try:
            group = self._office.groups.create(self.id, resources, hold=self.job.on_oom is not None)
            group.add(pid)
        except OSError:
            if group is not None:
                group.close()  # then the other layers hold it
        else:
            self._group = group

    async def _supervised(
        self, process: WorkerProcess, placed: Placed, scratch: Path, size_from: str, queued: float
    ) -> Kept:
        driver, job, resources = self._driver, self.job, placed.claim.resources
        kills, started = machine.oom_kills(), time.monotonic()
        self._conversation = talk = Conversation(
            driver,
            job,
            process,
            carry_out=self._carry_out,
            on_ready=lambda: self._note_start(process.pid, resources, size_from, queued, kills),
            on_signal=self._was_signalled,
        )
        output = Output(
            job.call.path, job.attempt, resources.output, lambda line: driver.around.note_log(driver.run, line)
        )
        output.listen(process.stdout, "STDOUT", lambda: self.stop("output"))
        output.listen(process.stderr, "STDERR", lambda: self.stop("output"))
        self._supervision = Supervision(
            driver, job, process.pid, resources, self._group, scratch, self._office.host.memory,
            reserve=lambda memory: self._office.reserve(self.id, memory),
            stop=self.stop,
            grown=lambda memory: talk.send(NewLimit(memory)),
        )  # fmt: skip
        side = [self._beside(self._listen(talk))]
        try:
            placed_job = msgspec.structs.replace(job, resources=resources)
            may_grow = self._group is not None and self._group.holds
            if driver.closing:  # nothing of it has begun, and nothing may
                self._cancelled = True
            else:
                talk.send(
                    brief(
                        driver, placed_job, self._office.host, scratch,
                        gpus=placed.gpus, may_grow=may_grow, enforced_by=self._outer_layers(),
                    )
                )  # fmt: skip
            side += [
                self._beside(self._heed_driver()),
                self._beside(self._supervision.look_after()),
                self._beside(self._keep_time(talk)),
            ]
            if self._cancelled:  # before it had begun
                self._kill()
            exited = await self._gone(process)
            await self._to_the_end(self._drain(side[0], output))
        except RegrowError:
            self._kill()  # it could not even be told what to do
            raise
        finally:
            for task in side:
                task.cancel()
            await self._to_the_end(self._wind_up(side, talk))
        evidence = self._evidence(exited, scratch, kills, time.monotonic() - started)
        cpu_seconds = exited.cpu_seconds if exited is not None else 0.0
        note_end(driver, evidence, cpu_seconds)
        if self._cancelled:
            raise asyncio.CancelledError
        return conclude(driver, job, evidence, talk.outcome, self._broken)

    async def _drain(self, listening: asyncio.Task[None], output: Output) -> None:
        """Hear what a worker that is gone has still in its pipes."""
        if self._group is not None and self._group.pids():  # what it has left would hold its pipes open
            await asyncio.to_thread(self._group.kill)
        await asyncio.wait((listening,), timeout=_DRAIN_SECONDS)
        await output.ended(_DRAIN_SECONDS)

    async def _wind_up(self, side: list[asyncio.Task[None]], talk: Conversation) -> None:
        await asyncio.gather(*side, return_exceptions=True)
        await talk.end()

    async def _to_the_end(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what must not be left half done, however often that is cancelled meanwhile."""
        task = asyncio.get_running_loop().create_task(work)
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:
                self._cancelled = True
        task.result()

    def _beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something while the worker runs. If that breaks, nobody looks after the worker, so it is ended."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended_beside)
        return task

    def _ended_beside(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and self._broken is None:
            self._broken = error
            self._kill()

    async def _carry_out(self, job: Job) -> Kept:
        return await self._office.carry_out(self._driver, job, self.id)

    async def _listen(self, talk: Conversation) -> None:
        await talk.listen()
        if talk.outcome is not None:  # then it has nothing left to do but to end
            asyncio.get_running_loop().call_later(_CLEAN_UP_SECONDS, self._kill)

    async def _keep_time(self, talk: Conversation) -> None:
        if self.job.allowed is None:
            return
        limit, scope = self.job.allowed
        if scope == "timeout":
            # Neither the queue nor the start is the task's own time; but a start that hangs is nobody's.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(talk.ready.wait(), _START_SECONDS)
            await asyncio.sleep(limit)
        else:
            await asyncio.sleep(limit - (time.monotonic() - self._began))
        self.stop(scope, _CLEAN_UP_SECONDS)

    def _note_start(self, pid: int, resources: Resources, size_from: str, queued: float, kills: int | None) -> None:
        assert self._conversation is not None  # noqa: S101 - it is what says so
        host, layers = self._office.host, self._layers(self._conversation)
        started = WorkerStarted(
            self.job.call.path, self.job.attempt, pid, host.name, resources, layers, size_from, kills, host.boot, queued
        )
        self._driver.hand_in(started)

    async def _heed_driver(self) -> None:
        """End the worker when its driver is over, also when nobody can tell us because its own loop is blocked."""
        driver, told = self._driver, False
        while not driver.closing:
            if driver.holds_back and not told and self._conversation is not None:
                self._conversation.send(Hold())
                told = True
            await asyncio.sleep(_HEED_SECONDS)
        self._cancelled = True
        if driver.is_over or driver.is_abandoned():
            self.stop("cancelled")  # another driver may have the run by now: nothing can be saved any more
        else:
            self.preempt("the driver", GRACE_SECONDS)

    async def _gone(self, process: WorkerProcess) -> Exited | None:
        """Wait until the worker is gone, however often that is cancelled meanwhile."""
        while not process.exited.done():
            try:
                await asyncio.wait((process.exited,))
            except asyncio.CancelledError:
                first, self._cancelled = not self._cancelled, True
                if not first or self._driver.is_over:
                    self._kill()
                elif self._driver.closing:  # the run will be resumed, so what can be saved is worth the time
                    self.preempt("the driver", GRACE_SECONDS)
                else:
                    ordered = self._driver.grace if self._driver.cancelled_by is not None else None
                    self.stop("cancelled", _CLEAN_UP_SECONDS if ordered is None else ordered)
        return process.exited.result()

    def _layers(self, talk: Conversation) -> tuple[str, ...]:
        return (*self._outer_layers(), *talk.enforced_by)

    def _outer_layers(self) -> tuple[str, ...]:
        group = self._group
        if group is not None and group.limits_memory:
            return (group.version,)
        return ("watchdog",) if self.job.resources.memory is not None else ()

    # -- what came of it -----------------------------------------------------------------------------------------------

    def _evidence(self, exited: Exited | None, scratch: Path, host_kills: int | None, ran: float) -> Evidence:
        talk, seen, job = self._conversation, self._supervision, self.job
        assert talk is not None and seen is not None  # noqa: PT018, S101 - both are there once a worker was
        outcome, group = talk.outcome, self._group
        now = machine.oom_kills()
        peaks = [seen.watch.peak, (outcome.peak if outcome is not None else None) or 0]
        kills = group.oom_kills() if group is not None else 0
        held = group is not None and group.holds
        refused = held and isinstance(outcome, Threw) and outcome.kind == "memory"
        if group is not None and (outcome is None or kills or refused):  # else page cache would pass for need
            peaks.append(group.peak() or 0)
        resources = seen.resources
        return Evidence(
            path=job.call.path,
            task=job.name,
            attempt=job.attempt,
            resources=resources,
            enforced_by=self._layers(talk),
            told_to_stop=self._reason,
            allowed=job.allowed,
            grace=self._grace,
            preempted_by=self._taken_by,
            wait_status=exited.status if exited is not None else None,
            frame=frame_of(outcome) if isinstance(outcome, Threw) else None,
            result=isinstance(outcome, Gave),
            oom_kills=kills,
            refused_forks=group.refused_forks() if group is not None else 0,
            host_oom_kills=now - host_kills if now is not None and host_kills is not None else None,
            samples=seen.watch.samples,
            peak=max(peaks) or None,
            growth=seen.watch.growth_to_peak,
            ceiling=self._office.host.memory,
            scratch=usage.scratch_size(scratch) if resources.disk is not None else None,
            held=held,
            outgrown=seen.outgrown,
            data_limit=most_memory(job, self._office.host) if held and resources.memory is not None else None,
            data_limited=isinstance(outcome, Threw) and outcome.data_limited,
            ran=ran,
        )


def _stop_reason(reason: Reason) -> StopReason | None:
    match reason:
        case "timeout" | "deadline" | "cancelled" | "preempted":
            return reason
        case _:
            return None
