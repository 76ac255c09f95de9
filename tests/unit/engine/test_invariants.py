"""The edges of the invariants: what just holds, what just does not, and what is said of it."""

from __future__ import annotations

import pytest

from regrow.codec import capture
from regrow.engine.invariants import check_run
from regrow.journal.records import (
    AttemptFailed,
    Call,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    ChunkYielded,
    Diverged,
    DriverClosed,
    DriverOpened,
    OutcomeDecided,
    Record,
    RunCreated,
    RunEnded,
    RunRetried,
    Spent,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
    WorkerStarted,
)
from regrow.values.resources import Resources

ERROR = capture(ValueError("no"))
CALL = Call("a#1", "task", 1, b"")
CREATED, OPENED = RunCreated("r", "agent", "", b"", b""), DriverOpened("me", "1", "3")


def run(*events, epochs=None, seqs=None, time=1000.0):
    """Give records of a run: its creation, its driver, and these events."""
    whole = (CREATED, OPENED, *events)
    return [
        Record(seqs[number] if seqs else number + 1, time, "driver", epochs[number] if epochs else 1, b"", event)
        for number, event in enumerate(whole)
    ]


def rules(*events, **more):
    return [one.rule for one in check_run(run(*events, **more))]


def texts(*events, **more):
    return [one.text for one in check_run(run(*events, **more))]


def failed(attempt, *, retry_at=2000.0, started=1000.0):
    return AttemptFailed(CALL, attempt, started, ERROR, retry_at)


def worker(attempt=1, memory=100):
    return WorkerStarted("a#1", attempt, 1, "h", Resources(memory=memory))


STARTED = CallStarted(CALL, 1)
DONE = CallSucceeded(CALL, 1, 0.0, b"")


# -- envelopes ---------------------------------------------------------------------------------------------------------


def test_a_gap_and_a_repetition_are_found_where_they_show():
    assert [(one.seq, one.text) for one in check_run(run(STARTED, seqs=[1, 2, 4]))] == [
        (4, "record 4 follows record 2")
    ]
    assert rules(STARTED, seqs=[1, 2, 2]) == ["records are numbered without gaps"]


def test_a_run_begins_with_its_creation_and_has_no_second_one():
    rule = "a run begins with its creation, once"
    assert [one.rule for one in check_run(run()[1:])][:2] == ["records are numbered without gaps", rule]
    assert (rules(CREATED), texts(CREATED)) == ([rule], ["record 3 is RunCreated"])


def test_epochs_may_grow_with_a_new_driver_and_in_no_other_way():
    assert rules(OPENED, STARTED, epochs=[1, 1, 2, 2]) == []
    assert rules(OPENED, epochs=[3, 3, 9]) == []
    assert texts(STARTED, epochs=[1, 1, 2]) == ["epoch 2 begins with CallStarted"]
    assert rules(OPENED, STARTED, epochs=[1, 2, 2, 1]) == ["epochs never fall"]


def test_after_an_epoch_that_fell_the_highest_one_still_counts():
    assert rules(STARTED, STARTED, epochs=[2, 2, 1, 1]) == ["epochs never fall"] * 2


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [OPENED, DriverClosed("x"), RunRetried(())])
def test_after_its_end_a_run_may_be_opened_let_go_of_and_retried(event):
    assert rules(RunEnded("failed"), event) == []


def test_after_its_end_the_outcome_of_a_once_only_call_may_be_decided():
    assert rules(CallStarted(CALL, 1, once=True), RunEnded("failed"), OutcomeDecided("a#1", happened=True)) == []


@pytest.mark.parametrize("event", [STARTED, Diverged("a#1", "x"), ChunkYielded(CALL, 0, b"")])
def test_after_its_end_nothing_else_happens_in_a_run_unless_it_was_retried(event):
    assert rules(RunEnded("failed"), event) == ["nothing happens in a run that has ended"]
    assert texts(RunEnded("failed"), event) == [f"{type(event).__name__} is recorded after its end"]
    assert rules(RunEnded("cancelled"), RunRetried(()), event) == []


def test_a_second_end_and_a_retry_of_what_was_not_over_are_found():
    assert texts(RunEnded("failed"), RunEnded("succeeded")) == ["it ends as succeeded, and has ended as failed before"]
    assert texts(RunRetried(())) == ["it is retried though it has not ended"]
    assert texts(RunEnded("succeeded"), RunRetried(())) == ["it is retried though it has succeeded"]
    assert rules(RunEnded("failed"), RunRetried(()), RunRetried(())) == ["only a failed or cancelled run is retried"]


