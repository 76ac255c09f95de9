"""One attempt in one worker, from its place in the queue to the explanation of its end.

Everything here runs on the office's event loop, which is nobody else's: a driver whose code blocks its own loop for
minutes does not keep a limit from biting.
"""

from __future__ import annotations

import asyncio
import errno
import shutil
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from regrow.engine.driver import Driver
from regrow.engine.vault import Kept
from regrow.errors import DiskFull, RegrowError, TimedOut
from regrow.executors.briefing import brief, sized
from regrow.executors.capacity import Claim, Placed
from regrow.executors.conversation import Conversation
from regrow.executors.ending import CLEAN_UP_SECONDS, Ending
from regrow.executors.evidence import NOT_BEGUN
from regrow.executors.forkserver import WorkerProcess
from regrow.executors.inquest import gather
from regrow.executors.limits import machine
from regrow.executors.limits.cgroups import Cgroup, CgroupHost
from regrow.executors.messages import Job, NewLimit
from regrow.executors.outcome import conclude, note_end
from regrow.executors.output import Output
from regrow.executors.scratch import make as make_scratch
from regrow.executors.supervision import Supervision
from regrow.journal.records import WorkerStarted
from regrow.values.resources import Resources

T = TypeVar("T")

_DRAIN_SECONDS = 2.0
"""How long to wait for what a dead worker has still in its pipes; its children may hold them open a little longer."""


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
        ending: whether it is to end early.
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
        self.ending = Ending(driver, job)
        self._office = office
        self._driver = driver
        self._parent = parent
        self._began = time.monotonic()
        self._group: Cgroup | None = None
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
            process = await self._in_time(waiting, self._office.fork(self.job, resources))
            self.ending.forked(process)
            # In a thread: to move a process takes the kernel milliseconds when nothing else has just woken it up.
            await self.ending.to_the_end(asyncio.to_thread(self._make_group, process.pid, resources))
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
        talk = Conversation(
            driver,
            job,
            process,
            carry_out=self._carry_out,
            on_ready=lambda: self._note_start(talk, process.pid, resources, size_from, queued, kills),
            on_signal=self.ending.was_signalled,
        )
        self.ending.reached(talk)
        output = Output(
            job.call.path, job.attempt, resources.output, lambda line: driver.around.note_log(driver.run, line)
        )
        output.listen(process.stdout, "STDOUT", lambda: self.ending.stop("output"))
        output.listen(process.stderr, "STDERR", lambda: self.ending.stop("output"))
        self._supervision = seen = Supervision(
            driver, job, process.pid, resources, self._group, scratch, self._office.host.memory,
            reserve=lambda memory: self._office.reserve(self.id, memory),
            stop=self.ending.stop,
            grown=lambda memory: talk.send(NewLimit(memory)),
        )  # fmt: skip
        side = [self._beside(self._listen(talk))]
        try:
            placed_job = msgspec.structs.replace(job, resources=resources)
            may_grow = self._group is not None and self._group.holds
            if driver.closing:  # nothing of it has begun, and nothing may
                self.ending.cancelled = True
            else:
                talk.send(
                    brief(
                        driver, placed_job, self._office.host, scratch,
                        gpus=placed.gpus, may_grow=may_grow, enforced_by=self._outer_layers(),
                    )
                )  # fmt: skip
            side += [
                self._beside(self.ending.heed_driver()),
                self._beside(seen.look_after()),
                self._beside(self.ending.keep_time(talk, self._began)),
            ]
            if self.ending.cancelled:  # before it had begun
                self.ending.kill()
            exited = await self.ending.gone(process)
            await self.ending.to_the_end(self._drain(side[0], output))
        except RegrowError:
            self.ending.kill()  # it could not even be told what to do
            raise
        finally:
            for task in side:
                task.cancel()
            await self.ending.to_the_end(self._wind_up(side, talk))
        evidence = gather(
            job, exited=exited, ending=self.ending, talk=talk, seen=seen, group=self._group, scratch=scratch,
            layers=self._layers(talk), host=self._office.host, host_kills=kills, ran=time.monotonic() - started,
        )  # fmt: skip
        cpu_seconds = exited.cpu_seconds if exited is not None else 0.0
        note_end(driver, evidence, cpu_seconds)
        if self.ending.cancelled:
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

    def _beside(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something while the worker runs. If that breaks, nobody looks after the worker, so it is ended."""
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._ended_beside)
        return task

    def _ended_beside(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and self._broken is None:
            self._broken = error
            self.ending.kill()

    async def _carry_out(self, job: Job) -> Kept:
        return await self._office.carry_out(self._driver, job, self.id)

    async def _listen(self, talk: Conversation) -> None:
        await talk.listen()
        if talk.outcome is not None:  # then it has nothing left to do but to end
            asyncio.get_running_loop().call_later(CLEAN_UP_SECONDS, self.ending.kill)

    def _note_start(  # noqa: PLR0917 - in the order of the record
        self, talk: Conversation, pid: int, resources: Resources, size_from: str, queued: float, kills: int | None
    ) -> None:
        host, layers = self._office.host, self._layers(talk)
        started = WorkerStarted(
            self.job.call.path, self.job.attempt, pid, host.name, resources, layers, size_from, kills, host.boot, queued
        )
        self._driver.hand_in(started)

    def _layers(self, talk: Conversation) -> tuple[str, ...]:
        return (*self._outer_layers(), *talk.enforced_by)

    def _outer_layers(self) -> tuple[str, ...]:
        group = self._group
        if group is not None and group.limits_memory:
            return (group.version,)
        return ("watchdog",) if self.job.resources.memory is not None else ()
