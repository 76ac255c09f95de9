"""What records hold: fields by their places, and what is left out means what it always has."""

from __future__ import annotations

import typing

import msgspec
import pytest

from regrow.codec import capture
from regrow.journal import records
from regrow.journal.chain import StoredRecord
from regrow.journal.records import (
    Answered,
    Asked,
    AttemptFailed,
    Call,
    CallFailed,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    DriverClosed,
    OutcomeDecided,
    RunCreated,
    RunEnded,
    Said,
    WorkerEnded,
    WorkerGrown,
    WorkerStarted,
)
from regrow.values.resources import Resources

CALL = Call("agent#1", "task", 1, b"d")
ERROR = capture(ValueError("no"))


SHORT = [
    (CALL, {"inputs": b""}),
    (
        RunCreated("r", "agent", "", b"", b""),
        {"key": None, "project": "default", "parent": None, "budget": None, "code": ""},
    ),
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
    (CallSucceeded(CALL, 1, 1.0, b"x"), {"chunks": None, "hit": None}),
    (CallFailed(CALL, 1, 1.0, ERROR), {"again": (), "hit": None}),
    (records.CacheHit("r", "a#1", 1.0, 2.0), {"cost": 0}),
    (records.Spent("a#1", 1, 150), {"on": ""}),
    (Asked(CALL, 1, "ask", b"{}", "digest"), {"due": None, "remind": None, "evidence": b"", "question": ""}),
    (Said("me", "terminal", 1.0, "yes"), {"why": "", "number": 0, "value": b""}),
    (Answered("a#1", "ask", "digest", "timed out"), {"said": (), "reason": ""}),
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


KINDS = {
    "run": RunCreated,
    "fork": records.RunForked,
    "open": records.DriverOpened,
    "close": DriverClosed,
    "retry": records.RunRetried,
    "end": RunEnded,
    "start": CallStarted,
    "asked": Asked,
    "chunk": records.ChunkYielded,
    "attempt": AttemptFailed,
    "done": CallSucceeded,
    "fail": CallFailed,
    "cut": records.CallCancelled,
    "worker": WorkerStarted,
    "sample": records.WorkerSampled,
    "grown": WorkerGrown,
    "gone": WorkerEnded,
    "decide": OutcomeDecided,
    "answered": Answered,
    "signal": records.SignalTaken,
    "checkpoint": CheckpointSaved,
    "spent": records.Spent,
    "diverge": records.Diverged,
}
"""Journals are full of these words: one that is here stays, whatever its class is called."""


def test_a_kind_of_record_is_called_in_journals_what_it_has_always_been_called():
    events = typing.get_args(records.Event)
    assert {one.__struct_config__.tag: one for one in events} == KINDS
    assert all(one.__struct_config__.array_like for one in (*events, records.Record, records.BlobRef, records.CacheHit))
    assert records.RecordedFallback.__struct_config__.tag == "fallback"
