"""Making records durable, together where many wait and at once where one does.

One fsync costs the same for one record and for a thousand. When a single strand of a single run is at work, its record
is committed in place, in the thread that made it: waking another thread would cost more than the commit. When many
strands are at work, their records gather while the commit before is under way, and a thread of the committer's own
commits them as one, so the event loop never waits for the disk.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

from regrow.engine.branches import start_apart
from regrow.errors import LeaseLost, RegrowError, StoreUnavailable
from regrow.journal.store import Entry, Store


class LoopTicket(asyncio.Future[None]):
    """What a coroutine waits on. It refuses to be cancelled: the record is on its way, and will be there."""

    def cancel(self, msg: object = None) -> bool:  # noqa: ARG002 - asyncio's own signature
        """Refuse; asyncio then delivers the cancellation once this is done."""
        return False


class ThreadTicket:
    """What a thread without an event loop waits on."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self._problem: RegrowError | None = None

    def settle(self, problem: RegrowError | None) -> None:
        """Let it go on, or raise the problem where it waits."""
        self._problem = problem
        self._settled.set()

    def wait(self) -> None:
        """Wait until it is settled."""
        self._settled.wait()
        if self._problem is not None:
            raise self._problem


Ticket = LoopTicket | ThreadTicket | None
"""What a caller waits for; None when there is nothing to wait for any more."""
_Waiting = tuple[Entry, Ticket]


async def arrival(ticket: Ticket) -> None:
    """Wait in a coroutine until an entry is durable.

    A cancellation that arrives meanwhile waits for the record, which is on its way, and is raised then.

    Raises:
        LeaseLost: the run is another driver's by now.
        StoreUnavailable: the store did not acknowledge it.
    """
    if not isinstance(ticket, LoopTicket):
        return
    try:
        await ticket
    except asyncio.CancelledError:
        ticket.result()  # what the store had to say comes first
        raise


def arrive(ticket: Ticket) -> None:
    """Wait in a thread until an entry is durable. Raises what `arrival` does."""
    if isinstance(ticket, ThreadTicket):
        ticket.wait()


