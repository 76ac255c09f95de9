"""Whether the process behind a lease is still there.

A killed process cannot give its lease back. Waiting for it to run out would make the most common recovery, one and the
same machine a moment later, the slowest; so every process that drives runs holds a lock on a file of its own beside the
store, which the kernel drops with the process, however that dies. A lock that can be taken is proof of death. A lock
that cannot be is no proof of life (the process may be stopped), so there the lease decides.

Rejected: asking for the process id, which lies across containers and after reuse. `flock`, which a forked child
inherits and would keep alive after its parent's death; POSIX record locks belong to the process alone.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import re
import socket
import threading
from pathlib import Path

_mine: dict[str, int] = {}
"""The marks of this process's holders, with their open files. POSIX locks cannot be probed by their own process."""
_guard = threading.Lock()
_MARKED = re.compile(r".* \(([0-9a-f]{8})\)", re.DOTALL)


class Presence:
    """The folder of lock files beside one store."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is made when the first holder registers."""
        self._folder = folder

    def register(self) -> str:
        """Make this process known for as long as it lives, and give the holder's name: ``user@host pid N (…)``."""
        mark = os.urandom(4).hex()
        holder = f"{actor()} pid {os.getpid()} ({mark})"
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(self._file(mark), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with _guard:
            _mine[mark] = handle
        return holder

    def unregister(self, holder: str) -> None:
        """Withdraw a holder in good order."""
        with _guard:
            handle = _mine.pop(_mark(holder), None)
        if handle is not None:
            self._file(_mark(holder)).unlink(missing_ok=True)
            os.close(handle)

    def is_dead(self, holder: str) -> bool:
        """Tell whether the process behind a holder is certainly gone."""
        mark = _mark(holder)
        if not mark:
            return True  # nobody who registered here is called that: the name is damaged, or made up
        with _guard:
            if mark in _mine:
                return False
        file = self._file(mark)
        try:
            handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True  # it withdrew, or an earlier probe has already found it dead
        except OSError:
            return False
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            file.unlink(missing_ok=True)
            return True
        finally:
            os.close(handle)

    def _file(self, mark: str) -> Path:
        return self._folder / f"{mark}.lock"


def _mark(holder: str) -> str:
    """Give the part of a holder's name that names its file; empty if it has none.

    Names come out of the store, where damage or somebody else may have made them: they are no paths to follow.
    """
    found = _MARKED.fullmatch(holder)
    return "" if found is None else found[1]


def actor() -> str:
    """Name the person at this machine, as ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a user id that has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
