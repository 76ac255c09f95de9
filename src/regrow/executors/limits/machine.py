"""What this host has to give: processors, memory, devices; and two of the kernel's figures on how it is doing.

A container sees the whole machine's processors and memory in most places, and is killed for using them. So what counts
is the least of what the machine has, what this process is bound to, and what its cgroups allow.
"""

from __future__ import annotations

import importlib
import os
import re
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

_KIB = 1024
_CGROUPS = Path("/sys/fs/cgroup")
_UNIFIED = "0"
"""The hierarchy number of cgroup v2 in ``/proc/PID/cgroup`` (cgroups(7))."""
_DEVICE = re.compile(r"nvidia(\d+)")


class Machine(msgspec.Struct, frozen=True):
    """What a host has for workers.

    Attributes:
        name: of the host.
        cpus: processors, for whole or in part: as many as this process may use.
        memory: bytes.
        gpus: devices, as ``CUDA_VISIBLE_DEVICES`` names them.
        boot: another text after each start of the machine; process ids and counters mean nothing across it.
    """

    name: str
    cpus: float
    memory: int
    gpus: tuple[str, ...]
    boot: str


def this_machine(container_limit: int | None = None) -> Machine:
    """Look at this host.

    Args:
        container_limit: bytes that the container may use before it is killed, if there is one and it is known.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        name=socket.gethostname(),
        cpus=_cpus(),
        memory=physical if container_limit is None else min(physical, container_limit),
        gpus=visible_gpus(devices(), os.environ.get("CUDA_VISIBLE_DEVICES")),
        boot=_boot(),
    )


def oom_kills() -> int | None:
    """Give how many processes of the whole machine the kernel has killed for want of memory since it was started.

    That includes kills for a cgroup's limit. None where the kernel does not count them: before Linux 4.13, elsewhere.
    """
    return figure_of(_read(Path("/proc/vmstat")), "oom_kill")


def available_memory() -> int:
    """Give the bytes that programs could still take without swapping, by the kernel's own estimate."""
    kib = figure_of(_read(Path("/proc/meminfo")), "MemAvailable:")
    return kib * _KIB if kib is not None else int(_psutil().virtual_memory().available)


def figure_of(text: str, key: str) -> int | None:
    """Give the number after a key that begins a line, or None if there is no such line."""
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name == key:
            return int(rest.split()[0])
    return None


def devices(folder: Path = Path("/dev")) -> tuple[str, ...]:
    """Give the numbers of the machine's NVIDIA devices, in order. Their control devices have no number."""
    found = (_DEVICE.fullmatch(each.name) for each in folder.glob("nvidia[0-9]*"))
    return tuple(sorted((match[1] for match in found if match), key=int))


def visible_gpus(present: tuple[str, ...], wanted: str | None) -> tuple[str, ...]:
    """Give the devices that a CUDA program here would see.

    The rules are those of the CUDA C++ Programming Guide on ``CUDA_VISIBLE_DEVICES``: not set means all, empty means
    none, and the first entry that names no device hides itself and all after it. Entries that are not numbers
    (``GPU-…``, ``MIG-…``) cannot be checked without the driver and are taken as they are, on a machine that has devices
    at all. An entry that is repeated is one device.

    Args:
        present: numbers of the devices that there are.
        wanted: the variable's value; None if it is not set.
    """
    if wanted is None or not present:
        return present
    visible: dict[str, None] = {}
    for entry in (each.strip() for each in wanted.split(",")):
        if entry not in present and not entry.startswith(("GPU-", "MIG-")):
            break
        visible[entry] = None
    return tuple(visible)


def cpu_quota(membership: str, mount: Path = _CGROUPS) -> float | None:
    """Give how many processors the cgroups of a process allow, v1 and v2; None for as many as there are.

    Every cgroup above counts too. In a container the path may be the host's and not exist here; then the mount itself
    is the container's own cgroup, and the search up the path ends there.

    Args:
        membership: what ``/proc/PID/cgroup`` says.
        mount: where cgroups are mounted.
    """
    quotas: list[float] = []
    for line in membership.splitlines():
        number, controllers, path = line.split(":", 2)
        if number == _UNIFIED:
            roots: Iterable[Path] = (mount, mount / "unified")
        elif "cpu" in controllers.split(","):
            roots = (mount / controllers, mount / "cpu")
        else:
            continue
        for root in roots:
            own = root / path.lstrip("/")
            for group in (own, *own.parents):
                if not group.is_relative_to(root):
                    break
                quota = _quota_of(group)
                if quota is not None:
                    quotas.append(quota)
    return min(quotas, default=None)


def _quota_of(group: Path) -> float | None:
    # cpu.max is "QUOTA PERIOD" or "max PERIOD"; cpu.cfs_quota_us is -1 for none (kernel: cgroup-v2.rst, sched-bwc.rst).
    words = _read(group / "cpu.max").split()
    if not words:
        words = [_read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip()]
    try:
        quota, period = (int(word) for word in words)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _cpus() -> float:
    bound = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quota = cpu_quota(_read(Path("/proc/self/cgroup")))
    return float(bound) if quota is None else min(float(bound), quota)


def _boot() -> str:
    return _read(Path("/proc/sys/kernel/random/boot_id")).strip() or str(int(_psutil().boot_time()))


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


def _psutil() -> Any:
    return importlib.import_module("psutil")  # a dependency only where there is no /proc
