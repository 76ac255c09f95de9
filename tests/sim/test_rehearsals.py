"""Rehearsals: code is played against a run's journal, nothing is carried out, and what does not fit is named."""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections import Counter

import pytest

import regrow
from regrow.authoring.home import forget, host_of
from regrow.authoring.rehearsal import Rehearsal
from regrow.engine.forking import paths_of
from regrow.engine.rehearsing import tasks_around, tasks_that_failed, unfinished, with_calls, without_outcomes
from regrow.engine.state import fold
from regrow.journal.chain import unseal_all
from regrow.journal.records import Record
from regrow.testing import Crash, CrashingStore, MemoryStore

ledger: Counter[str] = Counter()
edited: list[str] = []
"""How the code has been changed since the run began."""


@pytest.fixture(autouse=True)
def fresh():
    ledger.clear()
    edited.clear()


@regrow.step
async def look(what: str) -> str:
    ledger[f"look {what}"] += 1
    return what.upper()


@regrow.step
async def think(what: str) -> str:
    ledger[f"think {what}"] += 1
    if what == "BAD":
        raise ValueError("no thought")
    return f"{what}!"


@regrow.task
async def inner(what: str) -> str:
    seen = await look("another" if "other inputs" in edited else what)
    if "one more" in edited:
        await look("more")
    thought = "?" if "one less" in edited else await think(seen)
    if what == "breaks":
        wrong = {"key": thought}
        return wrong["no key"]
    return thought


@regrow.task
async def agent(*whats: str) -> list[str]:
    first = await inner(whats[0])
    return [first, *await asyncio.gather(*(inner(what) for what in whats[1:])), await look("last")]


def interrupted(survive: int, *whats: str) -> MemoryStore:
    store = CrashingStore()
    store.die_after(survive)
    with pytest.raises(Crash):
        regrow.run(agent, *whats, store=store)
    forget(host_of(store))
    store.revive()
    ledger.clear()
    return store


def rehearsed(store, *whats: str, entered=None, waits=True, retry=False, records=None):
    row = store.runs()[0]
    before = store.read(row.id)
    records = records if records is not None else unseal_all(row.id, before)
    entered = unfinished(fold(records)) if entered is None else entered
    seen = Rehearsal(store, row, records, entered=entered, waits=waits, retry=retry).play(agent, whats, {})
    assert store.read(row.id) == before, "a rehearsal has written to the store"
    assert ledger == {}, "a rehearsal has carried something out"
    return seen


def test_code_that_fits_comes_as_far_as_the_record_goes_and_would_go_on_there() -> None:
    seen = rehearsed(interrupted(7, "a", "b"), "a", "b")
    assert seen.fits
    assert seen.outcome == "goes on"
    assert seen.replayed == 1
    assert seen.frontier == ("agent#1/inner#2",)


def test_strands_that_run_side_by_side_are_all_followed() -> None:
    seen = rehearsed(interrupted(11, "a", "b", "c", "d"), "a", "b", "c", "d")
    assert seen.fits
    assert len(seen.frontier) == 3


def test_other_inputs_are_a_divergence_and_the_call_is_named() -> None:
    store = interrupted(5, "a", "b")
    edited.append("other inputs")
    seen = rehearsed(store, "a", "b")
    assert not seen.fits
    assert [one.path for one in seen.divergences] == ["agent#1/inner#1/look#1!2"]


def test_a_call_that_is_added_before_the_end_of_the_record_fits() -> None:
    store = interrupted(5, "a", "b")
    edited.append("one more")
    seen = rehearsed(store, "a", "b")
    assert seen.fits
    assert seen.frontier == ("agent#1/inner#1/look#2",)


def test_a_call_that_is_left_out_is_named() -> None:
    store = interrupted(6, "breaks", "b")
    edited.append("one less")
    seen = rehearsed(store, "breaks", "b")
    assert seen.outcome == "failed" or not seen.fits


def test_a_finished_run_is_played_to_its_end() -> None:
    store = MemoryStore()
    regrow.run(agent, "a", "b", store=store)
    ledger.clear()
    row = store.runs()[0]
    records = unseal_all(row.id, store.read(row.id))
    every = set(fold(records).calls) | tasks_around(records, "agent#1/inner#1/look#1")
    seen = rehearsed(store, "a", "b", records=without_outcomes(records, every), entered=every)
    assert seen.outcome == "finished"
    assert seen.error is None


