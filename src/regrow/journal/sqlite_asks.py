"""Questions to people, in a store's database."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import apsw
import msgspec

from regrow.errors import AskClosed, UnknownAsk
from regrow.journal.asks import Answer, AskRow, Decided, NewAsk, Question, digest_of
from regrow.journal.database import Database, statements

_SQL = statements(Path(__file__).with_name("sqlite_asks.sql"))
_ROW = AskRow.__struct_fields__
_ANSWER = Answer.__struct_fields__
ASKS_FORMAT_3 = _SQL["format_3"]


class SqliteAsks:
    """See `regrow.journal.asks.Asks`."""

    def __init__(self, database: Database) -> None:
        """Keep them in `database`."""
        self._db = database

    def post(self, run: str, project: str, ask: NewAsk) -> AskRow:
        """See `Asks.post`."""
        question = msgspec.json.decode(ask.shown, type=Question)
        row = msgspec.structs.asdict(ask) | {
            "run": run,
            "project": project,
            "path": question.path,
            "question": question.text,
            "due": question.due,
            "approvals": question.approvals,
            "digest": digest_of(ask.shown),
        }
        with self._db.writing() as db:
            db.execute(_SQL["post"], row)
        return self.get(ask.id)

    def look(self, run: str, ask: str, now: float) -> Decided | None:
        """See `Asks.look`."""
        row = self._of_run(run, ask)
        if row.decided is None and row.due is not None and row.due <= now:
            with self._db.writing() as db:
                db.execute(_SQL["decide"], (run, ask, "timed out", now))
            row = self._of_run(run, ask)
        if row.decided is None:
            return None
        answers = tuple(one for one in self.answers(ask) if not one.refused)
        return Decided(row.decided, row.decided_at or row.asked, answers)

    def refuse(self, run: str, ask: str, number: int, reason: str) -> None:
        """See `Asks.refuse`."""
        with self._db.writing() as db:
            db.execute(_SQL["refuse"], (run, ask, number, reason))
            db.execute(_SQL["reopen"], (run, ask))

    def withdraw(self, run: str, ask: str, now: float) -> None:
        """See `Asks.withdraw`."""
        with self._db.writing() as db:
            db.execute(_SQL["decide"], (run, ask, "withdrawn", now))

    def note_told(self, run: str, ask: str, number: int) -> None:
        """See `Asks.note_told`."""
        with self._db.writing() as db:
            db.execute(_SQL["told"], (run, ask, number))

    def answer(self, ask: str, answer: Answer) -> AskRow:
        """See `Asks.answer`."""
        with self._db.writing() as db:
            try:
                db.execute(_SQL["give"], msgspec.structs.asdict(answer) | {"ask": ask})
            except apsw.ConstraintError:
                raise AskClosed(ask, "this signed callback was used before; an answer needs one of its own") from None
            given = bool(db.changes())
            if given:
                db.execute(_SQL["decide_by_answer"], (ask, answer.time, answer.verdict))
        row = self.get(ask)
        if not given:
            raise AskClosed(ask, self._why_closed(row, answer))
        return row

    def get(self, ask: str) -> AskRow:
        """See `Asks.get`."""
        found = self._rows("WHERE id = ?", (ask,))
        if not found:
            raise UnknownAsk(ask, f"there is no question {ask}; `regrow inbox` lists those that are open")
        return found[0]

    def listed(self, *, run: str | None = None, everything: bool = False) -> list[AskRow]:
        """See `Asks.listed`."""
        return self._rows(
            "WHERE (?1 IS NULL OR run = ?1) AND (?2 OR decided IS NULL) ORDER BY asked, id", (run, everything)
        )

    def answers(self, ask: str) -> list[Answer]:
        """See `Asks.answers`."""
        with self._db.reading() as db:
            found = db.execute(_SQL["answers"], (ask,)).fetchall()
        return self._db.checked(found, _ANSWER, Answer, "the answers of people are")

    def forget(self, run: str) -> None:
        """See `Asks.forget`."""
        with self._db.writing() as db:
            db.execute(_SQL["forget"], (run,))

    def _of_run(self, run: str, ask: str) -> AskRow:
        row = self.get(ask)
        if row.run != run:
            raise UnknownAsk(ask, f"run {run} has not asked {ask}")
        return row

    def _rows(self, clause: str, bindings: tuple[object, ...]) -> list[AskRow]:
        with self._db.reading() as db:
            found = db.execute(f"{_SQL['rows']} {clause}", bindings).fetchall()
        return self._db.checked(found, _ROW, AskRow, "the list of questions is")

    def _why_closed(self, row: AskRow, answer: Answer) -> str:
        answers = [one for one in self.answers(row.id) if not one.refused]
        match row.decided:
            case None if row.due is not None and row.due <= answer.time:
                return f"the time for an answer passed at {_moment(row.due)}"
            case None:
                return f"{answer.who} has answered it already; it waits for somebody else"
            case "answered" if answers:
                last = answers[-1]
                return f"{last.who} answered it at {_moment(last.time)} ({last.how}); the first answer counts"
            case "answered":
                return f"it was answered at {_moment(row.decided_at or row.asked)}"
            case "timed out":
                return f"its time passed at {_moment(row.due or row.asked)}, and the run has gone on without an answer"
            case "withdrawn":
                return "the run does not wait for it any more"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
