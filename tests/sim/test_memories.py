"""Memories inside runs: a replay sees what the run saw and writes nothing, wherever the run had died."""

from __future__ import annotations

import asyncio
import threading

import pytest

import regrow
from regrow.authoring.home import forget, host_of
from regrow.authoring.rehearsal import Rehearsal
from regrow.journal.sqlite_memories import SqliteMemories
from regrow.testing import Crash, CrashingStore

from .lives import divergences, live, outcome, records_of

pytestmark = pytest.mark.sim

memory = regrow.memory("m")


@regrow.step
def remember(text: str) -> int:
    return memory.messages.append(role="user", content=text, source="test")


@regrow.task
async def agent() -> list:
    seen = []
    for number in range(3):
        remember(f"message {number}")
        memory.kv.set("count", number)
        memory.files.write(f"day{number}.txt", f"text {number}")
        seen.append((len(memory.messages), memory.kv.get("count"), memory.files.list()))
    memory.update("count", lambda count: count + 10)
    memory.kv.delete("nothing")
    memory.revert(to=4)
    memory.fork("other", at=3)
    regrow.memory("other").messages.append("in the fork")
    found = [hit.version for hit in memory.search("message", 2)]
    return [seen, memory.kv.get("count"), found, list(regrow.memory("other").messages), memory.version()]


def versions(store, name="m"):
    memories = store.memories
    return [
        (one.version, one.kind, one.key, one.value, one.origin.path, one.base and one.base.version)
        for one in memories.history("default", memories.head("default", name))
    ]


def test_an_agent_that_dies_at_any_record_resumes_with_exactly_the_memory_that_it_had():
    calm = CrashingStore()
    result = live(agent, store=calm)
    for point in range(calm.appended):
        store = CrashingStore()
        store.die_after(point)
        with pytest.raises(Crash):
            live(agent, store=store)
        known = versions(store)
        store.revive()
        assert live(agent, store=store) == result, f"dying after {point} records"
        assert versions(store) == versions(calm), f"dying after {point} records"
        assert versions(store, "other") == versions(calm, "other")
        assert versions(store)[: len(known)] == known
        assert divergences(store) == []


def test_a_replay_appends_nothing(monkeypatch):
    calm = CrashingStore()
    result = live(agent, store=calm)
    store = CrashingStore()
    store.die_after(calm.appended - 1)
    with pytest.raises(Crash):
        live(agent, store=store)
    store.revive()
    before = versions(store)
    monkeypatch.setattr(SqliteMemories, "write", lambda *_, **__: pytest.fail("a replay wrote to a memory"))
    assert live(agent, store=store) == result
    assert versions(store) == before


@pytest.mark.control
def test_without_its_name_a_write_whose_record_was_lost_would_be_made_twice(monkeypatch):
    write = SqliteMemories.write
    monkeypatch.setattr(SqliteMemories, "write", lambda *args, **how: write(*args, **(how | {"once": ""})))
    store = CrashingStore()
    store.die_after(3)
    with pytest.raises(Crash):
        live(agent, store=store)
    store.revive()
    live(agent, store=store)
    assert [kind for _, kind, *_ in versions(store)][:2] == ["message", "message"]


@regrow.step
async def moment() -> None:
    await asyncio.sleep(0)


@regrow.task
async def reader() -> list:
    first = [memory.kv.get("fact"), list(memory.messages), [hit.snippet for hit in memory.search("poison")]]
    await moment()
    return [*first, memory.kv.get("fact")]


def test_a_replay_sees_what_the_run_saw_whatever_was_written_and_quarantined_since():
    store = CrashingStore()
    outside = regrow.memory("m", store=store)
    outside.kv.set("fact", "good")
    bad = regrow.memory("m", store=store, source="evil")
    bad.kv.set("fact", "poison")
    bad.messages.append("poison")
    store.die_after(7)  # the run, its driver and its task; three reads and a search
    with pytest.raises(Crash):
        live(reader, store=store)
    store.revive()
    outside.quarantine(source="evil", reason="injected")
    outside.kv.set("fact", "better")
    assert live(reader, store=store) == ["poison", ["poison"], ["poison", "fact poison"], "better"]