def test_where_the_code_itself_failed_its_own_frames_are_there_again() -> None:
    store = MemoryStore()
    with pytest.raises(KeyError):
        regrow.run(agent, "breaks", store=store)
    ledger.clear()
    row = store.runs()[0]
    records = unseal_all(row.id, store.read(row.id))
    entered = tasks_that_failed(records)
    assert entered == {"agent#1", "agent#1/inner#1"}
    seen = rehearsed(store, "breaks", records=without_outcomes(records, entered), entered=entered, waits=False)
    assert seen.outcome == "failed"
    assert isinstance(seen.error, KeyError)
    frames = []
    trace = seen.error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    assert frames[-1].f_locals["wrong"] == {"key": "BREAKS!"}


def failed() -> tuple[MemoryStore, list[Record]]:
    """Give the store of a run that has failed, and its records."""
    store = MemoryStore()
    with pytest.raises(ValueError, match="no thought"):
        regrow.run(agent, "bad", store=store)
    ledger.clear()
    row = store.runs()[0]
    return store, unseal_all(row.id, store.read(row.id))


def test_where_a_step_failed_the_code_gets_that_failure_again_and_the_step_is_not_run() -> None:
    store, records = failed()
    entered = tasks_that_failed(records)
    seen = rehearsed(store, "bad", records=without_outcomes(records, entered), entered=entered, waits=False)
    assert isinstance(seen.error, ValueError)
    assert any(frame.name == "inner" for frame in traceback.extract_tb(seen.error.__traceback__))


def test_a_failed_run_that_is_to_be_retried_goes_on_at_what_had_failed() -> None:
    store, records = failed()
    seen = rehearsed(store, "bad", entered=tasks_that_failed(records), retry=True)
    assert seen.fits
    assert seen.frontier == ("agent#1/inner#1/think#1",)


def test_the_rehearsals_checks_can_fail() -> None:
    store = interrupted(5, "a", "b")

    class Careless(Rehearsal):
        def _stop_at(self, path, kind):
            ledger["carried out"] += 1
            super()._stop_at(path, kind)

    row = store.runs()[0]
    records = unseal_all(row.id, store.read(row.id))
    Careless(store, row, records, entered=unfinished(fold(records)), waits=True).play(agent, ("a", "b"), {})
    assert ledger == {"carried out": 1}


@regrow.task
async def asking(what: str) -> str:
    seen = await look(what)
    return f"{seen} {await regrow.ask('go on?', evidence=seen, timeout=0.01, default=True)}"


@regrow.task
def asking_in_thread(what: str) -> str:
    return f"{what} {regrow.ask_blocking('go on?', timeout=0.01, default=True)}"


@regrow.task
async def listening(what: str) -> str:
    with contextlib.suppress(regrow.NoAnswer):
        await regrow.wait_for("deployed", str, timeout=0.01)
    return what


def _call_of(record) -> str:
    call = getattr(record.event, "call", None)
    return "" if call is None else call.path


@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize(
    ("task", "edge", "recorded"),
    [
        (asking, "asking#1/ask#1", True),
        (asking, "asking#1/ask#1", False),
        (asking_in_thread, "asking_in_thread#1/ask#1", True),
        (listening, "listening#1/wait_for#1", True),
    ],
    ids=["asked", "not asked yet", "in a thread", "signal"],
)
def test_a_rehearsal_asks_nobody_and_waits_for_nobody(monkeypatch, task, edge, recorded, waits) -> None:
    store = MemoryStore()
    regrow.run(task, "a", store=store)
    notices: list[object] = []
    monkeypatch.setenv("REGROW_ASK_WEBHOOK", "http://127.0.0.1:9/")
    monkeypatch.setattr("regrow.engine.desk.send_apart", lambda *notice: notices.append(notice))
    row = store.runs()[0]
    store.signals.send(row.id, "deployed", b'"yes"', "somebody", 0.0)
    asked = store.asks.listed(everything=True)
    records = unseal_all(row.id, store.read(row.id))
    first = next(place for place, one in enumerate(records) if _call_of(one) == edge)
    records = records[: first + recorded]
    seen = Rehearsal(store, row, records, entered=unfinished(fold(records)), waits=waits).play(task, ("a",), {})
    assert (seen.outcome, seen.frontier) == ("goes on", (edge,))
    assert notices == []
    assert store.asks.listed(everything=True) == asked
    assert len(store.signals.waiting(row.id)) == 1, "the rehearsal has taken what was sent to the run"


def test_a_task_that_was_ended_from_outside_is_not_entered() -> None:
    @regrow.task
    async def lost(what: str) -> str:
        await look(what)
        raise regrow.WorkerLost(what)

    @regrow.task
    async def around() -> str:
        return await lost("a")

    store = MemoryStore()
    with pytest.raises(regrow.WorkerLost):
        regrow.run(around, store=store)
    records = unseal_all(store.runs()[0].id, store.read(store.runs()[0].id))
    assert tasks_that_failed(records) == {"around#1"}


