"""The list of runs as SQLite holds it, each row checked by itself: it lies outside of the chains of the records.

One damaged row must not hide the other runs, so each becomes either what a list shows or a sentence that names its run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw
import msgspec

from regrow.journal.store import DamagedRow, RunRow

_ROW = RunRow.__struct_fields__


def read_rows(
    db: apsw.Connection, rows: str, ids: str, clause: str, bindings: tuple[object, ...]
) -> list[RunRow | DamagedRow]:
    """Read rows of the list of runs.

    Args:
        db: a connection that may read.
        rows: the statement that selects whole rows.
        ids: the one that selects their numbers, and their ids as bytes.
        clause: which of them, in which order; it is added to either.
        bindings: of the clause.
    """
    try:
        return [_checked(row) for row in db.execute(f"{rows} {clause}", bindings).fetchall()]
    except UnicodeDecodeError:  # a row has text that is none, and SQLite's answer as a whole does not say which
        return list(_read_alone(db, rows, db.execute(f"{ids} {clause}", bindings).fetchall()))


def _read_alone(db: apsw.Connection, rows: str, found: list[Any]) -> Iterator[RunRow | DamagedRow]:
    for number, run in found:
        try:
            yield from (_checked(row) for row in db.execute(f"{rows} WHERE r.number = ?", (number,)).fetchall())
        except UnicodeDecodeError as problem:
            yield _damaged(bytes(run).decode("utf-8", "backslashreplace"), f"text that is none: {problem.reason}")


def _checked(row: tuple[Any, ...]) -> RunRow | DamagedRow:
    try:
        return msgspec.convert(dict(zip(_ROW, row, strict=True)), RunRow, strict=False)
    except msgspec.ValidationError as problem:
        return _damaged(str(row[0]), str(problem))


def _damaged(run: str, problem: str) -> DamagedRow:
    return DamagedRow(run, f"run {run}: its row in the list of runs is damaged ({problem}); `regrow doctor` says more")
