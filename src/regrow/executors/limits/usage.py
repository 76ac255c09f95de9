"""What a worker's whole process tree takes of the machine, read from outside and without a cgroup.

Memory means what the worker took above what it had when it was forked from the warm server: a limit of 64 MiB shall not
be half used up by imports that all workers share.

One process is read from ``/proc/PID/status``, which costs some ten microseconds. Of several, the plain sum counts every
page that they share once for each: a worker of 200 MB that forks four children would show 1 GB. Then the proportional
set size is asked for, which divides each page by the number of processes that map it. It walks page tables, so the
caller says from which plain sum on the truth is worth that.

Rejected: the unique set size, which counts nothing of what a worker shares with its children; the resident set size,
which counts mapped files, and those can be dropped at any time; ``ru_maxrss`` for peaks, which keeps what its process
was before an ``exec``, and in a child that of its parent.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

_KIB = 1024
_TICKS = os.sysconf("SC_CLK_TCK")
_BLOCK = 512
"""The unit of ``st_blocks``, whatever the file system's own block is (POSIX, ``sys/stat.h``)."""
_CHUNK = 1 << 16
_RESIDENT = (b"\nRssAnon:", b"\nRssShmem:", b"\nVmSwap:")
_PROPORTIONAL = (b"\nPss_Anon:", b"\nPss_Shmem:", b"\nSwapPss:")
_RESET_PEAK = b"5"

_Answer = TypeVar("_Answer")


class Usage(msgspec.Struct, frozen=True):
    """What a worker with all its descendants takes at one moment.

    Attributes:
        memory: bytes above what the worker had when its meter was made; never less than 0.
        processes: how many there are, with those that have ended and are not waited for: they still hold their number.
        cpu_seconds: processor time until now, with that of ended children that were waited for.
        threads: how many there are in all.
    """

    memory: int
    processes: int
    cpu_seconds: float
    threads: int


class UsageMeter(Protocol):
    """Reads one worker's usage, again and again."""

    def read(self, *, exact_above: int = 0) -> Usage | None:
        """Give the usage now, or None when the worker is gone.

        Args:
            exact_above: from how many bytes on pages that several processes share are counted once. Below, each
                process's share may be counted in full, which gives too much and never too little.
        """


def meter(pid: int) -> UsageMeter:
    """Give the meter of a worker that was just forked. What it has now is the baseline."""
    return ProcMeter(pid) if sys.platform == "linux" else PsutilMeter(pid)


def tree(pid: int) -> list[int]:
    """Give a process and all its descendants, itself first; nothing when it is gone.

    The kernel's list of children is only complete while they stand still (proc(5)): a reading may miss a process that
    is being forked, or one beside another that exits. Who means to end them all repeats this until nothing is found.
    A descendant whose parent has died is found only if the worker is its reaper (``PR_SET_CHILD_SUBREAPER``).
    """
    if sys.platform != "linux":
        return _tree_by_psutil(pid)
    return _descend(pid, _children if _lists_children() else _children_by_parent())


def peak_of(pid: int, *, above: int = 0) -> int | None:
    """Give the most bytes that one process has had resident since its peak was last reset, mapped files included.

    It must be asked while the process lives: one that has exited has no memory and no peak. The kernel sets a forked
    child's peak to what it is born with, so the baseline for `above` is what this gives right after the fork, or right
    after `reset_peak`.

    Args:
        pid: the process.
        above: what to take off, in bytes. The result is never less than 0.

    Returns:
        None where the platform does not say, or the process is gone.
    """
    peak = _sum_of(_slurp(f"/proc/{pid}/status"), (b"\nVmHWM:",))
    return None if peak is None else max(0, peak - above)


def data_of(pid: int) -> int | None:
    """Give the bytes of a process's data: private writable mappings, touched or not, which ``RLIMIT_DATA`` counts.

    Returns:
        None where the platform does not say, or the process is gone.
    """
    return _sum_of(_slurp(f"/proc/{pid}/status"), (b"\nVmData:",))


