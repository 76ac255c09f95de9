"""Runs in a store that is going to be damaged, and what a user meets there afterwards. A program of its own::

    python damaged_store.py make FOLDER     writes eight runs, four of them unfinished, and what is true of them
    python damaged_store.py judge FOLDER    reads the path of a damaged copy from each line, and gives a `Verdict`

A process apart, because damage may end or stop the one that meets it, and because runs know their tasks by file.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil
import struct
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec

import regrow
from regrow.authoring import home
from regrow.codec import encode
from regrow.engine.invariants import check_run
from regrow.engine.state import fold
from regrow.errors import RegrowError, UnknownRun
from regrow.insight.runs import find_run
from regrow.insight.tree import tree_of
from regrow.insight.why import explain
from regrow.journal import chain
from regrow.journal.blobs import FileBlobs
from regrow.journal.chain import StoredRecord, unseal_all
from regrow.journal.records import BlobRef, CallSucceeded, CheckpointSaved, ChunkYielded, Record, RunCreated
from regrow.journal.sqlite import SqliteStore
from regrow.journal.store import LogLine

TABLES = ("meta", "runs", "leases", "records", "blobs", "logs")

# -- the runs ----------------------------------------------------------------------------------------------------------

executed: list[str] = []
_standing: dict[str, asyncio.Event] = {}
"""Where this life of a run is to end: it stands still there, and the store is copied under it."""


class Unfit(Exception):
    pass


@regrow.step
async def think(about: str) -> str:
    executed.append(about)
    return f"thoughts about {about}"


@regrow.step
async def fetch(about: str) -> bytes:
    executed.append(about)
    return hashlib.sha256(about.encode()).digest() * 2200  # larger than a record may be: a blob


@regrow.task
async def train(label: str, rounds: int, stop: int | None) -> int:
    done = regrow.checkpoint().load(0)
    while done < rounds:
        if done == stop and label in _standing:
            _standing[label].set()
            await asyncio.Event().wait()
        await think(f"{label} round {done}")
        done += 1
        regrow.checkpoint().save(done)
    return done


@regrow.task
async def agent(label: str, steps: int, stop: int | None = None) -> dict[str, object]:
    found: dict[str, object] = {}
    regrow.now()
    for number in range(steps):
        if number == stop and label in _standing:
            _standing[label].set()
            await asyncio.Event().wait()
        found[f"thought {number}"] = await think(f"{label} {number}")
        found[f"data {number}"] = await fetch(f"{label} data {number}")
    found["rounds"] = await train(label, 3, None if stop is None else stop - steps)
    if label == "fails":
        raise Unfit(label)
    return found


FINISHED = {"one": ("one", 2), "two": ("two", 4), "three": ("three", 1), "fails": ("fails", 1)}
UNFINISHED = {"early": ("early", 3, 1), "late": ("late", 3, 3), "middle": ("middle", 5, 2), "saved": ("saved", 1, 2)}
"""By key: the arguments. The last one says where the run stands still."""


async def _write(store: SqliteStore) -> None:
    async def run_to_end(key: str) -> None:
        handle = await regrow.start(agent, *FINISHED[key], store=store, key=key)
        with contextlib.suppress(Unfit):
            await handle.result()

    for key in ("one", "two", "fails"):
        await run_to_end(key)
    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # what comes now is in the log alone
    _standing.update({key: asyncio.Event() for key in UNFINISHED})
    handles = []
    for key, arguments in UNFINISHED.items():
        handles.append(await regrow.start(agent, *arguments, store=store, key=key))
        await _standing[key].wait()
    await run_to_end("three")
    store.write_logs(handles[0].id, [LogLine(1.0, "agent#1", 1, "INFO", "a line")])
    shutil.copytree(store.home, store.home.with_name("template"), ignore=shutil.ignore_patterns("*-shm", ".gitignore"))
    _standing.clear()
    for handle in handles:
        await handle.cancel()


def make(folder: Path) -> None:
    """Write ``template``, and ``truth.json`` beside it: of each run, and each moment at which power may have gone."""
    store = SqliteStore(folder / "first")
    asyncio.run(_write(store))
    home.forget(home.host_of(store))
    store.close()
    copy = _copied(folder)
    pictures = {key: _picture(copy, key) for key in (*FINISHED, *UNFINISHED)}
    remaining = {}
    for key in pictures:
        executed.clear()
        pictures[key] += (_outcome(copy, key),)
        remaining[key] = list(executed)
    _leave(copy)
    runs = _ids(copy)
    truth = Truth(pictures, remaining, runs, list(_moments(folder)))
    (folder / "truth.json").write_bytes(msgspec.json.encode(truth))


class Truth(msgspec.Struct, frozen=True):
    """What is true of the undamaged store.

    Attributes:
        pictures: of each run by its key: the digests of its records, of all that they hold, of its row, and what
            `regrow.run` gives when it is asked for the run again.
        remaining: what an unfinished run has still to execute.
        runs: ids by key.
        moments: digests of all tables, as each commit that is only in the log has left them; the last is all of it.
    """

    pictures: dict[str, tuple[list[str], str, str, str]]
    remaining: dict[str, list[str]]
    runs: dict[str, str]
    moments: list[str]


def _copied(folder: Path) -> Path:
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / "template", copy)
    return copy


def _moments(folder: Path) -> Iterator[str]:
    wal = (folder / "template" / "journal.db-wal").read_bytes()
    frame = struct.unpack(">I", wal[8:12])[0] + 24
    ends = [at + frame for at in range(32, len(wal), frame) if wal[at + 4 : at + 8] != bytes(4)]
    for end in (0, *ends):
        copy = _copied(folder)
        (copy / "journal.db-wal").write_bytes(wal[:end])
        yield _dump(copy) or ""


def _dump(place: Path) -> str | None:
    """Give a digest of all that is in the tables; None if they cannot be read to their ends."""
    digest = hashlib.sha256()
    try:
        db = apsw.Connection(str(place / "journal.db"))
        try:
            for table in TABLES:
                for row in db.execute(f"SELECT * FROM {table} NOT INDEXED ORDER BY 1, 2"):
                    digest.update(repr(row).encode())
        finally:
            db.close()
    except (apsw.Error, UnicodeDecodeError):
        return None
    return digest.hexdigest()


def _ids(place: Path) -> dict[str, str]:
    store = SqliteStore(place)
    found = {row.key: row.id for row in store.runs() if row.key}
    store.close()
    return found


# -- what a user meets -------------------------------------------------------------------------------------------------


def _picture(place: Path, key: str) -> tuple[list[str], str, str]:
    store = SqliteStore(place)
    try:
        return _seen(store, key, find_run(store, key).id)
    finally:
        store.close()


def _seen(store: SqliteStore, key: str, run: str) -> tuple[list[str], str, str]:
    """Look at a run in every way that there is: `ls`, `show`, `why`, `logs`, and each value that it holds."""
    row = store.get(run)
    found = store.read(run)
    held = unseal_all(run, found)
    check_run(held)
    state = fold(held)
    tree_of(held)
    explain(row, held)
    digest = hashlib.sha256()
    referred, needed = store.referenced_blobs(run), set()
    vault = home.Host(store, None, None).vault  # type: ignore[arg-type]
    for record in held:
        event = record.event
        values = []
        if isinstance(event, RunCreated):
            values.append(event.inputs)
        elif isinstance(event, CallSucceeded | ChunkYielded):
            values.append(event.value)
        elif isinstance(event, CheckpointSaved) and event is getattr(state.calls.get(event.path), "checkpoint", None):
            values.append(event.value)  # an earlier one was dropped, with its blobs
        for value in values:
            digest.update(encode(vault.load(value)))
            if isinstance(value, BlobRef):
                needed.add(value.digest)
    facts = (row.id, row.task, row.key, row.project, row.created, row.outcome, row.ended)
    listed = repr((*facts, store.read_logs(run), sorted(needed - referred)))
    return [hashlib.sha256(one.body).hexdigest() for one in found], digest.hexdigest(), listed


def _outcome(place: Path, key: str) -> str:
    """Ask for a run by its key: finished, for what it gave; unfinished, to go on with it."""
    try:
        result = regrow.run(agent, *(FINISHED | UNFINISHED)[key], key=key, store=place)
    except Unfit as failure:
        given = repr(failure)
    else:
        given = hashlib.sha256(encode(result)).hexdigest()
    return given


def _leave(place: Path) -> None:
    """Close what asking for runs has opened, if it could be opened."""
    with contextlib.suppress(RegrowError):
        host = home.host_of(place)
        home.forget(host)
        host.store.close()


class Verdict(msgspec.Struct):
    """What became of a damaged store.

    Attributes:
        looks: of each run by its key, what a look at it gave: ``same``, ``refused`` (with a sentence that names it),
            ``shorter``, ``missing``, or ``listed otherwise`` (its records are the same, what is beside them is not).
        asked: of each run by its key, what asking for it gave: ``right``, ``refused``, or ``again`` (the right result,
            for which was executed what had been recorded).
        moment: whether what is in the tables is what a power cut could have left.
        whole: whether it is all there.
        doctor: whether SQLite's own check finds something.
        broken: what must never happen.
        said: a few of the sentences.
    """

    looks: dict[str, str] = {}
    asked: dict[str, str] = {}
    moment: bool = False
    whole: bool = False
    doctor: bool = False
    broken: list[str] = []
    said: list[str] = []


class _Judge:
    def __init__(self, place: Path, truth: Truth) -> None:
        self.place, self.truth = place, truth
        dump = _dump(place)
        self.verdict = Verdict(moment=dump in truth.moments, whole=dump == truth.moments[-1])

    def judge(self) -> Verdict:
        """Meet a damaged store as a user does."""
        verdict = self.verdict
        self._guarded("opening", self._look_at_all)
        for key in self.truth.runs:
            verdict.asked[key] = self._guarded(key, lambda key=key: self._ask(key))
        _leave(self.place)
        return verdict

    def _guarded(self, what: str, look: Callable[[], str]) -> str:
        try:
            return look()
        except UnknownRun:
            return "missing"
        except RegrowError as problem:
            said = str(problem)
            runs = [self.truth.runs[what]] if what in self.truth.runs else self.truth.runs.values()
            if not any(name in said for name in (*runs, "journal.db", "blob ")):
                self.verdict.broken.append(f"{what}: names neither run nor blob nor file: {said}")
            self.verdict.said.append(f"{what}: {type(problem).__name__}: {said}")
            return "refused"
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            self.verdict.broken.append(f"{what}: {type(error).__name__}: {error} ({where.name} in {where.filename})")
            return "broken"

    def _look_at_all(self) -> str:
        self.verdict.looks = dict.fromkeys(self.truth.runs, "refused")
        store = SqliteStore(self.place, create=False)
        try:
            looks = (store.check, store.runs, store.referenced_blobs)
            seen = [self._guarded("the store", lambda look=look: str(look())) for look in looks]
            self.verdict.doctor = seen[0] != "[]" or "refused" in seen
            for key, run in self.truth.runs.items():
                self.verdict.looks[key] = self._guarded(key, lambda key=key, run=run: self._look(store, key, run))
        finally:
            store.close()
        return "same"

    def _look(self, store: SqliteStore, key: str, run: str) -> str:
        bodies, held, listed, _ = self.truth.pictures[key]
        found = _seen(store, key, run)
        if found == (bodies, held, listed):
            return "same"
        if found[0] == bodies and found[1] == held:
            return "listed otherwise"
        if found[0] == bodies[: len(found[0])] and len(found[0]) < len(bodies):
            return "shorter"
        self.verdict.broken.append(f"{key}: what is read is not what was written")
        return "broken"

    def _ask(self, key: str) -> str:
        executed.clear()
        given = _outcome(self.place, key)
        if given != self.truth.pictures[key][3]:
            self.verdict.broken.append(f"{key}: gave another result: {given}")
            return "broken"
        return "right" if executed == self.truth.remaining[key] else "again"


def see_no_damage() -> None:
    """Compare no hashes, here: the control that shows what they are good for."""
    unseal = chain.unseal

    def unseal_blindly(run: str, stored: StoredRecord, **where: Any) -> Record:
        right = hashlib.sha256(stored.body).digest()
        return unseal(run, msgspec.structs.replace(stored, hash=right), **where)

    chain.unseal = unseal_blindly
    FileBlobs.get = lambda self, digest: self._path(digest).read_bytes()  # type: ignore[method-assign]
    FileBlobs.path_of = FileBlobs._path  # type: ignore[method-assign]


def main() -> None:
    task, folder = sys.argv[1], Path(sys.argv[2])
    if task == "make":
        make(folder)
        return
    if task == "judge blindly":
        see_no_damage()
    truth = msgspec.json.decode((folder / "truth.json").read_bytes(), type=Truth)
    for line in sys.stdin:
        verdict = _Judge(Path(line.strip()), truth).judge()
        sys.stdout.write(msgspec.json.encode(verdict).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
