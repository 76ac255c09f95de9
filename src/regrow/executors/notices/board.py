"""Looking for notices, again and again, and handing on each of them once.

One thread for all watchers: a look takes milliseconds, and a provider that this machine does not belong to is dropped
after a few. Nothing that goes wrong here ends a run; the worst is that an interruption comes without its warning, which
work with checkpoints survives as well.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from regrow.executors.notices.notice import NotHere, Notice, Watcher

_ABSENT = 5
"""How often in a row, from the beginning, a provider is not found before it is no longer looked for.

More than once, because the metadata servers of fresh machines come up a moment after the first programs do.
"""

_PATIENCE = 10.0  # seconds; the thread is a daemon, so whoever stops the board need not wait for a handler that hangs

_log = logging.getLogger("regrow")


class NoticeBoard:
    """Looks for notices in a thread of its own.

    Attributes:
        errors: how many looks have gone wrong, by the watcher's source.
    """

    def __init__(
        self,
        watchers: Sequence[Watcher],
        on_notice: Callable[[Notice], None],
        *,
        every: float = 1.0,
        ahead: float = 120.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Be ready to `start`, once.

        Args:
            watchers: whom to ask.
            on_notice: called in the board's thread with each notice, once for as long as that stands. One that is
                withdrawn and given again is another one.
            every: seconds between two looks. EC2 asks for 5 at most and Azure for 1 (see their modules); an answer
                costs a metadata server next to nothing.
            ahead: how many seconds before its moment a notice is handed on at the earliest. Azure announces the end of
                failing hardware up to a week ahead, and may withdraw that; two minutes are the longest warning that
                any spot machine gets.
            clock: the time, in seconds since the epoch.
        """
        self.errors: dict[str, int] = {}
        self._posts = [_Post(watcher) for watcher in watchers]
        self._on_notice = on_notice
        self._every = every
        self._ahead = ahead
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="regrow-notices", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after the look under way. No notice is handed on from now on. Doing it twice does no harm."""
        self._stopping.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_PATIENCE)

    def _run(self) -> None:
        while self._posts and not self._stopping.is_set():
            self._posts = [post for post in self._posts if self._look(post)]
            self._stopping.wait(self._every)

    def _look(self, post: _Post) -> bool:
        """Look once, and tell whether to look there again."""
        try:
            notice = post.watcher.look()
        except NotHere as absence:
            if post.heard:
                self._count(post, absence)
                return True
            post.absent += 1
            if post.absent < _ABSENT:
                return True
            _log.info("no longer looking for notices of %s: %s", post.watcher.source, absence)
            return False
        except Exception as problem:  # noqa: BLE001 - whatever a watcher does, the others are looked at
            post.absent = 0
            self._count(post, problem)
            return True
        post.heard = True
        if notice is None:
            post.told.clear()
        elif self._is_due(notice) and post.is_news(notice) and not self._stopping.is_set():
            self._hand_on(notice)
        return True

    def _is_due(self, notice: Notice) -> bool:
        return notice.at is None or notice.at - self._clock() <= self._ahead

    def _hand_on(self, notice: Notice) -> None:
        try:
            self._on_notice(notice)
        except Exception:  # noqa: BLE001 - the next notice is handed on as well
            _log.exception("a notice of %s could not be acted on: %s", notice.source, notice.text)

    def _count(self, post: _Post, problem: Exception) -> None:
        source = post.watcher.source
        self.errors[source] = self.errors.get(source, 0) + 1
        if not post.complained:
            post.complained = True
            _log.warning("notices of %s cannot be read; still looking, saying no more of it: %s", source, problem)


class _Post:
    """One watcher, and what came of its looks."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self.heard = False
        self.absent = 0
        self.complained = False
        self.told: set[tuple[str, str]] = set()

    def is_news(self, notice: Notice) -> bool:
        """Tell whether a notice is another one than those told since nothing was announced, and remember it."""
        known = len(self.told)
        self.told.add((notice.action, notice.text))
        return len(self.told) > known
