"""What every store promises. See `conftest.PLACES` for how another store joins."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec
import pytest

from regrow.errors import Corrupted, RunHeld, StoreUnavailable, UnknownRun
from regrow.journal.chain import unseal_all
from regrow.journal.records import RunRetried
from regrow.journal.store import SIZES_KEPT, LogLine, NewRun, SizeSeen

pytestmark = pytest.mark.store


def at_once(actions):
    """Do things in as many threads, beginning together, and give their results or errors."""
    start = threading.Barrier(len(actions))

    def do(action):
        start.wait()
        try:
            return action()
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(do, actions))


class TestRuns:
    def test_a_new_run_is_known_by_its_id_and_has_never_been_held(self, store):
        row = store.create(NewRun("run-1", "module:task", 12.5, "a key", "a project"))
        assert row == store.get("run-1")
        assert (row.id, row.task, row.created) == ("run-1", "module:task", 12.5)
        assert (row.key, row.project) == ("a key", "a project")
        assert (row.outcome, row.ended, row.epoch, row.holder, row.held) == (None, None, 0, "", False)
        assert row.status == "interrupted"

    def test_the_same_key_gives_the_first_run_again(self, store):
        first = store.create(NewRun("run-1", "module:task", 1.0, "key"))
        assert store.create(NewRun("run-2", "module:other", 2.0, "key")) == first
        assert store.by_key("default", "key") == first
        with pytest.raises(UnknownRun):
            store.get("run-2")

    def test_a_key_belongs_to_its_project(self, store):
        store.create(NewRun("run-1", "module:task", 1.0, "key", "one"))
        assert store.create(NewRun("run-2", "module:task", 1.0, "key", "two")).id == "run-2"
        assert store.by_key("one", "key").id == "run-1"
        assert store.by_key("two", "key").id == "run-2"
        assert store.by_key("three", "key") is None

    def test_runs_without_a_key_are_never_the_same(self, store):
        assert store.create(NewRun("run-1", "module:task", 1.0)).id == "run-1"
        assert store.create(NewRun("run-2", "module:task", 1.0)).id == "run-2"

    @pytest.mark.parametrize("key", [None, "key"])
    def test_a_run_that_is_there_is_left_as_it_is(self, store, key):
        first = store.create(NewRun("run-1", "module:task", 1.0, key))
        store.write_logs("run-1", [LogLine(1.0, "a#1", 1, "INFO", "said")])
        assert store.create(NewRun("run-1", "module:task", 2.0, key)) == first
        assert len(store.read_logs("run-1")) == 1

    def test_many_threads_that_create_one_key_get_one_run(self, place):
        stores = [place.open() for _ in range(2)]
        for round_ in range(10):
            new = [NewRun(f"{round_}-{n}", "module:task", 1.0, f"key {round_}") for n in range(8)]
            rows = at_once([lambda n=n, new=new: stores[n % 2].create(new[n]) for n in range(8)])
            assert len({row.id for row in rows}) == 1, rows
        assert len(stores[0].runs()) == 10

    def test_an_unknown_run_is_said_to_be_unknown(self, store):
        holder = store.register()
        for ask in (
            lambda: store.get("no-such-run"),
            lambda: store.claim("no-such-run", holder),
            lambda: store.request_cancel("no-such-run", "somebody"),
        ):
            with pytest.raises(UnknownRun, match="no-such-run") as caught:
                ask()
            assert caught.value.run == "no-such-run"
        assert store.read("no-such-run") == []
        assert store.read_logs("no-such-run") == []

    def test_runs_are_listed_newest_first(self, store):
        for number, created in enumerate((2.0, 3.0, 1.0, 3.0)):
            store.create(NewRun(f"run-{number}", "module:task", created))
        assert [row.id for row in store.runs()] == ["run-3", "run-1", "run-0", "run-2"]
        assert [row.id for row in store.runs(limit=2)] == ["run-3", "run-1"]
        assert store.runs(limit=0) == []
        damaged = []
        assert store.runs(damaged=damaged) == store.runs()
        assert damaged == []

    def test_another_handle_on_the_store_sees_what_was_written(self, place, journal):
        journal(place.open()).claim().append(3).end()
        other = place.open()
        assert other.get("run-1").status == "succeeded"
        assert len(unseal_all("run-1", other.read("run-1"))) == 4


@pytest.mark.promise("P3", "P8")
class TestLeases:
    def test_a_claimed_run_is_running_and_names_its_holder(self, store, journal):
        run = journal(store).claim()
        row = store.get("run-1")
        assert (row.holder, row.held, row.epoch, row.status) == (run.holder, True, 1, "running")

    def test_a_holder_names_the_process(self, store):
        assert " pid " in store.register()
        assert "@" in store.register()

    def test_two_holders_never_share_a_name(self, store):
        assert len({store.register() for _ in range(20)}) == 20

    def test_a_live_lease_is_refused_to_others_with_the_name_of_its_holder(self, place, journal):
        first = journal(place.open()).claim()
        other = place.open()
        with pytest.raises(RunHeld) as caught:
            other.claim("run-1", other.register())
        assert (caught.value.run, caught.value.holder) == ("run-1", first.holder)
        assert first.holder in str(caught.value)
        assert other.get("run-1").epoch == 1

    def test_a_live_lease_is_refused_to_its_own_holder_too(self, store, journal):
        run = journal(store).claim()
        with pytest.raises(RunHeld):
            store.claim("run-1", run.holder)

    def test_a_lease_that_ran_out_can_be_taken_and_the_epoch_grows_by_one(self, place, journal):
        store = place.open()
        journal(store).claim(seconds=place.lease)
        place.let_leases_run_out(store, "run-1")
        assert store.get("run-1").status == "interrupted"
        holder = store.register()
        assert store.claim("run-1", holder) == 2
        assert (store.get("run-1").holder, store.get("run-1").held) == (holder, True)

    def test_epochs_grow_by_one_with_every_claim(self, store, journal):
        run = journal(store)
        for epoch in range(1, 6):
            run.claim()
            assert run.epoch == epoch
            store.release("run-1", epoch)

    def test_a_renewed_lease_holds_on(self, place, journal):
        store = place.open()
        run = journal(store).claim(seconds=place.lease)
        assert store.renew(run.holder, seconds=600.0) == {"run-1": None}
        other = journal(store, "run-2").claim(seconds=place.lease)
        place.let_leases_run_out(store, "run-2")  # by then the first lease would have run out as well
        assert other.run == "run-2"
        assert store.get("run-1").held or place.name == "memory"
        if place.name != "memory":
            with pytest.raises(RunHeld):
                store.claim("run-1", store.register())

    def test_renewing_prolongs_all_that_a_holder_holds_and_nothing_else(self, store, journal):
        holder, other = store.register(), store.register()
        for number, who in enumerate((holder, holder, other, holder)):
            store.create(NewRun(f"run-{number}", "module:task", 1.0))
            store.claim(f"run-{number}", who)
        store.release("run-3", 1)
        assert store.renew(holder) == {"run-0": None, "run-1": None}
        assert store.renew(other) == {"run-2": None}
        assert store.renew(store.register()) == {}

    def test_a_lease_that_ran_out_and_that_nobody_took_can_be_renewed(self, place, journal):
        store = place.open()
        run = journal(store).claim(seconds=place.lease)
        place.let_leases_run_out(store, "run-1")
        assert store.renew(run.holder) == {"run-1": None}
        assert store.get("run-1").held

    def test_a_lease_that_another_one_took_cannot_be_renewed(self, place, journal):
        store = place.open()
        old = journal(store).claim(seconds=place.lease)
        place.let_leases_run_out(store, "run-1")
        store.claim("run-1", store.register())
        assert store.renew(old.holder) == {}
        assert store.get("run-1").epoch == 2

    def test_a_released_run_is_free_at_once(self, store, journal):
        run = journal(store).claim()
        store.release("run-1", run.epoch)
        assert store.get("run-1").status == "interrupted"
        assert store.renew(run.holder) == {}
        assert store.claim("run-1", store.register()) == 2

    def test_an_old_epoch_cannot_release_the_lease_of_a_new_one(self, store, journal):
        run = journal(store).claim()
        store.release("run-1", run.epoch)
        store.claim("run-1", store.register())
        store.release("run-1", run.epoch)
        assert store.get("run-1").held

    def test_releasing_what_is_not_there_does_nothing(self, store):
        store.release("no-such-run", 1)

    def test_of_many_that_claim_at_once_one_gets_the_lease(self, place):
        stores = [place.open() for _ in range(2)]
        for round_ in range(5):
            run = f"run-{round_}"
            stores[0].create(NewRun(run, "module:task", 1.0))
            holders = [stores[n % 2].register() for n in range(8)]
            claims = [partial(stores[n % 2].claim, run, holders[n]) for n in range(8)]
            answers = at_once(claims)
            won = [answer for answer in answers if not isinstance(answer, RunHeld)]
            assert won == [1], answers


class TestAppending:
    def test_records_come_back_as_they_were_appended_and_in_order(self, store, journal):
        run = journal(store).claim()
        handed_in = [entry for size in (1, 1, 5, 1, 20) for entry in _append(store, run.entries(size))]
        assert store.read("run-1") == [entry.record for entry in handed_in]
        assert [record.seq for record in unseal_all("run-1", store.read("run-1"))] == list(range(1, 29))

    def test_reading_can_begin_after_any_place(self, store, journal):
        journal(store).claim().append(5)
        everything = store.read("run-1")
        for after in range(7):
            assert store.read("run-1", after=after) == everything[after:]
            for limit in range(7):
                assert store.read("run-1", after=after, limit=limit) == everything[after : after + limit]

    def test_a_batch_may_be_of_many_runs(self, store, journal):
        runs = [journal(store, f"run-{n}").claim() for n in range(10)]
        for run in runs:
            run.append()
        assert store.append([run.entry() for _ in range(3) for run in runs]) == frozenset()
        for run in runs:
            assert len(unseal_all(run.run, store.read(run.run))) == 4

    def test_an_empty_batch_does_nothing(self, store):
        assert store.append([]) == frozenset()

    @pytest.mark.promise("P3")
    @pytest.mark.parametrize("size", [1, 3])
    def test_an_old_epoch_cannot_append(self, store, journal, size):
        old = journal(store).claim().append()
        store.release("run-1", old.epoch)
        store.claim("run-1", store.register())
        assert store.append(old.entries(size)) == {"run-1"}
        assert len(store.read("run-1")) == 1

    @pytest.mark.promise("P3")
    def test_an_epoch_that_was_never_given_cannot_append(self, store, journal):
        run = journal(store).claim()
        assert store.append([run.entry(epoch=2)]) == {"run-1"}
        assert store.append([run.entry(epoch=0)]) == {"run-1"}
        assert store.read("run-1") == []

    def test_a_run_that_is_not_there_cannot_be_appended_to(self, store, journal):
        run = journal(store).claim()
        store.delete("run-1")
        assert store.append([run.entry()]) == {"run-1"}
        assert store.append(run.entries(2)) == {"run-1"}
        assert store.read("run-1") == []

    @pytest.mark.promise("P3")
    def test_only_the_fenced_run_of_a_batch_is_kept_out(self, store, journal):
        lost, kept = journal(store, "lost").claim(), journal(store, "kept").claim()
        store.release("lost", lost.epoch)
        store.claim("lost", store.register())
        batch = [lost.entry(), kept.entry(), lost.entry(), kept.entry(blobs=("ab" * 32,))]
        assert store.append(batch) == {"lost"}
        assert store.read("lost") == []
        assert len(unseal_all("kept", store.read("kept"))) == 2

    @pytest.mark.promise("P3")
    def test_a_fenced_entry_leaves_no_outcome_and_no_blob_behind(self, store, journal):
        old = journal(store).claim()
        store.release("run-1", old.epoch)
        store.claim("run-1", store.register())
        assert store.append([old.entry(blobs=("ab" * 32,), outcome="succeeded")]) == {"run-1"}
        assert store.get("run-1").status == "running"
        assert store.referenced_blobs() == frozenset()

    @pytest.mark.promise("P3")
    def test_what_an_old_lease_left_in_a_batch_does_not_keep_the_new_one_out(self, store, journal):
        run = journal(store).claim().append()
        stale = run.entry()
        run.seq, run.previous = 1, store.read("run-1")[0].hash
        store.release("run-1", run.epoch)
        run.claim()
        store.append([stale, *run.entries(2)])
        store.append([*run.entries(2), stale])
        assert [record.epoch for record in unseal_all("run-1", store.read("run-1"))] == [1, 2, 2, 2, 2]

    def test_a_lease_that_ran_out_and_that_nobody_took_still_appends(self, place, journal):
        store = place.open()
        run = journal(store).claim(seconds=place.lease)
        place.let_leases_run_out(store, "run-1")
        run.append(2)

    @pytest.mark.promise("P3")
    def test_no_place_of_a_run_is_written_twice(self, store, journal):
        run = journal(store).claim().append(2)
        before = store.read("run-1")
        again = run.entry()
        twice = msgspec.structs.replace(again, record=msgspec.structs.replace(again.record, seq=2))
        with pytest.raises(StoreUnavailable):
            store.append([twice])
        assert store.read("run-1") == before

    def test_a_batch_that_fails_leaves_nothing_behind(self, store, journal):
        good, bad = journal(store, "good").claim(), journal(store, "bad").claim()
        bad.append()
        wrong = bad.entry()
        wrong = msgspec.structs.replace(wrong, record=msgspec.structs.replace(wrong.record, seq=1))
        with pytest.raises(StoreUnavailable):
            store.append([good.entry(blobs=("ab" * 32,)), good.entry(outcome="succeeded"), wrong])
        assert store.read("good") == []
        assert store.get("good").status == "running"
        assert store.referenced_blobs() == frozenset()
        good.seq, good.previous = 0, b""
        good.append(2)

    def test_many_threads_append_to_their_runs_at_once(self, place, journal):
        stores = [place.open() for _ in range(2)]
        runs = [journal(stores[n % 2], f"run-{n}").claim() for n in range(8)]
        answers = at_once([lambda run=run: [run.append(2) for _ in range(10)] for run in runs])
        assert [answer for answer in answers if isinstance(answer, Exception)] == []
        for run in runs:
            assert len(unseal_all(run.run, stores[0].read(run.run))) == 20

    def test_the_store_keeps_no_hold_on_what_it_was_given(self, store, journal):
        run = journal(store).claim()
        batch = run.entries(2)
        store.append(batch)
        batch.clear()
        store.read("run-1").clear()
        assert len(store.read("run-1")) == 2


class TestOutcomes:
    @pytest.mark.parametrize("outcome", ["succeeded", "failed", "cancelled"])
    def test_the_record_that_ends_a_run_ends_its_lease_too(self, store, journal, outcome):
        run = journal(store).claim().append().end(outcome)
        row = store.get("run-1")
        assert (row.outcome, row.status, row.held, row.ended) == (outcome, outcome, False, 1002.0)
        assert store.renew(run.holder) == {}

    def test_a_finished_run_can_be_claimed_and_reopened(self, store, journal):
        run = journal(store).claim().append().end("failed")
        run.claim()
        assert run.epoch == 2
        assert store.get("run-1").status == "failed"
        assert store.append([run.entry(RunRetried(("task#1",)), reopens=True)]) == frozenset()
        row = store.get("run-1")
        assert (row.outcome, row.ended, row.status) == (None, None, "running")
        run.end("succeeded")
        assert store.get("run-1").status == "succeeded"

    def test_a_run_may_end_in_the_middle_of_a_batch(self, store, journal):
        one, two = journal(store, "one").claim(), journal(store, "two").claim()
        batch = [one.entry(), one.entry(outcome="succeeded"), two.entry(), two.entry()]
        assert store.append(batch) == frozenset()
        assert (store.get("one").status, store.get("two").status) == ("succeeded", "running")


class TestCancelling:
    def test_a_request_to_cancel_is_seen_when_the_holder_renews(self, store, journal):
        run = journal(store).claim()
        journal(store, "run-2")
        store.request_cancel("run-1", "somebody@somewhere")
        assert store.renew(run.holder) == {"run-1": "somebody@somewhere"}
        assert store.get("run-1").cancel_requested_by == "somebody@somewhere"
        assert store.get("run-2").cancel_requested_by is None

    def test_a_request_to_cancel_stays_until_the_next_claim(self, store, journal):
        run = journal(store).claim()
        store.request_cancel("run-1", "somebody")
        store.release("run-1", run.epoch)
        assert store.get("run-1").cancel_requested_by == "somebody"
        run.claim()
        assert store.renew(run.holder) == {"run-1": None}
        assert store.get("run-1").cancel_requested_by is None

    def test_a_claim_that_is_refused_leaves_the_request(self, store, journal):
        run = journal(store).claim()
        store.request_cancel("run-1", "somebody")
        with pytest.raises(RunHeld):
            store.claim("run-1", store.register())
        assert store.renew(run.holder) == {"run-1": "somebody"}


class TestLogs:
    def test_log_lines_come_back_in_order_with_growing_numbers(self, store, journal):
        journal(store)
        lines = [LogLine(float(n), f"task#1/step#{n}", 1, "INFO", f"línea {n}\nsecond") for n in range(6)]
        store.write_logs("run-1", lines[:2])
        store.write_logs("run-1", lines[2:])
        numbered = store.read_logs("run-1")
        assert [line for _, line in numbered] == lines
        numbers = [number for number, _ in numbered]
        assert numbers == sorted(set(numbers))
        assert store.read_logs("run-1", after=numbers[3]) == numbered[4:]
        assert store.read_logs("run-1", after=numbers[-1]) == []

    def test_each_run_has_its_own_log(self, store, journal):
        journal(store)
        journal(store, "run-2")
        store.write_logs("run-1", [LogLine(1.0, "", 1, "INFO", "one")])
        store.write_logs("run-2", [LogLine(1.0, "", 1, "INFO", "two")])
        assert [line.text for _, line in store.read_logs("run-1")] == ["one"]

    def test_logging_to_a_run_that_is_gone_does_nothing(self, store):
        store.write_logs("no-such-run", [LogLine(1.0, "", 1, "INFO", "lost")])
        assert store.read_logs("no-such-run") == []


class TestDeleting:
    def test_a_deleted_run_is_gone_with_all_that_was_its_own(self, store, journal):
        run = journal(store, key="key").claim().append(3)
        store.append([run.entry(blobs=("ab" * 32,))])
        store.write_logs("run-1", [LogLine(1.0, "", 1, "INFO", "text")])
        journal(store, "run-2").claim().append(2)
        store.delete("run-1")
        with pytest.raises(UnknownRun):
            store.get("run-1")
        assert store.read("run-1") == []
        assert store.read_logs("run-1") == []
        assert store.referenced_blobs() == frozenset()
        assert store.renew(run.holder) == {}
        assert store.by_key("default", "key") is None
        assert [row.id for row in store.runs()] == ["run-2"]
        assert len(unseal_all("run-2", store.read("run-2"))) == 2

    def test_a_key_is_free_again_after_its_run_was_deleted(self, store, journal):
        journal(store, key="key").claim().append(3).end()
        store.delete("run-1")
        assert store.create(NewRun("run-2", "module:task", 1.0, "key")).id == "run-2"
        assert store.read("run-2") == []
        assert store.read_logs("run-2") == []

    def test_deleting_what_is_not_there_does_nothing(self, store):
        store.delete("no-such-run")


class TestBlobReferences:
    def test_the_blobs_that_any_run_refers_to_are_known(self, store, journal):
        one, two = journal(store, "one").claim(), journal(store, "two").claim()
        first, second, third = ("aa" * 32, "bb" * 32, "cc" * 32)
        store.append([one.entry(blobs=(first, second))])
        store.append([two.entry(blobs=(second,)), two.entry(blobs=(second, third)), one.entry()])
        assert store.referenced_blobs() == {first, second, third}
        store.delete("one")
        assert store.referenced_blobs() == {second, third}

    def test_a_released_blob_is_no_longer_referred_to(self, place, journal):
        store = place.open()
        run = journal(store).claim()
        store.append([run.entry(blobs=("aa" * 32, "bb" * 32))])
        store.release_blobs("run-1", ["aa" * 32])
        assert store.referenced_blobs("run-1") == store.referenced_blobs() == {"bb" * 32}
        assert place.open().referenced_blobs() == {"bb" * 32}

    @pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
    def test_a_released_blob_stays_while_another_record_of_the_run_refers_to_it(self, store, journal, at_once):
        run = journal(store).claim()
        entries = [run.entry(blobs=("aa" * 32,)), run.entry(blobs=("aa" * 32, "bb" * 32)), run.entry()]
        for batch in [entries] if at_once else [[entry] for entry in entries]:
            assert store.append(batch) == frozenset()
        store.release_blobs("run-1", ("aa" * 32,))
        assert store.referenced_blobs() == {"aa" * 32, "bb" * 32}
        store.release_blobs("run-1", ("aa" * 32,))
        assert store.referenced_blobs() == {"bb" * 32}

    def test_a_released_blob_stays_while_another_run_refers_to_it(self, store, journal):
        for name in ("one", "two"):
            store.append([journal(store, name).claim().entry(blobs=("aa" * 32,))])
        store.release_blobs("one", ["aa" * 32])
        assert store.referenced_blobs("one") == frozenset()
        assert store.referenced_blobs("two") == store.referenced_blobs() == {"aa" * 32}

    def test_a_record_counts_once_however_often_it_names_a_blob_and_so_does_a_release(self, store, journal):
        run = journal(store).claim()
        store.append([run.entry(blobs=("aa" * 32, "aa" * 32))])
        store.release_blobs("run-1", ["aa" * 32])
        assert store.referenced_blobs() == frozenset()
        store.append([run.entry(blobs=("aa" * 32,)), run.entry(blobs=("aa" * 32,))])
        store.release_blobs("run-1", ["aa" * 32, "aa" * 32])
        assert store.referenced_blobs() == {"aa" * 32}

    def test_a_released_blob_can_be_referred_to_again(self, store, journal):
        run = journal(store).claim()
        for _ in range(3):
            store.append([run.entry(blobs=("aa" * 32,))])
            assert store.referenced_blobs() == {"aa" * 32}
            store.release_blobs("run-1", ["aa" * 32])
            assert store.referenced_blobs() == frozenset()

    def test_a_fenced_entry_and_a_failed_batch_count_no_reference(self, store, journal):
        old = journal(store).claim()
        store.append([old.entry(blobs=("aa" * 32,))])
        store.release("run-1", old.epoch)
        store.claim("run-1", store.register())
        assert store.append([old.entry(blobs=("aa" * 32,)), old.entry(blobs=("aa" * 32,))]) == {"run-1"}
        wrong = journal(store, "run-2").claim()
        wrong.entry()
        with pytest.raises(StoreUnavailable):
            store.append([wrong.entry(blobs=("aa" * 32,))])
        store.release_blobs("run-1", ["aa" * 32])
        assert store.referenced_blobs() == frozenset()

    def test_releasing_what_is_not_referred_to_does_nothing(self, store, journal):
        run = journal(store).claim()
        store.append([run.entry(blobs=("aa" * 32,))])
        store.release_blobs("no-such-run", ["aa" * 32])
        store.release_blobs("run-1", [])
        store.release_blobs("run-1", ["bb" * 32])
        store.append([run.entry(blobs=("bb" * 32,))])
        assert store.referenced_blobs() == {"aa" * 32, "bb" * 32}

    def test_a_release_leaves_the_records_and_the_content_alone(self, store, journal):
        run = journal(store).claim()
        digest = store.blobs.put(b"content")
        store.append([run.entry(blobs=(digest,)), run.entry()])
        before = store.read("run-1")
        store.release_blobs("run-1", [digest])
        assert store.read("run-1") == before
        assert store.blobs.get(digest) == b"content"

    def test_a_sound_store_has_nothing_to_say(self, store, journal):
        assert store.check() == []
        journal(store).claim().append(10).end()
        assert store.check() == []

    def test_a_store_keeps_blobs_for_all_its_handles(self, place):
        digest = place.open().blobs.put(b"content")
        assert place.open().blobs.get(digest) == b"content"

    @pytest.mark.promise("P7")
    def test_a_damaged_blob_is_never_served(self, place):
        store = place.open()
        digest = store.blobs.put(bytes(100_000))
        assert store.blobs.get(digest) == bytes(100_000)
        place.damage_blob(store, digest)
        for serve in (store.blobs.get, store.blobs.path_of):
            with pytest.raises(Corrupted, match=digest):
                serve(digest)


class TestSizes:
    def test_a_size_comes_back_as_it_was_remembered(self, place):
        whole = SizeSeen("module:train", 17, 2**40, 700 * 2**20, "run-1", 1_700_000_000.25)
        without_peak = SizeSeen("module:train", 17, 256 * 2**20, None, "run-2", 1_700_000_001.5)
        store = place.open()
        store.remember_size(whole)
        store.remember_size(without_peak)
        assert store.sizes("module:train", 17) == [without_peak, whole]
        assert place.open().sizes("module:train", 17) == [without_peak, whole]

    def test_what_was_remembered_last_comes_first_whatever_the_clock_said(self, store):
        for number, moment in enumerate((5.0, 3.0, 3.0, 9.0)):
            store.remember_size(SizeSeen("module:task", 1, 100 + number, None, "run-1", moment))
        assert [seen.memory for seen in store.sizes("module:task", 1)] == [103, 102, 101, 100]

    def test_the_latest_ones_are_kept(self, store):
        for number in range(SIZES_KEPT + 5):
            store.remember_size(SizeSeen("module:task", 1, 100 + number, None, "run-1", 1.0))
        newest_first = range(100 + SIZES_KEPT + 4, 104, -1)
        assert [seen.memory for seen in store.sizes("module:task", 1)] == list(newest_first)
        assert len(newest_first) == SIZES_KEPT

    def test_each_project_task_and_class_has_its_own(self, store):
        keys = [(p, t, c) for p in ("default", "other") for t in ("module:a", "module:b") for c in (0, 1, 40)]
        for number, (project, task, input_class) in enumerate(keys):
            for memory in (number, 100 + number):
                store.remember_size(SizeSeen(task, input_class, memory, None, "run-1", 1.0), project)
        for _ in range(SIZES_KEPT):
            store.remember_size(SizeSeen("module:a", 1, 7, None, "run-1", 1.0), "crowded")
        for number, (project, task, input_class) in enumerate(keys):
            assert [seen.memory for seen in store.sizes(task, input_class, project)] == [100 + number, number]
        assert store.sizes("module:a", 1) == store.sizes("module:a", 1, "default")

    def test_a_task_that_was_never_seen_has_none(self, store):
        assert store.sizes("module:task", 1) == []

    def test_a_size_outlives_the_run_that_it_was_seen_in(self, store, journal):
        journal(store).claim().append().end()
        store.remember_size(SizeSeen("module:task", 1, 100, None, "run-1", 1.0))
        store.delete("run-1")
        assert [seen.run for seen in store.sizes("module:task", 1)] == ["run-1"]

    def test_many_threads_may_remember_at_once(self, place):
        stores = [place.open() for _ in range(2)]
        sizes = [SizeSeen("module:task", 1, number, None, "run-1", 1.0) for number in range(12)]
        answers = at_once([partial(stores[n % 2].remember_size, seen) for n, seen in enumerate(sizes)])
        assert answers == [None] * 12
        assert sorted(seen.memory for seen in stores[0].sizes("module:task", 1)) == list(range(12))


class TestBlobs:
    @pytest.mark.parametrize("content", [b"", b"x", bytes(range(256)) * 5000], ids=["empty", "small", "large"])
    def test_content_comes_back_by_its_digest(self, blobs, content):
        digest = blobs.put(content)
        assert blobs.get(digest) == content
        assert blobs.path_of(digest).read_bytes() == content

    def test_equal_content_has_one_digest_however_it_came(self, blobs, tmp_path):
        file = tmp_path / "file"
        file.write_bytes(b"content")
        assert blobs.put(b"content") == blobs.put_file(file) == blobs.put(b"content")
        assert [(digest, size) for digest, size, _ in blobs.digests()] == [(blobs.put(b"content"), 7)]

    def test_a_file_that_changes_later_does_not_change_its_blob(self, blobs, tmp_path):
        file = tmp_path / "file"
        file.write_bytes(b"before")
        digest = blobs.put_file(file)
        file.write_bytes(b"after")
        assert blobs.get(digest) == b"before"

    def test_a_file_that_is_not_there_is_the_callers_to_see(self, blobs, tmp_path):
        with pytest.raises(FileNotFoundError):
            blobs.put_file(tmp_path / "no-such-file")
        assert list(blobs.digests()) == []

    def test_a_folder_given_for_a_file_is_the_callers_to_see(self, blobs, tmp_path):
        with pytest.raises(IsADirectoryError):
            blobs.put_file(tmp_path)

    def test_a_blob_served_as_a_file_is_read_only(self, blobs):
        assert blobs.path_of(blobs.put(b"content")).stat().st_mode & 0o222 == 0

    def test_a_deleted_blob_is_missing_and_can_be_put_again(self, blobs):
        digest = blobs.put(b"content")
        blobs.delete(digest)
        blobs.delete(digest)
        for serve in (blobs.get, blobs.path_of):
            with pytest.raises(Corrupted, match=f"{digest} is missing"):
                serve(digest)
        assert list(blobs.digests()) == []
        assert blobs.get(blobs.put(b"content")) == b"content"

    def test_many_threads_may_put_the_same_content_at_once(self, blobs):
        content = bytes(200_000)
        digests = at_once([lambda: blobs.put(content) for _ in range(8)])
        assert len(set(digests)) == 1, digests
        assert blobs.get(digests[0]) == content
        assert len(list(blobs.digests())) == 1


def _append(store, entries):
    assert store.append(entries) == frozenset()
    return entries
