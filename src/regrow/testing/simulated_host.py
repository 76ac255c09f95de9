"""The engine's host and committer without their threads: heartbeats and commits are events of the process's loop.

All that they decide is inherited. What is played is only when it happens.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from regrow.engine.committer import Committer, Ticket, _Waiting
from regrow.engine.driver import Driver
from regrow.engine.executor import Executor
from regrow.engine.healer import Healer
from regrow.engine.host import Host
from regrow.engine.run_logging import run_logging
from regrow.engine.state import CallState
from regrow.journal.store import Entry, Store
from regrow.testing.processes import Process

if TYPE_CHECKING:
    from regrow.testing.world import SimulatedWorld


class SimulatedHost(Host):
    """A host whose heart beats on its process's loop."""

    def __init__(  # noqa: PLR0917 - those of a host, and whose it is
        self,
        world: SimulatedWorld,
        process: Process,
        store: Store,
        executor: Executor,
        healer: Healer,
        committer: Callable[[Store, SimulatedWorld, Process], Committer] | None = None,
    ) -> None:
        """Be the host of one process.

        Args:
            world: in which world.
            process: of which process.
            store: its connection.
            executor: where bodies run.
            healer: what answers failures.
            committer: puts another committer in place; for tests of the world itself.
        """
        super().__init__(store, executor, healer, world.processes.clock.wall)
        self._look_seconds = self._beat_seconds  # one look with each beat
        self.committer = (committer or SimulatedCommitter)(store, world, process)
        self._world = world
        self._process = process
        process.at_death.append(self._fall_silent)

    def take_up(self, run: str, **how: Any) -> Driver:
        """See `Host.take_up`."""
        driver = super().take_up(run, **how)
        driver._interrupted = _Interruption(self._world, self._process, self._look)  # noqa: SLF001 - a seam is missing there
        reached, take_turn = self._world.reached, driver.take_turn
        if any(call.chunks and call.outcome is None for call in driver.log.state.calls.values()):
            reached["a stream taken up after a crash"] += 1

        async def taking_turns(known: CallState) -> None:
            reached["a race given again in its order"] += 1
            await take_turn(known)

        driver.take_turn = taking_turns  # type: ignore[method-assign]
        return driver

    def _awake(self) -> str:
        with self._lock:
            if self._holder is None:
                holder = self.store.register()
                stop = threading.Event()
                run_logging.begin()
                self._stop_beating, self._holder = stop, holder
                self._process.soon(self._one_beat, holder, stop, after=self._beat_seconds)
            return self._holder

    def _look(self) -> None:
        """Look at the orders: what a heartbeat does in a thread of its own while the loop is blocked."""
        if self._holder is not None:
            self._heed_orders(self._holder, dict(self._drivers))

    def _one_beat(self, holder: str, stop: threading.Event) -> None:
        if not stop.is_set():
            self._beat(holder, _Once())  # type: ignore[arg-type]
            self._process.soon(self._one_beat, holder, stop, after=self._beat_seconds)

    def _fall_silent(self) -> None:
        if self._holder is not None:
            run_logging.end()
            self._holder = None


class _Once:
    """Stands for the event that a heartbeat waits on between two beats: lets one pass."""

    def __init__(self) -> None:
        self._passed = False

    def wait(self, _seconds: float) -> bool:
        passed, self._passed = self._passed, True
        return passed


class _Interruption(threading.Event):
    """What a synchronous run waits on between two attempts: the others go on meanwhile."""

    def __init__(self, world: SimulatedWorld, process: Process, look: Callable[[], None]) -> None:
        super().__init__()
        self._processes = world.processes
        self._process = process
        self._look = look

    def wait(self, timeout: float | None = None) -> bool:
        self._processes.elapse(self._process, timeout or 0.0)
        self._look()
        return self.is_set()


class SimulatedCommitter(Committer):
    """A committer whose batches land some time after they were gathered, and whose thread is the loop."""

    def __init__(self, store: Store, world: SimulatedWorld, process: Process) -> None:
        """Commit for one process."""
        super().__init__(store)
        self._chance = world.chance
        self._process = process
        self._in_flight: list[_Waiting] = []

    def submit(self, entry: Entry, loop: asyncio.AbstractEventLoop | None) -> Ticket:
        """See `Committer.submit`. Who waits in a thread is committed for at once: that thread is this one."""
        if loop is not None:
            return super().submit(entry, loop)
        self._check_nothing_lost(entry)
        self._commit_in_place(entry)
        return None

    def flush(self) -> None:
        """See `Committer.flush`."""
        self._land()
        super().flush()

    def _commit_in_place(self, entry: Entry) -> None:
        self._land()
        super()._commit_in_place(entry)

    def _wake(self) -> None:
        self._asked = False
        if not self._under_way and any(ticket is not None for _, ticket in self._waiting):
            self._in_flight, self._waiting = self._waiting, []
            self._under_way = True
            self._process.soon(self._land_and_go_on, after=self._chance.choice((0.0, 0.0, 0.002, 0.05)))

    def _land(self) -> None:
        if not self._under_way:
            return
        batch, self._in_flight = self._in_flight, []
        try:
            if batch:
                self._commit(batch)
        except Exception:  # noqa: BLE001, S110
            # As in the committer's thread, which this plays: `_commit` has handed it to every call that waited.
            pass
        finally:
            self._under_way = False

    def _land_and_go_on(self) -> None:
        self._land()
        self._wake()
