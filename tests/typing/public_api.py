"""What a type checker must make of users' code. Checked by mypy, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import assert_type

import regrow


@regrow.step
def plain(number: int, *, scale: float = 1.0) -> float:
    return number * scale


@regrow.step(retries=3, backoff=regrow.Backoff(base="1s"))
async def ask(prompt: str) -> list[str]:
    return [prompt]


@regrow.step
async def stream(upto: int) -> AsyncIterator[str]:
    for index in range(upto):
        yield str(index)


@regrow.task
async def agent(question: str, depth: int = 1) -> dict[str, float]:
    return {question: float(depth)}


@regrow.task(name="heavy", cache=regrow.Cache(version=2, max_age="1h", scope="global", ignore=("number",)))
def heavy(number: int) -> str:
    return str(number)


shared = regrow.Environment("shared", retries=2)


@shared.task
async def member(number: int) -> bytes:
    return bytes(number)


async def uses() -> None:
    assert_type(plain(1, scale=2.0), float)
    assert_type(await ask("x"), list[str])
    assert_type(await agent("x"), dict[str, float])
    assert_type(await agent("x", depth=3), dict[str, float])
    assert_type(await heavy.aio(3), str)
    assert_type(await ask.aio("x"), list[str])
    assert_type(await ask.override(retries=1)("x"), list[str])
    assert_type(heavy.override(retries=1)(3), str)
    assert_type(await member(3), bytes)
    assert_type(await regrow.map(heavy, [1, 2]), list[str])
    assert_type(await regrow.map(ask, ["a"], concurrency=2), list[list[str]])
    assert_type(await regrow.map(ask, ["a"], on_error="collect"), list[list[str] | Exception])
    async for chunk in stream(3):
        assert_type(chunk, str)
    handle = await regrow.start(agent, "x")
    assert_type(handle, regrow.Handle)
    assert_type(regrow.current().attempt, int)
    regrow.spent(0.01)
    regrow.spent("0.01", on="tokens")


async def people() -> None:
    assert_type(await regrow.ask("May I?"), bool)
    assert_type(await regrow.ask("May I?", timeout="2d", default=False, approvals=2), bool)
    assert_type(await regrow.ask("How many?", int), int)
    assert_type(await regrow.ask("Which?", choices=["a", "b"]), str)
    assert_type(await regrow.wait_for("go", dict[str, int], timeout=3), dict[str, int])
    regrow.signal("run", "go", 3)
    assert_type(regrow.answer("ask", True), regrow.OpenAsk)
    assert_type(regrow.inbox(), list[regrow.OpenAsk])


def runs() -> None:
    assert_type(regrow.run(agent, "x", key="k"), dict[str, float])
    assert_type(regrow.run(heavy, 3), str)
    runs = regrow.Runs(project="north")
    assert_type(runs.resume("k", agent), dict[str, float])
    assert_type(runs.retry("k", heavy), str)
    assert_type(runs.cancel("k", grace="1m").outcome is None, bool)
    assert_type(runs.pause("k").paused_by, str | None)
    assert_type(runs.list(status="waiting"), Sequence[regrow.RunRow])
    assert_type(runs.get("k").waits_for_signal, str | None)


async def mistakes() -> None:
    plain("one")  # type: ignore[arg-type]
    await ask(3)  # type: ignore[arg-type]
    await agent("x", dept=3)  # type: ignore[call-arg]
    await regrow.map(ask, [1, 2])  # type: ignore[arg-type]


def remembered() -> None:
    memory = regrow.memory("customers/42", source="https://example.com")
    assert_type(memory, regrow.Memory)
    assert_type(memory.messages.append(role="user", content="hello"), int)
    assert_type(memory.kv.set("name", "Ann", expect=1), int)
    assert_type(memory.kv.get("name", of=str), str | None)
    assert_type(memory.kv.get("name", "Stranger", of=str), str)
    assert_type(memory.files.read_text("notes.md"), str)
    assert_type(memory.search("parcel"), list[regrow.SearchHit])
    assert_type(memory.at(3), regrow.MemoryView)
    assert_type(memory.history(), list[regrow.MemoryEntry])
    assert_type(memory.diff(1, 2), regrow.MemoryDiff)
    assert_type(memory.fork("copy"), regrow.Memory)
    assert_type(regrow.retry_on_conflict(lambda: 1), int)
