"""The way into the store: what waits is told, whatever becomes of the entry, and nothing follows one that was lost."""

from __future__ import annotations

import asyncio
import threading

import pytest

from regrow.engine.committer import Committer, LoopTicket, ThreadTicket, arrival, arrive, settle_on_loop
from regrow.errors import LeaseLost, StoreUnavailable
from regrow.journal.chain import StoredRecord
from regrow.journal.store import Entry


def entry(seq=1, run="r", epoch=1):
    return Entry(run, epoch, StoredRecord(seq, b"", b""))


class Store:
    """Keeps the batches that it was handed; fences runs and raises as it is told to; holds an append until let go."""

    place = "here"

    def __init__(self):
        self.batches = []
        self.fenced = frozenset()
        self.problem = None
        self.began = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.inside = 0
        self.ever_two = False

    def append(self, entries):
        self.inside += 1
        self.ever_two = self.ever_two or self.inside > 1
        self.began.set()
        try:
            assert self.may_go_on.wait(20)
            if self.problem is not None:
                raise self.problem
            self.batches.append([one.record.seq for one in entries])
            return self.fenced
        finally:
            self.inside -= 1


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def committer(store):
    committer = Committer(store)
    yield committer
    store.may_go_on.set()
    committer.rest()
    assert not store.ever_two, "the store was handed one batch while it had another"


def test_a_single_strand_commits_in_its_own_thread_and_waits_for_nothing(committer, store):
    committer.busy = 1
    assert committer.submit(entry(), None) is None
    assert store.batches == [[1]]


def test_what_nobody_waits_for_goes_in_before_what_comes_next(committer, store):
    committer.hand_in(entry(1))
    assert store.batches == []
    assert committer.submit(entry(2), None) is None
    assert store.batches == [[1, 2]]


def test_a_flush_makes_what_was_handed_in_durable_and_a_second_one_has_nothing_to_do(committer, store):
    committer.flush()
    committer.hand_in(entry(1))
    committer.flush()
    committer.flush()
    assert store.batches == [[1]]


def test_many_strands_are_committed_together(committer, store):
    async def strands():
        loop = asyncio.get_running_loop()
        tickets = [committer.submit(entry(seq), loop) for seq in (1, 2, 3)]
        await asyncio.gather(*(arrival(ticket) for ticket in tickets))

    committer.busy = 2
    asyncio.run(strands())
    assert store.batches == [[1, 2, 3]]


def test_a_thread_waits_until_its_entry_is_durable(committer, store):
    committer.busy = 2
    ticket = committer.submit(entry(), None)
    assert isinstance(ticket, ThreadTicket)
    arrive(ticket)
    assert store.batches == [[1]]


def test_while_a_commit_is_under_way_nobody_is_made_to_wait_for_it_where_they_hand_in(committer, store):
    store.may_go_on.clear()
    committer.busy = 2
    tickets = [committer.submit(entry(1), None)]
    assert store.began.wait(20)
    committer.busy = 1
    tickets += [committer.submit(entry(seq), None) for seq in (2, 3)]  # a mistake would stand still here
    store.may_go_on.set()
    for ticket in tickets:
        arrive(ticket)
    assert store.batches == [[1], [2, 3]]


def test_who_commits_in_place_after_all_waits_for_the_commit_that_began_meanwhile(committer, store):
    store.may_go_on.clear()
    committer.busy = 2
    first = committer.submit(entry(1), None)
    assert store.began.wait(20)
    thread = threading.Thread(target=committer._commit_in_place, args=(entry(2),))
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    store.may_go_on.set()
    thread.join(20)
    arrive(first)
    assert store.batches == [[1], [2]]


def test_a_loop_that_cannot_be_woken_though_it_is_open_is_an_error(committer):
    class Deaf:
        def get_debug(self):
            return False

        def is_closed(self):
            return False

        def call_soon_threadsafe(self, *call):
            raise RuntimeError("deaf")

    ticket = LoopTicket(loop=Deaf())
    with pytest.raises(RuntimeError, match="deaf"):
        committer._settle([(entry(), ticket)], frozenset(), None)


def test_a_flush_waits_for_the_commit_that_is_under_way(committer, store):
    store.may_go_on.clear()
    committer.busy = 2
    ticket = committer.submit(entry(1), None)
    assert store.began.wait(20)
    committer.hand_in(entry(2))
    thread = threading.Thread(target=committer.flush)
    thread.start()
    thread.join(0.05)
    assert thread.is_alive()
    store.may_go_on.set()
    thread.join(20)
    arrive(ticket)
    assert store.batches == [[1], [2]]


