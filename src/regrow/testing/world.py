"""A world in a seed: the real engine on virtual time, with everything going wrong that can.

What runs is regrow itself: drivers, calls, replay, turns, the committer, the ladder, and in workers the same again over
the same messages. What is played is what lies around it: time, threads, processes, the store's disk, the wire. A seed
decides everything, so a failure comes back as often as it is asked for.

A world is a few processes that drive runs in one store, an operator who starts another process for whatever is not
driven, and faults until the seed's share of them is used up. After that all runs must end, and as they would have in a
quiet world.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

from regrow.authoring.driving import drive_async
from regrow.authoring.opening import open_run
from regrow.authoring.outcome import outcome_of
from regrow.authoring.task import Task
from regrow.engine.branches import drive_on
from regrow.engine.committer import Committer
from regrow.engine.driver import Driver
from regrow.engine.host import Host
from regrow.errors import (
    OutcomeUnknown,
    RegrowError,
    RunCancelled,
    RunHeld,
    RunOver,
    RunPaused,
    RunStopped,
    StoreError,
)
from regrow.healing.ladder import Ladder
from regrow.journal.memory import MemoryStore
from regrow.journal.orders import EVERYWHERE
from regrow.journal.records import DriverClosed, OutcomeDecided
from regrow.journal.store import RunRow, Store
from regrow.testing.crash import Crash
from regrow.testing.nothing_real import nothing_real
from regrow.testing.processes import Process, Processes, Stuck
from regrow.testing.replay_check import replays
from regrow.testing.simulated_executor import SimulatedExecutor
from regrow.testing.simulated_host import SimulatedHost
from regrow.testing.simulated_store import Connection
from regrow.testing.swarm import Fault, Situation, Swarm
from regrow.testing.witness import Witness

_SITUATIONS: dict[type[BaseException], Situation] = {
    OutcomeUnknown: "a once-only call in doubt",
    RunPaused: "a run paused and resumed",
    RunStopped: "a run stopped and resumed",
}
"""What was reached, by how a driver's work on a run has ended."""
_LOOKS = (0.5, 2.0, 5.0, 16.0)
"""Seconds until the operator looks at a run again."""


class WorldFailed(AssertionError):
    """Something has happened that must not, and the seed that brings it back."""


class _Plan:
    """A run that somebody wants done."""

    def __init__(self, versions: Sequence[Task[..., Any]], args: tuple[Any, ...], key: str, expected: object) -> None:
        self.versions = versions
        self.args = args
        self.key = key
        self.expected = expected
        self.version = 0
        self.run = ""
        self.finished = False
        self.at_work: list[tuple[Process, asyncio.Task[None]]] = []
        self.drivers: list[tuple[Process, Host, Driver]] = []


