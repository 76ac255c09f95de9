"""A call that waits, step by step: what it records and when, what it does meanwhile, and how it is given up."""

from __future__ import annotations

import asyncio
import types

import pytest

from regrow.codec import encode
from regrow.engine.holding import Holding
from regrow.engine.state import CallState
from regrow.engine.todo import AwaitCancellation, AwaitRecorded, AwaitTurn, Hold, Pause
from regrow.engine.vault import Kept
from regrow.engine.waits import Found, _life
from regrow.errors import StoreUnavailable
from regrow.journal.records import Answered, Call, CallCancelled, CallFailed, CallSucceeded

pytestmark = pytest.mark.unit

CALL = Call("task#1/ask#1", "ask", 1, b"digest")
ANSWERED = Answered(CALL.path, "ask-1", "", "answered")
SCOPE = types.SimpleNamespace(path="task#1")


class HaltedError(Exception):
    """The run cannot go on for now."""


class Driver:
    """What a call that waits needs of its driver."""

    def __init__(self, known=None):
        self.run = "run-1"
        self.known = known
        self.done = []
        self.holding = Holding()
        self.holds_back = False
        self.ahead = False
        self.out_of_turn = False
        self.given_up = True
        self.tally = types.SimpleNamespace(executed=0)

    def meet(self, invocation):
        return CALL, self.known

    def now(self):
        return 100.0

    def is_out_of_turn(self, known):
        return self.out_of_turn

    def is_ahead(self):
        return self.ahead

    def is_given_up_in(self, scope):
        assert scope is SCOPE
        return self.given_up

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)

        def note(*what):
            self.done.append((name, *what))
            return f"ticket of {name}"

        return note

    def replay(self, known, outcome):
        return ("replayed", outcome)

    def halt(self, problem):
        return HaltedError(str(problem))


class Waiting:
    """Waits for something that comes at the look that it is told."""

    def __init__(self, found=None, looks=1):
        self.found = found
        self.looks = looks
        self.looked = 0
        self.begun = []
        self.given_up = 0
        self.problem = None

    def begin(self, *what):
        self.begun.append(what)
        yield "ticket of begin"

    def look(self):
        self.looked += 1
        if self.problem is not None:
            raise self.problem
        return self.found if self.looked >= self.looks else None

    def give_up(self):
        self.given_up += 1
        if self.problem is not None:
            raise self.problem


def life_of(driver, waiting, loop="loop"):
    SCOPE.driver = driver
    return _life(waiting, types.SimpleNamespace(branch=types.SimpleNamespace(scope=SCOPE)), loop)


def lived(driver, waiting, loop="loop"):
    """All that a call says is to be done, and what it gives in the end."""
    life, todos = life_of(driver, waiting, loop), []
    try:
        while True:
            todos.append(next(life))
    except StopIteration as end:
        return todos, end.value


FOUND = Found(ANSWERED, 7, Kept(encode(7), ("blob",)))


def test_what_comes_is_recorded_and_given_to_the_code():
    driver, waiting = Driver(), Waiting(FOUND)
    todos, value = lived(driver, waiting)
    assert (todos, value) == (["ticket of begin", "ticket of record"], 7)
    assert waiting.begun == [(CALL, None, 1, "loop")]
    result = CallSucceeded(CALL, 1, 100.0, encode(7))
    assert driver.done == [("hand_in", ANSWERED), ("record", result, "loop", ("blob",))]
    assert driver.tally.executed == 1


def test_what_comes_without_a_word_of_whence_leaves_no_record_but_the_result():
    driver = Driver()
    lived(driver, Waiting(Found(None, 7, Kept(encode(7)))))
    assert [one[0] for one in driver.done] == ["record"]


def test_an_error_that_comes_is_recorded_as_the_calls_and_raised_as_its_own():
    driver, problem = Driver(), ValueError("no")
    life = life_of(driver, Waiting(Found(ANSWERED, error=problem)))
    assert [next(life), next(life)] == ["ticket of begin", "ticket of record"]
    with pytest.raises(ValueError, match="no") as raised:
        next(life)
    assert raised.value is problem
    (_, (_, event, loop)) = driver.done
    assert isinstance(event, CallFailed)
    assert (event.call, event.attempt, event.started, event.error.message) == (CALL, 1, 100.0, "no")
    assert loop == "loop"


def test_it_looks_often_at_first_and_after_a_minute_once_a_second():
    driver = Driver()
    todos, _ = lived(driver, Waiting(FOUND, looks=310))
    pauses = [todo.seconds for todo in todos if isinstance(todo, Pause)]
    assert len(pauses) == 309
    assert set(pauses[:300]) == {0.2}
    assert set(pauses[301:]) == {1.0}
    assert [one[0] for one in driver.done].count("check") == 309


