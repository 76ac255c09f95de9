"""What a life says is done, in a coroutine and in a thread; what came of it goes back into the life."""

from __future__ import annotations

import asyncio
import contextlib
import types

import pytest

from regrow.engine.lives import live_async, live_in_thread
from regrow.engine.state import CallState
from regrow.engine.todo import AwaitCancellation, AwaitRecorded, AwaitTurn, Hold, Pause, RunBody, WaitUntil
from regrow.journal.records import Call

pytestmark = pytest.mark.unit

OUTER = "task#1"
KNOWN = CallState(Call("task#1/ask#1", "ask", 1, b"digest"), 1)


class HaltedError(Exception):
    """The run cannot go on for now."""


class Driver:
    """Notes what it is asked to do, and where meanwhile its strands are counted."""

    def __init__(self):
        self.done = []
        self.counted = []
        self.holding = types.SimpleNamespace(at_rest=lambda path: self.counting(f"at rest in {path}"))
        self.executor = types.SimpleNamespace(run=self.run, run_blocking=self.run_blocking)

    @contextlib.contextmanager
    def counting(self, what):
        self.counted.append(what)
        yield
        self.counted.remove(what)

    def holding_back(self):
        return self.counting("held back")

    def note(self, *what):
        self.done.append((*what, *(self.counted and [tuple(self.counted)])))
        if what[-1] == "a ticket that fails":
            raise HaltedError

    async def run(self, callee, scope, args, kwargs):
        self.note("run", callee, args, kwargs)
        if callee != "body":
            await asyncio.sleep(60 if callee == "slow" else 0)
        return f"result of {callee}"

    def run_blocking(self, callee, scope, args, kwargs):
        self.note("run_blocking", callee, args, kwargs)
        return f"result of {callee}"

    def __getattr__(self, name):
        if name in ("wait_until", "hold", "take_turn", "let_recorded_go_first", "durable"):

            async def noting(*what):
                self.note(name, *what)

            return noting
        if name in ("wait_in_thread_until", "pause_in_thread", "hold_in_thread", "durable_in_thread"):
            return lambda *what: self.note(name, *what)
        if name == "heed_interruption":
            return lambda: self.note(name)
        raise AttributeError(name)


def invoked(driver):
    scope = types.SimpleNamespace(path=OUTER, driver=driver)
    return types.SimpleNamespace(branch=types.SimpleNamespace(scope=scope), args=(1,), kwargs={"two": 2})


def body(callee, allowed=None, *, isolated=False):
    scope = types.SimpleNamespace(allowed=allowed, bound=None)
    todo = RunBody(Callee(callee), scope)
    todo.callee.isolated = isolated
    return todo


class Callee(str):
    __slots__ = ("isolated",)


class Life:
    """A life that asks for these, one after the other, and notes what it is told."""

    def __init__(self, *todos):
        self.todos = todos
        self.told = []
        self.loop = None

    def __call__(self, invocation, loop):
        self.loop = loop
        for todo in self.todos:
            try:
                self.told.append((yield todo))
            except BaseException as error:
                self.told.append(type(error))
        return "given"


WAITS = (WaitUntil(5.0), AwaitCancellation(6.0), Hold("task#2"), AwaitTurn(KNOWN), AwaitRecorded(), "a ticket")


def test_a_coroutine_does_what_a_life_says(monkeypatch):
    driver, life = Driver(), Life(*WAITS, Pause(0.5), "a ticket that fails", body("body"))

    async def sleep(seconds):
        driver.note("sleep", seconds)

    monkeypatch.setattr("regrow.engine.lives.asyncio.sleep", sleep)
    assert asyncio.run(live_async(invoked(driver), life)) == "given"
    at_rest = f"at rest in {OUTER}"
    assert driver.done == [
        ("wait_until", 5.0, (at_rest,)),
        ("wait_until", 6.0, ("held back", at_rest)),
        ("hold", "task#2"),
        ("take_turn", KNOWN),
        ("let_recorded_go_first",),
        ("durable", "a ticket"),
        ("sleep", 0.5, (at_rest,)),
        ("durable", "a ticket that fails"),
        ("run", "body", (1,), {"two": 2}),
    ]
    assert life.told == [None] * 7 + [HaltedError, "result of body"]
    assert isinstance(life.loop, asyncio.AbstractEventLoop)


def test_a_thread_does_it_too_and_takes_no_turns():
    driver, life = Driver(), Life(*WAITS, Pause(0.5), "a ticket that fails", body("body", (0.0, "timeout")))
    assert live_in_thread(invoked(driver), life) == "given"
    at_rest = f"at rest in {OUTER}"
    assert driver.done == [
        ("heed_interruption",),
        ("wait_in_thread_until", 5.0, (at_rest,)),
        ("wait_in_thread_until", 6.0, (at_rest,)),
        ("hold_in_thread", "task#2"),
        ("durable_in_thread", "a ticket"),
        ("pause_in_thread", 0.5, (at_rest,)),
        ("durable_in_thread", "a ticket that fails"),
        ("run_blocking", "body", (1,), {"two": 2}),
    ]
    assert life.told == [None] * 7 + [HaltedError, "result of body"]
    assert life.loop is None


def test_a_body_on_a_loop_is_held_to_its_time_and_one_in_a_worker_is_not():
    driver, life = (
        Driver(),
        Life(slow := body("slow", (0.01, "timeout")), body("away", (0.0, "timeout"), isolated=True)),
    )
    asyncio.run(live_async(invoked(driver), life))
    assert life.told == [TimeoutError, "result of away"]
    assert slow.scope.bound.expired()


@pytest.mark.parametrize("live", [lambda *what: asyncio.run(live_async(*what)), live_in_thread])
def test_what_a_life_raises_comes_out(live):
    def failing(invocation, loop):
        yield "a ticket"
        raise HaltedError("in the life")

    with pytest.raises(HaltedError, match="in the life"):
        live(invoked(Driver()), failing)
