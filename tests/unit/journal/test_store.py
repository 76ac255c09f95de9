"""What passes between a store and those who use it: what is left out means the same for every store."""

from __future__ import annotations

import msgspec
import pytest

from regrow.journal.chain import StoredRecord
from regrow.journal.store import Entry, LogLine, NewRun, RunRow

ROW = RunRow("r", "agent", 1.0, None, "default", None, 0, "", held=False)


@pytest.mark.parametrize(
    ("given", "rest"),
    [
        (Entry("r", 1, StoredRecord(1, b"", b"")), {"blobs": (), "outcome": None, "reopens": False, "time": 0.0}),
        (NewRun("r", "agent", 1.0), {"key": None, "project": "default"}),
        (ROW, {"ended": None, "cancel_requested_by": None, "imported": False}),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_is_left_out_means(given, rest):
    assert {name: getattr(given, name) for name in rest} == rest


def test_a_log_line_is_stored_with_its_fields_by_their_places():
    line = LogLine(1.0, "a#1", 1, "INFO", "x")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(line)) == [1.0, "a#1", 1, "INFO", "x"]


@pytest.mark.parametrize(
    ("outcome", "held", "status"),
    [
        (None, True, "running"),
        (None, False, "interrupted"),
        ("failed", True, "failed"),
        ("succeeded", False, "succeeded"),
    ],
)
def test_a_run_is_called_by_its_outcome_or_by_whether_somebody_holds_it(outcome, held, status):
    assert msgspec.structs.replace(ROW, outcome=outcome, held=held).status == status


@pytest.mark.parametrize(
    ("waits", "outcome", "words"),
    [
        ({}, None, ""),
        ({"waits_for": "May I?"}, None, "an answer: May I?"),
        ({"waits_for_signal": "go"}, None, "the signal 'go'"),
        ({"waits_for": "May I?", "waits_for_signal": "go"}, "succeeded", ""),
    ],
)
def test_a_row_says_what_its_run_waits_for_as_long_as_that_has_not_ended(waits, outcome, words):
    assert msgspec.structs.replace(ROW, outcome=outcome, **waits).awaited == words