@pytest.mark.parametrize("waits", ["in a thread", "on a loop"])
@pytest.mark.parametrize("problem", [StoreUnavailable("full"), ZeroDivisionError("a bug")])
def test_whoever_waits_is_told_of_any_problem_and_the_next_entry_finds_the_committer_at_work(
    committer, store, waits, problem
):
    store.problem = problem
    committer.busy = 2

    async def on_loop(seq):
        await arrival(committer.submit(entry(seq), asyncio.get_running_loop()))

    def attempt(seq):
        if waits == "on a loop":
            asyncio.run(on_loop(seq))
        else:
            arrive(committer.submit(entry(seq), None))

    with pytest.raises(StoreUnavailable, match=r"full|cut short by ZeroDivisionError"):
        attempt(1)
    store.problem = None
    attempt(1)
    assert store.batches == [[1]]


@pytest.mark.parametrize("problem", [StoreUnavailable("full"), KeyboardInterrupt()])
def test_who_commits_in_place_sees_the_problem_as_it_is(committer, store, problem):
    store.problem = problem
    with pytest.raises(type(problem)):
        committer.submit(entry(), None)
    committer.hand_in(entry())
    with pytest.raises(type(problem)):
        committer.flush()


def test_a_run_that_another_driver_has_taken_is_told_so_each_way(committer, store):
    store.fenced = frozenset(("r",))
    with pytest.raises(LeaseLost):
        committer.submit(entry(), None)
    committer.busy = 2
    with pytest.raises(LeaseLost):
        arrive(committer.submit(entry(), None))
    assert committer.submit(entry(run="other"), None) is not None


def test_nothing_follows_an_entry_that_nobody_waited_for_and_that_did_not_go_in(committer, store):
    store.problem = StoreUnavailable("full")
    committer.hand_in(entry(1))
    with pytest.raises(StoreUnavailable):
        committer.flush()
    store.problem = None
    for follow in (lambda: committer.hand_in(entry(2)), lambda: committer.submit(entry(2), None)):
        with pytest.raises(StoreUnavailable, match="full"):
            follow()
    committer.submit(entry(2, epoch=2), None)
    committer.submit(entry(2, run="other"), None)
    committer.forget("r", 1)
    committer.submit(entry(2), None)
    assert store.batches == [[2], [2], [2]]


def test_a_loop_that_was_closed_keeps_nobody_else_from_being_told(committer, store):
    store.may_go_on.clear()
    committer.busy = 2
    blocking = committer.submit(entry(1), None)
    assert store.began.wait(20)
    closed = asyncio.new_event_loop()
    gone = committer.submit(entry(2), closed)
    closed.close()
    patient = committer.submit(entry(3), None)
    store.may_go_on.set()
    arrive(blocking)
    arrive(patient)
    assert store.batches == [[1], [2, 3]]
    assert not gone.done()


def test_a_ticket_cannot_be_cancelled_and_a_cancelled_wait_ends_with_its_record():
    async def wait():
        ticket = LoopTicket()
        waiting = asyncio.create_task(arrival(ticket))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        assert not waiting.done()
        settle_on_loop([(ticket, None)])
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(wait())


def test_what_the_store_had_to_say_goes_before_a_cancellation():
    async def wait():
        ticket = LoopTicket()
        waiting = asyncio.create_task(arrival(ticket))
        await asyncio.sleep(0)
        waiting.cancel()
        settle_on_loop([(ticket, StoreUnavailable("full"))])
        with pytest.raises(StoreUnavailable):
            await waiting

    asyncio.run(wait())


def test_a_ticket_that_is_settled_already_keeps_nobody_else_waiting():
    async def wait():
        done, left = LoopTicket(), LoopTicket()
        done.set_result(None)
        settle_on_loop([(done, StoreUnavailable("full")), (left, None)])
        assert left.done()
        await arrival(done)

    asyncio.run(wait())


def test_a_committer_at_rest_has_no_thread_and_starts_one_when_it_is_needed(committer, store):
    def threads():
        return [one for one in threading.enumerate() if one.name == "regrow-committer"]

    before = len(threads())
    committer.rest()
    committer.busy = 2
    for seq in (1, 2):
        arrive(committer.submit(entry(seq), None))
        assert len(threads()) == before + 1
        assert threads()[-1].daemon
        committer.rest()
        assert len(threads()) == before
