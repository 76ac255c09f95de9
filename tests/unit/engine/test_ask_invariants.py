"""What must hold of the records of questions and answers; a control for `check_run`, which the crash tests ask."""

from __future__ import annotations

import msgspec

from regrow.codec import capture, encode
from regrow.engine.invariants import check_run
from regrow.journal.records import (
    Answered,
    Asked,
    Call,
    CallFailed,
    CallSucceeded,
    DriverOpened,
    Record,
    RunCreated,
    RunForked,
)

CALL = Call("t#1/ask#1", "ask", 1, b"d")
ASKED = Asked(CALL, 1, "a" * 16, b"{}", "0" * 64)
ANSWERED = Answered(CALL.path, "a" * 16, "0" * 64, "answered")
DONE = CallSucceeded(CALL, 1, 1.0, encode(value=True))


def rules_broken_by(*events):
    begun = (RunCreated("0" * 26, "m:t", "", b"", b""), DriverOpened("me", "0", "3"))
    records = [Record(seq, 1.0, "driver", 1, b"", event) for seq, event in enumerate((*begun, *events), start=1)]
    return [one.rule for one in check_run(records)]


def test_a_question_that_is_asked_answered_and_done_breaks_nothing():
    assert rules_broken_by(ASKED, ANSWERED, DONE) == []


def test_one_that_is_answered_after_a_refusal_or_a_crash_breaks_nothing():
    refused = msgspec.structs.replace(ANSWERED, how="refused")
    assert rules_broken_by(ASKED, refused, ANSWERED, ANSWERED, DONE) == []


def test_an_answer_to_what_was_never_asked_is_found():
    assert rules_broken_by(ANSWERED) == ["what is answered is open"]


def test_an_answer_to_another_question_is_found():
    other = msgspec.structs.replace(ANSWERED, ask="b" * 16)
    assert rules_broken_by(ASKED, other) == ["what is answered is open"]


def test_an_outcome_without_a_question_is_found():
    failed = CallFailed(CALL, 1, 1.0, capture(ValueError("refused")))
    for outcome in (DONE, failed):
        assert rules_broken_by(outcome) == ["what has an answer was asked"]
        assert rules_broken_by(ASKED, outcome) == []


def test_a_fork_may_be_given_an_answer_that_nobody_gave_and_only_where_it_says_so():
    def forked(*replaced):
        return RunForked("1" * 26, "", 2, replaced)

    assert rules_broken_by(forked(CALL.path), DONE) == []
    assert rules_broken_by(forked("t#1/ask#2"), DONE) == ["what has an answer was asked"]
