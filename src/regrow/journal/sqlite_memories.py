"""Agents' memories in the store's SQLite database.

What a memory holds at a version is read by SQL over its line, as ranges of versions (``:line`` in
sqlite_memories.sql). A read costs what it gives, and no table has to be kept up to date with a state.

Every version's hash covers the one before it, and is checked whenever it is read. `check` goes through whole chains,
and compares with them what was derived from them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec

from regrow.errors import Conflict, Corrupted, LeaseLost, UsageError
from regrow.journal.database import Database
from regrow.journal.memories import (
    Carried,
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
from regrow.journal.memory_carrying import carried_of, is_here, latest_of
from regrow.journal.memory_chain import hash_of, missing, quarantines_of, read_version
from regrow.journal.memory_lines import (
    MESSAGES,
    ON_LINE,
    SQL,
    chain_of,
    count_in,
    count_on,
    head_of,
    is_latest,
    keyed_on,
    last_written,
    located,
    number_of,
    one_row,
    pin_of,
    place_of,
    ranges_beyond,
    ranges_of,
)
from regrow.journal.records import BlobRef

MEMORIES_FORMAT_3 = SQL["format_3"]

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
            number = number_of(db, project, memory)
            if once and (done := db.execute(SQL["done_before"], (number, once)).fetchone()) is not None:
                return pin_of(db, project, memory, int(done[0]) + len(changes) - 1)
            if (latest or 0) > epoch or (epoch and db.execute(SQL["overtaken"], (run, epoch)).fetchone() is not None):
                # What a driver that has lost its run does by now, another one does as well.
                raise LeaseLost(run, f"the lease on run {run} was lost to another driver")
            last = head_of(db, number, memory)
            if guard is not None:
                self._compare(db, last, number, guard, changes)
            if number is None:
                number = int(one_row(db.execute(SQL["make"], (project, memory, origin.time)))[0])
            for place, change in enumerate(changes):
                last = self._add(db, project, number, last, change, origin, once if place == 0 else "")
            return last

    def _add(  # noqa: PLR0917 - where, after what, and what
        self, db: apsw.Connection, project: str, number: int, last: Pin, change: Change, origin: Origin, once: str
    ) -> Pin:
        version = last.version + 1
        base = None
        if change.base is not None:
            base = number_of(db, project, change.base.memory)
            if base is None:
                raise UsageError(f"there is no memory {change.base.memory} to go on from")
            if change.kind == "fork" and last.version:
                raise UsageError(f"there is a memory {last.memory} already; a fork needs a name of its own")
        entry = Version(
            last.memory, version, change.kind, change.key, change.value, origin, change.base, change.suspect
        )
        digest = hash_of(entry, once, last.hash)
        row = (
            number, version, change.kind, change.key,
            None if change.value is None else msgspec.msgpack.encode(change.value),
            origin.run, origin.path, origin.actor, origin.source, origin.time,
            base, None if change.base is None else change.base.version,
            None if change.suspect is None else msgspec.msgpack.encode(change.suspect),
            once or None, digest,
        )  # fmt: skip
        identity = int(one_row(db.execute(SQL["add"], row))[0])
        if change.text:
            db.execute(SQL["index"], (identity, change.text, number))
        db.executemany(SQL["hold"], [(number, blob) for blob in set(change.blobs)])
        self._follow(db, number, version, change, base)
        return Pin(last.memory, version, digest)

    def _follow(self, db: apsw.Connection, number: int, version: int, change: Change, base: int | None) -> None:
        """Bring up to date what is derived from versions."""
        if change.kind == "fork" and change.base is not None:
            db.execute(SQL["inherit"], (number, base, change.base.version))
        if change.suspect is None:
            return
        whom = msgspec.structs.asdict(change.suspect) | {"memory": number, "version": version}
        db.execute(SQL[change.kind], whom)
        if change.kind == "release" and not db.changes():
            raise UsageError("nothing is in quarantine by these very words; `quarantined()` lists what is")

    def _compare(
        self, db: apsw.Connection, last: Pin, number: int | None, guard: Guard, changes: Sequence[Change]
    ) -> None:
        if guard.version is not None and guard.version != last.version:
            raise self._conflict(db, last, number, guard.version, "")
        if guard.entry is None or not changes:
            return
        found = last_written(db, last, number, changes[0].kind, changes[0].key)
        written = Pin(last.memory, 0) if found is None or found.gone else Pin(found.memory, found.version)
        # The version alone would not do: below a fork the same numbers stand in two memories.
        if written.version != guard.entry.version or (written.version and written.memory != guard.entry.memory):
            raise self._conflict(db, last, number, guard.entry.version, changes[0].key, written.version)

    def _conflict(  # noqa: PLR0917 - what there is to say
        self, db: apsw.Connection, last: Pin, number: int | None, expected: int, key: str, actual: int | None = None
    ) -> Conflict:
        first = max(expected, last.version - _WRITERS_NAMED)
        rows = db.execute(SQL["of_memory"], (number, first, last.version, -1)).fetchall()
        since = [f"{row[1]}: {row[2]} by {row[7]}{f' in run {row[5]}' if row[5] else ''}" for row in rows]
        return Conflict(last.memory, expected, last.version if actual is None else actual, tuple(since), key=key)

    # -- reading -------------------------------------------------------------------------------------------------------

    def head(self, project: str, memory: str) -> Pin:
        """See `Memories.head`."""
        with self._db.reading() as db:
            return head_of(db, number_of(db, project, memory), memory)

    def pin(self, project: str, memory: str, version: int) -> Pin | None:
        """See `Memories.pin`."""
        with self._db.reading() as db:
            number = number_of(db, project, memory)
            if version == 0:
                return Pin(memory, 0)
            found = db.execute(SQL["hash"], (number, version)).fetchone()
            return None if found is None else Pin(memory, version, found[0])

    def count(self, project: str, at: Pin) -> int:
        """See `Memories.count`."""
        with self._db.reading() as db:
            return count_on(db, located(db, project, at))

    def messages(
        self,
        project: str,
        at: Pin,
        *,
        after: int = 0,
        beyond: Pin | None = None,
        limit: int = -1,
        newest_first: bool = False,
    ) -> list[Version]:
        """See `Memories.messages`."""
        found: list[Version] = []
        with self._db.reading() as db:
            bindings = located(db, project, at)
            ranges = ranges_of(db, bindings)
            if not newest_first:
                ranges.reverse()
            if beyond is not None:
                ranges = ranges_beyond(ranges, number_of(db, project, beyond.memory), beyond.version)
            for part in ranges:
                if len(found) == limit:
                    break
                if after and (count := count_in(db, bindings, part)) <= after:
                    after -= count
                    continue
                wanted = {"after": after, "limit": limit - len(found)}  # what is below 0 stays so: no limit
                rows = db.execute(MESSAGES[newest_first], bindings | part | wanted)
                found += [read_version(row) for row in rows]
                after = 0
        return found

    def fact(self, project: str, at: Pin, kind: Kind, key: str) -> Version | None:
        """See `Memories.fact`."""
        with self._db.reading() as db:
            number = located(db, project, at)["memory"]
            found = last_written(db, at, number, kind, key)
        return None if found is None or found.gone else found

    def keys(self, project: str, at: Pin, kind: Kind) -> list[str]:
        """See `Memories.keys`."""
        with self._db.reading() as db:
            return [place.key for place in keyed_on(db, located(db, project, at)) if place.kind == kind]

    def places(self, project: str, at: Pin) -> list[Place]:
        """See `Memories.places`."""
        with self._db.reading() as db:
            bindings = located(db, project, at)
            messages = [place_of(row) for row in db.execute(ON_LINE["message_places"], bindings)]
            return messages + keyed_on(db, bindings)

    def stored(self, project: str, memory: str, version: int) -> Version:
        """See `Memories.stored`."""
        with self._db.reading() as db:
            number = number_of(db, project, memory)
            found = db.execute(SQL["of_memory"], (number, version - 1, version, 1)).fetchone()
        if found is None:
            raise missing(memory, version)
        return read_version(found)

    def history(self, project: str, at: Pin, *, after: int = 0, limit: int = -1) -> list[Version]:
        """See `Memories.history`."""
        with self._db.reading() as db:
            number = located(db, project, at)["memory"]
            return chain_of(db, at.memory, number, after, at.version, limit)

    def suspects(self, project: str, at: Pin) -> list[Suspect]:
        """See `Memories.suspects`."""
        with self._db.reading() as db:
            return [Suspect(*row) for row in db.execute(SQL["suspects"], located(db, project, at))]

    def search(self, project: str, at: Pin, words: Sequence[str], k: int) -> list[Found]:
        """See `Memories.search`."""
        found: list[Found] = []
        if not words:
            return found
        with self._db.reading() as db:
            bindings = located(db, project, at)
            places = one_row(db.execute(SQL["line"] + SQL["places_of_line"], bindings))[0]
            wanted = " OR ".join('"' + word.replace('"', '""') + '"' for word in words)
            bindings["match"] = f"{{text}} : ({wanted}) AND {{place}} : ({places})"
            rows: list[tuple[Any, ...]] = db.execute(ON_LINE["search"], bindings).fetchall()
            for kind, key, number, version, score in rows:
                if len(found) == k:
                    break
                if kind == "message" or is_latest(db, bindings, (kind, key, number, version)):
                    row = one_row(db.execute(SQL["of_memory"], (number, version - 1, version, 1)))
                    found.append(Found(read_version(row), score))
        return found

    def vectors(self, project: str, at: Pin, model: str) -> list[Vector]:
        """See `Memories.vectors`."""
        places = self.places(project, at)
        with self._db.reading() as db:
            found: list[Vector] = []
            for place in places:
                row = db.execute(SQL["vector"], (model, project, place.memory, place.version)).fetchone()
                found.append(Vector(place, None if row is None else row[0]))
            return found

    def keep_vectors(self, project: str, model: str, vectors: Sequence[Vector]) -> None:
        """See `Memories.keep_vectors`."""
        with self._db.writing() as db:
            for vector in vectors:
                of = (project, vector.place.memory, vector.place.version)
                if vector.numbers is not None and (row := db.execute(SQL["id"], of).fetchone()) is not None:
                    db.execute(SQL["keep_vector"], (row[0], model, vector.numbers))

    def rows(self, project: str | None = None) -> list[MemoryRow]:
        """See `Memories.rows`."""
        with self._db.reading() as db:
            found: list[tuple[Any, ...]] = db.execute(SQL["rows"], (project,)).fetchall()
            rows = self._db.checked([row[1:] for row in found], _ROW, MemoryRow, "the list of memories is")
            return [
                msgspec.structs.replace(row, messages=count_on(db, {"memory": number, "version": row.version}))
                for row, (number, *_) in zip(rows, found, strict=True)
            ]

    # -- from store to store -------------------------------------------------------------------------------------------

    def carried(self, project: str, at: Pin) -> list[Carried]:
        """See `Memories.carried`."""
        with self._db.reading() as db:
            return carried_of(db, project, at)

    def adopt(self, project: str, carried: Sequence[Carried], blobs: Sequence[str] = ()) -> None:
        """See `Memories.adopt`."""
        with self._db.writing() as db:
            grown: set[int] = set()
            for one in carried:
                new = one.version
                number, last = latest_of(db, project, new)
                if is_here(db, project, one, last):
                    continue
                if number is None:
                    number = int(one_row(db.execute(SQL["make"], (project, new.memory, new.origin.time)))[0])
                change = Change(new.kind, new.key, new.value, base=new.base, suspect=new.suspect)
                self._add(db, project, number, last, change, new.origin, one.once)
                grown.add(number)
            # Which version needs which is not said, so each memory that has grown holds them all.
            db.executemany(SQL["hold"], [(number, blob) for number in grown for blob in blobs])

    # -- upkeep --------------------------------------------------------------------------------------------------------

    def remove(self, project: str, memory: str) -> None:
        """See `Memories.remove`."""
        with self._db.writing() as db:
            number = number_of(db, project, memory)
            if number is None:
                raise UsageError(f"there is no memory {memory} in project {project}")
            if forks := [str(name) for (name,) in db.execute(SQL["forks_of"], (number,))]:
                raise UsageError(
                    f"memory {memory} holds what its forks have in common with it: {', '.join(forks)}; remove these "
                    f"first"
                )
            db.execute(SQL["forget"], {"memory": number}).fetchall()

    def blobs(self) -> frozenset[str]:
        """See `Memories.blobs`."""
        with self._db.reading() as db:
            return frozenset(str(digest) for (digest,) in db.execute(SQL["blobs"]))

    def check(self) -> list[str]:
        """See `Memories.check`."""
        wrong: list[str] = []
        with self._db.reading() as db:
            chains: list[tuple[Any, ...]] = db.execute(SQL["all"]).fetchall()
            for number, name in chains:
                try:
                    head = head_of(db, number, name)
                    versions = chain_of(db, name, number, 0, head.version, -1)
                except Corrupted as problem:
                    wrong.append(str(problem))
                    continue
                held = {str(digest) for (digest,) in db.execute(SQL["blobs_of"], (number,))}
                needed = {one.value.digest for one in versions if isinstance(one.value, BlobRef)}
                if missing := needed - held:
                    wrong.append(f"memory {name}: it does not hold {len(missing)} of its blobs, which gc may remove")
                if not versions[:1] or versions[0].kind != "fork":
                    kept = [tuple(row) for row in db.execute(SQL["quarantines_of"], (number,))]
                    if kept != quarantines_of(versions):
                        wrong.append(f"memory {name}: what is in quarantine is not what its versions say")
        return wrong
