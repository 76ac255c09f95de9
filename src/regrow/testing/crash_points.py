"""Every point at which a process can die, and what is left to see after each death.

A run consists of appended records, and nothing else of it survives. So two deaths matter for each record: before it,
when everything up to it has been done and is lost, and after it, when it is stored and nobody was told. They are the
crash points, and they can all be tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from regrow.authoring import home
from regrow.engine.branches import current_branch
from regrow.engine.state import fold
from regrow.engine.vault import Vault
from regrow.errors import UsageError
from regrow.journal.chain import unseal_all
from regrow.journal.records import (
    AttemptFailed,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    ChunkYielded,
    Event,
    OutcomeDecided,
    Record,
)
from regrow.journal.store import LEASE_SECONDS, Entry, NewRun, RunRow
from regrow.testing.crash import Crash, CrashingStore

_SHOWN = 200


class MortalStore(CrashingStore):
    """A store in memory whose process can be made to die on either side of any record.

    Attributes:
        deaths: how often that has happened.
        order: the records as they were stored, over all runs and lives: the run's id, and the place in it.
    """

    def __init__(self) -> None:
        """Start alive and empty."""
        super().__init__()
        self.deaths = 0
        self.order: list[tuple[str, int]] = []
        self._last: list[Callable[[int, Entry], bool]] = []

    @property
    def is_dead(self) -> bool:
        """Whether the process has died and was not revived."""
        return self._dead

    def die_at(self, point: int) -> None:
        """Die at a crash point, counted from here: 1 is before the next record, 2 after it, 3 before the one after it.

        Raises:
            UsageError: points are counted from 1.
        """
        if point < 1:
            raise UsageError(f"crash points are counted from 1; there is no {point}")
        record, after = divmod(point + 1, 2)
        if not after:
            self.die_after(record - 1)
        else:
            number = self.appended + record
            self.die_when(lambda place, _entry: place == number)

    def die_when(self, is_last: Callable[[int, Entry], bool]) -> None:
        """Die once a certain record is stored, before anybody is told that it is.

        Args:
            is_last: tells the record, from its number over all lives and from its entry.
        """
        self._last.append(is_last)

    def revive(self) -> None:
        """Be a new process: see `CrashingStore.revive`. What the old one had in its memory is gone."""
        home.forget(home.host_of(self))  # first, so that nothing of the old process is appended in the new one's name
        self._last.clear()
        super().revive()

    def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        """See `Store.append`; dies on the way when it is time."""
        last = next((place for place, entry in enumerate(entries, 1) if self._is_last(place, entry)), None)
        if last is not None:
            self.die_after(last)
        alive, before = not self.is_dead, self.appended
        try:
            fenced = super().append(entries)
            if last is not None:  # it was the last of its commit, and its writer must not learn that it is stored
                super().append(entries[-1:])
        except Crash:
            self.deaths += alive
            raise
        finally:
            self.order += [(entry.run, entry.record.seq) for entry in entries[: self.appended - before]]
        return fenced

    def create(self, run: NewRun) -> RunRow:
        """See `Store.create`."""
        self._be_alive()
        return super().create(run)

    def claim(self, run: str, holder: str, *, seconds: float = LEASE_SECONDS) -> int:
        """See `Store.claim`."""
        self._be_alive()
        return super().claim(run, holder, seconds=seconds)

    def computed(self) -> frozenset[tuple[str, str]]:
        """Give run and path of each call that has left its result in the shared cache."""
        if not self._tables.in_use:
            return frozenset()
        return frozenset((row.run, row.path) for row in self.cache.rows())

    def records(self, run: str) -> list[Record]:
        """Give a run's records, with their chain checked."""
        return unseal_all(run, self.read(run))

    def _is_last(self, place: int, entry: Entry) -> bool:
        return any(is_last(self.appended + place, entry) for is_last in self._last)


class _Note(msgspec.Struct, frozen=True):
    name: str
    key: str | None
    run: str
    path: str
    seq: int


class Effects(Mapping[str, int]):
    """The outside world's book of what was done to it: a test's code notes side effects here, by name.

    It reads like a ``Counter``. An effect that is noted with a key is counted once for each key, as a service does that
    knows idempotency keys. Where a death is played, an effect counts as not done if its body is bound to run again: its
    record was lost, and nothing else of that body was recorded after the effect. What a body outside of any step does
    is repeated without that excuse, and shows.
    """

    def __init__(self) -> None:
        """Begin with nothing done."""
        self._notes: list[_Note] = []
        self._counts: Counter[str] = Counter()

    def note(self, name: str, *, key: str | None = None) -> None:
        """Note that something was done.

        Args:
            name: what.
            key: the idempotency key that the outside world was given, such as ``regrow.current().idempotency_key``.
        """
        branch = current_branch()
        if branch is None:
            self._add(_Note(name, key, "", "", 0))
        else:
            driver = branch.scope.driver
            self._add(_Note(name, key, driver.run, branch.scope.path, driver.log.state.seq))

    def where(self, name: str) -> tuple[str, ...]:
        """Give the paths of the calls that have noted something, one for each note."""
        return tuple(note.path or "outside of any run" for note in self._notes if note.name == name)

    def died(self, store: MortalStore) -> None:
        """Take a death into account: drop what its body is bound to do again, and what the test did itself."""
        events = {run.id: store.records(run.id) for run in store.runs()}
        notes, self._notes = self._notes, []
        self._counts.clear()
        shared = store.computed()
        for note in notes:
            found = (note.run, note.path) in shared  # its call will find its own result, recorded or not
            if note.key is not None or found or not _is_lost(note, events.get(note.run, [])):
                self._add(note)

    def _add(self, note: _Note) -> None:
        known = note.key is not None and any((one.name, one.key) == (note.name, note.key) for one in self._notes)
        self._notes.append(note)
        self._counts[note.name] += not known

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)

    def __repr__(self) -> str:
        return f"Effects({dict(self._counts)!r})"


