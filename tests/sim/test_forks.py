"""Forks: what was recorded up to a call is kept, perhaps with another result; from there on the fork is live."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

import regrow
from regrow.authoring.driving import drive
from regrow.authoring.home import forget, host_of
from regrow.authoring.opening import open_run
from regrow.engine.forking import paths_of, plan_fork
from regrow.engine.invariants import check_run
from regrow.engine.state import fold
from regrow.journal.chain import unseal_all
from regrow.journal.records import Answered, Asked, CallStarted, RunForked
from regrow.testing import Crash, CrashingStore, MemoryStore

ledger: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def fresh_ledger():
    ledger.clear()


@regrow.step
async def count(place: int, so_far: int) -> int:
    ledger[f"count {place}"] += 1
    return so_far + 1


@regrow.task
async def long(places: int = 500) -> int:
    so_far = 0
    for place in range(1, places + 1):
        so_far = await count(place, so_far)
    return so_far


@regrow.step
async def look(what: str) -> str:
    ledger[f"look {what}"] += 1
    return what.upper()


@regrow.step
async def dig(what: str) -> str:
    ledger[f"dig {what}"] += 1
    if what == "DOOMED":
        raise ValueError(what)
    return f"dug {what}"


@regrow.task
async def inner(what: str) -> str:
    return await dig(await look(what))


@regrow.task
async def agent(first: str, second: str = "b") -> list[str]:
    return [await inner(first), *await asyncio.gather(look(second), inner(second))]


def begun(store: MemoryStore, task, *args) -> str:
    regrow.run(task, *args, key="original", store=store)
    ledger.clear()
    return store.by_key("default", "original").id


def records_of(store, run):
    return unseal_all(run, store.read(run))


def test_a_fork_in_the_middle_with_one_result_replaced_executes_exactly_the_rest() -> None:
    store = MemoryStore()
    run = begun(store, long)
    fork = regrow.fork(run, replace={"count#250": 1000}, key="fork", store=store)
    assert regrow.run(long, key="fork", store=store) == 1250
    assert ledger == {f"count {place}": 1 for place in range(251, 501)}
    assert check_run(records_of(store, fork)) == []


def test_a_fork_at_a_call_makes_that_call_afresh() -> None:
    store = MemoryStore()
    run = begun(store, long, 6)
    regrow.fork(run, at="count#5", key="fork", store=store)
    assert regrow.run(long, 6, key="fork", store=store) == 6
    assert ledger == {"count 5": 1, "count 6": 1}


def test_an_earlier_result_may_be_replaced_and_what_no_longer_fits_is_made_afresh() -> None:
    store = MemoryStore()
    run = begun(store, long, 6)
    fork = regrow.fork(run, at="count#5", replace={"count#2": 10}, key="fork", store=store)
    assert regrow.run(long, 6, key="fork", store=store) == 14
    assert ledger == {f"count {place}": 1 for place in (3, 4, 5, 6)}
    assert any("other inputs" in one.reason for one in state_of(store, fork).divergences)


def state_of(store, run):
    return fold(records_of(store, run))


def test_the_original_is_left_as_it_was() -> None:
    store = MemoryStore()
    run = begun(store, long, 6)
    before = store.read(run)
    regrow.fork(run, replace={"count#3": 30}, key="fork", store=store)
    regrow.run(long, 6, key="fork", store=store)
    assert store.read(run) == before
    assert regrow.run(long, 6, key="original", store=store) == 6


def test_a_call_inside_a_task_can_be_replaced_and_the_task_goes_on_from_there() -> None:
    store = MemoryStore()
    run = begun(store, agent, "a")
    regrow.fork(run, replace={"inner#1/look#1": "GOLD"}, key="fork", store=store)
    assert regrow.run(agent, "a", key="fork", store=store) == ["dug GOLD", "B", "dug B"]
    assert ledger == {"dig GOLD": 1, "look b": 2, "dig B": 1}


def test_a_failed_call_can_be_given_a_result_and_the_run_goes_on() -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match="DOOMED"):
        regrow.run(agent, "doomed", key="original", store=store)
    ledger.clear()
    run = store.by_key("default", "original").id
    regrow.fork(run, replace={"dig#1": "dug by hand"}, key="fork", store=store)
    assert regrow.run(agent, "doomed", key="fork", store=store) == ["dug by hand", "B", "dug B"]
    assert "look doomed" not in ledger


def test_a_fork_of_a_retried_run_keeps_what_the_retry_had_kept() -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match="DOOMED"):
        regrow.run(agent, "doomed", key="original", store=store)
    run = store.by_key("default", "original").id
    with pytest.raises(ValueError, match="DOOMED"):
        retried(store, run)
    ledger.clear()
    fork = regrow.fork(run, at="dig#1", key="fork", store=store)
    with pytest.raises(ValueError, match="DOOMED"):
        regrow.run(agent, "doomed", key="fork", store=store)
    assert ledger == {"dig DOOMED": 1}
    assert check_run(records_of(store, fork)) == []


def retried(store, run):
    host = host_of(store)
    driver = host.take_up(run, retry_as="test")
    return drive(host, driver, agent, ("doomed",), {})


def test_forks_of_forks_remember_their_parents() -> None:
    store = MemoryStore()
    run = begun(store, long, 6)
    first = regrow.fork(run, at="count#5", key="first", store=store)
    regrow.run(long, 6, key="first", store=store)
    second = regrow.fork(first, at="count#3", key="second", store=store)
    event = records_of(store, second)[1].event
    assert isinstance(event, RunForked)
    assert (event.run, event.at) == (first, "long#1/count#3")
    assert records_of(store, second)[0].event.parent == first
    ledger.clear()
    assert regrow.run(long, 6, key="second", store=store) == 6
    assert ledger == {f"count {place}": 1 for place in (3, 4, 5, 6)}


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_fork_is_sound_wherever_it_is_made(cut: int) -> None:
    store = MemoryStore()
    run = begun(store, agent, "a")
    expected = regrow.run(agent, "a", key="original", store=store)
    paths = list(paths_of(records_of(store, run)))
    fork = regrow.fork(run, at=paths[cut], key="fork", store=store)
    assert regrow.run(agent, "a", key="fork", store=store) == expected
    records = records_of(store, fork)
    assert check_run(records) == []
    assert state_of(store, fork).divergences == []


def test_what_a_fork_needs_stays_when_the_original_is_deleted() -> None:
    store = MemoryStore()

    @regrow.step
    async def large() -> bytes:
        return b"x" * 200_000

    @regrow.task
    async def heavy() -> int:
        return len(await large()) + len(await look("a"))

    regrow.run(heavy, key="original", store=store)
    run = store.by_key("default", "original").id
    fork = regrow.fork(run, at="look#1", key="fork", store=store)
    store.delete(run)
    assert store.referenced_blobs() == store.referenced_blobs(fork) != frozenset()
    assert regrow.run(heavy, key="fork", store=store) == 200_001


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"at": "nothing#1"}, "no call 'nothing#1' is recorded"),
        ({"at": "look#1"}, "fits 3 calls"),
        ({"at": "inner#1/look#1", "replace": {"dig#1": 1}}, r"fits 2 calls"),
        ({"at": "inner#1/look#1", "replace": {"inner#2": "x"}}, "comes after"),
        ({}, "needs at="),
    ],
)
def test_a_fork_that_cannot_be_is_refused_and_leaves_nothing(how, said) -> None:
    store = MemoryStore()
    run = begun(store, agent, "a")
    with pytest.raises(regrow.UsageError, match=said):
        regrow.fork(run, store=store, **how)
    assert len(store.runs()) == 1


def test_a_key_that_is_taken_is_refused() -> None:
    store = MemoryStore()
    run = begun(store, long, 6)
    with pytest.raises(regrow.KeyConflict, match="'original' is that of run"):
        regrow.fork(run, at="count#2", key="original", store=store)


def test_a_fork_may_run_under_changed_code() -> None:
    store = MemoryStore()
    bonus = [0]

    @regrow.task
    async def scored(places: int) -> int:
        so_far = 0
        for place in range(1, places + 1):
            so_far = await count(place, so_far)
        if bonus[0]:
            so_far = await count(99, so_far)
        return so_far

    regrow.run(scored, 4, key="original", store=store)
    ledger.clear()
    bonus[0] = 1
    regrow.fork(store.by_key("default", "original").id, at="count#4", key="fork", store=store)
    assert regrow.run(scored, 4, key="fork", store=store) == 5
    assert ledger == {"count 4": 1, "count 99": 1}


def test_a_fork_is_found_by_its_key_and_refuses_other_inputs() -> None:
    store = MemoryStore()
    run = begun(store, long, 6)
    regrow.fork(run, at="count#2", key="fork", store=store)
    with pytest.raises(regrow.KeyConflict, match="with other inputs"):
        open_run(host_of(store), long, (7,), {}, key="fork")


@regrow.task
async def remembering(places: int = 4) -> list[str]:
    memory = regrow.memory("customers/42")
    for place in range(places):
        await look(str(place))
        memory.messages.append(f"seen {place}")
    return list(memory.messages)


def test_a_forks_memory_is_as_it_was_at_that_point_and_its_own_from_there_on() -> None:
    store = MemoryStore()
    run = begun(store, remembering)
    outside = regrow.memory("customers/42", store=store)
    outside.messages.append("later, from elsewhere")
    before = outside.version()
    regrow.fork(run, at="look#3", key="fork", store=store)
    assert regrow.run(remembering, key="fork", store=store) == [f"seen {place}" for place in range(4)]
    assert ledger == {"look 2": 1, "look 3": 1}
    assert outside.version() == before, "the fork has written into the original's memory"


def test_a_fork_of_a_fork_goes_on_from_the_forks_memory() -> None:
    store = MemoryStore()
    run = begun(store, remembering)
    first = regrow.fork(run, at="look#2", replace={"look#1": "other"}, key="first", store=store)
    regrow.run(remembering, key="first", store=store)
    regrow.fork(first, at="look#4", key="second", store=store)
    assert regrow.run(remembering, key="second", store=store) == [f"seen {place}" for place in range(4)]
    own = regrow.memory(f"customers/42~{first[-8:]}", store=store)
    assert {entry.origin.run for entry in own.messages.entries()} == {run, first}


def test_a_memory_that_nobody_had_written_by_then_begins_empty() -> None:
    store = MemoryStore()
    run = begun(store, remembering)
    regrow.fork(run, at="look#1", key="fork", store=store)
    assert regrow.run(remembering, key="fork", store=store) == [f"seen {place}" for place in range(4)]


@regrow.task
async def asking() -> str:
    before = await look("a")
    if await regrow.ask("go on?", timeout="1s", default=True):
        return f"{before} {await dig('b')}"
    return f"{before} and no further"


def test_a_fork_at_a_question_asks_it_again_as_its_own() -> None:
    store = MemoryStore()
    regrow.run(asking, key="original", store=store)
    run = store.by_key("default", "original").id
    fork = regrow.fork(run, at="ask#1", store=store)
    assert not any(isinstance(one.event, Asked | Answered) for one in records_of(store, fork))
    assert not any(row.run == fork for row in store.asks.listed(everything=True))


def test_an_answer_can_be_replaced_and_nobody_is_asked() -> None:
    store = MemoryStore()
    regrow.run(asking, key="original", store=store)
    run = store.by_key("default", "original").id
    fork = regrow.fork(run, replace={"ask#1": False}, key="fork", store=store)
    assert regrow.run(asking, key="fork", store=store) == "A and no further"
    assert not any(row.run == fork for row in store.asks.listed(everything=True))
    assert check_run(records_of(store, fork)) == []


def test_what_is_recorded_of_a_memory_is_no_result_that_could_be_replaced() -> None:
    @regrow.task
    async def remembering() -> int:
        regrow.memory("m").kv.set("a", 1)
        return 1

    store = MemoryStore()
    run = begun(store, remembering)
    with pytest.raises(regrow.UsageError, match="no value"):
        regrow.fork(run, replace={"memory.set#1": 3}, store=store)


@regrow.task
async def saving(places: int = 3) -> str:
    progress = regrow.checkpoint()
    place, held = progress.load((0, b""))
    begun_at = place
    for each in range(place, places):
        await look(f"{each}")
        progress.save((each + 1, bytes([each]) * 5000))
    return f"from {begun_at}, {len(held)}"


@pytest.mark.parametrize("collected", [True, False])
def test_a_fork_goes_on_from_the_checkpoint_of_that_moment_if_it_is_still_there(collected) -> None:
    store = MemoryStore()
    run = begun(store, saving)
    held = store.referenced_blobs()
    assert held == frozenset(), "a task that has succeeded lets go of what it had saved"
    if collected:
        for digest, _, _ in list(store.blobs.digests()):
            store.blobs.delete(digest)
    fork = regrow.fork(run, at="look#3", key="fork", store=store)
    assert len(store.referenced_blobs(fork)) == (0 if collected else 1)
    assert regrow.run(saving, key="fork", store=store) == ("from 0, 0" if collected else "from 2, 5000")
    assert ledger == {"look 2": 1}
    assert check_run(records_of(store, fork)) == []


def test_a_once_only_call_that_was_under_way_is_made_by_the_fork_and_not_in_doubt() -> None:
    looked = asyncio.Event()

    @regrow.step(once=True)
    async def pay() -> str:
        ledger["pay"] += 1
        await looked.wait()
        return "paid"

    @regrow.task
    async def shop() -> list[str]:
        async def other() -> str:
            seen = await look("a")
            looked.set()
            return seen

        return await asyncio.gather(pay(), other())

    store = MemoryStore()
    run = begun(store, shop)
    regrow.fork(run, at="look#1", key="fork", store=store)
    assert regrow.run(shop, key="fork", store=store) == ["paid", "A"]
    assert ledger == {"pay": 1, "look a": 1}


def test_a_once_only_call_whose_outcome_nobody_knows_is_in_doubt_in_the_fork_too() -> None:
    store = CrashingStore()

    @regrow.step(once=True)
    async def pay() -> str:
        store.die_after(0)
        return "paid"

    @regrow.task
    async def shop() -> str:
        return await look("a") + await pay()

    with pytest.raises(Crash):
        regrow.run(shop, key="original", store=store)
    forget(host_of(store))
    store.revive()
    regrow.fork("original", replace={"look#1": "B"}, key="fork", store=store)
    fork = store.by_key("default", "fork").id
    assert not any(isinstance(one.event, CallStarted) and one.event.once for one in records_of(store, fork))
    whole = plan_fork(records_of(store, store.by_key("default", "original").id), "other", key=None)
    assert any(isinstance(one.event, CallStarted) and one.event.once for one in whole.copied)


def test_the_first_of_its_name_may_be_named_without_its_number() -> None:
    store = MemoryStore()
    run = begun(store, agent, "a")
    regrow.fork(run, replace={"inner#1/look": "GOLD"}, key="fork", store=store)
    assert regrow.run(agent, "a", key="fork", store=store)[0] == "dug GOLD"
