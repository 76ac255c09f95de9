"""What the agent experiments with: ideas for models, what came of them, and the models that ideas stand for.

All of it is plain frozen data, since it is recorded; a fitted model is not, because a `Spec`, a table and a seed give
the same one at any time.
"""

from __future__ import annotations

import functools
import math
import warnings
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sklearn import ensemble
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectKBest, mutual_info_classif, mutual_info_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, SVR

from regrow.examples.profile import Profile, TableRef
from regrow.examples.table import Table, to_numbers, training_part

EPOCHS = 8
TREES, BOOSTS = 200, 100
KNOBS = {"linear": "strength", "svm": "strength", "forest": "depth", "boosting": "depth", "neighbours": "neighbours"}


@dataclass(frozen=True)
class Spec:
    """An idea for a model. Flat, and closed where it can be: a language model can answer in this form."""

    family: Literal["linear", "svm", "forest", "boosting", "neighbours"]
    columns: Literal["all", "numbers"] = "all"
    top: int | None = None  # only so many columns: those that share most information with the target
    degree: int = 1  # of the polynomial that the columns are expanded into
    scaling: Literal["standard", "box-cox", "yeo-johnson"] = "standard"
    strength: float = 1.0  # linear, svm: how closely to follow the data (the inverse of regularisation)
    depth: int = 8  # forest, boosting: of each tree
    neighbours: int = 9  # neighbours: how many have a say
    why: str = field(default="", compare=False)  # for people, and for the next choice
    parent: int | None = field(default=None, compare=False)  # the number of the trial that it grew from

    def __str__(self) -> str:
        knob = KNOBS[self.family]
        parts = {
            f"{self.family} ({knob} {getattr(self, knob):g})": True,
            "numbers only": self.columns == "numbers",
            f"top {self.top} columns": self.top is not None,
            f"degree {self.degree}": self.degree > 1,
            self.scaling: self.scaling != "standard",
        }
        return " · ".join(text for text, said in parts.items() if said)


@dataclass(frozen=True)
class Effort:
    """How much an experiment may cost."""

    rows: int
    folds: int
    repeats: int


@dataclass(frozen=True)
class Experiment:
    """One idea, to be tried with one effort on one table."""

    number: int
    round: int
    spec: Spec
    effort: Effort
    table: TableRef
    seed: int


@dataclass(frozen=True)
class Trial:
    """What came of an experiment, a score or a failure."""

    number: int
    round: int
    spec: Spec
    effort: Effort
    score: float | None = None
    spread: float | None = None
    seconds: float | None = None  # it timed itself, so that a replay tells the true time
    failure: str | None = None
    out_of_memory: bool = False  # with the most that it could be given


@dataclass(frozen=True)
class Epoch:
    """A part of the winner's training."""

    number: int
    attempt: int  # in which it happened: one that is cut short is followed by another, which goes on from here
    seconds: float
    score: float  # on the rows that nothing was chosen by


@dataclass(frozen=True)
class Verdict:
    """The winner on rows that nothing was chosen by."""

    rows: int
    metrics: dict[str, tuple[float, float]]  # of the winner, and of a model that only guesses
    importance: dict[str, float]  # by column: what is lost of the first metric when it is shuffled
    epochs: list[Epoch]


@dataclass(frozen=True)
class Outcome:
    """All that the agent found out. `regrow.examples.report` makes it a table in the terminal, and a page."""

    run: str
    started: datetime
    table: TableRef
    profile: Profile
    rounds: int
    width: int
    seed: int
    trials: list[Trial]
    winner: Trial
    verdict: Verdict

    def __str__(self) -> str:
        name, (reached, guessed) = next(iter(self.verdict.metrics.items()))
        return f"{self.winner.spec}: {name} {reached:.3f} on {self.verdict.rows} unseen rows (guessing: {guessed:.3f})"


def refit(table: TableRef, spec: Spec, seed: int) -> Pipeline:
    """The trained model behind a result. It is not stored: a spec and a seed give the same one again."""
    training = training_part(table, seed)
    model = build(spec, training.profile, seed)
    for epoch in range(1, EPOCHS + 1):
        learn(model, spec, training, epoch, seed)
    return model


def learn(model: Pipeline, spec: Spec, table: Table, epoch: int, seed: int) -> None:
    """Train a model for one epoch more.

    Forests and boosting get more trees, linear classifiers go on from where they are. What can only learn all at once
    does so from more rows each time, and at last from all of them.
    """
    last, share = model[-1], epoch / EPOCHS
    if spec.family == "forest":
        last.set_params(warm_start=True, n_estimators=round(TREES * share))
    elif spec.family == "boosting":
        last.set_params(warm_start=True, max_iter=round(BOOSTS * share))
    elif spec.family == "linear" and table.profile.classes:
        last.set_params(warm_start=True, max_iter=1_000 if epoch == EPOCHS else 5)
    else:
        table = table.sample(max(round(len(table.target) * share), 4 * spec.neighbours), seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # in five iterations it has not, and need not
        model.fit(table.features, table.target)


def fit(spec: Spec, table: Table, seed: int) -> Pipeline:
    """The model that an idea stands for, trained in one go."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its score will tell
        return build(spec, table.profile, seed).fit(table.features, table.target)


def build(spec: Spec, profile: Profile, seed: int) -> Pipeline:
    """Make the model that an idea stands for. All that learns is inside, so that no fold learns from another."""
    steps: list[Any] = [to_numbers(profile, texts=spec.columns == "all", scaling=spec.scaling)]
    if spec.top is not None and spec.top < width(spec, profile):
        information = mutual_info_classif if profile.classes else mutual_info_regression
        steps.append(SelectKBest(functools.partial(information, random_state=seed), k=spec.top))
    if spec.degree > 1:
        steps += [PolynomialFeatures(spec.degree, include_bias=False), StandardScaler()]
    steps.append(estimator(spec, classify=bool(profile.classes), seed=seed))
    return make_pipeline(*steps)


def width(spec: Spec, profile: Profile) -> int:
    """How many columns there are to choose the top ones from."""
    return profile.width if spec.columns == "all" else len(profile.names("number"))


def terms(spec: Spec, profile: Profile) -> int:
    """How many columns a model is given in the end: a polynomial of degree 3 makes 5,455 of 30, and 43,679 of 62."""
    there = width(spec, profile)
    return math.comb(min(spec.top or there, there) + spec.degree, spec.degree) - 1


def estimator(spec: Spec, *, classify: bool, seed: int) -> Any:
    """The last step of a model."""
    match spec.family:
        case "linear":
            return LogisticRegression(C=spec.strength, max_iter=1_000) if classify else Ridge(1 / spec.strength)
        case "svm":
            regression = TransformedTargetRegressor(SVR(C=spec.strength), transformer=StandardScaler())
            return SVC(C=spec.strength) if classify else regression
        case "forest":
            forest = ensemble.RandomForestClassifier if classify else ensemble.RandomForestRegressor
            return forest(TREES, max_depth=spec.depth, max_features="sqrt" if classify else 0.5, random_state=seed)
        case "boosting":
            boosting = ensemble.HistGradientBoostingClassifier if classify else ensemble.HistGradientBoostingRegressor
            return boosting(max_depth=spec.depth, max_iter=BOOSTS, early_stopping=False, random_state=seed)
        case "neighbours":
            return (KNeighborsClassifier if classify else KNeighborsRegressor)(spec.neighbours, weights="distance")
