"""A sleep step by step: what it records, until when it waits, and what it does when it is not the first time."""

from __future__ import annotations

import asyncio

import pytest

from regrow.authoring.context import _SLEEP
from regrow.authoring.home import workers
from regrow.engine.callee import Invocation
from regrow.engine.driver import GRACE_SECONDS
from regrow.engine.host import Host
from regrow.engine.timers import _life
from regrow.engine.todo import AwaitCancellation, AwaitTurn, Hold, WaitUntil
from regrow.healing.ladder import Ladder
from regrow.journal.chain import unseal_all
from regrow.journal.records import CallCancelled, CallStarted, CallSucceeded, RunCreated
from regrow.journal.store import NewRun
from regrow.testing import FakeClock, MemoryStore

pytestmark = pytest.mark.unit


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


def sleeping(driver):
    """Give the life of a sleep of five seconds."""
    return _life(Invocation(_SLEEP, driver.root_branch(), (5.0,), {}), None)


def next_wait(life):
    """Go on to the next thing that is waited for; None at the end. Records are durable at once."""
    for todo in life:
        if isinstance(todo, WaitUntil | AwaitCancellation | AwaitTurn | Hold):
            return todo
    return None


def known_to(driver):
    """Let the code meet the sleep that has been recorded already."""
    known = driver.log.state.calls["sleep#1"]
    driver.meet = lambda _: (known.call, known)
    return known


def events(driver):
    driver._committer.flush()
    store = driver.around.store
    found = [record.event for record in unseal_all("r", store.read("r"))]
    return [event for event in found if isinstance(event, CallStarted | CallSucceeded | CallCancelled)]


def kinds(driver):
    return [type(event) for event in events(driver)]


def test_the_moment_of_waking_is_recorded_before_it_is_waited_for(driver):
    life = sleeping(driver)
    assert next_wait(life) == WaitUntil(105.0)
    (begun,) = events(driver)
    assert begun.due == 105.0
    assert next_wait(life) is None
    assert kinds(driver) == [CallStarted, CallSucceeded]
    assert {event.attempt for event in events(driver)} == {1}
    assert driver.tally.executed == 1


def test_a_later_life_waits_for_the_same_moment_and_records_no_other(driver, clock):
    next_wait(sleeping(driver))
    known_to(driver)
    clock.advance(3.0)
    life = sleeping(driver)
    assert next_wait(life) == WaitUntil(105.0)
    assert next_wait(life) is None
    assert kinds(driver) == [CallStarted, CallSucceeded]


def test_one_whose_beginning_was_taken_back_begins_anew(driver, clock):
    next_wait(sleeping(driver))
    known_to(driver).begun = None  # the run was retried
    clock.advance(60.0)
    assert next_wait(sleeping(driver)) == WaitUntil(165.0)


def test_in_a_run_that_is_held_back_no_sleep_begins_but_one_that_has_begun_goes_on(driver):
    driver.holding.begin()
    assert next_wait(sleeping(driver)) == Hold("")
    assert events(driver) == []
    driver.holding.on = False
    next_wait(sleeping(driver))
    known = driver.log.state.calls["sleep#2"]
    driver.meet = lambda _: (known.call, known)
    driver.holding.begin()
    assert next_wait(sleeping(driver)) == WaitUntil(105.0)


def test_in_a_run_that_was_let_go_of_meanwhile_it_does_not_begin(driver):
    driver.holding.begin()
    life = sleeping(driver)
    next_wait(life)
    driver.closing = True
    with pytest.raises(asyncio.CancelledError):
        next_wait(life)
    assert events(driver) == []


@pytest.mark.parametrize("closing", [False, True])
def test_what_the_code_gives_up_on_is_recorded_and_what_the_driver_cuts_short_is_not(driver, closing):
    life = sleeping(driver)
    next_wait(life)
    driver.closing = closing
    with pytest.raises(asyncio.CancelledError):
        life.throw(asyncio.CancelledError())
    assert kinds(driver) == [CallStarted] + [CallCancelled] * (not closing)
    assert {event.attempt for event in events(driver)} == {1}


def given_up(driver, clock):
    """Let the code give up on a sleep after two seconds, and then, edited, wait for it; give that life."""
    life = sleeping(driver)
    next_wait(life)
    clock.advance(2.0)
    with pytest.raises(asyncio.CancelledError):
        life.throw(asyncio.CancelledError())
    known = known_to(driver)
    assert known.patience >= 2.0
    again = sleeping(driver)
    assert next_wait(again) == AwaitCancellation(clock.now + known.patience + GRACE_SECONDS)
    return again


def test_one_that_was_given_up_on_waits_for_that_and_then_if_it_does_not_come_for_the_moment(driver, clock):
    assert next_wait(given_up(driver, clock)) == WaitUntil(105.0)


def test_one_that_was_over_as_the_code_gave_up_on_it_is_over_for_code_that_waits(driver, clock):
    life = sleeping(driver)
    next_wait(life)
    life.send(None)  # its end is on the way to the disk
    with pytest.raises(asyncio.CancelledError):
        life.throw(asyncio.CancelledError())
    assert kinds(driver) == [CallStarted, CallSucceeded, CallCancelled]
    known_to(driver)
    again = sleeping(driver)
    assert isinstance(next_wait(again), AwaitCancellation)
    assert next_wait(again) is None
    assert len(events(driver)) == 3


def test_a_sleep_that_is_over_is_replayed_in_its_turn(driver):
    life = sleeping(driver)
    next_wait(life)
    next_wait(life)
    known = known_to(driver)
    assert next_wait(sleeping(driver)) is None
    driver.is_out_of_turn = lambda _: True
    again = sleeping(driver)
    assert next_wait(again) == AwaitTurn(known)
    assert next_wait(again) is None
    assert driver.tally.replayed == 2
    assert kinds(driver) == [CallStarted, CallSucceeded]
