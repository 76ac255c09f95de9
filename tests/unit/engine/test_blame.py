"""What an exception came from, and how long an attempt may take."""

from __future__ import annotations

import dataclasses

import pytest

from regrow.engine.decide import allowance, blame, mark, note
from regrow.values.options import Options

SCOPE = "agent#1"


def from_call(name, run="r"):
    return mark(ValueError(name), run, f"{SCOPE}/{name}#1")


def blamed(error, run="r", scope=SCOPE):
    return blame(error, run, scope)


def test_an_error_remembers_every_call_that_it_came_through():
    error = mark(mark(ValueError(), "r", "agent#1/inner#1/step#1"), "r", "agent#1/inner#1")
    assert blamed(error) == ("agent#1/inner#1/step#1", "agent#1/inner#1")
    assert blamed(error, scope="agent#1/inner#1") == ("agent#1/inner#1/step#1",)


def test_calls_of_other_runs_and_outside_of_the_scope_are_not_blamed():
    assert blamed(from_call("step", run="another")) == ()
    assert blamed(mark(ValueError(), "r", "agent#10/step#1")) == ()
    assert blamed(ValueError()) == ()


def test_a_cause_is_blamed_and_so_is_a_context_unless_it_is_suppressed():
    caused = RuntimeError()
    caused.__cause__ = from_call("cause")
    assert blamed(caused) == ("agent#1/cause#1",)
    handled = RuntimeError()
    handled.__context__ = from_call("context")
    assert blamed(handled) == ("agent#1/context#1",)
    handled.__suppress_context__ = True
    assert blamed(handled) == ()


def test_a_cause_goes_before_a_context():
    both = RuntimeError()
    both.__cause__, both.__context__ = from_call("cause"), from_call("context")
    both.__suppress_context__ = False
    assert blamed(both) == ("agent#1/cause#1",)


def test_members_of_groups_are_blamed_in_their_order_each_once():
    first, last = from_call("first"), from_call("last")
    between = RuntimeError()
    between.__cause__ = first
    group = ExceptionGroup("", [first, ExceptionGroup("", [between]), last])
    assert blamed(group) == ("agent#1/first#1", "agent#1/last#1")


def test_errors_that_caused_each_other_are_told_from_an_endless_chain():
    one, other = from_call("one"), from_call("other")
    one.__cause__, other.__cause__ = other, one
    assert blamed(one) == ("agent#1/one#1", "agent#1/other#1")


def test_a_frozen_error_can_be_marked_and_given_notes():
    @dataclasses.dataclass(frozen=True)
    class Frozen(Exception):
        code: int

    error = Frozen(5)
    note(error, "first")
    note(error, "second")
    assert blamed(mark(error, "r", "agent#1/step#1")) == ("agent#1/step#1",)
    assert error.__notes__ == ["first", "second"]


def test_notes_that_are_no_list_are_left_as_they_are():
    error = ValueError()
    error.__notes__ = "mine"
    note(error, "more")
    assert error.__notes__ == "mine"


@pytest.mark.parametrize(
    ("timeout", "deadline", "allowed"),
    [
        (2.0, 60.0, (2.0, "timeout")),
        (55.0, 60.0, (55.0, "timeout")),
        (55.5, 60.0, (55.0, "deadline")),
        (None, 60.0, (55.0, "deadline")),
        (2.0, None, (2.0, "timeout")),
        (None, None, None),
    ],
)
def test_the_shorter_bound_holds_and_of_equal_ones_the_attempts_own(timeout, deadline, allowed):
    assert allowance(Options(deadline=deadline), timeout, 0.0, 5.0) == allowed
