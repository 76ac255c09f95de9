"""A table's rows: read where they are, put aside, sampled and split, always the same ones for a seed.

Everything that can be wrong with a table is found here, before an experiment is paid for, and said in one sentence:
what is wrong, where, and what to do (`BadTable`). What can be put right is put right, and said in `Profile.notes`.
Each process keeps what it has read.
"""

from __future__ import annotations

import functools
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PowerTransformer, StandardScaler

from regrow.examples.columns import listed, understand
from regrow.examples.csv_file import read_csv
from regrow.examples.profile import (
    DATASETS,
    HELD_OUT,
    MAX_CATEGORIES,
    MIN_ROWS_PER_CLASS,
    BadTable,
    Profile,
    TableRef,
)


@dataclass(frozen=True, eq=False)
class Table:
    """The rows, ready to be learnt from: features as numbers and text, targets as class numbers or floats."""

    profile: Profile
    features: Any  # pandas.DataFrame
    target: npt.NDArray[Any]

    def take(self, rows: npt.NDArray[np.intp]) -> Table:
        """Only these rows; the profile stays that of the whole."""
        return Table(self.profile, self.features.iloc[rows], self.target[rows])

    def sample(self, rows: int, seed: int) -> Table:
        """At most so many rows, in which every class keeps its share, and enough to be cross-validated."""
        return self if rows >= len(self.target) else self.take(_pick(self, rows, seed))

    def folds(self, count: int, repeats: int, seed: int) -> Iterator[tuple[Table, Table]]:
        """Split for cross-validation: what to learn from and what to be judged by, `count` times `repeats`."""
        splitter = RepeatedStratifiedKFold if self.profile.classes else RepeatedKFold
        splits = splitter(n_splits=count, n_repeats=repeats, random_state=seed)
        return ((self.take(learn), self.take(test)) for learn, test in splits.split(self.features, self.target))


def table_ref(csv: Path | str | None = None, target: str | None = None, dataset: str = "digits") -> TableRef:
    """Name a table, and read it once so that what is wrong with it is said now.

    Args:
        csv: the file; without one, a data set is used.
        target: the column to predict; a data set has one of its own.
        dataset: one of `DATASETS`.

    Raises:
        BadTable: it cannot be learnt from.
    """
    if csv is None and dataset not in DATASETS:
        raise BadTable(f"there is no data set {dataset!r}: choose one of {listed(list(DATASETS))}, or give a CSV file")
    # Absolute, so that the run can be resumed from another working directory.
    ref = TableRef(source=str(Path(csv).expanduser().absolute()) if csv is not None else dataset, target=target)
    return replace(ref, digest=load(ref).profile.digest)


def load(ref: TableRef) -> Table:
    """Read a table and make it ready; each process does so once.

    Raises:
        BadTable: it cannot be learnt from, or is no longer what it was.
    """
    file = Path(ref.source)
    exists = ref.source not in DATASETS and file.exists()
    with _reading:
        table = _load(ref.source, ref.target, file.stat().st_mtime_ns if exists else 0)
    if ref.digest not in ("", table.profile.digest):
        raise BadTable(f"{ref.name} has changed since this run began: put it back as it was, or start a new run")
    return table


_reading = threading.Lock()  # two experiments that start side by side would read the same file twice


@functools.lru_cache(maxsize=4)
def _load(source: str, target: str | None, _modified: int) -> Table:
    ref = TableRef(source, target)
    frame, target, digest, notes = _read_dataset(ref) if source in DATASETS else read_csv(ref)
    return Table(*understand(frame, target, ref.name, digest, notes))


def training_part(ref: TableRef, seed: int) -> Table:
    """The rows that experiments learn from and are judged by."""
    return _split(ref, seed)[0]


def held_out_part(ref: TableRef, seed: int) -> Table:
    """The rows that only the final check may see."""
    return _split(ref, seed)[1]


@functools.lru_cache(maxsize=4)
def _split(ref: TableRef, seed: int) -> tuple[Table, Table]:
    table = load(ref)
    held_out = _pick(table, max(1, round(HELD_OUT * len(table.target))), seed, least=1)
    training = np.setdiff1d(np.arange(len(table.target)), held_out)
    return table.take(training), table.take(held_out)


def to_numbers(profile: Profile, *, texts: bool, scaling: Literal["standard", "box-cox", "yeo-johnson"]) -> Any:
    """Make the first step of a model: gaps are filled, numbers brought to one scale, each category given a column."""
    scaler = StandardScaler() if scaling == "standard" else PowerTransformer(scaling)
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), scaler)
    one_hot = OneHotEncoder(max_categories=MAX_CATEGORIES, handle_unknown="infrequent_if_exist", sparse_output=False)
    return make_column_transformer(
        (numbers, profile.names("number")), (one_hot, profile.names("text") if texts else [])
    )


def _pick(table: Table, rows: int, seed: int, least: int = MIN_ROWS_PER_CLASS) -> npt.NDArray[np.intp]:
    """Choose rows by chance: of each class its share, but at least `least` where it has them."""
    order = np.random.default_rng(seed).permutation(len(table.target))
    if table.profile.goal == "regression":
        return np.sort(order[:rows])
    share = rows / len(order)
    of_class = [order[table.target[order] == label] for label in np.unique(table.target)]
    return np.sort(np.concatenate([members[: max(least, round(share * len(members)))] for members in of_class]))


def _read_dataset(ref: TableRef) -> tuple[Any, str, str, list[str]]:
    bunch = DATASETS[ref.source](as_frame=True)
    frame = bunch.frame
    if ref.source == "breast_cancer":
        frame["target"] = bunch.target_names[frame["target"]]
    digest = hashlib.sha256(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()).hexdigest()
    return frame, ref.target or "target", digest, []
