"""Leases at their edges: the very moment at which one runs out, and what is left of a run's when it has ended."""

from __future__ import annotations

import pytest

from regrow.errors import RunHeld
from regrow.journal.memory import MemoryStore
from regrow.journal.store import NewRun
from regrow.testing import FakeClock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def timed(clock):
    store = MemoryStore(clock)
    store.create(NewRun("r", "agent", 1.0))
    return store


def test_a_lease_is_over_at_the_very_moment_at_which_it_runs_out(timed, clock):
    timed.claim("r", "one", seconds=10)
    clock.advance(9.5)
    assert timed.get("r").held
    with pytest.raises(RunHeld):
        timed.claim("r", "two")
    clock.advance(0.5)
    assert not timed.get("r").held
    assert timed.claim("r", "two") == 2


def test_a_finished_run_that_was_claimed_is_not_called_held(store, journal):
    run = journal(store).claim().append().end("failed")
    run.claim()
    assert (store.get("run-1").held, store.get("run-1").status) == (False, "failed")


def test_a_new_run_has_no_holder_and_no_epoch(store):
    row = store.create(NewRun("r", "agent", 1.0))
    assert (row.holder, row.epoch, row.held, row.outcome, row.status) == ("", 0, False, None, "interrupted")


def test_a_lease_that_was_let_go_of_is_not_renewed_any_more(store, journal):
    run = journal(store).claim()
    assert store.renew(run.holder) == {"run-1": None}
    store.release("run-1", run.epoch)
    assert store.renew(run.holder) == {}
    assert not store.get("run-1").held


def test_leases_that_were_forgotten_are_not_renewed_any_more(timed):
    timed.claim("r", "one")
    timed.forget_leases()
    assert timed.renew("one") == {}


def test_each_holder_has_a_name_of_its_own(store):
    assert len({store.register() for _ in range(3)}) == 3
