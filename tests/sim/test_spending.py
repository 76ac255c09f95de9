"""What calls have cost: each paid attempt counts once, in replays, crashes, workers, forks and cache hits."""

from __future__ import annotations

import pytest

import regrow
from regrow.engine.state import fold
from regrow.insight.diff import difference
from regrow.insight.tree import tree_of
from regrow.journal.chain import unseal_all
from regrow.journal.records import CallSucceeded, Spent
from regrow.testing import Crash, CrashingStore

from .lives import ledger, live, note, records_of

CENT = 10**7


@pytest.fixture(autouse=True)
def forget_effects():
    ledger.clear()


@pytest.fixture
def store():
    return CrashingStore()


def costs(store):
    return dict(fold(records_of(store)).costs)


@regrow.step
async def ask_model(question: str) -> str:
    note("ask_model")
    regrow.spent("0.01", on="tokens")
    return question


@regrow.step
def look_up(word: str) -> str:
    regrow.spent(0.02)
    return word


@regrow.task
async def part(question: str) -> str:
    return await ask_model(question)


@regrow.task
async def agent(question: str) -> str:
    first = await part(question)
    regrow.spent(0.04, on="the agent's own machine")
    return first + look_up(question)


def test_what_a_call_has_spent_counts_for_all_calls_around_it(store):
    live(agent, "why?", store=store)
    assert costs(store) == {
        "": 7 * CENT,
        "agent#1": 7 * CENT,
        "agent#1/part#1": CENT,
        "agent#1/part#1/ask_model#1": CENT,
        "agent#1/spent#1": 4 * CENT,
        "agent#1/look_up#1": 2 * CENT,
    }
    (tokens, *_) = [one.event for one in records_of(store) if isinstance(one.event, Spent)]
    assert tokens == Spent("agent#1/part#1/ask_model#1", 1, CENT, "tokens")


def test_a_replay_spends_nothing(store):
    live(agent, "why?", store=store)
    before = store.appended
    assert live(agent, "why?", store=store) == "why?why?"
    assert (store.appended, costs(store)[""]) == (before, 7 * CENT)


def test_in_a_crash_at_any_record_what_was_executed_is_what_was_paid(store):
    live(agent, "why?", store=store)
    points = store.appended
    assert points > 5
    for point in range(points):
        ledger.clear()
        store = CrashingStore()
        store.die_after(point)
        with pytest.raises(Crash):
            live(agent, "why?", store=store)
        store.revive()
        live(agent, "why?", store=store)
        paid = costs(store)["agent#1/part#1/ask_model#1"] // CENT
        lost = ledger["ask_model"] - paid  # a note that the crash took with it
        assert 1 <= paid <= ledger["ask_model"] <= 2
        assert lost in (0, 1)
        assert costs(store)["agent#1/spent#1"] in (4 * CENT, 8 * CENT)  # the latter if only its outcome was lost


def test_each_paid_attempt_counts_whatever_becomes_of_it(store):
    @regrow.step(retries=2)
    async def refused() -> str:
        note("refused")
        regrow.spent(1)
        if ledger["refused"] < 3:
            raise ValueError("again")
        return "done"

    @regrow.task
    async def persistent() -> str:
        return await refused()

    live(persistent, store=store)
    assert costs(store)["persistent#1/refused#1"] == 300 * CENT
    assert [one.event.attempt for one in records_of(store) if isinstance(one.event, Spent)] == [1, 2, 3]


def test_a_task_that_is_tried_again_does_not_pay_again_for_what_is_recorded(store):
    @regrow.task(retries=1)
    async def stumbling() -> str:
        answer = await ask_model("once")
        regrow.spent(1)
        note("stumbling")
        if ledger["stumbling"] == 1:
            raise ValueError("again")
        return answer

    live(stumbling, store=store)
    assert ledger == {"ask_model": 1, "stumbling": 2}
    assert costs(store)[""] == 101 * CENT


def test_a_stream_pays_as_it_goes(store):
    @regrow.step
    async def stream():
        for number in range(3):
            regrow.spent("0.01")
            yield number

    @regrow.task
    async def reader() -> list[int]:
        return [number async for number in stream()]

    assert live(reader, store=store) == [0, 1, 2]
    assert costs(store)["reader#1/stream#1"] == 3 * CENT


def test_a_cache_hit_costs_nothing_and_says_what_it_has_saved(store):
    @regrow.task(cache=regrow.Cache(ignore=("note",)))
    async def shared(question: str) -> str:
        return await part(question)

    @regrow.task
    async def asking() -> str:
        return await shared("why?")

    live(asking, store=store, key="first")
    live(asking, store=store, key="second")
    second, first = (unseal_all(row.id, store.read(row.id)) for row in store.runs())
    assert fold(first).costs[""] == CENT
    assert fold(second).costs[""] == 0
    (hit,) = [one.event.hit for one in second if isinstance(one.event, CallSucceeded) and one.event.hit is not None]
    assert hit.cost == CENT
    assert [row.cost for row in store.cache.rows()] == [CENT]


def test_a_fork_tells_its_own_cost_from_what_it_has_inherited(store):
    live(agent, "why?", store=store, key="a")
    run = store.runs()[0].id
    regrow.fork(run, at="agent#1/look_up#1", key="fork", store=store)
    live(agent, "why?", store=store, key="fork")
    forked = tree_of(records_of(store))
    assert forked.forked is not None
    assert (forked.cost, forked.inherited_cost) == (7 * CENT, 5 * CENT)


def test_two_runs_that_differ_in_what_they_cost_do_not_part_for_that(store):
    prices = {"now": 1}

    @regrow.step
    async def metered() -> str:
        regrow.spent(prices["now"])
        return "same"

    @regrow.task
    async def metering() -> str:
        return await metered()

    live(metering, store=store, key="a")
    prices["now"] = 2
    live(metering, store=store, key="b")
    right, left = (unseal_all(row.id, store.read(row.id)) for row in store.runs())
    found = difference(left, right)
    assert [(one.path, [said.aspect for said in one.differences]) for one in found.calls] == [
        ("metering#1/metered#1", ["cost"])
    ]
    assert found.part_at == ""
    assert (found.left.cost, found.right.cost) == (100 * CENT, 200 * CENT)


def test_nothing_spent_leaves_no_record(store):
    @regrow.task
    async def frugal() -> None:
        regrow.spent(0)

    live(frugal, store=store)
    assert not any(isinstance(one.event, Spent | CallSucceeded) and "spent" in repr(one) for one in records_of(store))


def test_outside_of_a_run_the_functions_are_plain_ones():
    assert look_up("word") == "word"
    regrow.spent(1)


def test_an_amount_that_is_none_or_a_long_story_is_refused():
    with pytest.raises(regrow.UsageError, match=r"regrow.spent\(\) takes US dollars"):
        regrow.spent("a lot")
    with pytest.raises(regrow.UsageError, match="takes up to 200 characters; these are 201"):
        regrow.spent(1, on="x" * 201)


def test_what_it_was_for_hides_secrets(store, monkeypatch):
    monkeypatch.setenv("MODEL_KEY", "sk-very-secret-key")

    @regrow.step
    async def careless() -> None:
        key = regrow.Secret.from_env("MODEL_KEY").reveal()
        regrow.spent(1, on=f"with {key}")

    @regrow.task
    async def paying() -> None:
        await careless()

    live(paying, store=store)
    (spent,) = [one.event for one in records_of(store) if isinstance(one.event, Spent)]
    assert spent.on == "with [secret]"