def test_what_is_recorded_of_a_read_does_not_grow_with_what_is_read():
    store = CrashingStore()
    outside = regrow.memory("m", store=store)
    outside.messages.extend(["x" * 10_000] * 50)

    @regrow.task
    def reads() -> int:
        return sum(len(one) for _ in range(3) for one in memory.messages)

    assert live(reads, store=store) == 3 * 50 * 10_000
    read = [record.event for record in records_of(store) if getattr(record.event, "call", None)]
    assert max(len(event.value) for event in read if event.call.kind == "memory") < 100


@regrow.task
def competing() -> list:
    at = memory.version()
    memory.messages.append("first", expect=at)
    told = outcome(lambda: memory.messages.append("second", expect=at))
    return [told[0].__name__, list(memory.messages)]


def test_a_conflict_is_recorded_as_the_code_was_told_it():
    calm = CrashingStore()
    expected = ["Conflict", ["first"]]
    assert live(competing, store=calm) == expected
    for point in range(calm.appended):
        store = CrashingStore()
        store.die_after(point)
        with pytest.raises(Crash):
            live(competing, store=store)
        store.revive()
        assert live(competing, store=store) == expected
        assert len(versions(store)) == 1


@regrow.task
async def crowd(strands: int) -> int:
    def add() -> None:
        memory.update("n", lambda n: n + 1, default=0)

    await asyncio.gather(*(asyncio.to_thread(add) for _ in range(strands)))
    return memory.kv["n"]


def test_threads_that_change_one_document_lose_no_change():
    store = CrashingStore()
    store.die_after(10**9)
    assert live(crowd, 8, store=store) == 8


@regrow.task
async def retrying() -> list:
    async def careful() -> int:
        at = memory.at()
        await moment()
        return memory.kv.set("n", at.kv.get("n", 0) + 1, expect=at.version)

    await asyncio.gather(*(regrow.retry_on_conflict(careful, attempts=20) for _ in range(3)))
    return [memory.kv["n"], memory.version()]


def test_the_retry_helper_reads_again_and_loses_no_write():
    assert live(retrying, store=CrashingStore()) == [3, 3]


def test_a_memory_that_an_unfinished_run_has_read_and_that_is_gone_stops_the_run_and_says_so():
    store = CrashingStore()
    regrow.memory("m", store=store).kv.set("fact", "good")
    store.die_after(5)
    with pytest.raises(Crash):
        live(reader, store=store)
    store.revive()
    store.memories.remove("default", "m")
    with pytest.raises(regrow.Corrupted, match="memory m: version 1 is missing"):
        live(reader, store=store)
    assert store.runs()[0].status == "interrupted"


def test_who_wrote_what_is_known_of_each_entry():
    store = CrashingStore()
    live(agent, store=store)
    entry = regrow.memory("m", store=store).messages.entries()[0]
    run = store.runs()[0].id
    assert (entry.origin.run, entry.origin.step, entry.origin.actor, entry.origin.source) == (
        run,
        "agent#1/remember#1",
        "agent",
        "test",
    )


def test_inside_a_run_a_memory_is_its_runs_and_no_other_stores():
    other = CrashingStore()

    @regrow.task
    def astray() -> int:
        return regrow.memory("m", store=other).version()

    with pytest.raises(regrow.UsageError, match="leave store="):
        live(astray, store=CrashingStore())


def test_threads_of_the_user_reach_the_memory_too():
    @regrow.task
    def own_thread() -> int:
        one = threading.Thread(target=lambda: memory.messages.append("from a thread"))
        one.start()
        one.join()
        return len(memory.messages)

    store = CrashingStore()
    try:
        assert live(own_thread, store=store) == 1
    finally:
        forget(host_of(store))


def test_a_rehearsal_reads_what_the_run_had_read_and_writes_nothing():
    store = CrashingStore()
    store.die_after(10**9)
    live(agent, store=store)
    before = versions(store)
    row, records = store.runs()[0], records_of(store)
    rehearsal = Rehearsal(store, row, records[:-2], entered={"agent#1", "agent#1/remember#1"})
    seen = rehearsal.play(agent, (), {})
    assert (seen.error, seen.outcome, seen.divergences) == (None, "finished", ())
    assert versions(store) == before
