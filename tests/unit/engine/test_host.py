"""A process as a driver: leases, heartbeats, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
import weakref
from collections.abc import Sequence

import pytest

import regrow
from regrow.authoring.home import host_of
from regrow.engine.host import Host
from regrow.errors import StoreUnavailable
from regrow.executors.inline import InlineExecutor
from regrow.healing.ladder import Ladder
from regrow.journal.chain import unseal_all
from regrow.journal.records import RunCreated, RunEnded
from regrow.journal.store import Entry, NewRun
from regrow.testing import FakeClock, MemoryStore


@regrow.task
def work() -> str:
    logging.getLogger("mine").warning("at work")
    return "done"


def test_a_lease_runs_out_by_the_stores_clock() -> None:
    clock = FakeClock()
    store = MemoryStore(clock)
    regrow.run(work, store=store, key="k")
    run = store.runs()[0].id
    assert store.claim(run, "one", seconds=10) == 2
    clock.advance(9)
    with pytest.raises(regrow.RunHeld, match="one"):
        store.claim(run, "two")
    clock.advance(2)
    assert store.claim(run, "two") == 3


def test_a_run_that_had_ended_before_it_was_taken_up_is_given_back() -> None:
    store = MemoryStore()
    regrow.run(work, store=store, key="k")
    host = Host(store, InlineExecutor(), Ladder())
    for _ in range(2):
        host.let_go(host.take_up(store.runs()[0].id, even_if_over=True))


def test_a_process_that_has_no_run_left_leaves_no_thread_and_no_host_behind() -> None:
    before = set(threading.enumerate())
    store = MemoryStore()
    regrow.run(work, store=store)
    host = weakref.ref(host_of(store))
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=10)
    assert set(threading.enumerate()) <= before
    gc.collect()
    assert host() is None


def test_a_lease_that_could_not_be_released_is_released_once_it_can_be() -> None:
    class Full(MemoryStore):
        full = False

        def release(self, run: str, epoch: int) -> None:
            if self.full:
                raise StoreUnavailable("full")
            super().release(run, epoch)

    store = Full()
    regrow.run(work, store=store, key="k")
    host = Host(store, InlineExecutor(), Ladder(), lease_seconds=0.3)
    driver = host.take_up(store.runs()[0].id, even_if_over=True)
    store.full = True
    with pytest.raises(StoreUnavailable):
        host.let_go(driver)
    store.full = False
    deadline = time.monotonic() + 20
    while store._leases[driver.run].until and time.monotonic() < deadline:
        time.sleep(0.02)
    assert store._leases[driver.run].until == 0


def test_warnings_of_user_code_are_kept_and_still_reach_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, root.handlers = root.handlers, []
    try:
        store = MemoryStore()
        regrow.run(work, store=store)
    finally:
        root.handlers = handlers
    assert "at work" in capsys.readouterr().err
    assert [line.text for _, line in store.read_logs(store.runs()[0].id)] == ["at work"]


def test_a_record_that_was_lost_is_not_followed_by_another_and_the_run_goes_on_from_what_is_there() -> None:
    class Failing(MemoryStore):
        failing = 0

        def append(self, entries: Sequence[Entry]) -> frozenset[str]:
            if self.failing:
                self.failing -= 1
                raise StoreUnavailable("no room left")
            return super().append(entries)

    store = Failing()

    @regrow.task
    async def inner() -> str:
        await asyncio.sleep(0.3)
        return "done"

    @regrow.task
    async def patient() -> str:
        await asyncio.sleep(0.05)
        return await inner()

    @regrow.step
    async def step() -> None: ...

    @regrow.task
    async def unlucky() -> None:
        await asyncio.sleep(0.1)  # by then the other has announced its inner task, and nobody waits for that record
        store.failing = 1
        await step()

    async def both() -> None:
        first = await regrow.start(patient, store=store, key="k")
        second = await regrow.start(unlucky, store=store)
        with pytest.raises(StoreUnavailable):
            await second.result()
        with pytest.raises(StoreUnavailable):
            await first.result()
        again = await regrow.start(patient, store=store, key="k")
        assert await again.result() == "done"

    asyncio.run(both())
    for row in store.runs():
        unseal_all(row.id, store.read(row.id))


def test_a_run_whose_loop_was_closed_is_let_go_of() -> None:
    store = MemoryStore()

    @regrow.task
    async def endless() -> None:
        await asyncio.sleep(3600)

    async def begin() -> regrow.Handle:
        handle = await regrow.start(endless, store=store)
        await asyncio.sleep(0.01)
        return handle

    loop = asyncio.new_event_loop()
    handle = loop.run_until_complete(begin())
    host = handle._host
    loop.close()
    deadline = time.monotonic() + 20
    while handle.status == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert handle.status == "interrupted"
    assert host._drivers == {}
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # that it was left behind is the point here


def test_a_run_cancelled_before_it_began_is_cancelled() -> None:
    store = MemoryStore()

    @regrow.task
    async def endless() -> None:
        await asyncio.sleep(3600)

    async def at_once() -> None:
        handle = await regrow.start(endless, store=store)
        await handle.cancel()
        with pytest.raises(regrow.RunCancelled):
            await handle.result()

    asyncio.run(at_once())
    assert store.runs()[0].status == "cancelled"


def test_a_run_that_another_process_has_just_ended_is_not_driven() -> None:
    store = MemoryStore()
    host = Host(store, InlineExecutor(), Ladder())
    run = store.create(NewRun("r" * 26, work.ref, 1.0)).id
    driver = host.take_up(run, created=RunCreated(run, work.ref, "", b"", b""))
    driver.hand_in(RunEnded("cancelled"))
    host.let_go(driver)
    with pytest.raises(regrow.RunOver, match="cancelled already"):
        host.take_up(run)
    assert [type(record.event).__name__ for record in unseal_all(run, store.read(run))] == [
        "RunCreated",
        "DriverOpened",
        "RunEnded",
    ]
