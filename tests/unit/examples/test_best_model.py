"""The agent: what it chooses, what it makes of failures, and that nothing is done twice."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

import regrow
from regrow.examples import best_model
from regrow.examples.best_model import (
    Effort,
    Outcome,
    Spec,
    Trial,
    best,
    by_rules,
    efforts,
    find_best_model,
    opening,
    refit,
    run_key,
    search,
)
from regrow.examples.table import TableRef, held_out_part, load, table_ref

EFFORT = Effort(200, 3, 1)


def trial(number, spec, score=None, round_=1, failure=None):
    return Trial(number, round_, spec, EFFORT, 0.0, 1.0, score, 0.01 if score is not None else None, failure)


def choose(profile, history, budget):
    try:
        by_rules.__wrapped__(profile, history, budget).send(None)
    except StopIteration as done:
        return done.value


@pytest.fixture
def profile():
    return load(TableRef()).profile


@pytest.fixture
def cheap(monkeypatch):
    # One at a time: scikit-learn's warning filters are not made for threads, and here a warning is an error.
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setattr(best_model, "efforts", lambda _profile, rounds: [Effort(200, 2, 1)] * rounds)


# ------------------------------------------------------------------------------------------------------- the chooser


@pytest.mark.unit
def test_the_first_ideas_are_unlike_and_within_the_budget(profile):
    ideas = choose(profile, [], 5)
    assert {idea.family for idea in ideas} == {"linear", "forest", "boosting", "svm", "neighbours"}
    assert len(set(opening(profile))) == len(opening(profile))


@pytest.mark.unit
def test_ideas_fit_the_table(profile):
    assert not [idea for idea in opening(profile) if idea.columns == "numbers"]
    assert not [idea for idea in opening(replace(profile, rows=50_000)) if idea.family == "svm"]
    assert not [idea for idea in opening(replace(profile, skewed=0)) if idea.scaling != "standard"]


@pytest.mark.unit
def test_half_of_the_budget_is_for_the_best_and_half_for_what_grows_from_it(profile):
    history = [trial(i, idea, score=i / 10) for i, idea in enumerate(choose(profile, [], 8), start=1)]
    ideas = choose(profile, history, 4)
    assert [idea.parent for idea in ideas[:2]] == [8, 7]
    assert [idea in [t.spec for t in history] for idea in ideas] == [True, True, False, False]
    assert {idea.parent for idea in ideas[2:]} == {7, 8}


@pytest.mark.unit
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


@pytest.mark.unit
def test_a_round_in_which_all_fails_falls_back_on_what_worked(profile):
    history = [
        trial(1, Spec("linear"), score=0.9),
        trial(2, Spec("linear"), round_=2, failure="MemoryError"),
    ]
    assert choose(profile, history, 2)[0] == Spec("linear")
    assert best(history).number == 1


@pytest.mark.unit
def test_the_winner_comes_from_the_last_round_with_a_score():
    history = [trial(1, Spec("linear"), 0.99), trial(2, Spec("svm"), 0.8, 2), trial(3, Spec("forest"), 0.9, 2)]
    assert best(history).number == 3
    with pytest.raises(RuntimeError, match="none of 1 experiments worked: \\['MemoryError'\\]"):
        best([trial(1, Spec("linear"), failure="MemoryError")])


@pytest.mark.unit
def test_each_round_costs_more(profile):
    plan = efforts(profile, rounds=4)
    assert plan == sorted(plan, key=lambda effort: (effort.rows, effort.folds, effort.repeats))
    assert plan[-1] == Effort(455, 4, 10)
    assert efforts(replace(profile, rows=1_000_000), rounds=1) == [Effort(10_000, 4, 1)]


# ------------------------------------------------------------------------------------------------------- whole runs


def test_a_small_search(cheap, tmp_path):
    outcome = regrow.run(find_best_model, TableRef("diabetes"), rounds=2, width=4, store=tmp_path)
    assert [t.round for t in outcome.trials] == [1] * 4 + [2] * 2
    assert [t.number for t in outcome.trials] == [1, 2, 3, 4, 5, 6]
    assert all(t.seconds > 0 and t.started > 0 for t in outcome.trials)
    assert outcome.winner in outcome.trials
    assert outcome.table.digest == outcome.profile.digest
    reached, guessed = outcome.verdict.metrics["r2"]
    assert reached > 0.4 > guessed
    assert next(iter(outcome.verdict.importance)) in ("bmi", "s5")

    unseen = held_out_part(outcome.table, outcome.seed)
    model = refit(outcome.table, outcome.winner.spec, outcome.seed)
    assert model.score(unseen.features, unseen.target) == pytest.approx(reached)


def test_text_gaps_and_every_family(cheap, tmp_path):
    lines = [f"{i % 7 if i % 5 else ''},{'red' if i % 3 else 'blue'},{'yes' if i % 3 else 'no'}" for i in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["size,colour,sold", *lines]))
    outcome = regrow.run(find_best_model, table_ref(tmp_path / "t.csv", "sold"), rounds=1, width=30, store=tmp_path)
    assert {t.spec.family for t in outcome.trials} == {"linear", "forest", "boosting", "svm", "neighbours"}
    assert not [t.failure for t in outcome.trials if t.failure]
    assert outcome.verdict.metrics["balanced_accuracy"] == (1.0, 0.5)
    assert next(iter(outcome.verdict.importance)) == "colour"


def test_the_same_key_does_nothing_again(cheap, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    table = table_ref(dataset="diabetes")
    how = {"rounds": 1, "width": 2, "seed": 3}
    first = regrow.run(find_best_model, table, **how, key=run_key(table, **how), store=tmp_path)
    assert len([record for record in caplog.records if record.name == best_model.__name__]) == 2
    caplog.clear()
    second = regrow.run(find_best_model, table, **how, key=run_key(table, **how), store=tmp_path)
    assert not [record for record in caplog.records if record.name == best_model.__name__]
    assert first == second


@regrow.step
async def two_ideas_of_which_one_fails(profile, history, budget):
    if len(history) > 2:
        return []
    return [Spec("linear", strength=4.0**-budget), Spec("linear", degree=9), Spec("svm"), Spec("svm")][:3]


@regrow.task
async def search_with_another_chooser(table: TableRef, rounds: int) -> Outcome:
    return await search(table, rounds, 3, 0, chooser=two_ideas_of_which_one_fails)


def test_another_chooser_and_failures_that_are_results(cheap, tmp_path):
    outcome = regrow.run(search_with_another_chooser, TableRef("diabetes"), 5, store=tmp_path)
    assert [t.failure for t in outcome.trials] == [
        None,
        "ValueError: degree 9 makes 92,377 columns of 10; 1,500 are the limit",
        None,
    ]
    assert outcome.trials[1].seconds is not None
    assert outcome.trials[1].score is None


@regrow.step
async def hopeless(profile, history, budget):
    return [Spec("linear", degree=9)]


@regrow.task
async def search_in_vain(table: TableRef) -> Outcome:
    return await search(table, 1, 2, 0, chooser=hopeless)


def test_where_nothing_works_one_sentence_says_so(cheap, tmp_path):
    with pytest.raises(RuntimeError, match=r"none of 1 experiments worked: .*degree 9"):
        regrow.run(search_in_vain, TableRef("diabetes"), store=tmp_path)
    with pytest.raises(ValueError, match="a search needs 1 round and 1 idea at the least, not rounds=0 and width=2"):
        regrow.run(find_best_model, TableRef("diabetes"), rounds=0, width=2, store=tmp_path)


SCRIPT = """
import logging, sys
import regrow
from regrow.examples import best_model
logging.basicConfig(level=logging.INFO, format="%(message)s")
logging.captureWarnings(True)
best_model.efforts = lambda profile, rounds: [best_model.Effort(350, 4, 1)] * rounds
table = best_model.table_ref(dataset="diabetes")
how = dict(rounds=2, width=10, seed=0)
key = best_model.run_key(table, **how)
outcome = regrow.run(best_model.find_best_model, table, **how, key=key, store=sys.argv[1])
print([(t.number, str(t.spec), t.score, t.failure) for t in outcome.trials], outcome.verdict)
"""


@pytest.mark.process
def test_killed_and_started_again_it_goes_on(tmp_path):
    def start(store):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / store)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def live_to_the_end(store):
        with start(store) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out, re.findall(r"#(\d+)", err)

    done = []
    for lines_to_live in (3, 4):
        with start("killed") as process:
            lines = [process.stderr.readline() for _ in range(lines_to_live)]
            process.send_signal(signal.SIGKILL)
            done += re.findall(r"#(\d+)", "".join(lines + process.stderr.readlines()))
    resumed, rest = live_to_the_end("killed")
    whole, all_of_them = live_to_the_end("whole")
    assert resumed == whole, "an interrupted search finds what an uninterrupted one does"
    assert set(done + rest) == set(all_of_them)
    # What said that it was finished and was not recorded yet when the signal came is done again, and nothing else.
    assert len(done + rest) - len(all_of_them) <= 2 * (os.cpu_count() or 1)
    assert len(rest) < len(all_of_them)
