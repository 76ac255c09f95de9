"""Which tasks a rehearsal enters, and which records it plays to them."""

from __future__ import annotations

import pytest

from regrow import WorkerLost
from regrow.codec import capture
from regrow.engine.rehearsing import tasks_around, tasks_that_failed, unfinished, with_calls, without_outcomes
from regrow.engine.state import fold
from regrow.journal.records import (
    AttemptFailed,
    Call,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    DriverClosed,
    DriverOpened,
    Record,
    RunCreated,
    RunEnded,
    RunRetried,
)

pytestmark = pytest.mark.unit

OPENED = DriverOpened("host", "0.1", "3.11")
BEGIN = (RunCreated("r", "module:agent", "", b"", b""), OPENED)
AGENT, INNER, STEP = "agent#1", "agent#1/inner#1", "agent#1/inner#1/step#1"


def call(path):
    return Call(path, "step" if "step" in path.rpartition("/")[2] else "task", 1, b"")


def begun(path):
    return CallStarted(call(path), 1)


def done(path):
    return CallSucceeded(call(path), 1, 1.0, b"")


def cut(path):
    return CallCancelled(call(path), 1, 1.0)


def failed(path, *again, error=None):
    return CallFailed(call(path), 1, 1.0, capture(error or ValueError("no")), again)


def lost(path):
    """A failure that came from outside: the worker is gone."""
    return failed(path, error=WorkerLost("gone"))


def saved(path):
    return CheckpointSaved(path, 1, 1, b"")


def journal(*events):
    return [Record(seq, 100.0 + seq, "driver", 1, b"", event) for seq, event in enumerate((*BEGIN, *events), 1)]


def played(*events, entered, **how):
    """The events that are played of a run with these."""
    return [one.event for one in without_outcomes(journal(*events), entered, **how)][len(BEGIN) :]


# -- what is played ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", [done, failed, cut])
def test_how_a_task_that_is_entered_came_out_is_left_out_and_how_its_calls_did_is_kept(outcome):
    events = [begun(AGENT), begun(INNER), done(STEP), outcome(INNER), outcome(AGENT), RunEnded("succeeded")]
    assert played(*events, entered={AGENT, INNER}) == [begun(AGENT), begun(INNER), done(STEP)]
    assert played(*events, entered={AGENT}) == [begun(AGENT), begun(INNER), done(STEP), outcome(INNER)]


def test_failures_that_a_retry_has_taken_back_are_played_and_only_the_last_one_is_left_out():
    first = [failed(INNER, STEP), failed(AGENT, INNER), RunEnded("failed"), RunRetried((AGENT,))]
    events = [begun(AGENT), *first, *first, failed(INNER), failed(AGENT, INNER), RunEnded("failed")]
    assert played(*events, entered={AGENT, INNER}) == [begun(AGENT), *first, *first]


def test_what_a_task_gave_before_the_run_was_retried_is_left_out_where_nothing_took_it_back():
    other = "agent#1/inner#2"
    first = [failed(other, f"{other}/step#1"), failed(AGENT, other), RunEnded("failed"), RunRetried((AGENT,))]
    again = [done(other), done(AGENT), RunEnded("succeeded")]
    for outcome in (done(INNER), failed(INNER)):  # a failure that the code had handled stands as well
        assert played(begun(AGENT), done(STEP), outcome, *first, *again, entered={AGENT, INNER, other}) == [
            begun(AGENT),
            done(STEP),
            *first,
        ]


def test_a_failure_of_which_an_attempt_had_failed_is_played_since_the_next_attempt_takes_it_back():
    attempt = AttemptFailed(call(AGENT), 1, 1.0, capture(ValueError("no")), 2.0, (INNER,))
    events = [begun(AGENT), failed(STEP), failed(INNER, STEP), attempt, begun(AGENT)]
    assert played(*events, entered={AGENT, INNER}) == events
    assert played(*events, done(INNER), entered={AGENT, INNER}) == events


def test_a_task_that_is_entered_goes_on_from_its_checkpoint_unless_it_is_to_begin_anew():
    events = [begun(AGENT), begun(INNER), saved(AGENT), saved(INNER), failed(INNER)]
    assert played(*events, entered={INNER}) == events[:-1]
    from_the_start = [begun(AGENT), begun(INNER), saved(AGENT)]
    assert played(*events, entered={INNER}, from_the_start=True) == from_the_start


