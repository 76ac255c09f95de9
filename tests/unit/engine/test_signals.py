"""How a call waits for a signal: what it takes, until when, and what becomes of that if the code gives up."""

from __future__ import annotations

import pytest

import regrow
from regrow.authoring.home import workers
from regrow.engine.host import Host
from regrow.engine.signals import WantedSignal, _Listening, invocation_of
from regrow.engine.state import CallState
from regrow.errors import NoAnswer, UnfitAnswer
from regrow.healing.ladder import Ladder
from regrow.journal.chain import unseal_all
from regrow.journal.records import Call, CallStarted, RunCreated, SignalTaken
from regrow.journal.store import NewRun
from regrow.testing import FakeClock, MemoryStore

pytestmark = pytest.mark.unit

CALL = Call("task#1/wait_for#1", "signal", 1, b"digest")
OTHER = Call("task#1/wait_for#2", "signal", 2, b"digest")


@pytest.fixture
def clock():
    return FakeClock(100.0)


@pytest.fixture
def driver(clock):
    store = MemoryStore()
    host = Host(store, workers, Ladder(), clock)
    store.create(NewRun("r", "task", 1.0))
    yield host.take_up("r", created=RunCreated("r", "task", "", b"", b""))
    host.close()


def listening(driver, call=CALL, *, type_=int, timeout=None, known=None, attempt=1):
    """Give a call that waits for the signal ``go``, from where it is known to."""
    wanted = WantedSignal("go", type_, timeout)
    waiting = _Listening(invocation_of(wanted, {}, driver.root_branch()), wanted)
    list(waiting.begin(call, known, attempt, None))
    return waiting


def send(driver, value, name="go"):
    return driver.around.signals.send("r", name, value, "ann", 50.0)


def begun(driver):
    driver._committer.flush()
    store = driver.around.store
    events = [record.event for record in unseal_all("r", store.read("r"))]
    return [(event.call.path, event.attempt, event.due) for event in events if isinstance(event, CallStarted)]


def test_what_was_sent_is_given_as_its_type_with_who_sent_it_and_when(driver):
    place = send(driver, b"7")
    found = listening(driver).look()
    assert (found.value, driver.load(found.kept.value)) == (7, 7)
    assert found.event == SignalTaken(CALL.path, "go", place, "ann", 50.0)


def test_what_does_not_fit_is_taken_and_the_error_names_the_signal(driver):
    send(driver, b'"x"')
    found = listening(driver).look()
    assert isinstance(found.error, UnfitAnswer)
    assert found.error.ask == "go"
    assert found.event.place == 1
    assert listening(driver, OTHER).look() is None


def test_each_signal_goes_to_one_call_and_a_call_that_looks_again_gets_its_own(driver):
    send(driver, b"1")
    send(driver, b"2")
    one, other = listening(driver), listening(driver, OTHER)
    assert [one.look().value, other.look().value, one.look().value] == [1, 2, 1]
    assert listening(driver).look().value == 1


def test_another_attempt_at_the_same_call_is_given_the_next_one(driver):
    send(driver, b"1")
    send(driver, b"2")
    assert [listening(driver, attempt=attempt).look().value for attempt in (1, 2)] == [1, 2]


def test_what_the_code_gives_up_on_goes_to_the_next_call(driver):
    send(driver, b"1")
    one, other = listening(driver), listening(driver, OTHER)
    assert one.look().value == 1
    assert other.look() is None
    one.give_up()
    assert other.look().value == 1


def test_it_is_known_what_is_waited_for_until_the_code_gives_up(driver):
    expected = driver.around.signals.expected
    waiting = listening(driver)
    assert expected("r") == []
    waiting.look()
    waiting.look()
    assert expected("r") == ["go"]
    waiting.give_up()
    assert expected("r") == []


def test_the_store_is_told_once_and_not_at_each_look(driver, monkeypatch):
    told = []
    monkeypatch.setattr(type(driver.around.signals), "expect", lambda _, *what: told.append(what[:2]))
    waiting = listening(driver)
    for _ in range(3):
        assert waiting.look() is None
    assert told == [("r", "go")]


def test_a_time_limit_is_recorded_when_the_wait_begins_and_holds_from_then_on(driver, clock):
    waiting = listening(driver, timeout=5.0)
    assert begun(driver) == [(CALL.path, 1, 105.0)]
    clock.advance(4.9)
    assert waiting.look() is None
    clock.now = 105.0
    found = waiting.look()
    assert isinstance(found.error, NoAnswer)
    assert (found.event, found.error.path, found.error.limit) == (None, CALL.path, 5.0)
    assert driver.around.signals.expected("r") == []


def test_a_signal_that_is_there_is_taken_though_the_time_has_passed(driver, clock):
    waiting = listening(driver, timeout=5.0)
    send(driver, b"7")
    clock.advance(60)
    assert waiting.look().value == 7


def test_without_a_limit_it_waits_for_ever(driver, clock):
    waiting = listening(driver)
    assert begun(driver) == [(CALL.path, 1, None)]
    clock.advance(1e9)
    assert waiting.look() is None


def test_a_wait_of_an_earlier_life_is_not_recorded_again_and_keeps_its_limit(driver, clock):
    known = CallState(CALL, 1, begun=CallStarted(CALL, 1, 102.0))
    waiting = listening(driver, timeout=60.0, known=known)
    assert begun(driver) == []
    assert waiting.look() is None
    clock.now = 102.0
    assert waiting.look().error.limit == 60.0


def test_a_limit_of_an_earlier_life_holds_though_the_code_names_none_any_more(driver, clock):
    known = CallState(CALL, 1, begun=CallStarted(CALL, 1, 102.0))
    clock.now = 102.0
    error = listening(driver, known=known).look().error
    assert str(error) == f"{CALL.path}: no signal 'go' came in time"


def test_a_call_that_is_known_but_had_not_begun_to_wait_begins(driver):
    listening(driver, timeout=5.0, known=CallState(CALL, 1))
    assert begun(driver) == [(CALL.path, 1, 105.0)]


def test_a_synchronous_task_waits_in_its_thread():
    @regrow.task
    def task() -> int:
        run = regrow.current().run
        regrow.signal(run, "go", 7, store=store)
        return regrow.wait_for_blocking("go", int)

    store = MemoryStore()
    assert regrow.run(task, store=store) == 7
