"""Checkpoints: whose they are, and from where their task goes on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

import regrow
from regrow.codec import encode
from regrow.engine.branches import Branch
from regrow.engine.checkpoints import load, task_of
from regrow.engine.scope import Scope
from regrow.engine.state import CallState, RunState
from regrow.journal.records import Call, CheckpointSaved
from regrow.testing import MemoryStore

TASK = Call("agent#1/train#1", "task", 1, b"")


def driver(saved=None, known=True):
    state = RunState()
    if known:
        state.take_over([CallState(TASK, 3, checkpoint=saved, saved_at=7)], seq=9, detour=None)
    passed = []
    return SimpleNamespace(
        run="r",
        log=SimpleNamespace(state=state),
        load=lambda value: ("loaded", value),
        pass_over_until=lambda scope, seq: passed.append((scope, seq)),
        passed=passed,
    )


def scope(of, call=TASK, outer=None):
    return Scope(of, call, outer)


def test_work_in_progress_is_the_innermost_tasks():
    one = driver()
    around = Scope(one, None, None)
    agent = Scope(one, Call("agent#1", "task", 1, b""), around)
    train = scope(one, outer=agent)
    step = Scope(one, Call("agent#1/train#1/step#1", "step", 1, b""), train)
    inner = Scope(one, Call("agent#1/train#1/step#1/more#1", "step", 1, b""), step)
    assert [task_of(each.main) for each in (agent, train, step, inner)] == [agent, train, train, train]
    assert task_of(around.main) is around
    alone = Scope(one, Call("alone#1", "step", 1, b""), None)
    assert task_of(alone.main) is alone


@pytest.mark.parametrize("known", [True, False])
def test_where_nothing_was_saved_there_is_nothing_and_nothing_is_passed_over(known):
    one = driver(known=known)
    assert load(scope(one).main) == (False, None)
    assert one.passed == []


def saved(branch="agent#1/train#1/", position=2):
    return CheckpointSaved(TASK.path, 1, 1, b"half", (), branch, {"step": 2}, {"work": 1}, position)


def test_what_was_saved_comes_back_and_its_strand_goes_on_counting_from_there():
    one = driver(saved())
    branch = scope(one).main
    assert load(branch) == (True, ("loaded", b"half"))
    assert branch.reached == ({"step": 2}, {"work": 1}, 2)
    assert one.passed == [("agent#1/train#1", 7)]


@pytest.mark.parametrize("made", [2, 3])
def test_a_strand_that_has_come_as_far_already_goes_on_from_where_it_is(made):
    one = driver(saved())
    branch = scope(one).main
    for _ in range(made):
        branch.place("other")
    assert load(branch) == (True, ("loaded", b"half"))
    assert branch.reached == ({"other": made}, {}, made)
    assert one.passed == []


def test_another_strand_than_the_one_that_saved_goes_on_from_where_it_is():
    one = driver(saved(branch="agent#1/train#1/~work#1/"))
    branch = scope(one).main
    assert load(branch) == (True, ("loaded", b"half"))
    assert branch.reached == ({}, {}, 0)
    other = Branch(branch.scope, "agent#1/train#1/~work#1/")
    load(other)
    assert other.reached[2] == 2


@pytest.mark.parametrize(("size", "blobs"), [(1024, 0), (1025, 1)])
def test_a_checkpoint_of_more_than_a_kibibyte_becomes_a_blob_which_can_be_let_go_of(size, blobs):
    store, found = MemoryStore(), []
    value = "x" * (size - len(encode("x" * 900)) + 900)
    assert len(encode(value)) == size

    @regrow.task
    def agent() -> None:
        regrow.checkpoint().save(value)
        found.append(len(store.referenced_blobs()))

    regrow.run(agent, store=store)
    assert found == [blobs]


def test_a_value_that_cannot_be_saved_is_named_as_a_checkpoint():
    @regrow.task
    def agent() -> None:
        regrow.checkpoint().save(object())

    with pytest.raises(regrow.NotStorable, match=r"^checkpoint: "):
        regrow.run(agent, store=MemoryStore())


def test_what_a_step_saves_is_its_tasks():
    @regrow.step
    def step() -> object:
        regrow.checkpoint().save("from the step")
        return regrow.checkpoint().load()

    @regrow.task
    def agent() -> list[object]:
        return [step(), regrow.checkpoint().load()]

    assert regrow.run(agent, store=MemoryStore()) == ["from the step", "from the step"]
