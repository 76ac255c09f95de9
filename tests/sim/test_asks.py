"""Runs that ask people, and die at every place: each question is answered once, and nothing is done twice."""

from __future__ import annotations

import asyncio
import hashlib
import time
from typing import Any, Literal

import msgspec
import pytest

import regrow
from regrow.authoring.driving import drive
from regrow.authoring.home import forget, host_of
from regrow.engine import asks
from regrow.engine.invariants import check_run
from regrow.journal.asks import Answer, NewAsk, Question
from regrow.journal.records import Answered, Asked, SignalTaken
from regrow.testing import Crash, Effects, MortalStore

from .crash_shapes import Book, do
from .lives import outcome

SOMEBODY = "somebody"


class People:
    """What stands between a run and its questions: people who answer at once, and a process that may die on the way."""

    def __init__(self, store: AskedStore, real: Any, says: Any) -> None:
        self._store = store
        self._real = real
        self._says = says

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)

        def call(*args: Any) -> Any:
            self._store.touch()
            done = method(*args)
            if name == "post":
                self._answer(args[0], args[2])
            if name == "refuse":
                self._real.answer(args[1], _said(self._says[args[1]].pop(0)))
            self._store.touch()
            return done

        return call

    def _answer(self, run: str, ask: NewAsk) -> None:
        question = self._real.get(ask.id).question
        if ask.id not in self._says:
            self._says[ask.id] = list(self._store.says(question))
        if self._real.get(ask.id).decided is None and self._says[ask.id]:
            self._real.answer(ask.id, _said(self._says[ask.id].pop(0)))


def _said(value: Any) -> Answer:
    verdict = "value" if not isinstance(value, bool) else "yes" if value else "no"
    return Answer(SOMEBODY, "test", time.time(), msgspec.json.encode(value), verdict)


class AskedStore(MortalStore):
    """A store with people around it. It can die between two of its own statements as well as at a record."""

    def __init__(self, says: Any) -> None:
        super().__init__()
        self.says = says
        self.touches = 0
        self.dies_at_touch = 0
        self._said: dict[str, list[Any]] = {}

    @property
    def asks(self) -> Any:
        return People(self, super().asks, self._said)

    @property
    def signals(self) -> Any:
        return People(self, super().signals, self._said)

    def touch(self) -> None:
        self._be_alive()
        self.touches += 1
        if self.touches == self.dies_at_touch:
            self._dead = True
            self.deaths += 1
            raise Crash("the process has died between two statements")


@regrow.step(approve=True, retries=1)
async def pay(amount: int) -> int:
    Book.effects.note(f"pay {amount}")
    return amount


@regrow.step(approve=regrow.Approve(question="Send it?"))
def send(text: str) -> str:
    Book.effects.note(f"send {text}")
    return text


@regrow.task
async def approved() -> list[Any]:
    return [await do("before"), await pay(1), await send.aio("x"), await do("after")]


@regrow.task
async def denied() -> str:
    try:
        await pay(13)
    except regrow.Denied as no:
        return await do(f"told: {no.who}")
    return "unreachable"


@regrow.task
async def asking() -> list[Any]:
    number = await regrow.ask("How many?", int)
    colour = await regrow.ask("Which?", choices=["red", "blue"])
    return [number, colour, await do(f"{number} {colour}")]


@regrow.task
async def asking_side_by_side() -> list[int]:
    async def one(number: int) -> int:
        return await regrow.ask(f"How many of {number}?", int) + len(await do(f"after {number}"))

    return await asyncio.gather(*(one(number) for number in range(3)))


@regrow.task
async def unfit_at_first() -> int:
    return await regrow.ask("Odd one?", Literal[1, 3])


@regrow.task
async def unanswered() -> list[Any]:
    first = await regrow.ask("Anybody?", timeout=0, default=False)
    try:
        await regrow.ask("Nobody?", timeout=0)
    except regrow.NoAnswer:
        return [first, await do("alone")]
    return ["unreachable"]


@regrow.task
async def listening() -> list[Any]:
    return [await regrow.wait_for("go", int), await do("between"), await regrow.wait_for("go", int)]


@regrow.task
def synchronous() -> list[Any]:
    return [regrow.ask_blocking("How many?", int), regrow.wait_for_blocking("go", int), send("sync")]


