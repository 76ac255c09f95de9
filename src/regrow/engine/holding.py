"""Holding a run back: no new call begins, what runs is let finish, and somebody can tell when all of it has.

A run that is paused has calls under way. Those that are only waiting (for a call inside them that is held back, for a
moment, for a person) need not be waited for: they wait just as well in the next life of the run. A call is at rest if
one of its strands waits like that, and then so is each call around it.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from regrow.engine.state import enclosing

LOOK_SECONDS = 0.05
"""Between two looks of a strand that is held back whether its run is let go of."""


class Meanwhile:
    """Does something with a path at the beginning of a block, and something else at its end, whatever that is.

    Not made with `contextlib.contextmanager`, which assigns to what passes through: users' exceptions may refuse that.
    """

    __slots__ = ("_begin", "_end", "_path")

    def __init__(self, begin: Callable[[str], None], end: Callable[[str], None], path: str) -> None:
        """Be ready to begin."""
        self._begin = begin
        self._end = end
        self._path = path

    def __enter__(self) -> None:
        """Begin."""
        self._begin(self._path)

    def __exit__(self, *_: object) -> None:
        """End."""
        self._end(self._path)


class Holding:
    """Which calls of a run are under way in this process, and which of them only wait.

    Attributes:
        on: whether new calls are held back. Once on, it stays on.
        told: is told, while on, whenever it changes whether all is at rest.
    """

    def __init__(self) -> None:
        """Hold nothing back."""
        self.on = False
        self.told: Callable[[bool], None] | None = None
        self._at_work: set[str] = set()
        self._resting: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._last = False

    @property
    def is_at_rest(self) -> bool:
        """Whether no call is under way that would come to an end by itself."""
        return all(self._resting[path] > 0 for path in self._at_work.copy())

    def begin(self) -> None:
        """Hold new calls back from now on."""
        self.on = True
        self._tell()

    def at_work(self, path: str) -> Meanwhile:
        """Count a call's body as running meanwhile."""
        return Meanwhile(self._at_work.add, self._done, path)

    def at_rest(self, path: str) -> Meanwhile:
        """Count a strand of a call as waiting meanwhile, for something that may take for ever."""
        return Meanwhile(self.rest, self.go_on, path)

    def rest(self, path: str) -> None:
        """Note that a strand of a call waits."""
        self._count(path, 1)

    def go_on(self, path: str) -> None:
        """Note that it does not any more."""
        self._count(path, -1)

    def _done(self, path: str) -> None:
        self._at_work.discard(path)
        if self.on:
            self._tell()

    def _count(self, path: str, by: int) -> None:
        with self._lock:
            while path:
                self._resting[path] += by
                if not self._resting[path]:
                    del self._resting[path]
                path = enclosing(path)
        if self.on:
            self._tell()

    def _tell(self) -> None:
        if self.told is not None and (now := self.is_at_rest) != self._last:
            self._last = now
            self.told(now)
