"""What the code once gave up on it gives up on again, however late it is by then; edited code that waits gets it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

import regrow
from regrow.authoring.home import forget, host_of
from regrow.engine.driver import GRACE_SECONDS, Driver
from regrow.engine.state import fold
from regrow.journal.records import CallCancelled, CallStarted, CallSucceeded
from regrow.testing import Crash, CrashingStore

from .lives import divergences, ledger, live, note, records_of


@pytest.fixture(autouse=True)
def nothing_was_done():
    ledger.clear()


@regrow.step
async def mark(what: str) -> str:
    note(what)
    return what


@regrow.step
async def slow() -> str:
    note("slow")
    await asyncio.sleep(0.1)
    return "came after all"


@regrow.step
async def drip() -> AsyncIterator[int]:
    note("drip")
    for number in range(3):
        await asyncio.sleep(0.1 if number == 1 else 0)
        yield number


async def read_all() -> list[int]:
    return [number async for number in drip()]


WAYS = {
    "a sleep": lambda: regrow.sleep(0.1),
    "a step": slow,
    "a stream": read_all,
}


def impatient(wait, within=0.03):
    @regrow.task
    async def agent() -> object:
        try:
            async with asyncio.timeout(within):
                got = await wait()
        except TimeoutError:
            got = "gave up"
        await mark("after")
        return got

    return agent


def patient(wait):
    return impatient(wait, within=None)


def given_up_once(wait):
    store = CrashingStore()
    calm = CrashingStore()
    assert live(impatient(wait), store=calm) == "gave up"
    store.die_after(calm.appended - 2)  # the ends of the task and of the run are lost
    with pytest.raises(Crash):
        live(impatient(wait), store=store)
    assert any(isinstance(record.event, CallCancelled) for record in records_of(store))
    store.revive()
    ledger.clear()
    return store


@pytest.mark.promise("P4")
@pytest.mark.parametrize("way", WAYS)
def test_what_was_given_up_is_given_up_again_though_it_could_be_had_by_now(way):
    store = given_up_once(WAYS[way])
    time.sleep(0.12)  # time itself is the matter: what was given up would be there at once
    assert live(impatient(WAYS[way]), store=store) == "gave up"
    assert ledger == {}


@pytest.mark.parametrize(("way", "comes"), [("a sleep", None), ("a step", "came after all"), ("a stream", [0, 1, 2])])
def test_edited_code_that_waits_for_what_was_given_up_gets_it(way, comes):
    store = given_up_once(WAYS[way])
    assert live(patient(WAYS[way]), store=store) == comes
    assert divergences(store) == []
    outcomes = [record.event.call.path for record in records_of(store) if isinstance(record.event, CallSucceeded)]
    assert outcomes.count("agent#1/mark#1") == 1


def outcomes_of(store, path, kind=CallSucceeded):
    return [
        record.event
        for record in records_of(store)
        if isinstance(record.event, kind) and record.event.call.path.startswith(path)
    ]


def test_what_is_given_up_is_recorded_as_the_attempt_that_it_was():
    for wait in WAYS.values():
        store = given_up_once(wait)
        (given_up,) = outcomes_of(store, "agent#1/", CallCancelled)
        assert given_up.attempt == 1
        assert records_of(store)[2].time <= given_up.started <= records_of(store)[-1].time


def test_a_sleep_that_is_waited_for_again_ends_when_it_was_to_end_at_first():
    store = given_up_once(lambda: regrow.sleep(1.5))
    (begun,) = outcomes_of(store, "agent#1/sleep", CallStarted)
    assert live(patient(lambda: regrow.sleep(1.5)), store=store) is None
    assert outcomes_of(store, "agent#1/sleep", CallStarted) == [begun]
    (woke,) = [
        record for record in records_of(store) if record.event in outcomes_of(store, "agent#1/sleep", CallSucceeded)
    ]
    assert woke.time >= begun.due
    assert woke.event.attempt == 1


@pytest.mark.parametrize("way", WAYS)
def test_code_that_gave_up_is_given_as_much_time_as_it_once_took_and_a_grace(way, monkeypatch):
    store = given_up_once(WAYS[way])
    (given_up,) = (one for one in fold(records_of(store)).calls.values() if isinstance(one.outcome, CallCancelled))
    waits = []

    async def wait_until(driver, moment):
        waits.append(moment - driver.now())
        await asyncio.sleep(3600)

    monkeypatch.setattr(Driver, "wait_until", wait_until)
    assert live(impatient(WAYS[way]), store=store) == "gave up"
    assert waits == [pytest.approx(given_up.patience + GRACE_SECONDS, abs=given_up.patience)]
    assert given_up.patience >= 0.03


@pytest.mark.parametrize("streams", [False, True])
def test_a_back_off_that_is_given_up_on_after_a_death_is_given_up_on_as_the_attempt_that_was_to_come(streams):
    backoff = regrow.Backoff(base=3600.0, cap=3600.0)

    @regrow.step(retries=3, backoff=backoff, name="flaky")
    async def flaky_stream() -> AsyncIterator[int]:
        raise ConnectionError
        yield 1

    @regrow.step(retries=3, backoff=backoff, name="flaky")
    async def flaky_step() -> str:
        raise ConnectionError

    async def flaky() -> object:
        return [one async for one in flaky_stream()] if streams else await flaky_step()

    store = CrashingStore()
    store.die_after(4)  # the run, the driver, the task, and the first failure
    with pytest.raises(Crash):
        live(impatient(flaky), store=store)
    store.revive()
    assert live(impatient(flaky), store=store) == "gave up"
    (given_up,) = outcomes_of(store, "agent#1/flaky", CallCancelled)
    assert given_up.attempt == 2
    assert records_of(store)[0].time <= given_up.started <= records_of(store)[-1].time


@pytest.mark.parametrize(("way", "comes"), [("a sleep", None), ("a step", "came after all"), ("a stream", [0, 1, 2])])
def test_what_was_given_up_while_its_outcome_was_on_its_way_to_the_journal_is_not_done_again(way, comes):
    calm, store = CrashingStore(), CrashingStore()
    assert live(patient(WAYS[way]), store=calm) == comes
    until, waited_for = next(
        (number, record.event)
        for number, record in enumerate(records_of(calm), start=1)
        if isinstance(record.event, CallSucceeded)
    )
    store.die_after(until)
    with pytest.raises(Crash):
        live(patient(WAYS[way]), store=store)
    store.revive()
    ledger.clear()
    (done,) = outcomes_of(store, waited_for.call.path)
    host = host_of(store)
    driver = host.take_up(store.runs()[0].id)
    driver.hand_in(CallCancelled(done.call, done.attempt, done.started))
    host.let_go(driver)
    forget(host)
    assert live(patient(WAYS[way]), store=store) == comes
    assert ledger == {"after": 1}
    assert outcomes_of(store, waited_for.call.path) == [done]
