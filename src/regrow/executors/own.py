"""What a process can say of itself to the code that it runs: as a worker, what it may use and uses."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from regrow.executors.limits.usage import Usage, UsageMeter


class Own(msgspec.Struct, frozen=True):
    """A worker's view of itself.

    Attributes:
        meter: what it uses, with all its children.
        memory: gives its memory limit as it stands now, in bytes; None for no limit.
        scratch: its own folder, which is gone when the attempt is.
        enforced_by: what holds it to its limits.
    """

    meter: UsageMeter
    memory: Callable[[], int | None]
    scratch: Path
    enforced_by: tuple[str, ...]


_own: Own | None = None


def become(own: Own) -> None:
    """Be a worker from now on."""
    global _own  # noqa: PLW0603 - the process's, not an object's
    _own = own


def own() -> Own | None:
    """Give this worker's view of itself; None in a process that is no worker."""
    return _own


def usage() -> Usage:
    """Measure what this process uses now: a worker with its children, above what it was forked with; else the whole."""
    seen = _own.meter.read() if _own is not None else None
    return seen if seen is not None else Usage(_resident(), 1, time.process_time(), threading.active_count())


def _resident() -> int:
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except OSError:  # no such file on macOS, where only the peak is to be had, and is in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
