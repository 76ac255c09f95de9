"""The store's in-memory twin: the same promises, kept in dictionaries. Shipped as `regrow.testing.MemoryStore`."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec

from regrow.errors import RunHeld, StoreUnavailable, UnknownRun
from regrow.journal.asks import Asks
from regrow.journal.blobs import BlobStore, MemoryBlobs
from regrow.journal.cache import SharedCache
from regrow.journal.chain import StoredRecord
from regrow.journal.memories import Memories
from regrow.journal.memory_tables import MemoryTables
from regrow.journal.orders import GRACE_SECONDS, Order, Stop
from regrow.journal.presence import actor
from regrow.journal.signals import Signals
from regrow.journal.store import LEASE_SECONDS, SIZES_KEPT, DamagedRow, Entry, LogLine, NewRun, RunRow, SizeSeen


class _Lease(msgspec.Struct):
    holder: str = ""
    until: float = 0.0


class MemoryStore:
    """A store that lives as long as the object does. Killing a process is played by `forget_leases`."""

    place = "memory"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Start empty; leases run by `clock`."""
        self.blobs: BlobStore = MemoryBlobs()
        self._clock = clock
        self._lock = threading.RLock()
        self._holders = 0
        self._rows: dict[str, RunRow] = {}
        self._leases: dict[str, _Lease] = {}
        self._records: dict[str, list[StoredRecord]] = {}
        self._blobs_of: dict[str, Counter[str]] = {}
        self._logs: dict[str, list[LogLine]] = {}
        self._sizes: dict[tuple[str, str, int], deque[SizeSeen]] = {}
        self._graces: dict[str, float] = {}
        self._stops: dict[str, Stop] = {}
        self._tables = MemoryTables(self._lease_in_force)

    @property
    def asks(self) -> Asks:
        """See `Store.asks`."""
        return self._tables.asks

    @property
    def signals(self) -> Signals:
        """See `Store.signals`."""
        return self._tables.signals

    @property
    def cache(self) -> SharedCache:
        """See `Store.cache`."""
        return self._tables.cache

    @property
    def memories(self) -> Memories:
        """See `Store.memories`."""
        return self._tables.memories

    def register(self) -> str:
        """See `Store.register`."""
        with self._lock:
            self._holders += 1
            return f"{actor()} pid {os.getpid()} ({self._holders})"

    def unregister(self, holder: str) -> None:
        """See `Store.unregister`; nothing is kept of a holder."""

    def create(self, run: NewRun) -> RunRow:
        """See `Store.create`."""
        with self._lock:
            if run.key is not None and (existing := self.by_key(run.project, run.key)):
                return existing
            if run.id in self._rows:
                return self.get(run.id)
            self._rows[run.id] = RunRow(
                run.id,
                run.task,
                run.created,
                run.key,
                run.project,
                None,
                run.epoch,
                "",
                held=False,
                imported=run.epoch > 0,
            )
            self._leases[run.id] = _Lease()
            self._records[run.id] = []
            self._blobs_of[run.id] = Counter()
            self._logs[run.id] = []
            return self.get(run.id)

    def get(self, run: str) -> RunRow:
        """See `Store.get`."""
        with self._lock:
            row = self._rows.get(run)
            if row is None:
                raise UnknownRun(run, f"there is no run {run} in {self.place}")
            lease = self._leases[run]
            held = row.outcome is None and lease.until > self._clock()
            open_ = self._tables.asks.listed(run=run)[:1] if self._tables.in_use else []
            waits_for = open_[0].question.text if open_ else None
            return msgspec.structs.replace(
                row, holder=lease.holder, held=held, waits_for=waits_for, waits_for_signal=self._awaited_signal(run)
            )

    def by_key(self, project: str, key: str) -> RunRow | None:
        """See `Store.by_key`."""
        with self._lock:
            for row in self._rows.values():
                if row.project == project and row.key == key:
                    return self.get(row.id)
            return None

    def runs(
        self, *, limit: int | None = None, project: str | None = None, damaged: list[DamagedRow] | None = None
    ) -> list[RunRow]:
        """See `Store.runs`; no row is ever damaged here."""
        del damaged
        with self._lock:
            rows = [row for row in self._rows.values() if project is None or row.project == project]
            newest = sorted(rows, key=lambda row: (row.created, row.id), reverse=True)
            return [self.get(row.id) for row in newest[:limit]]

    def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[StoredRecord]:
        """See `Store.read`."""
        with self._lock:
            found = [record for record in self._records.get(run, ()) if record.seq > after]
            return found[:limit]

    def claim(self, run: str, holder: str, *, seconds: float = LEASE_SECONDS) -> int:
        """See `Store.claim`."""
        with self._lock:
            row = self.get(run)
            lease = self._leases[run]
            if lease.until > self._clock():
                raise RunHeld(run, lease.holder)
            self._rows[run] = msgspec.structs.replace(self._rows[run], epoch=row.epoch + 1, cancel_requested_by=None)
            self._leases[run] = _Lease(holder, self._clock() + seconds)
            if self._tables.in_use:
                self._tables.signals.expect_nothing(run)
            return row.epoch + 1

    def renew(self, holder: str, *, seconds: float = LEASE_SECONDS) -> dict[str, str | None]:
        """See `Store.renew`."""
        with self._lock:
            held: dict[str, str | None] = {}
            for run, lease in self._leases.items():
                if lease.holder == holder and lease.until:
                    lease.until = self._clock() + seconds
                    held[run] = self._rows[run].cancel_requested_by
            return held

    def release(self, run: str, epoch: int) -> None:
        """See `Store.release`."""
        with self._lock:
            if run in self._rows and self._rows[run].epoch == epoch:
                self._leases[run].until = 0.0

    def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        """See `Store.append`."""
        with self._lock:
            fenced: set[str] = set()
            accepted: list[Entry] = []
            ends: dict[str, int] = {}
            for entry in entries:
                run = entry.run
                if run not in self._rows or self._rows[run].epoch != entry.epoch:
                    fenced.add(run)
                    continue
                records = self._records[run]
                end = ends.get(run) or (records[-1].seq if records else 0)
                if entry.record.seq != end + 1:
                    raise StoreUnavailable(
                        f"{self.place}: record {entry.record.seq} of run {run} does not follow {end}"
                    )
                ends[run] = entry.record.seq
                accepted.append(entry)
            for entry in accepted:
                run = entry.run
                row = self._rows[run]
                self._records[run].append(entry.record)
                self._blobs_of[run].update(set(entry.blobs))
                if entry.outcome is not None:
                    self._rows[run] = msgspec.structs.replace(
                        row, outcome=entry.outcome, ended=entry.time, paused_by=None, paused_at=None
                    )
                    self._leases[run].until = 0.0
                elif entry.reopens:
                    self._rows[run] = msgspec.structs.replace(
                        row, outcome=None, ended=None, paused_by=None, paused_at=None
                    )
            return frozenset(fenced)

    def request_cancel(self, run: str, actor: str, *, grace: float = GRACE_SECONDS) -> None:
        """See `Store.request_cancel`."""
        with self._lock:
            self.get(run)
            self._rows[run] = msgspec.structs.replace(self._rows[run], cancel_requested_by=actor)
            self._graces[run] = grace

    def request_pause(self, run: str, actor: str, *, grace: float = GRACE_SECONDS) -> None:
        """See `Store.request_pause`."""
        with self._lock:
            row = self.get(run)
            if row.paused_by is None:
                now = self._clock()
                self._rows[run] = msgspec.structs.replace(self._rows[run], paused_by=actor, paused_at=now)
            if row.cancel_requested_by is None:
                self._graces[run] = grace

    def lift_pause(self, run: str) -> None:
        """See `Store.lift_pause`."""
        with self._lock:
            if run in self._rows:
                self._rows[run] = msgspec.structs.replace(self._rows[run], paused_by=None, paused_at=None)

    def orders(self, holder: str) -> dict[str, Order]:
        """See `Store.orders`."""
        with self._lock:
            found: dict[str, Order] = {}
            for run, lease in self._leases.items():
                row = self._rows[run]
                if lease.holder == holder and lease.until:
                    grace = self._graces.get(run, GRACE_SECONDS)
                    if row.cancel_requested_by is not None:
                        found[run] = Order("cancel", row.cancel_requested_by, grace)
                    elif row.paused_by is not None:
                        found[run] = Order("pause", row.paused_by, grace)
            return found

    def stop(self, project: str, actor: str, reason: str = "") -> None:
        """See `Store.stop`."""
        with self._lock:
            self._stops.setdefault(project, Stop(project, actor, self._clock(), reason))

    def lift_stop(self, project: str) -> bool:
        """See `Store.lift_stop`."""
        with self._lock:
            return self._stops.pop(project, None) is not None

    def stops(self) -> list[Stop]:
        """See `Store.stops`."""
        with self._lock:
            return sorted(self._stops.values(), key=lambda one: one.project)

    def write_logs(self, run: str, lines: Sequence[LogLine]) -> None:
        """See `Store.write_logs`."""
        with self._lock:
            if run in self._logs:
                self._logs[run].extend(lines)

    def read_logs(self, run: str, *, after: int = 0) -> list[tuple[int, LogLine]]:
        """See `Store.read_logs`."""
        with self._lock:
            return list(enumerate(self._logs.get(run, [])[after:], start=after + 1))

    def delete(self, run: str) -> None:
        """See `Store.delete`."""
        with self._lock:
            for table in (self._rows, self._leases, self._records, self._blobs_of, self._logs):
                table.pop(run, None)
        if self._tables.in_use:
            self.asks.forget(run)
            self.signals.forget(run)
            self.cache.forget_run(run, now=self._clock())

    def referenced_blobs(self, run: str | None = None) -> frozenset[str]:
        """See `Store.referenced_blobs`."""
        with self._lock:
            if run is not None:
                return frozenset(self._blobs_of.get(run, ()))
            return frozenset().union(*self._blobs_of.values())

    def release_blobs(self, run: str, digests: Sequence[str]) -> None:
        """See `Store.release_blobs`."""
        with self._lock:
            uses = self._blobs_of.get(run, Counter())
            for digest in set(digests):
                uses[digest] -= 1
                if uses[digest] <= 0:
                    del uses[digest]

    def remember_size(self, seen: SizeSeen, project: str = "default") -> None:
        """See `Store.remember_size`."""
        with self._lock:
            self._sizes.setdefault((project, seen.task, seen.input_class), deque(maxlen=SIZES_KEPT)).appendleft(seen)

    def sizes(self, task: str, input_class: int, project: str = "default") -> list[SizeSeen]:
        """See `Store.sizes`."""
        with self._lock:
            return list(self._sizes.get((project, task, input_class), ()))

    def check(self) -> list[str]:
        """See `Store.check`; memory has nothing below its records but the agents' memories."""
        return self.memories.check() if self._tables.in_use else []

    def close(self) -> None:
        """See `Store.close`."""

    def _awaited_signal(self, run: str) -> str | None:
        """Give the name of a signal that a run waits for, and that has not come."""
        if not self._tables.in_use:
            return None
        come = {one.name for one in self._tables.signals.waiting(run)}
        return next((name for name in self._tables.signals.expected(run) if name not in come), None)

    def _lease_in_force(self, run: str) -> int | None:
        with self._lock:
            row = self.get(run) if run in self._rows else None
            return row.epoch if row is not None and row.held else None

    def forget_leases(self) -> None:
        """Do what the death of every driver would do: nobody holds anything any more."""
        with self._lock:
            for lease in self._leases.values():
                lease.until = 0.0
