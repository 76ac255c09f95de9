"""Limits that a worker puts on itself, in the forked child, before any code of the user's runs.

They are refused in band: the allocation that goes too far raises ``MemoryError``, and the write ``OSError``, with the
traceback of the line that asked. Nothing has to be killed.

``RLIMIT_DATA`` counts private writable mappings (since Linux 4.7, see setrlimit(2)), whether they were ever touched or
not. That is its weakness: a thread's stack counts 8 MiB of which it uses some 10 KiB. So it is the first net, for the
single request that is far too large, and has room to spare; what is really used is for the cgroup and the watchdog.

What we measured, with glibc 2.36, CPython 3.11, NumPy 2.4 and its OpenBLAS, in ``VmData``:

- A thread: its stack of 8 MiB and 148 KiB. glibc's arenas of 64 MiB count only as far as they are used.
- ``import numpy`` and a first product of matrices: 74 MiB with one thread and 107 MiB with two, of which 9 MiB are
  really used. OpenBLAS takes 32 MiB for each thread and for its caller, and ends the process if it is refused.
- pyarrow asks for 1 GiB at its first allocation, and does with 50 MiB when that is refused.
- OpenJDK 17 as a child did not start below 600 MiB, whatever it was to run. Such a task does without this layer.

What the warm server has loaded before the fork is not charged. Nor is what it left unused: room that an allocator had
reserved there is room here. The limit is that of one process, and a child has as much again; their sum is for others.

Only the soft limits are set. The parent can then raise them while the worker runs, without privileges; so can the
worker. This is a limit for mistakes, and the cgroup is the one for malice. Rejected: ``RLIMIT_AS``, which counts shared
and reserved address space too and stops programs that use a hundredth of it; smaller thread stacks, which turn a deep
recursion into a crash.
"""

from __future__ import annotations

import errno
import math
import mmap
import opcode
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from regrow.executors.limits.usage import data_of
from regrow.values.resources import Resources

_STACK = 8 * 2**20
"""What a thread's stack takes where the limit on stacks is infinite: more than glibc then gives it."""
_THREAD_HEAP = 256 * 2**10
"""Beside its stack: a guard page, and the first 132 KiB of an arena of its own."""
_NUMERIC_BUFFER = 32 * 2**20
"""OpenBLAS's work space for a thread; see above."""
_POOL_MOST, _POOL_MORE = 32, 4
"""``ThreadPoolExecutor``, and with it ``asyncio.to_thread``, starts min(32, processors + 4) threads by default."""
_RAISE = opcode.opmap["RAISE_VARARGS"]
"""What ``raise`` is compiled to."""


def apply(resources: Resources, *, data_limit: int | None) -> tuple[str, ...]:
    """Put limits on this process, and give the names of the layers that are now in force.

    To be called in the main thread. Core dumps are turned off as well: they would write the worker's secrets to a disk.

    Args:
        resources: of the attempt; `disk` is the most that a single file may have, and `cpu` counts in the allowance.
        data_limit: bytes that the process may take beyond what it has now and the `allowance`; None for no limit.
    """
    layers = []
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if data_limit is not None and _limit_data(data_limit + allowance(resources.cpu)):
        layers.append("RLIMIT_DATA")
    if resources.disk is not None:
        # Ignored, or it would kill the process: the write then fails with EFBIG.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        _lower(resource.RLIMIT_FSIZE, resources.disk)
        layers.append("RLIMIT_FSIZE")
    return tuple(layers)


def allowance(cpu: float) -> int:
    """Give the bytes that threads reserve and hardly use, and that a small limit must leave them nevertheless.

    Enough for the threads of one numeric library, told to use `cpu` processors, and for the default pool of threads.
    """
    numeric = math.ceil(cpu) + 1
    pool = min(_POOL_MOST, (os.cpu_count() or 1) + _POOL_MORE)
    stack, _ = resource.getrlimit(resource.RLIMIT_STACK)
    thread = (_STACK if stack == resource.RLIM_INFINITY else stack) + _THREAD_HEAP
    return numeric * _NUMERIC_BUFFER + (numeric + pool) * thread


def raise_data_limit(pid: int, data_limit_delta: int) -> bool:
    """Let a running process take so many bytes more, and tell whether it may now.

    It may not if it is gone or another user's, if the hard limit is in the way, or where one process cannot set
    another's limits (outside Linux). Its children keep the limit that they were forked with.
    """
    if sys.platform != "linux":
        return False
    try:
        soft, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
        if soft == resource.RLIM_INFINITY:
            return True
        wanted = soft + data_limit_delta
        granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.prlimit(pid, resource.RLIMIT_DATA, (granted, hard))
    except OSError:
        return False
    return granted == wanted


def is_near() -> bool:
    """Tell whether this process' data size is near its limit. An allocation that was refused has left it below that."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    now = data_of(os.getpid())
    return soft != resource.RLIM_INFINITY and now is not None and now > soft / 2


def has_refused(error: BaseException) -> bool:
    """Tell whether it is this process' data limit that an error comes of; to be asked before the limit is lifted.

    It is if the data is near the limit. One request that is far too large leaves it far below; then it is if the
    interpreter itself had to raise, and no line of code that says ``raise MemoryError``.
    """
    if is_near():
        return True
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return soft != resource.RLIM_INFINITY and isinstance(error, MemoryError) and not _is_raised_by_code(error)


def _is_raised_by_code(error: BaseException) -> bool:
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return at is None or at.tb_frame.f_code.co_code[at.tb_lasti] == _RAISE


@contextmanager
def file_size_lifted() -> Iterator[None]:
    """Write a file of any size meanwhile, in all threads of this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def lift() -> None:
    """Give this process back what `apply` took of its data size: reporting a refused allocation needs memory too."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _limit_data(more: int) -> bool:
    """Limit the data size to what it is now and so much more. Tell whether that is really enforced."""
    now = data_of(os.getpid())
    if now is None:
        return False
    _lower(resource.RLIMIT_DATA, now + more)
    return _is_refused(more + mmap.PAGESIZE)


def _lower(which: int, wanted: int) -> None:
    """Set a soft limit, but never above one that is there already: it was an administrator's."""
    soft, hard = resource.getrlimit(which)
    limits = [limit for limit in (wanted, soft) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(which, (min(limits), hard))


def _is_refused(amount: int) -> bool:
    """Ask for memory and never touch it. macOS takes the limit and does not enforce it; so may an emulated kernel."""
    try:
        mmap.mmap(-1, amount, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)).close()
    except OSError as refusal:
        return refusal.errno == errno.ENOMEM
    return False
