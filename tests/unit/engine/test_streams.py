"""A stream at the edges of its run: held back, let go of, and in need of a remedy that it cannot have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import regrow
from regrow.authoring.home import workers
from regrow.engine.callee import Invocation
from regrow.engine.host import Host
from regrow.engine.streams import stream
from regrow.healing.ladder import Ladder
from regrow.journal.records import RunCreated
from regrow.journal.store import NewRun
from regrow.testing import FakeClock, MemoryStore

pytestmark = pytest.mark.unit


@pytest.fixture
def driver():
    store = MemoryStore()
    host = Host(store, workers, Ladder(), FakeClock())
    store.create(NewRun("r", "task", 1.0))
    yield host.take_up("r", created=RunCreated("r", "task", "", b"", b""))
    host.close()


@pytest.fixture
def tried():
    return []


@pytest.fixture
def numbers(tried):
    @regrow.step
    async def numbers() -> AsyncIterator[int]:
        tried.append(1)
        yield 1

    return numbers


async def read(driver, step):
    return [one async for one in stream(Invocation(step.callee, driver.root_branch(), (), {}))]


def test_in_a_run_that_is_held_back_a_stream_does_not_begin(driver, numbers, tried):
    async def hold(path):
        assert (path, tried) == ("", [])
        raise asyncio.CancelledError  # the run is let go of

    driver.hold = hold
    driver.holding.begin()
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(read(driver, numbers))
    assert tried == []


def test_in_a_run_that_is_not_it_begins_at_once(driver, numbers):
    async def hold(path):
        raise AssertionError("it is held back")

    driver.hold = hold
    assert asyncio.run(read(driver, numbers)) == [1]


def test_in_a_run_that_is_let_go_of_while_it_waits_it_does_not_begin(driver, numbers, tried):
    async def wait_until(moment):
        driver.closing = True

    driver.wait_until = wait_until
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(read(driver, numbers))
    assert tried == []


def test_nobody_is_asked_about_a_stream_and_the_error_says_so(driver, tried):
    @regrow.step(on_failure=lambda _: regrow.AskHuman())
    async def fails() -> AsyncIterator[int]:
        tried.append(1)
        raise LookupError("none")
        yield

    with pytest.raises(LookupError, match="none") as raised:
        asyncio.run(read(driver, fails))
    assert tried == [1]
    assert any("nor is a person asked about one" in note for note in raised.value.__notes__)
