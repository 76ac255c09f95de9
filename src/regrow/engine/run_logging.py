"""What user code logs inside a run, on its way to the run's log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from regrow.engine.branches import scope_here
from regrow.journal.store import LogLine
from regrow.values.secret import redact


class _RunLogging:
    """Hears every log record of the process, and keeps those that are made inside a run.

    It listens where log records are made and not with a handler, because a handler on the root logger would silence
    Python's own last resort, and make a later ``logging.basicConfig`` do nothing.
    """

    def __init__(self) -> None:
        self._listeners = 0
        self._make: Callable[..., logging.LogRecord] = logging.LogRecord

    def begin(self) -> None:
        """Listen, on one more process's or host's account."""
        self._listeners += 1
        if logging.getLogRecordFactory() != self._listen:  # a bound method is a new object each time
            self._make = logging.getLogRecordFactory()
            logging.setLogRecordFactory(self._listen)

    def end(self) -> None:
        """Listen no more on one's account."""
        self._listeners -= 1

    def _listen(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make(*args, **kwargs)
        scope = scope_here() if self._listeners else None
        if scope is not None and not scope.driver.is_over:
            text = redact(_PLAIN.format(record))
            line = LogLine(record.created, scope.path, scope.attempt, record.levelname, text)
            scope.driver.around.note_log(scope.driver.run, line)
        return record


_PLAIN = logging.Formatter()
run_logging = _RunLogging()
"""The process's one."""
