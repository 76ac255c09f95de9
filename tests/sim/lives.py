"""Playing a run that dies and is resumed: at one record, or at every record that it has."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import regrow
from regrow.authoring.home import forget, host_of
from regrow.engine.state import RunState, fold
from regrow.journal.chain import unseal_all
from regrow.journal.records import Record
from regrow.testing import Crash, CrashingStore

ledger: Counter[str] = Counter()
"""How often each body ran, under the name it gives itself."""


def note(what: str) -> None:
    ledger[what] += 1


def live(task: Any, *args: Any, store: CrashingStore, strict: bool = False, key: str = "k") -> Any:
    """Run a task to its end or to its process's death, and let the host go as the process would."""
    try:
        return regrow.run(task, *args, key=key, store=store, strict=strict)
    finally:
        forget(host_of(store))


def records_of(store: CrashingStore) -> list[Record]:
    run = store.runs()[0].id
    return unseal_all(run, store.read(run))


def state_of(store: CrashingStore) -> RunState:
    return fold(records_of(store))


def divergences(store: CrashingStore) -> list[str]:
    return [f"{one.path}: {one.reason}" for one in state_of(store).divergences]


def survives_every_crash(task: Any, *args: Any, expected: Any = ..., once_each: bool = True) -> int:
    """Run undisturbed; then die after each number of records in turn, and resume; results and effects must agree.

    Gives the number of crash points. A body whose record was lost in the crash runs twice, any other once.
    """
    ledger.clear()
    calm = CrashingStore()
    result = outcome(lambda: live(task, *args, store=calm))
    effects = Counter(ledger)
    if expected is not ...:
        assert result == expected
    points = calm.appended
    for point in range(points):
        ledger.clear()
        store = CrashingStore()
        store.die_after(point)
        try:
            live(task, *args, store=store)
        except Crash:
            pass
        except BaseException as other:
            raise AssertionError(f"dying after {point} records ended in {other!r}") from other
        before = Counter(ledger)
        finished = finished_bodies(store)
        store.revive()
        again = outcome(lambda store=store: live(task, *args, store=store))
        assert again == result, f"dying after {point} of {points} records changed the result: {again} is not {result}"
        assert divergences(store) == [], f"dying after {point} records: {divergences(store)}"
        for name in effects:
            runs = ledger[name]
            assert runs >= effects[name], f"dying after {point} records: {name} ran {runs} times, not {effects[name]}"
            if once_each:
                lost = before[name] - finished[name]
                assert runs <= effects[name] + max(lost, 0), f"dying after {point} records: {name} ran {runs} times"
    return points


def finished_bodies(store: CrashingStore) -> Counter[str]:
    """Count the recorded outcomes by the ledger's names, where those are the names of the calls."""
    found: Counter[str] = Counter()
    for record in records_of(store):
        call = getattr(record.event, "call", None)
        if getattr(record.event, "hit", None) is not None:
            continue  # its body ran elsewhere
        if call is not None and type(record.event).__name__ in ("CallSucceeded", "CallFailed", "AttemptFailed"):
            found[call.path.rpartition("/")[2].partition("#")[0]] += 1
    return found


def outcome(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except Crash:
        raise
    except (Exception, asyncio.CancelledError) as error:
        return (type(error), error.args)