def test_while_it_waits_its_strand_is_at_rest_and_no_longer():
    driver = Driver()
    life = life_of(driver, Waiting(FOUND, looks=2))
    with driver.holding.at_work("task#1"):
        assert next(life) == "ticket of begin"
        assert driver.holding.is_at_rest
        assert isinstance(next(life), Pause)
        assert driver.holding.is_at_rest
        assert next(life) == "ticket of record"
        assert not driver.holding.is_at_rest


def test_a_call_with_an_outcome_is_replayed_and_waits_for_nothing():
    outcome = CallSucceeded(CALL, 1, 1.0, encode(1))
    driver, waiting = Driver(CallState(CALL, 1, outcome=outcome)), Waiting(FOUND)
    assert lived(driver, waiting) == ([], ("replayed", outcome))
    assert (waiting.begun, driver.tally.executed) == ([], 0)


@pytest.mark.parametrize(("loop", "waits"), [("loop", True), (None, False)])
def test_only_a_coroutine_waits_for_its_turn_to_be_replayed(loop, waits):
    known = CallState(CALL, 1, outcome=CallSucceeded(CALL, 1, 1.0, encode(1)))
    driver = Driver(known)
    driver.out_of_turn = True
    todos, _ = lived(driver, Waiting(), loop)
    assert todos == ([AwaitTurn(known)] if waits else [])


@pytest.mark.parametrize(("loop", "waits"), [("loop", True), (None, False)])
def test_only_a_coroutine_lets_what_is_recorded_go_first(loop, waits):
    driver = Driver()
    driver.ahead = True
    todos, _ = lived(driver, Waiting(FOUND), loop)
    assert todos == ["ticket of begin", *([AwaitRecorded()] if waits else []), "ticket of record"]


def test_a_call_that_the_code_gave_up_on_waits_for_that_to_happen_again_and_then_for_the_answer():
    known = CallState(CALL, 1, outcome=CallCancelled(CALL, 1, 1.0), patience=5.0, begun_at=40.0)
    driver = Driver(known)
    todos, value = lived(driver, Waiting(FOUND))
    first = todos[0]
    assert isinstance(first, AwaitCancellation)
    assert first.moment >= 105.0
    assert (todos[1:], value) == (["ticket of begin", "ticket of record"], 7)


def test_one_that_began_in_an_earlier_life_says_so_in_its_record():
    driver = Driver(CallState(CALL, 1, begun_at=40.0))
    lived(driver, Waiting(FOUND))
    assert driver.done[-1][1].started == 40.0


def test_one_that_has_not_begun_in_an_earlier_life_begins_now():
    driver = Driver(CallState(CALL, 1))
    lived(driver, Waiting(FOUND))
    assert driver.done[-1][1].started == 100.0


def test_in_a_run_that_is_held_back_it_does_not_begin():
    driver, waiting = Driver(), Waiting(FOUND)
    driver.holds_back = True
    life = life_of(driver, waiting)
    assert next(life) == Hold("task#1")
    assert (waiting.begun, driver.done) == ([], [])
    assert next(life) == "ticket of begin"
    assert driver.done == [("check",)]


@pytest.mark.parametrize("given_up", [True, False])
def test_a_cancellation_withdraws_what_is_waited_for_only_if_the_code_gave_up(given_up):
    driver, waiting = Driver(), Waiting()
    driver.given_up = given_up
    life = life_of(driver, waiting)
    next(life)
    with pytest.raises(asyncio.CancelledError):
        life.throw(asyncio.CancelledError())
    assert waiting.given_up == given_up
    assert driver.done == [("note_given_up", SCOPE, CallCancelled(CALL, 1, 100.0))]


def test_giving_up_goes_on_where_the_store_cannot_be_told():
    driver, waiting = Driver(), Waiting()
    life = life_of(driver, waiting)
    next(life)
    waiting.problem = StoreUnavailable("away")
    with pytest.raises(asyncio.CancelledError):
        life.throw(asyncio.CancelledError())
    assert (waiting.given_up, driver.done[0][0]) == (1, "note_given_up")


def test_a_store_that_cannot_be_asked_halts_the_run():
    waiting = Waiting()
    waiting.problem = StoreUnavailable("away")
    life = life_of(Driver(), waiting)
    next(life)
    with pytest.raises(HaltedError, match="away") as raised:
        next(life)
    assert raised.value.__cause__ is waiting.problem
