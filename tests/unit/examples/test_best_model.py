"""The agent's decisions: what it chooses, and what it makes of failures. Its runs are in `tests/process`."""

from __future__ import annotations

from dataclasses import replace

import pytest

import regrow
from regrow.examples.best_model import Effort, Experiment, Spec, Trial, best, by_rules, efforts, failed, opening
from regrow.examples.experiments import terms
from regrow.examples.profile import TableRef
from regrow.examples.table import load

pytestmark = pytest.mark.unit

EFFORT = Effort(200, 3, 1)


def trial(number, spec, score=None, round_=1, failure=None, **more):
    spread = 0.01 if score is not None else None
    return Trial(number, round_, spec, EFFORT, score, spread, failure=failure, **more)


def choose(profile, history, budget):
    try:
        by_rules.__wrapped__(profile, history, budget).send(None)
    except StopIteration as done:
        return done.value


@pytest.fixture
def profile():
    return load(TableRef("breast_cancer")).profile


# ------------------------------------------------------------------------------------------------------- the chooser


def test_the_first_ideas_are_unlike_and_within_the_budget(profile):
    ideas = choose(profile, [], 5)
    assert {idea.family for idea in ideas} == {"linear", "forest", "boosting", "svm", "neighbours"}
    assert len(set(opening(profile))) == len(opening(profile))


def test_ideas_fit_the_table(profile):
    assert not [idea for idea in opening(profile) if idea.columns == "numbers"]
    assert not [idea for idea in opening(replace(profile, rows=50_000)) if idea.family == "svm"]
    assert not [idea for idea in opening(replace(profile, skewed=0)) if idea.scaling != "standard"]


def test_half_of_the_budget_is_for_the_best_and_half_for_what_grows_from_it(profile):
    history = [trial(i, idea, score=i / 10) for i, idea in enumerate(choose(profile, [], 8), start=1)]
    ideas = choose(profile, history, 4)
    assert [idea.parent for idea in ideas[:2]] == [8, 7]
    assert [idea in [t.spec for t in history] for idea in ideas] == [True, True, False, False]
    assert {idea.parent for idea in ideas[2:]} == {7, 8}


def test_a_failure_is_mended_and_its_kind_avoided(profile):
    history = [
        trial(1, Spec("linear"), score=0.9),
        trial(2, Spec("linear", scaling="box-cox"), failure="ValueError: not positive"),
        trial(3, Spec("svm", degree=2), failure="ValueError: too many columns"),
    ]
    ideas = choose(profile, history, 8)
    assert Spec("linear", scaling="yeo-johnson") in ideas
    assert Spec("svm", degree=2, top=7) in ideas
    assert [idea.parent for idea in ideas if "which failed" in idea.why] == [2, 3]
    assert not [idea for idea in ideas if idea.scaling == "box-cox"]
    assert not [idea for idea in ideas if idea.degree == 2 and idea.parent == 1]


def test_what_ran_out_of_all_memory_is_mended_and_nothing_as_large_is_tried_again(profile):
    history = [
        trial(1, Spec("linear", degree=2), score=0.9),
        trial(2, Spec("linear", degree=3), failure="OutOfMemory: …", out_of_memory=True),
    ]
    ideas = choose(profile, history, 20)
    assert terms(Spec("linear", degree=3), profile) == 5_455
    assert all(terms(idea, profile) < 5_455 for idea in ideas)
    assert Spec("linear", degree=3, top=7) in ideas
    assert max(terms(idea, profile) for idea in choose(profile, history[:1], 20)) == 5_455


def test_a_failure_becomes_a_trial_that_says_what_happened():
    experiment = Experiment(3, 1, Spec("linear"), EFFORT, TableRef(), 0)
    ended = failed(experiment, regrow.OutOfMemory("evaluate#3", peak=512 * 2**20, limit=512 * 2**20))
    assert ended.out_of_memory
    assert ended.failure.startswith("OutOfMemory: evaluate#3 ran out of memory: it reached its limit of 512 MiB")
    assert (ended.number, ended.score, ended.seconds) == (3, None, None)
    assert not failed(experiment, ValueError("no")).out_of_memory


def test_a_round_in_which_all_fails_falls_back_on_what_worked(profile):
    history = [
        trial(1, Spec("linear"), score=0.9),
        trial(2, Spec("linear"), round_=2, failure="MemoryError"),
    ]
    assert choose(profile, history, 2)[0] == Spec("linear")
    assert best(history).number == 1


def test_the_winner_comes_from_the_last_round_with_a_score():
    history = [trial(1, Spec("linear"), 0.99), trial(2, Spec("svm"), 0.8, 2), trial(3, Spec("forest"), 0.9, 2)]
    assert best(history).number == 3
    with pytest.raises(RuntimeError, match="none of 1 experiments worked: \\['MemoryError'\\]"):
        best([trial(1, Spec("linear"), failure="MemoryError")])


def test_each_round_costs_more(profile):
    plan = efforts(profile, rounds=4)
    assert plan == sorted(plan, key=lambda effort: (effort.rows, effort.folds, effort.repeats))
    assert plan[-1] == Effort(455, 4, 10)
    assert efforts(replace(profile, rows=1_000_000), rounds=1) == [Effort(10_000, 4, 1)]
