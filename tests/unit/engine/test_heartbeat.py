"""A process as a driver of runs: its heartbeat, played beat by beat, and what it takes up and lets go of."""

from __future__ import annotations

import asyncio
import threading

import pytest

from regrow.engine.host import Host
from regrow.errors import Divergence, LeaseLost, RunHeld, RunOver, StoreUnavailable
from regrow.executors.inline import InlineExecutor
from regrow.healing.ladder import Ladder
from regrow.journal.chain import unseal_all
from regrow.journal.records import Call, CallStarted, RunCreated, RunEnded
from regrow.journal.store import LogLine, NewRun
from regrow.testing import FakeClock, MemoryStore

CREATED = RunCreated("r", "agent", "", b"", b"")
CALL = Call("agent#1", "task", 1, b"")


class Watched(MemoryStore):
    """Fails as it is told to, and remembers what it was asked."""

    def __init__(self, clock):
        super().__init__(clock)
        self.failing = set()
        self.asked = []

    def _note(self, what, *facts):
        self.asked.append((what, *facts))
        if what in self.failing:
            raise StoreUnavailable(f"no {what}")

    def release(self, run, epoch):
        self._note("release", run, epoch)
        super().release(run, epoch)

    def renew(self, holder, **more):
        self._note("renew", more)
        return super().renew(holder, **more)

    def append(self, entries):
        self._note("append")
        return super().append(entries)

    def unregister(self, holder):
        self._note("unregister", holder)
        super().unregister(holder)


class Beats:
    """Stands for the event that a heartbeat waits on: waits are over at once, for so many seconds in all."""

    def __init__(self, seconds):
        self.left = seconds

    def wait(self, seconds):
        self.left -= seconds
        return self.left < 0


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def store(clock):
    store = Watched(clock)
    store.create(NewRun("r", "agent", 1.0))
    return store


@pytest.fixture
def host(store, clock):
    host = Host(store, InlineExecutor(), Ladder(), clock, lease_seconds=3600.0)
    yield host
    store.failing.clear()
    host.close()


def beat(host, times=1):
    host._beat(host._holder, Beats(times * host._beat_seconds))


def kinds(store, run="r"):
    return [type(record.event).__name__ for record in unseal_all(run, store.read(run))]


def threads():
    return [one for one in threading.enumerate() if one.name == "regrow-heartbeat"]


# -- the beat ----------------------------------------------------------------------------------------------------------


def test_a_heart_beats_once_a_second_or_three_times_a_lease(store):
    def beat_of(lease):
        return Host(store, InlineExecutor(), Ladder(), lease_seconds=lease)._beat_seconds

    assert (beat_of(15.0), beat_of(3.0), beat_of(0.3)) == (1.0, 1.0, pytest.approx(0.1))


def test_a_beat_prolongs_the_leases(host, store, clock):
    host.take_up("r", created=CREATED)
    clock.advance(3000.0)
    beat(host)
    clock.advance(3000.0)
    assert store.get("r").held
    assert [asked for asked in store.asked if asked[0] == "renew"] == [("renew", {"seconds": 3600.0})]


def test_a_lease_is_taken_for_as_long_as_it_was_asked_for(host, store, clock):
    host.take_up("r", created=CREATED)
    clock.advance(3599.0)
    assert store.get("r").held
    clock.advance(2.0)
    assert not store.get("r").held


def test_what_nobody_waits_for_and_what_was_logged_is_written_with_the_next_beat(host, store):
    driver = host.take_up("r", created=CREATED)
    driver.hand_in(CallStarted(CALL, 1))
    host.note_log("r", LogLine(1.0, "agent#1", 1, "INFO", "one"))
    host.note_log("r", LogLine(2.0, "agent#1", 1, "INFO", "two"))
    assert "CallStarted" not in kinds(store)
    assert store.read_logs("r") == []
    beat(host)
    assert kinds(store)[-1] == "CallStarted"
    assert [line.text for _, line in store.read_logs("r")] == ["one", "two"]
    beat(host)
    assert len(store.read_logs("r")) == 2


def test_whoever_asks_for_a_cancellation_is_heard_with_the_next_beat(host, store):
    driver = host.take_up("r", created=CREATED)
    beat(host)
    assert driver.cancelled_by is None
    store.request_cancel("r", "somebody@somewhere")
    beat(host)
    assert driver.cancelled_by == "somebody@somewhere"


