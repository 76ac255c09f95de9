"""A process as a driver: leases, heartbeats, and what it leaves behind."""

from __future__ import annotations

import gc
import logging
import threading
import time
import weakref

import pytest

import regrow
from regrow.authoring.home import host_of
from regrow.engine.host import Host
from regrow.errors import StoreUnavailable
from regrow.executors.inline import InlineExecutor
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
    host = Host(store, InlineExecutor())
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
    host = Host(store, InlineExecutor(), lease_seconds=0.3)
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