def reset_peak(pid: int) -> bool:
    """Let the peak of a process start from what it has now. Tell whether that was permitted and possible."""
    try:
        handle = os.open(f"/proc/{pid}/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.write(handle, _RESET_PEAK) == len(_RESET_PEAK)
    except OSError:
        return False
    finally:
        os.close(handle)


def scratch_size(folder: Path) -> int:
    """Give the bytes that are really allocated below a folder: holes count nothing, hard links once.

    Files that vanish meanwhile, and folders that may not be read, count nothing. So does a file that was deleted while
    it is open, although it still fills the disk: only the file system's own figures show that.
    """
    total = 0
    seen: set[tuple[int, int]] = set()
    folders = [os.fspath(folder)]
    while folders:
        for entry in _entries(folders.pop()):
            with contextlib.suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                if (found.st_dev, found.st_ino) not in seen:
                    seen.add((found.st_dev, found.st_ino))
                    total += found.st_blocks * _BLOCK
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return total


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        yield from entries


class ProcMeter:
    """A meter that reads ``/proc``. Memory that was swapped out is taken as well, and counts.

    What it does not see: pages of shared memory files that nobody has mapped, and the kernel's own memory for the
    worker. A cgroup counts both.
    """

    def __init__(self, pid: int) -> None:
        """Take what the process `pid` has now as its baseline."""
        self._pid = pid
        stat = _stat(pid)
        self._born = None if stat is None else stat.born
        self._baseline = _sum_of(_slurp(f"/proc/{pid}/status"), _RESIDENT) or 0

    def read(self, *, exact_above: int = 0) -> Usage | None:
        """Give the usage now; see `UsageMeter`."""
        worker = _stat(self._pid)
        if worker is None or worker.ended or worker.born != self._born:
            return None
        stats = {pid: stat for pid in tree(self._pid) if (stat := _stat(pid)) is not None}
        sizes = {
            pid: size
            for pid, stat in stats.items()
            if not stat.ended and (size := _sum_of(_slurp(f"/proc/{pid}/status"), _RESIDENT)) is not None
        }
        memory = sum(sizes.values()) - self._baseline
        if len(sizes) > 1 and memory > exact_above:
            memory = min(memory, self._proportional(sizes))
        return Usage(
            memory=max(0, memory),
            processes=sum(not stat.ended for stat in stats.values()),
            cpu_seconds=sum(stat.ticks for stat in stats.values()) / _TICKS,
            threads=sum(stat.threads for stat in stats.values()),
        )

    def _proportional(self, sizes: dict[int, int]) -> int:
        """Add up the shares of several processes, less the tree's share of the baseline.

        Pages of the baseline belong to the warm server as well, so n processes that have them hold n shares of n + 1.
        A share that was measured at the fork would be wrong as soon as the tree grows. Other workers of the same server
        make the true share smaller, and the result too low by no more than the baseline.
        """
        shares = 0
        for pid, size in sizes.items():
            share = _sum_of(_slurp(f"/proc/{pid}/smaps_rollup"), _PROPORTIONAL)
            # Unreadable: it has ended just now, or became another user, or the kernel is older than 5.4.
            shares += share if share is not None else size
        return shares - self._baseline * len(sizes) // (len(sizes) + 1)


class PsutilMeter:
    """A meter for platforms without ``/proc``, through psutil. It means macOS, and says less there.

    macOS has no proportional set size. Where several processes run, the memory is the larger of what each has alone,
    added up, and the resident size of the largest: what some of them share is counted once, if the largest has it.
    Resident there includes mapped libraries, and leaves out what the system has compressed, so a worker that is held
    under memory pressure looks smaller than it is. Time of ended children is not given; neither are peaks, and
    `peak_of` gives None.
    """

    def __init__(self, pid: int) -> None:
        """Take what the process `pid` has now as its baseline."""
        self._worker: Any = None
        self._resident = self._unique = 0
        with contextlib.suppress(_psutil().Error):
            self._worker = _psutil().Process(pid)
            self._resident, self._unique = _resident(self._worker), _unique(self._worker)

    def read(self, *, exact_above: int = 0) -> Usage | None:
        """Give the usage now; see `UsageMeter`."""
        if self._worker is None or not _is_alive(self._worker):
            return None
        every = [self._worker, *_descendants(self._worker)]
        sizes = [size for each in every if (size := _resident(each))]
        memory = sum(sizes) - self._resident
        if len(sizes) > 1 and memory > exact_above:
            memory = max(sum(map(_unique, every)) - self._unique, max(sizes) - self._resident)
        return Usage(
            memory=max(0, memory),
            processes=len(every),
            cpu_seconds=sum(map(_cpu_seconds, every)),
            threads=sum(map(_threads, every)),
        )


class _Stat(NamedTuple):
    ended: bool
    parent: int
    ticks: int
    threads: int
    born: bytes


def _stat(pid: int) -> _Stat | None:
    # The name in brackets may hold anything, brackets too; the third field of proc_pid_stat(5) is the first one here.
    text = _slurp(f"/proc/{pid}/stat")
    fields = text[text.rfind(b")") + 1 :].split()
    if not fields:
        return None
    return _Stat(
        ended=fields[0] in {b"Z", b"X"},
        parent=int(fields[1]),
        ticks=sum(map(int, fields[11:15])),
        threads=int(fields[17]),
        born=fields[19],
    )


def _sum_of(text: bytes, keys: Sequence[bytes]) -> int | None:
    """Add up fields that are given in kB, in bytes. None if the first is not there, as with a process that has ended.

    Searching is ten times as fast as a regular expression, and this is read fifty times a second.
    """
    if keys[0] not in text:
        return None
    total = 0
    for key in keys:
        at = text.find(key)
        if at >= 0:
            total += int(text[at + len(key) :].split(None, 1)[0]) * _KIB
    return total


def _slurp(path: str) -> bytes:
    """Read a file of ``/proc``; nothing if its process is gone or is not ours."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        chunks = []
        while chunk := os.read(handle, _CHUNK):
            chunks.append(chunk)
        return b"".join(chunks)
    except OSError:
        return b""
    finally:
        os.close(handle)


def _descend(pid: int, children: Callable[[int], Sequence[int] | None]) -> list[int]:
    found: dict[int, None] = {}
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        if each not in found and (below := children(each)) is not None:
            found[each] = None
            waiting.extend(below)
    return list(found)


@functools.cache
def _lists_children() -> bool:
    return Path("/proc/thread-self/children").exists()  # CONFIG_PROC_CHILDREN


def _children(pid: int) -> list[int] | None:
    """Give the children of each of a process's threads."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - a Path for each thread would cost more than the reading
    except OSError:
        return None
    return [int(child) for thread in threads for child in _slurp(f"/proc/{pid}/task/{thread}/children").split()]


def _children_by_parent() -> Callable[[int], list[int] | None]:
    """Ask every process of the machine for its parent, once, where the kernel keeps no list of children."""
    known: dict[int, list[int]] = {}
    parents: dict[int, list[int]] = {}
    for entry in _entries("/proc"):
        if entry.name.isdecimal() and (stat := _stat(int(entry.name))) is not None:
            known[int(entry.name)] = parents.setdefault(int(entry.name), [])
            parents.setdefault(stat.parent, []).append(int(entry.name))
    return known.get


def _psutil() -> Any:
    return importlib.import_module("psutil")  # a dependency only where there is no /proc


def _tree_by_psutil(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in _descendants(_psutil().Process(pid)))]
    except _psutil().Error:
        return []


def _ask(question: Callable[[], _Answer], *, otherwise: _Answer) -> _Answer:
    """Ask about a process that may be gone, or another user's."""
    try:
        return question()
    except _psutil().Error:
        return otherwise


def _is_alive(process: Any) -> bool:
    return _ask(lambda: process.is_running() and process.status() != _psutil().STATUS_ZOMBIE, otherwise=False)


def _descendants(process: Any) -> list[Any]:
    return _ask(lambda: list(process.children(recursive=True)), otherwise=[])


def _resident(process: Any) -> int:
    return _ask(lambda: int(process.memory_info().rss), otherwise=0)


def _unique(process: Any) -> int:
    return _ask(lambda: int(process.memory_full_info().uss), otherwise=0)


def _threads(process: Any) -> int:
    return _ask(lambda: int(process.num_threads()), otherwise=0)


def _cpu_seconds(process: Any) -> float:
    # user, system, and those of ended children where they are known
    return _ask(lambda: float(sum(process.cpu_times()[:4])), otherwise=0.0)
