"""What a person is told of a failed attempt, what they may say, and what is made of it."""

from __future__ import annotations

import json
import types
from typing import Any

import msgspec
import pytest

from regrow.codec import capture
from regrow.engine.advice import GIVE_UP, STOP, Advice, _wanted, advisers_of, edit, follow, is_advised
from regrow.engine.asks import UNDECIDED
from regrow.engine.branches import Branch
from regrow.engine.callee import Callee, Invocation
from regrow.engine.scope import Scope
from regrow.engine.state import CallState
from regrow.errors import Failure, OutOfMemory, TimedOut, UnfitAnswer
from regrow.journal.records import AttemptFailed, Call, CallFailed
from regrow.remedies import AskHuman, Extend, Grow, Resume, RetryAfter
from regrow.values.options import Options

pytestmark = pytest.mark.unit

CALL = Call("task#1/work#1", "step", 1, b"")
PLAIN = ValueError("no")
FULL = OutOfMemory("task#1/work#1", peak=None, limit=2**30)
SLOW = TimedOut("task#1/work#1", 5.0, "timeout")


class Cut(Failure):
    """One after which a checkpoint helps."""

    @property
    def remedies(self):
        return (Resume(),)


class Odd:
    """A type that has no form in JSON."""


def work(number: int, name: str = "x") -> bool: ...


def silent(number): ...


def odd(number: Odd) -> Odd: ...


class Plan(msgspec.Struct):
    """A type whose schema refers to a definition elsewhere, because it holds itself."""

    then: Plan | None = None


def planning(number) -> Plan: ...


def unresolved(number: "NoSuchType") -> "NoSuchType": ...  # noqa: F821, UP037 - that is the point


def invoked(function=work, *args, **kwargs):
    scope = types.SimpleNamespace()
    callee = Callee(function, "step", "sync", Options(), function.__name__, f"module:{function.__name__}")
    return Invocation(callee, Branch(scope, "task#1"), args or (3,), kwargs)


def failed(error=PLAIN, attempt=1, remedy=AskHuman()):  # noqa: B008 - it is frozen
    return AttemptFailed(CALL, attempt, 1.0, capture(error), 2.0, remedy=remedy)


def wanted(error=PLAIN, *, before=(), policy=AskHuman(), function=work, args=(3,)):  # noqa: B008 - it is frozen
    last = failed(error, len(before) + 1, policy)
    known = CallState(CALL, 1, attempts=(*before, last))
    return _wanted(invoked(function, *args), last, known)


# Who is asked


def test_a_call_is_advised_if_one_of_its_failed_attempts_was_put_to_a_person():
    assert not is_advised(None)
    assert not is_advised(CallState(CALL, 1))
    assert not is_advised(CallState(CALL, 1, attempts=(failed(remedy=RetryAfter(0.0)), CallFailed(CALL, 2, 1.0, None))))
    assert is_advised(CallState(CALL, 1, attempts=(failed(), failed(attempt=2, remedy=None))))


def test_what_was_forgiven_is_not_put_to_anybody_again():
    known = CallState(CALL, 1, attempts=(failed(), failed(attempt=2)), forgiven=1)
    assert is_advised(known)
    assert not is_advised(msgspec.structs.replace(known, forgiven=2))
    outer = Scope(types.SimpleNamespace(), None, None)
    assert [place for place, _, _ in advisers_of(invoked(), known, outer, "sync")] == [1]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_each_failed_attempt_is_a_question_of_its_own_on_a_strand_aside(mode):
    known = CallState(CALL, 1, attempts=(failed(), failed(attempt=2, remedy=RetryAfter(0.0)), failed(attempt=3)))
    driver = types.SimpleNamespace()
    outer = Scope(driver, None, None)
    found = list(advisers_of(invoked(), known, outer, mode))
    assert [place for place, _, _ in found] == [0, 2]
    assert [scope.attempt for _, _, scope in found] == [1, 3]
    for _, callee, scope in found:
        assert (callee.name, callee.mode, callee.kind) == ("advice", mode, "step")
        assert (scope.driver, scope.call, scope.outer) == (driver, CALL, outer)
        assert scope.main.scope is scope
        assert scope.main.prefix.startswith(f"{CALL.path}/~")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_question_is_put_under_the_number_of_its_attempt(monkeypatch, mode):
    asked = []

    async def ask_async(invocation, question):
        asked.append((invocation.callee.name, question.kind))
        return "retry"

    def ask_in_thread(invocation, question):
        asked.append((invocation.callee.name, question.kind))
        return "retry"

    monkeypatch.setattr("regrow.engine.advice.ask_async", ask_async)
    monkeypatch.setattr("regrow.engine.advice.ask_in_thread", ask_in_thread)
    known = CallState(CALL, 1, attempts=(failed(attempt=4),))
    ((_, callee, _),) = advisers_of(invoked(), known, Scope(types.SimpleNamespace(), None, None), mode)
    given = callee.function(1, a=2)
    if mode == "async":
        with pytest.raises(StopIteration) as end:
            given.send(None)
        given = end.value.value
    assert (given, asked) == ("retry", [("advice-4", "remedy")])


# What they are told


def test_they_are_told_what_failed_how_and_what_can_be_done():
    question = wanted(before=(failed(KeyError("first"), remedy=RetryAfter(0.0)),))
    shown = {one.title: one.text for one in question.exhibits}
    assert list(shown) == ["failure", "before", "ways on", "number", "name"]
    assert question.text == "work failed: ValueError: no. What is to be done?"
    assert "ValueError: no" in shown["failure"]
    assert shown["before"].startswith("attempt 1: KeyError")
    assert (shown["number"], shown["name"]) == ("3", "x")
    assert question.evidence == {title: shown[title] for title in ("failure", "before", "ways on")}
    assert (question.kind, question.type_) == ("remedy", Any)


