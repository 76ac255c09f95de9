"""Whose group it is, said by its name.

A driver that is killed leaves its groups behind, perhaps with workers in them. The next driver may clear them away, but
never those of one that lives. So the name says which process made it, and when that process began: an id alone is given
out again. An id also means nothing outside of its pid namespace, so that is named as well.

Rejected: a lock file for each driver, as runs have it. It would have to be found from the group, by another user, in
another container; the name is all that is sure to be there.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

_FORM = re.compile(r"regrow-(\d+)-(\d+)-(\d+)-.+")
_UNFIT = re.compile(r"[^A-Za-z0-9._~#-]+")
_LONGEST = 100
_STATE, _PARENT, _START = 0, 1, 19  # of /proc/PID/stat, counted from behind the command's name: fields 3, 4, 22


class Owner(msgspec.Struct, frozen=True):
    """One process, for good.

    Attributes:
        pid: its id.
        start: when it began, in ticks since the machine did.
        namespace: in which pid namespace the id holds.
    """

    pid: int
    start: int
    namespace: int

    def group_name(self, name: str) -> str:
        """Name a group of this process'. What no file name may have in it is replaced."""
        return f"regrow-{self.pid}-{self.start}-{self.namespace}-{_UNFIT.sub('_', name)[:_LONGEST]}"


def ourselves(proc: Path) -> Owner:
    """Give this process. It is asked for each time, because a process may fork."""
    pid = os.getpid()
    return Owner(pid=pid, start=int(_stat(pid, proc)[_START]), namespace=_namespace(proc))


def is_left_over(group: str, proc: Path) -> bool:
    """Tell from a group's name that the driver that made it is certainly gone."""
    if (found := _FORM.fullmatch(group)) is None or int(found[3]) != _namespace(proc):
        return False
    try:
        stat = _stat(int(found[1]), proc)
    except (FileNotFoundError, ProcessLookupError):
        return True
    except OSError:
        return False
    return int(stat[_START]) != int(found[2]) or stat[_STATE] in {"Z", "X"}


def is_ours(pid: int, proc: Path) -> bool:
    """Tell whether a process is this one or came of it."""
    while pid > 0:
        if pid == os.getpid():
            return True
        try:
            pid = int(_stat(pid, proc)[_PARENT])
        except OSError:
            return False
    return False


def _stat(pid: int, proc: Path) -> list[str]:
    # The command's name stands in brackets and may itself have brackets and blanks in it.
    return (proc / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()


def _namespace(proc: Path) -> int:
    return (proc / "self" / "ns" / "pid").stat().st_ino
