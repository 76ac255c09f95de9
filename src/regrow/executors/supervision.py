"""Looking after one worker while it runs: its memory, its processes, its scratch folder, and growth in place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from regrow.engine.driver import Driver
from regrow.executors.evidence import Reason
from regrow.executors.limits import rlimits, usage
from regrow.executors.limits.cgroups import Cgroup
from regrow.executors.limits.watchdog import Watch
from regrow.executors.messages import Job
from regrow.journal.records import WorkerGrown, WorkerSampled
from regrow.remedies import Grow
from regrow.values.resources import Resources

_SAMPLED_SECONDS = 1.0
"""Between two records of samples: as often as the heartbeat makes them durable."""
_DISK_SECONDS = 0.25
"""Between two looks at a scratch folder, which may hold many files."""
_NEARLY = 0.9
"""Share of its limit from which on a worker may be standing still."""
_KERNEL_WATCHES = 0.1
"""Between two looks at a worker's memory where the kernel holds it to its limit, and looking is for evidence only."""


class Reserve(Protocol):
    """Whoever keeps the host's memory free for those who were promised it."""

    def __call__(self, memory: int) -> bool:
        """Keep so many bytes in all for this worker; False if the host does not have them free."""
        ...


class Supervision:
    """What is known of a worker from outside, and what is done about it.

    Attributes:
        resources: what it may use now: what it began with, or what it has grown to.
        outgrown: the memory limits that it had before, in bytes.
        watch: its memory.
        scratch_used: bytes in its scratch folder, at the last look.
    """

    def __init__(  # noqa: PLR0917 - everything that there is to look at
        self,
        driver: Driver,
        job: Job,
        pid: int,
        resources: Resources,
        group: Cgroup | None,
        scratch: Path,
        ceiling: int,
        *,
        reserve: Reserve,
        stop: Callable[[Reason], None],
        grown: Callable[[int], None],
    ) -> None:
        """Be ready to look.

        Args:
            driver: writes what is worth a record.
            job: what the worker runs.
            pid: its process.
            resources: what it may use.
            group: its cgroup, if it has one.
            scratch: its scratch folder.
            ceiling: the most memory that this host could give it, in bytes.
            reserve: asks the host for more.
            stop: ends the worker.
            grown: is told when it was given more.
        """
        self.resources = resources
        self.outgrown: tuple[int, ...] = ()
        self.watch = Watch(resources.memory)
        self.scratch_used: int | None = None
        self._driver = driver
        self._job = job
        self._pid = pid
        self._group = group
        self._by_kernel = group is not None and group.limits_memory
        self._scratch = scratch
        self._top = ceiling if job.most is None else min(ceiling, job.most)
        self._reserve = reserve
        self._stop = stop
        self._grown = grown
        self._meter = usage.meter(pid)
        self._began = time.time() - time.monotonic()
        self._looked_at_disk = 0.0
        self._sampled = 0.0

    async def look_after(self) -> None:
        """Look again and again, until cancelled."""
        loop = asyncio.get_running_loop()
        held = self._group.hold_fd() if self._group is not None else None
        if held is not None:
            loop.add_reader(held, self._when_held)
        try:
            while True:
                self._look()
                calm = _KERNEL_WATCHES if self._by_kernel else 0.0
                await asyncio.sleep(max(self.watch.interval(), calm))
        finally:
            if held is not None:
                loop.remove_reader(held)
            self._record_samples()

    def _look(self) -> None:
        seen = self._measure()
        if seen is None:
            return
        memory, processes = seen
        now = self._began + time.monotonic()
        self.watch.see(now, memory)
        if self._by_kernel and self.resources.memory is not None and memory > _NEARLY * self.resources.memory:
            self._when_held()  # an alarm may come a moment before the worker stands still, and none comes after
        if not self._by_kernel and self.watch.is_over():
            self._stop("memory")
        elif processes > self.resources.processes:
            self._stop("processes")
        elif self.resources.disk is not None and now - self._looked_at_disk > _DISK_SECONDS:
            self._looked_at_disk = now
            self.scratch_used = usage.scratch_size(self._scratch)
            if self.scratch_used > self.resources.disk:
                self._stop("disk")
        if now - self._sampled > _SAMPLED_SECONDS:
            self._sampled = now
            self._record_samples()

    def _measure(self) -> tuple[int, int] | None:
        """Give its memory in bytes and the number of its processes; None if it is gone."""
        if self._group is not None and self._by_kernel:
            memory = self._group.usage()
            return None if memory is None else (memory, len(self._group.pids()))
        # Pages that its processes share are counted once as soon as it would matter.
        seen = self._meter.read(exact_above=(self.resources.memory or 0) // 2)
        return None if seen is None else (seen.memory, seen.processes)

    def _record_samples(self) -> None:
        if samples := self.watch.new_samples():
            self._driver.hand_in(WorkerSampled(self._job.call.path, self._job.attempt, samples))

    def _when_held(self) -> None:
        """Decide about a worker that stands still because it has reached its memory limit."""
        began = time.monotonic()
        group, limit = self._group, self.resources.memory
        if group is None or limit is None or not group.is_held():
            return
        policy = self._job.on_oom
        more = None if policy is None else policy.next(limit, needed=limit + 1, ceiling=self._top)
        if more is None or not self._reserve(more):
            self._stop("memory")
            return
        try:
            group.set_memory(more)
        except OSError:
            self._stop("memory")
            return
        rlimits.raise_data_limit(self._pid, more - limit)
        self.outgrown = (*self.outgrown, limit)
        self.resources = self.resources.grown(Grow(memory=more))
        self.watch.limit = more
        held = time.monotonic() - began
        path, attempt = self._job.call.path, self._job.attempt
        self._driver.hand_in(WorkerGrown(path, attempt, limit, more, held, group.version))
        self._grown(more)