class SimulatedWorld:
    """One seed's world.

    Attributes:
        seed: decides everything.
        chance: the seed's dice.
        processes: the simulated processes, and time.
        swarm: which faults may happen.
        store: what all processes share; look into it when the world has ended.
        reached: how often each situation came about.
        witness: what has been seen, and what must not have been.
        appended: how many records were stored, or refused to a driver that had lost its lease.
        deaths: at which crash points processes die, counted over the whole world: 1 is before the first record, 2 after
            it, 3 before the second.
    """

    here: SimulatedWorld
    """The world that is being played; agents note their effects in it."""

    def __init__(
        self,
        seed: int,
        *,
        faults: Collection[Fault] | None = None,
        hardship: float = 1.0,
        committer: Callable[[Store, SimulatedWorld, Process], Committer] | None = None,
        store: Callable[[Callable[[], float]], MemoryStore] = MemoryStore,
    ) -> None:
        """Make a world in which nothing runs yet.

        Args:
            seed: any number.
            faults: which may happen; a random half of all when None, none when empty.
            hardship: by how much more often than usual faults strike, and how many more there are.
            committer: makes each process's committer; for tests of the world itself.
            store: makes the store from its clock; likewise.
        """
        self.seed = seed
        self.chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
        self.reached: Counter[Situation] = Counter()
        self.swarm = Swarm(self.chance, faults, hardship=hardship)
        self.processes = Processes(self.chance, self._between)
        self.store = store(self.processes.clock.wall)
        self.witness = Witness(self.processes, self.store, self.reached)
        self.witness.driving = self._driver_of
        self._committer = committer
        self._hardship = "" if hardship == 1 else f" HARDSHIP={hardship:g}"
        self._hosts: dict[Process, Host] = {}
        self.appended = 0
        self.deaths: list[int] = []
        self._plans: list[_Plan] = []
        self._real: list[str] = []
        self._names = 0

    # -- what is to be done --------------------------------------------------------------------------------------------

    def run(
        self,
        task: Task[..., Any],
        *args: Any,
        key: str,
        edited: Sequence[Task[..., Any]] = (),
        expected: Any = ...,
    ) -> None:
        """Have a task run in this world, sooner or later.

        Args:
            task: what to run.
            args: its arguments.
            key: names the run.
            edited: other versions of the same task, as its author may have saved them meanwhile.
            expected: what it must give in the end; anything, if left out or if its code is edited.
        """
        self._plans.append(_Plan((task, *edited), args, key, expected))

    def play(self) -> None:
        """Let it all happen.

        Raises:
            WorldFailed: something has happened that must not.
        """
        SimulatedWorld.here = self
        collecting = gc.isenabled()
        gc.disable()  # what is collected may have a last word, and the moment of that is nobody's to choose
        try:
            with nothing_real(self.processes.clock, self.chance, self._real):
                for plan in self._plans:
                    self.processes.operator.soon(self._look_after, plan, after=self.chance.choice((0.0, 0.0, 0.3, 1.0)))
                self._play()
        finally:
            self.processes.bury()
            if collecting:
                gc.enable()
        found = [*self.witness.found, *(f"nothing real is asked for: {what}" for what in self._real)]
        if found:
            lines = "\n  ".join(dict.fromkeys(found))
            raise WorldFailed(
                f"in the world of seed {self.seed}, with {dict(self.swarm.happened) or 'no faults'}:\n  {lines}\n"
                f"to see it again: make sim SEED={self.seed}{self._hardship}"
            )

    def _play(self) -> None:
        while not all(plan.finished for plan in self._plans):
            try:
                self.processes.step()
            except Crash:
                continue  # the process that was killed says so to nobody
            except Stuck as stuck:
                left = [plan.key for plan in self._plans if not plan.finished]
                self.witness.broken("every run ends once the faults are over", f"{', '.join(left)}: {stuck}")
            if self.witness.found or self._real:
                return
        self.swarm.left = 0
        for plan in self._plans:
            self._look_at_the_end(plan)
        plan = self._plans[0]
        if len(plan.versions) == 1 and not self.witness.found:
            for what in replays(self, plan.run, plan.versions[0], plan.args):
                self.witness.broken("replay of a finished run does nothing", f"{plan.key}: {what}")

    def _look_at_the_end(self, plan: _Plan) -> None:
        row = self.store.get(plan.run)
        journal = self.witness.journal(plan.run)
        if row.outcome != "succeeded":
            self.witness.broken("every run succeeds in the end", f"{plan.key} has {row.outcome}")
        stored = [one.seq for one in self.store.read(plan.run)]
        if stored != [record.seq for record in journal.records]:
            self.witness.broken("what was stored is there", plan.key)
        for (run, label), keys in self.witness.charges.items():
            if run == plan.run and len(keys) != 1 and not journal.state.divergences:
                self.witness.broken("a call keeps its idempotency key", f"{label} had {len(keys)}")
        if plan.expected is not ... and len(plan.versions) == 1:
            result = outcome_of(self._hosts[next(reversed(self._hosts))], plan.run)
            if result != plan.expected:
                self.witness.broken("faults change no result", f"{plan.key} gave {result!r}, not {plan.expected!r}")
            if journal.state.divergences:
                what = ", ".join(f"{one.path}: {one.reason}" for one in journal.state.divergences)
                self.witness.broken("code that nobody has edited does not diverge", what)

    # -- the operator --------------------------------------------------------------------------------------------------

    def _look_after(self, plan: _Plan) -> None:
        """See to it that somebody is at work on a run."""
        if plan.finished:
            return
        now = self.processes.clock.now
        busy = [
            process
            for process, work in plan.at_work
            if process.alive and not work.done() and (process.paused_until <= now and not process.blocked)
        ]
        if self.store.stops():
            self.store.lift_stop(EVERYWHERE)
        if not busy or self.swarm.strikes("two drivers at once", 0.1):
            process = self._some_process(plan)
            process.soon(self._begin, process, plan)
        elif plan.run and self.swarm.strikes("cancelled", 0.1):
            self.store.request_cancel(plan.run, "somebody")
        elif plan.run and self.swarm.strikes("paused", 0.1):
            self.store.request_pause(plan.run, "somebody", grace=self.chance.choice((0.0, 2.0, 10.0)))
        elif self.swarm.strikes("stopped", 0.05):
            self.store.stop(EVERYWHERE, "somebody")
        self.processes.operator.soon(self._look_after, plan, after=self.chance.choice(_LOOKS))

    def _some_process(self, plan: _Plan) -> Process:
        now = self.processes.clock.now
        at_it = {process for process, work in plan.at_work if not work.done()}
        idle = [one for one in self._hosts if one.alive and one.paused_until <= now and one not in at_it]
        if idle and self.chance.random() < 0.7:  # noqa: PLR2004 - mostly, so that processes have several runs
            return self.chance.choice(idle)
        self._names += 1
        process = self.processes.start(f"process {self._names}")
        connection = Connection(self, process, self.store)
        executor = SimulatedExecutor(self, process)
        self._hosts[process] = SimulatedHost(self, process, connection, executor, Ladder(), self._committer)
        drive_on(process.loop)
        return process

    def _begin(self, process: Process, plan: _Plan) -> None:
        work = asyncio.Task(self._drive(process, plan), loop=process.loop)
        plan.at_work.append((process, work))

    async def _drive(self, process: Process, plan: _Plan) -> None:
        """Do what `regrow run`, or whatever the operator must do instead, does."""
        host = self._hosts[process]
        try:
            driver = self._open(host, plan)
        except (RunHeld, RunOver, RunStopped, StoreError):
            return
        if driver is None:
            return
        at_work = (process, host, driver)
        plan.drivers.append(at_work)
        try:
            await drive_async(host, driver, plan.versions[plan.version], plan.args, {})
        except (RunCancelled, RunPaused, RunStopped, OutcomeUnknown, StoreError, asyncio.CancelledError) as end:
            if (situation := _SITUATIONS.get(type(end))) is not None:
                self.reached[situation] += 1
        except RegrowError as end:
            if driver.halted is None:
                self.witness.broken("a run ends well, or is halted", f"{plan.key}: {end!r}")
        except Exception as end:  # noqa: BLE001 - agents of a world succeed
            if process.alive:
                self.witness.broken("every failure is healed", f"{plan.key}: {end!r}")
        finally:
            if process.alive:
                plan.drivers.remove(at_work)
            if process.alive and self.store.get(plan.run).outcome == "succeeded":
                plan.finished = True

    def _open(self, host: Host, plan: _Plan) -> Driver | None:
        if plan.run and len(plan.versions) > 1 and self.swarm.strikes("code edited", 0.5):
            plan.version = self.chance.randrange(len(plan.versions))
            self.reached["code edited between crash and resume"] += 1
        row = self.store.get(plan.run) if plan.run else None
        if row is not None and row.outcome in ("failed", "cancelled"):
            return self._take_up_again(host, plan, row)
        if row is not None and row.status == "paused":
            self.store.lift_pause(row.id)
        opened = open_run(host, plan.versions[plan.version], plan.args, {}, key=plan.key)
        if isinstance(opened, RunRow):
            plan.run = opened.id
            plan.finished = opened.outcome == "succeeded"
            return None
        plan.run = opened.run
        return opened

    def _take_up_again(self, host: Host, plan: _Plan, row: RunRow) -> Driver | None:
        """Settle what a person has to settle, then try the run again."""
        if row.outcome == "failed":
            if self.somebody_may_still(plan.run):
                return None
            state = self.witness.journal(plan.run).state
            unknown = [
                path for path, call in state.calls.items() if call.begun and call.begun.once and call.outcome is None
            ]
            driver = host.take_up(row.id, even_if_over=True)
            try:
                for path in unknown:
                    times = sum(
                        count for (run, at, _), count in self.witness.effects.items() if (run, at) == (row.id, path)
                    )
                    value = host.vault.keep(True, "decided")  # noqa: FBT003
                    driver.hand_in(
                        OutcomeDecided(path, happened=times > 0, value=value.value if times else b"", reason="looked")
                    )
                driver.hand_in(DriverClosed("resolved"))
            finally:
                host.let_go(driver)
        return host.take_up(row.id, retry_as="somebody")

    def somebody_may_still(self, run: str) -> bool:
        """Tell whether a driver that has lost its lease, and does not know, may still be at work on a run.

        Nobody can say for certain, as long as that is so, that an effect will not happen.
        """
        return any(
            process.alive and driver.run == run and driver.log.epoch < self.witness.claimed[run]
            for plan in self._plans
            for process, _, driver in plan.drivers
        )

    def _driver_of(self, run: str) -> Driver | None:
        for plan in self._plans:
            if plan.run == run and plan.drivers:
                process, _, driver = plan.drivers[-1]
                return driver if process.alive and driver.halted is None else None
        return None

    # -- fate ----------------------------------------------------------------------------------------------------------

    def pause(self) -> float:
        """Give how long a process is stopped: often longer than a lease."""
        seconds = self.chance.choice((0.5, 5.0, 20.0, 60.0))
        if seconds > 15:  # noqa: PLR2004 - LEASE_SECONDS
            self.reached["a driver paused for longer than its lease"] += 1
        return seconds

    def _between(self, process: Process) -> None:
        """Let something happen to a process between two callbacks."""
        swarm = self.swarm
        if swarm.left <= 0:
            return
        if swarm.strikes("process killed", 0.002):
            self.reached["a process killed between two records"] += process.parent is None
            process.die()
        elif swarm.strikes("process paused", 0.002):
            process.paused_until = self.processes.clock.now + self.pause()
        elif swarm.strikes("clock set", 0.002):
            seconds = self.chance.choice((-3600.0, -20.0, -1.0, 1.0, 20.0, 3600.0))
            self.reached["a clock set back" if seconds < 0 else "a clock set forward"] += 1
            self.processes.clock.set(seconds)
        elif swarm.strikes("let go", 0.001):
            self._let_go(process)

    def _let_go(self, process: Process) -> None:
        for plan in self._plans:
            for at, _, driver in plan.drivers:
                if at is process and not driver.is_over and not driver.closing:
                    self.reached["a driver that lets go in good order"] += 1
                    driver.let_go()
