"""What every store promises of orders: to cancel, to pause, to stop. A part of the conformance suite."""

from __future__ import annotations

import pytest

from regrow.errors import UnknownRun
from regrow.journal.orders import EVERYWHERE, GRACE_SECONDS, Order
from regrow.journal.store import NewRun

pytestmark = pytest.mark.store


class TestOrders:
    def test_the_holder_of_a_run_is_given_its_orders_and_nobody_else(self, place, journal):
        store, other = place.open(), place.open()
        run = journal(store).claim()
        assert store.orders(run.holder) == {}
        other.request_cancel("run-1", "somebody", grace=2.5)
        assert store.orders(run.holder) == {"run-1": Order("cancel", "somebody", 2.5)}
        assert store.orders(other.register()) == {}

    def test_without_a_word_about_it_the_usual_grace_is_given(self, store, journal):
        run = journal(store).claim()
        store.request_pause("run-1", "somebody")
        assert store.orders(run.holder) == {"run-1": Order("pause", "somebody", GRACE_SECONDS)}

    def test_a_later_order_to_cancel_has_its_own_grace(self, store, journal):
        run = journal(store).claim()
        store.request_cancel("run-1", "one", grace=60.0)
        store.request_cancel("run-1", "another", grace=0.0)
        assert store.orders(run.holder) == {"run-1": Order("cancel", "another", 0.0)}

    @pytest.mark.parametrize("first", ["cancel", "pause"])
    def test_to_cancel_comes_before_to_pause(self, store, journal, first):
        run = journal(store).claim()
        for what in ("cancel", "pause") if first == "cancel" else ("pause", "cancel"):
            getattr(store, f"request_{what}")("run-1", what, grace=5.0)
        assert store.orders(run.holder) == {"run-1": Order("cancel", "cancel", 5.0)}

    def test_the_orders_of_a_run_that_was_let_go_of_are_nobodys(self, store, journal):
        run = journal(store).claim()
        store.request_pause("run-1", "somebody")
        store.release("run-1", run.epoch)
        assert store.orders(run.holder) == {}


@pytest.mark.promise("P8")
class TestPauses:
    def test_a_paused_run_says_by_whom_and_since_when_once_nobody_holds_it(self, store, journal):
        run = journal(store).claim()
        store.request_pause("run-1", "somebody")
        row = store.get("run-1")
        assert (row.status, row.paused_by) == ("running", "somebody")
        assert row.paused_at > 0
        store.release("run-1", run.epoch)
        assert store.get("run-1").status == "paused"
        assert store.runs()[0].status == "paused"

    def test_who_paused_it_first_stays_who_paused_it(self, store):
        store.create(NewRun("run-1", "module:task", 1.0))
        store.request_pause("run-1", "first")
        since = store.get("run-1").paused_at
        store.request_pause("run-1", "second")
        assert (store.get("run-1").paused_by, store.get("run-1").paused_at) == ("first", since)

    def test_a_pause_outlives_a_claim_and_ends_when_it_is_lifted(self, store, journal):
        run = journal(store)
        store.request_pause("run-1", "somebody")
        run.claim()
        assert store.get("run-1").paused_by == "somebody"
        store.lift_pause("run-1")
        row = store.get("run-1")
        assert (row.paused_by, row.paused_at) == (None, None)
        assert store.orders(run.holder) == {}

    def test_a_pause_ends_with_the_run(self, store, journal):
        run = journal(store).claim().append(2)
        store.request_pause("run-1", "somebody")
        run.end()
        assert (store.get("run-1").status, store.get("run-1").paused_by) == ("succeeded", None)

    def test_a_run_that_is_not_there_cannot_be_paused(self, store):
        with pytest.raises(UnknownRun, match="no-such-run"):
            store.request_pause("no-such-run", "somebody")
        store.lift_pause("no-such-run")


class TestStops:
    def test_a_stop_is_seen_by_everybody_until_it_is_lifted(self, place):
        store, other = place.open(), place.open()
        assert other.stops() == []
        store.stop("north", "somebody", "why")
        store.stop(EVERYWHERE, "another")
        everywhere, north = other.stops()
        assert (everywhere.project, everywhere.actor, everywhere.reason) == (EVERYWHERE, "another", "")
        assert (north.project, north.actor, north.reason) == ("north", "somebody", "why")
        assert north.time > 0
        assert other.lift_stop("north") is True
        assert other.lift_stop("north") is False
        assert store.stops() == [everywhere]

    def test_who_stopped_it_first_stays_who_stopped_it(self, store):
        store.stop("north", "first", "why")
        store.stop("north", "second", "for another reason")
        (stop,) = store.stops()
        assert (stop.actor, stop.reason) == ("first", "why")
