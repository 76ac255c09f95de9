"""The shared cache in whole runs: what is computed once, who waits, what is recorded, and what happens in a crash."""

from __future__ import annotations

import asyncio
import threading

import pytest

import regrow
from regrow.authoring.driving import drive
from regrow.authoring.home import forget, host_of
from regrow.errors import StoreUnavailable
from regrow.insight.collect import BLOB_GRACE_SECONDS, loose_blobs
from regrow.journal.cache import RETAINED_SECONDS, Artifact
from regrow.journal.chain import unseal_all
from regrow.journal.records import CallFailed, CallSucceeded
from regrow.testing import Crash, CrashingStore, MemoryStore

from .lives import ledger, live, note, survives_every_crash

SETTING = {"factor": 2}


def shared(**more):
    """Give what is said of sharing here: that it makes no difference what is noted."""
    return regrow.Cache(ignore=("note", *more.pop("ignore", ())), **more)


SHARED = shared()


@pytest.fixture(autouse=True)
def forget_effects():
    ledger.clear()


@pytest.fixture
def store():
    return CrashingStore()


def outcomes(store, name, run=None):
    """Give the records of how each call of a name ended, in the newest run unless another is given."""
    run = run or store.runs()[0].id
    ended = [one.event for one in unseal_all(run, store.read(run))]
    return [one for one in ended if isinstance(one, CallSucceeded | CallFailed) and f"/{name}#" in one.call.path]


def warnings(store):
    return [line.text for row in store.runs() for _, line in store.read_logs(row.id) if line.level == "WARNING"]


@regrow.step(cache=SHARED)
async def compute(number: int) -> int:
    note("compute")
    await asyncio.sleep(0.01)
    return number * SETTING["factor"]


@regrow.step(cache=SHARED)
def compute_in_place(number: int) -> int:
    note("compute_in_place")
    return number + 1


@regrow.task(cache=SHARED)
async def work(number: int) -> int:
    note("work")
    return await compute(number) + compute_in_place(number)


@regrow.task
async def agent(number: int) -> int:
    return await work(number) + await compute(number)


def test_what_one_run_has_computed_the_next_one_finds(store):
    assert live(agent, 3, store=store, key="a") == live(agent, 3, store=store, key="b") == 16
    assert ledger == {"work": 1, "compute": 1, "compute_in_place": 1}
    first, second = (row.id for row in reversed(store.runs()))
    (hit,) = outcomes(store, "work", second)
    assert (hit.hit.run, hit.hit.path) == (first, "agent#1/work#1")
    assert outcomes(store, "work", first)[0].hit is None


def test_within_a_run_too_a_second_equal_call_is_a_hit_and_other_inputs_are_not(store):
    @regrow.task
    async def twice() -> list[int]:
        return [await compute(1), await compute(1), await compute(2)]

    assert live(twice, store=store) == [2, 2, 4]
    assert ledger["compute"] == 2
    assert [one.hit is not None for one in outcomes(store, "compute")] == [False, True, False]


def test_a_changed_global_of_a_helper_is_another_computation(store, monkeypatch):
    live(agent, 3, store=store, key="a")
    monkeypatch.setitem(SETTING, "factor", 10)
    assert live(agent, 3, store=store, key="b") == 64
    assert ledger == {"work": 2, "compute": 2, "compute_in_place": 1}


def test_a_replay_answers_a_recorded_hit_from_the_journal_though_the_artifact_is_gone(store):
    live(agent, 3, store=store, key="a")
    store.die_after(4)
    with pytest.raises(Crash):
        live(agent, 3, store=store, key="b")
    assert len(outcomes(store, "work")) == 1
    store.revive()
    store.cache.discard(tuple(row.key for row in store.cache.rows()), now=0.0)
    ledger.clear()
    assert live(agent, 3, store=store, key="b") == 16
    assert ledger == {"compute": 1}  # the second call, which was not recorded when the process died


@regrow.task
async def shares() -> list[int]:
    return [await work(1), *await asyncio.gather(compute(1), compute(2), compute(2)), compute_in_place(1)]


def test_a_crash_at_any_record_of_calls_that_share_repeats_nothing_that_was_recorded():
    assert survives_every_crash(shares, expected=[4, 2, 4, 4, 2]) > 6


