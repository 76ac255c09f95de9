"""Workers of a simulated world, as their driver sees them: what they are given, what they die of, and what is recorded.

The conversation, the evidence and the diagnosis are the real ones. What is played is the office around them
(`regrow.executors.attempt`), which forks and measures, and the hand of fate.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal

from regrow.engine.callee import Callee
from regrow.engine.driver import Driver
from regrow.engine.scope import Scope
from regrow.engine.vault import Kept
from regrow.errors import UsageError
from regrow.executors.channel import frame, to_worker
from regrow.executors.conversation import Conversation
from regrow.executors.evidence import Evidence, Reason
from regrow.executors.inline import InlineExecutor
from regrow.executors.jobs import job_of
from regrow.executors.messages import Gave, Job, NewLimit, Start, Stop, Threw
from regrow.executors.outcome import conclude, frame_of, note_end
from regrow.journal.records import WorkerGrown, WorkerSampled, WorkerStarted
from regrow.remedies import Grow
from regrow.testing.processes import Process
from regrow.testing.simulated_channel import Wire, Writer
from regrow.testing.simulated_worker import SimulatedWorker
from regrow.testing.swarm import Fault

if TYPE_CHECKING:
    from regrow.testing.world import SimulatedWorld

CEILING = 64 * 2**30
"""What the simulated machine could give to one task, in bytes."""
_CLEAN_UP_SECONDS = 1.0
_GRACE_SECONDS = 10.0
_LAYERS = ("simulated",)

Fate = Literal["worker out of memory", "worker grows", "worker preempted", "worker killed", "worker crashes"]
_FATES: tuple[Fault, ...] = (
    "worker out of memory",
    "worker grows",
    "worker preempted",
    "worker killed",
    "worker crashes",
)


class SimulatedExecutor:
    """Runs isolated tasks in simulated workers, and everything else where its caller runs."""

    ceiling = CEILING

    def __init__(self, world: SimulatedWorld, process: Process) -> None:
        """Be the executor of one process."""
        self._world = world
        self._process = process
        self._inline = InlineExecutor()

    async def run(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run`."""
        if not callee.isolated:
            return await self._inline.run(callee, scope, args, kwargs)
        return await self.carry_out(scope.driver, job_of(callee, scope, args, kwargs))

    def run_blocking(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run_blocking`."""
        if not callee.isolated:
            return self._inline.run_blocking(callee, scope, args, kwargs)
        raise UsageError(
            f"{callee.name} runs in a worker, and a simulated world has no thread that could wait for it; make its "
            f"caller `async def`, and write `await {callee.name}.aio(…)` there"
        )

    async def carry_out(self, driver: Driver, job: Job) -> Kept:
        """Run one attempt to its end, in asyncio tasks that are nobody's branch."""
        attempt = _Attempt(self._world, self._process, self, driver, job)
        work: asyncio.Task[Kept] = asyncio.Task(attempt.run(), loop=self._process.loop)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            while not work.done():  # its worker is ended first: nothing of a call outlives it
                attempt.cancel()
                try:
                    await asyncio.wait((work,))
                except asyncio.CancelledError:
                    continue
            if not work.cancelled():
                work.exception()
            raise


class _Attempt:
    def __init__(
        self, world: SimulatedWorld, process: Process, office: SimulatedExecutor, driver: Driver, job: Job
    ) -> None:
        self._world = world
        self._process = process
        self._office = office
        self._driver = driver
        self._job = job
        self._resources = job.resources
        self._reason: Reason | None = None
        self._cancelled = False
        self._taken_by = ""
        self._status = 0
        self._peak: int | None = None
        self._worker: SimulatedWorker | None = None
        self._gone = asyncio.Event()
        self._talk: Conversation | None = None

    async def run(self) -> Kept:
        loop, world = self._process.loop, self._world
        await asyncio.sleep(world.chance.choice((0.0, 0.01, 0.5)))  # the queue, and the fork
        if self._cancelled:
            raise asyncio.CancelledError
        reader = asyncio.StreamReader(loop=loop)
        process = world.processes.start(f"{self._job.name} of {self._process.name}", self._process)
        process.epoch = self._driver.log.epoch

        def arrived(data: bytes) -> None:
            if data:
                reader.feed_data(data)
            else:
                reader.feed_eof()
                self._gone.set()

        to_driver = Wire(world, self._process, arrived)
        process.at_death.append(to_driver.close)
        heard = Wire(world, process, lambda data: self._worker.line.hear(to_worker.decode(data[4:])))  # type: ignore[union-attr]
        exits: asyncio.Future[None] = loop.create_future()
        fake: Any = SimpleNamespace(pid=1, reader=reader, writer=Writer(heard), exited=exits)
        self._talk = talk = Conversation(
            self._driver,
            self._job,
            fake,
            carry_out=self._carry_out,
            on_ready=self._note_start,
            on_signal=self._was_signalled,
        )
        start = to_worker.decode(frame(self._start())[4:])  # a worker shares nothing with its driver
        assert isinstance(start, Start)  # noqa: S101 - for the type checker
        self._worker = worker = SimulatedWorker(world, process, start, to_driver, self._driver.healer, process.die)
        process.soon(worker.begin)
        side = [asyncio.Task(work, loop=loop) for work in (talk.listen(), self._watch(talk), self._meet_fate(talk))]
        try:
            await self._gone.wait()
            await asyncio.wait(side[:1])
        finally:
            for task in side:
                task.cancel()
            await asyncio.gather(*side, return_exceptions=True)
            await talk.end()
        return self._conclude(talk)

    def cancel(self) -> None:
        first, self._cancelled = not self._cancelled, True
        self._stop("cancelled", _CLEAN_UP_SECONDS if first else 0.0)

    async def _carry_out(self, job: Job) -> Kept:
        return await self._office.carry_out(self._driver, job)

    def _start(self) -> Start:
        driver, job = self._driver, self._job
        state, path = driver.log.state, job.call.path
        own = [state.calls[path]] if path in state.calls else []
        return Start(
            driver.run, job, [*own, *state.inside(path)], state.seq, state.detour, state.began, state.spent,
            driver.bounds, driver.project, state.forked, driver.strict, CEILING, {}, None, "/nowhere", (), None,
            _LAYERS,
        )  # fmt: skip

    # -- while it runs -------------------------------------------------------------------------------------------------

    def _note_start(self) -> None:
        path, attempt = self._job.call.path, self._job.attempt
        self._driver.hand_in(WorkerStarted(path, attempt, 1, "simulated", self._resources, _LAYERS))

    async def _watch(self, talk: Conversation) -> None:
        await talk.ready.wait()
        if self._job.allowed is not None:
            await asyncio.sleep(self._job.allowed[0])
            self._world.reached["a task timed out"] += 1
            self._stop(self._job.allowed[1], _CLEAN_UP_SECONDS)

    async def _meet_fate(self, talk: Conversation) -> None:
        world, chance = self._world, self._world.chance
        await talk.ready.wait()
        fates = [fate for fate in _FATES if fate in world.swarm.on]
        if not fates:
            return
        fate = chance.choice(fates)
        await asyncio.sleep(chance.choice((0.0, 0.05, 0.3, 1.0)))
        worker, limit = self._worker, self._resources.memory
        if worker is None or not worker.process.alive or talk.outcome is not None:
            return
        if fate in ("worker out of memory", "worker grows") and limit is None:
            return
        if not world.swarm.strikes(fate, 0.5):
            return
        if limit is not None:
            now = self._driver.now()
            self._driver.hand_in(WorkerSampled(self._job.call.path, self._job.attempt, ((now, limit // 2),)))
        match fate:
            case "worker out of memory":
                world.reached["a worker out of memory"] += 1
                self._peak = limit
                self._stop("memory")
            case "worker grows" if limit is not None:
                self._grow(talk, limit)
            case "worker preempted":
                world.reached["a worker preempted"] += 1
                worker.process.soon(worker.signal, "SIGTERM")
            case "worker killed":
                world.reached["a worker lost"] += 1
                self._kill(signal.SIGKILL)
            case _:
                world.reached["a worker that crashed"] += 1
                self._kill(signal.SIGSEGV)

    def _grow(self, talk: Conversation, limit: int) -> None:
        policy = self._job.on_oom
        more = None if policy is None else policy.next(limit, needed=limit + 1, ceiling=CEILING)
        if more is None:
            self._peak = limit
            self._stop("memory")
            return
        self._resources = self._resources.grown(Grow(memory=more))
        path, attempt = self._job.call.path, self._job.attempt
        self._driver.hand_in(WorkerGrown(path, attempt, limit, more, 0.01, _LAYERS[0]))
        talk.send(NewLimit(more))

    def _was_signalled(self) -> None:
        if self._talk is not None and not self._taken_by:
            self._taken_by = self._talk.signalled
            self._process.soon(self._kill, signal.SIGKILL, after=_GRACE_SECONDS)

    def _stop(self, reason: Reason, grace: float = 0.0) -> None:
        if self._reason is None:
            self._reason = reason
        if grace and self._talk is not None and reason in ("timeout", "deadline", "cancelled"):
            self._talk.send(Stop(reason, grace))
            self._process.soon(self._kill, signal.SIGKILL, after=grace)
        else:
            self._kill(signal.SIGKILL)

    def _kill(self, number: int) -> None:
        if self._worker is not None and self._worker.process.alive:
            self._status = number
            self._worker.process.die()

    # -- what came of it -----------------------------------------------------------------------------------------------

    def _conclude(self, talk: Conversation) -> Kept:
        job, driver, outcome = self._job, self._driver, talk.outcome
        evidence = Evidence(
            path=job.call.path,
            task=job.name,
            attempt=job.attempt,
            resources=self._resources,
            enforced_by=_LAYERS,
            told_to_stop=self._reason,
            allowed=job.allowed,
            preempted_by=self._taken_by,
            wait_status=self._status,
            frame=frame_of(outcome) if isinstance(outcome, Threw) else None,
            result=isinstance(outcome, Gave),
            host_oom_kills=0,
            peak=self._peak,
            ceiling=CEILING,
        )
        note_end(driver, evidence, 0.0)
        if self._cancelled:
            raise asyncio.CancelledError
        return conclude(driver, job, evidence, outcome, None)
