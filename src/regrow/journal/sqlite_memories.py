"""Agents' memories in the store's SQLite database.

What a memory holds at a version is read by SQL over its line, as ranges of versions (``:line`` in
sqlite_memories.sql). A read costs what it gives, and no table has to be kept up to date with a state.

Every version's hash covers the one before it, and is checked whenever it is read. `check` goes through whole chains,
and compares with them what was derived from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import msgspec

from regrow.errors import Conflict, Corrupted, LeaseLost, UsageError
from regrow.journal.database import Database, statements
from regrow.journal.memories import (
    Change,
    Found,
    Guard,
    Kind,
    MemoryRow,
    Origin,
    Pin,
    Place,
    Suspect,
    Vector,
    Version,
)
from regrow.journal.memory_chain import hash_of, missing, quarantines_of, read_version
from regrow.journal.records import BlobRef

_PARTS = statements(Path(__file__).with_name("sqlite_memories.sql"))
_SHARED = {name: _PARTS[name].strip() for name in ("columns", "names", "on_line", "trusted")}
_SQL = {
    name: text.format(**_SHARED) if "{columns}" in text or "{on_line}" in text else text
    for name, text in _PARTS.items()
}
_ON_LINE = {name: _SQL["line"] + _SQL[name] for name in ("count", "fact", "keyed", "message_places", "search")}
_MESSAGES = {
    backwards: _SQL["line"] + _SQL["messages"] + _SQL[order]
    for backwards, order in ((False, "forwards"), (True, "backwards"))
}
MEMORIES_FORMAT_3 = _SQL["format_3"]

_ROW = MemoryRow.__struct_fields__
_WRITERS_NAMED = 5
"""How many of the writers that were quicker a `Conflict` names."""


class SqliteMemories:
    """See `regrow.journal.memories.Memories`."""

    def __init__(self, db: Database, *, epoch_of: Callable[[str], int | None] | None = None) -> None:
        """Keep memories in a database.

        Args:
            db: has the tables of `MEMORIES_FORMAT_3`.
            epoch_of: gives the epoch of a run's latest lease, where the runs are not in the same database.
        """
        self._db = db
        self._epoch_of = epoch_of

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(
        self,
        project: str,
        memory: str,
        changes: Sequence[Change],
        origin: Origin,
        *,
        run: str = "",
        epoch: int = 0,
        guard: Guard | None = None,
        once: str = "",
    ) -> Pin:
        """See `Memories.write`."""
        # Before the transaction: that other place of the runs may want to read in this database.
        latest = self._epoch_of(run) if self._epoch_of is not None and epoch else None
        with self._db.writing() as db:
            if once and (done := db.execute(_SQL["done_before"], (once,)).fetchone()) is not None:
                return self._pin(db, project, str(done[0]), int(done[1]) + len(changes) - 1)
            if (latest or 0) > epoch or (epoch and db.execute(_SQL["overtaken"], (run, epoch)).fetchone() is not None):
                # What a driver that has lost its run does by now, another one does as well.
                raise LeaseLost(run, f"the lease on run {run} was lost to another driver")
            number = self._number(db, project, memory)
            last = Pin(memory, 0) if number is None else self._head(db, number, memory)
            if guard is not None:
                self._compare(db, project, last, number, guard, changes)
            if number is None:
                number = int(_one(db.execute(_SQL["make"], (project, memory, origin.time)))[0])
            for place, change in enumerate(changes):
                last = self._add(db, project, number, last, change, origin, once if place == 0 else "")
            return last

    def _add(  # noqa: PLR0917 - where, after what, and what
        self, db: apsw.Connection, project: str, number: int, last: Pin, change: Change, origin: Origin, once: str
    ) -> Pin:
        version = last.version + 1
        base = None
        if change.base is not None:
            base = self._number(db, project, change.base.memory)
            if base is None:
                raise UsageError(f"there is no memory {change.base.memory} to go on from")
            if change.kind == "fork" and last.version:
                raise UsageError(f"there is a memory {last.memory} already; a fork needs a name of its own")
        entry = Version(
            last.memory, version, change.kind, change.key, change.value, origin, change.base, change.suspect
        )
        digest = hash_of(entry, project, once, last.hash)
        row = (
            number, version, change.kind, change.key,
            None if change.value is None else msgspec.msgpack.encode(change.value),
            origin.run, origin.path, origin.actor, origin.source, origin.time,
            base, None if change.base is None else change.base.version,
            None if change.suspect is None else msgspec.msgpack.encode(change.suspect),
            once or None, digest,
        )  # fmt: skip
        identity = int(_one(db.execute(_SQL["add"], row))[0])
        if change.text:
            db.execute(_SQL["index"], (identity, change.text, number))
        db.executemany(_SQL["hold"], [(number, blob) for blob in set(change.blobs)])
        self._follow(db, number, version, change, base)
        return Pin(last.memory, version, digest)

    def _follow(self, db: apsw.Connection, number: int, version: int, change: Change, base: int | None) -> None:
        """Bring up to date what is derived from versions."""
        if change.kind == "fork" and change.base is not None:
            db.execute(_SQL["inherit"], (number, base, change.base.version))
        if change.suspect is None:
            return
        whom = msgspec.structs.asdict(change.suspect) | {"memory": number, "version": version}
        db.execute(_SQL[change.kind], whom)
        if change.kind == "release" and not db.changes():
            raise UsageError("nothing is in quarantine by these very words; `quarantined()` lists what is")

    def _compare(  # noqa: PLR0917 - what there is to compare
        self, db: apsw.Connection, project: str, last: Pin, number: int | None, guard: Guard, changes: Sequence[Change]
    ) -> None:
        if guard.version is not None and guard.version != last.version:
            raise self._conflict(db, last, number, guard.version, "")
        if guard.entry is None or not changes:
            return
        found = None if number is None else self._fact(db, project, last, number, changes[0].kind, changes[0].key)
        written = Pin(last.memory, 0) if found is None or found.gone else Pin(found.memory, found.version)
        # The version alone would not do: below a fork the same numbers stand in two memories.
        if written.version != guard.entry.version or (written.version and written.memory != guard.entry.memory):
            raise self._conflict(db, last, number, guard.entry.version, changes[0].key, written.version)

    def _conflict(  # noqa: PLR0917 - what there is to say
        self, db: apsw.Connection, last: Pin, number: int | None, expected: int, key: str, actual: int | None = None
    ) -> Conflict:
        since: list[str] = []
        if number is not None and expected < last.version:
            first = max(expected, last.version - _WRITERS_NAMED)
            rows = db.execute(_SQL["of_memory"], (number, first, last.version, -1)).fetchall()
            since = [f"{row[1]}: {row[2]} by {row[7]}{f' in run {row[5]}' if row[5] else ''}" for row in rows]
        return Conflict(last.memory, expected, last.version if actual is None else actual, tuple(since), key=key)

    # -- reading -------------------------------------------------------------------------------------------------------

    def head(self, project: str, memory: str) -> Pin:
        """See `Memories.head`."""
        with self._db.reading() as db:
            number = self._number(db, project, memory)
            return Pin(memory, 0) if number is None else self._head(db, number, memory)

    def pin(self, project: str, memory: str, version: int) -> Pin | None:
        """See `Memories.pin`."""
        with self._db.reading() as db:
            number = self._number(db, project, memory)
            if version == 0:
                return Pin(memory, 0)
            found = None if number is None else db.execute(_SQL["hash"], (number, version)).fetchone()
            return None if found is None else Pin(memory, version, found[0])

    def count(self, project: str, at: Pin) -> int:
        """See `Memories.count`."""
        with self._db.reading() as db:
            return int(_one(db.execute(_ON_LINE["count"], self._at(db, project, at)))[0])

    def messages(
        self, project: str, at: Pin, *, after: int = 0, limit: int = -1, newest_first: bool = False
    ) -> list[Version]:
        """See `Memories.messages`."""
        with self._db.reading() as db:
            bindings = self._at(db, project, at) | {"after": after, "limit": limit}
            return [read_version(row, project) for row in db.execute(_MESSAGES[newest_first], bindings)]

    def fact(self, project: str, at: Pin, kind: Kind, key: str) -> Version | None:
        """See `Memories.fact`."""
        with self._db.reading() as db:
            number = self._at(db, project, at)["memory"]
            found = self._fact(db, project, at, number, kind, key)
        return None if found is None or found.gone else found

    def keys(self, project: str, at: Pin, kind: Kind) -> list[str]:
        """See `Memories.keys`."""
        with self._db.reading() as db:
            return [place.key for place in self._keyed(db, self._at(db, project, at)) if place.kind == kind]

    def places(self, project: str, at: Pin) -> list[Place]:
        """See `Memories.places`."""
        with self._db.reading() as db:
            bindings = self._at(db, project, at)
            messages = [_place(row) for row in db.execute(_ON_LINE["message_places"], bindings)]
            return messages + self._keyed(db, bindings)

    def stored(self, project: str, memory: str, version: int) -> Version:
        """See `Memories.stored`."""
        with self._db.reading() as db:
            number = self._number(db, project, memory)
            found = db.execute(_SQL["of_memory"], (number, version - 1, version, 1)).fetchone()
        if found is None:
            raise missing(memory, version)
        return read_version(found, project)

    def history(self, project: str, at: Pin, *, after: int = 0, limit: int = -1) -> list[Version]:
        """See `Memories.history`."""
        with self._db.reading() as db:
            number = self._at(db, project, at)["memory"]
            return self._chain(db, project, at.memory, number, after, at.version, limit)

    def suspects(self, project: str, at: Pin) -> list[Suspect]:
        """See `Memories.suspects`."""
        with self._db.reading() as db:
            return [Suspect(*row) for row in db.execute(_SQL["suspects"], self._at(db, project, at))]

    def search(self, project: str, at: Pin, words: Sequence[str], k: int) -> list[Found]:
        """See `Memories.search`."""
        found: list[Found] = []
        if not words:
            return found
        with self._db.reading() as db:
            bindings = self._at(db, project, at)
            places = _one(db.execute(_SQL["line"] + _SQL["places_of_line"], bindings))[0]
            wanted = " OR ".join('"' + word.replace('"', '""') + '"' for word in words)
            bindings["match"] = f"{{text}} : ({wanted}) AND {{place}} : ({places})"
            rows: list[tuple[Any, ...]] = db.execute(_ON_LINE["search"], bindings).fetchall()
            for row in rows:
                if len(found) == k:
                    break
                fact = read_version(row[:-2], project)
                if fact.kind == "message" or self._is_latest(db, bindings, row):
                    found.append(Found(fact, row[-2]))
        return found

    def vectors(self, project: str, at: Pin, model: str) -> list[Vector]:
        """See `Memories.vectors`."""
        places = self.places(project, at)
        with self._db.reading() as db:
            found: list[Vector] = []
            for place in places:
                row = db.execute(_SQL["vector"], (model, project, place.memory, place.version)).fetchone()
                found.append(Vector(place, None if row is None else row[0]))
            return found

    def keep_vectors(self, project: str, model: str, vectors: Sequence[Vector]) -> None:
        """See `Memories.keep_vectors`."""
        with self._db.writing() as db:
            for vector in vectors:
                of = (project, vector.place.memory, vector.place.version)
                if vector.numbers is not None and (row := db.execute(_SQL["id"], of).fetchone()) is not None:
                    db.execute(_SQL["keep_vector"], (row[0], model, vector.numbers))

    def rows(self, project: str | None = None) -> list[MemoryRow]:
        """See `Memories.rows`."""
        with self._db.reading() as db:
            found = db.execute(_SQL["rows"], (project,)).fetchall()
        return self._db.checked(found, _ROW, MemoryRow, "the list of memories is")

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def remove(self, project: str, memory: str) -> None:
        """See `Memories.remove`."""
        with self._db.writing() as db:
            number = self._number(db, project, memory)
            if number is None:
                raise UsageError(f"there is no memory {memory} in project {project}")
            if forks := [str(name) for (name,) in db.execute(_SQL["forks_of"], (number,))]:
                raise UsageError(
                    f"memory {memory} holds what its forks have in common with it: {', '.join(forks)}; remove these "
                    f"first"
                )
            db.execute(_SQL["forget"], {"memory": number}).fetchall()

    def blobs(self) -> frozenset[str]:
        """See `Memories.blobs`."""
        with self._db.reading() as db:
            return frozenset(str(digest) for (digest,) in db.execute(_SQL["blobs"]))

    def check(self) -> list[str]:
        """See `Memories.check`."""
        wrong: list[str] = []
        with self._db.reading() as db:
            chains: list[tuple[Any, ...]] = db.execute(_SQL["all"]).fetchall()
            for number, project, name in chains:
                try:
                    head = self._head(db, number, name)
                    versions = self._chain(db, project, name, number, 0, head.version, -1)
                except Corrupted as problem:
                    wrong.append(str(problem))
                    continue
                held = {str(digest) for (digest,) in db.execute(_SQL["blobs_of"], (number,))}
                needed = {one.value.digest for one in versions if isinstance(one.value, BlobRef)}
                if missing := needed - held:
                    wrong.append(f"memory {name}: it does not hold {len(missing)} of its blobs, which gc may remove")
                if not versions[:1] or versions[0].kind != "fork":
                    kept = [tuple(row) for row in db.execute(_SQL["quarantines_of"], (number,))]
                    if kept != quarantines_of(versions):
                        wrong.append(f"memory {name}: what is in quarantine is not what its versions say")
        return wrong

    # -- parts of these ------------------------------------------------------------------------------------------------

    def _number(self, db: apsw.Connection, project: str, memory: str) -> int | None:
        found = db.execute(_SQL["number"], (project, memory)).fetchone()
        return None if found is None else int(found[0])

    def _head(self, db: apsw.Connection, number: int, memory: str) -> Pin:
        found = db.execute(_SQL["head"], (number,)).fetchone()
        return Pin(memory, 0) if found is None else Pin(memory, int(found[0]), found[1])

    def _pin(self, db: apsw.Connection, project: str, memory: str, version: int) -> Pin:
        number = self._number(db, project, memory)
        found = db.execute(_SQL["hash"], (number, version)).fetchone()
        if found is None:
            raise missing(memory, version)
        return Pin(memory, version, found[0])

    def _at(self, db: apsw.Connection, project: str, at: Pin) -> dict[str, Any]:
        """Give what a statement needs to know of the version that is read, once it is sure that it is that one."""
        number = self._number(db, project, at.memory)
        if at.version == 0:
            return {"memory": number if number is not None else 0, "version": 0}
        if self._pin(db, project, at.memory, at.version).hash != at.hash:
            raise Corrupted(
                f"memory {at.memory}: version {at.version} is not the one that was read: it was changed, or the memory "
                f"was removed and made again"
            )
        return {"memory": number, "version": at.version}

    def _fact(  # noqa: PLR0917 - where, and what
        self, db: apsw.Connection, project: str, at: Pin, number: int, kind: Kind, key: str
    ) -> Version | None:
        bindings = {"memory": number, "version": at.version, "kind": kind, "key": key}
        row = db.execute(_ON_LINE["fact"], bindings).fetchone()
        return None if row is None else read_version(row[:-1], project)

    def _is_latest(self, db: apsw.Connection, bindings: dict[str, Any], row: tuple[Any, ...]) -> bool:
        """Tell whether a document or file that was found is what its key names now."""
        latest = db.execute(_ON_LINE["fact"], bindings | {"kind": row[2], "key": row[3]}).fetchone()
        return latest is not None and (latest[-1], latest[1]) == (row[-1], row[1])

    def _keyed(self, db: apsw.Connection, bindings: dict[str, Any]) -> list[Place]:
        found: dict[tuple[str, str], Place | None] = {}
        for *place, gone in db.execute(_ON_LINE["keyed"], bindings):
            found.setdefault((place[0], place[1]), None if gone else _place(place))
        return [place for place in found.values() if place is not None]

    def _chain(  # noqa: PLR0917 - which part of which
        self, db: apsw.Connection, project: str, memory: str, number: int, after: int, to: int, limit: int
    ) -> list[Version]:
        found: list[Version] = []
        for place, row in enumerate(db.execute(_SQL["of_memory"], (number, after, to, limit)), start=after + 1):
            if row[1] != place:
                raise missing(memory, place)
            found.append(read_version(row, project))
        if len(found) < (to - after if limit < 0 else min(limit, to - after)):
            raise missing(memory, after + len(found) + 1)
        return found


def _place(row: Sequence[Any]) -> Place:
    return Place(row[0], row[1], row[2], row[3])


def _one(cursor: apsw.Cursor) -> tuple[Any, ...]:
    row = cursor.fetchone()
    assert row is not None  # noqa: S101 - such a statement always gives one
    return tuple(row)