def test_a_driver_whose_lease_was_taken_stops(host, store):
    driver = host.take_up("r", created=CREATED)
    store.forget_leases()
    beat(host)
    assert isinstance(driver.halted, LeaseLost)
    assert driver.halted.args[0] != ""


def test_a_driver_that_has_ended_or_was_let_go_of_has_lost_nothing(host, store):
    ended = host.take_up("r", created=CREATED)
    ended.hand_in(RunEnded("failed"))
    store.forget_leases()
    beat(host)
    assert ended.halted is None
    host.let_go(ended)
    driver = host.take_up("r", retry_as="me")

    def renewed(holder, **more):
        with host._lock:
            host._drivers.pop("r")
        return {}

    store.renew = renewed
    beat(host)
    assert driver.halted is None


def test_a_beat_that_fails_is_followed_by_others(host, store, clock):
    driver = host.take_up("r", created=CREATED)
    store.failing.add("renew")
    beat(host, 3)
    assert [what for what, *_ in store.asked].count("renew") == 3
    assert driver.halted is None


def test_a_lease_that_could_not_be_given_back_is_given_back_by_a_later_beat_and_only_once(host, store):
    driver = host.take_up("r", created=CREATED)
    store.failing.add("release")
    with pytest.raises(StoreUnavailable):
        host.let_go(driver)
    assert host._holder is not None
    assert store.get("r").held
    beat(host)
    assert store.get("r").held
    store.failing.clear()
    store.asked.clear()
    beat(host, 2)
    assert not store.get("r").held
    assert [asked for asked in store.asked if asked[0] == "release"] == [("release", "r", 1)]
    assert host._holder is None


def test_a_run_whose_loop_was_closed_is_let_go_of_and_says_so(host, store):
    driver = host.take_up("r", created=CREATED)
    driver.is_abandoned = lambda: True
    interrupted = []
    driver.interrupt = lambda: interrupted.append(1)
    beat(host)
    assert unseal_all("r", store.read("r"))[-1].event.reason == "its event loop was closed"
    assert store.get("r").status == "interrupted"
    assert interrupted == [1]
    assert driver.closing
    assert (host._drivers, host._holder) == ({}, None)


# -- taking up and letting go ------------------------------------------------------------------------------------------


def test_one_run_is_driven_once_and_a_refusal_says_by_whom(host, store):
    host.take_up("r", created=CREATED)
    with pytest.raises(RunHeld, match="this very process"):
        host.take_up("r")
    store.create(NewRun("s", "agent", 1.0))
    store.claim("s", "somebody else")
    with pytest.raises(RunHeld, match="somebody else"):
        host.take_up("s")


def test_a_run_that_cannot_be_taken_up_is_left_to_others_and_nothing_runs_on(host, store):
    driver = host.take_up("r", created=CREATED)
    driver.hand_in(RunEnded("failed"))
    host.let_go(driver)
    before = threads()
    with pytest.raises(RunOver):
        host.take_up("r")
    assert not store.get("r").held
    assert store._leases["r"].until == 0.0
    assert host._holder is None
    for heart in set(threads()) - set(before):
        heart.join(20)
        assert not heart.is_alive()


def test_how_a_run_came_to_be_is_recorded_once(host, store):
    host.let_go(host.take_up("r", created=CREATED))
    host.let_go(host.take_up("r", created=CREATED))
    host.let_go(host.take_up("r"))
    assert kinds(store) == ["RunCreated", "DriverOpened", "DriverOpened", "DriverOpened"]


def test_a_run_of_which_nobody_says_how_it_came_to_be_is_opened_all_the_same(host, store):
    host.let_go(host.take_up("r"))
    assert kinds(store) == ["DriverOpened"]


def test_only_a_run_that_has_ended_is_retried(host, store):
    host.let_go(host.take_up("r", created=CREATED, retry_as="me"))
    assert kinds(store) == ["RunCreated", "DriverOpened"]
    driver = host.take_up("r")
    driver.hand_in(RunEnded("failed", None, ("agent#1",)))
    host.let_go(driver)
    host.let_go(host.take_up("r", retry_as="me@here"))
    last = unseal_all("r", store.read("r"))[-1]
    assert (type(last.event).__name__, last.actor, last.event.again) == ("RunRetried", "me@here", ("agent#1",))
    assert store.get("r").status == "interrupted"


