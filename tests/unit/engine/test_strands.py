"""How the strands of a run wait: for moments by two clocks, and while the run is held back."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from regrow.engine import strands
from regrow.engine.strands import Strands
from regrow.errors import RunPaused

pytestmark = pytest.mark.unit


class LetGoError(Exception):
    """The run has begun to end."""


class Waiting(Strands):
    """Strands of a run that notes what it is asked, and ends when it is told to."""

    def __init__(self, now=lambda: 100.0):
        super().__init__(now)
        self.checks = 0
        self.ends_at_check = 0
        self.let_go_of = []

    def check(self):
        self.checks += 1
        if self.checks == self.ends_at_check:
            raise LetGoError

    def let_go(self, why=None):
        self.let_go_of.append(why)
        raise LetGoError


class Clocks:
    """Two clocks: the wall's, which can be set, and one that only goes on. Waiting moves both."""

    def __init__(self):
        self.wall = 1000.0
        self.steady = 50.0
        self.waits = []
        self.jumps = {}

    def wait(self, seconds):
        self.waits.append(seconds)
        self.wall += seconds + self.jumps.get(len(self.waits), 0.0)
        self.steady += seconds


@pytest.fixture
def clocks(monkeypatch):
    made = Clocks()

    class Loop:
        def time(self):
            return made.steady

    async def sleep(seconds):
        made.wait(seconds)

    monkeypatch.setattr(strands.asyncio, "get_running_loop", Loop)
    monkeypatch.setattr(strands.asyncio, "sleep", sleep)
    monkeypatch.setattr(strands.time, "monotonic", lambda: made.steady)
    return made


@pytest.fixture(params=["coroutine", "thread"])
def waits(request, clocks):
    """Waits for a moment in either way, by the clocks."""
    run = Waiting(lambda: clocks.wall)
    run._interrupted.wait = clocks.wait

    def wait(moment):
        if request.param == "thread":
            run.wait_in_thread_until(moment)
        else:
            with contextlib.suppress(StopIteration):
                run.wait_until(moment).send(None)

    return wait


def test_a_moment_is_waited_for_and_not_a_moment_longer(waits, clocks):
    waits(1010.0)
    waits(1010.5)
    assert clocks.waits == [10.0, 0.5]


@pytest.mark.parametrize("moment", [1000.0, 900.0])
def test_a_moment_that_is_past_is_not_waited_for(waits, clocks, moment):
    waits(moment)
    assert clocks.waits == []


def test_a_long_wait_looks_at_the_clock_each_minute(waits, clocks):
    waits(1130.0)
    assert clocks.waits == [60.0, 60.0, 10.0]


def test_a_clock_that_is_set_forward_ends_the_wait_earlier(waits, clocks):
    clocks.jumps = {1: 3600.0}
    waits(1600.0)
    assert clocks.waits == [60.0]


def test_a_clock_that_is_set_back_does_not_make_it_longer(waits, clocks):
    clocks.jumps = {1: -3600.0}
    waits(1090.0)
    assert clocks.waits == [60.0, 30.0]


def test_a_wait_in_a_thread_ends_when_the_run_is_interrupted_and_once_only():
    run = Waiting()
    for wait in (lambda: run.wait_in_thread_until(1e9), lambda: run.pause_in_thread(1e9), run.heed_interruption):
        run.interrupt_at_next_call()
        with pytest.raises(asyncio.CancelledError):
            wait()
        run.heed_interruption()


def test_strands_that_are_held_back_for_the_sake_of_the_record_are_counted():
    run = Waiting()
    with run.holding_back(), run.holding_back():
        assert run.held_back == 2
    with pytest.raises(LetGoError), run.holding_back():
        raise LetGoError
    assert run.held_back == 0


def test_calls_are_held_back_once_that_has_begun_unless_the_run_is_cancelled():
    run = Waiting()
    assert not run.holds_back
    run.holding.begin()
    assert run.holds_back
    run.cancelled_by = "me"
    assert not run.holds_back


def test_a_coroutine_that_is_held_back_is_at_rest_and_looks_until_the_run_ends():
    run = Waiting()
    run.holding.begin()
    run.ends_at_check = 2

    async def main():
        with run.holding.at_work("task#1"):
            held = asyncio.create_task(run.hold("task#1"))
            await asyncio.sleep(0)
            assert run.holding.is_at_rest
            with pytest.raises(LetGoError):
                await held
            assert not run.holding.is_at_rest

    asyncio.run(main())
    assert run.checks == 2


def test_nothing_is_held_in_a_run_that_goes_on():
    run = Waiting()
    asyncio.run(run.hold("task#1"))
    run.hold_in_thread("task#1")
    assert run.checks == 0


def test_a_thread_that_is_held_back_looks_until_the_run_ends():
    run = Waiting()
    run.holding.begin()
    run.ends_at_check = 2
    run.pausing = RunPaused("run-1", "me", 1.0)
    with pytest.raises(LetGoError):
        run.hold_in_thread("task#1")
    assert (run.checks, run.let_go_of) == (2, [])


def test_a_thread_is_held_back_though_others_are_under_way():
    run = Waiting()
    run.holding.begin()
    run.ends_at_check = 2
    with run.holding.at_work("task#1/other#1"), pytest.raises(LetGoError):
        run.hold_in_thread("task#1")
    assert run.checks == 2


def on_a_loop(run):
    async def main():
        run.hold_in_thread("task#1")

    asyncio.run(main())


def test_a_synchronous_call_on_a_loop_is_let_through_while_others_are_under_way():
    run = Waiting()
    run.holding.begin()
    with run.holding.at_work("task#1/other#1"):
        on_a_loop(run)
    assert (run.checks, run.let_go_of) == (1, [])


def test_the_last_synchronous_call_on_a_loop_lets_go_of_the_run():
    run = Waiting()
    run.holding.begin()
    run.pausing = RunPaused("run-1", "me", 1.0)
    with pytest.raises(LetGoError):
        on_a_loop(run)
    assert run.let_go_of == [run.pausing]


def test_where_nobody_has_said_why_it_waits_to_be_let_go_of_on_a_loop_too():
    run = Waiting()
    run.holding.begin()
    run.ends_at_check = 2
    with pytest.raises(LetGoError):
        on_a_loop(run)
    assert (run.checks, run.let_go_of) == (2, [])


@pytest.mark.parametrize(("isolated", "counted"), [(True, False), (False, True)])
def test_a_body_is_counted_as_running_unless_a_worker_runs_it(isolated, counted):
    run = Waiting()
    with run.at_work("task#1", isolated=isolated):
        assert run.holding.is_at_rest is not counted
