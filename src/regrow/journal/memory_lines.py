"""What lies on the line of a version: the reads that make up those of a memory, each inside of its transaction.

Where a memory's number is None there is no such memory, and nothing is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from regrow.errors import Corrupted
from regrow.journal.database import statements
from regrow.journal.memories import Kind, Pin, Place, Version
from regrow.journal.memory_chain import missing, read_version

_PARTS = statements(Path(__file__).with_name("sqlite_memories.sql"))
_SHARED = {name: _PARTS[name].strip() for name in ("columns", "names", "on_line", "trusted")}
SQL = {name: text.format(**_SHARED) for name, text in _PARTS.items()}
ON_LINE = {name: SQL["line"] + SQL[name] for name in ("fact", "keyed", "message_places", "ranges", "search")}
MESSAGES = {backwards: SQL["messages"] + SQL[order] for backwards, order in ((False, "forwards"), (True, "backwards"))}


def number_of(db: apsw.Connection, project: str, memory: str) -> int | None:
    """Give the number of a memory; None if there is no such memory."""
    found = db.execute(SQL["number"], (project, memory)).fetchone()
    return None if found is None else int(found[0])


def head_of(db: apsw.Connection, number: int | None, memory: str) -> Pin:
    """Give the latest version of a memory; 0 if nothing is in it."""
    found = db.execute(SQL["head"], (number,)).fetchone()
    return Pin(memory, 0) if found is None else Pin(memory, int(found[0]), found[1])


def pin_of(db: apsw.Connection, project: str, memory: str, version: int) -> Pin:
    """Give one version of a memory.

    Raises:
        Corrupted: it is not there.
    """
    number = number_of(db, project, memory)
    found = db.execute(SQL["hash"], (number, version)).fetchone()
    if found is None:
        raise missing(memory, version)
    return Pin(memory, version, found[0])


def located(db: apsw.Connection, project: str, at: Pin) -> dict[str, Any]:
    """Give what a statement needs to know of the version that is read, once it is sure that it is that one."""
    if at.version == 0:
        return {"memory": 0, "version": 0}  # empty, whichever memory it is of
    if pin_of(db, project, at.memory, at.version).hash != at.hash:
        raise Corrupted(
            f"memory {at.memory}: version {at.version} is not the one that was read: it was changed, or the memory "
            f"was removed and made again"
        )
    return {"memory": number_of(db, project, at.memory), "version": at.version}


def last_written(db: apsw.Connection, at: Pin, number: int | None, kind: Kind, key: str) -> Version | None:
    """Give the version in which a document or file was last written or deleted."""
    bindings = {"memory": number, "version": at.version, "kind": kind, "key": key}
    row = db.execute(ON_LINE["fact"], bindings).fetchone()
    return None if row is None else read_version(row[:-1])


def is_latest(db: apsw.Connection, bindings: dict[str, Any], found: tuple[str, str, int, int]) -> bool:
    """Tell whether a document or file that was found is what its key names now."""
    kind, key, number, version = found
    latest = db.execute(ON_LINE["fact"], bindings | {"kind": kind, "key": key}).fetchone()
    return latest is not None and (latest[-1], latest[1]) == (number, version)


def ranges_of(db: apsw.Connection, bindings: dict[str, Any]) -> list[dict[str, Any]]:
    """Give a line, the latest range first."""
    return [{"of": row[0], "low": row[1], "high": row[2]} for row in db.execute(ON_LINE["ranges"], bindings)]


def count_in(db: apsw.Connection, bindings: dict[str, Any], part: dict[str, Any]) -> int:
    """Give how many messages there are in a range."""
    return int(one_row(db.execute(SQL["count_between"], bindings | part))[0])


def count_on(db: apsw.Connection, bindings: dict[str, Any]) -> int:
    """Give how many messages there are on a whole line."""
    return sum(count_in(db, bindings, part) for part in ranges_of(db, bindings))


def keyed_on(db: apsw.Connection, bindings: dict[str, Any]) -> list[Place]:
    """Give where each document and file stands, by key."""
    found: dict[tuple[str, str], Place | None] = {}
    for *place, gone in db.execute(ON_LINE["keyed"], bindings):
        found.setdefault((place[0], place[1]), None if gone else place_of(place))
    return [place for place in found.values() if place is not None]


def chain_of(  # noqa: PLR0917 - which part of which
    db: apsw.Connection, memory: str, number: int | None, after: int, to: int, limit: int
) -> list[Version]:
    """Give a memory's own versions past `after`, up to `to` or to as many as `limit` says.

    Raises:
        Corrupted: one is missing, or not what was written.
    """
    found: list[Version] = []
    for place, row in enumerate(db.execute(SQL["of_memory"], (number, after, to, limit)), start=after + 1):
        if row[1] != place:
            raise missing(memory, place)
        found.append(read_version(row))
    if len(found) < (to - after if limit < 0 else min(limit, to - after)):
        raise missing(memory, after + len(found) + 1)
    return found


def place_of(row: Sequence[Any]) -> Place:
    """Give a place from the columns that begin a row."""
    return Place(row[0], row[1], row[2], row[3])


def one_row(cursor: apsw.Cursor) -> tuple[Any, ...]:
    """Give the row of a statement that always gives one."""
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 - such a statement always gives one
    return tuple(row)


def ranges_beyond(ranges: list[dict[str, Any]], number: int | None, version: int) -> list[dict[str, Any]]:
    """Give what comes after a version, in ranges that are in their order."""
    for place, part in enumerate(ranges):
        if part["of"] == number and part["low"] <= version <= part["high"]:
            return [part | {"low": version + 1}, *ranges[place + 1 :]]
    return []
