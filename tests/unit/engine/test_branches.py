"""Strands: where one gets its name, and which calls it is refused."""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing.pool
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import pytest

import regrow
from regrow.engine import branches
from regrow.engine.branches import Branch, in_fresh_stack
from regrow.journal.chain import unseal_all
from regrow.journal.records import CallSucceeded
from regrow.testing import MemoryStore


@regrow.step
def step(what: object = None) -> object:
    return what


@pytest.fixture
def store():
    return MemoryStore()


def paths(store):
    run = store.runs()[0].id
    records = unseal_all(run, store.read(run))
    return sorted(one.event.call.path for one in records if isinstance(one.event, CallSucceeded))


def branch(prefix="agent#1/"):
    return Branch(SimpleNamespace(driver=SimpleNamespace(is_over=False, run="r")), prefix)


# -- names -------------------------------------------------------------------------------------------------------------


def test_calls_are_counted_by_name_and_placed_by_number():
    one = branch()
    assert [one.place(name) for name in ("a", "b", "a")] == [("agent#1/a#1", 1), ("agent#1/b#1", 2), ("agent#1/a#2", 3)]
    assert (one.made("a"), one.made("b"), one.made("c")) == (2, 1, 0)


def test_strands_are_counted_by_name_apart_from_calls():
    one = branch()
    one.place("work")
    assert [one.fork(name).prefix for name in ("work", "other", "work")] == [
        "agent#1/~work#1/",
        "agent#1/~other#1/",
        "agent#1/~work#2/",
    ]
    assert one.fork("GET /users#1").prefix == "agent#1/~GET__users_1#1/"


def test_a_strand_goes_on_counting_from_where_it_had_come_to():
    one, other = branch(), branch()
    one.place("a")
    one.place("a")
    one.fork("work")
    reached = one.reached
    other.go_on_from(*reached)
    one.place("a")
    assert reached == ({"a": 2}, {"work": 1}, 2)
    assert other.place("a") == ("agent#1/a#3", 3)
    assert other.fork("work").prefix == "agent#1/~work#2/"
    assert reached == ({"a": 2}, {"work": 1}, 2)


class Callable:
    def __call__(self, *args):
        return step(args)


class Job:
    def run(self):
        return step()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: step, "step"),
        (lambda: partial(step, 1), "step"),
        (lambda: partial(partial(step, 1)), "step"),
        (Callable, "Callable"),
        (lambda: partial(Callable(), 1), "Callable"),
        (lambda: Job().run, "run"),
        (lambda: partial(Job().run), "run"),
    ],
)
def test_a_strand_is_named_after_the_function_at_the_bottom_of_what_it_was_given(store, make, name):
    function = make()

    @regrow.task
    async def agent() -> None:
        await asyncio.to_thread(function)
        await asyncio.get_running_loop().run_in_executor(None, function)

    regrow.run(agent, store=store)
    assert [path for path in paths(store) if "step#" in path] == [f"agent#1/~{name}#{n}/step#1" for n in (1, 2)]


class Awaitable(Coroutine):
    def __await__(self):
        return self

    def send(self, value):
        step()
        raise StopIteration(5)

    def throw(self, *error):
        raise NotImplementedError

    def close(self): ...


def test_a_task_is_named_after_its_coroutine_function_or_its_class(store):
    async def strand():
        await asyncio.to_thread(step)

    @regrow.task
    async def agent() -> object:
        await asyncio.create_task(strand())
        return await asyncio.create_task(Awaitable())

    assert regrow.run(agent, store=store) == 5
    assert paths(store) == ["agent#1", "agent#1/~Awaitable#1/step#1", "agent#1/~strand#1/~step#1/step#1"]


def test_bodies_that_run_in_threads_and_the_threads_of_pools_are_no_strands(store):
    seen = []

    @regrow.task
    def blocking() -> int:
        return step(1)

    @regrow.task
    async def agent() -> None:
        await blocking.aio()
        seen.append(branches.scope_here().main.reached[1])
        with ThreadPoolExecutor(2) as pool:
            for number in range(2):
                pool.submit(step, number).result()
        seen.append(branches.scope_here().main.reached[1])

    regrow.run(agent, store=store)
    assert seen == [{}, {"step": 2}]


def test_a_thread_is_named_after_its_target_or_its_class(store):
    class Worker(threading.Thread):
        def run(self):
            step()

    def work():
        step()

    @regrow.task
    def agent() -> None:
        for thread in (threading.Thread(target=work), Worker()):
            thread.start()
            thread.join()

    regrow.run(agent, store=store)
    assert paths(store) == ["agent#1", "agent#1/~Worker#1/step#1", "agent#1/~work#1/step#1"]


