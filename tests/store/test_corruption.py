"""Damage is found and named before anything of it is served, and what is undamaged stays readable.

Where and what to damage is drawn by a seed; a failure prints the command that draws the same again.
"""

from __future__ import annotations

import random
import shutil
from functools import partial

import apsw
import msgspec
import pytest

import regrow
from regrow.engine.state import fold
from regrow.errors import Corrupted
from regrow.journal import chain
from regrow.journal.chain import StoredRecord, seal, unseal_all
from regrow.journal.sqlite import SqliteStore

pytestmark = [pytest.mark.store, pytest.mark.promise("P7")]

RUNS = ("run-1", "run-2", "run-3")
LENGTH = 12


@pytest.fixture
def dice(seed, request):
    print(f"\nto repeat: REGROW_SEED={seed} python -m pytest '{request.node.nodeid}'")
    return random.Random(seed)


@pytest.fixture
def database(sqlite, journal, tmp_path):
    """Three runs in a store that is closed, and a hand for the database below it."""
    store = sqlite.open()
    for run in RUNS:
        journal(store, run).claim().append(LENGTH)
    store.close()
    pristine = tmp_path / "pristine"
    shutil.copytree(tmp_path / "store", pristine)
    return Database(sqlite, tmp_path / "store", pristine)


class Database:
    def __init__(self, place, home, pristine):
        self._place, self._home, self._pristine = place, home, pristine

    def restore(self):
        shutil.rmtree(self._home)
        shutil.copytree(self._pristine, self._home)

    def execute(self, statement, *bindings):
        db = apsw.Connection(str(self._home / "journal.db"))
        try:
            return db.execute(statement, bindings).fetchall()
        finally:
            db.close()

    def record(self, run, seq, column):
        return self.execute(f"SELECT {column} FROM records WHERE number = {number(run)} AND seq = {seq}")[0][0]

    def write(self, run, seq, column, content):
        self.execute(f"UPDATE records SET {column} = ? WHERE number = {number(run)} AND seq = {seq}", content)

    def stored(self, run):
        found = self.execute(f"SELECT seq, body, hash FROM records WHERE number = {number(run)} ORDER BY seq")
        return [StoredRecord(*row) for row in found]

    def damage(self, reading=unseal_all):
        """Read all runs; give what is said of each one that cannot be read."""
        store = self._place.open()
        found = {}
        for run in RUNS:
            try:
                assert len(reading(run, store.read(run))) == LENGTH
            except Corrupted as problem:
                found[run] = str(problem)
        store.close()
        return found


def number(run):
    return RUNS.index(run) + 1


def flipped(content, bit):
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("column", ["body", "hash"])
def test_any_flipped_bit_of_a_record_is_found_and_the_record_named(database, dice, column):
    for _ in range(60):
        run, seq = dice.choice(RUNS), dice.randint(1, LENGTH)
        content = database.record(run, seq, column)
        database.write(run, seq, column, flipped(content, dice.randrange(len(content) * 8)))
        assert database.damage() == {run: f"run {run}: record {seq} is damaged: its bytes do not match its hash"}
        database.write(run, seq, column, content)
    assert database.damage() == {}


def test_every_bit_of_a_record_is_protected(database):
    body = database.record("run-2", 5, "body")
    stored = StoredRecord(5, body, database.record("run-2", 5, "hash"))
    for bit in range(len(body) * 8):
        with pytest.raises(Corrupted, match="run run-2: record 5 is damaged"):
            damaged = msgspec.structs.replace(stored, body=flipped(body, bit))
            chain.unseal("run-2", damaged, seq=5, previous=database.record("run-2", 4, "hash"))


@pytest.mark.control
def test_without_the_comparison_of_hashes_a_flipped_bit_would_be_served(database, monkeypatch):
    class LikeAnyOther(bytes):
        __slots__ = ()
        __hash__ = bytes.__hash__

        def __eq__(self, other):
            return True

        def __ne__(self, other):
            return False

    class NoHash:
        def digest(self):
            return LikeAnyOther()

    def unseal_blindly(run, stored):
        return unseal_all(run, [msgspec.structs.replace(one, hash=LikeAnyOther(one.hash)) for one in stored])

    body = database.record("run-2", 5, "body")
    database.write("run-2", 5, "body", flipped(body, body.index(b"result 4") * 8))
    assert list(database.damage()) == ["run-2"]
    monkeypatch.setattr(chain.hashlib, "sha256", lambda _: NoHash())
    assert database.damage(unseal_blindly) == {}


