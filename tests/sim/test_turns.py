"""A resumed run takes the turns that it took: races keep their winner, what was given up stays given up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any
from unittest.mock import MagicMock

import pytest

import regrow
from regrow.engine.invariants import check_run
from regrow.journal.store import Entry
from regrow.testing import Crash, CrashingStore

from .lives import divergences, ledger, live, note, outcome, records_of


@regrow.step
async def publish(what: Any) -> Any:
    note(f"publish {what}")
    return what


@regrow.step
async def fallback() -> str:
    note("fallback")
    return "fallback"


def resumed_at_each_end(task: Any, *, last: int, between: Any = lambda: None) -> None:
    """Crash so many records before the end, for each number up to `last`; the same must be published, and once."""
    calm = CrashingStore()
    ledger.clear()
    expected = outcome(lambda: live(task, store=calm))
    once = dict(ledger)
    for before_end in range(1, last + 1):
        store = CrashingStore()
        store.die_after(calm.appended - before_end)
        ledger.clear()
        with pytest.raises(Crash):
            live(task, store=store)
        store.revive()
        between()
        assert outcome(lambda store=store: live(task, store=store, strict=True)) == expected
        assert divergences(store) == []
        assert check_run(records_of(store)) == []
        published = {name: times for name, times in ledger.items() if name.startswith("publish")}
        allowed = {name for name in once if name.startswith("publish")}
        assert set(published) == allowed, f"{before_end} records before the end"


@pytest.mark.promise("P4")
def test_the_first_to_finish_is_the_first_again() -> None:
    @regrow.step
    async def ask(model: str) -> str:
        await asyncio.sleep({"slow": 0.03, "fast": 0.01}[model])
        return model

    @regrow.task
    async def agent() -> str:
        for one in asyncio.as_completed([ask("slow"), ask("fast")]):
            best = await one
            break
        await publish(best)
        await asyncio.sleep(0.05)
        return str(await publish(f"again {best}"))

    resumed_at_each_end(agent, last=4)


@pytest.mark.promise("P4")
def test_a_failure_cancels_its_siblings_no_sooner_than_it_did() -> None:
    @regrow.step
    async def quick() -> int:
        return 1

    @regrow.step
    async def fails() -> None:
        await asyncio.sleep(0.05)
        raise ConnectionError("late")

    @regrow.step
    async def endless() -> None:
        await asyncio.sleep(3600)

    @regrow.task
    async def agent() -> Any:
        got = []

        async def worker() -> None:
            await asyncio.sleep(0.01)
            got.append(await quick())
            await endless()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                group.create_task(worker())
        except* ConnectionError:
            pass
        return await publish(got)

    resumed_at_each_end(agent, last=2)


def test_giving_up_during_a_back_off_is_giving_up() -> None:
    @regrow.step(retries=3, backoff=regrow.Backoff(base=0.2, jitter=0))
    async def flaky() -> str:
        note("flaky")
        if ledger["flaky"] < 2:
            raise ConnectionError("x")
        return "primary"

    @regrow.task
    async def agent() -> Any:
        try:
            async with asyncio.timeout(0.05):
                answer = await flaky()
        except TimeoutError:
            answer = await fallback()
        return await publish(answer)

    resumed_at_each_end(agent, last=2, between=lambda: time.sleep(0.3))


@pytest.mark.promise("P4")
def test_a_time_budget_around_several_calls_runs_out_again() -> None:
    speed = [0.06]

    @regrow.step
    async def first() -> None:
        await asyncio.sleep(0.1)

    @regrow.step
    async def second() -> str:
        await asyncio.sleep(speed[0])
        return "second"

    @regrow.task
    async def agent() -> Any:
        try:
            async with asyncio.timeout(0.13):
                await first()
                answer = await second()
        except TimeoutError:
            answer = await fallback()
        return await publish(answer)

    speed[0] = 3600
    resumed_at_each_end(agent, last=2)


class SlowStore(CrashingStore):
    def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        time.sleep(0.05)
        return super().append(entries)


@pytest.mark.promise("P4")
@pytest.mark.parametrize("way", ["timeout", "wait_for", "cancel"])
def test_a_cancellation_that_meets_a_commit_is_seen_at_once_and_again(way: str) -> None:
    @regrow.step
    async def answer(number: int) -> int:
        await asyncio.sleep(0.02)
        return number

    @regrow.task
    async def agent() -> list[str]:
        log = []
        beside = asyncio.gather(*(answer(number) for number in range(3)))
        try:
            if way == "timeout":
                async with asyncio.timeout(0.04):
                    log.append(str(await answer(9)))
            elif way == "wait_for":
                log.append(str(await asyncio.wait_for(answer(9), 0.04)))
            else:
                task = asyncio.create_task(answer(9))
                await asyncio.sleep(0.04)
                task.cancel()
                log.append(str(await task))
        except (TimeoutError, asyncio.CancelledError) as gone:
            log.append(type(gone).__name__)
        await asyncio.sleep(0.01)
        await beside
        await publish(log[0])
        return log

    calm = SlowStore()
    first = live(agent, store=calm)
    assert first[0] != "9", "the commit was to be slow enough to meet the cancellation"
    store = SlowStore()
    store.die_after(calm.appended - 2)
    with pytest.raises(Crash):
        live(agent, store=store)
    store.revive()
    assert live(agent, store=store) == first
    assert check_run(records_of(store)) == []


@pytest.mark.promise("P4")
def test_names_with_separators_in_them_are_replayed_like_others() -> None:
    @regrow.step
    async def ask(number: int) -> int:
        note(f"publish {number}")
        return number

    async def work(number: int) -> int:
        return await ask(number)

    work.__name__ = "GET /users #1~2"

    @regrow.task
    async def agent() -> list[int]:
        return list(await asyncio.gather(work(1), work(2)))

    resumed_at_each_end(agent, last=2)


@pytest.mark.promise("P4")
def test_a_call_made_where_no_order_can_be_known_is_refused() -> None:
    from multiprocessing.pool import ThreadPool

    @regrow.step
    async def ask() -> None: ...

    @regrow.step
    def ask_in_thread(number: int) -> int:
        return number

    async def later() -> None:
        await ask()

    @regrow.task
    async def made_in_a_callback() -> None:
        loop = asyncio.get_running_loop()
        made = loop.create_future()
        loop.call_soon(lambda: made.set_result(asyncio.ensure_future(later())))
        await (await made)

    @regrow.task
    async def made_directly() -> None:
        await asyncio.Task(later())

    @regrow.task
    async def made_from_a_thread() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(later(), loop).result())

    @regrow.task
    async def in_a_pool_of_chance() -> list[int]:
        with ThreadPool(2) as pool:
            return await asyncio.to_thread(pool.map, ask_in_thread, range(3))

    for task in (made_in_a_callback, made_directly, made_from_a_thread, in_a_pool_of_chance):
        with pytest.raises(regrow.UsageError, match="recorded call was made in"):
            live(task, store=CrashingStore())


def test_code_in_a_pool_of_chance_may_do_anything_but_make_recorded_calls() -> None:
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing.pool import ThreadPool

    def work(number: int) -> int:
        logging.getLogger("mine").warning("at work on %d", number)
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(lambda: number * 2).result()

    @regrow.task
    async def agent() -> list[int]:
        with ThreadPool(2) as pool:
            return await asyncio.to_thread(pool.map, work, range(3))

    assert live(agent, store=CrashingStore()) == [0, 2, 4]


def test_a_mock_may_be_handed_to_a_thread() -> None:
    @regrow.task
    async def agent() -> int:
        return int(await asyncio.to_thread(MagicMock(return_value=7)))

    assert live(agent, store=CrashingStore()) == 7


def test_a_stream_that_was_left_is_closed_as_what_it_was() -> None:
    @regrow.step
    async def tokens() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            await publish("closed")

    @regrow.task
    async def agent() -> str:
        async for _ in tokens():
            break
        await asyncio.sleep(0.02)
        return "left"

    store = CrashingStore()
    ledger.clear()
    assert live(agent, store=store) == "left"
    kinds = [type(record.event).__name__ for record in records_of(store)]
    assert "CallFailed" not in kinds
    assert ledger == {"publish closed": 1}


class TestErrors:
    """Exceptions of every kind come out as they went in."""

    def test_one_that_refuses_attributes(self) -> None:
        import dataclasses

        @dataclasses.dataclass(frozen=True)
        class Frozen(Exception):
            code: int

        @regrow.step
        async def fail() -> None:
            raise Frozen(7)

        @regrow.task
        async def agent() -> int:
            try:
                await fail()
            except Frozen as error:
                return error.code
            return 0

        assert live(agent, store=CrashingStore()) == 7

    def test_one_object_that_several_calls_raise_is_blamed_on_each(self) -> None:
        shared = ConnectionError("shared")
        healthy: list[bool] = []

        @regrow.step
        async def fail(number: int) -> int:
            await asyncio.sleep(0)
            if not healthy:
                raise shared
            return number

        @regrow.task
        async def agent() -> list[int]:
            results = await asyncio.gather(fail(1), fail(2), return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            return list(results)  # type: ignore[arg-type]

        from .test_failures import retry

        store = CrashingStore()
        with pytest.raises(ConnectionError):
            live(agent, store=store)
        healthy.append(True)
        assert retry(agent, store) == [1, 2]

    def test_a_chain_of_thousands(self) -> None:
        @regrow.task
        def agent() -> None:
            last: Exception | None = None
            for number in range(3000):
                try:
                    raise ValueError(number) from last
                except ValueError as error:
                    last = error
            assert last is not None
            raise last

        with pytest.raises(ValueError, match="2999"):
            live(agent, store=CrashingStore())

    def test_a_stop_iteration(self) -> None:
        @regrow.step
        def first(items: list[int]) -> int:
            return next(iter(items))

        @regrow.task
        async def agent() -> list[str]:
            said = []
            for way in (lambda: first.aio([]), lambda: asyncio.to_thread(first, [])):
                try:
                    await way()
                except RuntimeError as error:
                    said.append(str(error))
            return said

        assert live(agent, store=CrashingStore()) == ["first raised StopIteration"] * 2


def test_steps_nest_deeply_whether_awaited_or_not() -> None:
    @regrow.step
    def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + down(depth - 1)

    @regrow.step
    async def down_async(depth: int) -> int:
        return 0 if depth == 0 else 1 + await down_async(depth - 1)

    @regrow.task
    async def agent() -> tuple[int, int]:
        return await down.aio(1200), await down_async(600)

    assert live(agent, store=CrashingStore()) == (1200, 600)


def test_what_happened_inside_a_finished_step_is_forgotten() -> None:
    @regrow.step
    def inner() -> int:
        return 1

    @regrow.step
    def outer() -> int:
        return inner()

    counted = []

    @regrow.task
    def agent() -> int:
        total = sum(outer() for _ in range(100))
        from regrow.engine.branches import current_branch

        branch = current_branch()
        assert branch is not None
        counted.append(len(branch.scope.driver.log.state.calls))
        return total

    assert live(agent, store=CrashingStore()) == 100
    assert counted[0] <= 102
