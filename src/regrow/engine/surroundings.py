"""What a driver may ask of the process that it is in. With another one behind it, it runs in a worker or in a test."""

from __future__ import annotations

from typing import Protocol

from regrow.engine.desk import Desk
from regrow.journal.cache import SharedCache
from regrow.journal.memories import Memories
from regrow.journal.signals import Signals
from regrow.journal.store import LogLine, SizeSeen


class Surroundings(Protocol):
    """What a driver may ask of the process that it is in, besides committing records."""

    @property
    def asks(self) -> Desk:
        """Where its run's questions to people are put up."""
        ...

    @property
    def signals(self) -> Signals:
        """What was sent to its run from outside."""
        ...

    def note_log(self, run: str, line: LogLine) -> None:
        """Keep a line that the code has logged or printed."""
        ...

    def sizes(self, task: str, input_class: int, project: str) -> list[SizeSeen]:
        """Give the sizes under which a task has succeeded lately with inputs of this class, newest first."""
        ...

    def remember_size(self, seen: SizeSeen, project: str) -> None:
        """Remember one more of these."""
        ...

    def release_blobs(self, run: str, digests: tuple[str, ...]) -> None:
        """Let blobs be collected that a run needs no more."""
        ...

    @property
    def cache(self) -> SharedCache:
        """The outcomes that runs share."""
        ...

    @property
    def memories(self) -> Memories:
        """The memories of agents."""
        ...
