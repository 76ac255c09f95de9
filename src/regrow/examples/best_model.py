"""An agent that finds the best model for a table. Kill it at any moment, start it again, and it goes on.

It looks at the table, puts some rows aside, and lets a *chooser* propose experiments, which run side by side. Each
round has fewer of them, on more data: what did well, and what grew from it. An experiment that fails is a result too,
and the chooser learns from it. The winner is trained in epochs, and checked on the rows that no experiment has seen.

    python examples/best_model.py
    regrow run examples/best_model.py find_best_model --rounds 3 --width 12
    regrow run examples/best_model.py find_best_model --table '{"source": "churn.csv", "target": "churned"}'

`search` is the whole agent: a loop over plain calls. Those to `inspect`, to the chooser, to `evaluate` and to
`train_winner` are recorded, and what is recorded is never executed again in its run. What they pass is small and plain:
a table is a reference, and a model is a `Spec`, which with a seed gives the same model at any time.

Nobody knows beforehand how much memory an idea takes. So `evaluate` does not guess: it declares a little, and a ladder
to climb. Each experiment has a process of its own, which is given more when it needs that, and which alone is gone when
it needs too much.
"""

from __future__ import annotations

import itertools
import math
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import joblib  # type: ignore[import-untyped]
from sklearn import dummy
from sklearn.inspection import permutation_importance
from sklearn.metrics import get_scorer

import regrow
from regrow.examples.experiments import (
    EPOCHS,
    KNOBS,
    Effort,
    Epoch,
    Experiment,
    Outcome,
    Spec,
    Trial,
    Verdict,
    build,
    fit,
    learn,
    terms,
)
from regrow.examples.profile import HELD_OUT, Profile, TableRef
from regrow.examples.table import Table, held_out_part, load, table_ref, training_part

METRICS = {  # experiments are judged by the first
    "classification": ["balanced_accuracy", "accuracy", "f1_macro"],
    "regression": ["r2", "neg_mean_absolute_error", "neg_root_mean_squared_error"],
}
MAX_TRAINING_ROWS = 10_000  # that an experiment may use; the winner is refitted on all of them


# ---------------------------------------------------------------------------------------------------------- the agent


class Chooser(Protocol):
    """Decides what to try next: rules, or a `regrow.step` that asks a language model.

    It is told what is in the table and how every trial went, failures included, and names at most `budget` ideas, the
    best first. To name none ends the search.
    """

    async def __call__(self, profile: Profile, history: list[Trial], budget: int) -> list[Spec]:
        """Choose."""


DIGITS = TableRef("digits")


@regrow.task
async def find_best_model(table: TableRef = DIGITS, rounds: int = 4, width: int = 24, seed: int = 0) -> Outcome:
    """Find the best model for a table.

    Args:
        table: which one, and what to predict; `table_ref` makes sure of it beforehand.
        rounds: how often to choose. Each round tries half as many ideas as the one before, on more data.
        width: how many ideas the first round tries.
        seed: equal seeds give equal results, whatever is interrupted and whatever finishes first.
    """
    return await search(table, rounds, width, seed, chooser=by_rules)


async def search(table: TableRef, rounds: int, width: int, seed: int, chooser: Chooser) -> Outcome:
    """Choose, try, learn; then check. Call this from a task of your own to bring a chooser of your own."""
    if rounds < 1 or width < 1:
        raise ValueError(f"a search needs 1 round and 1 idea at the least, not rounds={rounds} and width={width}")
    started = regrow.now()
    profile = await inspect.aio(table)
    table = replace(table, digest=profile.digest)  # from here on, other content under the same name is refused
    history: list[Trial] = []
    for round_, effort in enumerate(efforts(profile, rounds), start=1):
        budget = max(2, width >> (round_ - 1))
        specs = await chooser(profile, history, budget)
        numbers = itertools.count(len(history) + 1)
        experiments = [Experiment(next(numbers), round_, spec, effort, table, seed) for spec in specs[:budget]]
        if not experiments:
            break
        results = await regrow.map(evaluate, experiments, concurrency=os.cpu_count() or 1, on_error="collect")
        history += [r if isinstance(r, Trial) else failed(e, r) for e, r in zip(experiments, results, strict=True)]
    winner = best(history)
    verdict = await train_winner.aio(table, winner.spec, seed)
    return Outcome(regrow.current().run, started, table, profile, rounds, width, seed, history, winner, verdict)


