"""Leaving code behind that does not end: a cancelled run must not keep its process for that.

Python can neither stop a thread nor a coroutine that swallows every cancellation. All that can be done is to wait no
longer, to let nothing of it count, and to say what it was.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from regrow.engine.driver import Driver
from regrow.journal.orders import GRACE_SECONDS

_left: list[tuple[asyncio.Runner, frozenset[asyncio.Task[object]]]] = []
"""Loops that nobody runs any more, kept for as long as the process lives: what is in them must not be collected."""
_OWN = str(Path(__file__).parents[1]) + os.sep


@contextmanager
def left_if_need_be(driver: Driver) -> Iterator[asyncio.Runner]:
    """Give an event loop for a run, and close it; or leave it, if the run was cancelled and its code does not end."""
    runner = asyncio.Runner()
    try:
        yield runner
    finally:
        if driver.cancelled_by is None:
            runner.close()
        elif driver.forced and (tasks := frozenset(asyncio.all_tasks(runner.get_loop()))):
            _leave(runner, tasks)
        else:
            _close_in_time(runner, GRACE_SECONDS if driver.grace is None else driver.grace)


def _leave(runner: asyncio.Runner, tasks: frozenset[asyncio.Task[object]]) -> None:
    """Run a loop no more. It is not closed: that would have its tasks run to an end that they do not come to."""
    _left.append((runner, tasks))
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - asyncio would complain at exit
    asyncio.set_event_loop(None)
    say_what_is_left([f"the coroutine of {task.get_name()}" for task in tasks])


def _close_in_time(runner: asyncio.Runner, grace: float) -> None:
    """Close a loop, which waits for the threads of its pool; but not for ever."""
    closing = threading.Thread(target=runner.close, name="regrow-closing", daemon=True)
    closing.start()
    closing.join(max(1.0, grace))
    asyncio.set_event_loop(None)
    if closing.is_alive():
        _left.append((runner, frozenset()))
        say_what_is_left(threads_left())


def say_what_is_left(what: list[str]) -> None:
    """Tell on stderr what a cancelled run has left behind."""
    if what:
        sys.stderr.write(f"regrow: the cancelled run has left behind what could not be stopped: {', '.join(what)}\n")


def threads_left() -> list[str]:
    """Describe the threads for which this process would wait at its end, and the main one if it is in users' code."""
    frames = sys._current_frames()  # noqa: SLF001 - the only way to see where another thread is
    found = []
    for thread in threading.enumerate():
        if thread.daemon or thread is threading.current_thread():
            continue
        frame = frames.get(thread.ident or 0)
        while frame is not None and not _is_users(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is not None:
            code = frame.f_code
            found.append(f"thread {thread.name}, in {code.co_name} ({code.co_filename}:{frame.f_lineno})")
    return found


def _is_users(file: str) -> bool:
    inside = file.startswith((_OWN, os.path.dirname(os.__file__) + os.sep, "<"))  # noqa: PTH120 - as text, like `file`
    return not inside or f"{os.sep}site-packages{os.sep}" in file
