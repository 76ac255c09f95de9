"""The stores that the conformance suite is run against, and a hand for writing journals without a driver.

To add a store: write a class with the attributes and methods of `MemoryPlace`, and list it in `PLACES`.
"""

from __future__ import annotations

import os
import time

import pytest

from regrow.codec import encode
from regrow.journal.blobs import FileBlobs
from regrow.journal.chain import seal
from regrow.journal.memory import MemoryStore
from regrow.journal.records import Call, CallSucceeded, Record, RunCreated, RunEnded
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import Entry, NewRun


class MemoryPlace:
    """The memory store, with a clock that moves when told to."""

    name = "memory"
    lease = 60.0

    def __init__(self, folder):
        self._now = 1_700_000_000.0
        self._store = MemoryStore(lambda: self._now)

    def open(self):
        """Give a store as another process would: a new connection to the same runs."""
        return self._store

    def let_leases_run_out(self, store, run):
        self._now += 2 * self.lease

    def damage_blob(self, store, digest):
        content = bytearray(store.blobs._content[digest])
        content[len(content) // 2] ^= 1
        store.blobs._content[digest] = bytes(content)

    def close(self):
        self._store.close()


class SqlitePlace:
    """The SQLite store, whose clock is the machine's: leases are short, and waited for."""

    name = "sqlite"
    lease = 0.2

    def __init__(self, folder):
        self._home = folder / "store"
        self._open = []

    def open(self):
        store = SqliteStore(self._home)
        self._open.append(store)
        return store

    def let_leases_run_out(self, store, run):
        wait_until(lambda: not store.get(run).held)

    def damage_blob(self, store, digest):
        path = store.blobs.path_of(digest)
        flip_bit(path, path.stat().st_size // 2 * 8)

    def close(self):
        for store in self._open:
            store.close()


PLACES = (MemoryPlace, SqlitePlace)


def wait_until(condition, seconds=30.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come to be in time"
        time.sleep(0.005)


def flip_bit(path, bit):
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


class Journal:
    """Writes the records of one run, as its driver would."""

    def __init__(self, store, run="run-1", key=None, project="default", created=1.0):
        self.store = store
        self.row = store.create(NewRun(run, "module:task", created, key, project))
        self.run = self.row.id
        self.seq = 0
        self.previous = b""
        self.epoch = 0
        self.holder = ""

    def claim(self, store=None, seconds=60.0):
        store = store or self.store
        self.holder = store.register()
        self.epoch = store.claim(self.run, self.holder, seconds=seconds)
        return self

    def entry(self, event=None, *, epoch=None, **more):
        """Seal the next record of the chain, without handing it in."""
        if event is None:
            event = self._result() if self.seq else self._first()
        self.seq += 1
        record = Record(self.seq, 1000.0 + self.seq, "driver", self.epoch, self.previous, event)
        stored = seal(record)
        self.previous = stored.hash
        return Entry(self.run, self.epoch if epoch is None else epoch, stored, time=record.time, **more)

    def entries(self, count):
        return [self.entry() for _ in range(count)]

    def append(self, count=1):
        assert self.store.append(self.entries(count)) == frozenset()
        return self

    def end(self, outcome="succeeded"):
        assert self.store.append([self.entry(RunEnded(outcome), outcome=outcome)]) == frozenset()
        return self

    def _first(self):
        return RunCreated(self.run, "module:task", "", encode(None), b"")

    def _result(self):
        path = f"task#1/step#{self.seq}"
        call = Call(path, "step", self.seq, b"digest")
        return CallSucceeded(call, 1, 1000.0, encode(f"result {self.seq} of {self.run}"))


@pytest.fixture(params=PLACES, ids=lambda place: place.name)
def place(request, tmp_path):
    made = request.param(tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(place):
    return place.open()


@pytest.fixture
def sqlite(tmp_path):
    """A place for SQLite alone."""
    made = SqlitePlace(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["memory", "files"])
def blobs(request, tmp_path):
    return FileBlobs(tmp_path / "blobs") if request.param == "files" else MemoryStore().blobs


@pytest.fixture
def journal():
    return Journal


@pytest.fixture
def eventually():
    return wait_until


@pytest.fixture
def flip():
    return flip_bit


@pytest.fixture
def seed():
    """A seed for this test, which is printed when it fails."""
    given = os.environ.get("REGROW_SEED")
    return int(given) if given else int.from_bytes(os.urandom(4), "big")
