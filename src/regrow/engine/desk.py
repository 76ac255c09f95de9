"""The desk: what a run may do about its own questions, and who is told of them. Workers reach it over their channel."""

from __future__ import annotations

import contextlib
import logging
from typing import Protocol

from regrow.engine.webhook import Hook, send_apart
from regrow.errors import StoreError
from regrow.journal.asks import AskRow, Decided, NewAsk
from regrow.journal.store import Store

_log = logging.getLogger("regrow")


class Desk(Protocol):
    """Where a run's questions are put up and looked after."""

    def post(self, run: str, ask: NewAsk, hook: Hook) -> AskRow:
        """Put a question up, and tell of it whoever was not told yet. Again for the same question is harmless."""
        ...

    def look(self, run: str, ask: str, now: float) -> Decided | None:
        """See `Asks.look`."""
        ...

    def refuse(self, run: str, ask: str, number: int, reason: str) -> None:
        """See `Asks.refuse`."""
        ...

    def withdraw(self, run: str, ask: str, now: float) -> None:
        """See `Asks.withdraw`."""
        ...

    def remind(self, run: str, ask: str, number: int, hook: Hook) -> None:
        """Tell of a question again; `number` counts from the first notice, which is 1."""
        ...


class StoreDesk:
    """The desk of a process that has the store."""

    def __init__(self, store: Store) -> None:
        """Keep questions in `store`, and tell of them from this process."""
        self._store = store

    def post(self, run: str, ask: NewAsk, hook: Hook) -> AskRow:
        """See `Desk.post`."""
        row = self._store.asks.post(run, self._store.get(run).project, ask)
        if row.decided is None and not row.told:
            self._tell(row, 1, hook)
        return row

    def look(self, run: str, ask: str, now: float) -> Decided | None:
        """See `Desk.look`."""
        return self._store.asks.look(run, ask, now)

    def refuse(self, run: str, ask: str, number: int, reason: str) -> None:
        """See `Desk.refuse`."""
        self._store.asks.refuse(run, ask, number, reason)

    def withdraw(self, run: str, ask: str, now: float) -> None:
        """See `Desk.withdraw`."""
        self._store.asks.withdraw(run, ask, now)

    def remind(self, run: str, ask: str, number: int, hook: Hook) -> None:
        """See `Desk.remind`."""
        row = self._store.asks.get(ask)
        if row.run == run and row.decided is None:
            _log.warning("run %s still waits for an answer: regrow inbox %s", run, ask)
            self._tell(row, number, hook)

    def _tell(self, row: AskRow, number: int, hook: Hook) -> None:
        def delivered() -> None:
            with contextlib.suppress(StoreError):  # then it is told once more after a crash
                self._store.asks.note_told(row.run, row.id, number)

        send_apart(hook, row, number, delivered)
