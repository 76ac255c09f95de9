"""What follows from what is known: a table of situations and answers."""

from __future__ import annotations

from typing import get_args

import pytest

from regrow.codec import capture
from regrow.engine import decide
from regrow.engine.state import CallState, RunState, enclosing
from regrow.journal.records import (
    AttemptFailed,
    Call,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    Event,
    OutcomeDecided,
)
from regrow.values.options import Options

pytestmark = pytest.mark.promise("P2")

CALL = Call("agent#1/step#1", "step", 1, b"digest")
ERROR = capture(ValueError("no"))


def known(**facts: object) -> CallState:
    return CallState(CALL, 5, **facts)  # type: ignore[arg-type]


def test_a_call_that_nobody_knows_is_executed() -> None:
    assert decide.on_call(None) == decide.Execute(1)


@pytest.mark.parametrize("outcome", [CallSucceeded(CALL, 1, 0.0, b"x"), CallFailed(CALL, 1, 0.0, ERROR)])
def test_an_outcome_is_given_again(outcome: CallSucceeded | CallFailed) -> None:
    assert decide.on_call(known(outcome=outcome)) == decide.Replay(outcome)


def test_a_call_the_code_gave_up_on_is_given_up_on_again_and_executed_only_if_it_is_not() -> None:
    state = known(outcome=CallCancelled(CALL, 1, 0.0), patience=2.5)
    assert decide.on_call(state) == decide.AwaitCancellation(2.5)
    assert decide.on_call(state, waited=True) == decide.Execute(1)


def test_a_call_given_up_on_while_its_success_was_recorded_is_not_executed_again() -> None:
    done = CallSucceeded(CALL, 1, 0.0, b"x")
    state = known(outcome=CallCancelled(CALL, 1, 0.0), unseen=done, patience=1.0)
    assert decide.on_call(state) == decide.AwaitCancellation(1.0)
    assert decide.on_call(state, waited=True) == decide.Replay(done)


def test_an_attempt_follows_the_failed_ones_and_not_before_its_moment() -> None:
    failed = AttemptFailed(CALL, 1, 10.0, ERROR, retry_at=17.0)
    assert decide.on_call(known(attempts=(failed,), first_begun=10.0)) == decide.Execute(2, 17.0, 10.0)


def test_a_once_only_call_that_was_begun_is_never_executed_on_a_guess() -> None:
    begun = CallStarted(CALL, 1, once=True)
    assert decide.on_call(known(begun=begun)) == decide.AskOutcome(1)
    assert decide.on_call(known(begun=begun, outcome=CallCancelled(CALL, 1, 0.0)), waited=True) == decide.AskOutcome(1)
    happened = OutcomeDecided(CALL.path, happened=True, value=b"x")
    assert decide.on_call(known(begun=begun, decided=happened)) == decide.Accept(1)
    did_not = OutcomeDecided(CALL.path, happened=False)
    assert decide.on_call(known(begun=begun, decided=did_not)) == decide.Execute(1)


def test_the_nearer_of_timeout_and_deadline_bounds_an_attempt() -> None:
    def allowance(options: Options, first_begun: float, now: float) -> object:
        return decide.allowance(options, options.timeout, first_begun, now)

    assert allowance(Options(), 0.0, 5.0) is None
    assert allowance(Options(timeout=3.0), 0.0, 5.0) == (3.0, "timeout")
    assert allowance(Options(timeout=3.0, deadline=6.0), 0.0, 5.0) == (1.0, "deadline")
    assert allowance(Options(deadline=6.0), 0.0, 9.0) == (0.0, "deadline")
    assert allowance(Options(deadline=7.0, deadline_is_moment=True), 4.0, 5.0) == (2.0, "deadline")
    assert decide.allowance(Options(timeout=3.0), 12.0, 0.0, 5.0) == (12.0, "timeout")  # a remedy has extended it


def test_blame_goes_through_causes_contexts_and_groups_but_not_to_what_was_suppressed() -> None:
    def marked(path: str) -> Exception:
        error = ValueError(path)
        decide.mark(error, "this run", path)
        return error

    cause, context, member, hidden, outside = (
        marked(f"{scope}/{name}#1") for scope, name in [("a", "x"), ("a", "y"), ("a", "z"), ("a", "h"), ("b", "o")]
    )
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = cause
    implied = RuntimeError("implied")
    implied.__context__ = context
    suppressed = RuntimeError("suppressed")
    suppressed.__context__, suppressed.__suppress_context__ = hidden, True
    group = ExceptionGroup("several", [wrapped, implied, member, suppressed, outside])
    assert decide.blame(group, "this run", "a") == ("a/x#1", "a/y#1", "a/z#1")


def test_blame_is_not_carried_from_one_run_into_another() -> None:
    error = decide.mark(ValueError("shared"), "an earlier run", "a/x#1")
    assert decide.blame(error, "this run", "a") == ()


def test_blame_ends_where_causes_run_in_a_circle() -> None:
    one, two = ValueError("1"), ValueError("2")
    one.__cause__, two.__cause__ = two, one
    assert decide.blame(one, "this run", "a") == ()


@pytest.mark.parametrize(
    ("path", "outer"),
    [
        ("agent#1", ""),
        ("agent#1/step#2", "agent#1"),
        ("agent#1/~work#2/step#1", "agent#1"),
        ("agent#1/~work#2/~inner#1/task#1/step#1", "agent#1/~work#2/~inner#1/task#1"),
    ],
)
def test_a_call_lies_in_the_call_around_it_whatever_its_branch(path: str, outer: str) -> None:
    assert enclosing(path) == outer


def test_every_kind_of_record_has_its_place_in_the_state() -> None:
    assert set(RunState._APPLY) == set(get_args(Event))
