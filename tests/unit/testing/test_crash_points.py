"""A store that dies on either side of a record, and a book of effects that knows what a death excuses."""

from __future__ import annotations

import pytest

import regrow
from regrow.testing import Crash, Effects, MortalStore


@pytest.fixture
def effects():
    return Effects()


@pytest.fixture
def agent(effects):
    @regrow.step
    def save():
        effects.note("save")

    @regrow.task
    def agent():
        effects.note("begin")
        save()
        effects.note("end")

    return agent


def die(store, task, point):
    store.die_at(point)
    with pytest.raises(Crash):
        regrow.run(task, key="k", store=store)


def kinds(store):
    return [type(record.event).__name__ for record in store.records(store.runs()[0].id)]


def test_before_a_record_it_is_not_stored_and_after_it_it_is_though_nobody_was_told(agent, effects):
    before, after = MortalStore(), MortalStore()
    die(before, agent, 7)
    assert kinds(before) == ["RunCreated", "DriverOpened", "CallStarted"]
    die(after, agent, 8)
    assert kinds(after) == ["RunCreated", "DriverOpened", "CallStarted", "CallSucceeded"]
    assert effects["end"] == 0


def test_a_dead_store_takes_nothing_and_a_new_process_goes_on(agent, effects):
    store = MortalStore()
    die(store, agent, 7)
    with pytest.raises(Crash):
        regrow.run(agent, key="another", store=store)
    store.revive()
    regrow.run(agent, key="k", store=store)
    assert (store.deaths, len(store.runs()), effects["save"]) == (1, 1, 2)


def test_an_effect_is_dropped_if_its_body_is_bound_to_do_it_again_and_kept_if_it_merely_will(agent, effects):
    store = MortalStore()
    die(store, agent, 7)
    effects.died(store)
    assert effects == {}
    store.revive()
    die(store, agent, 6)  # after the third record of this life, that of `save`
    effects.died(store)
    assert dict(effects) == {"begin": 1, "save": 1}
    assert effects.where("begin") == ("agent#1",)


def test_an_effect_with_a_key_is_counted_once_for_each_key(effects):
    for key in ("a", "b", "a"):
        effects.note("charge", key=key)
    effects.note("charge")
    assert effects["charge"] == 3
    assert effects["nothing"] == 0


def test_crash_points_are_counted_from_one():
    with pytest.raises(regrow.UsageError, match="counted from 1"):
        MortalStore().die_at(0)
