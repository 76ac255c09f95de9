"""What a driver tells, waits for, lets go of and refuses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

import regrow
from regrow.authoring.driving import drive
from regrow.authoring.home import forget, host_of
from regrow.engine.callee import Invocation
from regrow.engine.committer import LoopTicket, ThreadTicket
from regrow.engine.news import Replayed
from regrow.errors import Divergence, RunPaused, RunStopped, StoreUnavailable
from regrow.journal.chain import unseal_all
from regrow.journal.records import (
    Call,
    CallCancelled,
    CallStarted,
    CheckpointSaved,
    Diverged,
    DriverClosed,
    Record,
    RunCreated,
    RunEnded,
)
from regrow.journal.store import NewRun
from regrow.testing import FakeClock, MemoryStore

CALL = Call("agent#1", "task", 1, b"")


@regrow.step
def step() -> str:
    return "stepped"


@regrow.task
def agent() -> str:
    return step()


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def host(store):
    host = host_of(store)
    yield host
    forget(host)


def taken_up(host, task=agent, run="r", **more):
    if not host.store.runs():
        host.store.create(NewRun(run, task.ref, 1.0))
    return host.take_up(run, created=RunCreated(run, task.ref, "", b"", b""), **more)


def events(store, run="r"):
    return [record.event for record in unseal_all(run, store.read(run))]


def kinds(store, run="r"):
    return [type(event).__name__ for event in events(store, run)]


# -- observers ---------------------------------------------------------------------------------------------------------


def test_an_observer_is_told_of_each_record_in_order(host, store):
    seen = []
    assert drive(host, taken_up(host, observers=(seen.append,)), agent, (), {}) == "stepped"
    assert seen == unseal_all("r", store.read("r"))


def test_an_observer_is_told_what_was_answered_from_the_journal_and_how_long_that_had_taken(host, store):
    dying = [True]

    @regrow.task
    def mortal() -> str:
        said = step()
        if dying:
            raise KeyboardInterrupt
        return said

    with pytest.raises(KeyboardInterrupt):
        drive(host, taken_up(host, mortal), mortal, (), {})
    dying.clear()
    seen, also = [], []
    driver = taken_up(host, mortal, observers=(seen.append, also.append))
    assert drive(host, driver, mortal, (), {}) == "stepped"
    assert also == seen
    (replayed,) = [one for one in seen if isinstance(one, Replayed)]
    assert replayed.call.path == "mortal#1/step#1"
    known = next(one for one in unseal_all("r", store.read("r")) if type(one.event).__name__ == "CallSucceeded")
    assert replayed.seconds == pytest.approx(known.time - known.event.started)
    assert (driver.tally.replayed, driver.tally.executed) == (1, 1)
    assert driver.tally.seconds_saved == replayed.seconds
    assert events(store)[-1].replayed == 1


def test_steps_sleeps_and_streams_are_counted_as_executed_and_when_they_are_answered_again_as_replayed(host, store):
    lives = []

    @regrow.step
    async def numbers() -> AsyncIterator[int]:
        yield 1

    @regrow.task
    async def mortal() -> int:
        lives.append(1)
        await regrow.sleep(0.001)
        found = [number async for number in numbers()]
        step()
        if len(lives) == 1:
            raise KeyboardInterrupt
        return found[0]

    first = taken_up(host, mortal)
    with pytest.raises(KeyboardInterrupt):
        drive(host, first, mortal, (), {})
    second = taken_up(host, mortal)
    assert drive(host, second, mortal, (), {}) == 1
    assert (first.tally.executed, first.tally.replayed) == (3, 0)
    assert (second.tally.executed, second.tally.replayed) == (1, 3)
    assert second.tally.seconds_saved > 0.001


def test_a_stream_that_fails_for_good_counts_as_executed_once(host):
    @regrow.step
    async def broken() -> AsyncIterator[int]:
        raise ConnectionError
        yield 1

    @regrow.task
    async def reader() -> None:
        with pytest.raises(ConnectionError):
            [number async for number in broken()]

    driver = taken_up(host, reader)
    drive(host, driver, reader, (), {})
    assert driver.tally.executed == 2


def test_a_run_that_is_interrupted_by_its_own_code_says_so_and_stays_unfinished(host, store):
    @regrow.task
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(host, taken_up(host, interrupted), interrupted, (), {})
    assert events(store)[-1] == DriverClosed("KeyboardInterrupt")
    assert store.get("r").status == "interrupted"


# -- waiting -----------------------------------------------------------------------------------------------------------


class Patience:
    """Stands for the event that a thread waits on: time passes when it is waited for."""

    def __init__(self, clock, then=lambda: None):
        self.clock = clock
        self.waits = []
        self.then = then

    def wait(self, seconds):
        self.waits.append(seconds)
        self.clock.advance(seconds)
        self.then()

    def is_set(self):
        return False


def test_a_long_wait_in_a_thread_looks_at_the_clock_once_a_minute(host):
    driver = taken_up(host)
    driver.now = clock = FakeClock()
    driver._interrupted = patience = Patience(clock)
    driver.wait_in_thread_until(clock.now + 125.0)
    assert patience.waits == [60.0, 60.0, 5.0]
    driver.wait_in_thread_until(clock.now - 1.0)
    driver.wait_in_thread_until(clock.now)
    assert len(patience.waits) == 3
    host.let_go(driver)


def test_a_long_wait_in_a_coroutine_looks_at_the_clock_once_a_minute(host, monkeypatch):
    driver = taken_up(host)
    driver.now = clock = FakeClock()
    waits = []

    async def sleep(seconds):
        waits.append(seconds)
        clock.advance(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    asyncio.run(driver.wait_until(clock.now + 61.0))
    asyncio.run(driver.wait_until(clock.now))
    assert waits == [60.0, 1.0]
    host.let_go(driver)


def test_a_thread_that_waits_is_interrupted_once(host):
    driver = taken_up(host)
    driver.interrupt_at_next_call()
    with pytest.raises(asyncio.CancelledError):
        driver.wait_in_thread_until(driver.now() + 3600.0)
    driver.wait_in_thread_until(driver.now() + 0.001)
    host.let_go(driver)


def test_a_synchronous_run_that_backs_off_can_be_cancelled(host, store):
    tried = threading.Event()

    @regrow.step(retries=1, backoff=regrow.Backoff(base=3600.0, cap=3600.0))
    def fails() -> None:
        tried.set()
        raise ConnectionError

    @regrow.task
    def patient() -> None:
        fails()

    driver = taken_up(host, patient)

    def cancel():
        assert tried.wait(20)
        driver.cancel("somebody")
        driver.cancel("somebody else")

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(regrow.RunCancelled, match=r"somebody$"):
        drive(host, driver, patient, (), {})
    thread.join()
    assert store.get("r").status == "cancelled"


# -- ending ------------------------------------------------------------------------------------------------------------


def test_after_the_end_nothing_is_recorded(host, store):
    driver = taken_up(host)
    driver.hand_in(RunEnded("succeeded"))
    assert driver.is_over
    with pytest.raises(asyncio.CancelledError):
        driver.record(CallStarted(CALL, 1), None)
    driver.closing = True
    with pytest.raises(asyncio.CancelledError):
        driver.check()
    driver.hand_in(CallStarted(CALL, 1))
    host.let_go(driver)
    assert kinds(store) == ["RunCreated", "DriverOpened", "RunEnded"]


def test_a_driver_that_has_halted_stays_so_for_its_first_reason_and_records_nothing_but_why(host, store):
    driver = taken_up(host)
    assert not driver.is_over
    first = Divergence("agent#1", "edited")
    assert driver.halt(first) is first
    assert driver.halt(StoreUnavailable("full")) is first
    assert driver.is_over
    assert driver.closing
    for attempt in (driver.check, driver.check_open, lambda: driver.record(CallStarted(CALL, 1), None)):
        with pytest.raises(Divergence):
            attempt()
    driver.hand_in(CallStarted(CALL, 1))
    driver.hand_in(RunEnded("failed"), at_last=True)
    host.committer.flush()
    assert kinds(store) == ["RunCreated", "DriverOpened", "RunEnded"]
    host.let_go(driver)


def test_a_driver_is_let_go_of_for_the_first_reason_that_was_given(host):
    paused, stopped = RunPaused("r", "one", 1.0), RunStopped("r", "another", 2.0, "", "")
    driver = taken_up(host)
    driver.let_go(paused)
    driver.let_go(stopped)
    assert driver.let_go_for is paused
    host.let_go(driver)
    driver = taken_up(host)
    driver.let_go()
    driver.let_go(stopped)
    assert driver.let_go_for is None
    host.let_go(driver)


def test_a_run_that_is_ended_by_force_is_cancelled_without_its_code_and_only_once(host, store):
    driver = taken_up(host)
    interrupted = []
    driver.interrupt = lambda: interrupted.append(driver.is_over)
    driver.hand_in(CallStarted(CALL, 1))
    assert driver.end_by_force("somebody")
    assert not driver.end_by_force("somebody else")
    assert (driver.forced, driver.closing, driver.cancelled_by) == (True, True, "somebody")
    assert interrupted == [True]
    host.let_go(driver)
    assert kinds(store)[-2:] == ["CallStarted", "RunEnded"]
    assert events(store)[-1] == RunEnded("cancelled", None, ("agent#1",), "cancelled by somebody, by force")


def test_whoever_was_the_first_to_cancel_a_run_has_cancelled_it(host):
    driver = taken_up(host)
    driver.cancel("one")
    driver.cancel("two", 3.0)
    assert driver.end_by_force("three")
    assert (driver.cancelled_by, driver.grace) == ("one", None)
    host.let_go(driver)


def test_in_a_run_that_is_let_go_of_no_call_is_met_any_more(host):
    driver = taken_up(host)
    invocation = Invocation(agent.callee, driver.root_branch(), (), {})
    call, _ = driver.meet(invocation)
    assert call.path == "agent#1"
    driver.let_go()
    with pytest.raises(asyncio.CancelledError):
        driver.meet(invocation)
    host.let_go(driver)


def test_a_run_of_which_nobody_has_said_how_it_came_to_be_has_no_budget_and_the_usual_project(host):
    host.store.create(NewRun("r", agent.ref, 1.0))
    driver = host.take_up("r")
    assert (driver.bounds, driver.project) == (None, "default")
    host.let_go(driver)


def test_what_is_cut_short_by_us_is_not_recorded_as_given_up(host, store):
    driver = taken_up(host)
    scope = driver.root_branch().scope
    event = CallCancelled(CALL, 1, 1.0)
    driver.cancelled_by = "somebody"
    driver.note_given_up(scope, event)
    driver.cancelled_by, driver.closing = None, True
    driver.note_given_up(scope, event)
    driver.closing = False
    host.committer.flush()
    assert "CallCancelled" not in kinds(store)
    driver.note_given_up(scope, event)
    host.let_go(driver)
    assert kinds(store)[-1] == "CallCancelled"


def test_a_problem_while_recording_stops_the_driver_for_good_since_the_next_record_would_leave_a_gap(host):
    driver = taken_up(host)

    def submit(entry, loop):
        raise KeyboardInterrupt

    driver._committer = type("Broken", (), {"submit": staticmethod(submit)})()
    with pytest.raises(KeyboardInterrupt):
        driver.record(CallStarted(CALL, 1), None)
    with pytest.raises(StoreUnavailable, match="cut short by KeyboardInterrupt; resume run r"):
        driver.record(CallStarted(CALL, 1), None)
    host.let_go(driver)


def test_an_entry_that_cannot_be_handed_in_stops_the_driver_for_good_too(host):
    driver = taken_up(host)

    def hand_in(entry):
        raise ZeroDivisionError

    driver._committer = type("Broken", (), {"hand_in": staticmethod(hand_in)})()
    with pytest.raises(ZeroDivisionError):
        driver.hand_in(CallStarted(CALL, 1))
    assert isinstance(driver.halted, StoreUnavailable)
    host.let_go(driver)


def test_a_store_that_has_no_room_for_a_value_or_has_lost_one_stops_the_run(host):
    for ask in (lambda driver: driver.keep(5, "result"), lambda driver: driver.load(b"")):
        driver = taken_up(host)
        problem = StoreUnavailable("full")

        def fails(*given, problem=problem, **more):
            raise problem

        driver.vault = type("Full", (), {"keep": fails, "load": fails})()
        with pytest.raises(StoreUnavailable, match="full"):
            ask(driver)
        assert driver.halted is problem
        host.let_go(driver)


def test_what_a_commit_met_stops_the_driver_that_waits_for_it(host):
    ticket = ThreadTicket()
    ticket.settle(StoreUnavailable("full"))
    driver = taken_up(host)
    with pytest.raises(StoreUnavailable):
        driver.durable_in_thread(ticket)
    assert isinstance(driver.halted, StoreUnavailable)
    host.let_go(driver)

    async def on_loop():
        waiting = LoopTicket()
        waiting.set_exception(StoreUnavailable("full"))
        await driver.durable(waiting)

    driver = taken_up(host)
    with pytest.raises(StoreUnavailable):
        asyncio.run(on_loop())
    assert isinstance(driver.halted, StoreUnavailable)
    host.let_go(driver)


def test_a_divergence_is_recorded_and_said_aloud_under_our_name(host, store, caplog):
    driver = taken_up(host)
    driver.part("agent#1/step#1", "it was edited")
    host.let_go(driver)
    assert events(store)[-1] == Diverged("agent#1/step#1", "it was edited")
    (said,) = caplog.records
    assert (said.name, said.levelname) == ("regrow", "WARNING")
    assert "agent#1/step#1: it was edited" in said.getMessage()


def test_a_call_that_nobody_knows_has_saved_nothing(host):
    driver = taken_up(host)
    assert driver.checkpoint_of("agent#1") is None
    host.let_go(driver)


def test_a_cancelled_driver_may_still_record_and_one_that_is_let_go_of_begins_nothing(host):
    driver = taken_up(host)
    driver.cancel("somebody")
    driver.check()
    driver.record(CallStarted(CALL, 1), None)
    driver.let_go()
    driver.cancelled_by = None
    driver.cancel("too late")
    assert driver.cancelled_by is None
    with pytest.raises(asyncio.CancelledError):
        driver.check()
    host.let_go(driver)


# -- strands and checkpoints -------------------------------------------------------------------------------------------


def test_a_strand_more_is_counted_only_where_it_works_beside_the_callers_own(host):
    driver = taken_up(host)
    scope, before = driver.root_branch().scope, host.committer.busy
    driver.begin(scope)
    assert host.committer.busy == before
    driver.begin(scope)
    driver.begin(scope)
    assert host.committer.busy == before + 2
    driver.end(scope)
    driver.end(scope)
    assert host.committer.busy == before
    driver.end(scope)
    assert (host.committer.busy, scope.busy) == (before, 0)
    host.let_go(driver)


def test_what_a_checkpoint_held_is_let_go_of_and_a_store_that_cannot_is_not_asked_twice(host, store, monkeypatch):
    driver = taken_up(host)
    released = []
    monkeypatch.setattr(store, "release_blobs", lambda run, digests: released.append((run, digests)))
    driver.drop(None)
    driver.drop(CheckpointSaved("agent#1", 1, 1, b""))
    assert released == []
    saved = CheckpointSaved("agent#1", 1, 1, b"", ("digest",))
    driver.drop(saved)
    assert released == [("r", ("digest",))]

    def fails(run, digests):
        raise StoreUnavailable("full")

    monkeypatch.setattr(store, "release_blobs", fails)
    driver.drop(saved)
    assert driver.halted is None
    host.let_go(driver)


def test_a_large_checkpoint_is_a_blob_until_its_successor_or_the_result_is_there(host, store):
    held = []

    @regrow.task
    def saving() -> str:
        progress = regrow.checkpoint()
        for size in (1, 2000, 3000):
            progress.save("x" * size)
            held.append(len(store.referenced_blobs("r")))
        return "done"

    assert drive(host, taken_up(host, saving), saving, (), {}) == "done"
    assert held == [0, 1, 1]
    assert store.referenced_blobs("r") == frozenset()


def test_records_name_whoever_caused_them(host, store):
    driver = taken_up(host)
    driver.hand_in(CallStarted(CALL, 1))
    driver.hand_in(CallStarted(CALL, 2), actor="user@host")
    host.let_go(driver)
    records: list[Record] = unseal_all("r", store.read("r"))
    assert [record.actor for record in records] == ["driver", "driver", "driver", "user@host"]
