"""The shared cache in a SQLite database, on disk or in memory; its statements are in sqlite_cache.sql."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import msgspec

from regrow.journal.cache import RETAINED_SECONDS, Artifact, ArtifactRow, Circular, Finding, Found, Granted, InFlight
from regrow.journal.database import Database, statements

_ROW = ArtifactRow.__struct_fields__
_SQL = statements(Path(__file__).with_name("sqlite_cache.sql"))
CACHE_FORMAT_3 = _SQL["format_3"]
_HITS_TOGETHER = 64
"""So many hits are counted in one write: a hit itself is only read, and must not wait for the disk on account of it."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Artifact)


class _Flight(msgspec.Struct, frozen=True):
    number: int
    run: str
    epoch: int
    path: str


class SqliteCache:
    """See `SharedCache`.

    Flights know nothing of processes: `lease_of` says which lease a run is under, and that a process behind one is gone
    is the store's to find out.
    """

    def __init__(self, database: Database, lease_of: Callable[[str], int | None]) -> None:
        """Keep artifacts in a database.

        Args:
            database: where.
            lease_of: gives the epoch of the lease that a run is under, or None.
        """
        self._db = database
        self._lease_of = lease_of
        self._lock = threading.Lock()
        self._hits: dict[str, tuple[int, float]] = {}

    def look_up(
        self, key: str, *, run: str, path: str, now: float, max_age: float | None = None, failures: bool = False
    ) -> Finding:
        """See `SharedCache.look_up`. A hit is one read; only a miss writes."""
        since = None if max_age is None else now - max_age
        with self._db.reading() as db:
            artifact = _fresh(db, key, since, failures=failures)
            flight = None if artifact is not None else _flight(db, key)
        if artifact is not None:
            self._count(key, now)
            return Found(artifact)
        if flight is not None and self._is_under_way(flight, run, path):
            return Circular() if self._is_circular(key, run, path) else InFlight(flight.run, flight.path)
        epoch = self._lease_of(run) or 0
        with self._db.writing() as db:
            # What was read may have changed until now, when nobody else can write.
            artifact = _fresh(db, key, since, failures=failures)
            if artifact is not None:
                return Found(artifact)
            other = _flight(db, key)
            if other is not None and other != flight:
                return InFlight(other.run, other.path)
            damaged = _sound(db, key) is None and bool(db.execute(_SQL["artifact"], (key,)).fetchall())
            if damaged:
                db.execute(_SQL["let_go"], (key, now + RETAINED_SECONDS))
                db.execute(_SQL["drop"], (key,))
            _end(db, db.execute(_SQL["end_key"], (key,)))
            begun: list[tuple[Any, ...]] = db.execute(_SQL["begin"], (key, run, epoch, path)).fetchall()
            return Granted(int(begun[0][0]), damaged)

    def put(self, artifact: Artifact, flight: int, *, run: str, project: str, bound: bool = False) -> None:
        """See `SharedCache.put`."""
        origin = artifact.origin
        body = _encoder.encode(artifact)
        row = {
            "key": artifact.key,
            "project": project,
            "ref": artifact.ref,
            "run": run,
            "path": origin.path,
            "computed": origin.time,
            "seconds": origin.seconds,
            "cost": origin.cost,
            "failed": artifact.error is not None,
            "bound": run if bound else None,
            "hash": hashlib.sha256(body).digest(),
            "body": body,
        }
        with self._db.writing() as db:
            db.execute(_SQL["let_go"], (artifact.key, origin.time + RETAINED_SECONDS))
            db.execute(_SQL["put"], row)
            db.executemany(_SQL["hold"], [(artifact.key, digest) for digest in set(artifact.blobs)])
            _end(db, db.execute(_SQL["end_number"], (flight,)))

    def land(self, flight: int) -> None:
        """See `SharedCache.land`."""
        with self._db.writing() as db:
            _end(db, db.execute(_SQL["end_number"], (flight,)))

    def leave(self, run: str, path: str) -> None:
        """See `SharedCache.leave`."""
        with self._db.writing() as db:
            _end(db, db.execute(_SQL["end_inside"], (run, path)))

    def discard(self, keys: tuple[str, ...], *, now: float) -> None:
        """See `SharedCache.discard`."""
        with self._db.writing() as db:
            db.executemany(_SQL["let_go"], [(key, now + RETAINED_SECONDS) for key in keys])
            db.executemany(_SQL["drop"], [(key,) for key in keys])
            db.execute(_SQL["drop_blobs"], (now,))

    def forget_run(self, run: str, *, now: float) -> None:
        """See `SharedCache.forget_run`."""
        with self._db.reading() as db:
            keys = tuple(str(key) for (key,) in db.execute(_SQL["bound_to"], (run,)))
        if keys:
            self.discard(keys, now=now)

    def rows(self) -> list[ArtifactRow]:
        """See `SharedCache.rows`."""
        self.settle()
        with self._db.reading() as db:
            found = db.execute(_SQL["rows"]).fetchall()
        plain = [(*row[:-1], str(row[-1]).split(",") if row[-1] else []) for row in found]
        return self._db.checked(plain, _ROW, ArtifactRow, "the list of artifacts is")

    def artifact(self, key: str) -> Artifact | None:
        """See `SharedCache.artifact`."""
        with self._db.reading() as db:
            return _sound(db, key)

    def blobs(self, *, now: float) -> frozenset[str]:
        """See `SharedCache.blobs`."""
        with self._db.reading() as db:
            return frozenset(str(digest) for (digest,) in db.execute(_SQL["blobs"], (now,)))

    def settle(self) -> None:
        """See `SharedCache.settle`."""
        with self._lock:
            hits, self._hits = self._hits, {}
        if hits:
            with self._db.writing() as db:
                db.executemany(_SQL["used"], [(key, count, used) for key, (count, used) in hits.items()])

    def _count(self, key: str, now: float) -> None:
        with self._lock:
            count, used = self._hits.get(key, (0, now))
            self._hits[key] = (count + 1, max(used, now))
            many = sum(count for count, _ in self._hits.values()) >= _HITS_TOGETHER
        if many:
            self.settle()

    def _is_under_way(self, flight: _Flight, run: str, path: str) -> bool:
        """Tell whether somebody else computes; what the asking call itself had begun in an earlier life is over."""
        return (flight.run, flight.path) != (run, path) and self._lease_of(flight.run) == flight.epoch

    def _is_circular(self, key: str, run: str, path: str) -> bool:
        """Tell whether waiting for a flight would be waiting for oneself; note the wait if not.

        A call waits for what is inside it, and only a call that computes is waited for by others. So the calls around
        this one that compute are all that can close a circle, and most calls have none.
        """
        with self._db.reading() as db:
            around = [str(one) for (one,) in db.execute(_SQL["around"], (run, path))]
        if not around:
            return False
        with self._db.writing() as db:
            # One after the other, each in one transaction: of those that would close a circle, the last one sees it.
            if any(db.execute(_SQL["awaits"], (key, one)).fetchall() for one in around):
                return True
            if db.execute(_SQL["flight"], (key,)).fetchall():
                db.executemany(_SQL["wait"], [(one, key) for one in around])
        return False


