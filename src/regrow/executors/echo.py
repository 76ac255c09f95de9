"""What workers print, on its way to the driver's own stderr.

In a thread of its own: whoever reads that stderr may stop reading (a pipe that nobody empties, Ctrl-S in a terminal),
and the loop that keeps all limits must not wait for them. What does not fit in the queue meanwhile is left out; the
run's log has it.
"""

from __future__ import annotations

import queue
import sys
import threading

from regrow.engine.branches import start_apart

_LINES = 10_000


class Echo:
    """Writes lines to stderr, in order, as fast as somebody reads them."""

    def __init__(self) -> None:
        """Start nothing before the first line."""
        self._lines: queue.Queue[str] = queue.Queue(_LINES)
        self._left_out = 0
        self._thread: threading.Thread | None = None

    def tell(self, line: str) -> None:
        """Write a line some time soon. Never waits."""
        if self._thread is None:
            thread = threading.Thread(target=self._write, name="regrow-echo", daemon=True)
            try:
                start_apart(thread)
            except RuntimeError:  # the interpreter ends; the run's log has the line
                return
            self._thread = thread
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._left_out += 1

    def flush(self, patience: float) -> None:
        """Wait until all lines are written, for so many seconds."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, patience)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            if self._left_out:
                line, self._left_out = f"{line}\nregrow: {self._left_out} lines are left out here", 0
            try:
                if sys.stderr is not None:
                    sys.stderr.write(f"{line}\n")
            except (OSError, ValueError):  # nobody listens
                pass
            finally:
                self._lines.task_done()


echo = Echo()
"""The process's one."""
