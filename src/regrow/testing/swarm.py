"""Which faults a seed may use, and which situations a run of seeds must have reached.

Each seed switches a random half of the faults on. With all of them always on, the ones that end a run's life early hide
what comes late in it, and two faults that cancel each other out are never seen alone (Groce et al., *Swarm Testing*,
2012).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection
from typing import Literal, get_args

Fault = Literal[
    "crash at an append",
    "append that lies",
    "append refused",
    "slow store",
    "process killed",
    "process paused",
    "clock set",
    "let go",
    "cancelled",
    "lease kept after death",
    "two drivers at once",
    "worker out of memory",
    "worker grows",
    "worker preempted",
    "worker killed",
    "worker crashes",
    "messages late",
    "messages twice",
    "code edited",
    "paused",
    "stopped",
]
"""What can go wrong in a world."""

FAULTS: tuple[Fault, ...] = get_args(Fault)


class Swarm:
    """The faults of one seed, and how many more of them there will be.

    Attributes:
        on: which faults may happen.
        left: how many will happen at most, from now on; at 0 the world is a quiet place.
        happened: how many did, by fault.
    """

    def __init__(
        self, chance: random.Random, faults: Collection[Fault] | None = None, *, hardship: float = 1.0
    ) -> None:
        """Draw a seed's faults, or take the ones given.

        Args:
            chance: the seed's dice.
            faults: which may happen; a random half when None.
            hardship: by how much more often than usual they strike, and how many more there are.
        """
        self._chance = chance
        self._hardship = hardship
        self.on: frozenset[Fault] = frozenset(
            faults if faults is not None else (fault for fault in FAULTS if chance.random() < 0.5)  # noqa: PLR2004
        )
        self.left = round(chance.randint(1, 8) * hardship)
        self.happened: Counter[str] = Counter()

    def strikes(self, fault: Fault, probability: float) -> bool:
        """Draw whether a fault happens now, and count it if so."""
        if self.left <= 0 or fault not in self.on or self._chance.random() >= probability * self._hardship:
            return False
        self.left -= 1
        self.happened[fault] += 1
        return True

    def whenever(self, fault: Fault, probability: float) -> bool:
        """Draw a fault that delays things and breaks nothing, so that it does not count against the others."""
        if self.left <= 0 or fault not in self.on or self._chance.random() >= probability:
            return False
        self.happened[fault] += 1
        return True


Situation = Literal[
    "a crash before an append",
    "a crash during an append",
    "a crash after an append",
    "an append that raised and had succeeded",
    "an append that was refused",
    "a process killed between two records",
    "a driver paused for longer than its lease",
    "a zombie fenced",
    "a run taken over when its lease had run out",
    "a run that another driver holds",
    "a driver that lets go in good order",
    "a run cancelled and retried",
    "a clock set back",
    "a clock set forward",
    "an append that took long",
    "records of two runs in one commit",
    "a sleep resumed after a crash",
    "a race given again in its order",
    "a stream taken up after a crash",
    "a worker out of memory",
    "a limit grown in place",
    "a retry with more memory",
    "a worker preempted",
    "a retry after preemption",
    "a worker lost",
    "a worker that crashed",
    "a checkpoint gone on from",
    "a message that came twice",
    "a message that came late",
    "a once-only call in doubt",
    "an outcome reconciled",
    "an outcome decided by a person",
    "code edited between crash and resume",
    "a divergence seen",
    "a task timed out",
    "a run paused and resumed",
    "a run stopped and resumed",
]
"""What must have happened at least once in a run of many seeds: a simulator that no longer gets there proves nothing.

The name is after Antithesis' *sometimes* assertions."""

SITUATIONS: tuple[Situation, ...] = get_args(Situation)