def test_a_pool_names_the_work_and_not_the_threads_that_do_it(store):
    @regrow.task
    def agent() -> list[object]:
        with ThreadPoolExecutor(1) as pool:
            return [pool.submit(step, number).result() for number in range(3)]

    assert regrow.run(agent, store=store) == [0, 1, 2]
    assert paths(store)[1:] == [f"agent#1/~step#{number}/step#1" for number in (1, 2, 3)]


def test_what_a_thread_makes_is_inside_the_thread_that_made_it(store):
    def outer():
        thread = threading.Thread(target=inner)
        thread.start()
        thread.join()
        step()

    def inner():
        step()

    @regrow.task
    def agent() -> None:
        thread = threading.Thread(target=outer)
        thread.start()
        thread.join()

    regrow.run(agent, store=store)
    assert paths(store)[1:] == ["agent#1/~outer#1/step#1", "agent#1/~outer#1/~inner#1/step#1"]


# -- outside of runs ---------------------------------------------------------------------------------------------------


def test_a_loop_that_had_a_task_factory_keeps_it_for_what_is_no_strand_of_a_run(store):
    made = []

    def factory(loop, coro, **options):
        made.append(coro.__name__)
        return asyncio.Task(coro, loop=loop, **options)

    async def mine():
        return 5

    async def strand():
        return await asyncio.to_thread(step, 1)

    @regrow.task
    async def agent() -> object:
        return await asyncio.create_task(strand())

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        handle = await regrow.start(agent, store=store)
        return await asyncio.create_task(mine()), await handle.result()

    assert asyncio.run(main()) == (5, 1)
    assert "mine" in made
    assert "strand" not in made


def test_outside_of_runs_threads_pools_and_as_completed_are_as_they_were():
    async def number(n):
        return n

    async def main():
        return sorted([await one for one in asyncio.as_completed([number(1), number(2)])])

    branches.install()
    assert asyncio.run(main()) == [1, 2]
    seen = []
    thread = threading.Thread(target=seen.append, args=(1,))
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(step, 2).result() == 2
    assert seen == [1]


def test_as_completed_is_replaced_wherever_asyncio_has_it():
    assert asyncio.as_completed is asyncio.tasks.as_completed is branches.as_completed


def test_as_completed_takes_what_asyncios_own_takes(store):
    async def number(n):
        await asyncio.sleep(0.001 * n)
        return n

    @regrow.task
    async def agent() -> list[int]:
        given = {asyncio.ensure_future(number(2)), asyncio.ensure_future(number(1))}
        return [await one for one in asyncio.as_completed(given, timeout=20)]

    @regrow.task
    async def wrong() -> str:
        future = asyncio.ensure_future(number(1))
        try:
            for one in asyncio.as_completed(future):
                await one
        except TypeError as refused:
            return str(refused)
        finally:
            await future
        return "taken"

    @regrow.task
    async def late() -> str:
        try:
            for one in asyncio.as_completed([number(3600_000)], timeout=0.01):
                await one
        except TimeoutError:
            return "late"
        return "in time"

    assert regrow.run(agent, store=store) == [1, 2]
    assert "expect an iterable of futures" in regrow.run(wrong, store=MemoryStore())
    assert regrow.run(late, store=MemoryStore()) == "late"


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_an_as_completed_that_was_imported_before_regrow_was_is_refused(store):
    async def strand():
        return step()

    @regrow.task
    async def agent() -> object:
        waiting = [strand(), strand()]
        try:
            for one in branches._as_completed(waiting):
                await one
        finally:
            for coro in waiting:
                coro.close()

    with pytest.raises(regrow.UsageError, match="imported by name before regrow was"):
        regrow.run(agent, store=store)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_gather_made_by_asyncios_own_code_is_no_as_completed(store):
    async def strand():
        return await asyncio.to_thread(step, 1)

    @regrow.task
    async def agent() -> object:
        return await asyncio.wait_for(asyncio.gather(strand(), strand()), 20)

    assert regrow.run(agent, store=store) == [1, 1]


def test_a_pool_of_processes_threads_hands_work_out_by_chance_and_is_refused(store):
    @regrow.task
    def agent() -> object:
        with multiprocessing.pool.ThreadPool(1) as pool:
            return pool.map(step, [1])

    with pytest.raises(regrow.UsageError, match=r"a thread of multiprocessing\.pool"):
        regrow.run(agent, store=store)


