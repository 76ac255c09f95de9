"""What a worker prints: into the run's log, line by line, with its task and attempt, and on to the driver's stderr."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

from regrow.executors.echo import echo
from regrow.journal.store import LogLine
from regrow.values.secret import redact
from regrow.values.sizes import readable_size

_LONGEST_LINE = 16 * 1024
_KEPT_BYTES = 4 * 2**20
"""How much of what one attempt prints goes into the log and on to the terminal. More is counted, and not kept."""
_READ_BYTES = 256 * 1024


class Output:
    """Both streams of one worker."""

    def __init__(self, path: str, attempt: int, limit: int, note: Callable[[LogLine], None]) -> None:
        """Be ready to read.

        Args:
            path: of the call.
            attempt: which one.
            limit: bytes that it may print.
            note: keeps a line.
        """
        self.printed = 0
        self._path = path
        self._attempt = attempt
        self.limit = limit
        self._note = note
        self._open = 0
        self._closed = asyncio.Event()

    @property
    def is_over(self) -> bool:
        """Whether it has printed more than it may."""
        return self.printed > self.limit

    def listen(self, fd: int, level: str, on_over: Callable[[], None]) -> None:
        """Read a stream whenever there is something.

        Args:
            fd: its reading end; closed when the stream ends.
            level: what its lines are filed under.
            on_over: called when the limit is passed.
        """
        os.set_blocking(fd, False)
        loop = asyncio.get_running_loop()
        rest = bytearray()
        self._open += 1

        def read() -> None:
            try:
                data = os.read(fd, _READ_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self._take(data, rest, level)
            if not data:
                loop.remove_reader(fd)
                os.close(fd)
                self._open -= 1
                if not self._open:
                    self._closed.set()
            elif self.is_over:
                on_over()

        loop.add_reader(fd, read)

    async def ended(self, patience: float) -> None:
        """Wait until both streams have ended, for so many seconds: a process that has got away may hold them open."""
        try:
            await asyncio.wait_for(self._closed.wait(), patience)
        except TimeoutError:
            return

    def _take(self, data: bytes, rest: bytearray, level: str) -> None:
        before, self.printed = self.printed, self.printed + len(data)
        if before > _KEPT_BYTES:
            return
        rest += data
        *lines, left = bytes(rest).split(b"\n")
        rest.clear()
        if len(left) > _LONGEST_LINE or not data:
            lines.append(left)
        else:
            rest += left
        for line in lines:
            if line:
                self._tell(line, level)
        if self.printed > _KEPT_BYTES:
            self._tell(f"… it prints more than {readable_size(_KEPT_BYTES)}; the rest is not kept".encode(), level)

    def _tell(self, line: bytes, level: str) -> None:
        text = redact(line[:_LONGEST_LINE].decode("utf-8", "replace").rstrip("\r"))
        self._note(LogLine(time.time(), self._path, self._attempt, level, text))
        echo.tell(f"{self._path.rpartition('/')[2]} | {text}")