def test_a_record_that_is_missing_is_named(database, dice):
    for _ in range(10):
        run, seq = dice.choice(RUNS), dice.randint(1, LENGTH - 1)
        database.execute(f"DELETE FROM records WHERE number = {number(run)} AND seq = {seq}")
        assert database.damage() == {run: f"run {run}: record {seq} is missing; the next one found is {seq + 1}"}
        database.restore()


def test_a_gap_that_was_closed_by_renumbering_is_found(database, dice):
    for _ in range(10):
        run, seq = dice.choice(RUNS), dice.randint(2, LENGTH - 1)
        database.execute(f"DELETE FROM records WHERE number = {number(run)} AND seq = {seq}")
        database.execute(f"UPDATE records SET seq = seq - 1 WHERE number = {number(run)} AND seq > {seq}")
        (said,) = database.damage().values()
        assert said.startswith(f"run {run}: the chain breaks at record {seq}")
        database.restore()


def test_two_records_of_a_run_that_changed_places_are_found(database, dice):
    for _ in range(10):
        run = dice.choice(RUNS)
        first, second = sorted(dice.sample(range(1, LENGTH + 1), 2))
        move = f"UPDATE records SET seq = ? WHERE number = {number(run)} AND seq = ?"
        for to, from_ in ((0, first), (first, second), (second, 0)):
            database.execute(move, to, from_)
        (said,) = database.damage().values()
        assert said.startswith(f"run {run}: the chain breaks at record {first}")
        database.restore()


def test_a_record_of_another_run_is_found(database, dice):
    for _ in range(10):
        run, other = dice.sample(RUNS, 2)
        seq = dice.randint(1, LENGTH)
        for column in ("body", "hash"):
            foreign = database.record(other, seq, column)
            database.write(run, seq, column, foreign)
        (said,) = database.damage().values()
        assert f"run {run}: " in said
        assert f"record {seq}" in said
        database.restore()


def test_two_runs_whose_whole_journals_changed_places_are_found(database):
    for to, from_ in ((99, 1), (1, 2), (2, 99)):
        database.execute("UPDATE records SET number = ? WHERE number = ?", to, from_)
    assert database.damage() == {
        "run-1": "run run-1: record 1 belongs to run run-2",
        "run-2": "run run-2: record 1 belongs to run run-1",
    }


def test_a_sound_record_of_another_life_of_the_run_is_found(database, dice):
    """What a restored backup would bring: the right run, the right place, a hash that fits, and another history."""
    for _ in range(10):
        run, seq = dice.choice(RUNS), dice.randint(2, LENGTH - 1)
        records = unseal_all(run, database.stored(run))
        other = seal(msgspec.structs.replace(records[seq - 1], time=1.0))
        database.write(run, seq, "body", other.body)
        database.write(run, seq, "hash", other.hash)
        (said,) = database.damage().values()
        assert said.startswith(f"run {run}: the chain breaks at record {seq + 1}")
        database.restore()


def test_garbage_in_the_place_of_a_body_is_found_whatever_it_is(database, dice):
    for garbage in (b"", b"\x00", b"\xc1", dice.randbytes(200), b"text"):
        run, seq = dice.choice(RUNS), dice.randint(1, LENGTH)
        content = database.record(run, seq, "body")
        database.write(run, seq, "body", garbage)
        assert database.damage() == {run: f"run {run}: record {seq} is damaged: its bytes do not match its hash"}
        database.write(run, seq, "body", content)


