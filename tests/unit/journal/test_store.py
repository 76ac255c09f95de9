"""What passes between a store and those who use it: what is left out means the same for every store."""

from __future__ import annotations

import msgspec
import pytest

from regrow.journal.asks import Answer, Question
from regrow.journal.cache import RETAINED_SECONDS, Granted
from regrow.journal.chain import StoredRecord
from regrow.journal.store import Entry, LogLine, NewRun, RunRow

ROW = RunRow("r", "agent", 1.0, None, "default", None, 0, "", held=False)


@pytest.mark.parametrize(
    ("given", "rest"),
    [
        (Entry("r", 1, StoredRecord(1, b"", b"")), {"blobs": (), "outcome": None, "reopens": False, "time": 0.0}),
        (NewRun("r", "agent", 1.0), {"key": None, "project": "default"}),
        (Granted(1), {"damaged": False}),
        (
            Answer("me", "terminal", 1.0, b"true"),
            {"verdict": "value", "why": "", "number": 0, "refused": "", "nonce": None},
        ),
        (
            Question(text="May I?", kind="ask", run="r", path="a#1", task="a", schema={}),
            {"evidence": (), "inputs": "", "choices": (), "to": (), "approvals": 1, "due": None, "default": None},
        ),
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


def test_blobs_of_a_dropped_artifact_are_kept_for_the_hour_that_users_are_promised():
    assert RETAINED_SECONDS == 60.0 * 60.0
