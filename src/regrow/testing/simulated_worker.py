"""A worker of a simulated world: the engine that runs in a real one, in a process of its own that can be killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from regrow.codec import capture, registry
from regrow.engine import decide
from regrow.engine.branches import belongs_to, drive_on, here, run_on
from regrow.engine.callee import Callee
from regrow.engine.committer import Committer
from regrow.engine.driver import Driver
from regrow.engine.healer import Healer
from regrow.engine.log import RunLog
from regrow.engine.scope import Scope
from regrow.engine.state import RunState
from regrow.engine.vault import Vault
from regrow.errors import Failure
from regrow.executors.messages import Counted, FrameKind, Gave, Ready, Signalled, Start, Stop, Threw
from regrow.executors.remote import RemoteBlobs, RemoteExecutor, RemoteHost, RemoteLog
from regrow.testing.processes import Process
from regrow.testing.simulated_channel import SimulatedLine, SimulatedRemoteCommitter, Wire
from regrow.testing.virtual_time import running_on
from regrow.values.options import Options
from regrow.values.policies import Bounds, Budget

if TYPE_CHECKING:
    from regrow.testing.world import SimulatedWorld

_GRACE = 10.0
"""As `regrow.executors.worker.GRACE_SECONDS`."""


class SimulatedWorker:
    """One attempt of one task, in a process of its own.

    Attributes:
        process: which.
    """

    def __init__(  # noqa: PLR0917 - what a process is forked with
        self,
        world: SimulatedWorld,
        process: Process,
        start: Start,
        wire: Wire,
        healer: Healer,
        done: Callable[[], None],
    ) -> None:
        """Be forked.

        Args:
            world: in which world.
            process: as which process.
            start: what to do.
            wire: to the driver.
            healer: what answers failures inside.
            done: called when it has nothing left to do.
        """
        self.process = process
        self._start = start
        self._done = done
        self._stop: Stop | None = None
        self._work: asyncio.Task[Any] | None = None
        job = start.job
        self.line = SimulatedLine(world, process, wire, self._told_to_stop)
        state = RunState()
        state.take_over(start.known, seq=start.seq, detour=start.detour)
        state.began, state.spent = start.began, start.spent
        clock = world.processes.clock.wall
        self._driver = _WorkersDriver(
            cast("RunLog", RemoteLog(start.run, state, clock)),
            cast("Committer", SimulatedRemoteCommitter(self.line, world, process)),
            Vault(RemoteBlobs(self.line, Path(start.scratch))),
            RemoteExecutor(self.line, start.ceiling),
            healer,
            RemoteHost(self.line),
            strict=start.strict,
            clock=clock,
        )
        self._driver.own_bounds = start.bounds
        bounds = job.budget
        budget = None if bounds is None else Budget(bounds.attempts, bounds.memory, bounds.wall_time)
        self._scope = Scope(
            self._driver,
            job.call,
            None,
            attempt=job.attempt,
            known=state.calls.get(job.call.path),
            options=Options(name=job.name, retries=job.retries, on_oom=job.on_oom, budget=budget),
            first_begun=job.first_begun,
        )
        self._scope.resources, self._scope.allowed = job.resources, job.allowed
        self._scope.begun = self._driver.now()

    def begin(self) -> None:
        """Do it; called on its own loop."""
        self.line.tell(Ready(("the simulated world",)))
        recorded: Any = registry.references[self._start.job.code.ref]
        if recorded.callee.mode == "async":
            drive_on(self.process.loop)
            self._work = asyncio.Task(self._tell(recorded.callee), loop=self.process.loop)
        else:
            self._tell_blocking(recorded.callee)

    def signal(self, name: str) -> None:
        """Be sent a signal by somebody who is not regrow."""
        if self._stop is None and self.process.alive:
            self._stop = Stop("preempted", _GRACE, name)
            self.line.tell(Signalled(name))
            self._heed(self._stop)

    def _told_to_stop(self, stop: Stop) -> None:
        if self._stop is None:
            self._stop = stop
            self._heed(stop)

    def _heed(self, stop: Stop) -> None:
        """Interrupt a coroutine. Synchronous code cannot be interrupted from inside its process, and is killed."""
        if self._driver.cancelled_by is None and self._work is not None:
            self._driver.cancelled_by = stop.reason
            self._work.cancel()

    async def _tell(self, callee: Callee) -> None:
        belongs_to(self._driver)
        try:
            args, kwargs = self._inputs()
            result = await run_on(self._scope.main, callee.function(*args, **kwargs), apart=True)
            message: Gave | Threw = self._gave(result)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the driver decides what it means
            message = self._threw(error)
        self._say(message)

    def _tell_blocking(self, callee: Callee) -> None:
        belongs_to(self._driver)
        with running_on(None):
            place = here()
            outer, place.branch = place.branch, self._scope.main
            try:
                args, kwargs = self._inputs()
                message: Gave | Threw = self._gave(callee.function(*args, **kwargs))
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the driver decides what it means
                message = self._threw(error)
            finally:
                place.branch = outer
        self._say(message)

    def _inputs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return cast("tuple[tuple[Any, ...], dict[str, Any]]", self._driver.vault.load(self._start.job.inputs))

    def _say(self, message: Gave | Threw) -> None:
        if self.process.alive:
            self.line.tell(message)
            self._done()

    def _gave(self, result: object) -> Gave:
        self._driver.check_open()
        self._driver.look_for_passed_over(self._scope.path)
        kept = self._driver.keep(result, "result")
        return Gave(kept.value, kept.blobs, self._counted())

    def _threw(self, error: BaseException) -> Threw:
        halted = self._driver.halted
        kind: FrameKind = "halted" if halted is not None else self._kind_of(error)
        again = decide.blame(error, self._driver.run, self._scope.path)
        return Threw(capture(halted or error), kind, again, self._counted())

    def _kind_of(self, error: BaseException) -> FrameKind:
        if self._stop is not None:
            return "preempted" if self._stop.reason == "preempted" else "cancelled"
        return "memory" if isinstance(error, MemoryError) and not isinstance(error, Failure) else "raised"

    def _counted(self) -> Counted:
        tally = self._driver.tally
        return Counted(tally.executed, tally.replayed, tally.seconds_saved, tally.cached, tally.cached_seconds)


class _WorkersDriver(Driver):
    """A driver whose records go to the one that has the lease."""

    own_bounds: Bounds | None = None

    @property
    def bounds(self) -> Bounds | None:
        return self.own_bounds
