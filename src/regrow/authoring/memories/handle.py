"""`regrow.memory`: a memory by its name, and what its author does with it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from regrow.authoring.home import StoreLike
from regrow.authoring.memories import operations
from regrow.authoring.memories.finding import Embed, SearchHit
from regrow.authoring.memories.reach import Reach, check_name, reach_inside, reach_outside
from regrow.authoring.memories.reading import (
    DocumentView,
    FileView,
    MemoryDiff,
    MemoryEntry,
    MessageView,
    Snapshot,
)
from regrow.authoring.memories.writing import Documents, Files, Labels, Messages
from regrow.errors import Conflict, UsageError
from regrow.journal.memories import Pin, Suspect

T = TypeVar("T")
_ATTEMPTS = 100
"""How often `update` tries. Each conflict means that somebody else got on, so only a crowd comes near it."""


class MemoryView:
    """A memory at one version, which can only be read and never changes.

    Attributes:
        name: of the memory.
        version: which one.
        messages: the dialogue.
        kv: the documents.
        files: the files.
    """

    def __init__(self, seen: Snapshot, outside: Callable[[], Reach], embed: Embed | None) -> None:
        """Read a version that is known to be there."""
        self.name = seen.pin.memory
        self.version = seen.pin.version
        self.messages = MessageView(lambda: seen)
        self.kv = DocumentView(lambda: seen)
        self.files = FileView(lambda: seen)
        self._seen = seen
        self._outside = outside
        self._embed = embed

    def search(self, text: str, k: int = 10, *, meaning: bool = False) -> list[SearchHit]:
        """Find messages, documents and files; see `Memory.search`."""
        if k < 1:
            raise UsageError(f"search() gives k hits, at least one; k is {k}")
        at = [self._seen.pin.memory, self._seen.pin.version, self._seen.pin.hash]
        if not meaning:
            return operations.hits(operations.search(self._outside, at, text, k))
        model = "regrow[semantic]" if self._embed is None else _model_name(self._embed)
        return operations.hits(operations.search(self._outside, at, text, k, meaning, self._embed, model))

    def history(self) -> list[MemoryEntry]:
        """Give every version up to this one, oldest first, with who wrote it; reverted and quarantined ones too."""
        return self._seen.history()

    def quarantined(self) -> list[Suspect]:
        """Give what is in quarantine at this version."""
        return self._seen.suspects()

    def diff(self, later: MemoryView) -> MemoryDiff:
        """Say what another version has that this one has not, and the other way round; it may be a fork's."""
        return self._seen.diff(later._seen)

    def __repr__(self) -> str:
        return f"<memory {self.name} at version {self.version}>"


