"""The end of this process when a cancelled run's code does not end: the command line may do what a library may not."""

from __future__ import annotations

import os
import sys
import threading
import time

from regrow.authoring.leaving import say_what_is_left, threads_left
from regrow.cli import exits
from regrow.engine.news import Replayed
from regrow.journal.records import Record, RunEnded

_SECONDS = 2.0
"""How long a process may take to end by itself once there is nothing left to do in it."""


class LastResort:
    """An observer of a run: when it has been ended by force, this process ends, whatever its main thread does."""

    def __call__(self, news: Record | Replayed) -> None:
        """See `Observer`."""
        event = news.event if isinstance(news, Record) else None
        if isinstance(event, RunEnded) and event.outcome == "cancelled" and event.reason.endswith("by force"):
            end_process_soon(exits.FAILED)


def end_process_soon(code: int) -> None:
    """End this process in a moment, unless it does so by itself; what keeps it is named."""
    threading.Thread(target=_end, args=(code,), name="regrow-last-resort", daemon=True).start()


def end_process_if_kept(code: int) -> None:
    """End this process in a moment if there are threads that would keep it for as long as they like."""
    if threads_left():
        end_process_soon(code)


def _end(code: int) -> None:
    time.sleep(_SECONDS)
    say_what_is_left(threads_left())
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os._exit(code)
