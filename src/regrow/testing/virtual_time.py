"""Time that passes only when nothing else is left to do, and an event loop that lives in it.

An hour of sleeping costs nothing, and a seed always sees the same moments. Each simulated process has a loop of its
own; who runs next is for the world to say, one callback at a time.

The order of `call_soon` is kept within a loop. asyncio documents it, and regrow builds on it: of two outcomes that
became durable together, the code acts first on the one that was recorded first, and after a crash it gets them in that
order again. Shuffling them would find bugs that no event loop can have. What asyncio leaves open is shuffled: which of
several timers due at one moment comes first, when what another thread has done arrives, and, between processes,
everything.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import Context
from typing import Any

_EPOCH = 1_700_000_000.0
"""What the wall clock shows when a world begins; any moment will do."""


@contextmanager
def running_on(loop: asyncio.AbstractEventLoop | None) -> Iterator[None]:
    """Let code run as if on a loop, or, for None, as in a thread without one."""
    before = events._get_running_loop()  # noqa: SLF001 - how those who write event loops are told to do it
    events._set_running_loop(loop)  # noqa: SLF001
    try:
        yield
    finally:
        events._set_running_loop(before)  # noqa: SLF001


class VirtualTime:
    """A monotonic clock, and a wall clock beside it that may be set.

    Attributes:
        now: seconds since the world began.
        set_by: by how many seconds the wall clock has been set, forwards or (negative) backwards.
        was_set_back: whether it ever was set backwards.
    """

    def __init__(self) -> None:
        """Begin."""
        self.now = 0.0
        self.set_by = 0.0
        self.was_set_back = False

    def set(self, seconds: float) -> None:
        """Set the wall clock by so many seconds, forwards or (negative) backwards."""
        self.set_by += seconds
        self.was_set_back = self.was_set_back or seconds < 0

    def monotonic(self) -> float:
        """Give seconds that never jump."""
        return self.now

    def wall(self) -> float:
        """Give what the wall clock shows, in seconds since the epoch."""
        return _EPOCH + self.now + self.set_by


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose callbacks are run by somebody else, one at a time.

    Attributes:
        problems: what asyncio's exception handler was told.
    """

    def __init__(self, clock: VirtualTime, chance: random.Random) -> None:
        """Have nothing to do yet."""
        super().__init__()
        self.problems: list[dict[str, Any]] = []
        self._virtual = clock
        self._chance = chance
        self._due_now: deque[asyncio.Handle] = deque()
        self._due_later: list[tuple[float, float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self.set_exception_handler(lambda _, context: self.problems.append(context))
        self.set_default_executor(_PlayedThreads(self, chance))

    def time(self) -> float:
        """See `asyncio.AbstractEventLoop.time`."""
        return self._virtual.now

    def call_soon(  # type: ignore[override]  # typeshed's has a type variable for the arguments
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio.AbstractEventLoop.call_soon`."""
        handle = asyncio.Handle(callback, args, self, context)
        self._due_now.append(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]  # likewise
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """See `asyncio.AbstractEventLoop.call_soon_threadsafe`; there is one thread in the world."""
        return self.call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override]  # likewise
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop.call_at`."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._due_later, (when, self._chance.random(), next(self._numbers), handle))
        return handle

    def next_moment(self) -> float | None:
        """Give when there is next something to do, which may be past; None for never."""
        while self._due_now and self._due_now[0].cancelled():
            self._due_now.popleft()
        if self._due_now:
            return self._virtual.now
        while self._due_later and self._due_later[0][3].cancelled():
            heapq.heappop(self._due_later)
        return self._due_later[0][0] if self._due_later else None

    def run_one(self) -> None:
        """Run one callback, if one is due."""
        while self._due_later and self._due_later[0][0] <= self._virtual.now:
            self._due_now.append(heapq.heappop(self._due_later)[3])
        while self._due_now:
            handle = self._due_now.popleft()
            if not handle.cancelled():
                with running_on(self):
                    handle._run()  # noqa: SLF001 - what a loop does with a handle
                return

    def bury(self) -> None:
        """Let go of everything that a dead process had still under way, without a word about it."""
        for task in asyncio.all_tasks(self):
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - as `asyncio.gather` does
            coroutine: Any = task.get_coro()
            with suppress(BaseException):  # what the code of a dead process still says reaches nobody
                coroutine.close()
        self._due_now.clear()
        self._due_later.clear()
        self.close()


class _PlayedThreads(ThreadPoolExecutor):
    """A loop's default pool without threads: what is submitted runs as one event of the loop, some time later.

    To the code it looks like a thread: no event loop runs in it. It runs undisturbed from beginning to end, so threads
    that race each other are not played.
    """

    def __init__(self, loop: VirtualLoop, chance: random.Random) -> None:
        super().__init__(1)
        self._loop = loop
        self._chance = chance

    def _adjust_thread_count(self) -> None:
        item: Any = self._work_queue.get_nowait()
        self._loop.call_later(self._chance.choice((0.0, 0.0, 0.001, 0.1)), self._play, item, context=Context())

    def _play(self, item: Any) -> None:
        with running_on(None):
            item.run()