def _sound(db: apsw.Connection, key: str) -> Artifact | None:
    """Give an artifact; one whose bytes are not what was written is none."""
    found: list[tuple[Any, ...]] = db.execute(_SQL["artifact"], (key,)).fetchall()
    for body, hash_ in found:
        if hashlib.sha256(body).digest() == hash_:
            try:
                artifact = _decoder.decode(body)
            except msgspec.DecodeError:  # a newer regrow's
                return None
            return artifact if artifact.key == key else None
    return None


def _fresh(db: apsw.Connection, key: str, since: float | None, *, failures: bool) -> Artifact | None:
    artifact = _sound(db, key)
    if artifact is None or (artifact.error is not None and not failures):
        return None
    return artifact if since is None or artifact.origin.time >= since else None


def _flight(db: apsw.Connection, key: str) -> _Flight | None:
    found: list[tuple[Any, ...]] = db.execute(_SQL["flight"], (key,)).fetchall()
    for number, run, epoch, path in found:
        return _Flight(number, run, epoch, path)
    return None


def _end(db: apsw.Connection, ended: apsw.Cursor) -> None:
    """Forget who had waited for flights that have ended, and for whom they had waited."""
    for (key,) in ended.fetchall():
        db.execute(_SQL["forget_waits"], (key,))
