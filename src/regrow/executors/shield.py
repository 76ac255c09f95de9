"""Keeping a signal's exception out of the few places where it would leave something half done."""

from __future__ import annotations

import threading


class Shield:
    """Raises interruptions in the main thread: at once, or when it leaves the place where it must not be interrupted.

    Used as a context manager around such a place, by any thread; it matters in the main one alone, which is where
    Python runs signal handlers.

    Attributes:
        interruption: what was raised last, or will be.
    """

    def __init__(self) -> None:
        """Protect nothing yet."""
        self.interruption: BaseException | None = None
        self._depth = 0
        self._due = False

    def interrupt(self, interruption: BaseException) -> None:
        """Interrupt the main thread; to be called by a signal handler, which runs in it."""
        self.interruption = interruption
        if self._depth:
            self._due = True
        else:
            raise interruption

    def __enter__(self) -> None:
        """Enter a place where the main thread must not be interrupted."""
        if threading.current_thread() is threading.main_thread():
            self._depth += 1

    def __exit__(self, *_: object) -> None:
        """Leave it, and raise what is due."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._depth -= 1
        if self._due and not self._depth:
            self._due = False
            assert self.interruption is not None  # noqa: S101 - that is what is due
            raise self.interruption
