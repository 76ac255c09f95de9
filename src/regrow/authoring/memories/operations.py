"""What code can do with a memory. Inside a run each of these is one recorded call, whose inputs are what stands here.

Reads give the version that was read. Writes give the version that they made. Both are told by a `Pin`, which a replay
needs and nothing else. Only a search is recorded with what it found: how well a text fits depends on all texts in the
store, and those change.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from regrow.authoring.memories.finding import Embed, SearchHit, by_meaning, by_words, local_model, text_of
from regrow.authoring.memories.reach import Reach, Recorded, plain
from regrow.authoring.memories.reading import Snapshot
from regrow.codec import registry
from regrow.errors import UsageError
from regrow.journal.memories import Change, Guard, Kind, Pin, Suspect


def _look(reach: Reach, memory: str, version: int | None = None) -> list[Any]:
    name = reach.real_name(memory)
    with reach.store() as memories:
        pin = memories.head(reach.project, name) if version is None else memories.pin(reach.project, name, version)
        if pin is None:
            latest = memories.head(reach.project, name).version
            raise UsageError(f"memory {memory} has no version {version}; its latest is {latest}")
    return plain(pin)


def _append(  # noqa: PLR0917 - what is recorded, by position as by name
    reach: Reach, memory: str, messages: list[Any], expect: int | None = None, by: str = "", source: str = ""
) -> list[Any]:
    changes = [_content(reach, "message", "", one, f"message to {memory}") for one in messages]
    return plain(reach.write(reach.real_name(memory), changes, _guard(expect), by=by, source=source))


def _set(  # noqa: PLR0917 - likewise
    reach: Reach,
    memory: str,
    kind: Kind,
    key: str,
    value: Any,
    expect: int | None = None,
    seen: tuple[str, int] | None = None,
    by: str = "",
    source: str = "",
) -> list[Any]:
    change = _content(reach, kind, key, value, f"{key!r} of {memory}")
    return plain(reach.write(reach.real_name(memory), [change], _guard(expect, seen), by=by, source=source))


def _delete(  # noqa: PLR0917 - likewise
    reach: Reach, memory: str, kind: Kind, key: str, expect: int | None = None, by: str = "", source: str = ""
) -> list[Any]:
    change = Change(kind, key)
    return plain(reach.write(reach.real_name(memory), [change], _guard(expect), by=by, source=source))


def _fork(reach: Reach, memory: str, version: int | None, name: str, by: str = "") -> list[Any]:
    base = Pin(*_look(reach, memory, version))
    return plain(reach.write(reach.real_name(name), [Change("fork", base=base)], by=by))


def _revert(reach: Reach, memory: str, to: int, expect: int | None = None, by: str = "") -> list[Any]:
    base = Pin(*_look(reach, memory, to))
    return plain(reach.write(base.memory, [Change("revert", base=base)], _guard(expect), by=by))


def _judge(  # noqa: PLR0917 - likewise
    reach: Reach, memory: str, kind: Literal["quarantine", "release"], suspect: list[str], reason: str, by: str = ""
) -> list[Any]:
    change = Change(kind, reason, suspect=Suspect(*suspect))
    return plain(reach.write(reach.real_name(memory), [change], by=by))


def _search(  # noqa: PLR0917 - likewise
    reach: Reach,
    at: list[Any],
    text: str,
    k: int,
    meaning: bool = False,  # noqa: FBT001, FBT002 - recorded
    embed: Embed | None = None,
    model: str = "",
) -> list[list[Any]]:
    seen = Snapshot(reach, Pin(*at))
    found = by_meaning(seen, text, k, embed or local_model(), model) if meaning else by_words(seen, text, k)
    return [list(msgspec.structs.astuple(hit)) for hit in found]


look = Recorded("memory.read", _look)
append = Recorded("memory.append", _append)
set_ = Recorded("memory.set", _set)
write_file = Recorded("memory.write", _set)
delete = Recorded("memory.delete", _delete)
fork = Recorded("memory.fork", _fork)
revert = Recorded("memory.revert", _revert)
quarantine = Recorded("memory.quarantine", _judge)
release = Recorded("memory.release", _judge)
search = Recorded("memory.search", _search)


def hits(found: list[list[Any]]) -> list[SearchHit]:
    """Give what a search has found, as it was recorded."""
    return [SearchHit(*one) for one in found]


def _content(reach: Reach, kind: Kind, key: str, value: object, where: str) -> Change:
    kept = reach.keep(value, where)
    return Change(kind, key, kept.value, kept.blobs, text_of(key, value))


def _guard(expect: int | None, seen: tuple[str, int] | None = None) -> Guard | None:
    if expect is None and seen is None:
        return None
    return Guard(expect, None if seen is None else Pin(*seen))


def allow(types: tuple[type[Any], ...]) -> None:
    """Let values of these classes be read, though no task or step mentions them."""
    for cls in types:
        registry.allow(cls)