def test_a_thread_that_outlives_its_run_is_refused_calls(store):
    said, go_on = [], threading.Event()

    def late():
        assert go_on.wait(20)
        try:
            step()
        except regrow.UsageError as refused:
            said.append(str(refused))

    @regrow.task
    def agent() -> str:
        thread = threading.Thread(target=late)
        thread.start()
        threads.append(thread)
        return "done"

    threads: list[threading.Thread] = []
    assert regrow.run(agent, store=store) == "done"
    go_on.set()
    threads[0].join()
    assert "run is over" in said[0]


def test_a_callback_and_a_task_that_no_factory_saw_are_refused_calls(store):
    async def hidden():
        return step()

    @regrow.task
    async def in_a_callback() -> None:
        done = asyncio.get_running_loop().create_future()

        def callback():
            try:
                step()
            except regrow.UsageError as refused:
                done.set_exception(refused)

        asyncio.get_running_loop().call_soon(callback)
        await done

    @regrow.task
    async def in_a_bare_task() -> None:
        await asyncio.Task(hidden())

    for agent in (in_a_callback, in_a_bare_task):
        with pytest.raises(regrow.UsageError, match="its branch cannot be known"):
            regrow.run(agent, store=MemoryStore())


def test_a_loop_of_its_own_inside_a_synchronous_task_is_refused_calls(store):
    async def main():
        return step()

    @regrow.task
    def agent() -> object:
        return asyncio.run(main())

    with pytest.raises(regrow.UsageError, match="an event loop that this run does not know"):
        regrow.run(agent, store=store)


# -- outside of runs once more -----------------------------------------------------------------------------------------


async def plain():
    return step("plain")


def test_a_pools_thread_that_a_run_has_used_belongs_to_it_no_longer(store):
    with ThreadPoolExecutor(1) as pool:

        @regrow.task
        def agent() -> object:
            return pool.submit(step, "recorded").result()

        assert regrow.run(agent, store=store) == "recorded"
        assert pool.submit(step, "plain").result() == "plain"
    assert len(paths(store)) == 2


def test_nor_does_it_while_that_run_goes_on(store):
    used, done = threading.Event(), threading.Event()
    found = []
    with ThreadPoolExecutor(1) as pool:

        def beside() -> None:
            used.wait(10)
            found.append(pool.submit(asyncio.run, plain()).exception())
            done.set()

        @regrow.task
        def agent() -> bool:
            pool.submit(step, "recorded").result()
            used.set()
            return done.wait(10)

        other = threading.Thread(target=beside)
        other.start()
        assert regrow.run(agent, store=store)
        other.join(10)
    assert found == [None]
    assert len(paths(store)) == 2


def test_what_was_scheduled_in_a_run_may_call_anything_once_that_is_over(store):
    contexts = []

    @regrow.task
    async def agent() -> None:
        contexts.append(contextvars.copy_context())

    regrow.run(agent, store=store)
    assert contexts[0].run(asyncio.run, plain()) == "plain"


def test_a_callback_from_a_thread_of_a_run_is_refused_calls_too(store):
    @regrow.task
    async def agent() -> object:
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def callback() -> None:
            try:
                done.set_result(step("called"))
            except regrow.UsageError as refused:
                done.set_result(str(refused))

        threading.Thread(target=loop.call_soon_threadsafe, args=(callback,)).start()
        return await done

    assert "in a callback of the event loop" in regrow.run(agent, store=store)


def test_whoever_wraps_threads_after_regrow_did_is_left_alone(monkeypatch):
    branches.install()

    def theirs(thread) -> None:
        """Stand for a debugger's."""

    monkeypatch.setattr(threading.Thread, "start", theirs)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", theirs)
    branches.install()
    assert threading.Thread.start is theirs
    assert ThreadPoolExecutor.submit is theirs


# -- stacks ------------------------------------------------------------------------------------------------------------


def test_a_fresh_stack_gives_what_its_body_gives_and_raises_what_it_raises():
    def fails():
        raise ZeroDivisionError

    assert in_fresh_stack(branch(), lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        in_fresh_stack(branch(), fails)


def test_a_fresh_stack_is_the_strand_that_it_was_given_and_leaves_the_callers_alone():
    one = branch()
    assert in_fresh_stack(one, lambda: branches._thread.branch) is one
    assert branches._thread.branch is None