def test_a_task_that_has_called_nothing_is_not_entered_where_its_code_would_be_done() -> None:
    @regrow.task
    async def alone() -> int:
        ledger["alone"] += 1
        return 1

    @regrow.task
    async def around() -> str:
        return f"{await alone()} {await inner('a')}"

    store = MemoryStore()
    regrow.run(around, store=store)
    records = unseal_all(store.runs()[0].id, store.read(store.runs()[0].id))
    every = {path for path, call in paths_of(records).items() if call.kind == "task"}
    assert with_calls(records, every) == {"around#1", "around#1/inner#1"}


def test_what_a_task_had_done_before_its_last_checkpoint_can_be_gone_through_again() -> None:
    @regrow.task
    async def saving() -> int:
        progress = regrow.checkpoint()
        for place in range(progress.load(0), 3):
            await look(f"{place}")
            progress.save(place + 1)
        return 3

    store = MemoryStore()
    regrow.run(saving, store=store)
    ledger.clear()
    row = store.runs()[0]
    records = unseal_all(row.id, store.read(row.id))
    played = without_outcomes(records, {"saving#1"})
    seen = Rehearsal(store, row, played, entered={"saving#1"}).play(saving, (), {})
    assert (seen.outcome, seen.replayed, ledger) == ("finished", 3, {})


@regrow.task
async def resting(what: str) -> str:
    await look(what)
    if "waits for ever" in edited:
        await asyncio.Event().wait()
    await asyncio.sleep(0.15)
    await look("other" if "other inputs" in edited else "same")
    await regrow.sleep("1h")
    return what


def rested(monkeypatch, *edits: str):
    store = MemoryStore()

    async def begin() -> None:
        handle = await regrow.start(resting, "a", store=store)
        while not any(known.call.kind == "sleep" for known in state_of(store).calls.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await handle.pause(grace=0)

    asyncio.run(begin())
    ledger.clear()
    edited.extend(edits)
    monkeypatch.setattr("regrow.authoring.rehearsal._IDLE_SECONDS", 0.0)
    row = store.runs()[0]
    records = unseal_all(row.id, store.read(row.id))
    seen = Rehearsal(store, row, records, entered={"resting#1"}, waits=True).play(resting, ("a",), {})
    assert ledger == {}
    return seen


def state_of(store):
    row = store.runs()[0]
    return fold(unseal_all(row.id, store.read(row.id)))


def test_code_that_rests_between_recorded_calls_is_followed_to_the_end_of_the_record(monkeypatch) -> None:
    seen = rested(monkeypatch)
    assert (seen.fits, seen.replayed, seen.frontier) == (True, 2, ("resting#1/sleep#1",))


def test_what_no_longer_fits_after_a_rest_is_found(monkeypatch) -> None:
    seen = rested(monkeypatch, "other inputs")
    assert [one.path for one in seen.divergences] == ["resting#1/look#2!2"]


def test_code_that_does_not_come_to_the_end_of_the_record_is_not_said_to_fit(monkeypatch) -> None:
    monkeypatch.setattr("regrow.authoring.rehearsal._HELD_BACK_SECONDS", 0.0)
    seen = rested(monkeypatch, "waits for ever")
    assert not seen.fits
    assert seen.not_reached == ("resting#1/look#2",)


@pytest.mark.parametrize("waits", [True, False])
def test_a_call_that_waits_for_its_next_attempt_is_where_the_code_would_go_on(waits) -> None:
    @regrow.step(retries=1, backoff=regrow.Backoff(base=3600.0, jitter=0.0))
    async def unlucky() -> str:
        raise ConnectionError("not today")

    @regrow.task
    async def patient() -> str:
        return await look("first") + await unlucky()

    async def begin_and_leave(store) -> None:
        handle = await regrow.start(patient, store=store)
        while not any(known.attempts for known in handle._driver.log.state.calls.values()):  # noqa: ASYNC110 - soon
            await asyncio.sleep(0)
        handle._driver.let_go()
        with contextlib.suppress(asyncio.CancelledError):
            await handle.result()

    store = MemoryStore()
    asyncio.run(begin_and_leave(store))
    row = store.runs()[0]
    records = unseal_all(row.id, store.read(row.id))
    rehearsal = Rehearsal(store, row, records, entered=unfinished(fold(records)), waits=waits)
    seen = rehearsal.play(patient, (), {})
    assert (seen.outcome, seen.frontier, seen.fits) == ("goes on", ("patient#1/unlucky#1",), True)
