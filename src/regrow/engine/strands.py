"""How the strands of a run wait: for moments, in coroutines and threads, and while the run is held back.

A wait in a coroutine is reached by a cancellation. One in a thread is not, so it looks for itself whether the run was
interrupted meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from regrow.engine.branches import loop_is_running
from regrow.engine.holding import LOOK_SECONDS, Holding
from regrow.errors import RegrowError

_LOOK_AT_THE_CLOCK = 60.0
"""Seconds after which a long wait looks at the wall clock again: that may be set, and a laptop may have slept."""


class Strands(ABC):
    """The part of a driver that waits.

    Attributes:
        now: gives the wall clock's time, in seconds since the epoch.
        cancelled_by: who cancelled the run.
        holding: whether new calls are held back, and what runs meanwhile.
        pausing: why new calls are held back, where that is known.
        held_back: how many strands wait for their turn, or for a cancellation that is recorded.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        """Wait by this clock."""
        self.now = now
        self.cancelled_by: str | None = None
        self.holding = Holding()
        self.pausing: RegrowError | None = None
        self.held_back = 0
        self._interrupted = threading.Event()

    @abstractmethod
    def check(self) -> None:
        """Let nothing begin in a run that is ending."""

    @abstractmethod
    def let_go(self, why: RegrowError | None = None) -> None:
        """Begin to end."""

    @contextlib.contextmanager
    def holding_back(self) -> Iterator[None]:
        """Count a strand as held back by regrow meanwhile, for the sake of what is recorded."""
        self.held_back += 1
        try:
            yield
        finally:
            self.held_back -= 1

    # -- holding back --------------------------------------------------------------------------------------------------

    @property
    def holds_back(self) -> bool:
        """Whether a call that is about to begin is to wait until the run is let go of."""
        return self.holding.on and self.cancelled_by is None

    async def hold(self, path: str) -> None:
        """Hold a strand of a call back, in a coroutine, until its run is let go of or cancelled.

        Raises:
            CancelledError: the run is let go of.
        """
        with self.holding.at_rest(path):
            while self.holds_back:
                self.check()
                await asyncio.sleep(LOOK_SECONDS)

    def hold_in_thread(self, path: str) -> None:
        """Hold a strand back in a thread. Raises what `hold` does.

        A synchronous call on the thread of an event loop would keep the calls on that very loop from finishing. So it
        is let through as long as there are any, and the last one lets go of the run.
        """
        on_loop = loop_is_running()
        with self.holding.at_rest(path):
            while self.holds_back:
                self.check()
                if on_loop and not self.holding.is_at_rest:
                    return
                if on_loop and self.pausing is not None:
                    self.let_go(self.pausing)
                else:
                    self.pause_in_thread(LOOK_SECONDS)

    def at_work(self, path: str, *, isolated: bool) -> contextlib.AbstractContextManager[None]:
        """Count a call's body as running; what runs in a worker is counted where that is looked after."""
        return contextlib.nullcontext() if isolated else self.holding.at_work(path)

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def wait_until(self, moment: float) -> None:
        """Wait in a coroutine for a moment, in seconds since the epoch.

        A wall clock that is set back meanwhile does not make it longer: it ends at the latest when as much time has
        passed as was left at its beginning.
        """
        loop = asyncio.get_running_loop()
        latest = loop.time() + moment - self.now()
        while (left := min(moment - self.now(), latest - loop.time())) > 0:  # noqa: ASYNC110 - only time is waited for
            await asyncio.sleep(min(left, _LOOK_AT_THE_CLOCK))

    def wait_in_thread_until(self, moment: float) -> None:
        """Wait in a thread for a moment, in seconds since the epoch.

        Raises:
            CancelledError: the run is cancelled or let go of meanwhile.
        """
        latest = time.monotonic() + moment - self.now()
        while (left := min(moment - self.now(), latest - time.monotonic())) > 0:
            self._interrupted.wait(min(left, _LOOK_AT_THE_CLOCK))
            self.heed_interruption()

    def pause_in_thread(self, seconds: float) -> None:
        """Wait in a thread for a while, by no clock that anybody can set.

        Raises:
            CancelledError: the run is cancelled or let go of meanwhile.
        """
        self._interrupted.wait(seconds)
        self.heed_interruption()

    def interrupt_at_next_call(self) -> None:
        """Interrupt code that runs on no event loop: nothing can reach into it before it calls or waits next."""
        self._interrupted.set()

    def heed_interruption(self) -> None:
        """Raise the ``CancelledError`` that is due to a synchronous run, once."""
        if self._interrupted.is_set():
            self._interrupted.clear()
            raise asyncio.CancelledError