@regrow.task(retries=2, backoff=regrow.Backoff(base=0))
async def asked_once_in_two_attempts() -> int:
    number = await regrow.ask("How many?", int)
    if regrow.current().attempt == 1:
        raise ConnectionError("once")
    return number


@regrow.step(retries=1, backoff=regrow.Backoff(base=0), on_failure=regrow.AskHuman())
async def fragile(number: int) -> int:
    Book.effects.note(f"fragile {number} {regrow.current().attempt}")
    if number < 10 or regrow.current().attempt < 4:
        raise LookupError(f"{number} is too small")
    return number


@regrow.task
async def advised_to_try_again() -> list[Any]:
    return [await fragile(10), await do("after")]


@regrow.task
async def given_another_input() -> int:
    return await fragile(3)


@regrow.task
async def given_a_result() -> int:
    return await fragile(4)


@regrow.task
async def advised_to_give_up() -> str:
    try:
        await fragile(5)
    except LookupError as error:
        return await do(f"handed over: {error}")
    return "unreachable"


SAYS = {"How many?": [7], "Which?": ["blue"], "Odd one?": [2, 3], "Anybody?": [], "Nobody?": []}


def says(question: Any) -> list[Any]:
    if question.kind == "remedy":
        inputs = {"3": {"inputs": {"number": 12}}, "4": {"result": 44}, "5": "give up"}
        number = next(one.text for one in question.evidence if one.title == "number")
        return [{"result": "x"}, inputs.get(number, "retry")]
    if question.kind == "approval":
        return ["13" not in question.evidence[0].text]
    return SAYS.get(question.text, [5])


SHAPES = [
    approved, denied, asking, asking_side_by_side, unfit_at_first, unanswered, listening, synchronous,
    asked_once_in_two_attempts, advised_to_try_again, given_another_input, given_a_result, advised_to_give_up,
]  # fmt: skip


def live(shape: Any, store: AskedStore) -> Any:
    try:
        if not store.runs():
            host_of(store)
        return regrow.run(shape, key="k", store=store)
    finally:
        forget(host_of(store))


def life_of(shape: Any, *, touch: int = 0, point: int = 0) -> tuple[Any, AskedStore]:
    """Run a shape to its end, through one death: at a statement about questions, or at a record."""
    store = AskedStore(says)
    Book.effects = effects = Effects()
    store.dies_at_touch = touch
    if point:
        store.die_at(point)
    given = attempt(shape, store)
    if store.deaths:
        store.dies_at_touch = 0
        store.revive()
        effects.died(store)
        given = attempt(shape, store)
    return given, store


def attempt(shape: Any, store: AskedStore) -> Any:
    if "sync" in shape.name or shape is listening:
        _signal(store)
    try:
        return outcome(lambda: live(shape, store))
    except Crash as crash:
        return crash


def _signal(store: AskedStore) -> None:
    """Send what the shape waits for as soon as its run is there."""
    create = store.create

    def created(new: Any) -> Any:
        row = create(new)
        real = MortalStore.signals.fget(store)  # type: ignore[attr-defined]
        if not real.waiting(row.id) and store.runs() and not any(store.read(row.id)):
            for number in (1, 2):
                real.send(row.id, "go", str(number).encode(), SOMEBODY, 1.0)
        return row

    store.create = created  # type: ignore[method-assign]


def ledger(store: AskedStore) -> list[str]:
    run = store.runs()[0].id
    records = store.records(run)
    broken = [f"{one.rule}: {one.text}" for one in check_run(records)]
    return broken + [str(one.event) for one in records if type(one.event).__name__ == "Diverged"]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.promise("P2", "P8")
def test_a_death_at_any_record_or_statement_changes_nothing(shape):
    calm, store = life_of(shape)
    assert not isinstance(calm, Crash)
    assert ledger(store) == []
    effects = dict(Book.effects)
    deaths = [{"touch": touch} for touch in range(1, store.touches + 1)]
    deaths += [{"point": point} for point in range(1, 2 * store.appended + 1)]
    assert len(deaths) > 20
    for death in deaths:
        again, other = life_of(shape, **death)
        assert (again, other.deaths, ledger(other)) == (calm, 1, []), death
        assert dict(Book.effects) == effects, death


def records_of(store: AskedStore, kind: type) -> list[Any]:
    return [record.event for record in store.records(store.runs()[0].id) if isinstance(record.event, kind)]


