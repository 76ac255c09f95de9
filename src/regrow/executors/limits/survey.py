"""Which limits are in force on this host, one layer after another, and what each of them means for a task.

A limit that is not in force is said to be so. That is the point of asking: the same task is held to its memory by the
kernel on one machine, and by a watchdog that looks fifty times a second on another.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator

import msgspec

from regrow.executors.limits import cgroups
from regrow.executors.limits.cgroups import CgroupHost
from regrow.executors.limits.machine import Machine, this_machine
from regrow.values.resources import OUTPUT_BYTES, PROCESSES, Resources
from regrow.values.sizes import readable_size

_PROBE = Resources(memory=64 * 2**20)
_ALWAYS = True
"""What the driver keeps by itself needs nothing of the host."""


class Layer(msgspec.Struct, frozen=True):
    """One of the ways in which a worker is kept within its limits.

    Attributes:
        name: what it is called.
        in_force: whether this host has it.
        meaning: what that means for a task, in a sentence.
    """

    name: str
    in_force: bool
    meaning: str


class Found(msgspec.Struct, frozen=True):
    """What a look at this host has given.

    Attributes:
        platform: as `sys.platform` names it.
        groups: what there is to say about cgroups, in a sentence.
        limits_memory: whether the kernel keeps the memory limit of a group.
        holds: whether it can hold a worker at that limit.
        limits_processes: whether it refuses processes beyond the limit.
        limits_cpu: whether it keeps a worker to its share of processors.
        watches: whether the resident memory of other processes can be read here.
        container: the memory limit of the container or service that we run in, in bytes; None if it has none.
        machine: what the host has to give; None if that cannot be found out.
    """

    platform: str
    groups: str
    limits_memory: bool = False
    holds: bool = False
    limits_processes: bool = False
    limits_cpu: bool = False
    watches: bool = True
    container: int | None = None
    machine: Machine | None = None


def survey() -> tuple[Layer, ...]:
    """Look at this host: every layer, the strongest first, whether it is in force or not.

    A group is made and removed again, since only that is proof. See `cgroups.detect` on what else may happen.
    """
    return layers(look())


def look() -> Found:
    """Find out what this host has."""
    host = cgroups.detect()
    container = cgroups.container_limit()
    watches = sys.platform == "linux" or importlib.util.find_spec("psutil") is not None
    found = Found(
        platform=sys.platform,
        groups=cgroups.explain(host),
        watches=watches,
        container=container,
        machine=this_machine(container) if watches else None,
    )
    return found if host is None else _probed(host, found)


def layers(found: Found) -> tuple[Layer, ...]:
    """Say of each layer whether it is in force, and what that means."""
    return (*_of_memory(found), *_of_other_amounts(found), *_of_the_driver(), _gpus(found))


def _probed(host: CgroupHost, found: Found) -> Found:
    """Make a group as a worker gets one, and see what it can do."""
    try:
        group = host.create(f"survey-{os.getpid()}", _PROBE, hold=True)
    except OSError as refusal:
        return msgspec.structs.replace(found, groups=f"{found.groups}; but making one failed: {refusal.strerror}")
    try:
        return msgspec.structs.replace(
            found,
            limits_memory=group.limits_memory,
            holds=group.holds,
            limits_processes=group.limits_processes,
            limits_cpu=group.limits_cpu,
        )
    finally:
        group.close()


def _of_memory(found: Found) -> Iterator[Layer]:
    in_place = (
        "a worker that reaches its memory limit is held, and goes on when it is given more: nothing is lost"
        if found.holds
        else "a worker that reaches its memory limit is ended, and begins again with more, from its last checkpoint"
    )
    yield Layer("cgroup memory", found.limits_memory, found.groups if found.platform == "linux" else _no_cgroups(found))
    yield Layer("growth in place", found.holds, in_place)
    if found.platform == "linux":
        data = "one request that is far too large is refused in band: a MemoryError with the traceback of its line"
    else:
        data = f"{_system(found)} takes the limit and does not enforce it: no allocation is refused in band"
    yield Layer("RLIMIT_DATA", found.platform == "linux", data)
    yield Layer("memory watchdog", found.watches, _watchdog(found))
    yield Layer("container guard", found.watches, _guard(found))


def _watchdog(found: Found) -> str:
    if not found.watches:
        return "the memory of other processes cannot be read: there is no /proc here, and psutil is not installed"
    ends = "is ended when it passes its limit: within 20 ms when it is near it or grows fast"
    second = "; the second net, behind the kernel's" if found.limits_memory else ", so a burst may pass it for a moment"
    return f"a worker and all that it starts {ends}{second}"


def _guard(found: Found) -> str:
    if not found.watches:
        return "what the host has left cannot be read here, so nobody is ended in time when it runs out"
    what_then = "a worker is ended before that happens, and the driver lives"
    if found.container is not None:
        return f"what we run in may use {readable_size(found.container)}, and may be killed as a whole: {what_then}"
    host = f" of {readable_size(found.machine.memory)}" if found.machine is not None else ""
    return f"nothing that we run in has a memory limit of its own; when the host's memory{host} runs out, {what_then}"


def _of_other_amounts(found: Found) -> Iterator[Layer]:
    processes = (
        "a worker that has more processes than it may is ended, and the kernel refuses it a burst of them"
        if found.limits_processes
        else "the watchdog counts a worker's processes and ends it when they are too many; a burst may pass it"
    )
    yield Layer("process limit", found.limits_processes, f"{processes} ({PROCESSES} unless its task says otherwise)")
    cpu = (
        "a worker gets the processor time of cpu= and no more"
        if found.limits_cpu
        else "cpu= decides how many workers run side by side, and how many threads their libraries start; that is all"
    )
    yield Layer("cpu quota", found.limits_cpu, cpu)


def _of_the_driver() -> Iterator[Layer]:
    yield Layer("wall clock", _ALWAYS, "timeout= and deadline= end a worker, also one that is deaf to SIGTERM")
    output = f"a worker is ended when it prints more than {readable_size(OUTPUT_BYTES)}, or than its task says"
    yield Layer("output", _ALWAYS, output)
    scratch = "one file is refused beyond disk=, and a worker is ended when its scratch folder holds more than that"
    yield Layer("scratch disk", _ALWAYS, scratch)


def _gpus(found: Found) -> Layer:
    gpus = found.machine.gpus if found.machine is not None else ()
    if not gpus:
        return Layer("GPUs", in_force=False, meaning="there is none here, so a task that asks for gpu= is refused")
    return Layer("GPUs", in_force=True, meaning=f"a task sees only those that it was given, of {', '.join(gpus)}")


def _no_cgroups(found: Found) -> str:
    return f"{_system(found)} has no cgroups: the kernel keeps no limit for a worker and all that it starts"


def _system(found: Found) -> str:
    return "macOS" if found.platform == "darwin" else found.platform