def test_calls_at_once_are_executed_once_and_the_others_wait(store):
    @regrow.task
    async def many() -> list[int]:
        return await asyncio.gather(*(compute(7) for _ in range(30)))

    assert live(many, store=store) == [14] * 30
    assert ledger["compute"] == 1


def test_threads_wait_as_well(store):
    begun = threading.Barrier(4)

    @regrow.step(cache=SHARED)
    def slow(number: int) -> int:
        note("slow")
        return number

    @regrow.task
    async def many() -> list[int]:
        def call() -> int:
            begun.wait(10)
            return slow(5)

        return await asyncio.gather(*(asyncio.to_thread(call) for _ in range(4)))

    assert live(many, store=store) == [5] * 4
    assert ledger["slow"] == 1


def test_a_plain_call_on_the_loops_own_thread_does_not_wait_for_one_that_needs_the_loop(store):
    under_way = threading.Event()

    @regrow.step(cache=SHARED)
    def slow(number: int) -> int:
        note("slow")
        under_way.set()
        return number

    @regrow.task
    async def both() -> list[int]:
        other = asyncio.create_task(slow.aio(5))
        await asyncio.sleep(0)
        await asyncio.to_thread(under_way.wait, 10)
        return [slow(5), await other]

    assert live(both, store=store) == [5, 5]


def test_when_the_one_that_computes_fails_the_next_takes_its_place(store):
    attempts = iter(range(9))

    @regrow.step(cache=shared(ignore=("attempts",)))
    async def shaky(attempts: object) -> str:
        note("shaky")
        await asyncio.sleep(0.01)
        if next(attempts) < 2:
            raise ValueError("no")
        return "done"

    @regrow.task
    async def many() -> list[str]:
        found = await asyncio.gather(*(shaky(attempts) for _ in range(6)), return_exceptions=True)
        return sorted(str(one) for one in found)

    assert live(many, store=store) == ["done"] * 4 + ["no"] * 2
    assert ledger["shaky"] == 3


def test_when_the_one_that_computes_is_cancelled_the_next_takes_its_place(store):
    @regrow.step(cache=SHARED)
    async def slow() -> str:
        note("slow")
        await asyncio.sleep(0.1)
        return "done"

    @regrow.task
    async def agent() -> str:
        first = asyncio.create_task(slow())
        await asyncio.sleep(0.02)
        second = asyncio.create_task(slow())
        await asyncio.sleep(0.02)
        first.cancel()
        return await second

    assert live(agent, store=store) == "done"
    assert ledger["slow"] == 2


def test_a_call_inside_the_equal_call_is_executed_and_does_not_wait_for_it(store):
    depth = []

    @regrow.task(cache=shared(key=lambda depth: "always the same"))
    async def nested(depth: int) -> int:
        note("nested")
        return 0 if depth == 3 else 1 + await nested(depth + 1)

    assert live(nested, 0, store=store) == 3
    assert ledger["nested"] == 4
    assert not depth


def test_two_that_want_each_others_results_do_not_wait_for_ever(store):
    @regrow.step(cache=SHARED)
    async def left(turn: int) -> str:
        await asyncio.sleep(0.02)
        return "l" if turn else "l" + await right(1)

    @regrow.step(cache=SHARED)
    async def right(turn: int) -> str:
        await asyncio.sleep(0.02)
        return "r" if turn else "r" + await left(1)

    @regrow.step(cache=shared(key=lambda other: "one"))
    async def one(other: bool) -> str:
        await asyncio.sleep(0.02)
        return "1" + (await two(other=False) if other else "")

    @regrow.step(cache=shared(key=lambda other: "two"))
    async def two(other: bool) -> str:
        await asyncio.sleep(0.02)
        return "2" + (await one(other=False) if other else "")

    @regrow.task
    async def agent() -> list[str]:
        return await asyncio.wait_for(asyncio.gather(left(0), right(0), one(other=True), two(other=True)), 20)

    assert live(agent, store=store)[:2] == ["lr", "rl"]