def test_where_nothing_was_tried_before_nothing_is_said_of_it():
    assert [one.title for one in wanted().exhibits] == ["failure", "ways on", "number", "name"]


def test_attempts_before_are_told_line_by_line():
    before = tuple(failed(KeyError(str(number)), number, RetryAfter(0.0)) for number in (1, 2))
    shown = {one.title: one.text for one in wanted(before=before).exhibits}
    assert [line.partition(":")[0] for line in shown["before"].splitlines()] == ["attempt 1", "attempt 2"]


def test_a_failure_of_regrow_describes_itself():
    shown = {one.title: one.text for one in wanted(FULL).exhibits}
    assert shown["failure"] == FULL.describe()


def test_each_way_on_has_a_line_of_its_own():
    shown = {one.title: one.text for one in wanted(FULL).exhibits}
    assert [line.partition(":")[0] for line in shown["ways on"].splitlines()] == [
        '"grow"', '"retry"', '"give up"', '"stop"', '{"result"', '{"inputs"',
    ]  # fmt: skip


def test_who_is_asked_and_for_how_long_is_what_the_policy_says():
    question = wanted(policy=AskHuman(("ann", "bob"), 60.0, 10.0))
    assert (question.to, question.timeout, question.remind) == (("ann", "bob"), 60.0, 10.0)
    assert (question.default, question.default_json) == (GIVE_UP, '"give up"')
    endless = wanted()
    assert (endless.to, endless.timeout, endless.remind) == ((), None, None)
    assert (endless.default, endless.default_json) == (UNDECIDED, None)


# What they may say


def test_the_schema_allows_the_words_a_result_of_its_type_and_inputs_by_their_names():
    assert wanted(FULL).schema == {
        "anyOf": [
            {"enum": ["grow", "retry", "give up", "stop"]},
            {
                "type": "object",
                "properties": {"result": {"type": "boolean"}},
                "required": ["result"],
                "additionalProperties": False,
            },
            {
                "type": "object",
                "properties": {
                    "inputs": {
                        "type": "object",
                        "properties": {"number": {}, "name": {}},
                        "additionalProperties": False,
                    }
                },
                "required": ["inputs"],
                "additionalProperties": False,
            },
        ]
    }


@pytest.mark.parametrize("function", [silent, odd, planning, unresolved], ids=lambda one: one.__name__)
def test_a_result_whose_type_cannot_be_said_here_may_be_anything(function):
    schema = wanted(function=function).schema
    assert schema["anyOf"][1]["properties"]["result"] == {}


@pytest.mark.parametrize(
    "answer", [b'"retry"', b'"give up"', b'"stop"', b'{"result": true}', b'{"inputs": {"number": 4}}']
)
def test_what_is_allowed_is_read_as_it_was_said(answer):
    assert wanted().read(answer) == json.loads(answer)


@pytest.mark.parametrize(
    "answer",
    [b'"grow"', b'"no"', b"3", b'{"result": "no bool"}', b'{"inputs": {"other": 1}}', b'{"result": true, "more": 1}',
     b'{"inputs": {"number": "no number"}}', b"{}"],
)  # fmt: skip
def test_what_cannot_be_done_is_no_answer(answer):
    with pytest.raises(UnfitAnswer):
        wanted().read(answer)


# What is made of it


@pytest.mark.parametrize("word", [GIVE_UP, STOP])
def test_to_give_up_and_to_stop_are_words_and_no_remedies(word):
    assert follow(invoked(), failed(), word) == Advice(word=word)


@pytest.mark.parametrize(
    ("error", "word", "remedy"),
    [
        (FULL, "grow", Grow(memory=2**31)),
        (FULL, "retry", RetryAfter(0.0)),
        (SLOW, "extend", Extend(10.0)),
        (Cut("cut"), "resume", Resume()),
        (PLAIN, "retry", RetryAfter(0.0)),
    ],
    ids=["grow", "retry", "extend", "resume", "of a plain error"],
)
def test_a_word_chooses_the_way_that_the_failure_itself_has_found(error, word, remedy):
    assert follow(invoked(), failed(error), word) == Advice(remedy=remedy)


def test_a_way_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(UnfitAnswer, match="it must be one of grow, retry"):
        follow(invoked(), failed(FULL), "extend")


def test_a_result_is_read_as_the_type_that_the_function_gives():
    assert follow(invoked(), failed(), {"result": True}) == Advice(None, (True,), None, "")
    with pytest.raises(UnfitAnswer):
        follow(invoked(), failed(), {"result": "yes"})
    assert follow(invoked(silent), failed(), {"result": [1]}) == Advice(result=([1],))


def test_other_inputs_are_read_as_their_types_and_tried_at_once():
    assert follow(invoked(), failed(), {"inputs": {"number": 4}}) == Advice(RetryAfter(0.0), inputs={"number": 4})
    with pytest.raises(UnfitAnswer):
        follow(invoked(), failed(), {"inputs": {"number": "four"}})
    assert follow(invoked(silent), failed(), {"inputs": {"number": "four"}}).inputs == {"number": "four"}


def test_edited_inputs_take_the_place_of_those_that_were_given_and_leave_the_others():
    invocation = invoked(work, 3, name="y")
    edit(invocation, {"number": 4})
    assert invocation.callee.inputs(invocation.args, invocation.kwargs) == {"number": 4, "name": "y"}
