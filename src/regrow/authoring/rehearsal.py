"""Rehearsals: a run's code played against a copy of its journal. Whatever it called is answered from the record.

Nothing outside is touched: what is not recorded is not carried out, and what the code does is recorded in memory only.
That is how changed code is checked against the runs that wait for it, and how a run is debugged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from regrow.authoring.driving import drive, drive_async
from regrow.authoring.task import Task
from regrow.engine.branches import drive_on, loop_is_running
from regrow.engine.callee import Callee
from regrow.engine.desk import Desk, StoreDesk
from regrow.engine.executor import Executor
from regrow.engine.host import Host
from regrow.engine.news import Observer, Replayed
from regrow.engine.replay import ASIDE
from regrow.engine.scope import Scope
from regrow.engine.state import RunState, enclosing
from regrow.engine.webhook import Hook
from regrow.errors import RegrowError
from regrow.executors.inline import InlineExecutor
from regrow.healing.ladder import Ladder
from regrow.journal.asks import AskRow, NewAsk
from regrow.journal.blobs import BlobStore, MemoryBlobs
from regrow.journal.chain import seal
from regrow.journal.memories import Memories
from regrow.journal.memory import MemoryStore
from regrow.journal.records import CallFailed, CallSucceeded, Diverged, Record
from regrow.journal.signals import Signal, Signals
from regrow.journal.store import Entry, NewRun, RunRow, Store
from regrow.values.ids import idempotency_key

_IDLE_SECONDS = 0.2
"""When the code has made no call for so long, and is not held back by us, it waits for what is not recorded."""
_HELD_BACK_SECONDS = 10.0
"""The same while it is held back: longer than most turns take."""
_LOOK_SECONDS = 0.05
_StopAt = Callable[[str, str], None]
"""Is told the path and the kind of a call at which the record ends."""


class Beyond(BaseException):
    """The code has come to a call that is not recorded. No `Exception`: code that handles failures must not see it."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class Rehearsed(msgspec.Struct, frozen=True):
    """What came of a rehearsal.

    Attributes:
        outcome: `finished`: the code came to its end on what is recorded. `goes on`: it came to calls that are not, and
            that it would make now. `failed`: it raised. `stopped`: regrow itself would stop it.
        replayed: how many calls were answered from the record.
        frontier: the calls that would be carried out next.
        divergences: where code and journal have parted.
        left_out: recorded calls that the code went past and did not make.
        not_reached: recorded calls that the code did not come to, because it waits for what is not recorded.
        error: what it raised.
    """

    outcome: Literal["finished", "goes on", "failed", "stopped"]
    replayed: int
    frontier: tuple[str, ...]
    divergences: tuple[Diverged, ...]
    left_out: tuple[str, ...]
    not_reached: tuple[str, ...] = ()
    error: BaseException | None = None

    @property
    def fits(self) -> bool:
        """Whether nothing was found that the code does otherwise than the journal says."""
        parted = self.divergences or self.left_out or self.not_reached
        return not parted and self.outcome in ("finished", "goes on")


