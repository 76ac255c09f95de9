"""The example's runs, with real workers: what it finds, what it makes of failures, and that nothing is done twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("sklearn")

import regrow
from regrow.authoring.home import host_of
from regrow.examples import best_model
from regrow.examples.best_model import Effort, Outcome, Spec, find_best_model, run_key, search
from regrow.examples.experiments import refit
from regrow.examples.profile import TableRef
from regrow.examples.table import held_out_part, table_ref
from regrow.insight.attempts import attempts_of
from regrow.journal.chain import unseal_all
from regrow.journal.records import CallSucceeded, CheckpointSaved, WorkerStarted
from regrow.journal.sqlite import SqliteStore

pytestmark = pytest.mark.process


@pytest.fixture
def cheap(monkeypatch):
    monkeypatch.setattr(best_model, "efforts", lambda _profile, rounds: [Effort(200, 2, 1)] * rounds)


def records_of(store, run):
    return unseal_all(run, store.read(run))


def test_a_small_search(cheap, tmp_path):
    outcome = regrow.run(find_best_model, TableRef("diabetes"), rounds=2, width=4, store=tmp_path)
    assert [t.round for t in outcome.trials] == [1] * 4 + [2] * 2
    assert [t.number for t in outcome.trials] == [1, 2, 3, 4, 5, 6]
    assert all(t.seconds > 0 for t in outcome.trials)
    assert outcome.winner in outcome.trials
    assert outcome.table.digest == outcome.profile.digest
    reached, guessed = outcome.verdict.metrics["r2"]
    assert reached > 0.4 > guessed
    assert next(iter(outcome.verdict.importance)) in ("bmi", "s5")
    assert [(epoch.number, epoch.attempt) for epoch in outcome.verdict.epochs] == [(n, 1) for n in range(1, 9)]

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


def test_the_same_key_does_nothing_again(cheap, tmp_path):
    table = table_ref(dataset="diabetes")
    how = {"rounds": 1, "width": 2, "seed": 3}
    first = regrow.run(find_best_model, table, **how, key=run_key(table, **how), store=tmp_path)
    store = host_of(tmp_path).store
    written = len(store.read(first.run))
    second = regrow.run(find_best_model, table, **how, key=run_key(table, **how), store=tmp_path)
    assert first == second
    assert len(store.read(first.run)) == written


@regrow.step
async def ideas_of_which_one_is_too_large(profile, history, budget):
    if len(history) > 2:
        return []
    return [Spec("linear", strength=4.0**-budget), Spec("linear", degree=14), Spec("svm"), Spec("svm")][:3]


@regrow.task
async def search_with_another_chooser(table: TableRef, rounds: int) -> Outcome:
    return await search(table, rounds, 3, 0, chooser=ideas_of_which_one_is_too_large)


def test_an_idea_that_needs_more_memory_than_there_is_becomes_a_result_of_another_choosers_search(cheap, tmp_path):
    outcome = regrow.run(search_with_another_chooser, TableRef("diabetes"), 5, store=tmp_path)
    assert [t.out_of_memory for t in outcome.trials] == [False, True, False]
    assert outcome.trials[1].failure.startswith("OutOfMemory: ")
    assert outcome.trials[1].score is None
    tried = attempts_of(records_of(host_of(tmp_path).store, outcome.run))
    last = [one for one in tried if one.name == "evaluate" and one.path.endswith("#2")][-1]
    assert last.limits[-1][1] in (64 * 2**20, 512 * 2**20), "refused at once what no rung gives, or at the last rung"
    assert last.confidence == "certain"


@regrow.step
async def hopeless(profile, history, budget):
    return [Spec("linear", scaling="box-cox")]


@regrow.task
async def search_in_vain(table: TableRef) -> Outcome:
    return await search(table, 1, 2, 0, chooser=hopeless)


def test_where_nothing_works_one_sentence_says_so(cheap, tmp_path):
    with pytest.raises(RuntimeError, match=r"none of 1 experiments worked: .*ValueError: .*Box-Cox"):
        regrow.run(search_in_vain, TableRef("diabetes"), store=tmp_path)
    with pytest.raises(ValueError, match="a search needs 1 round and 1 idea at the least, not rounds=0 and width=2"):
        regrow.run(find_best_model, TableRef("diabetes"), rounds=0, width=2, store=tmp_path)


SCRIPT = """
import logging, sys
import regrow
from regrow.examples import best_model
best_model.efforts = lambda profile, rounds: [best_model.Effort(350, 4, 1)] * rounds
table = best_model.table_ref(dataset="diabetes")
how = dict(rounds=2, width=8, seed=0)
outcome = regrow.run(best_model.find_best_model, table, **how, key="k", store=sys.argv[1])
print([(t.number, str(t.spec), t.score, t.failure) for t in outcome.trials], outcome.verdict.metrics)
"""


def succeeded(folder):
    """The experiments that are known to be done, and how many workers there were for each."""
    if not (folder / "journal.db").exists():
        return set(), {}
    store = SqliteStore(folder, create=False)
    try:
        row = store.by_key("default", "k")
        events = [record.event for record in records_of(store, row.id)] if row is not None else []
    finally:
        store.close()
    workers = [event.path for event in events if isinstance(event, WorkerStarted)]
    done = {event.call.path for event in events if isinstance(event, CallSucceeded) and "evaluate" in event.call.path}
    return done, {path: workers.count(path) for path in workers}


def test_killed_and_started_again_it_goes_on(tmp_path):
    def start(store):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / store)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def live_to_the_end(store):
        with start(store) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out

    for experiments in (2, 5):
        with start("killed") as process:
            end = time.monotonic() + 60
            while len(succeeded(tmp_path / "killed")[0]) < experiments:
                assert process.poll() is None, process.stderr.read()
                assert time.monotonic() < end
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
    done, workers = succeeded(tmp_path / "killed")
    assert live_to_the_end("killed") == live_to_the_end("whole"), "it finds what an uninterrupted one does"
    _, workers_in_all = succeeded(tmp_path / "killed")
    assert {path: workers_in_all[path] for path in done} == {path: workers[path] for path in done}


def test_a_winner_whose_worker_is_preempted_is_trained_on_from_its_last_epoch(cheap, tmp_path):
    from regrow.authoring.driving import drive
    from regrow.authoring.opening import open_run
    from regrow.cli.chaos import SpotNotice, Workers

    workers, said = Workers(), []
    host = host_of(tmp_path)
    observers = (workers, SpotNotice(workers, "train_winner", said.append))
    what = (TableRef("diabetes"),), {"rounds": 1, "width": 2}
    driver = open_run(host, find_best_model, *what, observers=observers)
    outcome = drive(host, driver, find_best_model, *what)
    epochs = [(epoch.number, epoch.attempt) for epoch in outcome.verdict.epochs]
    assert epochs == [(1, 1), (2, 1), *((number, 2) for number in range(3, 9))]
    saved = [r.event for r in records_of(host.store, driver.run) if isinstance(r.event, CheckpointSaved)]
    assert [event.number for event in saved] == list(range(1, 9))
    assert len(said) == 1
    undisturbed = regrow.run(find_best_model, *what[0], **what[1], store=tmp_path)
    assert outcome.verdict.metrics == undisturbed.verdict.metrics
