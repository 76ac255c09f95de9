"""Streams that fail, time out, end early and take turns."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

import regrow
from regrow.engine.branches import scope_here
from regrow.journal.records import AttemptFailed, CallFailed, CallSucceeded, ChunkYielded
from regrow.testing import Crash, CrashingStore

from .lives import divergences, ledger, live, note, records_of

AT_ONCE = regrow.Backoff(base=0.0, jitter=0.0)


@pytest.fixture(autouse=True)
def nothing_was_done():
    ledger.clear()


def reading(stream):
    @regrow.task
    async def agent() -> list[object]:
        return [one async for one in stream()]

    return agent


def events(store, kind):
    return [record.event for record in records_of(store) if isinstance(record.event, kind)]


def test_a_stream_may_give_nothing_in_its_midst_and_goes_on():
    @regrow.step
    async def sparse() -> AsyncIterator[int | None]:
        yield 1
        yield None
        yield 3

    assert live(reading(sparse), store=CrashingStore()) == [1, None, 3]


def test_a_stream_that_takes_too_long_is_timed_out_and_its_reader_is_told_of_which_call():
    @regrow.step(timeout=0.02)
    async def slow() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(3600)

    store = CrashingStore()
    with pytest.raises(regrow.TimedOut) as timed_out:
        live(reading(slow), store=store)
    assert timed_out.value.path == "agent#1/slow#1"
    assert isinstance(timed_out.value.__cause__, TimeoutError)
    assert [chunk.index for chunk in events(store, ChunkYielded)] == [0]


@pytest.mark.parametrize("timeout", [None, 60.0])
def test_a_timeout_of_the_streams_own_is_handed_on_as_what_it_is(timeout):
    @regrow.step(timeout=timeout)
    async def impatient() -> AsyncIterator[int]:
        yield 1
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as raised:
        live(reading(impatient), store=CrashingStore())
    assert not isinstance(raised.value, regrow.TimedOut)


def test_each_attempt_of_a_stream_has_its_time_anew_and_a_deadline_bounds_them_all():
    @regrow.step(timeout=0.02, retries=1, backoff=AT_ONCE)
    async def slow_at_first() -> AsyncIterator[int]:
        note("slow")
        if ledger["slow"] == 1:
            await asyncio.sleep(3600)
        yield 1

    store = CrashingStore()
    assert live(reading(slow_at_first), store=store) == [1]
    (failed,) = events(store, AttemptFailed)
    assert failed.error.summary().startswith("TimedOut")
    (done,) = events(store, CallSucceeded)[:1]
    assert (done.attempt, done.chunks) == (2, 1)


def test_a_stream_that_ends_before_what_it_once_gave_has_been_given_again_is_cut():
    @regrow.step
    async def shorter() -> AsyncIterator[int]:
        for number in range(3 if ledger["life"] == 1 else 1):
            yield number

    @regrow.task
    async def agent() -> str:
        note("life")
        read = []
        try:
            async for number in shorter():
                read.append(number)
        except regrow.StreamCut as cut:
            return f"{read}, cut after {cut.received}"
        return "whole"

    store = CrashingStore()
    store.die_after(5)  # the run, the driver, the task, and two chunks
    with pytest.raises(Crash):
        live(agent, store=store)
    store.revive()
    assert live(agent, store=store) == "[0, 1], cut after 2"


def test_a_stream_that_was_cut_is_not_tried_again_whatever_its_retries():
    @regrow.step(retries=5, backoff=AT_ONCE)
    async def fickle() -> AsyncIterator[int]:
        note("fickle")
        for number in range(3):
            yield number + 10 * ledger["fickle"]

    store = CrashingStore()
    store.die_after(4)
    with pytest.raises(Crash):
        live(reading(fickle), store=store)
    store.revive()
    with pytest.raises(regrow.StreamCut):
        live(reading(fickle), store=store)
    assert ledger["fickle"] == 2
    assert events(store, AttemptFailed) == []
    assert len(events(store, CallFailed)) == 2


def test_a_stream_that_fails_is_tried_again_and_goes_on_after_what_was_read():
    closed = []

    @regrow.step(retries=2, backoff=AT_ONCE)
    async def flaky() -> AsyncIterator[int]:
        note("flaky")
        try:
            for number in range(3):
                if number == ledger["flaky"]:
                    raise ConnectionError(str(number))
                yield number
        finally:
            closed.append(ledger["flaky"])

    store = CrashingStore()
    assert live(reading(flaky), store=store) == [0, 1, 2]
    assert [failed.attempt for failed in events(store, AttemptFailed)] == [1, 2]
    assert [chunk.index for chunk in events(store, ChunkYielded)] == [0, 1, 2]
    assert closed == [1, 2, 3]
    assert events(store, CallSucceeded)[0].chunks == 3


def test_a_stream_that_has_time_left_is_not_timed_out():
    @regrow.step(timeout=60.0)
    async def slow() -> AsyncIterator[int]:
        await asyncio.sleep(0.001)
        yield 1

    assert live(reading(slow), store=CrashingStore()) == [1]


def test_a_deadline_of_a_stream_counts_from_its_first_attempt():
    @regrow.step(deadline=0.2, retries=50, backoff=AT_ONCE)
    async def slow() -> AsyncIterator[int]:
        note("slow")
        await asyncio.sleep(0.08)
        raise ConnectionError
        yield 1

    with pytest.raises((regrow.TimedOut, ConnectionError)):
        live(reading(slow), store=CrashingStore())
    assert 1 < ledger["slow"] < 10


def test_a_chunk_that_cannot_be_stored_is_named_as_a_chunk():
    @regrow.step
    async def opaque() -> AsyncIterator[object]:
        yield object()

    with pytest.raises(regrow.NotStorable, match=r"^chunk: "):
        live(reading(opaque), store=CrashingStore())


def test_nothing_stands_in_for_a_stream_and_the_error_says_so():
    @regrow.task
    async def other() -> int:
        return 1

    @regrow.step(on_failure=lambda failure: regrow.Fallback(other))
    async def broken() -> AsyncIterator[int]:
        raise ConnectionError("gone")
        yield 1

    store = CrashingStore()
    with pytest.raises(ConnectionError, match="gone") as raised:
        live(reading(broken), store=store)
    assert any("nothing can stand in for a stream" in note for note in raised.value.__notes__)
    assert events(store, AttemptFailed) == []


def test_a_stream_waits_for_the_moment_of_its_next_attempt():
    moments = []

    @regrow.step(retries=1, backoff=regrow.Backoff(base=0.1, jitter=0.0))
    async def flaky() -> AsyncIterator[int]:
        moments.append(time.time())
        if len(moments) == 1:
            raise ConnectionError
        yield 1

    store = CrashingStore()
    assert live(reading(flaky), store=store) == [1]
    (failed,) = events(store, AttemptFailed)
    assert moments[1] >= failed.retry_at >= failed.started + 0.1


def test_the_next_attempt_of_a_stream_meets_the_calls_that_the_last_one_had_made():
    @regrow.step
    async def inner() -> str:
        note("inner")
        return "inner"

    @regrow.step(retries=1, backoff=AT_ONCE)
    async def flaky() -> AsyncIterator[str]:
        note("flaky")
        yield await inner()
        if ledger["flaky"] == 1:
            raise ConnectionError

    store = CrashingStore()
    assert live(reading(flaky), store=store) == ["inner"]
    assert ledger == {"inner": 1, "flaky": 2}
    assert divergences(store) == []


def test_a_stream_whose_code_has_lost_a_call_says_so_when_it_ends():
    edited = []

    @regrow.step
    async def inner() -> str:
        return "inner"

    @regrow.step
    async def other() -> str:
        return "other"

    @regrow.step
    async def numbers() -> AsyncIterator[int]:
        if not edited:
            await inner()
        await other()
        yield 1

    store = CrashingStore()
    store.die_after(6)  # the run, the driver, the task, the inner calls and the chunk
    with pytest.raises(Crash):
        live(reading(numbers), store=store)
    store.revive()
    edited.append(True)
    assert live(reading(numbers), store=store) == [1]
    (said,) = divergences(store)
    assert said.startswith("agent#1/numbers#1/inner#1")


@pytest.mark.parametrize("fails", [False, True])
def test_a_stream_that_ends_after_its_run_was_let_go_of_has_no_outcome_yet(fails):
    @regrow.step
    async def numbers() -> AsyncIterator[int]:
        yield 1
        scope_here().driver.closing = True
        if fails:
            raise ConnectionError

    store = CrashingStore()
    with pytest.raises((asyncio.CancelledError, ConnectionError)):
        live(reading(numbers), store=store)
    assert [
        one for one in events(store, CallSucceeded | CallFailed | AttemptFailed) if "numbers" in one.call.path
    ] == []


def test_a_stream_at_work_is_a_strand_at_work_until_it_ends_however_that_is():
    busy = []

    @regrow.step
    async def numbers() -> AsyncIterator[int]:
        busy.append(scope_here().outer.busy)
        yield 1
        raise ConnectionError

    @regrow.task
    async def agent() -> None:
        scope = scope_here()
        try:
            async for _ in numbers():
                busy.append(scope.busy)
        except ConnectionError:
            busy.append(scope.busy)

    live(agent, store=CrashingStore())
    assert busy == [1, 1, 0]


class SlowStore(CrashingStore):
    """A store that takes its time: whoever does not wait for it is ahead of it."""

    def append(self, entries):
        time.sleep(0.005)
        return super().append(entries)


@pytest.mark.promise("P3")
def test_a_chunk_and_the_end_are_durable_before_the_code_sees_them_also_beside_others():
    @regrow.step
    async def numbers(first: int) -> AsyncIterator[int]:
        for number in range(first, first + 3):
            await asyncio.sleep(0)
            yield number

    async def read(first: int, store) -> None:
        seen = 0
        async for _ in numbers(first):
            seen += 1
            kept = [one for one in events(store, ChunkYielded) if one.call.path.startswith(f"agent#1/~read#{first}/")]
            assert len(kept) == seen
        done = [one.call.path for one in events(store, CallSucceeded)]
        assert f"agent#1/~read#{first}/numbers#1" in done

    store = SlowStore()

    @regrow.task
    async def agent() -> None:
        await asyncio.gather(*(read(first, store) for first in (1, 2, 3)))

    live(agent, store=store)


@pytest.mark.promise("P3")
def test_a_failure_is_durable_before_the_code_sees_it_also_beside_others():
    over = asyncio.Event()

    @regrow.step
    async def slow() -> AsyncIterator[int]:
        await over.wait()
        yield 1

    @regrow.step
    async def broken() -> AsyncIterator[int]:
        await asyncio.sleep(0.005)
        raise ConnectionError
        yield 1

    async def read() -> None:
        assert [one async for one in slow()] == [1]

    async def fail() -> None:
        with pytest.raises(ConnectionError):
            [one async for one in broken()]
        over.set()
        assert [one.call.path for one in events(store, CallFailed)] == ["agent#1/~fail#1/broken#1"]

    @regrow.task
    async def agent() -> None:
        await asyncio.gather(read(), read(), fail())

    store = SlowStore()
    live(agent, store=store)
