"""The folders in which workers may write: one for each attempt, gone when that is.

A driver that is killed removes none of its folders, and they may hold gigabytes. So their names say whose they are, as
those of groups do, and the next driver clears away what belongs to one that is gone.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from regrow.executors.limits.group_names import is_left_over, ourselves

_PROC = Path("/proc")


def make(name: str) -> Path:
    """Make a folder that only this user can look into.

    Args:
        name: of the attempt, for people who find it.
    """
    owner = ourselves(_PROC).group_name(name) if sys.platform == "linux" else "regrow"
    return Path(tempfile.mkdtemp(prefix=f"{owner}-"))


def sweep() -> int:
    """Remove what drivers that are dead have left, and give the number of folders. Only Linux tells of them."""
    if sys.platform != "linux":
        return 0
    left = [Path(entry.path) for entry in os.scandir(tempfile.gettempdir()) if _is_left_over(entry)]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def _is_left_over(entry: os.DirEntry[str]) -> bool:
    try:
        return is_left_over(entry.name, _PROC) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
    except OSError:
        return False  # somebody else was faster
