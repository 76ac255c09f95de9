"""The office of a driver's workers: the queue for places, the warm servers, the attempts, and the host's memory.

It lives in a thread of its own, with an event loop of its own: limits are kept, deaths noticed and held workers decided
about while the user's code does what it likes on other loops and in other threads.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import itertools
import logging
import os
import threading

from regrow.engine.branches import start_apart
from regrow.engine.driver import Driver
from regrow.engine.vault import Kept
from regrow.errors import UsageError, WorkerLost
from regrow.executors import scratch
from regrow.executors.attempt import Attempt
from regrow.executors.capacity import Capacity, Claim, Placed
from regrow.executors.evidence import NOT_BEGUN
from regrow.executors.forkserver import Environment, ForkServer, LoadingEnded, ServerLost, WorkerProcess
from regrow.executors.limits import cgroups, machine
from regrow.executors.limits.cgroups import CgroupHost
from regrow.executors.limits.watchdog import HostGuard, free_memory
from regrow.executors.messages import Job
from regrow.values.resources import Resources

_log = logging.getLogger("regrow")

_SERVERS = 8
"""How many fork servers stay warm. Each holds one module's imports; the one that was unused for longest goes first."""


class LocalOffice:
    """Where the workers of one driver process are placed and looked after. All but `close` runs on its loop.

    Attributes:
        pid: of the process that it belongs to.
        host: what that runs on.
        groups: where cgroups for workers can be made.
        loop: its event loop.
    """

    def __init__(self, entry: str, groups: CgroupHost | None) -> None:
        self.pid = os.getpid()
        self.host = machine.this_machine(cgroups.container_limit())
        self.groups = groups
        if self.groups is not None:
            self.groups.sweep()
        self._entry = entry
        self._container = cgroups.container_limit()
        self._capacity = Capacity(self.host.cpus, self.host.memory, self.host.gpus)
        self._waiting: dict[str, asyncio.Future[Placed]] = {}
        self._servers: dict[Environment, asyncio.Task[ForkServer]] = {}
        self._attempts: dict[str, Attempt] = {}
        self._numbers = itertools.count(1)
        self._guard = HostGuard()
        self._guarding: asyncio.Task[None] | None = None
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="regrow-workers", daemon=True)
        start_apart(self._thread)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.call_soon(self.loop.run_in_executor, None, scratch.sweep)  # beside the work: it may be a lot
        self.loop.run_forever()

    async def carry_out(self, driver: Driver, job: Job, parent: str | None) -> Kept:
        """Run one attempt to its end."""
        attempt = Attempt(self, driver, job, number=next(self._numbers), parent=parent)
        self._attempts[attempt.id] = attempt
        if self._guarding is None:
            self._guarding = self.loop.create_task(self._guard_host())
        try:
            return await attempt.run()
        finally:
            del self._attempts[attempt.id]

    # -- places --------------------------------------------------------------------------------------------------------

    async def place(self, claim: Claim) -> Placed:
        """See `Office.place`.

        Raises:
            UsageError: it can never fit on this host.
        """
        why = self._capacity.refuse(claim.resources)
        if why is not None:
            raise UsageError(f"{claim.id.partition('-')[2]} cannot run on this host: {why}")
        future: asyncio.Future[Placed] = self.loop.create_future()
        self._waiting[claim.id] = future
        self._admit(self._capacity.ask(claim))
        try:
            return await future
        except asyncio.CancelledError:
            self.leave(claim.id)
            raise

    def leave(self, claim: str) -> None:
        """See `Office.leave`."""
        if claim in self._capacity.placed:
            self._admit(self._capacity.release(claim))
        else:
            self._admit(self._capacity.withdraw(claim))
        self._waiting.pop(claim, None)

    def reserve(self, claim: str, memory: int) -> bool:
        """See `Office.reserve`."""
        return self._capacity.grow(claim, memory)

    def drain(self, source: str, grace: float) -> None:
        """Let all workers save their work, and place none until the moment has passed that was announced."""
        self._capacity.pause()
        self.loop.call_later(grace, lambda: self._admit(self._capacity.resume()))
        for attempt in list(self._attempts.values()):
            attempt.ending.preempt(source, grace)

    def _admit(self, placed: list[Placed]) -> None:
        for one in placed:
            future = self._waiting.pop(one.claim.id, None)
            if future is not None and not future.done():
                future.set_result(one)

    # -- servers -------------------------------------------------------------------------------------------------------

    async def fork(self, job: Job, resources: Resources) -> WorkerProcess:
        """See `Office.fork`.

        Raises:
            WorkerLost: no fork server could be had.
            Exception: what the user's module raised when it was loaded.
        """
        environment = Environment.of(job.code, job.env, resources.cpu)
        with contextlib.suppress(ServerLost):
            return await self._forked(environment)
        try:
            return await self._forked(environment)  # it may have been killed; twice is no accident
        except LoadingEnded as problem:
            raise ImportError(str(problem)) from None
        except ServerLost as problem:
            lost = WorkerLost(job.call.path)
            raise lost.explained(confidence="certain", evidence=(str(problem),), facts=NOT_BEGUN) from None

    async def _forked(self, environment: Environment) -> WorkerProcess:
        server = await self._server(environment)
        try:
            return await server.fork()
        finally:
            if not server.is_alive:
                self._drop(environment, server)

    def _drop(self, environment: Environment, server: ForkServer) -> None:
        """Let go of a server that is gone, unless another caller has done so, and another server has its place."""
        known = self._servers.get(environment)
        if known is not None and known.done() and not known.cancelled() and known.exception() is None:
            if known.result() is not server:
                return
            del self._servers[environment]
            server.close()

    async def _server(self, environment: Environment) -> ForkServer:
        starting = self._servers.pop(environment, None)
        if starting is None:
            self._make_room()
            starting = self.loop.create_task(ForkServer.start(environment, self._entry))
            starting.add_done_callback(lambda done: self._started(environment, done))
        self._servers[environment] = starting  # the latest used is the last
        return await asyncio.shield(starting)

    def _started(self, environment: Environment, starting: asyncio.Task[ForkServer]) -> None:
        if starting.cancelled() or starting.exception() is not None:
            if self._servers.get(environment) is starting:
                del self._servers[environment]
        elif (threads := starting.result().threads_left) > 1:
            _log.warning(
                "loading %s left %d threads running; a worker that is forked beside them may hang on what they hold. "
                "Start threads inside of tasks",
                environment.file,
                threads - 1,
            )

    def _make_room(self) -> None:
        idle = [
            (environment, task)
            for environment, task in self._servers.items()
            if task.done() and not task.cancelled() and task.exception() is None and not task.result().busy
        ]
        for environment, task in idle[: max(0, len(self._servers) + 1 - _SERVERS)]:
            del self._servers[environment]
            task.result().close()

    # -- the host ------------------------------------------------------------------------------------------------------

    async def _guard_host(self) -> None:
        """End a worker before the container's own limit does: that would end the driver as well."""
        while self._attempts:
            used = cgroups.container_usage() if self._container is not None else 0
            free = free_memory(machine.available_memory(), self._container, used)
            using = {name: attempt.memory for name, attempt in self._attempts.items()}
            victim = self._guard.victim(free, self.host.memory, using)
            if victim is not None:
                self._attempts[victim].ending.stop("host memory")
            await asyncio.sleep(self._guard.interval(free, self.host.memory))
        self._guarding = None

    def close(self) -> None:
        """End everything; called from another thread."""
        if self._thread.is_alive():
            ended = asyncio.run_coroutine_threadsafe(self._end(), self.loop)
            with contextlib.suppress(concurrent.futures.TimeoutError):
                ended.result(10)
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(5)
        if not self._thread.is_alive():
            self.loop.close()

    async def _end(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        servers = [task for task in self._servers.values() if task.done() and not task.cancelled()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for task in servers:
            if task.exception() is None:
                task.result().close()