class Rehearsal:
    """One run, about to be played in this process against a copy of its records."""

    def __init__(
        self,
        store: Store,
        row: RunRow,
        records: Sequence[Record],
        *,
        entered: Collection[str],
        on_frontier: Callable[[str, str], None] = lambda _path, _kind: None,
        waits: bool = False,
        retry: bool = False,
        observers: tuple[Observer, ...] = (),
    ) -> None:
        """Copy what is recorded; nothing runs yet.

        Args:
            store: where the run is; it is only read.
            row: the run.
            records: those of its records that are to be played.
            entered: the tasks whose code is to run, isolated ones included.
            on_frontier: is told the path and kind of each call that would be carried out, where it would be.
            waits: let coroutines wait there instead of ending them, so that others come as far as they can.
            retry: take back the failures that ended the run, as `regrow retry` would.
            observers: are told what is replayed.
        """
        self._copy = _copied(store, row, records)
        self._frontier: list[str] = []
        self._not_reached: dict[str, None] = {}
        self._on_frontier = on_frontier
        self._entered = frozenset(entered)
        executor = _Rehearsing(self._entered, self._stop_at, waits=waits)
        self._host = _Host(self._copy, executor, _Edge(self._stop_at, waits=waits), lambda: self._driver.log.state)
        self._driver = self._host.take_up(
            row.id, retry_as="rehearsal" if retry else None, even_if_over=True, observers=(self._note, *observers)
        )
        self._not_reached = _to_be_made(self._driver.log.state, entered)

    def play(self, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Rehearsed:
        """Run the code as far as the record goes."""
        driver = self._driver
        error: BaseException | None = None
        try:
            if task.callee.mode == "sync":
                drive(self._host, driver, task, args, kwargs)
            else:
                with asyncio.Runner() as runner:
                    runner.run(self._until_idle(task, args, kwargs))
        except Beyond:
            pass
        except (Exception, asyncio.CancelledError) as problem:  # noqa: BLE001 - it is what the rehearsal was for
            error = problem
        finally:
            self._host.close()
        return self._seen(error)

    def _seen(self, error: BaseException | None) -> Rehearsed:
        driver = self._driver
        not_reached = tuple(self._not_reached) if self._is_short() else ()
        self._frontier = self._frontier or [path for path in driver.log.state.calls if self._is_put_off(path)]
        outcome: Literal["finished", "goes on", "failed", "stopped"] = "finished"
        if self._frontier or isinstance(error, asyncio.CancelledError):
            outcome, error = "goes on", None
        elif driver.halted is not None or (isinstance(error, RegrowError) and error is driver.halted):
            outcome = "stopped"
        elif error is not None:
            outcome = "failed"
        return Rehearsed(
            outcome,
            driver.tally.replayed,
            tuple(self._frontier),
            tuple(driver.log.state.divergences),
            tuple(driver.left_out()),
            not_reached if outcome == "goes on" else (),
            error,
        )

    async def _until_idle(self, task: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        driver = self._driver
        loop = asyncio.get_running_loop()
        drive_on(loop)
        work = asyncio.Task(drive_async(self._host, driver, task, args, kwargs), loop=loop)
        before: tuple[int, ...] = ()
        since = loop.time()
        while not work.done():
            await asyncio.wait((work,), timeout=_LOOK_SECONDS)
            now = (driver.tally.replayed, driver.log.state.seq, len(self._frontier))
            if now != before:
                before, since = now, loop.time()
            elif loop.time() - since > (_HELD_BACK_SECONDS if driver.held_back or self._is_short() else _IDLE_SECONDS):
                driver.let_go()
        await work

    def _note(self, news: Record | Replayed) -> None:
        if isinstance(news, Replayed):
            self._not_reached.pop(news.call.path, None)

    def _is_short(self) -> bool:
        """Tell whether the code rests before it has made all recorded calls, and has not come to a new one."""
        return bool(self._not_reached) and not self._frontier

    def _is_put_off(self, path: str) -> bool:
        """Tell whether a call waits for a moment to come: a sleep for its end, a failed one for its next attempt."""
        known = self._driver.log.state.calls[path]
        if known.outcome is not None or path in self._entered:
            return False
        return known.call.kind == "sleep" or bool(known.attempts)

    def _stop_at(self, path: str, kind: str) -> None:
        if path not in self._frontier:
            self._frontier.append(path)
            self._on_frontier(path, kind)


def _to_be_made(state: RunState, entered: Collection[str]) -> dict[str, None]:
    """Give the recorded calls that code which has not been edited makes again, in their order."""
    return {
        path: None
        for path, known in state.calls.items()
        if isinstance(known.outcome, CallSucceeded | CallFailed)
        and enclosing(path) in entered
        and path not in entered
        and ASIDE not in path
        and (state.detour is None or known.seq <= state.detour)
        and known.seq > state.calls[enclosing(path)].saved_at  # code that goes on from a checkpoint leaves these out
    }


class _Rehearsing:
    """Runs the code of the tasks that are entered, and stops everything else where it would begin."""

    ceiling = 1 << 62

    def __init__(self, entered: frozenset[str], stop_at: _StopAt, *, waits: bool) -> None:
        self._entered = entered
        self._stop_at = stop_at
        self._waits = waits
        self._inline = InlineExecutor()

    async def run(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run`."""
        if self._is_entered(callee, scope):
            return await self._inline.run(callee, scope, args, kwargs)
        self._stop_at(scope.path, callee.kind)
        if self._waits:
            await asyncio.get_running_loop().create_future()
        raise Beyond(scope.path)

    def run_blocking(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run_blocking`."""
        if self._is_entered(callee, scope):
            return self._inline.run_blocking(callee, scope, args, kwargs)
        self._stop_at(scope.path, callee.kind)
        raise Beyond(scope.path)

    def _is_entered(self, callee: Callee, scope: Scope) -> bool:
        return callee.kind == "task" and scope.path in self._entered


class _Host(Host):
    """A host whose runs reach nobody outside: what is asked there and waited for there is where the record ends."""

    def __init__(self, copy: Store, executor: Executor, edge: _Edge, state: Callable[[], RunState]) -> None:
        super().__init__(copy, executor, Ladder())
        self._edge = edge
        self._state = state

    @property
    def asks(self) -> Desk:
        return _Desk(self.store, self._edge)

    @property
    def signals(self) -> Signals:
        return _Signals(self.store.signals, self._edge, self._state)


class _Edge:
    """Stops a strand that waits for the world outside: for good, or for as long as the others still move."""

    def __init__(self, stop_at: _StopAt, *, waits: bool) -> None:
        self._stop_at = stop_at
        self._waits = waits

    def reach(self, path: str, kind: str) -> None:
        self._stop_at(path, kind)
        # A thread would wait for ever: nothing but its own next call could end that.
        if not (self._waits and loop_is_running()):
            raise Beyond(path)


class _Desk(StoreDesk):
    """Questions are put up in the copy, and nobody is told of them."""

    def __init__(self, copy: Store, edge: _Edge) -> None:
        super().__init__(copy)
        self._copy = copy
        self._edge = edge

    def post(self, run: str, ask: NewAsk, hook: Hook) -> AskRow:  # noqa: ARG002 - where people would be told
        row = self._copy.asks.post(run, self._copy.get(run).project, ask)
        self._edge.reach(row.path, "ask")
        return row

    def remind(self, run: str, ask: str, number: int, hook: Hook) -> None:
        """Nobody is reminded either."""


class _Signals:
    """See `Signals`. None ever comes: one that is taken here would be missing in earnest."""

    def __init__(self, copy: Signals, edge: _Edge, state: Callable[[], RunState]) -> None:
        self._edge = edge
        self._state = state
        self.send, self.waiting, self.give_back, self.forget = copy.send, copy.waiting, copy.give_back, copy.forget
        self.expect, self.expected = copy.expect, copy.expected

    def take(self, run: str, name: str, key: str) -> Signal | None:  # noqa: ARG002 - whatever it is called
        for path, known in list(self._state().calls.items()):
            if known.call.kind == "signal" and key.startswith(f"{idempotency_key(run, path)}-"):
                self._edge.reach(path, "signal")
        return None


class _Overlaid(MemoryBlobs):
    """The store's blobs to read, and memory for what is put."""

    def __init__(self, below: BlobStore) -> None:
        super().__init__()
        self._below = below
        self._mine: set[str] = set()

    def put(self, data: bytes) -> str:
        digest = super().put(data)
        self._mine.add(digest)
        return digest

    def get(self, digest: str) -> bytes:
        return super().get(digest) if digest in self._mine else self._below.get(digest)

    def path_of(self, digest: str) -> Path:
        return super().path_of(digest) if digest in self._mine else self._below.path_of(digest)


class _Copy(MemoryStore):
    """A store in memory whose agents' memories are the real ones.

    What is recorded of reading one is only which version was read. Nothing is written to them: a write that is not
    recorded is not carried out.
    """

    def __init__(self, below: Store) -> None:
        super().__init__()
        self.blobs = _Overlaid(below.blobs)
        self._below = below

    @property
    def memories(self) -> Memories:
        return self._below.memories


def _copied(store: Store, row: RunRow, records: Sequence[Record]) -> MemoryStore:
    """Give a store in memory with a run of these records, sealed anew."""
    copy = _Copy(store)
    # Its driver may have changed since the row was read.
    epoch = max((row.epoch, *(record.epoch for record in records)))
    copy.create(NewRun(row.id, row.task, row.created, row.key, row.project, epoch))
    previous = b""
    for seq, record in enumerate(records, start=1):
        stored = seal(Record(seq, record.time, record.actor, record.epoch, previous, record.event))
        previous = stored.hash
        copy.append([Entry(row.id, epoch, stored, time=record.time)])
    return copy