def test_a_failure_is_shared_only_if_that_is_asked_for(store):
    def failing(failures):
        @regrow.step(cache=shared(failures=failures))
        async def refuse(number: int) -> None:
            note(f"refuse {failures}")
            raise LookupError(number)

        @regrow.task
        async def agent() -> None:
            await refuse(1)

        return agent

    for failures in (False, True):
        for key in "ab":
            with pytest.raises(LookupError):
                live(failing(failures), store=store, key=f"{key}{failures}")
    assert ledger == {"refuse False": 2, "refuse True": 1}
    (told,) = outcomes(store, "refuse")
    assert isinstance(told, CallFailed)
    assert told.hit is not None


def test_who_retries_a_run_is_not_told_of_the_shared_failure_again(store):
    answers = []

    @regrow.step(cache=shared(failures=True, ignore=("answers",)))
    async def look_up() -> str:
        note("look_up")
        if not answers:
            raise LookupError("nothing yet")
        return answers[0]

    @regrow.task
    async def agent() -> str:
        return await look_up()

    with pytest.raises(LookupError):
        live(agent, store=store)
    answers.append("found")
    driver = host_of(store).take_up(store.runs()[0].id, retry_as="ann@host")
    assert drive(host_of(store), driver, agent, (), {}) == "found"
    assert ledger["look_up"] == 2


def test_what_went_wrong_with_a_machine_is_never_shared(store):
    @regrow.step(cache=shared(failures=True))
    async def call_out() -> None:
        note("call_out")
        raise ConnectionError("no line")

    @regrow.task
    async def agent() -> None:
        await call_out()

    for key in "ab":
        with pytest.raises(ConnectionError):
            live(agent, store=store, key=key)
    assert ledger["call_out"] == 2


def test_what_a_fallback_gave_is_not_the_functions_own_result(store):
    @regrow.task
    async def plain() -> str:
        return "plain"

    @regrow.step(cache=SHARED, on_failure=lambda _: regrow.Fallback(plain))
    async def fancy() -> str:
        note("fancy")
        raise ValueError("not today")

    @regrow.task
    async def agent() -> str:
        return await fancy()

    assert [live(agent, store=store, key=key) for key in "ab"] == ["plain", "plain"]
    assert ledger["fancy"] == 2


@pytest.mark.parametrize("scope", ["run", "project", "global"])
def test_it_is_shared_as_widely_as_was_said(store, scope):
    @regrow.step(cache=shared(scope=scope))
    async def spread() -> int:
        note("spread")
        return 1

    @regrow.task
    async def agent() -> int:
        return await spread() + await spread()

    for key, project in (("a", "p"), ("b", "p"), ("c", "q")):
        regrow.run(agent, key=key, project=project, store=store)
    assert ledger["spread"] == {"run": 3, "project": 2, "global": 1}[scope]


def test_another_version_is_another_computation(store):
    for version in (1, 2, 2):
        live(agent_with(compute.override(cache=shared(version=version))), store=store, key=f"{len(store.runs())}")
    assert ledger["compute"] == 2


def agent_with(step):
    @regrow.task
    async def agent() -> int:
        return await step(3)

    return agent


def test_what_is_ignored_makes_no_difference_and_a_client_need_not_be_storable(store):
    @regrow.step(cache=shared(ignore=("client",)))
    async def ask(question: str, client: object) -> str:
        note("ask")
        return question

    @regrow.task
    async def agent() -> list[str]:
        return [await ask("a", object()), await ask("a", threading.Lock()), await ask("b", None)]

    assert live(agent, store=store) == ["a", "a", "b"]
    assert ledger["ask"] == 2


def test_an_input_that_nothing_can_be_said_of_is_not_shared_and_the_log_says_what_to_do(store):
    @regrow.step(cache=SHARED)
    async def ask(client: object) -> str:
        note("ask")
        return "answer"

    @regrow.task
    async def agent() -> list[str]:
        return [await ask(threading.Lock()), await ask(threading.Lock())]

    live(agent, store=store)
    assert ledger["ask"] == 2
    (said,) = warnings(store)
    assert "executed without the cache" in said
    assert "Cache(ignore=…)" in said


