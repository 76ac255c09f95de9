"""Simulated processes, and who of them runs next.

A process is an event loop and what hangs on it. It dies by never being run again: no ``finally`` block of a killed
process has any effect, because whatever it does on its way reaches nobody. It is paused by not being run for a while,
as SIGSTOP, a busy host or a closed lid would do.

Code that blocks (a slow commit in place, a thread that waits for an answer) lets all the others run meanwhile, from
inside its own call. So a driver can be overtaken in the very middle of an append.
"""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncGenerator, Callable
from contextvars import Context
from typing import Any

from regrow.engine.branches import here
from regrow.testing.crash import Crash
from regrow.testing.virtual_time import VirtualLoop, VirtualTime, running_on

_BURST = 6
"""How many callbacks of one process run in a row, on average: others cut in anywhere, but not everywhere."""
_PATIENCE = 60_000
"""Callbacks after which a world is stuck. A quiet one needs a few hundred."""


class Stuck(AssertionError):
    """Nobody in the world has anything left to do, and something is still waited for."""


class Process:
    """A process of the world.

    Attributes:
        name: for people.
        loop: its event loop.
        parent: whose worker it is; None for one that stands for itself.
        alive: whether it has not been killed.
        paused_until: it does nothing before that moment.
        blocked: how often it waits inside a callback, right now.
        epoch: under which lease a worker was started.
        at_death: called when it dies.
    """

    def __init__(self, name: str, loop: VirtualLoop, parent: Process | None = None) -> None:
        """Begin, with nothing to do."""
        self.name = name
        self.loop = loop
        self.parent = parent
        self.alive = True
        self.paused_until = 0.0
        self.blocked = 0
        self.epoch = 0
        self.at_death: list[Callable[[], None]] = []

    @property
    def is_held(self) -> bool:
        """Whether it, or the driver whose worker it is, waits inside a callback: then it cannot be run from there."""
        return self.blocked > 0 or (self.parent is not None and self.parent.is_held)

    def die(self) -> None:
        """Be killed."""
        if self.alive:
            self.alive = False
            for last in self.at_death:
                last()

    def be_alive(self) -> None:
        """Let nothing of a dead process reach the outside.

        Raises:
            Crash: it is dead.
        """
        if not self.alive:
            raise Crash(f"{self.name} is dead")

    def soon(self, callback: Callable[..., Any], *args: Any, after: float = 0.0) -> None:
        """Have something done in it, on nobody's account."""
        self.loop.call_later(after, callback, *args, context=Context())


class Processes:
    """All of them, under one clock.

    Attributes:
        clock: the world's.
        operator: a process that never dies and is never paused: whoever starts the others, and the wires between them.
        running: whose code is running now.
        steps: how many callbacks have run.
    """

    def __init__(self, chance: random.Random, between: Callable[[Process], None]) -> None:
        """Begin with the operator alone.

        Args:
            chance: the seed's dice.
            between: called before each callback of a process, with that process.
        """
        self.clock = VirtualTime()
        self.steps = 0
        self._chance = chance
        self._between = between
        self._alive: list[Process] = []
        self._all: list[Process] = []
        self.operator = self.start("operator")
        self.running = self.operator

    def start(self, name: str, parent: Process | None = None) -> Process:
        """Begin another one."""
        process = Process(name, VirtualLoop(self.clock, self._chance), parent)
        self._alive.append(process)
        self._all.append(process)
        process.at_death.append(lambda: self._alive.remove(process))
        if parent is not None:
            # Its channel closes; it hears of that a moment later, and has nothing to go on for.
            delay = self._chance.choice((0.0, 0.001, 0.5))
            parent.at_death.append(lambda: self.operator.soon(process.die, after=delay))
        return process

    @property
    def others(self) -> list[Process]:
        """Everybody alive but the operator."""
        return [process for process in self._alive if process is not self.operator]

    def step(self) -> None:
        """Let somebody run for a little, or time pass until somebody can.

        Raises:
            Stuck: nobody ever will, or this goes on for ever.
        """
        if self.steps > _PATIENCE:
            raise Stuck(f"this world has not come to its end after {self.steps} callbacks")
        now = self.clock.now
        ready: list[Process] = []
        soonest: float | None = None
        for process in self._alive:
            if process.is_held:
                continue
            moment = process.loop.next_moment()
            if moment is None:
                continue
            moment = max(moment, process.paused_until)
            if moment <= now:
                ready.append(process)
            elif soonest is None or moment < soonest:
                soonest = moment
        if ready:
            self._run(ready[0] if len(ready) == 1 else self._chance.choice(ready))
        elif soonest is not None:
            self.clock.now = soonest
        else:
            raise Stuck("nobody in this world has anything left to do")

    def _run(self, process: Process) -> None:
        before, self.running = self.running, process
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=lambda abandoned: _close_later(process, abandoned))
        try:
            for _ in range(self._chance.randint(1, 2 * _BURST)):
                moment = process.loop.next_moment()
                if moment is None or max(moment, process.paused_until) > self.clock.now or process not in self._alive:
                    return
                if process is not self.operator:
                    self._between(process)
                if process in self._alive:
                    self.steps += 1
                    process.loop.run_one()
        finally:
            sys.set_asyncgen_hooks(*hooks)
            self.running = before

    def wait(self, process: Process, done: Callable[[], bool]) -> None:
        """Let the others go on while a process waits inside a callback.

        Raises:
            Crash: it was killed while it waited.
        """
        process.be_alive()
        with running_on(None):
            place = here()
            branch, place.branch = place.branch, None
            process.blocked += 1
            try:
                while process.alive and not done():
                    self.step()
            finally:
                process.blocked -= 1
                place.branch = branch
        process.be_alive()

    def elapse(self, process: Process, seconds: float) -> None:
        """Let so much time pass while a process is busy, or waits, inside a callback."""
        until = self.clock.now + seconds
        self.operator.soon(_nothing, after=seconds)
        self.wait(process, lambda: self.clock.now >= until)

    def bury(self) -> None:
        """End the world: whatever is still under way is let go of."""
        for process in self._all:
            process.alive = False
        for process in self._all:
            process.loop.bury()


def _close_later(process: Process, abandoned: AsyncGenerator[Any, Any]) -> None:
    """Do what asyncio does with an asynchronous generator that nobody iterates any more."""
    if process.alive:
        process.loop.call_soon(process.loop.create_task, abandoned.aclose())


def _nothing() -> None:
    """Be there, so that time stops at this moment."""
