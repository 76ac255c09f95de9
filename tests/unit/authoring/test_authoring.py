"""What users write, and what they are told when it cannot be."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
import types
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import pytest

import regrow
from regrow.testing import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_outside_a_run_tasks_and_steps_are_the_plain_functions() -> None:
    @regrow.step
    def double(number: int) -> int:
        return number * 2

    @regrow.task
    async def agent(number: int) -> int:
        return double(number)

    assert double(2) == 4
    assert asyncio.run(agent(3)) == 6
    assert asyncio.run(double.aio(4)) == 8


def test_a_function_keeps_its_calling_convention_and_its_papers() -> None:
    @regrow.step
    async def ask(prompt: str) -> str:
        """Ask."""
        return prompt

    @regrow.task
    def work(number: int = 3) -> int:
        """Work."""
        return number

    @regrow.step
    async def tokens() -> AsyncIterator[int]:
        yield 1

    assert asyncio.iscoroutinefunction(ask)
    assert not asyncio.iscoroutinefunction(work)
    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")
    assert str(inspect.signature(work)) == "(number: 'int' = 3) -> 'int'"
    assert repr(work).startswith("<regrow task ")
    assert hasattr(tokens(), "__anext__")


def test_methods_can_be_steps(store: MemoryStore) -> None:
    class Client:
        def __init__(self) -> None:
            self.lock = threading.Lock()  # nothing that could be stored

        @regrow.step
        async def ask(self, prompt: str) -> str:
            return prompt.upper()

    client = Client()

    @regrow.task
    async def agent() -> str:
        return await client.ask("hi")

    assert regrow.run(agent, store=store) == "HI"


@pytest.mark.parametrize(
    ("decorate", "sentence"),
    [
        (lambda: regrow.step(retry=3)(len), "did you mean 'retries'"),
        (lambda: regrow.task(memory="a lot")(len), "memory takes bytes"),
        (lambda: regrow.task(memory=0)(len), "more than nothing"),
        (lambda: regrow.task(cpu=0)(len), "more than 0"),
        (lambda: regrow.task(gpu=0.5)(len), "whole number of devices"),
        (lambda: regrow.task(on_oom=2)(len), "regrow.grow"),
        (lambda: regrow.task(on_oom=regrow.grow(2))(len), "write memory= with it"),
        (lambda: regrow.task(on_preempted=3)(len), "regrow.resume"),
        (lambda: regrow.task(on_preempted=regrow.resume(0))(len), "isolate=True"),
        (lambda: regrow.task(priority=1)(len), "isolate=True"),
        (lambda: regrow.task(right_size=False)(len), "isolate=True"),
        (lambda: regrow.task(secrets=[regrow.Secret("abcd")])(len), "Secret.from_env"),
        (lambda: regrow.task(env={"A": 1})(len), "mapping of names to text"),
        (lambda: regrow.step(name="x", memory="1Gi")(len), "make it a task"),
        (lambda: regrow.grow(1), "above 1"),
        (lambda: regrow.resume(-1), "0 or more"),
        (lambda: regrow.Budget(attempts=0), "1 or more"),
        (lambda: regrow.step(3), "decorates functions"),
        (lambda: regrow.step(int), "decorates functions"),
        (lambda: regrow.step(lambda: 1), "name="),
        (lambda: regrow.step(timeout="1s")(lambda: 1), "name of its own"),
        (lambda: regrow.step(name="x", timeout="1s")(lambda: 1), "async def"),
        (lambda: regrow.Environment("e", retires=1), "did you mean 'retries'"),
    ],
)
def test_what_cannot_be_decorated_is_refused_at_once(decorate: Any, sentence: str) -> None:
    with pytest.raises(regrow.UsageError, match=sentence):
        decorate()


def test_generators_that_cannot_be_recorded_are_refused_with_what_to_do() -> None:
    def chunks() -> Iterator[int]:
        yield 1

    async def stream() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(regrow.UsageError, match="or return a list"):
        regrow.step(chunks)
    with pytest.raises(regrow.UsageError, match="can be a step"):
        regrow.task(stream)
    with pytest.raises(regrow.UsageError, match="once=True cannot hold"):
        regrow.step(once=True)(stream)


def test_decorating_twice_and_overriding_wrongly_is_refused() -> None:
    @regrow.step
    async def ask() -> None: ...

    with pytest.raises(regrow.UsageError, match="already recorded"):
        regrow.task(ask)
    with pytest.raises(regrow.UsageError, match="did you mean 'timeout'"):
        ask.override(timout=3)


def test_a_misspelt_argument_names_the_nearest_right_one(store: MemoryStore) -> None:
    @regrow.task
    def work(number: int) -> int:
        return number

    with pytest.raises(regrow.UsageError, match="unknown argument 'numer'; did you mean 'number'"):
        regrow.run(work, numer=3, store=store)
    with pytest.raises(regrow.UsageError, match="missing a required argument"):
        regrow.run(work, store=store)
    assert store.runs() == []


def test_only_tasks_can_be_run_and_not_inside_a_run_or_a_loop(store: MemoryStore) -> None:
    @regrow.step
    def step() -> None: ...

    @regrow.task
    def outer() -> None:
        regrow.run(outer, store=store)

    with pytest.raises(regrow.UsageError, match="is a step; decorate it"):
        regrow.run(step, store=store)  # type: ignore[arg-type]
    with pytest.raises(regrow.UsageError, match="not a task"):
        regrow.run(len, store=store)  # type: ignore[call-overload]
    with pytest.raises(regrow.UsageError, match="called inside a run"):
        regrow.run(outer, store=store)

    async def in_a_loop() -> None:
        regrow.run(outer, store=store)

    with pytest.raises(regrow.UsageError, match=r"regrow\.start"):
        asyncio.run(in_a_loop())


def test_what_needs_a_run_says_so() -> None:
    for ask in (regrow.current, regrow.now, lambda: asyncio.run(regrow.sleep(1))):
        with pytest.raises(regrow.NotInRun, match="needs a run around it"):
            ask()


def test_current_knows_where_it_is(store: MemoryStore) -> None:
    @regrow.step
    def inner() -> regrow.Current:
        return seen.append(regrow.current())  # type: ignore[func-returns-value,return-value]

    @regrow.task
    def agent() -> None:
        inner()

    seen: list[regrow.Current] = []
    regrow.run(agent, store=store)
    assert seen[0].run == store.runs()[0].id
    assert (seen[0].task, seen[0].path, seen[0].attempt) == ("agent", "agent#1/inner#1", 1)


def test_tasks_can_be_arguments_and_come_back_as_themselves(store: MemoryStore) -> None:
    @regrow.task
    def double(number: int) -> int:
        return number * 2

    @regrow.task
    def apply(function: Any, number: int) -> int:
        return int(function(number))

    assert regrow.run(apply, double, 4, key="k", store=store) == 8
    assert regrow.run(apply, double, 4, key="k", store=store) == 8


def test_recursion_and_closures_work(store: MemoryStore) -> None:
    offset = 3

    @regrow.task
    def sum_to(number: int) -> int:
        return offset if number == 0 else number + sum_to(number - 1)

    assert regrow.run(sum_to, 4, store=store) == 13


def test_an_argument_that_cannot_be_stored_is_refused_with_its_name(store: MemoryStore) -> None:
    @regrow.task
    def work(lock: Any) -> None: ...

    with pytest.raises(regrow.NotStorable, match="work"):
        regrow.run(work, threading.Lock(), store=store)
    assert store.runs() == []


def test_a_result_that_cannot_be_stored_is_refused_with_its_path(store: MemoryStore) -> None:
    @regrow.task
    def work() -> Any:
        return {"items": [1, threading.Lock()]}

    with pytest.raises(regrow.NotStorable) as refused:
        regrow.run(work, store=store)
    assert refused.value.where == "result['items'][1]"


def test_a_secret_reaches_neither_journal_nor_errors(store: MemoryStore) -> None:
    secret = regrow.Secret("hunter2-and-more")

    @regrow.step
    def login(password: Any) -> str:
        return "in"

    @regrow.task
    def agent() -> str:
        login(secret)
        login(secret.reveal())
        raise ValueError(f"denied for {secret.reveal()}")

    with pytest.raises(ValueError, match="denied"):
        regrow.run(agent, store=store)
    run = store.runs()[0].id
    assert all(b"hunter2" not in record.body for record in store.read(run))
    with pytest.raises(regrow.NotStorable, match="Secret"):
        regrow.run(regrow.task(name="leak")(secret.reveal), store=store)


def test_map_wants_a_task_and_sane_numbers(store: MemoryStore) -> None:
    @regrow.task
    async def agent(what: Any, concurrency: Any, on_error: Any) -> None:
        await regrow.map(
            regrow.step(name="x")(abs) if what == "step" else abs,  # type: ignore[call-overload]
            [1],
            concurrency=concurrency,
            on_error=on_error,
        )

    for arguments, sentence in [
        (("function", None, "raise"), "neither"),
        (("step", 0, "raise"), "1 or more"),
        (("step", True, "raise"), "1 or more"),
        (("step", None, "ignore"), "'raise' or 'collect'"),
    ]:
        with pytest.raises(regrow.UsageError, match=sentence):
            regrow.run(agent, *arguments, store=store)


def test_map_keeps_to_its_concurrency_and_stops_at_the_first_failure(store: MemoryStore) -> None:
    running: list[int] = []
    widest = []

    @regrow.step
    async def work(number: int) -> int:
        running.append(number)
        widest.append(len(running))
        await asyncio.sleep(0.001)
        running.remove(number)
        if number == 5:
            raise ValueError("five")
        return number

    @regrow.task
    async def agent() -> list[int]:
        return await regrow.map(work, range(100), concurrency=3)

    with pytest.raises(ValueError, match="five"):
        regrow.run(agent, store=store)
    assert max(widest) == 3
    assert len(widest) < 20


def test_a_recorded_call_on_an_unknown_loop_or_in_a_callback_is_refused(store: MemoryStore) -> None:
    @regrow.step
    async def step() -> None: ...

    @regrow.step
    def sync_step() -> None: ...

    @regrow.task
    def nested_loop() -> None:
        async def inner() -> None:
            await step()

        asyncio.run(inner())

    @regrow.task
    async def callback() -> None:
        failed = asyncio.get_running_loop().create_future()

        def call() -> None:
            try:
                sync_step()
            except regrow.UsageError as error:
                failed.set_exception(error)

        asyncio.get_running_loop().call_soon(call)
        await failed

    with pytest.raises(regrow.UsageError, match="event loop that this run does not know"):
        regrow.run(nested_loop, store=store)
    with pytest.raises(regrow.UsageError, match="in a callback"):
        regrow.run(callback, store=store)


def test_callables_without_a_signature_or_a_name_are_refused() -> None:
    with pytest.raises(regrow.UsageError, match="name="):
        regrow.step(partial(print, "x"))


def test_logs_of_code_inside_a_run_are_kept_with_their_call(store: MemoryStore) -> None:
    import logging

    @regrow.step
    def noisy() -> None:
        logging.getLogger("mine").warning("careful")

    @regrow.task
    def agent() -> None:
        noisy()

    regrow.run(agent, store=store)
    logging.getLogger("mine").warning("outside")
    (found,) = store.read_logs(store.runs()[0].id)
    assert (found[1].path, found[1].level, found[1].text) == ("agent#1/noisy#1", "WARNING", "careful")


def test_in_a_notebook_whose_loop_always_runs_a_run_blocks_its_cell(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    @regrow.step
    async def ask() -> str:
        return "yes"

    @regrow.task
    async def agent() -> str:
        return await ask()

    async def cell() -> str:
        return regrow.run(agent, store=store)

    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    assert asyncio.run(cell()) == "yes"


def test_a_map_that_is_thrown_away_when_its_calls_have_ended_makes_no_event_loop(monkeypatch) -> None:
    @regrow.step
    async def work(number: int) -> int:
        return number

    async def begin_and_leave() -> Any:
        mapping = regrow.map(work, range(3))
        mapping.send(None)  # and nobody goes on with it
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        return mapping

    mapping = asyncio.run(begin_and_leave())
    made: list[object] = []
    monkeypatch.setattr(asyncio.get_event_loop_policy(), "new_event_loop", lambda: made.append(1), raising=True)
    mapping.close()
    assert made == []