def test_a_task_that_has_succeeded_begins_anew_since_its_checkpoints_are_gone():
    other = "agent#1/inner#2"
    events = [begun(AGENT), saved(INNER), done(INNER), saved(other), failed(other)]
    assert played(*events, entered={INNER, other}) == [begun(AGENT), saved(other)]
    assert played(*events, entered={other}) == events[:-1]


# -- which tasks are entered -------------------------------------------------------------------------------------------


def test_around_a_call_are_all_tasks_out_to_the_outermost_on_whichever_strands():
    deep = "agent#1/~work#1/inner#1/~work#2/deeper#1/step#1"
    around = {AGENT, "agent#1/~work#1/inner#1", "agent#1/~work#1/inner#1/~work#2/deeper#1"}
    assert tasks_around(journal(begun(AGENT), done(deep)), deep) == around


def test_around_the_outermost_task_is_itself_though_it_was_not_announced():
    assert tasks_around(journal(done(STEP), done(INNER), done(AGENT)), AGENT) == {AGENT}
    assert tasks_around(journal(done(STEP)), STEP) == {AGENT, INNER}


def test_a_failure_is_followed_from_the_outermost_task_to_where_it_arose():
    events = [failed(STEP), failed(INNER, STEP), done("agent#1/inner#2"), failed(AGENT, INNER)]
    assert tasks_that_failed(journal(*events, RunEnded("failed", None, (AGENT,)))) == {AGENT, INNER}


def test_a_task_through_which_the_loss_of_another_ones_worker_went_is_entered_and_the_lost_one_is_not():
    events = [begun(AGENT), lost(INNER), failed(AGENT, INNER, error=WorkerLost("gone"))]
    assert tasks_that_failed(journal(*events, RunEnded("failed", None, (AGENT,)))) == {AGENT}


def test_what_was_written_after_the_end_hides_no_failure():
    events = [failed(AGENT), RunEnded("failed", None, (AGENT,)), OPENED, DriverClosed("looked at")]
    assert tasks_that_failed(journal(*events)) == {AGENT}


@pytest.mark.parametrize(
    ("path", "of_it"),
    [
        ("agent#1/step#1", [failed("agent#1/step#1")]),
        ("agent#1/inner#2", [lost("agent#1/inner#2")]),
        ("agent#1/inner#2", [cut("agent#1/inner#2")]),
        ("agent#1/inner#2", []),
    ],
    ids=["a step", "a lost worker", "a task that was given up on", "a call of which nothing is known"],
)
def test_what_the_failure_went_through_beside_a_task_and_is_not_entered_does_not_hide_that(path, of_it):
    events = [begun(AGENT), failed(INNER), *of_it, failed(AGENT, INNER, path), RunEnded("failed", None, (AGENT,))]
    assert tasks_that_failed(journal(*events)) == {AGENT, INNER}


def test_the_outermost_task_of_a_cancelled_run_is_entered():
    events = [begun(AGENT), cut(AGENT), RunEnded("cancelled", None, (AGENT,))]
    assert tasks_that_failed(journal(*events)) == {AGENT}


def test_where_no_call_ended_the_run_what_was_under_way_is_entered_and_the_outermost_task():
    under_way = [begun(AGENT), begun(INNER), done(STEP)]
    assert tasks_that_failed(journal(*under_way, RunEnded("failed"))) == {AGENT, INNER}
    assert tasks_that_failed(journal(*under_way)) == {AGENT, INNER}
    assert tasks_that_failed(journal(*under_way, failed(AGENT), RunEnded("failed"))) == {AGENT, INNER}


def test_of_tasks_those_are_entered_that_have_called_something_and_the_outermost():
    records = journal(begun(AGENT), done(INNER), done("agent#1/inner#2"), done("agent#1/inner#2/step#1"))
    assert with_calls(records, {AGENT, INNER, "agent#1/inner#2"}) == {AGENT, "agent#1/inner#2"}
    assert with_calls(journal(done(AGENT)), {AGENT}) == {AGENT}


def test_unfinished_are_tasks_whose_code_goes_on_with_what_it_has_called():
    silent, finished = "agent#1/inner#2", "agent#1/inner#3"
    events = [
        begun(AGENT),
        begun(INNER),
        done(STEP),
        begun(silent),
        begun(finished),
        done(f"{finished}/step#1"),
        failed(finished),
    ]
    in_a_step = [begun("agent#1/step#1"), done("agent#1/step#1/step#1")]
    assert unfinished(fold(journal(*events, *in_a_step))) == {AGENT, INNER}
    assert unfinished(fold(journal(begun(AGENT)))) == {AGENT}
