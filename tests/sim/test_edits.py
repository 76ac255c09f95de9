"""Code that was edited between crash and resume: what still fits is replayed, what does not is seen and named (P5)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import regrow
from regrow.testing import Crash, CrashingStore

from .lives import divergences, ledger, live, note

pytestmark = pytest.mark.promise("P5")

Body = Callable[[], Awaitable[list[int]]]


@regrow.step
async def a(value: int) -> int:
    note(f"a({value})")
    return value


@regrow.step
async def b(value: int) -> int:
    note(f"b({value})")
    return value


@regrow.step
async def c(value: int) -> int:
    note(f"c({value})")
    return value


code: list[Body] = []


@regrow.task
async def agent() -> list[int]:
    return await code[0]()


def crash_then_edit(
    before: Body, after: Body, *, survive: int = 6, strict: bool = False
) -> tuple[list[int], list[str]]:
    """Die after three recorded steps under the one code, and resume under the other."""
    store = CrashingStore()
    store.die_after(survive)
    code[:] = [before]
    with pytest.raises(Crash):
        live(agent, store=store)
    store.revive()
    ledger.clear()
    code[:] = [after]
    result = live(agent, store=store, strict=strict)
    return result, divergences(store)


async def original() -> list[int]:
    return [await a(1), await b(2), await a(3), await c(4), await c(5)]


def test_the_same_code_replays_what_is_recorded_and_goes_on() -> None:
    result, parted = crash_then_edit(original, original)
    assert result == [1, 2, 3, 4, 5]
    assert ledger == {"c(4)": 1, "c(5)": 1}
    assert parted == []


def test_a_step_added_in_between_is_executed_and_nothing_else_is_repeated() -> None:
    async def edited() -> list[int]:
        return [await a(1), await c(9), await b(2), await a(3), await c(4), await c(5)]

    result, parted = crash_then_edit(original, edited)
    assert result == [1, 9, 2, 3, 4, 5]
    assert ledger == {"c(9)": 1, "c(4)": 1, "c(5)": 1}
    assert len(parted) == 1
    assert "agent#1/c#1" in parted[0]


def test_another_call_of_the_same_name_added_in_front_shifts_nothing() -> None:
    async def edited() -> list[int]:
        return [await a(0), await a(1), await b(2), await a(3), await c(4), await c(5)]

    result, parted = crash_then_edit(original, edited)
    assert result == [0, 1, 2, 3, 4, 5]
    assert ledger == {"a(0)": 1, "c(4)": 1, "c(5)": 1}
    assert len(parted) == 1


def test_a_removed_step_is_named_when_the_run_ends() -> None:
    async def edited() -> list[int]:
        return [await a(1), await a(3), await c(4), await c(5)]

    result, parted = crash_then_edit(original, edited)
    assert result == [1, 3, 4, 5]
    assert ledger == {"c(4)": 1, "c(5)": 1}
    assert len(parted) == 1
    assert "agent#1/b#1" in parted[0]


def test_reordered_steps_keep_their_results() -> None:
    async def edited() -> list[int]:
        return [await b(2), await a(3), await a(1), await c(4), await c(5)]

    result, parted = crash_then_edit(original, edited)
    assert result == [2, 3, 1, 4, 5]
    assert ledger == {"c(4)": 1, "c(5)": 1}
    assert parted == []


def test_a_renamed_step_is_executed_afresh_and_named() -> None:
    async def edited() -> list[int]:
        return [await a(1), await c(2), await a(3), await c(4), await c(5)]

    result, parted = crash_then_edit(original, edited)
    assert result == [1, 2, 3, 4, 5]
    assert ledger == {"c(2)": 1, "c(4)": 1, "c(5)": 1}
    assert any("agent#1/c#1" in one for one in parted)
    assert any("agent#1/b#1" in one for one in parted)


def test_a_changed_argument_is_executed_afresh_and_named_never_guessed() -> None:
    async def edited() -> list[int]:
        return [await a(1), await b(20), await a(3), await c(4), await c(5)]

    result, parted = crash_then_edit(original, edited)
    assert result == [1, 20, 3, 4, 5]
    assert ledger == {"b(20)": 1, "c(4)": 1, "c(5)": 1}
    assert any("agent#1/b#1" in one and "other inputs" in one for one in parted)


def test_what_was_executed_afresh_is_found_again_at_the_next_resume() -> None:
    async def edited() -> list[int]:
        return [await a(1), await b(20), await a(3), await c(4), await c(5)]

    store = CrashingStore()
    store.die_after(6)
    code[:] = [original]
    with pytest.raises(Crash):
        live(agent, store=store)
    store.revive()
    code[:] = [edited]
    store.die_after(4)
    with pytest.raises(Crash):
        live(agent, store=store)
    store.revive()
    ledger.clear()
    assert live(agent, store=store) == [1, 20, 3, 4, 5]
    assert "b(20)" not in ledger


@pytest.mark.parametrize("which", ["added", "renamed", "changed", "removed"])
def test_strict_raises_before_any_effect(which: str) -> None:
    async def added() -> list[int]:
        return [await a(1), await c(9), await b(2), await a(3)]

    async def renamed() -> list[int]:
        return [await a(1), await c(2), await a(3)]

    async def changed() -> list[int]:
        return [await a(1), await b(20), await a(3)]

    async def removed() -> list[int]:
        return [await a(1), await a(3)]

    edited = {"added": added, "renamed": renamed, "changed": changed, "removed": removed}[which]
    with pytest.raises(regrow.Divergence) as parted:
        crash_then_edit(original, edited, strict=True)
    assert parted.value.path.startswith("agent#1/")
    assert not ledger


def test_strict_has_nothing_to_say_about_unedited_concurrent_code() -> None:
    async def concurrent() -> list[int]:
        return list(await asyncio.gather(*(one(value) for value in range(4) for one in (a, b))))

    for survive in range(2, 12):
        result, parted = crash_then_edit(concurrent, concurrent, survive=survive, strict=True)
        assert result == [0, 0, 1, 1, 2, 2, 3, 3]
        assert parted == []


def test_code_that_swallows_a_strict_divergence_does_not_go_on_all_the_same() -> None:
    async def edited() -> list[int]:
        try:
            await a(1)
            await b(20)
        except Exception:
            pass
        return [await c(7)]

    with pytest.raises(regrow.Divergence):
        crash_then_edit(original, edited, strict=True)
    assert not ledger


def test_strict_sees_a_removal_before_what_comes_after_it_has_any_effect() -> None:
    async def edited() -> list[int]:
        return [await a(1), await a(3), await c(9), await c(10)]

    with pytest.raises(regrow.Divergence) as parted:
        crash_then_edit(original, edited, strict=True)
    assert parted.value.path == "agent#1/b#1"
    assert not ledger


def test_strict_lets_calls_be_made_in_one_order_and_awaited_in_another() -> None:
    async def crossed() -> list[int]:
        first, second = a(1), b(2)
        try:
            return [await second, await first, await c(3)]
        finally:
            first.close()  # type: ignore[attr-defined]  # it may not have come to that

    for survive in range(3, 6):
        result, parted = crash_then_edit(crossed, crossed, survive=survive, strict=True)
        assert result == [2, 1, 3]
        assert parted == []


def test_a_failure_that_raced_with_calls_beside_it_is_no_divergence() -> None:
    others: list[int] = []

    @regrow.step
    async def item(number: int) -> int:
        if number == 0:
            while len(others) < 19:  # noqa: ASYNC110 - a turn of the loop at a time
                await asyncio.sleep(0)
            raise ConnectionError("slowly")
        others.append(number)
        return number

    async def mapped() -> list[int]:
        try:
            await regrow.map(item, range(20), concurrency=2)
        except ConnectionError:
            return [await c(1), await c(2)]
        return []

    result, parted = crash_then_edit(mapped, mapped, survive=24, strict=True)
    assert result == [1, 2]
    assert parted == []


def test_a_parameter_that_is_added_with_a_default_changes_no_recorded_call() -> None:
    def life(sub: object) -> regrow.Task[[], int]:
        @regrow.task(name="pay")
        async def pay() -> int:
            paid = await sub(5)  # type: ignore[operator]
            if dying:
                raise KeyboardInterrupt
            return int(paid)

        return pay

    @regrow.task(name="sub")
    async def before(number: int) -> int:
        note("sub")
        return number

    @regrow.task(name="sub")
    async def after(number: int, remark: str = "") -> int:
        note("sub")
        return number

    dying = [True]
    store = CrashingStore()
    ledger.clear()
    with pytest.raises(KeyboardInterrupt):
        live(life(before), store=store)
    dying.clear()
    assert live(life(after), store=store) == 5
    assert ledger == {"sub": 1}
    assert divergences(store) == []


def test_a_once_only_call_with_other_inputs_stops_the_run_in_any_mode() -> None:
    @regrow.step(once=True)
    async def charge(amount: int) -> int:
        note("charge")
        return amount

    amount = [5]

    async def body() -> list[int]:
        return [await charge(amount[0]), await c(1)]

    store = CrashingStore()
    store.die_after(5)
    code[:] = [body]
    ledger.clear()
    with pytest.raises(Crash):
        live(agent, store=store)
    store.revive()
    amount[0] = 6
    with pytest.raises(regrow.Divergence, match="other inputs"):
        live(agent, store=store)
    assert ledger["charge"] == 1


def test_a_divergence_is_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    async def edited() -> list[int]:
        return [await a(1), await b(20), await a(3), await c(4), await c(5)]

    crash_then_edit(original, edited)
    assert "no longer fits its journal at agent#1/b#1" in caplog.text
