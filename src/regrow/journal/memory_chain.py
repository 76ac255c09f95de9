"""The chain of a memory's versions: what their hashes cover, and whether what was read is what was written.

Each hash covers everything that is kept of a version and the hash of the version before it, so none can be changed,
moved or dropped without the next one noticing. A read checks each version that it gives, by itself; whole chains are
gone through by `history` and by `regrow doctor`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, get_args

import msgspec

from regrow.errors import Corrupted
from regrow.journal.memories import Kind, Origin, Pin, Suspect, Version
from regrow.journal.records import Value

_KINDS = frozenset(get_args(Kind))
_VALUE = msgspec.msgpack.Decoder(Value)
_SUSPECT = msgspec.msgpack.Decoder(Suspect)


def read_version(row: Sequence[Any]) -> Version:
    """Make a row into a version, if it is what was written.

    Raises:
        Corrupted: it is not; names memory and version.
    """
    name, version, kind, key, value, run, path, actor, source, time, base, base_version, suspect, once, own, before = (
        row
    )
    with suppress(msgspec.MsgspecError, TypeError, UnicodeError):
        found = Version(
            name,
            version,
            kind,
            key,
            None if value is None else _VALUE.decode(value),
            Origin(run, path, actor, source, time),
            None if base is None else Pin(base, base_version),
            None if suspect is None else _SUSPECT.decode(suspect),
            own,
        )
        if kind in _KINDS and hash_of(found, once or "", before) == own:
            return found
    raise Corrupted(f"memory {name}: version {version} is damaged, or the one before it: they do not match its hash")


def hash_of(version: Version, once: str, before: bytes) -> bytes:
    """Give a version's hash. The project is left out, so that a memory can be carried into another one.

    Args:
        version: all of it but the hash.
        once: the name of the write that made it, if it was the first that this made; otherwise empty.
        before: hash of the version before it; empty in the first.
    """
    origin, base = version.origin, version.base
    content = (
        version.memory, version.version, version.kind, version.key, version.value,
        origin.run, origin.path, origin.actor, origin.source, origin.time,
        None if base is None else (base.memory, base.version), version.suspect, once, before,
    )  # fmt: skip
    return hashlib.sha256(msgspec.msgpack.encode(content)).digest()


def missing(memory: str, version: int) -> Corrupted:
    """Give the error that says that a version is not there."""
    return Corrupted(
        f"memory {memory}: version {version} is missing; it was damaged, or the memory was removed since it was read"
    )


def quarantines_of(versions: Sequence[Version]) -> list[tuple[Any, ...]]:
    """Give what the table of quarantines must hold, by what the versions say."""
    found: list[tuple[Any, ...]] = []
    for one in versions:
        if one.suspect is None:
            continue
        whom = msgspec.structs.astuple(one.suspect)
        if one.kind == "quarantine":
            found.append((one.version, None, *whom))
        else:
            found = [(row[0], one.version, *row[2:]) if row[1] is None and row[2:] == whom else row for row in found]
    return found
