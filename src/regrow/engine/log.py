"""The end of one run's journal to which its driver appends."""

from __future__ import annotations

from collections.abc import Callable

from regrow.engine.state import RunState
from regrow.errors import Corrupted
from regrow.journal.chain import StoredRecord, seal, unseal_all
from regrow.journal.records import Event, Record, RunEnded, RunRetried
from regrow.journal.store import Entry


class RunLog:
    """Seals one event after another into the chain, and keeps the state that they add up to.

    Attributes:
        run: whose journal it is.
        state: of all records so far, including those not yet durable.
        epoch: of the lease under which it writes.
        ended_here: whether the run's end is among what was appended here.
    """

    def __init__(self, run: str, stored: list[StoredRecord], epoch: int, clock: Callable[[], float]) -> None:
        """Take up a run where its stored records end.

        Raises:
            Corrupted: they are not what was written, or the lease is not above that of the last one: the list of runs
                lies outside of the chain, and two drivers must never write under one epoch.
            UnreadableFormat: a newer version wrote them.
        """
        self.run = run
        self.epoch = epoch
        self.ended_here = False
        self.state = RunState()
        self._clock = clock
        for record in unseal_all(run, stored):
            self.state.apply(record)
        if epoch <= self.state.epoch:
            raise Corrupted(
                f"run {run}: its lease has epoch {epoch}, and its last record was written under epoch "
                f"{self.state.epoch}: the list of runs is damaged; `regrow export` it, and import that into another "
                f"store"
            )
        self._previous = stored[-1].hash if stored else b""

    def append(self, event: Event, blobs: tuple[str, ...] = (), actor: str = "driver") -> tuple[Record, Entry]:
        """Add an event, and give the record and what a store must be handed of it."""
        state = self.state
        record = Record(state.seq + 1, self._clock(), actor, self.epoch, self._previous, event)
        stored = seal(record)
        self._previous = stored.hash
        state.apply(record)
        outcome = event.outcome if type(event) is RunEnded else None
        self.ended_here = outcome is not None
        return record, Entry(self.run, self.epoch, stored, blobs, outcome, type(event) is RunRetried, record.time)
