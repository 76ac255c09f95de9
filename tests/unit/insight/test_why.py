"""Explanations of runs."""

from __future__ import annotations

import pytest

from regrow.codec import capture
from regrow.errors import Divergence, OutcomeUnknown
from regrow.insight.why import explain
from regrow.journal.records import AttemptFailed, DriverClosed, RunEnded
from regrow.journal.store import RunRow

from .writing import call, done, driver, error, failed, started

pytestmark = pytest.mark.unit
RUN = "r" * 26


def row(outcome=None, *, held=False, key=None):
    ended = 1_100.0 if outcome else None
    return RunRow(RUN, "agent:agent", 1_000.0, key, "default", outcome, 1, "ann@host pid 1 (aa)", held, ended)


def commands(explanation):
    return [way.command for way in explanation.ways if way.command]


def test_a_failed_run_is_blamed_on_the_innermost_call_with_each_attempts_own_error(write):
    write.begin()(started("a#1"), AttemptFailed(call("a#1/s#1"), 1, 1_001.0, error("first"), 1_004.0))
    write(failed("a#1/s#1", 2, text="last"), failed("a#1", again=("a#1/s#1",), text="last", kind="task"))
    write(RunEnded("failed", error("last"), ("a#1",)))
    why = explain(row("failed"), write.records)
    assert [one.path for one in why.culprits] == ["a#1", "a#1/s#1"]
    assert [one.error.message for one in why.culprits[-1].attempts if one.error] == ["first", "last"]
    assert why.frame is not None
    assert why.frame.function.endswith("in_user_code")
    assert "ValueError: last" in why.headline
    assert any("attempted 2 times" in sentence for sentence in why.tried)
    assert commands(why) == [f"regrow retry {'r' * 8}"]


def test_a_failure_that_the_code_handled_is_not_blamed(write):
    write.begin()(started("a#1"), failed("a#1/s#1", text="handled"), failed("a#1", text="other", kind="task"))
    write(RunEnded("failed", error("other"), ("a#1",)))
    assert [one.path for one in explain(row("failed"), write.records).culprits] == ["a#1"]


def test_a_killed_run_shows_what_had_begun_and_how_to_resume(write):
    write.begin()(started("a#1"), done("a#1/s#1"), started("a#1/t#1"))
    why = explain(row(key="monday"), write.records, options=" --store x", loading=" --file f.py")
    assert [one.path for one in why.unfinished] == ["a#1", "a#1/t#1"]
    assert why.finished == 1
    assert "disappeared without a word" in why.headline
    assert commands(why) == [
        f"regrow resume {'r' * 8} --file f.py --store x",
        f"regrow cancel {'r' * 8} --store x",
    ]
    assert any("'monday'" in way.what for way in why.ways)


def test_a_run_that_was_stopped_in_good_order_is_told_apart_from_one_that_was_killed(write):
    write.begin()(started("a#1"), DriverClosed("KeyboardInterrupt"))
    assert "Ctrl-C" in explain(row(), write.records).headline


def test_an_unknown_outcome_gives_the_command_for_each_answer(write):
    unknown = capture(OutcomeUnknown("a#1/pay#1", "key"))
    write.begin()(started("a#1"), started("a#1/pay#1", once=True, kind="step"), RunEnded("failed", unknown))
    ways = commands(explain(row("failed"), write.records))
    assert ways == [
        f"regrow resolve {'r' * 8} 'a#1/pay#1' --happened JSON --retry",
        f"regrow resolve {'r' * 8} 'a#1/pay#1' --did-not-happen --retry",
    ]


def test_a_divergence_in_strict_mode_gives_both_ways_on(write):
    write.begin()(started("a#1"), RunEnded("failed", capture(Divergence("a#1/s#1", "other inputs"))))
    assert commands(explain(row("failed"), write.records)) == [
        f"regrow retry {'r' * 8} --strict",
        f"regrow retry {'r' * 8}",
    ]


def test_a_run_that_is_being_driven_has_nothing_unfinished_to_explain(write):
    write.begin()(started("a#1"))
    why = explain(row(held=True), write.records)
    assert why.unfinished == ()
    assert "is being driven by ann@host pid 1" in why.headline


def test_a_success_tells_what_it_overcame(write):
    write.begin()(AttemptFailed(call("s#1"), 1, 1_001.0, error(), 1_004.0), done("s#1", 2), RunEnded("succeeded"))
    why = explain(row("succeeded"), write.records)
    assert [one.path for one in why.overcome] == ["s#1"]
    assert why.tried == ("s#1 succeeded at attempt 2, after one failure",)
    assert why.ways == ()


def test_being_resumed_is_told(write):
    write.begin()(started("a#1"), driver(), driver())
    assert any("3 drivers" in sentence for sentence in explain(row(), write.records).tried)
