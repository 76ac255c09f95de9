"""The store protocol: where runs are kept, who may write them, and what people ask of them from outside.

Three promises bind every store; `tests/store/test_conformance.py` holds each to them:

* what `append` has acknowledged survives a killed process (and, on disk, a power cut);
* only the holder of a run's current epoch can append, and that is checked in the transaction that appends;
* the store's own clock decides whether a lease has run out.

There is no ``from __future__ import annotations`` here. `RunRow` is public and says that it lives in `regrow`; if its
annotations were text, msgspec would look there for what they name.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from regrow.journal.asks import Asks
from regrow.journal.blobs import BlobStore
from regrow.journal.cache import SharedCache
from regrow.journal.chain import StoredRecord
from regrow.journal.memories import Memories
from regrow.journal.orders import GRACE_SECONDS, Order, Stop
from regrow.journal.records import RunOutcome
from regrow.journal.signals import Signals

DEFAULT_PROJECT = "default"

LEASE_SECONDS = 15.0
"""How long a lease holds without renewal: long enough for a paused laptop's hiccup, short enough to wait for."""

RunStatus = Literal["running", "paused", "waiting", "interrupted", "succeeded", "failed", "cancelled"]
"""`running`: under a live lease. `paused`: nobody holds it, and nobody may before somebody resumes it. `waiting`:
nobody holds it, and a question that it has put to people is open, or a signal that it waits for has not come.
`interrupted`: not finished, nobody holds it, and it waits for nobody."""


class NewRun(msgspec.Struct, frozen=True):
    """What a store needs to know of a run besides its records.

    `epoch` is that of its last lease elsewhere, if its records come from another store.
    """

    id: str
    task: str
    created: float
    key: str | None = None
    project: str = "default"
    epoch: int = 0


class RunRow(msgspec.Struct, frozen=True):
    """A run as a list shows it.

    Attributes:
        outcome: how it ended; None while it has not.
        epoch: of the latest lease.
        holder: who holds or held that lease; empty before the first.
        held: whether that lease is in force right now.
        ended: when the run ended, in seconds since the epoch.
        cancel_requested_by: who has asked for its cancellation.
        waits_for: the oldest question that it has put to people and that is open, if there is one.
        paused_by: who has paused it. While it is still held, its driver is about to let go of it.
        paused_at: when that was, in seconds since the epoch.
        imported: whether its records came from another store, and key and project are those that it was given here.
        waits_for_signal: the name of a signal that it waits for and that has not come, if there is one; of several, the
            first in the alphabet.
    """

    id: str
    task: str
    created: float
    key: str | None
    project: str
    outcome: RunOutcome | None
    epoch: int
    holder: str
    held: bool
    ended: float | None = None
    cancel_requested_by: str | None = None
    waits_for: str | None = None
    paused_by: str | None = None
    paused_at: float | None = None
    imported: bool = False
    waits_for_signal: str | None = None

    @property
    def status(self) -> RunStatus:
        """What to call its state."""
        if self.outcome is not None:
            return self.outcome
        if self.held:
            return "running"
        if self.paused_by is not None:
            return "paused"
        return "waiting" if self.awaited else "interrupted"

    @property
    def awaited(self) -> str:
        """What it waits for from outside, in words; empty if that is nothing, or the run has ended."""
        if self.outcome is not None:
            return ""
        if self.waits_for is not None:
            return f"an answer: {self.waits_for}"
        return f"the signal {self.waits_for_signal!r}" if self.waits_for_signal is not None else ""


class DamagedRow(msgspec.Struct, frozen=True):
    """A run that the list cannot show. Its records may well be whole: they are kept apart.

    Attributes:
        run: its id, as far as that can be read.
        text: what is wrong, in a sentence that names the run.
    """

    run: str
    text: str


class Entry(msgspec.Struct, frozen=True):
    """A record on its way into a store.

    Attributes:
        run: the run's id.
        epoch: the lease that the writer believes to hold.
        record: what is to be appended.
        blobs: digests of the blobs that it refers to, so that they are kept as long as the run is.
        outcome: when the record ends the run (its lease then ends with it), how.
        reopens: the record makes a finished run unfinished again.
        time: the record's own time.
    """

    run: str
    epoch: int
    record: StoredRecord
    blobs: tuple[str, ...] = ()
    outcome: RunOutcome | None = None
    reopens: bool = False
    time: float = 0.0


class LogLine(msgspec.Struct, frozen=True, array_like=True):
    """A line that the user's code logged inside a run."""

    time: float
    path: str
    attempt: int
    level: str
    text: str


SIZES_KEPT = 20
"""How many sizes are remembered of each task and class: enough to hold a rare large input, few enough to forget one."""


class SizeSeen(msgspec.Struct, frozen=True):
    """How much memory an attempt had, and that it was enough.

    Attributes:
        task: the task's ref, ``module:qualname``.
        input_class: the bit length of the size of its encoded inputs in bytes, files counted with what they hold. So
            each class reaches up to twice the sizes of the one before it.
        memory: the limit under which an attempt succeeded, in bytes.
        peak: the most that it used, in bytes; None if that is not known.
        run: in which run that was.
        time: when, in seconds since the epoch.
    """

    task: str
    input_class: int
    memory: int
    peak: int | None
    run: str
    time: float


