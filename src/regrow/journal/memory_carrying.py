"""Memories on their way from one store to another: as they are, version by version, with every hash checked again."""

from __future__ import annotations

import apsw

from regrow.errors import Corrupted, UsageError
from regrow.journal.memories import Carried, Pin, Version
from regrow.journal.memory_chain import hash_of, read_version
from regrow.journal.memory_lines import SQL, chain_of, head_of, located, number_of


def carried_of(db: apsw.Connection, project: str, at: Pin) -> list[Carried]:
    """Give a memory's versions up to one, after those that they go on from in other memories."""
    located(db, project, at)
    needed: dict[str, int] = {}
    _need(db, project, at.memory, at.version, needed)
    found: list[Carried] = []
    for memory, version in needed.items():
        rows = db.execute(SQL["of_memory"], (number_of(db, project, memory), 0, version, -1))
        found += [Carried(read_version(row), row[13] or "") for row in rows]
    return found


def _need(db: apsw.Connection, project: str, memory: str, version: int, needed: dict[str, int]) -> None:
    if needed.get(memory, 0) >= version:
        return
    for one in chain_of(db, memory, number_of(db, project, memory), 0, version, -1):
        if one.base is not None and one.base.memory != memory:
            _need(db, project, one.base.memory, one.base.version, needed)
    needed[memory] = max(version, needed.get(memory, 0))


def is_here(db: apsw.Connection, project: str, carried: Carried, last: Pin) -> bool:
    """Tell whether a version that was carried here is here already.

    Args:
        db: where.
        project: into which it is taken.
        carried: the version.
        last: the latest version of the memory here.

    Raises:
        UsageError: there is another memory of this name.
        Corrupted: it is not what was written, or does not follow what is here.
    """
    version = carried.version
    if version.version <= last.version:
        number = number_of(db, project, version.memory)
        (found,) = chain_of(db, version.memory, number, version.version - 1, version.version, 1)
        if found.hash != version.hash:
            raise UsageError(
                f"there is another memory {version.memory} in project {project}; import into a new project"
            )
        return True
    if version.version != last.version + 1 or hash_of(version, carried.once, last.hash) != version.hash:
        raise Corrupted(f"memory {version.memory}: version {version.version} is not what was exported")
    return False


def latest_of(db: apsw.Connection, project: str, version: Version) -> tuple[int | None, Pin]:
    """Give the number and the latest version of the memory to which a version belongs."""
    number = number_of(db, project, version.memory)
    return number, head_of(db, number, version.memory)
