"""The runs of a store, as a program sees them: to look, cancel, pause, resume, retry and stop."""

from __future__ import annotations

import asyncio

import pytest

import regrow
from regrow.authoring.home import forget, host_of
from regrow.testing import Crash, CrashingStore

from .lives import ledger, live, note

pytestmark = [pytest.mark.sim, pytest.mark.promise("P8")]


@regrow.step
async def step(label: str) -> str:
    note(label)
    return label


@regrow.task
async def agent(label: str) -> str:
    await step("first")
    return await step(label)


@regrow.task
async def fails_once() -> str:
    if ledger["failed"] == 0:
        await fail()
    return await step("mended")


@regrow.step
async def fail() -> None:
    note("failed")
    raise ValueError("once")


@regrow.task
async def waits() -> str:
    note("waits")
    await regrow.sleep("0s" if ledger["waits"] > 1 else "1h")
    return await step("done")


def interrupted(after=4):
    ledger.clear()
    store = CrashingStore()
    store.die_after(after)
    with pytest.raises(Crash):
        live(agent, "second", store=store)
    store.revive()
    return store


def test_runs_are_found_by_key_id_and_status():
    store = interrupted()
    runs = regrow.Runs(store)
    (row,) = runs.list()
    assert row.status == "interrupted"
    assert runs.get("k") == runs.get(row.id) == row
    assert list(runs.list(status="interrupted")) == [row]
    assert list(runs.list(status="failed")) == []
    with pytest.raises(regrow.UnknownRun):
        runs.get("another")
    with pytest.raises(regrow.UnknownRun, match="belongs to project 'default'"):
        regrow.Runs(store, project="north").get(row.id)


def test_a_run_is_resumed_with_the_inputs_that_it_began_with():
    store = interrupted()
    assert regrow.Runs(store).resume("k", agent) == "second"
    assert ledger == {"first": 1, "second": 2}  # the record of the second was lost with its process
    assert regrow.Runs(store).resume("k", agent) == "second"  # it has ended: its result
    assert ledger == {"first": 1, "second": 2}


def test_a_run_is_not_resumed_as_a_run_of_another_task():
    store = interrupted()
    with pytest.raises(regrow.KeyConflict, match=r"is of .*agent, not of .*waits"):
        regrow.Runs(store).resume("k", waits)


def test_a_failed_run_is_retried_and_one_that_succeeded_is_not():
    ledger.clear()
    store = CrashingStore()
    with pytest.raises(ValueError, match="once"):
        live(fails_once, store=store)
    runs = regrow.Runs(store)
    assert runs.retry("k", fails_once) == "mended"
    with pytest.raises(regrow.RunOver, match="is succeeded"):
        runs.retry("k", fails_once)


def test_a_run_that_nobody_drives_is_cancelled_at_once():
    runs = regrow.Runs(interrupted())
    assert runs.cancel("k").status == "cancelled"
    with pytest.raises(regrow.RunOver, match="has cancelled already"):
        runs.cancel("k")
    assert runs.retry("k", agent) == "second"


def test_a_paused_run_is_refused_to_everybody_but_resume():
    store = interrupted()
    runs = regrow.Runs(store)
    row = runs.pause("k")
    assert row.status == "paused"
    with pytest.raises(regrow.RunPaused, match="is paused, by") as refused:
        live(agent, "second", store=store)
    assert refused.value.by == row.paused_by
    assert runs.resume("k", agent) == "second"
    assert runs.get("k").paused_by is None


def test_a_stop_refuses_new_runs_and_resumes_with_who_why_and_how_to_lift_it():
    store = interrupted()
    runs = regrow.Runs(store)
    stop = runs.stop("it deletes files", everywhere=True)
    for refused in (
        lambda: live(agent, "second", store=store),
        lambda: live(agent, "new", store=store, key="new"),
        lambda: runs.resume("k", agent),
    ):
        with pytest.raises(regrow.RunStopped, match=r"it deletes files.*regrow stop --lift --all") as caught:
            refused()
        assert caught.value.by == stop.actor
    assert [row.key for row in runs.list()] == ["k"]
    assert runs.lift_stop() is False  # it was not this project that was stopped
    assert runs.lift_stop(everywhere=True) is True
    assert runs.resume("k", agent) == "second"


def test_the_result_of_a_finished_run_is_given_even_while_everything_is_stopped():
    ledger.clear()
    store = CrashingStore()
    assert live(agent, "second", store=store) == "second"
    regrow.Runs(store).stop()
    assert live(agent, "second", store=store) == "second"


def test_a_stop_of_one_project_is_none_for_another():
    ledger.clear()
    store = CrashingStore()
    regrow.Runs(store, project="north").stop("of north")
    assert live(agent, "second", store=store) == "second"
    assert regrow.Runs(store).stopped() is None
    with pytest.raises(regrow.RunStopped, match="--project north"):
        regrow.run(agent, "second", store=store, project="north")
    forget(host_of(store))


def test_a_handle_pauses_its_run_and_somebody_resumes_it():
    ledger.clear()
    store = CrashingStore()

    async def main():
        handle = await regrow.start(waits, key="k", store=store)
        while not ledger["waits"]:  # noqa: ASYNC110 - the run says so nowhere else
            await asyncio.sleep(0)
        await handle.pause()
        with pytest.raises(regrow.RunPaused):
            await handle.result()
        assert handle.status == "paused"

    asyncio.run(main())
    forget(host_of(store))
    runs = regrow.Runs(store)
    runs.cancel("k")
    assert runs.get("k").status == "cancelled"


def test_a_run_is_not_gone_on_with_from_inside_an_event_loop():
    store = interrupted()

    async def main():
        with pytest.raises(regrow.UsageError, match="outside of runs and event loops"):
            regrow.Runs(store).resume("k", agent)

    asyncio.run(main())