def efforts(profile: Profile, rounds: int) -> list[Effort]:
    """Cheap looks at many ideas first: each round sees twice the data of the one before, the last one all of it."""
    rows = min(int(profile.rows * (1 - HELD_OUT)), MAX_TRAINING_ROWS)
    # A small table gives scores that are mostly luck, so more splits are averaged; a large one gives few, in good time.
    repeats = min(max(150_000 // (rows * profile.width), 1), 10)
    return [
        Effort(max(rows >> left, min(rows, 200)), folds=4 if left < 2 else 3, repeats=max(repeats >> left, 1))
        for left in reversed(range(rounds))
    ]


def failed(experiment: Experiment, error: BaseException) -> Trial:
    """A failure is a result: here it becomes one that a chooser can read."""
    return Trial(
        experiment.number, experiment.round, experiment.spec, experiment.effort,
        failure=f"{type(error).__name__}: {error}", out_of_memory=isinstance(error, regrow.OutOfMemory),
    )  # fmt: skip


def ranked(trials: list[Trial]) -> list[Trial]:
    """Those that have a score, the best first."""
    return sorted((trial for trial in trials if trial.score is not None), key=lambda trial: -(trial.score or 0))


def best(history: list[Trial]) -> Trial:
    """The best of the last round that has a score: scores of different rounds do not compare."""
    if not (scored := ranked(history)):
        raise RuntimeError(f"none of {len(history)} experiments worked: {[trial.failure for trial in history[:3]]}")
    return next(trial for trial in scored if trial.round == max(trial.round for trial in scored))


# ------------------------------------------------------------------------------------------------- what the agent does


@regrow.task
def inspect(table: TableRef) -> Profile:
    """Read the table, and say what is in it."""
    return load(table).profile


@regrow.task(memory="64Mi", on_oom=regrow.grow(2, max="512Mi"), right_size=False)  # one says nothing about the next
def evaluate(experiment: Experiment) -> Trial:
    """Cross-validate one idea on some of the training rows."""
    spec, effort, seed = experiment.spec, experiment.effort, experiment.seed
    started = time.time()
    table = training_part(experiment.table, seed).sample(effort.rows, seed)
    judge = get_scorer(METRICS[table.profile.goal][0])
    scores = []
    for training, test in table.folds(effort.folds, effort.repeats, seed):
        model = fit(spec, training, seed)
        scores.append(float(judge(model, test.features, test.target)))
    score, spread = statistics.fmean(scores), statistics.pstdev(scores)
    return Trial(experiment.number, experiment.round, spec, effort, score, spread, time.time() - started)


@regrow.task(memory="64Mi", on_oom=regrow.grow(2))
def train_winner(table: TableRef, spec: Spec, seed: int) -> Verdict:
    """Train the winner in epochs, and put it to the rows that nothing was chosen by.

    Each epoch is saved. When the worker is taken away, another one goes on after the last epoch that was.
    """
    unseen, training = held_out_part(table, seed), training_part(table, seed)
    judge = get_scorer(METRICS[unseen.profile.goal][0])
    saved, attempt = regrow.checkpoint(), regrow.current().attempt
    epochs, kept = saved.load(([], None))
    model = joblib.load(kept.path) if kept else build(spec, training.profile, seed)
    file = Path(tempfile.mkdtemp()) / "model"  # a model is no plain value, so it is kept as a file
    for number in range(len(epochs) + 1, EPOCHS + 1):
        started = time.time()
        learn(model, spec, training, number, seed)
        score = float(judge(model, unseen.features, unseen.target))
        epochs.append(Epoch(number, attempt, time.time() - started, score))
        joblib.dump(model, file)
        saved.save((epochs, regrow.File(file)))
    return judged(model, training, unseen, epochs, seed)


def judged(model: Any, training: Table, unseen: Table, epochs: list[Epoch], seed: int) -> Verdict:
    """Compare the winner with a model that only guesses, and see what it looks at."""
    guess = dummy.DummyClassifier() if unseen.profile.classes else dummy.DummyRegressor()
    guess.fit(training.features, training.target)
    metrics = {}
    for name in METRICS[unseen.profile.goal]:
        reached, guessed = (float(get_scorer(name)(m, unseen.features, unseen.target)) for m in (model, guess))
        error = name.startswith("neg_")  # scikit-learn turns errors round, so that more is always better
        metrics[name.removeprefix("neg_")] = (-reached, -guessed) if error else (reached, guessed)
    some = unseen.sample(1_000, seed)
    judge = METRICS[unseen.profile.goal][0]
    shuffled = permutation_importance(model, some.features, some.target, scoring=judge, n_repeats=5, random_state=seed)
    losses = zip(some.features, shuffled.importances_mean.tolist(), strict=True)
    return Verdict(len(unseen.target), metrics, dict(sorted(losses, key=lambda pair: -pair[1])), epochs)


# ---------------------------------------------------------------------------------------- a chooser that needs no model


@regrow.step
async def by_rules(profile: Profile, history: list[Trial], budget: int) -> list[Spec]:
    """Half of the budget for the best of the last round, the rest for what grows from it, mended failures first."""
    if not history:
        return opening(profile)[:budget]
    last = [trial for trial in history if trial.round == history[-1].round]
    good = ranked(last) or ranked(history)
    kept = [
        replace(trial.spec, why=f"among the best of round {trial.round}", parent=trial.number)
        for trial in good[: (budget + 1) // 2]
    ]
    grown = itertools.chain(*itertools.zip_longest(*(variations(trial, profile) for trial in good[: len(kept)])))
    tried, hopeless = {trial.spec for trial in history}, never_worked(history)
    fresh = [*mended(last, profile), *(spec for spec in grown if spec and not settings(spec) & hopeless)]
    possible = [spec for spec in dict.fromkeys(fresh) if terms(spec, profile) < too_large(history, profile)]
    return [*kept, *(spec for spec in possible if spec not in tried)][:budget]


def opening(profile: Profile) -> list[Spec]:
    """Unlike ideas, the most promising first: the first round is cheap, and tells what kind of table this is."""
    half, few = max(3, profile.width // 2), max(3, min(8, profile.width // 3))
    ideas = [
        Spec("linear", why="simple, and the measure of everything else"),
        Spec("forest", why="steps and interactions, with little to tune"),
        Spec("boosting", depth=4, why="often the best on tables"),
        Spec("svm", why="smooth curved boundaries"),
        Spec("neighbours", why="like goes with like"),
        Spec("linear", scaling="box-cox", why=f"{profile.skewed} columns are skewed"),
        Spec("linear", degree=2, strength=0.1, why="two columns may matter together"),
        Spec("linear", degree=3, strength=0.1, why="or three"),
        Spec("linear", degree=4, strength=0.1, why="or four"),
        Spec("linear", top=few, why="most columns may be noise"),
        Spec("svm", top=half, why="half of the columns may be noise"),
        Spec("forest", top=half, why="half of the columns may be noise"),
        Spec("svm", scaling="yeo-johnson", why=f"{profile.skewed} columns are skewed"),
        Spec("linear", top=few, degree=3, strength=0.1, why="a few columns may matter together"),
        Spec("boosting", columns="numbers", depth=4, why="text may be noise"),
        *(Spec("linear", strength=strength, why="another strength") for strength in (0.05, 20.0)),
        *(Spec("svm", strength=strength, why="another strength") for strength in (0.1, 10.0)),
        *(Spec("neighbours", neighbours=count, why="another neighbourhood") for count in (3, 27)),
        *(Spec("forest", depth=depth, why="another depth") for depth in (3, 16)),
        *(Spec("boosting", depth=depth, why="another depth") for depth in (2, 8)),
        Spec("neighbours", top=few, why="noise hides who is near"),
        Spec("svm", degree=3, top=few, why="curves of a few columns"),
    ]
    return [
        spec
        for spec in ideas
        if (spec.scaling == "standard" or profile.skewed)
        and (spec.columns == "all" or profile.names("text"))
        and (spec.family != "svm" or profile.rows < 20_000)  # its time grows with the square of the rows
    ]


def variations(trial: Trial, profile: Profile) -> list[Spec]:
    """Neighbours of what did well, the most telling first."""
    spec, knob = trial.spec, KNOBS[trial.spec.family]
    value = getattr(spec, knob)
    more, less = (value * 4, value / 4) if knob == "strength" else (value * 2, max(value // 2, 1))
    changes: list[dict[str, Any]] = [{knob: more}, {knob: less}, {"top": max(3, 2 * (spec.top or profile.width) // 3)}]
    if spec.family in ("linear", "svm") and spec.degree < 3:
        changes.append({"degree": spec.degree + 1})
    if spec.scaling == "standard" and profile.skewed:
        changes.append({"scaling": "yeo-johnson"})
    return [
        replace(spec, **change, why=f"#{trial.number} with {name} {wanted}", parent=trial.number)
        for change in changes
        for name, wanted in change.items()
    ]


def mended(failures: list[Trial], profile: Profile) -> list[Spec]:
    """What failed, in a milder form."""
    milder = []
    for trial in failures:
        spec, why = trial.spec, f"instead of #{trial.number}, which failed"
        if trial.failure and spec.scaling == "box-cox":
            milder.append(replace(spec, scaling="yeo-johnson", why=why, parent=trial.number))
        elif trial.failure and spec.degree > 1:
            fewer = max(3, (spec.top or profile.width) // 4)
            milder.append(replace(spec, top=fewer, why=why, parent=trial.number))
    return milder


def settings(spec: Spec) -> set[tuple[str, object]]:
    """What an idea is made of, without its knob."""
    return {(name, getattr(spec, name)) for name in ("family", "columns", "top", "degree", "scaling")}


def never_worked(history: list[Trial]) -> set[tuple[str, object]]:
    """Settings that were in a failure and never in a success: the lesson of what failed."""
    worked = set[tuple[str, object]]().union(*(settings(trial.spec) for trial in ranked(history)))
    return set[tuple[str, object]]().union(*(settings(trial.spec) for trial in history if trial.failure)) - worked


def too_large(history: list[Trial], profile: Profile) -> float:
    """How many columns were too many for all the memory that there is: later rounds have more rows, and not more of it.

    Infinity as long as nothing has failed of that.
    """
    return min((terms(trial.spec, profile) for trial in history if trial.out_of_memory), default=math.inf)


def run_key(table: TableRef, *, rounds: int, width: int, seed: int) -> str:
    """The same question gets the same key, and so the same run: asked again, it is resumed, or answered at once."""
    return f"best-model/{table.name}/{table.target or ''}/{table.digest[:12]}/{rounds}x{width}/{seed}"


if __name__ == "__main__":
    from regrow.examples.report import render_text, write_report  # not for the workers, which load this file too

    digits = table_ref()
    outcome = regrow.run(find_best_model, digits, key=run_key(digits, rounds=4, width=24, seed=0))
    print("", *render_text(outcome), f"report: {write_report(outcome, 'best-model.html')}", sep="\n")