class Committer:
    """The one way from this process into one store's journal.

    Attributes:
        busy: how many strands of all runs are executing a call right now. It decides between the two ways.
    """

    def __init__(self, store: Store) -> None:
        """Commit to `store`."""
        self.busy = 0
        self._store = store
        self._turn = threading.Condition()
        self._waiting: list[_Waiting] = []
        self._asked = False
        self._under_way = False
        self._thread: threading.Thread | None = None
        self._lost: dict[tuple[str, int], RegrowError] = {}

    def hand_in(self, entry: Entry) -> None:
        """Queue an entry that nobody waits for. It is durable no later than the next one that somebody waits for.

        Raises:
            LeaseLost: an entry of the same run did not go in before, because the run is another driver's.
            StoreUnavailable: likewise, because the store did not acknowledge it.
        """
        self._check_nothing_lost(entry)
        with self._turn:
            self._waiting.append((entry, None))

    def submit(self, entry: Entry, loop: asyncio.AbstractEventLoop | None) -> Ticket:
        """Commit an entry now, if nobody else is at work, or queue it and give what to wait for.

        Callers keep the entries of one run in order by holding the run's lock around this; the waiting comes after.

        Args:
            entry: what is to become durable.
            loop: on which the caller will `arrival` it; None for a caller that waits in its thread.

        Raises:
            LeaseLost: the run is another driver's by now.
            StoreUnavailable: the store did not acknowledge it.
        """
        self._check_nothing_lost(entry)
        if self.busy <= 1 and not self._under_way:
            self._commit_in_place(entry)
            return None
        ticket: Ticket = ThreadTicket() if loop is None else LoopTicket(loop=loop)
        with self._turn:
            self._waiting.append((entry, ticket))
            asked, self._asked = self._asked, True
        if loop is None:
            self._wake()
        elif not asked:
            # Not at once: what the other strands have ready in this turn of the loop shall come along.
            loop.call_soon(self._wake)
        return ticket

    def _check_nothing_lost(self, entry: Entry) -> None:
        """Refuse what would follow an entry that nobody waited for and that did not go in."""
        if self._lost and (entry.run, entry.epoch) in self._lost:
            raise self._lost[entry.run, entry.epoch]

    def _commit_in_place(self, entry: Entry) -> None:
        with self._turn:
            while self._under_way:
                self._turn.wait()
            if not self._waiting:
                fenced = self._store.append((entry,))
            else:
                batch, self._waiting = self._waiting, []
                fenced = self._commit([*batch, (entry, None)])
        if entry.run in fenced:
            raise _lost(entry)

    def forget(self, run: str, epoch: int) -> None:
        """Drop what is remembered of a lease that is over."""
        self._lost.pop((run, epoch), None)

    def flush(self) -> None:
        """Make everything that was handed in durable."""
        with self._turn:
            while self._under_way:
                self._turn.wait()
            batch, self._waiting = self._waiting, []
            if batch:
                self._commit(batch)

    def rest(self) -> None:
        """Stop the thread, which has nothing left to do; the next entry that waits starts another."""
        with self._turn:
            thread, self._thread = self._thread, None
            self._turn.notify_all()
        if thread is not None:
            thread.join()

    def _wake(self) -> None:
        with self._turn:
            self._asked = False
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="regrow-committer", daemon=True)
                start_apart(thread)
                self._thread = thread
            self._turn.notify_all()

    def _run(self) -> None:
        while True:
            with self._turn:
                while not any(ticket is not None for _, ticket in self._waiting):
                    if self._thread is not threading.current_thread():
                        return
                    self._turn.wait()
                batch, self._waiting = self._waiting, []
                self._under_way = True
            try:
                self._commit(batch)
            except Exception:  # noqa: BLE001, S110
                # Not lost: `_commit` has handed it to every call that waited, and keeps it for the next entry of a run
                # that did not. The runs of other drivers may still be written, so this thread goes on.
                pass
            finally:
                with self._turn:
                    self._under_way = False
                    self._turn.notify_all()

    def _commit(self, batch: list[_Waiting]) -> frozenset[str]:
        try:
            fenced = self._store.append([entry for entry, _ in batch])
        except RegrowError as problem:
            self._settle(batch, frozenset(), problem)
            raise
        except BaseException as surprise:
            failed = StoreUnavailable(f"appending to {self._store.place} was cut short by {surprise!r}")
            self._settle(batch, frozenset(), failed)
            raise
        self._settle(batch, fenced, None)
        return fenced

    def _settle(self, batch: Sequence[_Waiting], fenced: frozenset[str], problem: RegrowError | None) -> None:
        """Tell everybody who waits for a batch. A loop is woken once for all of its own: waking costs a system call."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[LoopTicket, RegrowError | None]]] = {}
        for entry, ticket in batch:
            found = problem or (_lost(entry) if entry.run in fenced else None)
            if isinstance(ticket, ThreadTicket):
                ticket.settle(found)
            elif ticket is not None:
                by_loop.setdefault(ticket.get_loop(), []).append((ticket, found))
            elif found is not None:
                self._lost[entry.run, entry.epoch] = found
        for loop, settled in by_loop.items():
            try:
                loop.call_soon_threadsafe(settle_on_loop, settled)
            except RuntimeError:
                if not loop.is_closed():  # with a closed loop, whoever waited is gone
                    raise


def settle_on_loop(settled: list[tuple[LoopTicket, RegrowError | None]]) -> None:
    """Let coroutines go on, or raise the problem where they wait; called on their loop."""
    for waiter, problem in settled:
        if waiter.done():
            continue
        if problem is None:
            waiter.set_result(None)
        else:
            waiter.set_exception(problem)


def _lost(entry: Entry) -> LeaseLost:
    return LeaseLost(entry.run, f"run {entry.run} was taken over by another driver; this one has stopped writing")
