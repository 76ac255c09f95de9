"""What is known of a table, apart from its rows: how it is named, what its columns are, and what would be too much.

A `TableRef` names a table by its place and its digest; it is what travels between tasks. The rows themselves never do:
whoever needs them reads them where they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

DATASETS = {"breast_cancer": load_breast_cancer, "diabetes": load_diabetes, "digits": load_digits}

MIN_ROWS = 20  # fewer cannot be held out and cross-validated as well
MIN_ROWS_PER_CLASS = 5  # one to hold out, four to cross-validate with
MAX_CLASSES = 50
MAX_ROWS = 100_000  # more are sampled down to this: the demo is bounded in time and memory
MAX_VALUES = 5_000_000  # likewise where there are many columns: an experiment reads the table in a worker of its own
MAX_COLUMNS = 500
MAX_CATEGORIES = 20  # of one text column; the rarer values share a category
HELD_OUT = 0.2  # of the rows: no experiment ever sees them


class BadTable(ValueError):
    """This table cannot be learnt from; the message says what is wrong, where, and what to do about it."""


@dataclass(frozen=True)
class TableRef:
    """Which table, and what to predict.

    Attributes:
        source: the name of a data set that scikit-learn ships (see `DATASETS`), or the path of a CSV file.
        target: the column to predict. A data set has one of its own; a CSV file needs to be told.
        digest: of the table's content. Once it is known, other content under the same name is refused: half of a search
            on yesterday's table and half on today's would find nothing.
    """

    source: str = "digits"
    target: str | None = None
    digest: str = ""

    @property
    def name(self) -> str:
        """What to call the table in a heading."""
        return self.source if self.source in DATASETS else Path(self.source).name


@dataclass(frozen=True)
class Column:
    """One column that experiments may use."""

    name: str
    kind: Literal["number", "text"]
    missing: int
    distinct: int


@dataclass(frozen=True)
class Profile:
    """What a chooser gets to know about a table: enough to have ideas, and small enough for a prompt.

    Attributes:
        classes: how many rows each class has; empty where a number is predicted.
        skewed: how many of the number columns lean so far to one side that a transformation may help.
        notes: what was changed about the table, one sentence each.
    """

    name: str
    digest: str
    target: str
    goal: Literal["classification", "regression"]
    classes: dict[str, int]
    rows: int
    columns: list[Column]
    skewed: int
    notes: list[str]

    def names(self, kind: Literal["number", "text"]) -> list[str]:
        """The columns of one kind, in the table's order."""
        return [column.name for column in self.columns if column.kind == kind]

    @property
    def width(self) -> int:
        """How many columns a model sees, once text is one column a category."""
        return sum(1 if c.kind == "number" else min(c.distinct, MAX_CATEGORIES) for c in self.columns)
