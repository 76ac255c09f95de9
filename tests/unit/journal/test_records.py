"""The chain: a record is served as it was written, in its place, or not at all."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from regrow.codec import capture
from regrow.errors import Corrupted, UnreadableFormat
from regrow.journal.chain import StoredRecord, seal, unseal, unseal_all
from regrow.journal.records import (
    AttemptFailed,
    Call,
    CallFailed,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    DriverClosed,
    OutcomeDecided,
    Record,
    RunCreated,
    RunEnded,
    WorkerEnded,
    WorkerGrown,
    WorkerStarted,
)
from regrow.values.resources import Resources

CALL = Call("agent#1", "task", 1, b"d")
ERROR = capture(ValueError("no"))


def stored_as(body, seq=1):
    return StoredRecord(seq, body, hashlib.sha256(body).digest())


def chain(length=3, run="r"):
    links, previous = [], b""
    for seq in range(1, length + 1):
        event = RunCreated(run, "agent", "", b"", b"") if seq == 1 else DriverClosed(f"life {seq}")
        link = seal(Record(seq, 1.0, "driver", 1, previous, event))
        previous = link.hash
        links.append(link)
    return links


def test_a_chain_is_read_in_order_and_whole():
    links = chain()
    assert [record.seq for record in unseal_all("r", links)] == [1, 2, 3]
    assert [record.previous for record in unseal_all("r", links)] == [b"", links[0].hash, links[1].hash]


def test_a_record_of_a_kind_that_a_later_version_has_added_is_intact_and_unreadable():
    unknown = msgspec.msgpack.encode([1, 1.0, "driver", 1, b"", ["kind of the future", 5]])
    with pytest.raises(UnreadableFormat, match="run r: record 1 is intact"):
        unseal("r", stored_as(unknown), seq=1, previous=b"")


def test_bytes_that_are_no_record_are_damage_though_their_hash_fits():
    with pytest.raises(Corrupted, match="run r: record 1 cannot be decoded"):
        unseal("r", stored_as(b"\xc1"), seq=1, previous=b"")


def test_a_record_that_says_another_place_than_it_stands_at_breaks_the_chain():
    first, second, _ = chain()
    misplaced = stored_as(second.body, seq=3)
    with pytest.raises(Corrupted, match="chain breaks at record 3"):
        unseal("r", misplaced, seq=3, previous=first.hash)


def test_a_record_that_follows_another_one_breaks_the_chain():
    _, second, third = chain()
    with pytest.raises(Corrupted, match="chain breaks at record 2"):
        unseal("r", second, seq=2, previous=third.hash)


def test_the_first_record_of_another_run_is_refused_by_name():
    with pytest.raises(Corrupted, match="run r: record 1 belongs to run other"):
        unseal_all("r", chain(run="other"))


SHORT = [
    (CALL, {"inputs": b""}),
    (RunCreated("r", "agent", "", b"", b""), {"key": None, "project": "default", "parent": None, "budget": None}),
    (DriverClosed("x"), {"replayed": 0, "seconds_saved": 0.0}),
    (CallStarted(CALL, 1), {"due": None, "once": False}),
    (
        AttemptFailed(CALL, 1, 1.0, ERROR, 2.0),
        {"again": (), "remedy": None, "chosen_by": "retries", "counts": True},
    ),
    (
        WorkerStarted("a#1", 1, 5, "h", Resources()),
        {"enforced_by": (), "size_from": "", "kills": None, "boot": "", "queued": 0.0},
    ),
    (WorkerGrown("a#1", 1, 5, 6, 0.5), {"enforced_by": ""}),
    (
        WorkerEnded("a#1", 1, "result"),
        {"peak": None, "cpu_seconds": 0.0, "limit": None, "signal": None, "code": None},
    ),
    (
        CheckpointSaved("a#1", 1, 1, b"x"),
        {"blobs": (), "branch": "", "calls": {}, "strands": {}, "position": 0},
    ),
    (CallSucceeded(CALL, 1, 1.0, b"x"), {"chunks": None}),
    (CallFailed(CALL, 1, 1.0, ERROR), {"again": ()}),
    (OutcomeDecided("a#1", happened=True), {"value": b"", "reason": ""}),
    (RunEnded("failed"), {"error": None, "again": (), "reason": "", "replayed": 0, "seconds_saved": 0.0}),
]


@pytest.mark.parametrize(("short", "rest"), SHORT, ids=lambda one: type(one).__name__)
def test_what_an_older_version_did_not_write_has_always_meant_the_same(short, rest):
    assert {name: getattr(short, name) for name in rest} == rest


@pytest.mark.parametrize(
    "stored", [*(one for one, _ in SHORT), StoredRecord(1, b"body", b"hash")], ids=lambda one: type(one).__name__
)
def test_what_is_stored_has_its_fields_by_their_places(stored):
    encoded = msgspec.msgpack.encode(stored)
    assert isinstance(msgspec.msgpack.decode(encoded), list)
    assert msgspec.msgpack.decode(encoded, type=type(stored)) == stored