def test_divergences_are_passed_over_unless_somebody_says_otherwise(host):
    lax = host.take_up("r", created=CREATED)
    assert not lax.strict
    host.let_go(lax)
    assert host.take_up("r", strict=True).strict


def test_a_run_that_is_taken_up_is_on_record_before_it_begins(host, store):
    host.take_up("r", created=CREATED)
    assert kinds(store) == ["RunCreated", "DriverOpened"]


def test_each_run_that_is_driven_counts_as_a_strand_at_work_until_it_is_let_go_of(host, store):
    store.create(NewRun("s", "agent", 1.0))
    one = host.take_up("r", created=CREATED)
    assert host.committer.busy == 1
    other = host.take_up("s", created=RunCreated("s", "agent", "", b"", b""))
    assert host.committer.busy == 2
    host.let_go(one)
    host.let_go(one)
    assert host.committer.busy == 1
    host.let_go(other)
    assert host.committer.busy == 0


def test_the_end_of_a_run_gives_its_lease_back_and_nothing_else_does(host, store):
    driver = host.take_up("r", created=CREATED)
    driver.hand_in(RunEnded("succeeded"))
    store.asked.clear()
    host.let_go(driver)
    assert [asked for asked in store.asked if asked[0] == "release"] == []
    assert store._leases["r"].until == 0.0


def test_a_driver_that_halted_gives_its_lease_back_whatever_its_log_says(host, store):
    driver = host.take_up("r", created=CREATED)
    driver.hand_in(RunEnded("failed"))
    driver.halted = Divergence("agent#1", "edited")
    store.asked.clear()
    host.let_go(driver)
    assert ("release", "r", 1) in store.asked


def test_a_driver_that_halted_since_the_store_was_gone_ends_quietly(host, store):
    driver = host.take_up("r", created=CREATED)
    driver.halted = StoreUnavailable("gone")
    store.failing.add("release")
    host.let_go(driver)
    assert host._unreleased == {"r": 1}


def test_what_was_lost_under_one_lease_does_not_hold_up_the_next(host, store):
    driver = host.take_up("r", created=CREATED)
    driver.hand_in(CallStarted(CALL, 1))
    store.failing.add("append")
    with pytest.raises(StoreUnavailable):
        host.let_go(driver)
    store.failing.clear()
    assert host.committer._lost == {}
    store.forget_leases()
    host.let_go(host.take_up("r"))
    assert kinds(store)[-1] == "DriverOpened"


def test_a_host_with_nothing_to_do_has_no_heartbeat_no_committer_and_no_name(host, store):
    before = threads()
    driver = host.take_up("r", created=CREATED)
    (heart,) = set(threads()) - set(before)
    assert heart.daemon
    host.committer._wake()
    assert host.committer._thread is not None
    holder = host._holder
    host.let_go(driver)
    heart.join(20)
    assert not heart.is_alive()
    assert host._holder is None
    assert ("unregister", holder) in store.asked
    assert host.committer._thread is None


def test_a_store_that_cannot_be_told_goodbye_keeps_nobody(host, store):
    driver = host.take_up("r", created=CREATED)
    store.failing.add("unregister")
    host.let_go(driver)
    assert host._holder is None


def test_a_host_that_is_closed_forgets_its_runs_and_rests(host, store):
    host.take_up("r", created=CREATED)
    host._unreleased["s"] = 1
    host.close()
    assert (host._drivers, host._unreleased, host._holder) == ({}, {}, None)
    store.asked.clear()
    host.close()
    assert store.asked == []


def test_a_host_that_rests_and_is_woken_again_beats_again(host, store):
    for _ in range(2):
        before = threads()
        driver = host.take_up("r", created=CREATED)
        (heart,) = set(threads()) - set(before)
        host.let_go(driver)
        heart.join(20)


def test_blobs_are_the_stores_affair(host, store):
    store._blobs_of["r"].update(["digest"])
    host.release_blobs("r", ("digest",))
    assert store.referenced_blobs("r") == frozenset()


def test_a_cancellation_from_outside_reaches_code_that_waits(host, store):
    driver = host.take_up("r", created=CREATED)
    store.request_cancel("r", "somebody")
    beat(host)
    with pytest.raises(asyncio.CancelledError):
        driver.heed_interruption()
    driver.heed_interruption()
