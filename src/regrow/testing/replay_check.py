"""Running a finished run's code against its journal once more: nothing may be executed, and nothing new recorded."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from regrow.authoring.driving import drive_async
from regrow.authoring.task import Task
from regrow.engine.branches import drive_on
from regrow.healing.ladder import Ladder
from regrow.journal.chain import unseal_all
from regrow.journal.memory import MemoryStore
from regrow.journal.records import (
    CallStarted,
    CallSucceeded,
    DriverOpened,
    Event,
    RunEnded,
    WorkerEnded,
    WorkerSampled,
    WorkerStarted,
)
from regrow.journal.store import NewRun
from regrow.testing.simulated_executor import SimulatedExecutor
from regrow.testing.simulated_host import SimulatedHost

if TYPE_CHECKING:
    from regrow.testing.world import SimulatedWorld


def replays(world: SimulatedWorld, run: str, task: Task[..., Any], args: tuple[Any, ...]) -> list[str]:
    """Resume a copy of a run from the moment before its last record but one, and say what should not have happened."""
    row, stored = world.store.get(run), world.store.read(run)
    records = unseal_all(run, stored)
    root = next(one.event.call.path for one in records if isinstance(one.event, CallStarted))
    end = next(one.seq for one in records if isinstance(one.event, CallSucceeded) and one.event.call.path == root)
    copy = MemoryStore(world.processes.clock.wall)
    copy.blobs = world.store.blobs
    copy.create(NewRun(run, row.task, row.created, row.key))
    copy._records[run] = stored[: end - 1]  # noqa: SLF001 - as if the rest had never been written
    for _ in range(row.epoch):
        copy.claim(run, "somebody before", seconds=0.0)
    for other in world.processes.others:
        other.die()  # a driver that lost its lease long ago may still be at work, and not know
    process = world.processes.start("replay")
    host = SimulatedHost(world, process, copy, SimulatedExecutor(world, process), Ladder())
    drive_on(process.loop)
    before, work = Counter(world.witness.effects), list[asyncio.Task[Any]]()

    def begin() -> None:
        driver = host.take_up(run)
        work.append(asyncio.Task(drive_async(host, driver, task, args, {}), loop=process.loop))

    process.soon(begin)
    while not (work and work[0].done()):
        world.processes.step()
    found = [f"replay executes {path}" for _, path, _ in world.witness.effects - before]
    new = [record.event for record in unseal_all(run, copy.read(run))[end - 1 :]]
    return found + [f"replay records {type(event).__name__}" for event in new if not _is_its_own(event, root)]


def _is_its_own(event: Event, root: str) -> bool:
    match event:
        case DriverOpened() | RunEnded():
            return True
        case CallStarted() | CallSucceeded():
            return event.call.path == root
        case WorkerStarted() | WorkerSampled() | WorkerEnded():
            return event.path == root  # a run's task may have a worker of its own
        case _:
            return False
