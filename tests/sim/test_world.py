"""Thousands of worlds, each with its own faults; and bugs planted on purpose, which the worlds must find.

`make sim SEEDS=20000` plays more of them, `make sim SEED=123` one again.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import time
from collections import Counter

import msgspec
import pytest

import regrow
from regrow.engine import calls, decide, timers
from regrow.engine.branches import Branch
from regrow.engine.driver import Driver
from regrow.engine.log import RunLog
from regrow.journal.records import Spent
from regrow.testing import MemoryStore, SimulatedWorld, WorldFailed
from regrow.testing.simulated_host import SimulatedCommitter
from regrow.testing.swarm import FAULTS, SITUATIONS

from . import world_agents as agents

_SEEDS = int(os.environ.get("REGROW_SIM_SEEDS") or 2000)
_SEED = os.environ.get("REGROW_SIM_SEED")
_HARDSHIP = float(os.environ.get("REGROW_SIM_HARDSHIP") or 1)
_CONTROLS = 150
"""Within how many seeds a planted bug must be found."""


class Figures(msgspec.Struct):
    """What the worlds came to: events, virtual time, how often which fault struck and which situation was reached."""

    worlds: int
    events: int = 0
    virtual_hours: float = 0.0
    faults: Counter[str] = msgspec.field(default_factory=Counter)
    situations: Counter[str] = msgspec.field(default_factory=Counter)
    violations: list[str] = msgspec.field(default_factory=list)

    def describe(self):
        return (
            f"{self.worlds} worlds, {self.events} events, {self.virtual_hours:.1f} virtual hours, "
            f"{len(self.violations)} worlds failed\nfaults: {dict(self.faults.most_common())}"
        )


@pytest.fixture(scope="module")
def played():
    """Play all seeds once."""
    logging.getLogger("regrow").setLevel(logging.ERROR)  # edited code warns, thousands of times
    seeds = range(_SEEDS) if not _SEED else [int(_SEED)]
    found = Figures(len(seeds))
    for seed in seeds:
        world = agents.a_world(seed, hardship=_HARDSHIP)
        try:
            world.play()
        except WorldFailed as failure:
            found.violations.append(str(failure))
        found.situations += world.reached
        found.faults += world.swarm.happened
        found.events += world.processes.steps
        found.virtual_hours += world.processes.clock.now / 3600
    print(found.describe())
    logging.getLogger("regrow").setLevel(logging.NOTSET)
    return found


@pytest.mark.promise("P2", "P3", "P4", "P5", "P8")
def test_every_promise_holds_in_every_world(played, figures):
    figures(played)
    broken = played.violations
    assert not broken, f"{len(broken)} worlds failed; the first three:\n" + "\n\n".join(broken[:3])


@pytest.mark.skipif(bool(_SEED) or _SEEDS < 500, reason="one world, or few, need not get everywhere")
def test_every_situation_was_reached(played):
    assert [situation for situation in SITUATIONS if not played.situations[situation]] == []
    assert [fault for fault in FAULTS if not played.faults[fault]] == []


def test_a_seed_makes_the_same_world_twice():
    def record_bytes(seed):
        world = agents.a_world(seed)
        world.play()
        return [(row.id, [one.hash for one in world.store.read(row.id)]) for row in world.store.runs()]

    for seed in range(20):
        assert record_bytes(seed) == record_bytes(seed)


def test_a_failing_seed_says_how_to_see_it_again(monkeypatch):
    monkeypatch.setattr(Driver, "wait_until", _sleepless)
    with pytest.raises(WorldFailed, match=r"make sim SEED=\d+"):
        _find_in_some_world(agent=agents.sleeping)


@pytest.mark.parametrize("killed_after", range(3, 12))
def test_a_driver_that_stands_still_while_it_replays_gives_a_race_its_old_winner(killed_after):
    for stands_still_at in range(30):
        world = SimulatedWorld(1, faults=())
        world.run(agents.racing, key="k", expected=True)
        callbacks = []

        def between(process, world=world, callbacks=callbacks, at=stands_still_at):
            if process.name == "process 1" and world.appended >= killed_after:
                process.die()
            elif process.name == "process 2":
                callbacks.append(process)
                if len(callbacks) == at:
                    process.paused_until = world.processes.clock.now + 10

        world.processes._between = between
        world.play()


@pytest.mark.parametrize("seed", range(8))
def test_workers_that_outlive_their_cancelled_run_record_nothing_in_it(seed):
    world = SimulatedWorld(seed, faults=())
    world.run(agents.lingerers, key="k", expected=[0.1, 0.6])
    world.run(agents.sleeping, key="other")  # so that the process goes on to commit

    def cancel():
        world.store.request_cancel(world.store.by_key("default", "k").id, "somebody")

    world.processes.operator.soon(cancel, after=3.0)
    world.play()
    assert world.reached["a run cancelled and retried"]


# -- what is real stays outside ----------------------------------------------------------------------------------------


def _agent_that_asks(real):
    @regrow.task(name="asks_for_the_real")
    async def agent():
        real()

    return agent


@pytest.mark.parametrize("real", [time.time, time.sleep, random.random, os.urandom], ids=lambda one: one.__name__)
def test_asking_for_something_real_fails_the_world(real):
    module, name = {"time": time, "sleep": time, "random": random, "urandom": os}[real.__name__], real.__name__
    world = SimulatedWorld(1, faults=())
    world.run(_agent_that_asks(lambda: getattr(module, name)(*([1] if name in ("sleep", "urandom") else []))), key="k")
    with pytest.raises(WorldFailed, match=f"called .*{name}"):
        world.play()
    assert getattr(module, name) is real


def test_a_caller_that_blocks_on_a_worker_is_told_what_to_write_for_a_simulated_world():
    @regrow.task(isolate=True)
    def heavy():
        return 1

    @regrow.task
    def blocking():
        return heavy()

    world = SimulatedWorld(1, faults=())
    world.run(blocking, key="k")
    with pytest.raises(WorldFailed, match=r"write `await heavy\.aio\(…\)` there"):
        world.play()


# -- planted bugs ------------------------------------------------------------------------------------------------------


def _find_in_some_world(agent=None, **how):
    """Play worlds until one fails, and raise that; a planted bug that no world finds fails the test."""
    for seed in range(_CONTROLS):
        if agent is None:
            world = agents.a_world(seed, **how)
        else:
            world = SimulatedWorld(seed, **how)
            world.run(agent, key=agent.name, expected=agents.EXPECTED[agent])
        world.play()


def _found(match, **how):
    logging.getLogger("regrow").setLevel(logging.ERROR)
    try:
        with pytest.raises(WorldFailed, match=match):
            _find_in_some_world(**how)
    finally:
        logging.getLogger("regrow").setLevel(logging.NOTSET)


@pytest.mark.control
def test_a_store_that_does_not_fence_is_found():
    class Unfenced(MemoryStore):
        def append(self, entries):
            return super().append(
                [msgspec.structs.replace(entry, epoch=self._rows[entry.run].epoch) for entry in entries]
            )

    _found("only the holder of the lease appends|a store never finds a gap", store=Unfenced)


@pytest.mark.control
def test_a_store_that_loses_a_record_is_found():
    class Forgetful(MemoryStore):
        def append(self, entries):
            fenced = super().append(entries)
            for run in {entry.run for entry in entries}:
                if len(self._records[run]) == 9:
                    self._records[run].pop()
            return fenced

    _found("a store never finds a gap", store=Forgetful)


@pytest.mark.control
def test_a_committer_that_acknowledges_before_it_appends_is_found():
    class Hasty(SimulatedCommitter):
        def submit(self, entry, loop):
            self.hand_in(entry)

    _found("is never executed again", committer=Hasty, agent=agents.linear)


@pytest.mark.control
def test_a_lost_log_entry_is_found():
    class Losing(SimulatedCommitter):
        def hand_in(self, entry):
            if self._chance.random() > 0.1:
                super().hand_in(entry)

    _found("a store never finds a gap", committer=Losing)


@pytest.mark.control
def test_a_committer_that_forgets_whom_to_tell_is_found():
    class Mute(SimulatedCommitter):
        def _settle(self, batch, fenced, problem):
            super()._settle(batch[:1], fenced, problem)

    _found("every run ends", committer=Mute)


@pytest.mark.control
def test_branches_counted_over_the_whole_run_are_found(monkeypatch):
    counters = {}

    def place(self, name):
        self._position += 1
        numbers = counters.setdefault((id(self.scope.driver), self.scope.path, name), itertools.count(1))
        return f"{self.scope.path}/{name}#{next(numbers)}".lstrip("/"), self._position

    monkeypatch.setattr(Branch, "place", place)
    _found("does not diverge|faults change no result|healed|executed again")


async def _sleepless(self, moment):
    """Wake half a second early."""
    while (left := moment - 0.5 - self.now()) > 0:
        await regrow.engine.driver.asyncio.sleep(left)


@pytest.mark.control
def test_a_sleep_that_ends_early_is_found(monkeypatch):
    monkeypatch.setattr(Driver, "wait_until", _sleepless)
    _found("no sleep ends early", agent=agents.sleeping)


@pytest.mark.control
def test_an_executed_call_that_is_executed_again_is_found(monkeypatch):
    on_call = decide.on_call

    def careless(known, *, waited=False):
        decision = on_call(known, waited=waited)
        is_step = known is not None and known.call.kind == "step"
        return decide.Execute(1) if isinstance(decision, decide.Replay) and is_step else decision

    monkeypatch.setattr(decide, "on_call", careless)
    assert calls.decide is timers.decide is decide
    _found("executed again|succeeds once|a body runs once")


@pytest.mark.control
def test_a_once_only_call_that_is_begun_twice_is_found(monkeypatch):
    on_call = decide.on_call

    def careless(known, *, waited=False):
        decision = on_call(known, waited=waited)
        return decide.Execute(decision.attempt) if isinstance(decision, decide.AskOutcome) else decision

    monkeypatch.setattr(decide, "on_call", careless)
    _found("a once-only call is executed once", agent=agents.buying)


@pytest.mark.control
def test_a_key_that_changes_with_the_attempt_is_found(monkeypatch):
    monkeypatch.setattr(
        regrow.engine.scope.Scope, "idempotency_key", property(lambda self: f"{self.driver.log.epoch} {self.path}")
    )
    _found("a call keeps its idempotency key", agent=agents.buying)


@pytest.mark.control
def test_a_price_that_is_noted_twice_is_found(monkeypatch):
    hand_in = Driver.hand_in

    def careless(self, event, *more, **others):
        hand_in(self, event, *more, **others)
        if isinstance(event, Spent):
            hand_in(self, event, *more, **others)

    monkeypatch.setattr(Driver, "hand_in", careless)
    _found("an execution is paid for once", agent=agents.paying)


@pytest.mark.control
def test_a_driver_whose_state_is_not_what_it_records_is_found(monkeypatch):
    append = RunLog.append

    def forgetting(self, *what):
        appended = append(self, *what)
        if self.state.seq == 7 and self.state.calls:
            self.state.calls.popitem()
        return appended

    monkeypatch.setattr(RunLog, "append", forgetting)
    _found("a driver knows what its records add up to")
