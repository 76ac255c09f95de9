"""Who may begin on this host, and who waits: a queue for its processors, memory and devices.

It starts nothing and knows no clock. The executor says what arrives and what ends, and is told what may begin.

The first in the queue waits until it fits, and everybody behind it waits with it. Rejected: letting smaller ones pass.
It would fill the host better, and a large task would never begin on a busy one.

Nested tasks need three rules more, because whoever called them holds a place until they are done:

- A worker that waits for tasks of its own lends its processors, and they are counted as free meanwhile. Its memory and
  its devices stay with it. When its tasks are done it goes on at once, so processors can be overbooked for a while. The
  machine shares those out. It cannot share memory.
- What a placed worker has called goes before what nobody here waits for, and has at least its caller's priority. Else
  outer tasks would take every place, and none of them could finish.
- When every placed worker waits for tasks of its own, nothing would ever end. Then the first of these tasks is let in
  beyond capacity. Rejected: refusing it. How deep tasks nest is not known when they are written, and a limit of memory
  is what a worker may use, which those that wait hardly do.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

import msgspec

from regrow.errors import UsageError
from regrow.remedies import Grow
from regrow.values.resources import Resources
from regrow.values.sizes import readable_size

_ROUNDING = 1e-9
"""Processors are counted in fractions, whose sums are not exact."""
_Rank = tuple[int, bool, int]
"""The place in the queue: priority (negated), whether nobody here waits for it, and when it came."""


class Claim(msgspec.Struct, frozen=True):
    """Somebody wants a place.

    Attributes:
        id: names the worker to be; not used twice.
        resources: what is to be kept free for it. Without a memory limit it reserves no memory.
        priority: a higher one goes first.
        parent: the id of the worker whose task made the call; None if that runs in no worker of this host.
    """

    id: str
    resources: Resources
    priority: int = 0
    parent: str | None = None


class Placed(msgspec.Struct, frozen=True):
    """A claim that may begin.

    Attributes:
        claim: which one. Its resources are what is reserved now.
        gpus: the devices that it alone sees; if it is `beyond`, perhaps together with one that waits for it.
        beyond: whether it was let in although it did not fit.
    """

    claim: Claim
    gpus: tuple[str, ...]
    beyond: bool


class Capacity:
    """What a host has, who holds of it, and who waits. For use from one thread.

    Attributes:
        cpus: processors in all.
        memory: bytes in all that tasks may reserve.
        gpus: ids of the devices.
    """

    def __init__(self, cpus: float, memory: int, gpus: Iterable[str] = ()) -> None:
        self.cpus = cpus
        self.memory = memory
        self.gpus = tuple(gpus)
        self._placed: dict[str, Placed] = {}
        self._waiting: dict[str, Claim] = {}
        self._queue: list[tuple[_Rank, str]] = []
        self._ranks: dict[str, _Rank] = {}  # of all that wait or are placed: what they call inherits their priority
        self._called: Counter[str] = Counter()  # for each worker, how many tasks of its own wait or are placed
        self._came = 0
        self._paused = False

    @property
    def placed(self) -> Mapping[str, Placed]:
        """Who holds a place, by id."""
        return MappingProxyType(self._placed)

    @property
    def waiting(self) -> list[Claim]:
        """Who waits, the next one first."""
        return [self._waiting[worker] for _, worker in self._queue]

    @property
    def cpus_used(self) -> float:
        """The processors that are taken; those of workers that wait for tasks of their own are not."""
        return sum(each.claim.resources.cpu for worker, each in self._placed.items() if not self._called[worker])

    @property
    def memory_used(self) -> int:
        """The bytes that are reserved."""
        return sum(each.claim.resources.memory or 0 for each in self._placed.values())

    def refuse(self, resources: Resources) -> str | None:
        """Say in a sentence why this can never run on this host, and what to do about it; None if it can."""
        if resources.memory is not None and resources.memory > self.memory:
            return _refusal("memory", f"{readable_size(resources.memory)} of memory", readable_size(self.memory))
        if resources.cpu > self.cpus + _ROUNDING:
            return _refusal("cpu", f"{resources.cpu:g} processors", f"{self.cpus:g}")
        if resources.gpu > len(self.gpus):
            return _refusal("gpu", f"{resources.gpu} gpu{'s' if resources.gpu > 1 else ''}", str(len(self.gpus)))
        return None

    def ask(self, claim: Claim) -> list[Placed]:
        """Queue a claim, and give all that may begin now.

        Raises:
            UsageError: it can never fit; the message is that of `refuse`.
            ValueError: its id is in use.
        """
        if reason := self.refuse(claim.resources):
            raise UsageError(reason)
        if claim.id in self._ranks:
            raise ValueError(f"claim {claim.id} waits or is placed already")
        rank = self._rank(claim)
        self._ranks[claim.id] = rank
        self._waiting[claim.id] = claim
        bisect.insort(self._queue, (rank, claim.id))
        if claim.parent is not None:
            self._called[claim.parent] += 1
        return self._place()

    def release(self, worker: str) -> list[Placed]:
        """Take back the place of a worker that is gone, and give all that may begin now.

        Nothing happens if it is not placed, so that whoever cleans up need not know how far it had come.
        """
        placed = self._placed.pop(worker, None)
        if placed is not None:
            self._forget(placed.claim)
        return self._place()

    def withdraw(self, worker: str) -> list[Placed]:
        """Take a claim out of the queue, and give all that may begin now. Nothing happens if it does not wait."""
        if worker in self._waiting:
            claim = self._leave_queue(worker)
            self._forget(claim)
        return self._place()

    def grow(self, worker: str, memory: int) -> bool:
        """Reserve more for a worker that is running, if the host has that free.

        It goes before all that wait: what runs gives its place back, and sooner if it need not begin anew.

        Args:
            worker: its id.
            memory: the new amount in bytes. Nothing is given back if it is less than the present one.

        Returns:
            Whether that much is reserved now. False also if it is not placed.
        """
        placed = self._placed.get(worker)
        if placed is None:
            return False
        claim = placed.claim
        has = claim.resources.memory or 0
        if memory <= has:
            return True
        if self.memory_used - has + memory > self.memory:
            return False
        grown = msgspec.structs.replace(claim, resources=claim.resources.grown(Grow(memory=memory)))
        self._placed[worker] = msgspec.structs.replace(placed, claim=grown)
        return True

    def pause(self) -> None:
        """Place nothing from now on, not even what placed workers wait for: this host is about to go."""
        self._paused = True

    def resume(self) -> list[Placed]:
        """Place again, and give all that may begin now."""
        self._paused = False
        return self._place()

    # -- who is next ---------------------------------------------------------------------------------------------------

    def _rank(self, claim: Claim) -> _Rank:
        self._came += 1
        if claim.parent is None or claim.parent not in self._placed:
            return -claim.priority, True, self._came
        return min(-claim.priority, self._ranks[claim.parent][0]), False, self._came

    def _place(self) -> list[Placed]:
        begun: list[Placed] = []
        while self._queue and not self._paused:
            _, worker = self._queue[0]
            if not self._fits(worker):
                if not self._is_stuck:
                    break
                worker = self._first_waited_for()
            begun.append(self._let_in(worker))
        return begun

    def _fits(self, worker: str) -> bool:
        wanted = self._waiting[worker].resources
        return (
            self.cpus_used + wanted.cpu <= self.cpus + _ROUNDING
            and self.memory_used + (wanted.memory or 0) <= self.memory
            and wanted.gpu <= len(self._free_gpus())
        )

    @property
    def _is_stuck(self) -> bool:
        # Callers form trees. If each placed one has called something, so has each that has called nothing placed; what
        # that one waits for is in the queue, and so is, through it, what those above it wait for.
        return all(self._called[worker] for worker in self._placed)

    def _first_waited_for(self) -> str:
        # Not simply the first: one of a higher priority that nobody waits for may be before it, and would leave all
        # others as stuck as they are.
        return next(worker for _, worker in self._queue if self._waiting[worker].parent in self._placed)

    def _let_in(self, worker: str) -> Placed:
        beyond = not self._fits(worker)
        claim = self._leave_queue(worker)
        # Devices cannot be invented. One beyond capacity shares those of its callers, which wait for it.
        devices = dict.fromkeys((*self._free_gpus(), *self._gpus_of_callers(claim), *self.gpus))
        placed = Placed(claim, tuple(devices)[: claim.resources.gpu], beyond)
        self._placed[worker] = placed
        return placed

    def _leave_queue(self, worker: str) -> Claim:
        del self._queue[bisect.bisect_left(self._queue, (self._ranks[worker], worker))]
        return self._waiting.pop(worker)

    def _forget(self, claim: Claim) -> None:
        del self._ranks[claim.id]
        if claim.parent is not None:
            self._called[claim.parent] -= 1
            if not self._called[claim.parent]:
                del self._called[claim.parent]

    def _free_gpus(self) -> list[str]:
        taken = {gpu for each in self._placed.values() for gpu in each.gpus}
        return [gpu for gpu in self.gpus if gpu not in taken]

    def _gpus_of_callers(self, claim: Claim) -> Iterator[str]:
        caller = claim.parent
        while caller is not None and caller in self._placed:
            yield from self._placed[caller].gpus
            caller = self._placed[caller].claim.parent


def _refusal(option: str, asked: str, there: str) -> str:
    return (
        f"it asks for {asked}, and this host has {there} for all tasks together, so it could never begin; "
        f"ask for less with {option}=, or run it on a larger host"
    )
