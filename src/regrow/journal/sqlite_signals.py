"""Signals, in a store's database."""

from __future__ import annotations

from pathlib import Path

import apsw

from regrow.journal.database import Database, statements
from regrow.journal.signals import Signal

_SQL = statements(Path(__file__).with_name("sqlite_signals.sql"))
_SIGNAL = Signal.__struct_fields__
SIGNALS_FORMAT_3 = _SQL["format_3"]
EXPECT_NOTHING = _SQL["expect_nothing"]
"""What a claim does besides: its driver comes to the waits again, if the code still does."""


class SqliteSignals:
    """See `regrow.journal.signals.Signals`."""

    def __init__(self, database: Database) -> None:
        """Keep them in `database`."""
        self._db = database

    def send(self, run: str, name: str, value: bytes, actor: str, now: float) -> int:
        """See `Signals.send`."""
        row = {"run": run, "name": name, "value": value, "actor": actor, "time": now}
        with self._db.writing() as db:
            return int(str(db.execute(_SQL["send"], row).fetchall()[0][0]))

    def take(self, run: str, name: str, key: str) -> Signal | None:
        """See `Signals.take`. It only writes if there is something to take: a run may ask for days."""
        with self._db.reading() as db:
            found = self._taken(db, run, key)
            if found is not None or not db.execute(_SQL["any"], (run, name)).fetchall():
                return found
        with self._db.writing() as db:
            db.execute(_SQL["take"], (run, name, key))
            db.execute(_SQL["expect_no_more"], (run, key))
            return self._taken(db, run, key)

    def give_back(self, run: str, key: str) -> None:
        """See `Signals.give_back`."""
        with self._db.writing() as db:
            db.execute(_SQL["give_back"], (run, key))
            db.execute(_SQL["expect_no_more"], (run, key))

    def expect(self, run: str, name: str, key: str) -> None:
        """See `Signals.expect`."""
        with self._db.writing() as db:
            db.execute(_SQL["expect"], (run, name, key))

    def expected(self, run: str) -> list[str]:
        """See `Signals.expected`."""
        with self._db.reading() as db:
            return [str(name) for (name,) in db.execute(_SQL["expected"], (run,)).fetchall()]

    def expect_nothing(self, run: str) -> None:
        """Forget what was expected: somebody drives the run anew."""
        with self._db.writing() as db:
            db.execute(EXPECT_NOTHING, (run,))

    def waiting(self, run: str) -> list[Signal]:
        """See `Signals.waiting`."""
        with self._db.reading() as db:
            found = db.execute(_SQL["waiting"], (run,)).fetchall()
        return self._db.checked(found, _SIGNAL, Signal, "the list of signals is")

    def forget(self, run: str) -> None:
        """See `Signals.forget`."""
        with self._db.writing() as db:
            db.execute(_SQL["forget"], (run,))
            db.execute(EXPECT_NOTHING, (run,))

    def _taken(self, db: apsw.Connection, run: str, key: str) -> Signal | None:
        found = db.execute(_SQL["taken"], (run, key)).fetchall()
        return next(iter(self._db.checked(found, _SIGNAL, Signal, "the list of signals is")), None)