def test_a_function_that_changes_what_it_depends_on_is_not_shared_and_the_log_says_so(store):
    seen = []

    @regrow.step(cache=True)
    async def collect(number: int) -> int:
        seen.append(number)
        return number

    @regrow.task
    async def agent() -> None:
        await collect(1)
        await collect(1)

    live(agent, store=store)
    assert seen == [1, 1]
    (said,) = warnings(store)
    assert "has changed while it ran" in said


def test_what_is_too_old_is_computed_again():
    now = [1_700_000_000.0]
    store = MemoryStore(lambda: now[0])
    step = compute.override(cache=shared(max_age="1h"))
    from regrow.authoring import home
    from regrow.engine.host import Host

    host = Host(store, home._executor, home._ladder, lambda: now[0])
    home._hosts_of_objects[id(store)] = host
    for later in (0.0, 3599.0, 2.0):
        now[0] += later
        live(agent_with(step), store=store, key=f"{later}")
    assert ledger["compute"] == 2


def test_a_store_whose_cache_is_broken_fails_no_run(store, monkeypatch):
    def broken(*args, **kwargs):
        raise StoreUnavailable("no room")

    for name in ("look_up", "put", "land"):
        monkeypatch.setattr(type(store.cache), name, broken)
    assert live(agent, 3, store=store) == 16
    assert [said.partition(": ")[2] for said in warnings(store)] == [
        "the cache cannot be used, and calls are executed: no room"
    ]


def large_agent():
    @regrow.step(cache=SHARED)
    async def large() -> bytes:
        note("large")
        return b"x" * 100_000

    @regrow.task
    async def agent() -> int:
        return len(await large())

    return agent


def test_a_damaged_blob_is_a_miss_that_is_said_once_and_mended(store):
    live(large_agent(), store=store, key="a")
    (row,) = store.cache.rows()
    (digest,) = row.blobs
    store.blobs._content[digest] = b"damaged"
    assert live(large_agent(), store=store, key="b") == 100_000
    assert live(large_agent(), store=store, key="c") == 100_000
    assert ledger["large"] == 2
    (said,) = warnings(store)
    assert "cannot be read, and is computed again" in said


def test_an_artifact_that_cannot_be_decoded_is_a_miss_and_replaced(store):
    live(agent_with(compute), store=store, key="a")
    (row,) = store.cache.rows()
    good = store.cache.artifact(row.key)
    store.cache.put(Artifact(row.key, row.ref, good.origin, value=b"\xff"), 0, run=row.run, project=row.project)
    assert live(agent_with(compute), store=store, key="b") == 6
    assert store.cache.artifact(row.key).value == good.value
    assert ledger["compute"] == 2


def test_blobs_that_only_the_cache_needs_are_no_rubbish_and_those_of_a_hit_belong_to_the_run(store):
    live(large_agent(), store=store, key="a")
    first = store.runs()[0].id
    (digest,) = store.referenced_blobs(first)
    store.delete(first)
    late = store.cache.rows()[0].computed + BLOB_GRACE_SECONDS + RETAINED_SECONDS + 1
    assert list(loose_blobs(store, now=late)) == []
    live(large_agent(), store=store, key="b")
    assert ledger["large"] == 1
    store.cache.discard((store.cache.rows()[0].key,), now=0.0)
    assert store.referenced_blobs(store.runs()[0].id) == {digest}
    assert list(loose_blobs(store, now=late)) == []


def test_cache_hits_and_replay_hits_are_counted_apart(store):
    live(agent, 3, store=store, key="a")
    store.die_after(4)
    with pytest.raises(Crash):
        live(agent, 3, store=store, key="b")
    store.revive()
    host = host_of(store)
    tallies = []
    take_up = host.take_up

    def watched(*args, **kwargs):
        driver = take_up(*args, **kwargs)
        tallies.append(driver.tally)
        return driver

    host.take_up = watched
    try:
        regrow.run(agent, 3, key="b", store=store)
    finally:
        forget(host)
    (tally,) = tallies
    assert (tally.executed, tally.replayed, tally.cached) == (1, 1, 1)
    assert tally.cached_seconds > 0.0


def test_outside_a_run_it_is_the_plain_function():
    assert asyncio.run(compute(3)) == 6
    assert compute_in_place(1) == 2
    assert ledger == {"compute": 1, "compute_in_place": 1}
