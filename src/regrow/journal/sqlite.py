"""The default store: one SQLite database and a folder of blobs, in `.regrow/`. No server."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from regrow.errors import Corrupted, RunHeld, StoreUnavailable, UnknownRun
from regrow.journal.blobs import BlobStore, FileBlobs
from regrow.journal.chain import StoredRecord
from regrow.journal.database import Database, statements
from regrow.journal.formats import FORMATS
from regrow.journal.orders import GRACE_SECONDS, Order, Stop
from regrow.journal.presence import Presence
from regrow.journal.sqlite_asks import SqliteAsks
from regrow.journal.sqlite_cache import SqliteCache
from regrow.journal.sqlite_memories import SqliteMemories
from regrow.journal.sqlite_rows import read_rows
from regrow.journal.sqlite_signals import EXPECT_NOTHING, SqliteSignals
from regrow.journal.store import LEASE_SECONDS, SIZES_KEPT, DamagedRow, Entry, LogLine, NewRun, RunRow, SizeSeen

_SIZE = SizeSeen.__struct_fields__
_SQL = statements(Path(__file__).with_name("sqlite.sql"))
_APPEND, _APPEND_MANY, _END_OF = _SQL["append"], _SQL["append_many"], _SQL["end_of"]
_decode_line = msgspec.msgpack.Decoder(LogLine).decode
FORMAT = len(FORMATS)
"""The store format that this regrow writes."""
_NO_EPOCH = 1 << 62
"""There is no such lease: each adds one. Beyond 63 bits SQLite goes on in floating point, which nobody could read."""


class SqliteStore:
    """Runs in ``<home>/journal.db``, their blobs in ``<home>/blobs/``, their drivers' locks in ``<home>/drivers/``."""

    def __init__(self, home: Path | str, *, create: bool = True) -> None:
        """Open a store, and make it if need be (readable by its owner alone). An older one is brought to this format.

        Raises:
            StoreUnavailable: the place cannot be made, read or written, or (with ``create=False``) is not there.
            UnreadableFormat: a newer version made it.
            Corrupted: the file there is no sound database.
        """
        self.home = Path(home)
        self.place = str(home)
        self.blobs: BlobStore = FileBlobs(self.home / "blobs")
        self.presence = Presence(self.home / "drivers")
        self._file = self.home / "journal.db"
        if not create and not self._file.exists():
            raise StoreUnavailable(f"there is no store at {self.home}; a first run makes one")
        self._prepare_home()
        self._db = Database(self._file, FORMATS, place=self.place)
        self.asks = SqliteAsks(self._db)
        self.signals = SqliteSignals(self._db)
        self.cache = SqliteCache(self._db, self._lease_in_force)
        self.memories = SqliteMemories(self._db)
        self._writer, self._reader = self._db.writer, self._db.reader
        self._append_cursor = self._writer.cursor()

    def register(self) -> str:
        """See `Store.register`."""
        with self._db.said_clearly():
            return self.presence.register()

    def unregister(self, holder: str) -> None:
        """See `Store.unregister`."""
        with self._db.said_clearly():
            self.presence.unregister(holder)

    def create(self, run: NewRun) -> RunRow:
        """See `Store.create`."""
        with self._db.writing() as db:
            db.execute(_SQL["create"], msgspec.structs.asdict(run))
            fresh = bool(db.changes())
            if fresh and run.epoch:
                db.execute(_SQL["note_import"], (run.id,))
        existing = None if fresh or run.key is None else self.by_key(run.project, run.key)
        if existing is not None:
            return existing
        try:
            return self.get(run.id)
        except UnknownRun:  # that of the key was deleted between the two statements; the key is free again
            return self.create(run)

    def get(self, run: str) -> RunRow:
        """See `Store.get`."""
        found = self._rows("WHERE r.id = ?", (run,))
        if not found:
            raise UnknownRun(run, f"there is no run {run} in {self.place}")
        return found[0]

    def by_key(self, project: str, key: str) -> RunRow | None:
        """See `Store.by_key`."""
        found = self._rows("WHERE r.project = ? AND r.key = ?", (project, key))
        return found[0] if found else None

    def runs(
        self, *, limit: int | None = None, project: str | None = None, damaged: list[DamagedRow] | None = None
    ) -> list[RunRow]:
        """See `Store.runs`."""
        clause = "WHERE ?1 IS NULL OR r.project = ?1 ORDER BY r.created DESC, r.id DESC LIMIT ?2"
        return self._rows(clause, (project, -1 if limit is None else limit), damaged)

    def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[StoredRecord]:
        """See `Store.read`."""
        with self._db.reading() as db:
            bindings = (run, after, -1 if limit is None else limit)
            return [StoredRecord(*row) for row in db.execute(_SQL["read"], bindings)]

    def claim(self, run: str, holder: str, *, seconds: float = LEASE_SECONDS) -> int:
        """See `Store.claim`. The lease of a process that is certainly dead does not count."""
        with self._db.writing() as db:
            number, epoch, last_holder, live = self._lease_of(db, run)
            if live and not self.presence.is_dead(str(last_holder)):
                raise RunHeld(run, str(last_holder))
            if type(epoch) is not int or not 0 <= epoch < _NO_EPOCH:
                raise Corrupted(f"run {run}: the list of runs is damaged: no lease can have had epoch {epoch!r}")
            db.execute(_SQL["claim"], (number,))
            db.execute(EXPECT_NOTHING, (run,))
            db.execute(_SQL["take"], (number, holder, seconds))
            return epoch + 1

    def renew(self, holder: str, *, seconds: float = LEASE_SECONDS) -> dict[str, str | None]:
        """See `Store.renew`."""
        with self._db.writing() as db:
            db.execute(_SQL["renew"], (seconds, holder))
            held: list[tuple[Any, ...]] = db.execute(_SQL["held"], (holder,)).fetchall()
        return {run: asked for run, asked in held}  # noqa: C416 - `dict` of rows of unknown length is not typed

    def release(self, run: str, epoch: int) -> None:
        """See `Store.release`."""
        with self._db.writing() as db:
            db.execute(_SQL["release"], (run, epoch))

    def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        """See `Store.append`. One plain record is one statement, and that a transaction of its own."""
        self._db.ensure_writable()
        with self._db.write_lock:
            try:
                if len(entries) == 1 and not (entries[0].blobs or entries[0].outcome or entries[0].reopens):
                    run, record = entries[0].run, entries[0].record
                    self._append_cursor.execute(_APPEND, (run, record.seq, record.hash, record.body, entries[0].epoch))
                    if self._writer.changes():
                        return frozenset()
                    end = self._end_of((run, entries[0].epoch))
                    if end is not None:
                        raise self._gap(run, record.seq, end[1])
                    return frozenset((run,))
                return self._append_many(entries)
            except apsw.Error as problem:
                raise self._db.explain(problem) from problem

    def request_cancel(self, run: str, actor: str, *, grace: float = GRACE_SECONDS) -> None:
        """See `Store.request_cancel`."""
        self._mark("cancel", run, (actor, grace, run))

    def request_pause(self, run: str, actor: str, *, grace: float = GRACE_SECONDS) -> None:
        """See `Store.request_pause`."""
        self._mark("pause", run, (actor, grace, run))

    def lift_pause(self, run: str) -> None:
        """See `Store.lift_pause`."""
        with self._db.writing() as db:
            db.execute(_SQL["lift_pause"], (run,))

    def orders(self, holder: str) -> dict[str, Order]:
        """See `Store.orders`."""
        with self._db.reading() as db:
            found: list[tuple[Any, ...]] = db.execute(_SQL["orders"], (holder,)).fetchall()
        return {run: Order(what, actor, GRACE_SECONDS if grace is None else grace) for run, what, actor, grace in found}

    def stop(self, project: str, actor: str, reason: str = "") -> None:
        """See `Store.stop`."""
        with self._db.writing() as db:
            db.execute(_SQL["stop"], (project, actor, reason))

    def lift_stop(self, project: str) -> bool:
        """See `Store.lift_stop`."""
        with self._db.writing() as db:
            db.execute("DELETE FROM stops WHERE project = ?", (project,))
            return bool(db.changes())

    def stops(self) -> list[Stop]:
        """See `Store.stops`."""
        with self._db.reading() as db:
            found = db.execute("SELECT project, actor, time, reason FROM stops ORDER BY project").fetchall()
        return self._db.checked(found, Stop.__struct_fields__, Stop, "the stops are")

    def write_logs(self, run: str, lines: Sequence[LogLine]) -> None:
        """See `Store.write_logs`."""
        with self._db.writing() as db:
            db.executemany(_SQL["log"], [(run, msgspec.msgpack.encode(line)) for line in lines])

    def read_logs(self, run: str, *, after: int = 0) -> list[tuple[int, LogLine]]:
        """See `Store.read_logs`."""
        with self._db.reading() as db:
            found: list[tuple[Any, ...]] = db.execute(_SQL["read_logs"], (run, after)).fetchall()
        lines = []
        for number, body in found:
            try:
                lines.append((int(number), _decode_line(body)))
            except (msgspec.DecodeError, ValueError) as problem:  # also of text that is none
                raise Corrupted(f"run {run}: its log is damaged at line {number} ({problem})") from None
        return lines

    def delete(self, run: str) -> None:
        """See `Store.delete`."""
        with self._db.writing() as db:
            for (number,) in db.execute("SELECT number FROM runs WHERE id = ?", (run,)).fetchall():
                for table in ("records", "blobs", "logs", "leases", "runs"):
                    db.execute(f"DELETE FROM {table} WHERE number = ?", (number,))  # noqa: S608 - names from above
            db.execute(_SQL["forget_import"], (run,))
        self.asks.forget(run)
        self.signals.forget(run)
        self.cache.forget_run(run, now=time.time())

    def referenced_blobs(self, run: str | None = None) -> frozenset[str]:
        """See `Store.referenced_blobs`."""
        with self._db.reading() as db:
            return frozenset(str(digest) for (digest,) in db.execute(_SQL["blobs_of"], (run,)))

    def release_blobs(self, run: str, digests: Sequence[str]) -> None:
        """See `Store.release_blobs`."""
        with self._db.writing() as db:
            db.executemany(_SQL["unrefer"], [(run, digest) for digest in set(digests)])
            db.execute(_SQL["forget_unused"], (run,))

    def remember_size(self, seen: SizeSeen, project: str = "default") -> None:
        """See `Store.remember_size`."""
        with self._db.writing() as db:
            db.execute(_SQL["remember_size"], msgspec.structs.asdict(seen) | {"project": project})
            db.execute(_SQL["forget_sizes"], (project, seen.task, seen.input_class, SIZES_KEPT))

    def sizes(self, task: str, input_class: int, project: str = "default") -> list[SizeSeen]:
        """See `Store.sizes`."""
        with self._db.reading() as db:
            found = db.execute(_SQL["sizes"], (project, task, input_class)).fetchall()
        return self._db.checked(found, _SIZE, SizeSeen, "the sizes of tasks are")

    def check(self) -> list[str]:
        """See `Store.check`."""
        return self._db.check() + self.memories.check()

    def close(self) -> None:
        """See `Store.close`."""
        self._append_cursor.close()
        self._db.close()

    # -- how it is done ------------------------------------------------------------------------------------------------

    def _prepare_home(self) -> None:
        try:
            new = not self.home.exists()
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            if new:
                # A journal holds prompts and answers: it must not slip into a repository by accident.
                (self.home / ".gitignore").write_text("*\n", "utf-8")
        except OSError as problem:
            raise StoreUnavailable(f"cannot use a store at {self.place}: {problem.strerror or problem}") from problem

    def _rows(self, clause: str, bindings: tuple[object, ...], damaged: list[DamagedRow] | None = None) -> list[RunRow]:
        with self._db.reading() as db:
            found = read_rows(db, _SQL["rows"], _SQL["ids"], clause, bindings)
        rows = []
        for row in found:
            if isinstance(row, DamagedRow):
                if damaged is None:
                    raise Corrupted(row.text)
                damaged.append(row)
            else:
                dead = row.held and self.presence.is_dead(row.holder)
                rows.append(msgspec.structs.replace(row, held=False) if dead else row)
        return rows

    def _lease_in_force(self, run: str) -> int | None:
        """Give the epoch of the lease that a run is under, if it is under one."""
        found = self._rows("WHERE r.id = ?", (run,))
        return found[0].epoch if found and found[0].held else None

    def _mark(self, how: str, run: str, bindings: tuple[object, ...]) -> None:
        with self._db.writing() as db:
            db.execute(_SQL[how], bindings)
            if not db.changes():
                raise UnknownRun(run, f"there is no run {run} in {self.place}")

    def _lease_of(self, db: apsw.Connection, run: str) -> tuple[Any, ...]:
        found = db.execute(_SQL["lease"], (run,)).fetchone()
        if found is None:
            raise UnknownRun(run, f"there is no run {run} in {self.place}")
        return tuple(found)

    def _end_of(self, lease: tuple[str, int]) -> tuple[int, int] | None:
        """Give a run's number and the place of its last record; None if the epoch is not its own any more."""
        found = self._append_cursor.execute(_END_OF, lease).fetchone()
        return None if found is None else (int(found[0]), int(found[1]))

    def _gap(self, run: str, seq: int, last: int) -> StoreUnavailable:
        return StoreUnavailable(f"{self.place}: record {seq} of run {run} does not follow its last one, {last}")

    def _append_many(self, entries: Sequence[Entry]) -> frozenset[str]:
        db, cursor = self._writer, self._append_cursor
        fenced: set[str] = set()
        # By epoch too: what an old lease of this very process left behind may be in one batch with the new one's.
        ends: dict[tuple[str, int], tuple[int, int] | None] = {}
        rows = []
        db.execute("BEGIN IMMEDIATE")
        try:
            for entry in entries:
                lease = (entry.run, entry.epoch)
                if lease not in ends:
                    ends[lease] = self._end_of(lease)
                end = ends[lease]
                if end is None:
                    fenced.add(entry.run)
                    continue
                number, last = end
                record = entry.record
                if record.seq != last + 1:
                    raise self._gap(entry.run, record.seq, last)
                ends[lease] = (number, record.seq)
                rows.append((number, record.seq, record.hash, record.body))
                if entry.blobs:
                    db.executemany(_SQL["refer"], [(number, digest) for digest in set(entry.blobs)])
                if entry.outcome is not None or entry.reopens:
                    ended = entry.time if entry.outcome is not None else None
                    db.execute(_SQL["end"], (entry.outcome, ended, number))
                    if entry.outcome is not None:
                        db.execute(_SQL["let_go"], (number,))
            cursor.executemany(_APPEND_MANY, rows)
            db.execute("COMMIT")
        except BaseException:
            if not db.get_autocommit():
                db.execute("ROLLBACK")
            raise
        return frozenset(fenced)
