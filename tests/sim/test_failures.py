"""Failures are results: handled ones are replayed, and a retried run repeats exactly those that failed it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import regrow
from regrow.authoring.driving import drive
from regrow.authoring.home import forget, host_of
from regrow.testing import Crash, CrashingStore

from .lives import divergences, ledger, live, note, records_of, state_of

healthy: set[str] = set()


@regrow.step
async def fragile(name: str) -> str:
    note(name)
    if name not in healthy:
        raise ConnectionError(name)
    return name


@regrow.step
async def sound(name: str) -> str:
    note(name)
    return name


@pytest.fixture(autouse=True)
def nothing_is_healthy() -> None:
    healthy.clear()
    ledger.clear()


def retry(task: regrow.Task[[], object], store: CrashingStore) -> object:
    host = host_of(store)
    try:
        driver = host.take_up(store.runs()[0].id, retry_as="tester")
        return drive(host, driver, task, (), {})
    finally:
        forget(host)


@pytest.mark.promise("P2")
def test_a_retried_run_repeats_only_what_failed_it() -> None:
    @regrow.task
    async def inner() -> str:
        await sound("inside")
        return await fragile("culprit")

    @regrow.task
    async def agent() -> list[str]:
        said = [await sound("first")]
        try:
            await fragile("handled")
        except ConnectionError:
            said.append("did without")
        said.append(await inner())
        return said

    store = CrashingStore()
    with pytest.raises(ConnectionError, match="culprit"):
        live(agent, store=store)
    healthy.update(("culprit", "handled"))
    assert retry(agent, store) == ["first", "did without", "culprit"]
    assert ledger == {"first": 1, "handled": 1, "inside": 1, "culprit": 2}
    assert divergences(store) == []
    assert store.runs()[0].status == "succeeded"


def test_strands_that_failed_together_are_all_tried_again_by_one_retry() -> None:
    @regrow.task
    async def agent() -> list[str]:
        async def strand(name: str) -> str:
            return await fragile(name)

        return [await sound("before"), *await asyncio.gather(*(strand(name) for name in "abc"))]

    store = CrashingStore()
    with pytest.raises(ConnectionError):
        live(agent, store=store)
    healthy.update("abc")
    assert retry(agent, store) == ["before", "a", "b", "c"]
    assert ledger == {"before": 1, "a": 2, "b": 2, "c": 2}


def test_an_attempt_that_follows_strands_which_failed_together_tries_all_of_them_again() -> None:
    @regrow.task(retries=1, backoff=regrow.Backoff(base=0.001))
    async def inner() -> list[str]:
        if regrow.current().attempt == 2:
            healthy.update("abc")
        return await asyncio.gather(*(fragile(name) for name in "abc"))

    @regrow.task
    async def agent() -> list[str]:
        return await inner()

    store = CrashingStore()
    assert live(agent, store=store) == ["a", "b", "c"]
    assert ledger == {"a": 2, "b": 2, "c": 2}


def test_a_failure_that_was_wrapped_in_another_is_still_what_failed_the_run() -> None:
    class Wrapped(Exception):
        pass

    @regrow.task
    async def agent() -> str:
        try:
            return await fragile("culprit")
        except ConnectionError as error:
            raise Wrapped("no way") from error

    store = CrashingStore()
    with pytest.raises(Wrapped):
        live(agent, store=store)
    healthy.add("culprit")
    assert retry(agent, store) == "culprit"


def test_every_member_of_a_group_that_failed_the_run_is_tried_again_and_what_it_cancelled_too() -> None:
    @regrow.step
    async def long() -> str:
        note("long")
        await asyncio.sleep(0.05 if ledger["long"] > 1 else 3600)
        return "long"

    @regrow.task
    async def agent() -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in (fragile("x"), fragile("y"), long())]
        return [task.result() for task in tasks]

    store = CrashingStore()
    with pytest.raises(ExceptionGroup):
        live(agent, store=store)
    healthy.update(("x", "y"))
    assert retry(agent, store) == ["x", "y", "long"]
    assert ledger == {"x": 2, "y": 2, "long": 2}


def test_a_finished_run_gives_its_failure_again_under_the_same_key() -> None:
    @regrow.task
    async def agent() -> str:
        return await fragile("culprit")

    store = CrashingStore()
    for _ in range(2):
        with pytest.raises(ConnectionError, match="culprit"):
            live(agent, store=store)
    assert ledger == {"culprit": 1}


@pytest.mark.promise("P2")
def test_an_attempt_replays_what_its_predecessors_had_done() -> None:
    tries = iter(range(10))

    @regrow.task(retries=2, backoff=regrow.Backoff(base=0))
    async def work() -> str:
        await sound("prepared")
        if next(tries) == 0:
            await fragile("culprit")
        return await sound("done")

    @regrow.task
    async def agent() -> str:
        return await work()

    store = CrashingStore()
    assert live(agent, store=store) == "done"
    assert ledger == {"prepared": 1, "culprit": 1, "done": 1}


def test_a_wait_asked_for_by_the_error_is_honoured() -> None:
    class Busy(Exception):
        retry_after = 0.05

    @regrow.step(retries=1, backoff=regrow.Backoff(base=0, jitter=0))
    async def call() -> str:
        note("call")
        if ledger["call"] == 1:
            raise Busy
        return "ok"

    @regrow.task
    async def agent() -> str:
        return await call()

    store = CrashingStore()
    assert live(agent, store=store) == "ok"
    failed = next(record for record in records_of(store) if type(record.event).__name__ == "AttemptFailed")
    assert failed.event.retry_at >= failed.event.started + 0.05  # type: ignore[union-attr]


@pytest.mark.promise("P6")
def test_a_timeout_ends_an_attempt_and_a_deadline_all_of_them() -> None:
    @regrow.step(timeout="20ms", retries=1, backoff=regrow.Backoff(base=0))
    async def slow() -> None:
        note("slow")
        await asyncio.sleep(3600)

    @regrow.step(deadline="100ms", retries=1000, backoff=regrow.Backoff(base=0.01, factor=1))
    async def hopeless() -> None:
        note("hopeless")
        raise ConnectionError("again")

    @regrow.task
    async def agent() -> list[str]:
        said = []
        try:
            await slow()
        except regrow.TimedOut as error:
            said.append(f"{error.scope} {error.limit}")
        try:
            await hopeless()
        except ConnectionError:
            said.append("gave up")
        return said

    assert live(agent, store=CrashingStore()) == ["timeout 0.02", "gave up"]
    assert ledger["slow"] == 2
    assert 2 <= ledger["hopeless"] <= 10


@pytest.mark.promise("P6")
def test_a_timeout_of_a_task_lets_its_next_attempt_run_what_it_cut_short() -> None:
    @regrow.step
    async def long() -> str:
        note("long")
        await asyncio.sleep(3600 if ledger["long"] == 1 else 0)
        return "done"

    @regrow.task(timeout="50ms", retries=1, backoff=regrow.Backoff(base=0))
    async def work() -> str:
        return await sound("before") + await long()

    @regrow.task
    async def agent() -> str:
        return await work()

    assert live(agent, store=CrashingStore()) == "beforedone"
    assert ledger == {"before": 1, "long": 2}


@pytest.mark.promise("P2")
class TestOnce:
    """`once=True` means at most once, whatever happens."""

    def lives(self, reconcile: object = None) -> tuple[CrashingStore, regrow.Task[[], object]]:
        @regrow.step(once=True, reconcile=reconcile)
        async def charge(amount: int) -> str:
            note("charge")
            if dying:
                store.die_after(0)
            return f"charged {amount}"

        @regrow.task
        async def agent() -> object:
            return await charge(5)

        dying = [True]
        store = CrashingStore()
        with pytest.raises(Crash):
            live(agent, store=store)
        dying.clear()
        store.revive()
        return store, agent  # type: ignore[return-value]

    def test_a_crash_between_effect_and_record_stops_the_run_and_never_repeats_the_effect(self) -> None:
        store, agent = self.lives()
        with pytest.raises(regrow.OutcomeUnknown) as unknown:
            live(agent, store=store)
        assert unknown.value.path == "agent#1/charge#1"
        assert unknown.value.idempotency_key
        assert store.runs()[0].status == "failed"
        with pytest.raises(regrow.OutcomeUnknown):
            retry(agent, store)
        assert ledger == {"charge": 1}

    def test_code_that_catches_everything_cannot_go_on_past_it(self) -> None:
        @regrow.step(once=True)
        async def charge() -> str:
            note("charge")
            store.die_after(0)
            return "charged"

        @regrow.task
        async def stubborn() -> str:
            try:
                await charge()
            except Exception:
                await sound("after")
            return "went on"

        store = CrashingStore()
        with pytest.raises(Crash):
            live(stubborn, store=store)
        store.revive()
        with pytest.raises(regrow.OutcomeUnknown):
            live(stubborn, store=store)
        assert ledger == {"charge": 1}

    def test_reconcile_that_finds_the_effect_gives_its_result(self) -> None:
        async def look(amount: int) -> regrow.Happened:
            assert regrow.current().idempotency_key
            return regrow.Happened(f"found {amount}")

        store, agent = self.lives(look)
        assert live(agent, store=store) == "found 5"
        assert ledger == {"charge": 1}

    def test_reconcile_that_finds_nothing_lets_it_run(self) -> None:
        store, agent = self.lives(lambda amount: regrow.DidNotHappen())
        assert live(agent, store=store) == "charged 5"
        assert ledger == {"charge": 2}

    def test_a_failure_of_reconcile_is_no_failure_of_the_worker_of_the_task_around_it(self) -> None:
        asked = []

        def ask_bank(*_args: object) -> None:
            asked.append(1)
            raise regrow.WorkerLost("agent#1/charge#1")

        store, task = self.lives(ask_bank)
        with pytest.raises(regrow.WorkerLost):
            live(task, store=store)
        assert len(asked) == 1

    def test_reconcile_that_cannot_tell_leaves_it_unknown(self) -> None:
        store, agent = self.lives(lambda amount: None)
        with pytest.raises(regrow.OutcomeUnknown):
            live(agent, store=store)
        assert ledger == {"charge": 1}

    def test_a_once_only_call_that_failed_is_not_tried_again_silently_when_the_run_is(self) -> None:
        @regrow.step(once=True)
        async def charge() -> None:
            note("charge")
            raise ConnectionError("reset by peer")

        @regrow.task
        async def agent() -> None:
            await charge()

        store = CrashingStore()
        with pytest.raises(ConnectionError):
            live(agent, store=store)
        with pytest.raises(regrow.OutcomeUnknown):
            retry(agent, store)
        assert ledger == {"charge": 1}


class TestKeys:
    """The same key is the same run."""

    @pytest.mark.promise("P2")
    def test_a_finished_run_is_not_run_again(self) -> None:
        @regrow.task
        async def agent(name: str = "x") -> str:
            return await sound(name)

        store = CrashingStore()
        assert live(agent, store=store) == "x"
        assert live(agent, "x", store=store) == "x"
        assert ledger == {"x": 1}
        assert len(store.runs()) == 1

    def test_other_inputs_under_the_same_key_are_an_error(self) -> None:
        @regrow.task
        async def agent(name: str) -> str:
            return await sound(name)

        store = CrashingStore()
        live(agent, "x", store=store)
        with pytest.raises(regrow.KeyConflict, match="other inputs"):
            live(agent, "y", store=store)

    def test_another_task_under_the_same_key_is_an_error(self) -> None:
        @regrow.task
        async def agent() -> str:
            return await sound("x")

        @regrow.task
        async def other() -> str:
            return await sound("x")

        store = CrashingStore()
        live(agent, store=store)
        with pytest.raises(regrow.KeyConflict, match="agent"):
            live(other, store=store)

    @pytest.mark.promise("P3")
    def test_a_run_that_runs_already_is_refused_with_its_holder(self) -> None:
        @regrow.task
        async def agent() -> str:
            await asyncio.sleep(0.05)
            return "done"

        async def twice() -> None:
            store = CrashingStore()
            first = await regrow.start(agent, key="k", store=store)
            with pytest.raises(regrow.RunHeld, match="this very process"):
                await regrow.start(agent, key="k", store=store)
            assert await first.result() == "done"
            assert first.status == "succeeded"
            forget(host_of(store))

        asyncio.run(twice())


class TestCancelling:
    """A cancelled run cancels its children and runs their ``finally`` blocks."""

    def test_every_finally_runs_children_first_and_steps_in_them_count(self) -> None:
        order = []

        @regrow.task
        async def child(name: str) -> None:
            try:
                await asyncio.sleep(3600)
            finally:
                order.append(name)
                await sound(f"cleaned {name}")

        @regrow.task
        async def agent() -> None:
            try:
                await asyncio.gather(child("one"), child("two"))
            finally:
                order.append("parent")

        async def cancelled() -> CrashingStore:
            store = CrashingStore()
            handle = await regrow.start(agent, store=store)
            await asyncio.sleep(0.02)
            await handle.cancel()
            with pytest.raises(regrow.RunCancelled):
                await handle.result()
            assert handle.status == "cancelled"
            forget(host_of(store))
            return store

        store = asyncio.run(cancelled())
        assert sorted(order) == ["one", "parent", "two"]
        assert order[-1] == "parent"
        assert ledger == {"cleaned one": 1, "cleaned two": 1}
        ended = state_of(store).ended
        assert ended is not None
        assert ended.outcome == "cancelled"

    def test_a_cancellation_from_outside_reaches_a_synchronous_run_at_its_next_call(self) -> None:
        @regrow.step
        def tick() -> None:
            note("tick")
            if ledger["tick"] == 3:
                store.request_cancel(store.runs()[0].id, "somebody")
                regrow_heartbeat()

        @regrow.task
        def agent() -> None:
            try:
                while True:
                    tick()
            finally:
                note("finally")

        def regrow_heartbeat() -> None:
            for driver in host_of(store)._drivers.values():
                driver.cancel("somebody")

        store = CrashingStore()
        with pytest.raises(regrow.RunCancelled, match="somebody"):
            live(agent, store=store)
        assert ledger == {"tick": 3, "finally": 1}


def test_a_stream_that_was_cut_starts_over_when_its_run_is_retried() -> None:
    fresh = iter(range(1000))

    @regrow.step
    async def tokens() -> AsyncIterator[int]:
        for _ in range(4):
            yield next(fresh)

    @regrow.task
    async def reader() -> list[int]:
        return [token async for token in tokens()]

    store = CrashingStore()
    store.die_after(5)
    with pytest.raises(Crash):
        live(reader, store=store)
    store.revive()
    with pytest.raises(regrow.StreamCut):
        live(reader, store=store)
    read = retry(reader, store)
    assert isinstance(read, list)
    assert len(read) == 4
    assert read == sorted(read)


def test_a_failure_that_is_raised_again_from_the_journal_says_so() -> None:
    @regrow.task
    async def agent() -> str:
        return await fragile("culprit")

    store = CrashingStore()
    with pytest.raises(ConnectionError):
        live(agent, store=store)
    with pytest.raises(ConnectionError) as again:
        live(agent, store=store)
    assert any("regrow retry" in note for note in again.value.__notes__)