# -- calls -------------------------------------------------------------------------------------------------------------


def test_a_decision_needs_a_call_that_was_begun_for_once():
    decided = OutcomeDecided("a#1", happened=True)
    rule = "only the outcome of a once-only call is decided"
    assert rules(CallStarted(CALL, 1, once=True), decided) == []
    assert (rules(STARTED, decided), rules(decided)) == ([rule], [rule])


@pytest.mark.parametrize("event", [STARTED, failed(1), CallFailed(CALL, 1, 0.0, ERROR), ChunkYielded(CALL, 0, b"")])
def test_nothing_but_being_given_up_on_comes_after_a_success(event):
    assert rules(DONE, event) == ["nothing happens in a call that has succeeded"]
    assert texts(DONE, event) == [f"{type(event).__name__} of a#1 after its success"]
    assert rules(DONE, CallCancelled(CALL, 1, 0.0)) == []
    assert rules(DONE, DONE) == ["a call succeeds once"]


def test_attempts_begin_at_one_and_never_count_down():
    assert rules(CallStarted(CALL, 0)) == ["attempts count up"]
    assert texts(CallStarted(CALL, 2), STARTED) == ["attempt 1 of a#1 follows attempt 2"]
    for outcome in (DONE, CallFailed(CALL, 1, 0.0, ERROR), CallCancelled(CALL, 1, 0.0)):
        assert rules(CallStarted(CALL, 2), outcome) == ["attempts count up"]
    assert rules(STARTED, failed(1), CallStarted(CALL, 2), failed(2), CallFailed(CALL, 3, 0.0, ERROR)) == []


@pytest.mark.parametrize("again", [failed(1), CallFailed(CALL, 1, 0.0, ERROR)])
@pytest.mark.parametrize("first", [failed(1), CallFailed(CALL, 1, 0.0, ERROR)])
def test_an_attempt_fails_once_in_whichever_way(first, again):
    assert rules(first, again) == ["an attempt fails once"]
    assert texts(first, again) == ["attempt 1 of a#1 has failed before"]


def test_a_retry_may_come_at_once_but_not_before_its_attempt_began():
    assert rules(failed(1, retry_at=1000.0)) == []
    assert rules(failed(1, retry_at=999.9)) == ["no retry comes before its failure"]


def test_a_clock_that_was_set_back_during_the_attempt_explains_a_retry_that_seems_early():
    assert rules(failed(1, retry_at=900.0, started=1000.0), time=899.0) == []
    assert rules(failed(1, retry_at=900.0, started=1000.0), time=1000.0) == ["no retry comes before its failure"]


# -- workers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [worker(), WorkerSampled("a#1", 1, ()), WorkerEnded("a#1", 1, "result"), WorkerGrown("a#1", 1, 1, 2, 0.0)],
)
def test_whatever_is_said_of_a_worker_needs_an_attempt_that_has_begun(event):
    assert rules(event)[0] == "a worker runs an attempt that has begun"
    assert f"{type(event).__name__} of a#1 comes before it" in texts(event)
    assert "a worker runs an attempt that has begun" not in rules(STARTED, event)


def test_a_limit_grows_from_what_it_was_each_time():
    def grown(before, after):
        return WorkerGrown("a#1", 1, before, after, 0.0)

    rule = "a limit grows from what it was"
    assert rules(STARTED, worker(), grown(100, 200), grown(200, 300)) == []
    assert rules(STARTED, worker(), grown(100, 200), grown(100, 300)) == [rule]
    assert (rules(STARTED, worker(), grown(100, 100)), rules(STARTED, worker(), grown(100, 50))) == ([rule], [rule])
    assert texts(STARTED, worker(), grown(50, 200)) == ["a#1 grows from 50 to 200 bytes, and had 100"]


def test_checkpoints_are_counted_from_one_by_call():
    def saved(number, path="a#1"):
        return CheckpointSaved(path, 1, number, b"")

    assert rules(saved(1), saved(2), saved(1, "b#1"), saved(3)) == []
    assert rules(saved(0)) == ["checkpoints are counted"]
    assert texts(saved(1), saved(3), saved(4)) == ["checkpoint 3 of a#1 is out of order"]


# -- costs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("amount", "broken"), [(1, 0), (0, 1), (-1, 1)])
def test_what_is_spent_is_more_than_nothing(amount, broken):
    assert rules(STARTED, Spent("a#1", 1, amount)) == ["what is spent is more than nothing"] * broken
