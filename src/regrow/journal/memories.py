"""The protocol under agents' memories: what is kept of one, and what may be asked of it.

A memory is a log. Each write is a *version*: 1, 2, 3, … None is ever changed, so whoever knows a version's number can
read the same state again for ever. Each version has a *base*, the state that it was written on: most often the version
before it. `revert` writes one whose base is an older version, `fork` the first one of another memory, whose base lies
in this one. What a memory holds at a version is what lies on its *line*: that version, its base, the base of that, and
so on. Nothing is copied by either, and a write costs its own length.

A *quarantine* is a version too, and hides what certain writers wrote from every read at that version or a later one. It
does not go by the line: a revert to before it must not let the poison back in. A fork begins with those in force.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from regrow.journal.records import Value

Kind = Literal["message", "document", "file", "revert", "fork", "quarantine", "release"]
"""What a version is about. The first three are *facts*: what is written into a memory to be read."""


class Pin(msgspec.Struct, frozen=True, array_like=True):
    """A memory at one version: all that a replay needs to read again what was read before.

    Attributes:
        memory: its name.
        version: which one; 0 is the empty memory before the first write.
        hash: of that version, so that another memory, which has been given the name since, is not taken for it.
    """

    memory: str
    version: int
    hash: bytes = b""


class Origin(msgspec.Struct, frozen=True):
    """Who wrote something.

    Attributes:
        run: in which run; empty if it was written outside of any.
        path: of the call that wrote it, such as ``agent#1/fetch#2/memory.set#1``.
        actor: the task that wrote it, or what its code calls itself; outside of a run, a person as ``user@host``.
        source: where the content came from, as the code says, such as a URL; empty where it says nothing.
        time: when, in seconds since the epoch.
    """

    run: str
    path: str
    actor: str
    source: str
    time: float

    @property
    def step(self) -> str:
        """The path of the step or task whose code wrote it; empty outside of a run."""
        inside, _, _ = self.path.rpartition("/")
        while inside.rpartition("/")[2].startswith("~"):
            inside, _, _ = inside.rpartition("/")
        return inside


class Suspect(msgspec.Struct, frozen=True):
    """Whose writes a quarantine hides: those to which all of these apply that are not empty.

    Attributes:
        run: written in this run.
        step: written inside a step or task of this name, or inside the very call that has this path.
        actor: written by this actor.
        source: said to come from this source.
    """

    run: str = ""
    step: str = ""
    actor: str = ""
    source: str = ""


class Change(msgspec.Struct, frozen=True):
    """What a new version is to say.

    Attributes:
        kind: what it is about.
        key: of the document, or path of the file; the reason of a quarantine or release.
        value: the content; None deletes what the key names, or says that there is none.
        blobs: what the content needs.
        text: the words under which it is found.
        base: for a revert or fork: the state that it goes on from.
        suspect: for a quarantine or release.
    """

    kind: Kind
    key: str = ""
    value: Value | None = None
    blobs: tuple[str, ...] = ()
    text: str = ""
    base: Pin | None = None
    suspect: Suspect | None = None


class Guard(msgspec.Struct, frozen=True):
    """What must hold for a write to be made; both are compared in its own transaction.

    Attributes:
        version: the memory's latest version; None if that does not matter.
        entry: the version in which the key was last written, 0 if nothing is there; None if that does not matter.
    """

    version: int | None = None
    entry: Pin | None = None


class Version(msgspec.Struct, frozen=True):
    """One version, as it was written. `gone` tells that it deleted what the key names."""

    memory: str
    version: int
    kind: Kind
    key: str
    value: Value | None
    origin: Origin
    base: Pin | None = None
    suspect: Suspect | None = None
    hash: bytes = b""

    @property
    def gone(self) -> bool:
        """Whether it deletes what its key names."""
        return self.value is None


class Place(msgspec.Struct, frozen=True):
    """Where a fact stands, without what it says. Places that are equal hold the same."""

    kind: Kind
    key: str
    memory: str
    version: int


class Found(msgspec.Struct, frozen=True):
    """A fact that a search has found; the larger its score, the better it fits."""

    fact: Version
    score: float


class Vector(msgspec.Struct, frozen=True):
    """What a model makes of a fact's text: float32 numbers, little-endian; None if it has not been asked."""

    place: Place
    numbers: bytes | None


class Carried(msgspec.Struct, frozen=True):
    """A version on its way into another store, and the name of the write that made it."""

    version: Version
    once: str = ""


