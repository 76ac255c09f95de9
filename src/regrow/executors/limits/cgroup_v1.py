"""Workers in groups of cgroup v1, where each controller has a hierarchy of its own.

A worker is *held* by turning the group's OOM killer off: at the limit the kernel then lets its processes wait, tells an
eventfd, and lets them go on when the limit is raised. It does so where the program itself touches new memory. Inside of
a system call (a large `read`, say) it does not wait; there the call fails with `EFAULT` or `ENOMEM`, nobody is told,
and the program gets an `OSError` that it may not even be able to report, since to write to a pipe takes memory as well.
Who judges such an end must know that the group was at its limit; `peak` tells.

Rejected: `memory.failcnt` as evidence of an OOM. It stays 0 when it is the limit with swap that is reached first, which
is the rule where both are equal, and it counts each time that page cache is dropped, which harms nobody.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from regrow.executors.limits import cgroup_tree as tree
from regrow.executors.limits.group_names import is_left_over, ourselves
from regrow.values.resources import Resources

VERSION = "cgroup v1"
_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")


class CgroupV1:
    """One worker's group. See `regrow.executors.limits.cgroups.Cgroup` for what its methods promise."""

    version = VERSION

    def __init__(self, folders: Mapping[str, Path], resources: Resources, *, hold: bool) -> None:
        """Set the limits of a group that was just made.

        Args:
            folders: its folder in the hierarchy of each controller that is at hand.
            resources: the limits.
            hold: whether it is to be held at its memory limit, if this kernel can.

        Raises:
            OSError: the kernel refuses the memory limit.
        """
        self._folders = dict(folders)
        self._memory = self._folders.get("memory")
        self._event: int | None = None
        self.limits_memory = self._memory is not None
        if resources.memory is not None and self.limits_memory:
            self.set_memory(resources.memory)
        self.limits_processes = self._set("pids", "pids.max", tree.TASKS_PER_PROCESS * resources.processes)
        # Refused where the group around ours has less; then that is what holds.
        self.limits_cpu = self._set("cpu", "cpu.cfs_period_us", tree.PERIOD) and self._set(
            "cpu", "cpu.cfs_quota_us", max(1000, int(resources.cpu * tree.PERIOD))
        )
        self.holds = hold and self._turn_killer_off()

    def add(self, pid: int) -> None:
        """See `Cgroup.add`."""
        for folder in self._places():
            tree.write(folder / "cgroup.procs", pid)

    def set_memory(self, limit: int) -> None:
        """See `Cgroup.set_memory`."""
        if self._memory is None:
            return
        files = [self._memory / "memory.limit_in_bytes"]
        # Where swap is accounted for, memory with swap gets the same limit: what is swapped out does not come for free.
        if (with_swap := self._memory / "memory.memsw.limit_in_bytes").exists():
            files.append(with_swap)
        # The limit with swap may at no time be the lower one.
        if limit > (tree.number(files[0]) or 0):
            files.reverse()
        for file in files:
            tree.write(file, limit)

    def usage(self) -> int | None:
        """See `Cgroup.usage`."""
        if self._memory is None or (charged := tree.number(self._memory / "memory.usage_in_bytes")) is None:
            return None
        stat = tree.entries(self._memory / "memory.stat")
        return max(0, charged - stat.get("total_active_file", 0) - stat.get("total_inactive_file", 0))

    def peak(self) -> int | None:
        """See `Cgroup.peak`."""
        return None if self._memory is None else tree.number(self._memory / "memory.max_usage_in_bytes")

    def oom_kills(self) -> int:
        """See `Cgroup.oom_kills`."""
        return 0 if self._memory is None else tree.entries(self._memory / "memory.oom_control").get("oom_kill", 0)

    def refused_forks(self) -> int:
        """See `Cgroup.refused_forks`."""
        folder = self._folders.get("pids")
        return 0 if folder is None else tree.entries(folder / "pids.events").get("max", 0)

    def pids(self) -> list[int]:
        """See `Cgroup.pids`."""
        return tree.processes(self._places())

    def cpu_seconds(self) -> float | None:
        """See `Cgroup.cpu_seconds`."""
        folder = self._folders.get("cpuacct")
        used = None if folder is None else tree.number(folder / "cpuacct.usage")
        return None if used is None else used / 1e9

    def hold_fd(self) -> int | None:
        """See `Cgroup.hold_fd`."""
        return self._event

    def is_held(self) -> bool:
        """See `Cgroup.is_held`."""
        if self._memory is None or self._event is None:
            return False
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
        if not tree.entries(self._memory / "memory.oom_control").get("under_oom"):
            return False
        # The mark stays for a moment after the limit was raised, until the processes that wait have been woken.
        limit = tree.number(self._memory / "memory.limit_in_bytes")
        charged = tree.number(self._memory / "memory.usage_in_bytes")
        return limit is not None and charged is not None and tree.is_at(limit, charged)

    def kill(self) -> None:
        """See `Cgroup.kill`."""
        self._set("pids", "pids.max", 0)  # what forks faster than it can be killed forks no more
        tree.kill(self._places())

    def close(self) -> None:
        """See `Cgroup.close`."""
        self.kill()
        for folder in self._places():
            tree.remove(folder)
        if self._event is not None:
            os.close(self._event)
            self._event = None
            self.holds = False

    def _places(self) -> set[Path]:
        return set(self._folders.values())  # `cpu` and `cpuacct` are often one hierarchy

    def _set(self, controller: str, name: str, value: int) -> bool:
        if (folder := self._folders.get(controller)) is None:
            return False
        try:
            tree.write(folder / name, value)
        except OSError:
            return False
        return True

    def _turn_killer_off(self) -> bool:
        if self._memory is None:
            return False
        event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            control = os.open(self._memory / "memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
            try:
                tree.write(self._memory / "cgroup.event_control", f"{event} {control}")
            finally:
                os.close(control)
            # The last thing: with the killer off and nobody told, a worker would wait for ever.
            tree.write(self._memory / "memory.oom_control", 1)
        except OSError:
            os.close(event)
            return False
        self._event = event
        return True


class HostV1:
    """The places below our own groups. See `regrow.executors.limits.cgroups.CgroupHost`."""

    version = VERSION

    def __init__(self, places: Mapping[str, Path], proc: Path) -> None:
        """Use these folders, one a controller, of which there is at least one."""
        self._places = dict(places)
        self._proc = proc
        self.place = next(iter(places.values()))
        self.controllers = frozenset(places)

    def create(self, name: str, resources: Resources, *, hold: bool) -> CgroupV1:
        """See `CgroupHost.create`."""
        full = ourselves(self._proc).group_name(name)
        folders = {controller: place / full for controller, place in self._places.items()}
        made: list[Path] = []
        try:
            for folder in dict.fromkeys(folders.values()):
                folder.mkdir()
                made.append(folder)
            return CgroupV1(folders, resources, hold=hold)
        except OSError:
            for folder in made:
                tree.remove(folder)
            raise

    def sweep(self) -> int:
        """See `CgroupHost.sweep`."""
        places = set(self._places.values())
        names = {folder.name for place in places for folder in place.iterdir() if is_left_over(folder.name, self._proc)}
        for name in names:
            folders = [place / name for place in places]
            tree.kill(folders)
            for folder in folders:
                tree.remove(folder)
        return len(names)


def find(root: Path, proc: Path) -> HostV1 | None:
    """Find the controllers whose groups we may make groups in; None if there is none."""
    places = {
        controller: own
        for controller, own in ((name, own_group_of(name, root, proc)) for name in _CONTROLLERS)
        if own is not None and tree.may_make_groups(own, ourselves(proc).group_name(f"probe-{controller}"))
    }
    # Counting processor time limits nothing.
    return HostV1(places, proc) if places.keys() - {"cpuacct"} else None


def own_group_of(controller: str, root: Path, proc: Path) -> Path | None:
    """Find the group that we are in, in the hierarchy of a controller."""
    path = tree.own_groups(proc).get(controller)
    if path is None:
        return None
    # Hierarchies of several controllers are mounted under all their names, mostly with links for each.
    mounts = [entry for entry in root.iterdir() if controller in entry.name.split(",") and entry.is_dir()]
    owns = (tree.own_group(mount.resolve(), path) for mount in mounts)
    return next((own for own in owns if own is not None), None)


def memory_limit(root: Path, proc: Path) -> int | None:
    """Give the lowest memory limit that holds for us: that of our group, or of one around it."""
    if (own := own_group_of("memory", root, proc)) is None:
        return None
    # The kernel has gone through the groups around ours itself, also through those that are not to be seen from here.
    return tree.entries(own / "memory.stat").get("hierarchical_memory_limit")


def memory_usage(root: Path, proc: Path) -> int | None:
    """Give the bytes that our group and those below it use, less the page cache; None if that cannot be told."""
    own = own_group_of("memory", root, proc)
    used = None if own is None else tree.number(own / "memory.usage_in_bytes")
    if own is None or used is None:
        return None
    stat = tree.entries(own / "memory.stat")
    return max(0, used - stat.get("total_inactive_file", 0) - stat.get("total_active_file", 0))
