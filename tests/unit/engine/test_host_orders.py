"""What a process does about orders from outside, look by look: pauses, stops, and cancellations that are not heeded."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest

from regrow.engine import host as host_module
from regrow.engine.host import Host
from regrow.errors import Corrupted, RunPaused, RunStopped
from regrow.executors.inline import InlineExecutor
from regrow.healing.ladder import Ladder
from regrow.journal.chain import unseal_all
from regrow.journal.orders import EVERYWHERE
from regrow.journal.records import RunCreated
from regrow.journal.store import NewRun, SizeSeen
from regrow.testing import FakeClock, MemoryStore

pytestmark = pytest.mark.unit


class Watched(MemoryStore):
    """Remembers which looks and beats it was asked for; may lift a pause at the moment when it was told of it."""

    def __init__(self, clock):
        super().__init__(clock)
        self.asked = []
        self.lifts = False

    def orders(self, holder):
        self.asked.append("look")
        found = super().orders(holder)
        if self.lifts:
            for run in found:
                self.lift_pause(run)
        return found

    def renew(self, holder, **more):
        self.asked.append("beat")
        return super().renew(holder, **more)


class Process:
    """A process with one driver or two, whose heartbeat stands still: it looks when a test says so."""

    def __init__(self, monkeypatch, **how):
        self.clock = FakeClock()
        self.store = Watched(self.clock)
        self.host = Host(self.store, InlineExecutor(), Ladder(), self.clock, **how)
        self.monotonic = 1000.0
        monkeypatch.setattr(host_module, "time", SimpleNamespace(monotonic=lambda: self.monotonic))
        monkeypatch.setattr(self.host, "_beat", lambda _holder, _stop: None)
        self.done = []

    def drive(self, run="r", project="default", **how):
        if run not in {row.id for row in self.store.runs()}:
            self.store.create(NewRun(run, "agent", 1.0, project=project))
        driver = self.host.take_up(run, created=RunCreated(run, "agent", "", b"", b"", project=project), **how)
        driver.strike = lambda: self.done.append("strike")
        driver.leave = lambda: self.done.append("leave")
        driver.interrupt = lambda: self.done.append("interrupt")
        return driver

    def look(self, after=0.0):
        self.monotonic += after
        self.clock.advance(after)
        self.host._heed_orders(self.host._holder, dict(self.host._drivers))


@pytest.fixture
def process(monkeypatch):
    process = Process(monkeypatch)
    yield process
    process.host.close()


@pytest.mark.parametrize(
    ("lease", "seconds", "asked"),
    [(15.0, 2.0, [*["look"] * 4, "beat"] * 2), (0.375, 0.25, ["look", "beat"] * 2)],
)
def test_orders_are_looked_for_four_times_a_heartbeat_unless_the_heart_beats_quicker_than_that(
    monkeypatch, lease, seconds, asked
):
    process = Process(monkeypatch, lease_seconds=lease)
    process.drive()
    left = seconds

    def wait(pause):
        nonlocal left
        left -= pause
        return left < 0

    Host._beat(process.host, process.host._holder, SimpleNamespace(wait=wait))
    assert process.store.asked == asked
    process.host.close()


# -- pausing -----------------------------------------------------------------------------------------------------------


def test_a_run_that_is_paused_is_held_back_first_though_nothing_of_it_seems_to_be_under_way(process, caplog):
    driver = process.drive()
    process.store.request_pause("r", "somebody", grace=10.0)
    with caplog.at_level(logging.WARNING, "regrow"):
        process.look()
        process.look()
    assert driver.holding.on
    assert [(one.name, one.getMessage()) for one in caplog.records] == [
        ("regrow", "run r is being paused by somebody: no new call begins, those under way have 10 s to finish")
    ]
    assert (driver.pausing.by, driver.pausing.since) == ("somebody", process.store.get("r").paused_at)


def test_at_rest_it_is_let_go_of_and_what_runs_has_until_its_grace_is_over(process):
    driver = process.drive()
    process.store.request_pause("r", "somebody", grace=10.0)
    with driver.holding.at_work("agent#1"):
        process.look()
        process.look(after=9.75)
        assert (driver.closing, process.done) == (False, [])
    process.look()
    assert driver.closing
    assert process.done == ["interrupt", "strike"]
    process.look()
    assert process.done == ["interrupt", "strike"], "it was let go of twice"


def test_what_still_runs_when_the_grace_is_over_is_cut_short(process):
    driver = process.drive()
    process.store.request_pause("r", "somebody", grace=10.0)
    with driver.holding.at_work("agent#1"):
        process.look()
        process.look(after=10.0)
        assert (driver.closing, process.done) == (True, ["interrupt", "strike"])


def test_a_run_without_grace_is_let_go_of_at_once_and_nothing_new_begins(process):
    driver = process.drive()
    process.store.request_pause("r", "somebody", grace=0.0)
    process.look()
    assert driver.closing
    assert driver.holding.on
    assert isinstance(driver.let_go_for, RunPaused)


def test_whoever_waits_for_a_paused_run_is_told_since_when_it_is_paused_though_that_was_lifted(process):
    driver = process.drive()
    process.clock.advance(5.0)
    process.store.request_pause("r", "somebody", grace=10.0)
    since = process.store.get("r").paused_at
    with driver.holding.at_work("agent#1"):
        process.look(after=1.0)
        process.store.lift_pause("r")
        process.look(after=10.0)
    assert (driver.let_go_for.by, driver.let_go_for.since) == ("somebody", since)


def test_a_pause_that_is_lifted_while_it_is_looked_at_counts_from_now(process):
    driver = process.drive()
    process.store.request_pause("r", "somebody", grace=0.0)
    process.store.lifts = True
    process.look(after=3.0)
    assert driver.let_go_for.since == process.clock()


def test_each_pause_of_a_run_has_its_own_grace_and_one_that_is_over_holds_nobody(process):
    process.drive("s")
    for _ in range(2):
        driver = process.drive("r", even_if_paused=True)
        process.look()
        assert not driver.holding.on
        process.store.request_pause("r", "somebody", grace=10.0)
        with driver.holding.at_work("agent#1"):
            process.look(after=1.0)
            process.look(after=9.0)
            assert (driver.holding.on, driver.closing) == (True, False)
        process.look()
        assert driver.closing
        process.host.let_go(driver)
        process.look()
        assert (process.host._known_since, process.host._pausing) == ({}, {})


def test_a_run_that_is_gone_on_with_in_the_same_process_is_not_paused_again_by_what_was_ordered_before(process):
    for _ in range(2):
        driver = process.drive(even_if_paused=True)
        process.look(after=60.0)
        assert (driver.holding.on, driver.closing) == (False, False)
        process.store.request_pause("r", "somebody", grace=10.0)
        with driver.holding.at_work("agent#1"):
            process.look()
            process.look(after=9.75)
            assert (driver.holding.on, driver.closing) == (True, False)
        process.look()
        assert driver.closing
        process.host.let_go(driver)  # and no look comes after it: a process without runs has no heartbeat


def test_a_paused_run_is_refused_with_whoever_has_paused_it_until_somebody_goes_on_with_it(process):
    process.host.let_go(process.drive())
    process.clock.advance(7.0)
    process.store.request_pause("r", "somebody")
    with pytest.raises(RunPaused) as refused:
        process.drive()
    assert (refused.value.by, refused.value.since) == ("somebody", process.clock())
    process.host.let_go(process.drive(even_if_paused=True))
    assert process.store.get("r").paused_by is None
    process.drive()


def test_a_run_stays_paused_if_its_journal_cannot_be_read(process, monkeypatch):
    process.host.let_go(process.drive())
    process.store.request_pause("r", "somebody")

    def damaged(_run):
        raise Corrupted("run r: record 1 is damaged")

    with monkeypatch.context() as patched:
        patched.setattr(process.store, "read", damaged)
        with pytest.raises(Corrupted):
            process.drive(even_if_paused=True)
    assert process.store.get("r").paused_by == "somebody"


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_a_stop_cuts_all_runs_of_its_project_short_and_says_whose_and_why(process):
    stopped, other = process.drive("r", "north"), process.drive("s", "south")
    process.store.stop("north", "somebody", "too dear")
    process.look()
    why = stopped.let_go_for
    assert isinstance(why, RunStopped)
    assert (why.run, why.by, why.reason, why.project) == ("r", "somebody", "too dear", "north")
    assert stopped.closing
    assert not other.closing
    assert process.done == ["interrupt", "strike"]


def test_code_that_takes_its_time_to_stop_is_interrupted_once(process):
    process.drive()
    process.store.stop(EVERYWHERE, "somebody")
    for _ in range(3):
        process.look(after=0.25)
    assert process.done == ["interrupt", "strike"]


def test_what_was_stopped_is_refused_for_its_project_alone(process):
    process.store.stop("north", "somebody", "too dear")
    process.host.refuse_if_stopped("south")
    with pytest.raises(RunStopped) as refused:
        process.host.refuse_if_stopped("north")
    assert (refused.value.run, refused.value.project) == ("", "north")


# -- cancelling --------------------------------------------------------------------------------------------------------


def test_a_cancelled_run_whose_code_does_not_end_is_ended_when_its_grace_is_over(process):
    driver = process.drive()
    process.store.request_cancel("r", "somebody", grace=10.0)
    process.look()
    process.look(after=9.75)
    assert (driver.cancelled_by, driver.forced, process.done) == ("somebody", False, ["interrupt"])
    process.done.clear()
    process.look(after=0.25)
    assert driver.forced
    assert process.done == ["interrupt", "leave", "strike"]
    assert process.store.get("r").status == "cancelled"
    assert process.host._drivers == {}
    assert unseal_all("r", process.store.read("r"))[-1].event.reason == "cancelled by somebody, by force"


def test_a_run_that_has_ended_meanwhile_is_not_ended_again(process):
    driver = process.drive()
    process.host.end_by_force(driver, "one")
    process.done.clear()
    process.host.end_by_force(driver, "another")
    assert process.done == []


def test_whoever_cancels_a_run_of_this_process_need_not_wait_for_its_heartbeat_and_leaves_word_in_the_store(process):
    driver = process.drive()
    process.host.cancel(driver, "somebody", 7.0)
    assert (driver.cancelled_by, driver.grace) == ("somebody", 7.0)
    (order,) = process.store.orders(process.host._holder).values()
    assert (order.what, order.actor, order.grace) == ("cancel", "somebody", 7.0)


# -- what runs have in common ------------------------------------------------------------------------------------------


def test_which_sizes_were_enough_is_kept_in_the_store_for_each_project(process):
    seen = SizeSeen("agent", 3, 1 << 20, None, "r", 1.0)
    process.host.remember_size(seen, "north")
    assert process.host.sizes("agent", 3, "north") == [seen]
    assert process.host.sizes("agent", 3, "south") == []


@pytest.mark.parametrize(("cached", "settled"), [(0, []), (2, ["settled"])])
def test_how_often_something_was_found_in_the_cache_is_written_down_when_a_run_that_found_something_ends(
    process, monkeypatch, cached, settled
):
    done = []
    monkeypatch.setattr(process.store.cache, "settle", lambda: done.append("settled"))
    driver = process.drive()
    driver.tally.cached = cached
    process.host.let_go(driver)
    assert done == settled