def test_damage_to_the_database_file_is_never_served(database, dice, tmp_path):
    """Whatever is hit, what is read is either exactly what was written or refused."""
    store = SqliteStore(tmp_path / "store")
    truth = {run: store.read(run) for run in RUNS}
    store._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    store.close()
    shutil.rmtree(tmp_path / "pristine")
    shutil.copytree(tmp_path / "store", tmp_path / "pristine")
    file = tmp_path / "store" / "journal.db"
    refused = 0
    for _ in range(150):
        database.restore()
        content = bytearray(file.read_bytes())
        start = dice.randrange(len(content))
        for place in range(start, min(start + dice.choice((1, 1, 16, 512)), len(content))):
            content[place] ^= dice.randint(1, 255)
        file.write_bytes(content)
        try:
            store = SqliteStore(tmp_path / "store")
        except regrow.StoreError:
            refused += 1
            continue
        claim = partial(store.claim, "run-1", "nobody")
        for look in (store.runs, store.referenced_blobs, store.check, claim):
            try:
                look()
            except (regrow.StoreError, regrow.RunError):
                refused += 1
        for run in RUNS:
            try:
                store.get(run)
                store.by_key("default", run)
                store.read_logs(run)
                found = store.read(run)
                unseal_all(run, found)
            except regrow.UnknownRun:
                refused += 1
            except regrow.StoreError:
                refused += 1
            else:
                assert found == truth[run][: len(found)]
        store.close()
    assert refused > 10


# -- what a user sees --------------------------------------------------------------------------------------------------

effects = []


@regrow.step
async def work(number: int) -> bytes:
    effects.append(number)
    return bytes([number]) * 70_000


@regrow.task
async def job(upto: int) -> int:
    return sum([len(await work(number)) for number in range(upto)])


def test_a_finished_run_whose_result_was_damaged_is_refused_by_name(tmp_path):
    assert regrow.run(job, 3, key="job") == 210_000
    db = apsw.Connection(str(tmp_path / "regrow-home" / "journal.db"))
    (body,) = db.execute("SELECT body FROM records WHERE seq = 6").fetchone()
    db.execute("UPDATE records SET body = ? WHERE seq = 6", (flipped(body, len(body) * 4),))
    ((run,),) = db.execute("SELECT id FROM runs").fetchall()
    db.close()
    effects.clear()
    with pytest.raises(regrow.Corrupted, match=f"run {run}: record 6 is damaged"):
        regrow.run(job, 3, key="job")
    assert effects == []
    assert regrow.run(job, 2, key="another") == 140_000


def test_a_blob_with_a_flipped_bit_is_named_when_it_is_needed_and_not_before(tmp_path, dice, flip):
    assert regrow.run(job, 3, key="job") == 210_000
    blobs = sorted((tmp_path / "regrow-home" / "blobs").glob("??/*"))
    assert len(blobs) == 3
    victim = dice.choice(blobs)
    flip(victim, dice.randrange(victim.stat().st_size * 8))
    assert regrow.run(job, 3, key="job") == 210_000  # a total, which needs none of them
    digest = victim.parent.name + victim.name
    from regrow.authoring.home import host_of

    served = host_of(None).store.blobs
    with pytest.raises(regrow.Corrupted, match=f"blob {digest} .* is damaged"):
        served.get(digest)
    for blob in blobs:
        if blob != victim:
            assert served.get(blob.parent.name + blob.name)


def test_any_flipped_bit_of_a_blob_is_found(blobs, dice, tmp_path, flip):
    content = dice.randbytes(5000)
    digest = blobs.put(content)
    for _ in range(60):
        damaged = flipped(content, dice.randrange(len(content) * 8))
        _overwrite(blobs, digest, damaged)
        for serve in (blobs.get, blobs.path_of):
            with pytest.raises(Corrupted, match=digest):
                serve(digest)
    _overwrite(blobs, digest, content[:-1])
    with pytest.raises(Corrupted, match=digest):
        blobs.get(digest)


def test_a_damaged_blob_is_made_sound_when_its_content_comes_again(blobs, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"content")
    for put in (lambda: blobs.put(b"content"), lambda: blobs.put_file(file)):
        digest = put()
        _overwrite(blobs, digest, b"damaged")
        assert put() == digest
        assert blobs.get(digest) == b"content"


def _overwrite(blobs, digest, content):
    if hasattr(blobs, "_content"):
        blobs._content[digest] = content
    else:
        path = blobs._path(digest)
        path.chmod(0o600)
        path.write_bytes(content)


def test_a_sound_journal_replays_in_full(database, sqlite):
    """The control of all of the above: nothing is refused where nothing was damaged."""
    assert database.damage() == {}
    store = sqlite.open()
    state = fold(unseal_all("run-1", store.read("run-1")))
    assert len(state.calls) == LENGTH - 1
    assert store.check() == []
