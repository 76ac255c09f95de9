"""An attempt at a call: what the code inside it can ask about itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from regrow.engine.scope import Scope
from regrow.engine.state import CallState
from regrow.journal.records import AttemptFailed, Call
from regrow.values.options import Options

DRIVER = SimpleNamespace(run="r")


def call(path, kind="task"):
    return Call(path, kind, 1, b"")


def test_around_the_outermost_call_there_is_nothing():
    around = Scope(DRIVER, None, None)
    assert (around.path, around.task, around.depth, around.outer, around.call) == ("", "", 0, None, None)
    assert (around.main.prefix, around.attempt, around.failures, around.forgiven) == ("", 1, (), 0)
    assert around.options == Options()
    assert (around.resources, around.allowed, around.bound, around.begun, around.busy) == (None, None, None, 0.0, 0)


def test_scopes_know_their_task_their_depth_and_where_their_calls_are_placed():
    agent = Scope(DRIVER, call("agent#1"), Scope(DRIVER, None, None))
    step = Scope(DRIVER, call("agent#1/~work#1/step#2", "step"), agent)
    task = Scope(DRIVER, call("agent#1/~work#1/step#2/train#1!2"), step)
    assert [one.depth for one in (agent, step, task)] == [1, 2, 3]
    assert [one.task for one in (agent, step, task)] == ["agent", "agent", "train"]
    assert step.main.prefix == "agent#1/~work#1/step#2/"
    assert Scope(DRIVER, call("alone#1", "step"), None).task == "alone"


def test_an_attempt_knows_those_that_failed_before_it():
    one = call("agent#1")
    failed = AttemptFailed(one, 1, 0.0, None, 0.0)
    scope = Scope(
        DRIVER, one, None, attempt=2, known=CallState(one, 1, attempts=(failed,), forgiven=1), first_begun=5.0
    )
    assert (scope.attempt, scope.failures, scope.forgiven, scope.first_begun) == (2, (failed,), 1, 5.0)


def test_the_key_for_the_outside_world_is_the_same_in_each_attempt_and_another_for_each_call():
    one = Scope(DRIVER, call("agent#1"), None)
    again = Scope(DRIVER, call("agent#1"), None, attempt=2)
    other = Scope(DRIVER, call("agent#2"), None)
    assert one.idempotency_key == again.idempotency_key
    assert one.idempotency_key != other.idempotency_key
    assert one.idempotency_key != Scope(SimpleNamespace(run="s"), call("agent#1"), None).idempotency_key


@pytest.mark.parametrize("expired", [True, False])
def test_a_timeout_of_its_own_or_around_it_is_ending_a_scope(expired):
    outer = Scope(DRIVER, call("agent#1"), None)
    inner = Scope(DRIVER, call("agent#1/step#1"), outer)
    assert (outer.timed_out, inner.timed_out, inner.is_ending) == (False, False, False)
    outer.bound = SimpleNamespace(expired=lambda: expired)
    assert (outer.timed_out, outer.is_ending, inner.timed_out, inner.is_ending) == (expired, expired, False, expired)
    outer.bound, inner.bound = None, SimpleNamespace(expired=lambda: expired)
    assert (outer.is_ending, inner.is_ending) == (False, expired)
