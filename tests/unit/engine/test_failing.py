"""What is told of failed attempts, what the next one is given, and what it runs."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

import regrow
from regrow.codec import capture, registry
from regrow.engine.callee import Callee
from regrow.engine.calls import _hides_outcome
from regrow.engine.failing import allowed_to, body_of, given_to, judge, told
from regrow.engine.healer import GiveUp, TryAgain
from regrow.engine.state import CallState, RunState
from regrow.errors import UsageError, WorkerLost
from regrow.journal.records import AttemptFailed, Call, CallFailed, RecordedFallback
from regrow.remedies import Grow
from regrow.values.options import Options
from regrow.values.policies import Bounds
from regrow.values.resources import Resources

CALL = Call("agent#1/train#1", "task", 1, b"")
ERROR = capture(ValueError("no"))
GROWN = AttemptFailed(CALL, 1, 0.0, ERROR, 0.0, remedy=Grow(memory=2**30), chosen_by="on_oom")
PLAIN = AttemptFailed(CALL, 2, 0.0, ERROR, 0.0)


def scope(*failures, forgiven=0, **facts):
    given = {
        "path": CALL.path,
        "options": Options(),
        "idempotency_key": "key",
        "attempt": len(failures) + 1,
        "failures": failures,
        "forgiven": forgiven,
        "first_begun": 1.0,
        "resources": None,
    }
    return SimpleNamespace(**(given | facts))


def driver(verdict=None, resources=None):
    """Play a driver whose ladder says what it is told to, and remembers what it was asked."""
    state = RunState()
    state.spent, state.began = 7, 0.5
    asked = []

    def after_failure(situation, error):
        asked.append(situation)
        return verdict

    healer = SimpleNamespace(after_failure=after_failure, resources=lambda options, history: resources or Resources())
    return SimpleNamespace(
        healer=healer,
        log=SimpleNamespace(state=state),
        executor=SimpleNamespace(ceiling=2**40),
        bounds=Bounds(attempts=5),
        now=lambda: 9.0,
        asked=asked,
    )


# -- history -----------------------------------------------------------------------------------------------------------


def test_an_attempt_is_told_in_a_line_with_what_was_done_about_it():
    assert told(PLAIN) == "attempt 2: ValueError: no"
    assert told(GROWN).startswith("attempt 1: ValueError: no → ")
    assert told(GROWN).endswith("(on_oom)")
    fallback = AttemptFailed(CALL, 1, 0.0, ERROR, 0.0, remedy=RecordedFallback("here:other"), chosen_by="on_failure")
    assert told(fallback) == "attempt 1: ValueError: no → Fallback: let here:other answer (on_failure)"
    assert told(CallFailed(CALL, 3, 0.0, ERROR)) == "attempt 3: ValueError: no"


def test_a_failure_of_this_call_that_is_given_up_on_carries_the_attempts_before_it():
    for path in ("", CALL.path):
        error = WorkerLost(path, signal="SIGKILL")
        judge(driver(GiveUp("no retries left")), scope(GROWN, PLAIN), error)
        assert error.history == (told(GROWN), told(PLAIN))


def test_a_failure_that_came_through_from_another_call_keeps_its_own_history():
    error = WorkerLost("agent#1/train#1/inner#1", signal="SIGKILL")
    judge(driver(GiveUp("no retries left")), scope(PLAIN), error)
    assert error.history == ()


def test_any_error_says_what_the_budget_was_spent_on_and_only_then():
    spent, plain, first = ValueError("no"), ValueError("no"), ValueError("no")
    judge(driver(GiveUp("budget")), scope(GROWN, PLAIN), spent)
    judge(driver(GiveUp("no retries left")), scope(PLAIN), plain)
    judge(driver(GiveUp("budget")), scope(), first)
    (note,) = spent.__notes__
    assert note.splitlines()[1:] == [f"  {told(GROWN)}", f"  {told(PLAIN)}"]
    assert not hasattr(plain, "__notes__")
    assert not hasattr(first, "__notes__")


def test_an_error_that_is_tried_again_is_told_nothing():
    error = WorkerLost(CALL.path, signal="SIGKILL")
    assert judge(driver(TryAgain(10.0)), scope(PLAIN), error) == TryAgain(10.0)
    assert error.history == ()


def test_the_ladder_is_told_all_that_is_known():
    one = driver(GiveUp("policy"), Resources(memory=5))
    judge(one, scope(PLAIN, forgiven=1), ValueError())
    judge(one, scope(resources=Resources(memory=6)), ValueError())
    first, second = one.asked
    assert (first.identity, first.attempt, first.history, first.forgiven) == ("key", 2, (PLAIN,), 1)
    assert (first.first_begun, first.now, first.run_began, first.spent) == (1.0, 9.0, 0.5, 7)
    assert (first.ceiling, first.bounds, first.options) == (2**40, Bounds(attempts=5), Options())
    assert (first.resources.memory, second.resources.memory) == (5, 6)


# -- resources ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "reached", "given"),
    [(100, None, 100), (100, 300, 300), (300, 100, 300), (300, 300, 300), (None, 300, None)],
)
def test_no_attempt_gets_less_than_a_worker_of_its_call_has_grown_to(limit, reached, given):
    one = driver(resources=Resources(memory=limit, cpu=2.0))
    one.log.state.calls[CALL.path] = CallState(CALL, 1, reached=reached)
    assert given_to(one, scope()) == Resources(memory=given, cpu=2.0)


def test_a_call_that_nobody_knows_gets_what_the_ladder_says():
    assert given_to(driver(resources=Resources(memory=100)), scope()) == Resources(memory=100)


# -- fallbacks ---------------------------------------------------------------------------------------------------------


@regrow.task
def blocking(number: int) -> str:
    return f"blocking {number}"


@regrow.task
async def awaited(number: int) -> str:
    return f"awaited {number}"


def fell_back_to(ref, attempt=1):
    return AttemptFailed(CALL, attempt, 0.0, ERROR, 0.0, remedy=RecordedFallback(ref))


def test_without_a_fallback_a_call_runs_its_own_function():
    assert body_of(blocking.callee, scope()) is blocking.callee
    assert body_of(blocking.callee, scope(PLAIN, GROWN)) is blocking.callee
    final = CallFailed(CALL, 1, 0.0, ERROR)
    assert body_of(blocking.callee, scope(final)) is blocking.callee


def test_the_latest_fallback_answers_under_the_name_of_the_call():
    body = body_of(blocking.callee, scope(fell_back_to("nowhere:gone"), fell_back_to(blocking.ref, 2), PLAIN))
    assert body.function is blocking
    assert (body.kind, body.mode, body.name, body.options) == ("task", "sync", "blocking", Options())


def test_an_asynchronous_call_awaits_whichever_answers():
    body = body_of(awaited.callee, scope(fell_back_to(blocking.ref)))
    assert isinstance(body, Callee)
    assert body.mode == "async"
    assert body.function is not blocking


def test_a_fallback_of_a_time_before_the_run_was_retried_answers_no_more():
    assert body_of(blocking.callee, scope(fell_back_to(awaited.ref), forgiven=1)) is blocking.callee


def test_a_fallback_that_is_not_known_here_is_named():
    with pytest.raises(UsageError, match="blocking: its fallback nowhere:gone is not loaded here"):
        body_of(blocking.callee, scope(fell_back_to("nowhere:gone")))


def test_a_coroutine_cannot_stand_in_for_what_blocks():
    with pytest.raises(UsageError, match="blocking is sync, so awaited, which is async, cannot stand in"):
        body_of(blocking.callee, scope(fell_back_to(awaited.ref)))


def test_whoever_stands_in_is_called_with_the_arguments_of_the_call():
    for other, answer in ((blocking, "blocking 3"), (awaited, "awaited 3")):
        body = body_of(awaited.callee, scope(fell_back_to(other.ref)))
        assert asyncio.run(body.function(3)) == answer


def test_a_stream_stands_in_for_nothing(monkeypatch):
    @regrow.step
    async def numbers():
        yield 1

    monkeypatch.setitem(registry.references, "here:numbers", numbers)
    for one in (blocking, awaited):
        with pytest.raises(UsageError, match="which is stream, cannot stand in"):
            body_of(one.callee, scope(fell_back_to("here:numbers")))


# -- time --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout", "deadline", "allowed"),
    [
        (None, None, None),
        (3.0, None, (3.0, "timeout")),
        (30.0, 20.0, (12.0, "deadline")),
        (5.0, 20.0, (5.0, "timeout")),
    ],
)
def test_an_attempt_may_take_what_the_ladder_has_made_of_its_timeout_within_the_deadline(timeout, deadline, allowed):
    one = driver()
    one.healer.timeout = lambda options, history: timeout if history == (PLAIN,) else None
    assert allowed_to(one, scope(PLAIN, options=Options(deadline=deadline))) == allowed


# -- once-only calls in workers ----------------------------------------------------------------------------------------


def lost(path=CALL.path, **facts):
    return WorkerLost(path, signal="SIGKILL").explained(facts=facts)


def test_only_a_worker_that_was_lost_after_its_task_had_begun_hides_an_outcome():
    assert _hides_outcome(lost(), CALL)
    assert _hides_outcome(lost(begun=True), CALL)
    assert not _hides_outcome(lost(begun=False), CALL)


def test_what_the_task_itself_said_hides_nothing():
    assert not _hides_outcome(ValueError(), CALL)
    for path in ("", CALL.path):
        unavailable = regrow.Unavailable("no answer")
        unavailable.path = path
        assert not _hides_outcome(unavailable, CALL)
    assert not _hides_outcome(lost("agent#1/train#1/inner#1"), CALL)
    raised = lost()
    raised.__cause__ = ValueError()
    assert not _hides_outcome(raised, CALL)
