"""A run that is paused after any record and resumed gives what it would have given; also with a crash after."""

from __future__ import annotations

from functools import partial

import pytest

from regrow.journal.memory import MemoryStore
from regrow.journal.orders import EVERYWHERE
from regrow.journal.records import DriverClosed
from regrow.testing import SimulatedWorld

from . import world_agents as agents

pytestmark = [pytest.mark.sim, pytest.mark.promise("P2", "P8")]

AGENTS = [agents.linear, agents.gathered, agents.sleeping, agents.retrying, agents.streaming, agents.training]


class OrderedAt(MemoryStore):
    """A store in which something is ordered when a run has so many records, and heeded at once."""

    def __init__(self, clock, *, record, order):
        super().__init__(clock)
        self._left = record
        self._order = order
        self.world = None

    def append(self, entries):
        fenced = super().append(entries)
        before, self._left = self._left, self._left - len(entries)
        if before > 0 >= self._left and self.get(entries[0].run).outcome is None:
            self._order(self, entries[0].run)
            for host in self.world._hosts.values():
                self.world.processes.operator.soon(partial(look, host))
        return fenced


def look(host):
    if host._holder is not None:
        host._heed_orders(host._holder, dict(host._drivers))


def played(agent, record, order, deaths=()):
    world = SimulatedWorld(record, faults=(), store=partial(OrderedAt, record=record, order=order))
    world.store.world = world
    world.deaths = list(deaths)
    world.run(agent, key="k", expected=agents.EXPECTED[agent])
    world.play()  # compares the result, counts the effects, and looks at all invariants
    return world


def pause(grace):
    return lambda store, run: store.request_pause(run, "somebody", grace=grace)


def records(agent):
    return played(agent, 10_000, pause(0.0)).appended


def let_go(world):
    return [
        one.event.reason
        for one in world.witness.journal(world.store.runs()[0].id).records
        if isinstance(one.event, DriverClosed)
    ]


@pytest.mark.parametrize("grace", [0.0, 60.0])
@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_a_run_paused_after_any_record_and_resumed_gives_the_same(agent, grace):
    paused = 0
    for record in range(1, records(agent)):
        world = played(agent, record, pause(grace))
        paused += world.reached["a run paused and resumed"]
        assert all(reason == "paused by somebody" for reason in let_go(world))
    assert paused > 0


@pytest.mark.parametrize("agent", [agents.linear, agents.gathered, agents.training], ids=lambda agent: agent.name)
def test_a_crash_while_it_is_being_paused_or_after_changes_nothing(agent):
    for record in range(2, records(agent), 2):
        for later in range(1, 6):
            played(agent, record, pause(60.0), deaths=[2 * record + later])


@pytest.mark.parametrize("agent", AGENTS, ids=lambda agent: agent.name)
def test_a_run_stopped_after_any_record_and_resumed_gives_the_same(agent):
    stopped = 0
    for record in range(1, records(agent)):
        world = played(agent, record, lambda store, _: store.stop(EVERYWHERE, "somebody"))
        stopped += world.reached["a run stopped and resumed"]
        assert all(reason == "stopped by somebody" for reason in let_go(world))
    assert stopped > 0


def test_with_enough_grace_no_step_is_executed_twice():
    for record in range(1, records(agents.gathered)):
        world = played(agents.gathered, record, pause(600.0))
        assert set(world.witness.effects.values()) == {1}


def test_a_pause_that_is_lifted_while_calls_finish_still_lets_the_run_go():
    def pause_and_lift(store, run):
        store.request_pause(run, "somebody", grace=60.0)
        store.world.processes.operator.soon(partial(store.lift_pause, run), after=0.01)

    for record in range(1, records(agents.gathered)):
        played(agents.gathered, record, pause_and_lift)


@pytest.mark.control
def test_were_calls_cut_short_at_once_some_step_would_be_executed_twice():
    twice = 0
    for record in range(1, records(agents.gathered)):
        world = played(agents.gathered, record, pause(0.0))
        twice += any(times > 1 for times in world.witness.effects.values())
    assert twice > 0