class Store(Protocol):
    """Where runs live. Methods may be called from any thread; each is one transaction."""

    blobs: BlobStore
    place: str
    """Where it is, for people."""

    @property
    def asks(self) -> Asks:
        """The questions that runs have put to people."""
        ...

    @property
    def cache(self) -> SharedCache:
        """The outcomes that its runs share."""
        ...

    @property
    def memories(self) -> Memories:
        """The memories of agents."""
        ...

    @property
    def signals(self) -> Signals:
        """What was sent to runs from outside."""
        ...

    def register(self) -> str:
        """Make this process known as a holder of leases, and give the name under which it is."""
        ...

    def unregister(self, holder: str) -> None:
        """Withdraw a holder that holds nothing any more."""
        ...

    def create(self, run: NewRun) -> RunRow:
        """Add a run, or give back the one that already has its project and key, or else its id."""
        ...

    def get(self, run: str) -> RunRow:
        """Give one run by its whole id.

        Raises:
            UnknownRun: there is none.
            Corrupted: its row is damaged.
        """
        ...

    def by_key(self, project: str, key: str) -> RunRow | None:
        """Give the run of a key, if there is one."""
        ...

    def runs(
        self, *, limit: int | None = None, project: str | None = None, damaged: list[DamagedRow] | None = None
    ) -> list[RunRow]:
        """List runs, newest first: those of one project, or all.

        Args:
            limit: how many to look at.
            project: only this one's.
            damaged: is told of the rows that cannot be read, which are then left out.

        Raises:
            Corrupted: without `damaged`, a row cannot be read; it names the run.
        """
        ...

    def read(self, run: str, *, after: int = 0, limit: int | None = None) -> list[StoredRecord]:
        """Give a run's records past a place, in order; no more than `limit`, if there is one."""
        ...

    def claim(self, run: str, holder: str, *, seconds: float = LEASE_SECONDS) -> int:
        """Take the lease, and give its epoch, one above the last.

        Raises:
            RunHeld: another one's lease is in force.
            UnknownRun: there is no such run.
        """
        ...

    def renew(self, holder: str, *, seconds: float = LEASE_SECONDS) -> dict[str, str | None]:
        """Prolong every lease of a holder.

        Returns:
            The runs it still holds, each with who has asked for its cancellation, if anyone has.
        """
        ...

    def release(self, run: str, epoch: int) -> None:
        """Let go of a lease, if it is still this one."""
        ...

    def append(self, entries: Sequence[Entry]) -> frozenset[str]:
        """Append records durably, all in one transaction.

        Returns:
            The runs whose epoch was no longer the writer's: nothing was appended to those.

        Raises:
            StoreUnavailable: it cannot be said whether anything was appended; read again before going on.
        """
        ...

    def request_cancel(self, run: str, actor: str, *, grace: float = GRACE_SECONDS) -> None:
        """Leave word for the driver of a run that it is to be cancelled, and by force after so many seconds.

        Raises:
            UnknownRun: there is no such run.
        """
        ...

    def request_pause(self, run: str, actor: str, *, grace: float = GRACE_SECONDS) -> None:
        """Mark a run as paused. Its driver lets go of it, and cuts calls short after so many seconds.

        The mark stays until `lift_pause`, or until the run has ended. Who paused it first stays who paused it.

        Raises:
            UnknownRun: there is no such run.
        """
        ...

    def lift_pause(self, run: str) -> None:
        """Take a run's mark away that it is paused; somebody may drive it again."""
        ...

    def orders(self, holder: str) -> dict[str, Order]:
        """Give what is ordered of the runs that a holder has, by run. Only reads, so that no writer can delay it."""
        ...

    def stop(self, project: str, actor: str, reason: str = "") -> None:
        """Let nothing of a project (`EVERYWHERE` for all) go on or begin, until `lift_stop`.

        What was stopped already stays stopped by whoever did it first.
        """
        ...

    def lift_stop(self, project: str) -> bool:
        """Take a stop back. Tells whether there was one."""
        ...

    def stops(self) -> list[Stop]:
        """Give the stops that are in force."""
        ...

    def write_logs(self, run: str, lines: Sequence[LogLine]) -> None:
        """Keep log lines. They are no part of the journal and may be lost in a power cut."""
        ...

    def read_logs(self, run: str, *, after: int = 0) -> list[tuple[int, LogLine]]:
        """Give a run's log lines past a number, each with its own."""
        ...

    def delete(self, run: str) -> None:
        """Forget a finished or abandoned run, its records and its logs. Blobs go with `referenced_blobs`."""
        ...

    def referenced_blobs(self, run: str | None = None) -> frozenset[str]:
        """Give the digests of all blobs that a run refers to, or that any does."""
        ...

    def release_blobs(self, run: str, digests: Sequence[str]) -> None:
        """Take back one record's reference to each of these blobs; its run needs them no more on its account.

        What another record of the run refers to as well stays. A record counts once for each blob, however often it
        names it, and so does a call of this: release what each record referred to by itself, once, and only when what
        makes it unneeded is durable. After a crash in between, leave it: then the blobs stay as long as the run does.
        """
        ...

    def remember_size(self, seen: SizeSeen, project: str = "default") -> None:
        """Remember a size that worked; the latest `SIZES_KEPT` of each project, task and class are kept.

        Sizes are no part of a run: they outlive it. They may be lost in a power cut.
        """
        ...

    def sizes(self, task: str, input_class: int, project: str = "default") -> list[SizeSeen]:
        """Give what is remembered of a task with inputs of a class, what was remembered last coming first."""
        ...

    def check(self) -> list[str]:
        """Look for damage below the records, and give a sentence for each thing found."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
