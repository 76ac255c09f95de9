"""A recorded call is never executed again, and the code takes the same turns (P2, P4)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import regrow
from regrow.authoring.driving import drive
from regrow.authoring.home import host_of
from regrow.testing import Crash, CrashingStore

from .lives import ledger, live, note, records_of, survives_every_crash

pytestmark = pytest.mark.promise("P2")


@regrow.step
async def add(a: int, b: int = 1) -> int:
    note("add")
    await asyncio.sleep(0)
    return a + b


@regrow.step
def multiply(a: int, b: int) -> int:
    note("multiply")
    return a * b


@regrow.step
async def echo(value: Any) -> Any:
    note("echo")
    return value


class Refused(Exception):
    def __init__(self, code: int, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


@regrow.step
async def refuse(code: int) -> None:
    note("refuse")
    try:
        raise KeyError("inner")
    except KeyError as inner:
        error = Refused(code, "no")
        error.add_note("asked politely")
        raise error from inner


def test_a_thousand_sequential_steps_killed_thrice_run_each_body_once() -> None:
    @regrow.task
    async def count(upto: int) -> int:
        total = 0
        for _ in range(upto):
            total = await add(total)
        return total

    store = CrashingStore()
    ledger.clear()
    for _ in range(3):
        store.die_after(102)
        with pytest.raises(Crash):
            live(count, 1000, store=store)
        store.revive()
    assert live(count, 1000, store=store) == 1000
    assert ledger["add"] == 1000 + 3  # the three whose records died with their process


def test_eleven_children_with_a_crash_at_each_run_once_each() -> None:
    attempts = iter(range(1000))

    @regrow.task
    async def child(index: int, attempt: int) -> int:
        if index == attempt:
            raise RuntimeError("crash")
        note("child")
        return index

    @regrow.task(retries=20, backoff=regrow.Backoff(base=0))
    async def parent() -> int:
        attempt = next(attempts)
        return sum([await child.aio(index, attempt if index == attempt else -1) for index in range(11)])

    ledger.clear()
    assert live(parent, store=CrashingStore()) == 55
    assert ledger["child"] == 11


def test_children_started_apart_then_gathered_then_a_hundred_steps_over_five_crashes_execute_105_bodies() -> None:
    @regrow.task
    async def parent() -> int:
        started = [asyncio.create_task(add(index)) for index in range(5)]
        total = sum(await asyncio.gather(*started))
        for _ in range(100):
            total = await add(total)
        return total

    store = CrashingStore()
    ledger.clear()
    lost = 0
    for _ in range(5):
        store.die_after(20)
        before = store.appended
        with pytest.raises(Crash):
            live(parent, store=store)
        lost += 1
        assert store.appended == before + 20
        store.revive()
    assert live(parent, store=store) == 115
    assert 105 <= ledger["add"] <= 105 + lost


def test_a_loop_survives_every_crash() -> None:
    @regrow.task
    async def loop() -> int:
        total = 0
        for _ in range(5):
            total = multiply(await add(total), 2)
        return total

    assert survives_every_crash(loop, expected=62) > 10


def test_a_synchronous_task_survives_every_crash() -> None:
    @regrow.task
    def inner(a: int) -> int:
        note("inner")
        return multiply(a, 3)

    @regrow.task
    def loop() -> int:
        return sum(inner(index) for index in range(4))

    assert survives_every_crash(loop, expected=18) > 8


@pytest.mark.promise("P4")
def test_nested_tasks_gathers_and_groups_survive_every_crash() -> None:
    @regrow.task
    async def leaf(index: int) -> int:
        note("leaf")
        return await add(index, index)

    async def work(index: int) -> int:
        return await leaf(index) + await add(index)

    @regrow.task
    async def tree() -> list[int]:
        pairs = await asyncio.gather(work(1), work(2), leaf(3))
        async with asyncio.TaskGroup() as group:
            first = group.create_task(work(4))
            second = group.create_task(leaf(5))
        return [*pairs, first.result(), second.result()]

    assert survives_every_crash(tree, expected=[4, 7, 6, 13, 10]) > 20


def test_the_same_call_three_times_through_override_is_three_records_in_a_loop_and_in_a_gather() -> None:
    @regrow.task
    async def thrice() -> list[int]:
        looped = [await add.override(retries=1)(7) for _ in range(3)]
        gathered = await asyncio.gather(*(add.override(retries=1)(7) for _ in range(3)))
        return [*looped, *gathered]

    store = CrashingStore()
    ledger.clear()
    assert live(thrice, store=store) == [8] * 6
    assert live(thrice, store=store) == [8] * 6
    assert ledger["add"] == 6
    paths = [record.event.call.path for record in records_of(store) if type(record.event).__name__ == "CallSucceeded"]
    assert len(set(paths)) == len(paths) == 7


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, 0.0, b"", ()])
def test_falsy_results_are_results(value: object) -> None:
    @regrow.task
    async def ask() -> object:
        return await echo(value)

    store = CrashingStore()
    store.die_after(4)
    ledger.clear()
    with pytest.raises(Crash):
        live(ask, store=store)
    store.revive()
    result = live(ask, store=store)
    assert result == value
    assert type(result) is type(value)
    assert ledger["echo"] == 1


def test_asynchronous_tasks_nest_300_deep() -> None:
    @regrow.task
    async def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + await down(depth - 1)

    store = CrashingStore()
    store.die_after(400)
    with pytest.raises(Crash):
        live(down, 300, store=store)
    store.revive()
    assert live(down, 300, store=store) == 300


def test_synchronous_tasks_nest_300_deep() -> None:
    @regrow.task
    def down(depth: int) -> int:
        return 0 if depth == 0 else 1 + down(depth - 1)

    assert live(down, 300, store=CrashingStore()) == 300


def test_an_exception_is_caught_with_its_type_args_cause_and_notes_live_and_replayed() -> None:
    seen: list[Any] = []

    @regrow.task
    async def careful() -> str:
        try:
            await refuse(7)
        except Refused as error:
            seen.append((type(error), error.args, error.code, repr(error.__cause__), error.__notes__))
        return str(await add(1))

    survives_every_crash(careful, expected="2")
    assert len(set(map(repr, seen))) == 1


@pytest.mark.promise("P4")
def test_a_group_with_one_failing_child_takes_the_same_turn_after_every_crash() -> None:
    @regrow.task
    async def group() -> str:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(add(1))
                tasks.create_task(refuse(3))
                tasks.create_task(forever())
        except* Refused as failed:
            codes = [error.code for error in failed.exceptions]  # type: ignore[union-attr]
        return f"{codes} {await add(5)}"

    @regrow.step
    async def forever() -> None:
        await asyncio.sleep(3600)

    survives_every_crash(group, expected="[3] 6")


@pytest.mark.promise("P4")
def test_a_timeout_around_a_step_is_a_timeout_again() -> None:
    @regrow.step
    async def slow() -> None:
        note("slow")
        await asyncio.sleep(3600)

    @regrow.task
    async def impatient() -> str:
        try:
            async with asyncio.timeout(0.01):
                await slow()
        except TimeoutError:
            return f"gave up {await add(1)}"
        return "never"

    survives_every_crash(impatient, expected="gave up 2", once_each=False)


@pytest.mark.promise("P4")
def test_as_completed_and_wait_may_finish_in_another_order_on_replay() -> None:
    order: list[int] = []

    @regrow.step
    async def fetch(index: int) -> int:
        note("fetch")
        for _ in range(order[index]):
            await asyncio.sleep(0)
        return index * 10

    async def pair(index: int) -> tuple[int, int]:
        return index, await fetch(index) + await fetch(index)

    @regrow.task
    async def racing() -> list[tuple[int, int]]:
        found = [await one for one in asyncio.as_completed([pair(index) for index in range(6)])]
        waiting = {asyncio.create_task(pair(index)) for index in range(6)}
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            found.extend(task.result() for task in done)
        return sorted(found)

    expected = sorted([(index, index * 20) for index in range(6)] * 2)
    for point in range(2, 26):
        store = CrashingStore()
        store.die_after(point)
        order[:] = [5, 1, 9, 0, 7, 3]
        ledger.clear()
        with pytest.raises(Crash):
            live(racing, store=store)
        store.revive()
        order[:] = [0, 8, 2, 6, 1, 9]
        assert live(racing, store=store) == expected
        assert 24 <= ledger["fetch"] <= 24 + 6


def test_a_stream_is_replayed_chunk_by_chunk_and_a_cut_one_goes_on() -> None:
    @regrow.step
    async def tokens(upto: int) -> AsyncIterator[str]:
        for index in range(upto):
            note(f"token {index}")
            yield f"t{index}"

    @regrow.task
    async def reader() -> list[str]:
        read = []
        async for token in tokens(4):
            read.append(f"{token}{await add(len(read))}")
        return read

    survives_every_crash(reader, expected=["t01", "t12", "t23", "t34"], once_each=False)


def test_a_cut_stream_that_does_not_repeat_itself_says_so() -> None:
    fresh = iter(range(1000))

    @regrow.step
    async def tokens() -> AsyncIterator[int]:
        for _ in range(4):
            yield next(fresh)

    @regrow.task
    async def reader() -> str:
        read = []
        try:
            async for token in tokens():
                read.append(token)
        except regrow.StreamCut as cut:
            return f"cut after {cut.received}"
        return "whole"

    store = CrashingStore()
    store.die_after(5)
    with pytest.raises(Crash):
        live(reader, store=store)
    store.revive()
    assert live(reader, store=store) == "cut after 2"
    assert live(reader, store=store) == "cut after 2"


def test_a_stream_that_its_reader_leaves_early_is_left_early_again() -> None:
    @regrow.step
    async def endless() -> AsyncIterator[int]:
        index = 0
        while True:
            yield index
            index += 1

    @regrow.task
    async def reader() -> int:
        async for index in endless():
            if index == 2:
                break
        return await add(index)

    survives_every_crash(reader, expected=3, once_each=False)


@pytest.mark.promise("P4")
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)  # a dying process's threads do raise
def test_threads_have_branches_of_their_own() -> None:
    def work(start: int) -> int:
        return multiply(start, 2) + multiply(start, 3)

    @regrow.task
    async def threads() -> list[int]:
        results = await asyncio.gather(*(asyncio.to_thread(work, start) for start in range(4)))
        raw: dict[int, int] = {}
        started = [threading.Thread(target=lambda start=start: raw.update({start: work(start)})) for start in range(4)]
        for thread in started:
            thread.start()
        for thread in started:
            await asyncio.to_thread(thread.join)
        with ThreadPoolExecutor(2) as pool:
            pooled = list(pool.map(work, range(4)))
        return [*results, *(raw[start] for start in range(4)), *pooled]

    survives_every_crash(threads, expected=[0, 5, 10, 15] * 3)


@pytest.mark.promise("P4")
def test_sync_tasks_awaited_side_by_side_survive_every_crash() -> None:
    @regrow.task
    def heavy(start: int) -> int:
        note("heavy")
        return multiply(start, 2) + multiply(start, 3)

    @regrow.task
    async def parent() -> list[int]:
        return await regrow.map(heavy, range(5), concurrency=2)

    survives_every_crash(parent, expected=[0, 5, 10, 15, 20])


def test_map_collects_failures_in_their_places() -> None:
    @regrow.task
    async def odd(number: int) -> int:
        if number % 2:
            await refuse(number)
        return number

    @regrow.task
    async def parent() -> list[str]:
        return [str(one) for one in await regrow.map(odd, range(4), concurrency=3, on_error="collect")]

    survives_every_crash(parent, expected=["0", "1: no", "2", "3: no"])


def test_now_and_sleep_are_the_same_on_replay() -> None:
    seen = []

    @regrow.task
    async def timed() -> int:
        seen.append(regrow.now())
        await regrow.sleep("20ms")
        return await add(1)

    store = CrashingStore()
    store.die_after(6)
    with pytest.raises(Crash):
        live(timed, store=store)
    store.revive()
    assert live(timed, store=store) == 2
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_retries_count_on_after_a_crash() -> None:
    @regrow.step(retries=3, backoff=regrow.Backoff(base=0.001))
    async def flaky() -> int:
        note("flaky")
        attempt = regrow.current().attempt
        assert [str(error) for error in regrow.current().failures] == [f"attempt {n}" for n in range(1, attempt)]
        if attempt < 4:
            raise ConnectionError(f"attempt {attempt}")
        return attempt

    @regrow.task
    async def parent() -> int:
        return await flaky()

    survives_every_crash(parent, expected=4)


def test_a_stream_waits_and_counts_its_attempts_on_after_a_crash_and_a_retry() -> None:
    failing = [True]

    @regrow.step(retries=2, backoff=regrow.Backoff(base=0.001))
    async def tokens() -> AsyncIterator[int]:
        note("tokens")
        assert len(regrow.current().failures) == regrow.current().attempt - 1
        yield 1
        if failing:
            raise ConnectionError("cut")

    @regrow.task
    async def reader() -> list[int]:
        return [token async for token in tokens()]

    store = CrashingStore()
    ledger.clear()
    store.die_after(5)
    with pytest.raises(Crash):
        live(reader, store=store)
    store.revive()
    with pytest.raises(ConnectionError):
        live(reader, store=store)
    assert ledger["tokens"] == 4  # three attempts, one of which died with its process before it was recorded
    host = host_of(store)
    driver = host.take_up(store.runs()[0].id, retry_as="somebody@here")
    failing.clear()
    assert drive(host, driver, reader, (), {}) == [1]
    assert ledger["tokens"] == 5
    retried = next(record for record in records_of(store) if type(record.event).__name__ == "RunRetried")
    assert retried.actor == "somebody@here"
