"""What calls have given, kept for other calls: the shared cache, and who is computing what right now.

An *artifact* is a recorded outcome under a key that says everything it depends on. A *flight* is one call that computes
the artifact of a key while others that want the same wait for it. A flight belongs to a run under a lease, so it needs
no heartbeat of its own: it is over when that lease is, and then whoever asks next takes its place.

Nothing here is needed for a run to be right. What is lost here is computed again.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from regrow.codec import ErrorRecord
from regrow.journal.records import CacheHit, Value

RETAINED_SECONDS = 3600.0
"""How long blobs are kept that an artifact needed which is gone: a call may have found it just before, and its run
refers to them only when its own record is written."""


class Artifact(msgspec.Struct, frozen=True):
    """What a call gave, and all that another one needs in order to give the same.

    Attributes:
        key: of what it depends on.
        ref: the task or step, as ``module:qualname``.
        origin: the call that computed it.
        value: its result; None if it failed.
        error: what it failed of, if it did.
        blobs: what the result needs.
    """

    key: str
    ref: str
    origin: CacheHit
    value: Value | None = None
    error: ErrorRecord | None = None
    blobs: tuple[str, ...] = ()


class Found(msgspec.Struct, frozen=True, tag=True):
    """There is an artifact, and it is fresh enough."""

    artifact: Artifact


class Granted(msgspec.Struct, frozen=True, tag=True):
    """There is none, and the caller is the one to compute it.

    Attributes:
        flight: the number under which it does.
        damaged: whether there was one that is not what was written; it was removed.
    """

    flight: int
    damaged: bool = False


class InFlight(msgspec.Struct, frozen=True, tag=True):
    """There is none, and the call at `path` of `run` computes it: wait, and ask again."""

    run: str
    path: str


class Circular(msgspec.Struct, frozen=True, tag=True):
    """There is none, and who computes it waits, in the end, for the caller: compute it without waiting."""


Finding = Found | Granted | InFlight | Circular


class ArtifactRow(msgspec.Struct, frozen=True):
    """An artifact as a list shows it.

    Attributes:
        key: its key.
        project: of the run that computed it.
        ref: the task or step.
        run: which run computed it.
        path: and which call of that.
        computed: when, in seconds since the epoch.
        seconds: how long that took.
        cost: what was spent on it, in billionths of a US dollar.
        failed: whether what is kept is a failure.
        hits: how often it was found. Counted together and now and then: a crash may lose a few.
        used: when it was found last, or else computed.
        size: of the artifact without its blobs, in bytes.
        blobs: what it needs beside.
    """

    key: str
    project: str
    ref: str
    run: str
    path: str
    computed: float
    seconds: float
    cost: int
    failed: bool
    hits: int
    used: float
    size: int
    blobs: tuple[str, ...] = ()


class SharedCache(Protocol):
    """The cache of one store. Methods may be called from any thread, and in workers over the channel.

    Times are seconds since the epoch by the caller's clock.
    """

    def look_up(
        self, key: str, *, run: str, path: str, now: float, max_age: float | None = None, failures: bool = False
    ) -> Finding:
        """Find an artifact, or else the right to compute it.

        Args:
            key: of what is wanted.
            run: the caller's run.
            path: the caller's call.
            now: the time.
            max_age: an older artifact does not count.
            failures: whether a failure counts.
        """
        ...

    def put(self, artifact: Artifact, flight: int, *, run: str, project: str, bound: bool = False) -> None:
        """Keep an artifact, in the place of an older one, and end the flight that computed it.

        Args:
            artifact: what was computed.
            flight: under which number; 0 for none.
            run: by which run.
            project: of which project.
            bound: whether only that run can use it, so that it goes with the run.
        """
        ...

    def land(self, flight: int) -> None:
        """End a flight that has computed nothing: whoever waits may take its place."""
        ...

    def leave(self, run: str, path: str) -> None:
        """End all flights of calls inside the call at `path`, because the process that carried them out is gone."""
        ...

    def discard(self, keys: tuple[str, ...], *, now: float) -> None:
        """Forget artifacts. Their blobs are held for `RETAINED_SECONDS` more."""
        ...

    def forget_run(self, run: str, *, now: float) -> None:
        """Forget what only this run could use; it is being deleted."""
        ...

    def settle(self) -> None:
        """Write down the hits that were counted."""
        ...

    def rows(self) -> list[ArtifactRow]:
        """List all artifacts, what was used last coming first."""
        ...

    def artifact(self, key: str) -> Artifact | None:
        """Give one artifact, or None if there is none that is sound."""
        ...

    def blobs(self, *, now: float) -> frozenset[str]:
        """Give the digests of all blobs that must be kept for the cache's sake."""
        ...
