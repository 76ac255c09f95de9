"""Limits that the kernel itself keeps, for a worker and all processes that it starts.

A limit of a process (`setrlimit`) is each process' own, and two of them may use twice as much. A group has one limit
for all that is in it, its counters are evidence when something dies, and nothing that was started in it can leave it.
Where this host has such groups, and whether we may make any, is found out here; `cgroup_v1` and `cgroup_v2` know how.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from regrow.executors.limits import cgroup_tree as tree
from regrow.executors.limits import cgroup_v1, cgroup_v2
from regrow.values.resources import Resources

_ROOT = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_NOUNS = {"memory": "memory", "pids": "processes", "cpu": "processors"}


class Cgroup(Protocol):
    """One worker's own group. No method of it waits, but `kill` and `close`, which do for a second at the most.

    What reads a group that is gone gives nothing: None, 0, False or an empty list.

    Attributes:
        version: ``cgroup v1`` or ``cgroup v2``.
        limits_memory: whether the kernel keeps a memory limit here.
        limits_processes: whether it refuses processes beyond the limit.
        limits_cpu: whether it keeps the processes to their share of processors.
        holds: whether a worker that reaches its memory limit is held until `set_memory` or `kill`, and not killed.
    """

    version: str
    limits_memory: bool
    limits_processes: bool
    limits_cpu: bool
    holds: bool

    def add(self, pid: int) -> None:
        """Move a process in. What it starts from now on is in as well; what it has allocated stays charged elsewhere.

        Raises:
            ProcessLookupError: there is no such process.
            OSError: it may not be moved.
        """

    def set_memory(self, limit: int) -> None:
        """Set the memory limit, in bytes. A worker that is held goes on if the new one is large enough.

        Raises:
            OSError: the kernel refuses it; because more is in use, say.
        """

    def usage(self) -> int | None:
        """Give the bytes in use now: all that is charged, less the page cache.

        That is private and shared memory and what the kernel keeps for these processes. The page cache of files that
        were read or written is charged as well, but is dropped before the limit would bite, so it presses nobody. It is
        taken from the whole, and not the kinds of memory summed up, since new kernels come with new kinds.
        """

    def peak(self) -> int | None:
        """Give the most bytes ever charged. Page cache is in there, so it is no less than what was needed."""

    def oom_kills(self) -> int:
        """Give how many processes in it an OOM killer has killed; none means none, but some are counted twice.

        The kernel counts those of the machine's and of an outer group's killer too. The group's own limit was the
        reason if `peak` came up to it.
        """

    def refused_forks(self) -> int:
        """Give how often a process or thread was refused."""

    def pids(self) -> list[int]:
        """Give the processes in it, also those in groups that were made below it."""

    def cpu_seconds(self) -> float | None:
        """Give the seconds of processor time that were used in it."""

    def hold_fd(self) -> int | None:
        """Give a file descriptor that becomes readable when the group may have reached its limit.

        None if the group cannot be held. Then ask `is_held`, which also makes it unreadable until the next time. There
        are false alarms: page cache that presses against the limit, or a limit that was raised meanwhile.
        """

    def is_held(self) -> bool:
        """Tell whether the worker is at its limit and waits. If it has come to that, this sees to it that it waits."""

    def kill(self) -> None:
        """Kill every process in it, again and again until there is none."""

    def close(self) -> None:
        """Kill what is in it and remove it. What cannot be removed yet is left for `CgroupHost.sweep`."""


class CgroupHost(Protocol):
    """Where this process may make groups.

    Attributes:
        version: ``cgroup v1`` or ``cgroup v2``.
        place: the group under which they are made.
        controllers: which of ``memory``, ``pids``, ``cpu`` (and ``cpuacct``) can be used there.
    """

    version: str
    place: Path
    controllers: frozenset[str]

    def create(self, name: str, resources: Resources, *, hold: bool) -> Cgroup:
        """Make a group with limits.

        Args:
            name: which no other group of this process has.
            resources: of which memory, processes and cpu are limits here.
            hold: see `Cgroup.holds`; ask the group whether it does.

        Raises:
            OSError: it cannot be made, or the kernel refuses the memory limit.
        """

    def sweep(self) -> int:
        """Kill and remove what drivers that are dead have left here, and give the number of groups."""


def detect(root: Path = _ROOT, proc: Path = _PROC) -> CgroupHost | None:
    """Find where groups can be made, None if nowhere.

    Under cgroup v2 this may move this process and its children into a group below their own.
    """
    if not root.is_dir():
        return None
    # Version 1 first: a controller that it has is not to be had from the tree of version 2 beside it.
    found: CgroupHost | None = cgroup_v1.find(root, proc)
    return cgroup_v2.find(root, proc) if found is None else found


def explain(host: CgroupHost | None, root: Path = _ROOT, proc: Path = _PROC) -> str:
    """Say in a sentence what `detect` has found, or why it has found nothing."""
    if host is not None:
        limits = [noun for controller, noun in _NOUNS.items() if controller in host.controllers]
        lacks = [noun for controller, noun in _NOUNS.items() if controller not in host.controllers]
        but = f", but has no control of {_listed(lacks)}" if lacks else ""
        return f"{host.version} at {host.place} limits {_listed(limits)} of each worker and all that it starts{but}"
    if not root.is_dir() or not tree.own_groups(proc):
        return "this system has no cgroups"
    if (own := cgroup_v1.own_group_of("memory", root, proc)) is not None:
        return f"cgroup v1 is there, but this user may not make groups in {own}; root may, unless it is read-only"
    if (own := cgroup_v2.own_group(root, proc)) is None:
        return "cgroups are there, but the one that this process is in cannot be seen from here"
    if not os.access(own / "cgroup.procs", os.W_OK):
        return (
            f"cgroup v2 is there, but {own} is not this user's; a group of its own comes with "
            "`systemd-run --user --scope -p Delegate=yes` before the command"
        )
    if cgroup_v2.is_shared(own, proc):
        return f"cgroup v2 is there, but {own} has other processes in it than regrow's and so cannot be divided"
    return (
        f"cgroup v2 is there, but neither {own} nor a group around it that is open to us can limit memory or processes"
    )


def container_limit(root: Path = _ROOT, proc: Path = _PROC) -> int | None:
    """Give the memory limit, in bytes, of the container or service that this process runs in.

    That is the lowest of its own group and those around it; None if none of them is lower than the machine's memory.
    """
    if not root.is_dir():
        return None
    limits = [limit for one in (cgroup_v1, cgroup_v2) if (limit := one.memory_limit(root, proc)) is not None]
    lowest = min(limits, default=None)
    return lowest if lowest is not None and lowest < _physical_memory(proc) else None


def _physical_memory(proc: Path) -> int:
    for line in (tree.read(proc / "meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _listed(nouns: list[str]) -> str:
    *first, last = nouns
    return f"{', '.join(first)} and {last}" if first else last


def container_usage(root: Path = _ROOT, proc: Path = _PROC) -> int:
    """Give the bytes that the container or service uses in which this process runs, less the page cache.

    Of several groups around this process, that is the one whose limit `container_limit` gives.
    """
    used = cgroup_v1.memory_usage(root, proc)
    if used is None:
        used = cgroup_v2.memory_usage(root, proc)
    return used or 0