def test_the_record_says_who_answered_how_when_why_and_to_what():
    _, store = life_of(approved)
    asked, answered = records_of(store, Asked)[0], records_of(store, Answered)[0]
    assert (answered.ask, answered.digest, answered.how) == (asked.ask, asked.digest, "answered")
    assert [(one.who, one.how, one.verdict) for one in answered.said] == [(SOMEBODY, "test", "yes")]
    assert hashlib.sha256(asked.shown).hexdigest() == answered.digest


def test_an_answer_that_does_not_fit_is_recorded_as_refused_and_asked_for_again():
    given, store = life_of(unfit_at_first)
    assert given == 3
    assert [(one.how, one.said[0].value) for one in records_of(store, Answered)] == [
        ("refused", b"2"),
        ("answered", b"3"),
    ]


def test_a_default_is_recorded_as_what_it_is():
    given, store = life_of(unanswered)
    assert given == [False, "alone"]
    assert [(one.how, one.said) for one in records_of(store, Answered)] == [("timed out", ())] * 2


def test_signals_are_given_out_in_the_order_of_their_arrival_and_each_once():
    given, store = life_of(listening)
    assert given == [1, "between", 2]
    assert [one.place for one in records_of(store, SignalTaken)] == [1, 2]


def paid_after_an_edit() -> Effects:
    """Approve a payment of 1, die before it is made, and go on with code that pays 2, which nobody approves."""
    amount = [1]

    @regrow.task
    async def payment() -> str:
        try:
            await pay(amount[0])
        except regrow.Denied:
            return "denied"
        return "paid"

    store = AskedStore(lambda question: [question.evidence[0].text == "1"])
    Book.effects = effects = Effects()
    store.dies_at_touch = 3  # when the answer has come, and nobody has looked at it
    assert isinstance(attempt(payment, store), Crash)
    store.revive()
    amount[0] = 2
    attempt(payment, store)
    return effects


def test_an_approval_for_some_arguments_is_none_for_others():
    assert dict(paid_after_an_edit()) == {}


@pytest.mark.control
def test_ids_that_did_not_follow_from_the_inputs_would_let_an_approval_be_used_for_others(monkeypatch):
    monkeypatch.setattr(asks, "ask_id", lambda *_: "0" * 16)
    assert dict(paid_after_an_edit()) == {"pay 2": 1}


def test_whoever_is_denied_is_told_so_again_on_replay_and_asked_again_on_retry():
    @regrow.task
    async def payment() -> int:
        return await pay(13)

    store = AskedStore(says)
    Book.effects = Effects()
    assert attempt(payment, store)[0] is regrow.Denied
    assert attempt(payment, store)[0] is regrow.Denied  # the run has ended; this is what it ended with
    assert len(records_of(store, Asked)) == 1
    store.says = lambda _: [True]
    run = store.runs()[0].id
    driver = host_of(store).take_up(run, retry_as="me")
    assert drive(host_of(store), driver, payment, (), {}) == 13
    assert len({one.ask for one in records_of(store, Asked)}) == 2
    assert dict(Book.effects) == {"pay 13": 1}


def test_a_person_is_asked_when_no_retries_are_left_and_shown_what_failed_and_the_ways_on():
    given, store = life_of(advised_to_try_again)
    assert given == [10, "after"]
    assert dict(Book.effects)["fragile 10 4"] == 1
    questions = [msgspec.json.decode(one.shown, type=Question) for one in records_of(store, Asked)]
    assert [one.text for one in questions] == ["fragile failed: LookupError: 10 is too small. What is to be done?"] * 2
    shown = {one.title: one.text for one in questions[0].evidence}
    assert "attempt 1: LookupError: 10 is too small" in shown["before"]
    assert '"stop": stop the run' in shown["ways on"]
    assert shown["number"] == "10"


def test_a_person_may_stop_the_run_and_it_can_be_tried_again():
    store = AskedStore(lambda _: ["stop"])
    Book.effects = Effects()
    assert attempt(given_a_result, store)[0] is regrow.RunCancelled
    (row,) = store.runs()
    assert row.outcome == "cancelled"


def test_nobody_who_is_asked_in_vain_for_a_way_on_holds_the_run_up_for_ever():
    @regrow.step(on_failure=regrow.AskHuman(timeout=0))
    async def fails() -> None:
        raise LookupError("x")

    @regrow.task
    async def alone() -> None:
        await fails()

    store = AskedStore(lambda _: [])
    Book.effects = Effects()
    assert attempt(alone, store) == (LookupError, ("x",))