class MemoryRow(msgspec.Struct, frozen=True):
    """A memory as a list shows it.

    Attributes:
        name: its name.
        version: the latest.
        created: when it came to be, in seconds since the epoch.
        written: when the latest version was written.
        messages: how many messages it holds now: those that it was forked with too, and none that are in quarantine.
        bytes: what its versions weigh, without blobs.
        forked_from: the memory that it was forked from.
    """

    name: str
    version: int
    created: float
    written: float
    messages: int
    bytes: int
    forked_from: str | None = None


class Memories(Protocol):
    """The memories of one store. Methods may be called from any thread; each is one transaction.

    What reads takes a `Pin` and raises `Corrupted` if that very version is not there, or is not what was written.
    """

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
        """Add a version for each change, all or none, and give the last; a memory comes to be with its first write.

        Args:
            project: to which the memory belongs.
            memory: its name.
            changes: what to write.
            origin: who writes.
            run: the run that writes; that of the origin.
            epoch: of that run's lease, if the writer has it; 0 if not.
            guard: what must hold.
            once: names this write: one that was made under this name is not made again, and its versions are given.

        Raises:
            Conflict: the guard does not hold.
            UsageError: the fork's name is taken, or nothing like this is in quarantine.
            LeaseLost: another driver has the run by now.
        """
        ...

    def head(self, project: str, memory: str) -> Pin:
        """Give the latest version; 0 if there is no such memory."""
        ...

    def pin(self, project: str, memory: str, version: int) -> Pin | None:
        """Give one version of a memory; None if there is none."""
        ...

    def count(self, project: str, at: Pin) -> int:
        """Give how many messages there are."""
        ...

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
        """Give messages in their order, or backwards.

        Args:
            project: to which the memory belongs.
            at: the version that is read.
            after: how many to leave out first.
            beyond: begin after this one, which is on the line. It is found at once, where `after` has to count.
            limit: how many at most.
            newest_first: backwards.
        """
        ...

    def fact(self, project: str, at: Pin, kind: Kind, key: str) -> Version | None:
        """Give the document or file that a key names."""
        ...

    def keys(self, project: str, at: Pin, kind: Kind) -> list[str]:
        """Give the keys of all documents, or the paths of all files, in order."""
        ...

    def places(self, project: str, at: Pin) -> list[Place]:
        """Give where each fact stands: messages in their order, then documents and files by key."""
        ...

    def stored(self, project: str, memory: str, version: int) -> Version:
        """Give one version as it was written, quarantined or not."""
        ...

    def history(self, project: str, at: Pin, *, after: int = 0, limit: int = -1) -> list[Version]:
        """Give the memory's own versions past a number up to `at`, whatever their line; checks the chain."""
        ...

    def suspects(self, project: str, at: Pin) -> list[Suspect]:
        """Give what is in quarantine."""
        ...

    def search(self, project: str, at: Pin, words: Sequence[str], k: int) -> list[Found]:
        """Give the `k` facts that fit best, of those that have at least one of the words."""
        ...

    def vectors(self, project: str, at: Pin, model: str) -> list[Vector]:
        """Give what a model makes of each fact."""
        ...

    def keep_vectors(self, project: str, model: str, vectors: Sequence[Vector]) -> None:
        """Keep what a model makes of facts. It is made from them, and may be lost."""
        ...

    def carried(self, project: str, at: Pin) -> list[Carried]:
        """Give all that a memory's state needs, to be taken to another store: bases come before what goes on from them.

        The blobs that it refers to are to be taken along.
        """
        ...

    def adopt(self, project: str, carried: Sequence[Carried], blobs: Sequence[str] = ()) -> None:
        """Take in what another store gave; what is here already stays. It can be read, and is not found by its words.

        Raises:
            UsageError: there is another memory of this name in the project.
            Corrupted: it is not what was written.
        """
        ...

    def rows(self, project: str | None = None) -> list[MemoryRow]:
        """List the memories of a project, or of all, by name."""
        ...

    def remove(self, project: str, memory: str) -> None:
        """Forget a memory and its history.

        Raises:
            UsageError: there is none, or another one was forked from it.
        """
        ...

    def blobs(self) -> frozenset[str]:
        """Give the digests of all blobs that memories hold."""
        ...

    def check(self) -> list[str]:
        """Verify every chain, and give a sentence for each thing that is wrong."""
        ...
