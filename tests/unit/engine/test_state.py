"""What records add up to: one by one, and in whichever combination they come."""

from __future__ import annotations

import pytest

from regrow.codec import capture
from regrow.engine.state import CallState, RunState, enclosing, fold
from regrow.journal.records import (
    Asked,
    AttemptFailed,
    Call,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    ChunkYielded,
    Diverged,
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
from regrow.remedies import Grow
from regrow.values.resources import Resources

ERROR = capture(ValueError("no"))
AGENT = Call("agent#1", "task", 1, b"")
STEP = Call("agent#1/step#1", "step", 1, b"")
OTHER = Call("agent#1/~work#1/step#1", "step", 1, b"")
INNER = Call("agent#1/step#1/inner#1", "step", 1, b"")


def after(*events, epoch=1):
    """Fold events into a state; the n-th of them is recorded at second 100 + n."""
    return fold(Record(seq, 100.0 + seq, "driver", epoch, b"", event) for seq, event in enumerate(events, start=1))


def test_a_state_knows_how_far_it_has_come_and_when_its_run_began():
    assert (RunState().seq, RunState().epoch, RunState().began, RunState().detour) == (0, 0, 0.0, None)
    state = after(RunCreated("r", "agent", "", b"", b""), DriverOpened("me", "1", "3"), epoch=3)
    assert (state.seq, state.epoch, state.began, state.created.run) == (2, 3, 101.0, "r")


def test_of_a_call_that_is_only_known_by_name_nothing_else_is_known():
    rest = {
        "attempts": (), "forgiven": 0, "begun": None, "outcome": None, "chunks": [], "decided": None,
        "first_begun": None, "begun_at": None, "seconds": 0.0, "unseen": None, "patience": 0.0, "stumbled": 0,
        "checkpoint": None, "saved_at": 0, "reached": None,
    }  # fmt: skip
    known = CallState(STEP, 1)
    assert {name: getattr(known, name) for name in rest} == rest


def test_an_attempt_that_is_announced_is_known_from_when_the_first_one_was():
    state = after(CallStarted(STEP, 1))
    call = state.calls[STEP.path]
    assert (call.seq, call.begun, call.begun_at, call.first_begun) == (1, CallStarted(STEP, 1), 101.0, 101.0)
    state = after(CallStarted(STEP, 1), AttemptFailed(STEP, 1, 100.5, ERROR, 103.0), CallStarted(STEP, 2))
    call = state.calls[STEP.path]
    assert (call.begun.attempt, call.begun_at, call.first_begun, call.seq) == (2, 103.0, 101.0, 3)


def test_a_failed_attempt_is_known_with_when_it_began_and_takes_the_announcement_back():
    failed = AttemptFailed(STEP, 1, 100.5, ERROR, 103.0)
    state = after(failed, AttemptFailed(STEP, 2, 101.5, ERROR, 104.0))
    call = state.calls[STEP.path]
    assert [one.attempt for one in call.attempts] == [1, 2]
    assert (call.first_begun, call.begun, call.stumbled, state.spent) == (100.5, None, 2, 2)
    assert after(CallStarted(STEP, 1), failed).calls[STEP.path].begun is None


def test_a_question_is_known_and_its_call_begins_with_the_first_one():
    question = Call("agent#1/ask#1", "ask", 1, b"")
    first, again = (Asked(question, 1, ask, b"{}", "0" * 64) for ask in ("a" * 16, "b" * 16))
    known = after(first).calls[question.path]
    assert (known.asked, known.first_begun, known.begun_at) == (first, 101.0, 101.0)
    known = after(first, again).calls[question.path]
    assert (known.asked, known.first_begun, known.begun_at) == (again, 101.0, 102.0)


def test_money_is_counted_for_each_call_around_it_and_for_the_run():
    spent = Spent(INNER.path, 1, 5), Spent(OTHER.path, 1, 7), Spent("", 1, 11)
    costs = after(*spent).costs
    assert costs == {INNER.path: 5, STEP.path: 5, OTHER.path: 7, AGENT.path: 12, "": 23}


def test_what_a_result_took_is_counted_from_the_attempt_that_gave_it():
    state = after(CallStarted(AGENT, 1), CallSucceeded(STEP, 1, 100.5, b"x"))
    call = state.calls[STEP.path]
    assert (call.outcome.value, call.seq, call.seconds) == (b"x", 2, 1.5)
    assert state.children(AGENT.path) == [call]


@pytest.mark.parametrize("outcome", [CallSucceeded(STEP, 1, 0.0, b""), CallFailed(STEP, 1, 0.0, ERROR)])
def test_an_outcome_that_the_code_gave_up_on_is_unseen(outcome):
    state = after(outcome, CallCancelled(STEP, 1, 0.0))
    assert isinstance(state.calls[STEP.path].outcome, CallCancelled)
    assert state.calls[STEP.path].unseen == outcome


def test_a_call_that_was_given_up_on_twice_has_no_outcome_that_was_unseen():
    state = after(CallCancelled(STEP, 1, 0.0), CallCancelled(STEP, 1, 0.0))
    assert state.calls[STEP.path].unseen is None
    assert after(CallCancelled(STEP, 1, 0.0)).calls[STEP.path].unseen is None


def test_what_lies_inside_a_result_is_forgotten_and_what_lies_inside_a_failure_is_kept():
    inside = (CallSucceeded(INNER, 1, 0.0, b""),)
    forgotten = after(*inside, CallSucceeded(STEP, 1, 0.0, b""))
    assert set(forgotten.calls) == {STEP.path}
    assert list(forgotten.inside(STEP.path)) == []
    deep = Call(f"{INNER.path}/deep#1", "step", 1, b"")
    begun = (CallStarted(INNER, 1), CallStarted(deep, 1))
    assert set(after(*begun, CallSucceeded(STEP, 1, 0.0, b"")).calls) == {STEP.path}
    kept = after(*inside, CallFailed(STEP, 1, 0.0, ERROR))
    assert set(kept.calls) == {STEP.path, INNER.path}


def test_a_result_drops_the_checkpoint_and_a_failure_keeps_it():
    saved = CheckpointSaved(STEP.path, 1, 1, b"half")
    begun = CallStarted(STEP, 1)
    state = after(begun, saved)
    call = state.calls[STEP.path]
    assert (call.checkpoint, call.saved_at, call.seq) == (saved, 2, 2)
    assert after(begun, saved, CallSucceeded(STEP, 1, 0.0, b"")).calls[STEP.path].checkpoint is None
    assert after(begun, saved, CallFailed(STEP, 1, 0.0, ERROR)).calls[STEP.path].checkpoint == saved


def test_all_that_was_made_while_a_call_ran_is_inside_it_however_deep():
    state = after(CallStarted(AGENT, 1), CallStarted(STEP, 1), CallStarted(INNER, 1), CallStarted(OTHER, 1))
    assert {one.call.path for one in state.inside(AGENT.path)} == {STEP.path, INNER.path, OTHER.path}
    assert [one.call.path for one in state.inside(STEP.path)] == [INNER.path]
    assert [one.call.path for one in state.children(AGENT.path)] == [STEP.path, OTHER.path]
    assert state.children(INNER.path) == []


def test_chunks_are_known_by_their_numbers_and_a_new_one_takes_the_place_of_what_came_after():
    def chunk(index, value):
        return ChunkYielded(STEP, index, value)

    assert after(chunk(0, b"a"), chunk(1, b"b")).calls[STEP.path].chunks == [b"a", b"b"]
    assert after(chunk(0, b"a"), chunk(1, b"b"), chunk(1, b"c")).calls[STEP.path].chunks == [b"a", b"c"]
    assert after(chunk(0, b"a"), chunk(1, b"b"), chunk(0, b"c")).calls[STEP.path].chunks == [b"c"]


def test_a_decision_counts_until_the_next_attempt_is_announced():
    decided = OutcomeDecided(STEP.path, happened=False)
    state = after(CallStarted(STEP, 1, once=True), decided)
    assert (state.calls[STEP.path].decided, state.calls[STEP.path].seq) == (decided, 2)
    assert after(CallStarted(STEP, 1, once=True), decided, CallStarted(STEP, 2)).calls[STEP.path].decided is None


def test_what_is_said_of_a_call_that_nobody_knows_changes_nothing():
    for event in (
        OutcomeDecided("x#1", happened=True),
        WorkerStarted("x#1", 1, 1, "h", Resources(memory=5)),
        WorkerGrown("x#1", 1, 5, 6, 0.0),
        CheckpointSaved("x#1", 1, 1, b""),
        WorkerSampled("x#1", 1, ()),
        WorkerEnded("x#1", 1, "result"),
    ):
        assert after(event).calls == {}


def test_the_largest_limit_of_the_latest_worker_is_known():
    begun, started = CallStarted(STEP, 1), WorkerStarted(STEP.path, 1, 1, "h", Resources(memory=5))
    assert after(begun).calls[STEP.path].reached is None
    assert after(begun, started).calls[STEP.path].reached == 5
    assert after(begun, started, WorkerGrown(STEP.path, 1, 5, 9, 0.0)).calls[STEP.path].reached == 9


def test_divergences_and_the_end_are_known():
    state = after(Diverged("a#1", "why"), Diverged("b#1", "why"), RunEnded("failed"))
    assert [one.path for one in state.divergences] == ["a#1", "b#1"]
    assert state.ended == RunEnded("failed")


def timed(*events):
    """Fold events, each with its own second."""
    return fold(Record(seq, time, "driver", 1, b"", event) for seq, (time, event) in enumerate(events, start=1))


@pytest.mark.parametrize(("ended", "seconds"), [(104.5, 2.5), (102.0, 0.0), (90.0, 0.0)])
def test_a_clock_that_was_set_back_makes_no_call_take_less_than_no_time(ended, seconds):
    assert timed((ended, CallSucceeded(STEP, 1, 102.0, b""))).calls[STEP.path].seconds == seconds


def test_patience_is_how_long_the_code_around_had_been_running():
    opened, begun = (100.0, DriverOpened("me", "1", "3")), (103.0, CallStarted(AGENT, 1))
    done = (110.0, CallSucceeded(STEP, 1, 109.0, b""))
    assert timed(opened, begun, done).calls[STEP.path].patience == 7.0
    assert timed(opened, done).calls[STEP.path].patience == 10.0
    again = (105.0, CallStarted(AGENT, 2))
    assert timed(opened, begun, again, done).calls[STEP.path].patience == 5.0
    inside_a_step = CallState(AGENT, 1)
    state = RunState()
    state.take_over([inside_a_step], seq=0, detour=None)
    state.apply(Record(1, 50.0, "driver", 1, b"", DriverOpened("me", "1", "3")))
    state.apply(Record(2, 56.0, "driver", 1, b"", CallSucceeded(STEP, 1, 55.0, b"")))
    assert state.calls[STEP.path].patience == 6.0


def test_patience_is_no_less_than_the_call_itself_took():
    late = timed((100.0, DriverOpened("me", "1", "3")), (103.0, CallSucceeded(STEP, 1, 95.0, b"")))
    assert (late.calls[STEP.path].seconds, late.calls[STEP.path].patience) == (8.0, 8.0)


class TestTakingBack:
    """What had failed is made again, and so is what was cancelled because of it."""

    def retried(self, *events, again=(STEP.path,)):
        return after(CallStarted(AGENT, 1), *events, RunEnded("failed"), RunRetried(again))

    def test_what_was_cancelled_after_the_first_failure_comes_back_and_what_was_cancelled_before_does_not(self):
        early, late = (Call(f"agent#1/{name}#1", "step", 2, b"") for name in ("early", "late"))
        state = self.retried(
            CallCancelled(early, 1, 0.0),
            CallFailed(STEP, 1, 0.0, ERROR),
            CallCancelled(late, 1, 0.0),
        )
        assert isinstance(state.calls[early.path].outcome, CallCancelled)
        assert state.calls[late.path].outcome is None
        assert state.detour == 3

    def test_a_cancelled_call_comes_back_with_the_outcome_that_nobody_had_seen(self):
        late = Call("agent#1/late#1", "step", 2, b"")
        done = CallSucceeded(late, 1, 0.0, b"x")
        state = self.retried(CallFailed(STEP, 1, 0.0, ERROR), done, CallCancelled(late, 1, 0.0))
        assert (state.calls[late.path].outcome, state.calls[late.path].unseen) == (done, None)

    def test_the_first_of_several_failures_counts_also_over_several_retries(self):
        first = self.retried(
            CallFailed(STEP, 1, 0.0, ERROR), CallFailed(OTHER, 1, 0.0, ERROR), again=(OTHER.path, STEP.path)
        )
        assert first.detour == 2
        events = (CallFailed(STEP, 1, 0.0, ERROR), RunEnded("failed"), RunRetried((STEP.path,)))
        assert (
            after(*events, CallFailed(OTHER, 1, 0.0, ERROR), RunEnded("failed"), RunRetried((OTHER.path,))).detour == 1
        )

    def test_a_stream_begins_anew(self):
        state = self.retried(ChunkYielded(STEP, 0, b"a"), CallFailed(STEP, 1, 0.0, ERROR))
        assert state.calls[STEP.path].chunks == []

    def test_an_announcement_is_taken_back_unless_it_was_for_once(self):
        failed = CallFailed(STEP, 1, 0.0, ERROR)
        assert self.retried(CallStarted(STEP, 1), failed).calls[STEP.path].begun is None
        assert self.retried(CallStarted(STEP, 1, once=True), failed).calls[STEP.path].begun.once

    def test_what_a_failure_came_from_is_taken_back_with_it_and_what_had_succeeded_is_not(self):
        failed = CallFailed(AGENT, 1, 0.0, ERROR, (STEP.path, OTHER.path, "unknown#1"))
        events = (CallSucceeded(OTHER, 1, 0.0, b""), CallFailed(STEP, 1, 0.0, ERROR), failed)
        state = self.retried(*events, again=(AGENT.path,))
        assert [state.calls[one.path].outcome is None for one in (AGENT, STEP, OTHER)] == [True, True, False]
        assert (state.calls[STEP.path].attempts, state.calls[STEP.path].forgiven) == ((events[1],), 1)

    def test_what_succeeded_after_the_failure_stays(self):
        state = self.retried(CallFailed(STEP, 1, 0.0, ERROR), CallSucceeded(OTHER, 1, 0.0, b"x"))
        assert state.calls[OTHER.path].outcome.value == b"x"

    def test_a_call_that_nobody_knows_or_that_succeeded_keeps_no_other_from_being_taken_back(self):
        events = (CallSucceeded(OTHER, 1, 0.0, b"x"), CallFailed(STEP, 1, 0.0, ERROR))
        state = self.retried(*events, again=("unknown#1", OTHER.path, STEP.path))
        assert state.calls[STEP.path].outcome is None

    def test_attempts_before_a_retry_are_forgiven_and_those_after_it_are_not(self):
        state = self.retried(AttemptFailed(STEP, 1, 0.0, ERROR, 0.0), CallFailed(STEP, 2, 0.0, ERROR))
        assert state.calls[STEP.path].forgiven == 2
        state.apply(Record(9, 1.0, "driver", 1, b"", AttemptFailed(STEP, 3, 0.0, ERROR, 0.0)))
        assert (state.calls[STEP.path].forgiven, len(state.calls[STEP.path].attempts)) == (2, 3)

    def test_a_call_that_was_still_trying_is_forgiven_too_if_it_is_named(self):
        state = self.retried(AttemptFailed(STEP, 1, 0.0, ERROR, 0.0))
        assert state.calls[STEP.path].forgiven == 1

    def test_a_call_that_was_cancelled_is_made_again_if_it_is_named(self):
        state = self.retried(CallCancelled(STEP, 1, 0.0))
        assert (state.calls[STEP.path].outcome, state.calls[STEP.path].attempts) == (None, ())


class TestRetries:
    """A run that is retried makes again what had failed it, and what that was inside of."""

    def events(self, *more):
        return (
            CallStarted(AGENT, 1),
            CallSucceeded(OTHER, 1, 0.0, b""),
            AttemptFailed(STEP, 1, 0.0, ERROR, 0.0),
            CallFailed(STEP, 2, 0.0, ERROR),
            CallFailed(AGENT, 1, 0.0, ERROR, (STEP.path,)),
            RunEnded("failed", ERROR, (AGENT.path,)),
            *more,
        )

    def test_before_it_the_failures_stand(self):
        state = after(*self.events())
        assert isinstance(state.calls[AGENT.path].outcome, CallFailed)
        assert (state.spent, state.detour) == (1, None)

    def test_it_takes_failures_back_and_forgives_their_attempts_and_leaves_results_alone(self):
        state = after(*self.events(RunRetried((AGENT.path,))))
        assert (state.ended, state.spent) == (None, 0)
        agent, step, other = (state.calls[one.path] for one in (AGENT, STEP, OTHER))
        assert (agent.outcome, step.outcome) == (None, None)
        assert [one.attempt for one in step.attempts] == [1, 2]
        assert isinstance(step.attempts[-1], CallFailed)
        assert agent.forgiven == 1
        assert isinstance(other.outcome, CallSucceeded)

    def test_what_was_recorded_after_the_first_failure_that_is_taken_back_may_not_be_met_again(self):
        assert after(*self.events(RunRetried((AGENT.path,)))).detour is not None
        assert after(*self.events(RunRetried((AGENT.path,)))).detour <= 4

    def test_a_call_that_nobody_knows_is_passed_over(self):
        state = after(*self.events(RunRetried(("unknown#1",))))
        assert state.ended is None
        assert isinstance(state.calls[STEP.path].outcome, CallFailed)


def test_an_attempt_takes_back_the_inner_failures_that_it_failed_of():
    remedy = Grow(memory=5)
    state = after(
        CallStarted(AGENT, 1),
        CallFailed(OTHER, 1, 0.0, ERROR),
        CallFailed(STEP, 1, 0.0, ERROR),
        AttemptFailed(AGENT, 1, 0.0, ERROR, 0.0, (STEP.path,), remedy, "on_oom"),
    )
    assert state.calls[STEP.path].outcome is None
    assert isinstance(state.calls[OTHER.path].outcome, CallFailed)
    assert state.calls[AGENT.path].attempts[0].remedy == remedy


def test_a_part_of_a_run_is_taken_over_with_its_calls_and_its_place():
    whole = after(CallStarted(AGENT, 1), CallStarted(STEP, 1), CallStarted(INNER, 1))
    part = RunState()
    part.take_over([whole.calls[STEP.path], *whole.inside(STEP.path)], seq=3, detour=2)
    assert (part.seq, part.detour) == (3, 2)
    assert set(part.calls) == {STEP.path, INNER.path}
    assert [one.call.path for one in part.inside(STEP.path)] == [INNER.path]
    assert [one.call.path for one in part.children(AGENT.path)] == [STEP.path]


@pytest.mark.parametrize(
    ("path", "outer"),
    [
        ("agent#1", ""),
        ("agent#1/step#1", "agent#1"),
        ("agent#1/~work#1/step#1", "agent#1"),
        ("agent#1/~work#1/~more#2/step#1", "agent#1"),
        ("agent#1/task#1/~work#1/step#1", "agent#1/task#1"),
        ("agent#1/~work#1/task#1/step#1", "agent#1/~work#1/task#1"),
        ("~work#1/step#1", ""),
    ],
)
def test_a_call_is_inside_of_the_call_around_its_strands(path, outer):
    assert enclosing(path) == outer
