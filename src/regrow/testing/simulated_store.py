"""One store for all processes of a world, and each process's connection to it, over which things go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from regrow.errors import RunHeld, StoreUnavailable
from regrow.journal.asks import Asks
from regrow.journal.cache import SharedCache
from regrow.journal.memory import MemoryStore
from regrow.journal.signals import Signals
from regrow.journal.store import LEASE_SECONDS, Entry, LogLine
from regrow.testing.crash import Crash
from regrow.testing.processes import Process

if TYPE_CHECKING:
    from regrow.testing.world import SimulatedWorld


class Connection(MemoryStore):
    """A process's way to the store that all share; it ends with the process.

    Attributes:
        troubled: whether an append over it has failed, so that the process may not know what is stored.
    """

    def __init__(self, world: SimulatedWorld, process: Process, shared: MemoryStore) -> None:
        """Connect a process to the tables of a store."""
        self.__dict__.update(shared.__dict__)
        self.troubled = False
        self._world = world
        self._process = process
        self._shared = shared
        process.at_death.append(self._cut)

    def register(self) -> str:
        """See `Store.register`."""
        self._process.be_alive()
        return f"sim@{self._process.name}"

    def claim(self, run: str, holder: str, *, seconds: float = LEASE_SECONDS) -> int:
        """See `Store.claim`."""
        self._process.be_alive()
        before = self._leases[run]
        try:
            epoch = self._shared.claim(run, holder, seconds=seconds)
        except RunHeld:
            self._world.reached["a run that another driver holds"] += 1
            raise
        if before.until:
            self._world.reached["a run taken over when its lease had run out"] += 1
        self._world.witness.claimed[run] = epoch
        return epoch

    def renew(self, holder: str, *, seconds: float = LEASE_SECONDS) -> dict[str, str | None]:
        """See `Store.renew`."""
        self._process.be_alive()
        return self._shared.renew(holder, seconds=seconds)

    @property
    def asks(self) -> Asks:
        """See `Store.asks`."""
        self._process.be_alive()
        return self._shared.asks

    @property
    def signals(self) -> Signals:
        """See `Store.signals`."""
        self._process.be_alive()
        return self._shared.signals

    def release(self, run: str, epoch: int) -> None:
        """See `Store.release`."""
        self._process.be_alive()
        self._shared.release(run, epoch)

    def write_logs(self, run: str, lines: Sequence[LogLine]) -> None:
        """See `Store.write_logs`."""
        self._process.be_alive()
        self._shared.write_logs(run, lines)

    @property
    def cache(self) -> SharedCache:
        """See `Store.cache`."""
        self._process.be_alive()
        return super().cache

    def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        """See `Store.append`; this is where most things go wrong."""
        process, world = self._process, self._world
        process.be_alive()
        self._take_long()
        swarm, reached = world.swarm, world.reached
        if swarm.strikes("append refused", 0.02):
            reached["an append that was refused"] += 1
            self.troubled = True
            raise StoreUnavailable("the disk is full, for now")
        crash = swarm.strikes("crash at an append", 0.03)
        kept = world.chance.randint(0, len(entries)) if crash else len(entries)
        if world.deaths and world.appended + len(entries) >= world.deaths[0] / 2:
            crash, kept = True, max(0, world.deaths.pop(0) // 2 - world.appended)
        fenced = self._store(entries[:kept])
        if fenced:
            reached["a zombie fenced"] += 1
        if crash:
            if kept == 0:
                reached["a crash before an append"] += 1
            elif kept == len(entries):
                reached["a crash after an append"] += 1
            else:
                reached["a crash during an append"] += 1
            process.die()
            raise Crash(f"{process.name} was killed at an append")
        if swarm.strikes("append that lies", 0.02):
            reached["an append that raised and had succeeded"] += 1
            self.troubled = True
            raise StoreUnavailable("the answer was lost on its way; what was appended is not known")
        return fenced

    def _store(self, entries: Sequence[Entry]) -> frozenset[str]:
        """Append them in earnest, and have the witness look at what is there now."""
        world = self._world
        before = {entry.run: len(self._records.get(entry.run, ())) for entry in entries}
        try:
            fenced = self._shared.append(entries)
        except StoreUnavailable:
            if not self.troubled:
                world.witness.broken("a store never finds a gap where no append has failed")
            self.troubled = True
            raise
        world.appended += len(entries)
        for run, length in before.items():
            for record in self._records.get(run, ())[length:]:
                world.witness.appended(run, record)
        if len(before) > 1:
            world.reached["records of two runs in one commit"] += 1
        return fenced

    def _take_long(self) -> None:
        world = self._world
        if world.swarm.whenever("slow store", 0.05):
            world.reached["an append that took long"] += 1
            world.processes.elapse(self._process, world.chance.choice((0.01, 0.3, 2.0)))
        elif world.swarm.strikes("process paused", 0.01):
            world.processes.elapse(self._process, world.pause())

    def _cut(self) -> None:
        """The process has died; most often that can be proved at once (`regrow.journal.presence`)."""
        if self._world.swarm.whenever("lease kept after death", 0.5):
            return
        for lease in self._leases.values():
            if lease.holder == f"sim@{self._process.name}":
                lease.until = 0.0
