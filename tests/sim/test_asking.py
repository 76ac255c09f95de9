"""What the calls for people and machines promise, one by one: options, time, giving up, cancelling, forks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

import regrow
from regrow.authoring.driving import drive
from regrow.authoring.home import host_of, workers
from regrow.authoring.opening import open_run
from regrow.engine.driver import Driver
from regrow.engine.host import Host
from regrow.healing.ladder import Ladder
from regrow.journal.chain import unseal_all
from regrow.testing import FakeClock, MemoryStore


@dataclass
class Plan:
    title: str
    depth: int


class Client:
    """Has no durable form."""


def wait_until(condition):
    limit = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < limit, "it did not come to be in time"
        time.sleep(0.005)
    return found


class Running:
    """A run in a thread of its own, and the store that it is in."""

    def __init__(self, task, *args, clock=time.time):
        self.store = MemoryStore()
        self.host = Host(self.store, workers, Ladder(), clock)
        driver = open_run(self.host, task, args, {}, key="k")
        assert isinstance(driver, Driver)
        self.driver = driver
        self.given: list[Any] = []
        self._thread = threading.Thread(target=self._drive, args=(task, args))
        self._thread.start()

    def _drive(self, task, args):
        try:
            self.given.append(drive(self.host, self.driver, task, args, {}))
        except BaseException as error:
            self.given.append(error)

    @property
    def result(self):
        self._thread.join(30)
        (given,) = self.given
        return given

    def ask(self):
        """Wait until a question is open, and give it."""
        return wait_until(lambda: regrow.inbox(store=self.store))[0]


def test_an_answer_may_be_a_value_of_the_type_itself():
    @regrow.task
    async def agent() -> Plan:
        return await regrow.ask("Which?", Plan)

    running = Running(agent)
    regrow.answer(running.ask().id, Plan("x", 3), store=running.store)
    assert running.result == Plan("x", 3)


def test_what_does_not_fit_is_refused_where_it_is_given_and_names_the_field():
    @regrow.task
    async def agent() -> Plan:
        return await regrow.ask("Which?", Plan)

    running = Running(agent)
    ask = running.ask()
    with pytest.raises(regrow.UnfitAnswer, match=r"answer\.depth: it must be a whole number") as refused:
        regrow.answer(ask.id, {"title": "x", "depth": "deep"}, store=running.store)
    assert refused.value.ask == ask.id
    regrow.answer(ask.id[-6:], {"title": "x", "depth": 1}, store=running.store)
    assert running.result == Plan("x", 1)


def test_time_passes_by_the_hosts_clock():
    clock = FakeClock()

    @regrow.task
    async def agent() -> bool:
        return await regrow.ask("May I?", timeout="2d", default=True)

    running = Running(agent, clock=clock)
    ask = running.ask()
    assert ask.due == clock.now + 2 * 86400
    clock.advance(2 * 86400 - 1)
    assert running.store.asks.look(ask.run, ask.id, clock()) is None
    clock.advance(1)
    assert running.result is True
    assert running.store.asks.get(ask.id).decided == "timed out"


def test_without_a_default_a_time_that_passes_is_an_error_of_its_own():
    clock = FakeClock()

    @regrow.task
    async def agent() -> bool:
        return await regrow.ask("May I?", timeout="1h")

    running = Running(agent, clock=clock)
    running.ask()
    clock.advance(3600)
    assert isinstance(running.result, regrow.NoAnswer)
    assert isinstance(running.result, TimeoutError)
    assert str(running.result) == "agent#1/ask#1: nobody answered within 3600 s"


def test_people_are_reminded_as_often_as_was_asked_for(caplog):
    caplog.set_level(logging.WARNING, "regrow")
    clock = FakeClock()

    @regrow.task
    async def agent() -> bool:
        return await regrow.ask("May I?", remind="1h")

    running = Running(agent, clock=clock)
    ask = running.ask()
    for hours in (1, 2):
        clock.advance(3600)
        wait_until(lambda hours=hours: caplog.text.count("still waits for an answer") == hours)
    regrow.answer(ask.id, True, store=running.store)
    assert running.result is True
    assert caplog.text.count("still waits for an answer") == 2


def test_a_question_that_the_code_gives_up_on_is_closed():
    @regrow.task
    async def agent() -> str:
        try:
            async with asyncio.timeout(0.1):
                await regrow.ask("Quickly?")
        except TimeoutError:
            return "without"
        return "unreachable"

    running = Running(agent)
    assert running.result == "without"
    (row,) = running.store.asks.listed(everything=True)
    assert row.decided == "withdrawn"
    with pytest.raises(regrow.AskClosed, match="does not wait for it any more"):
        regrow.answer(row.id, True, store=running.store)


def test_a_question_of_a_cancelled_run_is_in_nobodys_inbox():
    @regrow.task
    async def agent() -> bool:
        return await regrow.ask("May I?")

    running = Running(agent)
    ask = running.ask()
    running.driver.cancel("me")
    assert isinstance(running.result, regrow.RunCancelled)
    assert regrow.inbox(store=running.store) == []
    with pytest.raises(regrow.AskClosed, match="has ended"):
        regrow.answer(ask.id, True, store=running.store)


@pytest.mark.parametrize("blocking", [False, True])
def test_two_people_must_agree_where_two_are_asked_for(blocking):
    @regrow.task
    async def agent() -> bool:
        return await regrow.ask("May I?", approvals=2, to=["alice", "bob", "carol"])

    @regrow.task
    def synchronous() -> bool:
        return regrow.ask_blocking("May I?", approvals=2, to=["alice", "bob", "carol"])

    running = Running(synchronous if blocking else agent)
    ask = running.ask()
    with pytest.raises(regrow.AskClosed, match="for alice, bob, carol to answer, and not for mallory"):
        regrow.answer(ask.id, True, who="mallory", store=running.store)
    regrow.answer(ask.id, True, who="alice@laptop", store=running.store)
    with pytest.raises(regrow.AskClosed, match="waits for somebody else"):
        regrow.answer(ask.id, True, who="alice@laptop", store=running.store)
    assert running.given == []
    regrow.answer(ask.id, True, who="bob", store=running.store)
    assert running.result is True


def test_arguments_without_a_durable_form_can_be_approved():
    @regrow.step(approve=True)
    async def call(client: Client, amount: int = 3) -> int:
        return amount

    @regrow.task
    async def agent() -> int:
        return await call(Client())

    running = Running(agent)
    ask = running.ask()
    assert [one.title for one in ask.question.evidence] == ["client", "amount"]
    assert ask.question.evidence[1].text == "3"
    regrow.answer(ask.id, True, store=running.store)
    assert running.result == 3


def test_an_approval_is_asked_for_in_the_authors_words_and_of_whom_the_author_names():
    @regrow.step(approve=regrow.Approve(question="Pay it?", to=["ann"]))
    async def pay() -> str:
        return "paid"

    @regrow.task
    async def agent() -> str:
        return await pay()

    running = Running(agent)
    ask = running.ask()
    assert (ask.question.text, ask.question.to) == ("Pay it?", ("ann",))
    regrow.answer(ask.id, True, who="ann", store=running.store)
    assert running.result == "paid"


def test_what_must_be_approved_refuses_to_run_where_nobody_can_be_asked():
    @regrow.step(approve=True)
    def pay() -> None: ...

    @regrow.task
    async def agent() -> None:
        pay()

    with pytest.raises(regrow.NotInRun, match="outside of a run there is nobody to ask"):
        pay()
    running = Running(agent)
    assert isinstance(running.result, regrow.UsageError)
    assert "await pay.aio" in str(running.result)


def test_a_denial_ends_the_tasks_around_it_without_retries():
    bodies = []

    @regrow.step(approve=True)
    async def pay() -> None:
        bodies.append("paid")

    @regrow.task(retries=5, backoff=regrow.Backoff(base=0))
    async def agent() -> None:
        bodies.append("agent")
        await pay()

    running = Running(agent)
    regrow.answer(running.ask().id, False, why="too much", store=running.store)
    assert isinstance(running.result, regrow.Denied)
    assert running.result.why == "too much"
    assert bodies == ["agent"]


@regrow.step
async def note(number: int) -> int:
    return number


@regrow.task
async def asks_beside() -> list[Any]:
    asking = asyncio.create_task(regrow.ask("May I?"))
    await asyncio.sleep(0.05)
    return [await note(1), await note(2), await asking]


def test_a_fork_asks_in_its_own_name():
    running = Running(asks_beside)
    first = running.ask()
    wait_until(lambda: "asks_beside#1/note#2" in running.driver.log.state.calls)
    fork = regrow.fork(first.run, at="asks_beside#1/note#2", key="fork", store=running.store)
    given: list[Any] = []
    thread = threading.Thread(target=lambda: given.append(regrow.run(asks_beside, key="fork", store=running.store)))
    thread.start()
    other = wait_until(lambda: [one for one in regrow.inbox(store=running.store) if one.run == fork])[0]
    assert other.id != first.id
    regrow.answer(other.id, False, store=running.store)
    thread.join(30)
    regrow.answer(first.id, True, store=running.store)
    assert (running.result, given) == ([1, 2, True], [[1, 2, False]])


def test_a_signal_of_another_type_is_consumed_and_said_to_be_wrong():
    @regrow.task
    async def agent() -> list[Any]:
        try:
            await regrow.wait_for("go", int)
        except regrow.UnfitAnswer as unfit:
            return [str(unfit), await regrow.wait_for("go", int)]
        return []

    running = Running(agent)
    regrow.signal(running.driver.run, "go", "x", store=running.store)
    regrow.signal(running.driver.run, "go", 2, store=running.store)
    assert running.result == ["answer: expected `int`, got `str`", 2]


def test_a_signal_that_comes_as_the_code_gives_up_goes_to_the_next_call():
    @regrow.task
    async def agent() -> int:
        for _ in range(50):
            try:
                async with asyncio.timeout(0.05):
                    return await regrow.wait_for("go", int)
            except TimeoutError:
                continue
        return 0

    running = Running(agent)
    wait_until(
        lambda: (
            sum(
                type(one.event).__name__ == "CallCancelled"
                for one in unseal_all(running.driver.run, running.store.read(running.driver.run))
            )
            > 1
        )
    )
    regrow.signal(running.driver.run, "go", 7, store=running.store)
    assert running.result == 7


def test_waiting_for_a_signal_has_an_end_if_one_is_wanted():
    @regrow.task
    async def agent() -> None:
        await regrow.wait_for("go", timeout=0)

    running = Running(agent)
    assert isinstance(running.result, regrow.NoAnswer)
    assert str(running.result) == "agent#1/wait_for#1: no signal 'go' came within 0 s"


def test_a_run_says_which_signals_it_waits_for_while_it_does_and_no_longer():
    @regrow.task
    async def agent() -> str:
        for name in ("in vain", "soon"):
            with contextlib.suppress(regrow.NoAnswer):
                await regrow.wait_for(name, timeout=0.3)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(regrow.wait_for("given up"), 0.3)
        return await regrow.wait_for("last")

    running = Running(agent)
    run = running.driver.run
    expected = running.store.signals.expected
    for name in ("in vain", "soon", "given up", "last"):
        wait_until(lambda name=name: expected(run) == [name])
    row = running.store.get(run)
    assert (row.status, row.waits_for_signal) == ("running", "last")
    regrow.signal(run, "last", "now", store=running.store)
    assert running.result == "now"
    assert expected(run) == []


def test_a_signal_to_no_run_is_refused():
    with pytest.raises(regrow.UnknownRun):
        regrow.signal("nobody", "go", 1, store=MemoryStore())


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"choises": ["a"]}, "did you mean 'choices'"),
        ({"choices": "ab"}, "a list of texts"),
        ({"approvals": 0}, "1 or more"),
        ({"approvals": 2, "answer_type": int}, "must be a bool"),
        ({"default": True}, "write timeout= with it"),
        ({"timeout": "1d", "default": 3}, "must be an answer that fits"),
        ({"timeout": "soon"}, "cannot be read"),
        ({"to": [3]}, "takes a name"),
        ({"webhook": "ftp://x"}, "https://"),
        ({"webhook": 3}, "takes an address"),
        ({"answer_type": object()}, "no form in JSON"),
        ({"choices": ["a"], "answer_type": int}, "no other type than str"),
    ],
)
def test_options_that_cannot_be_are_refused_with_a_sentence(options, what):
    @regrow.task
    async def agent() -> Any:
        return await regrow.ask("What?", **options)

    with pytest.raises(regrow.UsageError, match=what):
        regrow.run(agent, store=MemoryStore())


def test_nothing_can_be_asked_without_a_run_and_nothing_block_an_event_loop():
    async def lost():
        await regrow.ask("May I?")

    with pytest.raises(regrow.NotInRun, match=r"regrow\.ask"):
        asyncio.run(lost())

    @regrow.task
    async def agent() -> None:
        regrow.ask_blocking("May I?")

    with pytest.raises(regrow.UsageError, match=r"await regrow\.ask"):
        regrow.run(agent, store=MemoryStore())


def test_a_store_that_cannot_be_asked_ends_the_run_for_now_and_not_for_ever():
    @regrow.task
    async def agent() -> bool:
        return await regrow.ask("May I?")

    class Flaky(MemoryStore):
        broken = True

        @property
        def asks(self):
            if self.broken:
                raise regrow.StoreUnavailable("the disk is away")
            return super().asks

    store = Flaky()
    with pytest.raises(regrow.StoreUnavailable, match="the disk is away"):
        regrow.run(agent, store=store, key="k")
    store.broken = False
    assert store.runs()[0].outcome is None
    thread = threading.Thread(
        target=lambda: regrow.answer(wait_until(lambda: regrow.inbox(store=store))[0].id, True, store=store)
    )
    thread.start()
    assert regrow.run(agent, store=store, key="k") is True
    thread.join()
    assert host_of(store).store is store


@pytest.mark.parametrize("options", [{"approve": True}, {"on_failure": regrow.AskHuman()}])
def test_a_stream_waits_for_nobody_and_says_what_to_write_instead(options):
    with pytest.raises(regrow.UsageError, match=r"the task that reads it|on its task"):

        @regrow.step(**options)
        async def numbers():
            yield 1
