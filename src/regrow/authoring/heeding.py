"""Heeding a cloud provider's notice that this machine will be taken away."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from regrow.authoring.home import workers

if TYPE_CHECKING:
    from regrow.executors.notices import Notice, NoticeBoard, Watcher

_LEAST_GRACE = 1.0
"""Seconds. AWS announces no time for a hibernation; a task gets this much all the same."""


def heed_notices(*providers: str | Watcher) -> NoticeBoard:
    """Watch for the notice of a spot interruption, from now on, in a thread of its own.

    When one comes, every worker is told and has the announced time to save its work (`regrow.Preempted`), and none is
    placed before that has passed. A run that the machine takes along is resumed elsewhere.

    Args:
        providers: ``"aws"``, ``"gcp"`` or ``"azure"``, several where it is not known which one it will be; or anything
            of your own with a ``source`` and a ``look()``.

    Returns:
        The board, whose ``stop()`` ends it.

    Raises:
        UsageError: there is no such provider.
    """
    from regrow.executors.notices import NoticeBoard, watcher  # noqa: PLC0415 - it loads urllib, for few users

    watchers = [watcher(one) if isinstance(one, str) else one for one in providers]
    board = NoticeBoard(watchers, _drain)
    board.start()
    return board


def _drain(notice: Notice) -> None:
    workers.preempt(notice.source, max(_LEAST_GRACE, notice.grace(time.time())))
