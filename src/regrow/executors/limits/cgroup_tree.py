"""What both versions of cgroups have in common: files that hold numbers, and trees of groups that hold processes.

A group may have groups of its own below it, because a worker can use regrow itself. So what is inside of it is always
looked for in the whole tree, and a tree is taken down from its leaves.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

PATIENCE = 1.0
"""Seconds for which processes are killed again and again. One that the kernel does not let go of by then is left."""
PERIOD = 100_000
"""Microseconds in which a worker gets its share of processors. It is the kernel's own default."""
TASKS_PER_PROCESS = 8
"""The kernel counts threads where people count processes; numeric libraries start one for each processor."""
_SLACK = 32
"""One part in so many of a limit: the kernel's own figures lag behind by a batch of pages on each processor."""


def read(file: Path) -> str | None:
    """Give what a file says, None if it cannot be read: its group is gone, or this kernel has no such file."""
    try:
        return file.read_text("utf-8", "surrogateescape")  # a group may have any name
    except OSError:
        return None


def number(file: Path) -> int | None:
    """Give the number in a file; None also for ``max``, which is no limit."""
    text = (read(file) or "").strip()
    return int(text) if text.isdecimal() else None


def entries(file: Path) -> dict[str, int]:
    """Give the numbers of a file that names each of them: ``oom_kill 1``."""
    pairs = (line.split() for line in (read(file) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}  # noqa: PLR2004


def write(file: Path, value: object) -> None:
    """Write to a file of the kernel's, which must be there: this never makes one.

    Raises:
        OSError: there is none, this user may not, or the kernel refuses the value.
    """
    handle = os.open(file, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(handle, str(value).encode())
    finally:
        os.close(handle)


def members(group: Path) -> list[int]:
    """Give the processes that are in this very group. One that lies outside of our pid namespace shows as 0."""
    return [int(line) for line in (read(group / "cgroup.procs") or "").split()]


def processes(tops: Iterable[Path]) -> list[int]:
    """Give the processes in these groups and all groups below them, each once."""
    found = {pid for top in tops for group in _from_the_leaves(top) for pid in members(group)}
    # To signal process 0 is to signal our own process group, and we ourselves are never a worker.
    return sorted(found - {0, os.getpid()})


def kill(tops: Iterable[Path]) -> bool:
    """Kill what is in these groups until nothing is left, for at most `PATIENCE`. Tell whether nothing is."""
    places = list(tops)
    until = time.monotonic() + PATIENCE
    pause = 0.0005
    while inside := processes(places):
        for pid in inside:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > until:
            return False
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return True


def remove(top: Path) -> bool:
    """Remove a group that nothing is in, with all below it. Tell whether it is gone; a busy one is left."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            for group in _from_the_leaves(top):
                group.rmdir()
        except FileNotFoundError:
            pass  # somebody else was faster; look again, since there may be more
        except OSError as problem:
            # A killed process leaves its group a moment after it has left the list of those in it.
            if problem.errno != errno.EBUSY or processes([top]) or time.monotonic() > until:
                return False
            time.sleep(0.001)
        if not top.exists():
            return True


def may_make_groups(place: Path, name: str) -> bool:
    """Tell whether groups can be made in a place. Only making one is proof: permissions do not tell of mounts."""
    probe = place / name
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError:
        return False
    return True


def is_at(limit: int, usage: int) -> bool:
    """Tell whether a charge has come so close to a limit that the limit is what stops it."""
    return usage >= limit - limit // _SLACK


def own_groups(proc: Path) -> dict[str, str]:
    """Give the paths of the groups that we are in, by controller; that of cgroup v2 under the empty name."""
    found: dict[str, str] = {}
    for line in (read(proc / "self" / "cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        found |= dict.fromkeys(controllers.split(","), path)
    return found


def own_group(mount: Path, path: str) -> Path | None:
    """Find the group of that path below a mount, None if it is not to be seen from here.

    Inside a container the path may be told from the host's point of view while the mount shows the container's part
    only, so leading parts are dropped until a group is found that this process is in. It can be in no other.
    """
    parts = PurePosixPath(path).parts[1:]
    for start in range(len(parts) + 1):
        if ".." in parts[start:]:
            continue
        if os.getpid() in members(candidate := mount.joinpath(*parts[start:])):
            return candidate
    return None


def _from_the_leaves(top: Path) -> Iterator[Path]:
    try:
        below = [Path(entry.path) for entry in os.scandir(top) if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for group in below:
        yield from _from_the_leaves(group)
    yield top