def _is_lost(note: _Note, records: Sequence[Record]) -> bool:
    if not note.path:
        return True  # the test's own body, which whoever plays the death runs again
    for record in records:
        event = record.event
        path = path_of(event)
        if isinstance(event, CallStarted) and event.once and path == note.path:
            return False  # at most once: it will not be done again
        if record.seq > note.seq and _is_progress(event, note.path) and (path + "/").startswith(note.path + "/"):
            return False
    return True


def _is_progress(event: Event, path: str) -> bool:
    match event:
        case CallSucceeded() | CallFailed() | CallCancelled() | AttemptFailed() | OutcomeDecided() | CheckpointSaved():
            return True
        case ChunkYielded():
            return event.call.path != path  # a stream's own body begins again from its start, chunks or not
        case _:
            return False


def path_of(event: Event) -> str:
    """Give the call that an event is about; nothing where it is about the run as a whole."""
    call = getattr(event, "call", None)
    path: str = call.path if call is not None else getattr(event, "path", "")
    return path


class Ending(msgspec.Struct, frozen=True):
    """How a run has ended: what can be compared of it, and what a person is shown."""

    compared: Any
    shown: str
    key: str | None


class Seen(msgspec.Struct, frozen=True):
    """What a test has left behind: how each run ended, by its key, and what was done to the outside world."""

    runs: dict[str, Ending]
    effects: dict[str, int]
    where: dict[str, tuple[str, ...]]

    def differences(self, calm: Seen, *, results: bool = True) -> list[str]:
        """Say in sentences what is not as it was without a crash.

        Args:
            calm: what was left without one.
            results: compare the runs' results, and not only whether there is one.
        """
        told: list[str] = []
        for name in sorted(self.runs.keys() | calm.runs.keys()):
            now, before = self.runs.get(name), calm.runs.get(name)
            if now is None or before is None:
                is_there = "is there" if before is None else "is missing"
                told.append(f"run {name!r} {is_there} after the crash{_hint(now)}")
            elif now.compared != before.compared if results else now.compared[0] != before.compared[0]:
                told.append(f"run {name!r} {now.shown}; undisturbed it {before.shown}")
        for name in sorted(self.effects.keys() | calm.effects.keys()):
            count, usual = self.effects.get(name, 0), calm.effects.get(name, 0)
            if count != usual:
                places = ", ".join(sorted(set(self.where.get(name, calm.where.get(name, ())))))
                told.append(f"effect {name!r} was done {_times(count)}; undisturbed {_times(usual)} ({places})")
        return told


def seen(store: MortalStore, effects: Effects) -> Seen:
    """Look at what a test has left behind."""
    counted: Counter[str] = Counter()
    runs: dict[str, Ending] = {}
    for row in reversed(store.runs()):
        name = row.key
        if name is None:
            task = row.task.rpartition(":")[2]
            counted[task] += 1
            name = f"{task} #{counted[task]}"
        runs[name] = _ending(store, row)
    where = {name: effects.where(name) for name in effects}
    return Seen(runs, {name: count for name, count in effects.items() if count}, where)


def describe_point(point: int, store: MortalStore) -> str:
    """Say where a crash point lies, in terms of the records that a store holds."""
    number, after = divmod(point + 1, 2)
    side = "after" if after else "before"
    if number > len(store.order):
        return f"{side} record {number}"
    run, seq = store.order[number - 1]
    event = store.records(run)[seq - 1].event
    return f"{side} record {number}, {type(event).__name__} {path_of(event)}".rstrip()


def _ending(store: MortalStore, row: RunRow) -> Ending:
    state = fold(store.records(row.id))
    if state.ended is None:
        return Ending((row.status,), f"is {row.status}", row.key)
    if state.ended.error is not None:
        error = state.ended.error.summary()
        return Ending((row.status, error), f"{row.status} with {error}", row.key)
    for call in state.children(""):
        if isinstance(call.outcome, CallSucceeded):
            value = call.outcome.value
            shown = repr(Vault(store.blobs).load(value))
            shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
            return Ending((row.status, value), f"{row.status} with {shown}", row.key)
    return Ending((row.status,), row.status, row.key)


def _hint(extra: Ending | None) -> str:
    if extra is None or extra.key is not None:
        return ""
    return " (without a key a run is begun anew, not resumed; give regrow.run a key=)"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