class Memory:
    """A memory by its name; made by `memory`. Methods work in tasks, steps, threads and workers, and outside of runs.

    Inside a run every method is a recorded call: a replay sees what the run saw, and writes nothing. They are plain
    functions, also in asynchronous code: what they do is a statement in a local database.

    Attributes:
        name: its name.
        messages: the dialogue.
        kv: documents by key.
        files: a small tree of files.
    """

    def __init__(  # noqa: PLR0917 - what `memory` takes
        self, name: str, actor: str, source: str, embed: Embed | None, store: StoreLike, project: str | None
    ) -> None:
        """See `memory`."""
        self.name = check_name(name)
        self._store = store
        self._project = project
        self._embed = embed
        self._labels = Labels(self.name, actor, source, self._outside)
        self.messages = Messages(self._look, self._labels)
        self.kv = Documents(self._look, self._labels)
        self.files = Files(self._look, self._labels)

    def at(self, version: int | None = None) -> MemoryView:
        """Give the memory at one version; the latest if none is given, so that several reads see the same.

        Raises:
            UsageError: there is no such version.
        """
        return MemoryView(self._look(version), self._outside, self._embed)

    def version(self) -> int:
        """Give the latest version: 0 if nothing was ever written."""
        return self._look().pin.version

    def search(self, text: str, k: int = 10, *, meaning: bool = False) -> list[SearchHit]:
        """Find messages, documents and files, the best first.

        Args:
            text: what is looked for. What has any of its words fits; rare words count for more.
            k: how many at most.
            meaning: compare meanings instead of words, with the memory's `embed` or the model of ``regrow[semantic]``.
        """
        return self.at().search(text, k, meaning=meaning)

    def update(self, key: str, function: Callable[[Any], Any], default: Any = None) -> Any:
        """Change a document by a function of what it is, whoever else writes meanwhile; gives what was written.

        Args:
            key: of the document.
            function: makes the new value from the old; called again if somebody else was quicker, so let it do nothing
                else.
            default: what it is given if there is no such document.

        Raises:
            Conflict: somebody else was quicker a hundred times.
        """

        def try_once() -> Any:
            entry = self._look().entry("document", key)
            value = function(default if entry is None else entry.value)
            seen = (self.name, 0) if entry is None else (entry.memory, entry.version)
            self.kv.write_if(key, value, None, seen, None)
            return value

        return retry_on_conflict(try_once, attempts=_ATTEMPTS)

    def history(self) -> list[MemoryEntry]:
        """Give every version, oldest first, with who wrote it; reverted and quarantined ones too."""
        return self.at().history()

    def diff(self, a: int, b: int | None = None) -> MemoryDiff:
        """Say what version `b` (the latest, if not given) has that `a` has not, and the other way round.

        Raises:
            UsageError: there is no such version.
        """
        return self.at(a).diff(self.at(b))

    def fork(self, name: str, *, at: int | None = None) -> Memory:
        """Make another memory that begins as this one is, or was at a version. Nothing is copied.

        Raises:
            UsageError: the name is taken, or there is no such version.
        """
        operations.fork(self._outside, self.name, at, check_name(name), self._labels.actor)
        return Memory(name, self._labels.actor, self._labels.source, self._embed, self._store, self._project)

    def revert(self, *, to: int, expect: int | None = None) -> int:
        """Let the memory be as it was at a version. What was written since stays in the history.

        Returns:
            The memory's new version.

        Raises:
            UsageError: there is no such version.
            Conflict: the memory is not at the version `expect` any more.
        """
        return Pin(*operations.revert(self._outside, self.name, to, expect, self._labels.actor)).version

    def quarantine(self, *, run: str = "", step: str = "", actor: str = "", source: str = "", reason: str = "") -> int:
        """Hide from all later reads what somebody has written, or yet will; what was there before shows again.

        Earlier versions, and so the replays of runs that have read them, stay as they are.

        Args:
            run: hide what was written in this run,
            step: what was written inside a step or task of this name, or in the call that has this path,
            actor: what this actor wrote,
            source: what is said to come from this source. If several are given, what fits all of them.
            reason: why, for people.

        Returns:
            The memory's new version.
        """
        suspect = _suspect(run, step, actor, source)
        done = operations.quarantine(self._outside, self.name, "quarantine", suspect, reason, self._labels.actor)
        return Pin(*done).version

    def release(self, *, run: str = "", step: str = "", actor: str = "", source: str = "", reason: str = "") -> int:
        """Take a quarantine back that was put by the very same words.

        Raises:
            UsageError: there is none.
        """
        suspect = _suspect(run, step, actor, source)
        done = operations.release(self._outside, self.name, "release", suspect, reason, self._labels.actor)
        return Pin(*done).version

    def quarantined(self) -> list[Suspect]:
        """Give what is in quarantine."""
        return self.at().quarantined()

    def __repr__(self) -> str:
        return f"<memory {self.name}>"

    def _outside(self) -> Reach:
        return reach_outside(self._store, self._project)

    def _look(self, version: int | None = None) -> Snapshot:
        reach = reach_inside()
        if reach is not None and (self._store is not None or self._project is not None):
            raise UsageError("inside a run a memory is its run's store and project's: leave store= and project= out")
        pin = Pin(*operations.look(self._outside, self.name, version))
        return Snapshot(reach or self._outside(), pin)


def memory(
    name: str,
    *,
    actor: str = "",
    source: str = "",
    types: tuple[type[Any], ...] = (),
    embed: Embed | None = None,
    store: StoreLike = None,
    project: str | None = None,
) -> Memory:
    """Give a memory by its name: durable at every write, shared by the tasks of a run and by later runs.

    It comes to be with the first write, and nothing is read before something is asked for, so this may stand at the top
    of a module.

    Args:
        name: such as ``customers/42``.
        actor: who writes; otherwise the innermost task, or outside of a run ``user@host``.
        source: where what is written comes from, unless a write says it.
        types: classes of values in it that no task or step mentions.
        embed: a model of meaning for ``search(…, meaning=True)``: takes texts, gives a vector for each.
        store: outside of a run, where the memory is: ``.regrow/`` here unless ``REGROW_HOME`` says otherwise. Inside a
            run it is always in the run's store.
        project: outside of a run, to which it belongs: ``default`` unless ``REGROW_PROJECT`` says otherwise.

    Raises:
        UsageError: the name is none.
    """
    operations.allow(types)
    return Memory(name, actor, source, embed, store, project)


@overload
def retry_on_conflict(function: Callable[[], Awaitable[T]], *, attempts: int = ...) -> Awaitable[T]: ...
@overload
def retry_on_conflict(function: Callable[[], T], *, attempts: int = ...) -> T: ...
def retry_on_conflict(function: Callable[[], Any], *, attempts: int = 10) -> Any:
    """Call a function, and call it again as long as it raises `Conflict`.

    Args:
        function: reads, decides, and writes with ``expect=``. May be a coroutine function; then await what this gives.
        attempts: how often at most.

    Raises:
        Conflict: the last attempt's.
    """
    if inspect.iscoroutinefunction(function):
        return _retry_async(function, attempts)
    for _ in range(attempts - 1):
        try:
            return function()
        except Conflict:
            continue
    return function()


async def _retry_async(function: Callable[[], Awaitable[T]], attempts: int) -> T:
    for _ in range(attempts - 1):
        try:
            return await function()
        except Conflict:
            continue
    return await function()


def _suspect(*whom: str) -> list[str]:
    if not any(whom):
        raise UsageError("say whose writes: run=, step=, actor= or source=")
    return list(whom)


def _model_name(embed: Embed) -> str:
    owner = getattr(embed, "model", None) or getattr(embed, "__qualname__", type(embed).__qualname__)
    return f"{getattr(embed, '__module__', '')}:{owner}"
