"""Workers in groups of cgroup v2, where one tree of groups has all controllers.

A worker is *held* with two limits. At the lower one, `memory.high`, the kernel slows its processes down and says so in
`memory.events`; whoever is told asks `is_held`, which freezes the group. The higher one, `memory.max`, leaves room for
what is allocated until then, and there the OOM killer waits. Raising both and thawing lets the worker go on.

A group that has controllers for the groups below it may hold no process itself. So we leave the group that we are in
for a leaf of it, if nobody but ourselves is in there, and else look for a place further up.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Iterator
from pathlib import Path

from regrow.executors.limits import cgroup_tree as tree
from regrow.executors.limits.group_names import is_left_over, is_ours, ourselves
from regrow.values.resources import Resources

VERSION = "cgroup v2"
LEAF = "regrow-driver"
"""The group that we move into when ours is needed as the place for others."""
_CONTROLLERS = frozenset(("memory", "pids", "cpu"))
_LEAST_MARGIN = 32 * 2**20
"""What a worker may use beyond its limit before it is held. At 1 GB/s it is 30 ms for the driver to react in."""
_TRIES = 5


class CgroupV2:
    """One worker's group. See `regrow.executors.limits.cgroups.Cgroup` for what its methods promise."""

    version = VERSION

    def __init__(self, folder: Path, resources: Resources, *, hold: bool) -> None:
        """Set the limits of a group that was just made.

        Raises:
            OSError: the kernel refuses the memory limit.
        """
        self._folder = folder
        self._limit: int | None = None
        self._events: int | None = None
        self._epoll: select.epoll | None = None
        self.limits_memory = (folder / "memory.max").exists()
        self.holds = hold and self.limits_memory and self._watch_events()
        self._set("memory.oom.group", 1)  # half a worker is of no use
        self._set("memory.swap.max", 0)  # a limit that swaps instead of biting only makes everything slow
        if resources.memory is not None:
            self.set_memory(resources.memory)
        self.limits_processes = self._set("pids.max", tree.TASKS_PER_PROCESS * resources.processes)
        self.limits_cpu = self._set("cpu.max", f"{max(1000, int(resources.cpu * tree.PERIOD))} {tree.PERIOD}")

    def add(self, pid: int) -> None:
        """See `Cgroup.add`."""
        tree.write(self._folder / "cgroup.procs", pid)

    def set_memory(self, limit: int) -> None:
        """See `Cgroup.set_memory`."""
        if not self.limits_memory:
            return
        if self.holds:
            tree.write(self._folder / "memory.max", limit + max(_LEAST_MARGIN, limit // 10))
            tree.write(self._folder / "memory.high", limit)
        else:
            tree.write(self._folder / "memory.max", limit)
        self._limit = limit
        self._set("cgroup.freeze", 0)

    def usage(self) -> int | None:
        """See `Cgroup.usage`."""
        if (charged := tree.number(self._folder / "memory.current")) is None:
            return None
        stat = tree.entries(self._folder / "memory.stat")
        return max(0, charged - sum(stat.get(name, 0) for name in ("active_file", "inactive_file", "slab_reclaimable")))

    def peak(self) -> int | None:
        """See `Cgroup.peak`. Linux has it since 5.19."""
        return tree.number(self._folder / "memory.peak")

    def oom_kills(self) -> int:
        """See `Cgroup.oom_kills`. `memory.events` has those of groups below as well, `memory.events.local` has not."""
        return tree.entries(self._folder / "memory.events").get("oom_kill", 0)

    def refused_forks(self) -> int:
        """See `Cgroup.refused_forks`."""
        return tree.entries(self._folder / "pids.events").get("max", 0)

    def pids(self) -> list[int]:
        """See `Cgroup.pids`."""
        return tree.processes([self._folder])

    def cpu_seconds(self) -> float | None:
        """See `Cgroup.cpu_seconds`."""
        used = tree.entries(self._folder / "cpu.stat").get("usage_usec")
        return None if used is None else used / 1e6

    def hold_fd(self) -> int | None:
        """See `Cgroup.hold_fd`."""
        return None if self._epoll is None else self._epoll.fileno()

    def is_held(self) -> bool:
        """See `Cgroup.is_held`. This is what freezes the group; until it is asked, the worker is only slow."""
        if not self.holds or self._events is None or self._limit is None:
            return False
        with contextlib.suppress(OSError):
            os.pread(self._events, 4096, 0)  # it has been seen, and is readable with the next event only
        if tree.number(self._folder / "cgroup.freeze"):
            return True
        # Page cache that presses against the limit makes events too. It is dropped, and the worker is not held.
        used = self.usage()
        if not tree.entries(self._folder / "memory.events").get("high") or used is None:
            return False
        return tree.is_at(self._limit, used) and self._set("cgroup.freeze", 1)

    def kill(self) -> None:
        """See `Cgroup.kill`."""
        self._set("cgroup.kill", 1)  # at one stroke, since Linux 5.14
        tree.kill([self._folder])

    def close(self) -> None:
        """See `Cgroup.close`."""
        self.kill()
        tree.remove(self._folder)
        self._stop_watching()

    def _set(self, name: str, value: object) -> bool:
        try:
            tree.write(self._folder / name, value)
        except OSError:
            return False
        return True

    def _watch_events(self) -> bool:
        # The kernel tells of news with POLLPRI, which an event loop cannot wait for. An epoll that waits for it can be
        # waited for like anything else.
        try:
            self._events = os.open(self._folder / "memory.events", os.O_RDONLY | os.O_CLOEXEC)
            os.pread(self._events, 4096, 0)
            self._epoll = select.epoll()
            self._epoll.register(self._events, select.EPOLLPRI)
        except OSError:
            self._stop_watching()
            return False
        return (self._folder / "cgroup.freeze").exists()

    def _stop_watching(self) -> None:
        if self._epoll is not None:
            self._epoll.close()
        if self._events is not None:
            os.close(self._events)
        self._epoll = self._events = None
        self.holds = False


class HostV2:
    """The place for our workers' groups. See `regrow.executors.limits.cgroups.CgroupHost`."""

    version = VERSION

    def __init__(self, place: Path, controllers: frozenset[str], proc: Path) -> None:
        """Use a group whose controllers are on for the groups below it."""
        self.place = place
        self.controllers = controllers
        self._proc = proc

    def create(self, name: str, resources: Resources, *, hold: bool) -> CgroupV2:
        """See `CgroupHost.create`."""
        folder = self.place / ourselves(self._proc).group_name(name)
        folder.mkdir()
        try:
            return CgroupV2(folder, resources, hold=hold)
        except OSError:
            tree.remove(folder)
            raise

    def sweep(self) -> int:
        """See `CgroupHost.sweep`."""
        left = [folder for folder in self.place.iterdir() if is_left_over(folder.name, self._proc)]
        for folder in left:
            with contextlib.suppress(OSError):
                tree.write(folder / "cgroup.kill", 1)
            tree.kill([folder])
            tree.remove(folder)
        return len(left)


def find(root: Path, proc: Path) -> HostV2 | None:
    """Find the lowest place, from our own group upwards, where we may make groups with limits; None if there is none.

    With memory limits if there is such a place at all, else with a limit on processes.
    """
    for needed in ("memory", "pids"):
        for place in _places(root, proc):
            if needed in (controllers := _prepare(place, needed, proc)):
                return HostV2(place, controllers, proc)
    return None


def own_group(root: Path, proc: Path) -> Path | None:
    """Find the group that we are in."""
    path = tree.own_groups(proc).get("")
    return None if path is None else tree.own_group(mount_of(root), path)


def mount_of(root: Path) -> Path:
    """Give where cgroup v2 is mounted; beside hierarchies of cgroup v1 it has a folder of its own."""
    return root if (root / "cgroup.controllers").exists() else root / "unified"


def memory_limit(root: Path, proc: Path) -> int | None:
    """Give the lowest memory limit of our group and those around it, as far as they are to be seen."""
    if (own := own_group(root, proc)) is None:
        return None
    limits = (tree.number(group / "memory.max") for group in _upwards(own, mount_of(root)))
    return min((limit for limit in limits if limit is not None), default=None)


def is_shared(group: Path, proc: Path) -> bool:
    """Tell whether a group, other than the root of all, holds processes that are not ours to move."""
    return not _is_root(group) and any(not is_ours(pid, proc) for pid in tree.members(group))


def _places(root: Path, proc: Path) -> Iterator[Path]:
    if (own := own_group(root, proc)) is None:
        return
    for place in _upwards(own.parent if own.name == LEAF else own, mount_of(root)):
        yield place
        # Whoever limited this group meant all that we start. A worker further up would be outside of that limit.
        if tree.number(place / "memory.max") is not None:
            return


def _upwards(group: Path, mount: Path) -> Iterator[Path]:
    yield group
    while group != mount:
        group = group.parent
        yield group


def _prepare(place: Path, needed: str, proc: Path) -> frozenset[str]:
    """Turn controllers on for the groups below a place. Give those that are on, none if we may not use it."""
    control = place / "cgroup.subtree_control"
    offered = _CONTROLLERS.intersection((tree.read(place / "cgroup.controllers") or "").split())
    # Moving a worker takes the right to write to the list of the group that is around both its old and its new one.
    if needed not in offered or not os.access(place / "cgroup.procs", os.W_OK):
        return frozenset()
    if not tree.may_make_groups(place, ourselves(proc).group_name("probe")):
        return frozenset()
    missing = offered.difference((tree.read(control) or "").split())
    if missing and (_is_root(place) or _leave(place, proc)):
        for controller in missing:
            with contextlib.suppress(OSError):
                tree.write(control, f"+{controller}")
    return offered.intersection((tree.read(control) or "").split())


def _leave(place: Path, proc: Path) -> bool:
    """Move ourselves and what came of us into a leaf. Tell whether the place is empty now; strangers stay."""
    leaf = place / LEAF
    for _ in range(_TRIES):  # a process may be born while we move its parent
        if not (inside := tree.members(place)):
            return True
        if is_shared(place, proc):
            return False
        for pid in inside:
            with contextlib.suppress(OSError):  # it is gone, or may not be moved; the next look tells
                leaf.mkdir(exist_ok=True)
                tree.write(leaf / "cgroup.procs", pid)
    return False


def _is_root(group: Path) -> bool:
    return not (group / "cgroup.type").exists()


def memory_usage(root: Path, proc: Path) -> int | None:
    """Give the bytes that our group uses, less the page cache: of those around it, the nearest that has a limit."""
    if (own := own_group(root, proc)) is None:
        return None
    groups = list(_upwards(own, mount_of(root)))
    limited = next((group for group in groups if tree.number(group / "memory.max") is not None), own)
    used = tree.number(limited / "memory.current")
    if used is None:
        return None
    stat = tree.entries(limited / "memory.stat")
    return max(0, used - stat.get("inactive_file", 0) - stat.get("active_file", 0))
