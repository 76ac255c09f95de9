"""From a frame to what can be learnt: each column made numbers or text, or dropped, and the target read as a goal."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from regrow.examples.profile import (
    MAX_CATEGORIES,
    MAX_CLASSES,
    MAX_COLUMNS,
    MIN_ROWS,
    MIN_ROWS_PER_CLASS,
    BadTable,
    Column,
    Profile,
)

_IDENTIFIER = re.compile(r"(^|[\s_.-])(id|index|key|uuid|guid|row)$|[a-z](Id|ID)$|^unnamed: \d+$", re.IGNORECASE)
_ISO_DATE = r"\d{4}-\d\d-\d\d([T ].*)?"


def understand(
    frame: Any, target: str, name: str, digest: str, notes: list[str]
) -> tuple[Profile, Any, npt.NDArray[Any]]:
    """Give what is known of a table, its features as numbers and text, and its targets as class numbers or floats.

    Args:
        frame: the rows as they were read.
        target: the column to predict.
        name: of the table.
        digest: of its content.
        notes: what was done to it so far, one sentence each.

    Raises:
        BadTable: it cannot be learnt from.
    """
    target = find_target(target, list(frame.columns), name)
    known = frame[target].notna()
    if not known.any():
        raise BadTable(f"column {target!r} of {name} is empty in every row: fill it, or predict another column")
    if dropped := int((~known).sum()):
        notes = [*notes, f"left out {count(dropped, 'row')} without a {target!r}"]
    frame = frame[known].reset_index(drop=True)
    if len(frame) < MIN_ROWS:
        raise BadTable(
            f"{name} has {count(len(frame), 'row')} with a known {target!r}: add rows, for at least {MIN_ROWS} are "
            "needed to learn from some and check on others"
        )
    goal, labels, classes, note = _understand_target(frame[target], target, name)
    features, more = _understand_features(frame.drop(columns=target))
    if features.shape[1] == 0:
        raise BadTable(f"{name} has no column to predict {target!r} from ({'; '.join(more)}): add columns that vary")
    numbers = features.select_dtypes("number")
    profile = Profile(
        name=name,
        digest=digest,
        target=target,
        goal=goal,
        classes=classes,
        rows=len(frame),
        columns=[
            Column(
                column,
                "number" if column in numbers else "text",
                int(features[column].isna().sum()),
                int(features[column].nunique()),
            )
            for column in features
        ],
        skewed=int((numbers.skew().abs() > 1).sum()),
        notes=[*notes, *note, *more],
    )
    return profile, features.fillna(dict.fromkeys(profile.names("text"), "(missing)")), labels


def find_target(target: str | None, header: Sequence[str], name: str) -> str:
    """Give the column to predict, or say which ones there are (`BadTable`)."""
    if target in header:
        return str(target)
    columns = f"the columns of {name} are {listed(header, 12)}"
    if not target:
        raise BadTable(f"say with --target which column to predict: {columns}")
    folded = {column.casefold(): column for column in header}
    near = difflib.get_close_matches(target.strip().casefold(), folded, n=1)
    hint = f" (did you mean {folded[near[0]]!r}?)" if near else ""
    raise BadTable(f"{name} has no column {target!r}{hint}: {columns}")


def _understand_target(
    column: Any, target: str, name: str
) -> tuple[Literal["classification", "regression"], npt.NDArray[Any], dict[str, int], list[str]]:
    """Classes or a number: text, yes-or-no and a few whole numbers are classes."""
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric:
        column = column.astype(float)
        if not np.isfinite(column).all():
            raise BadTable(f"column {target!r} of {name} holds infinite values: remove those rows")
    counts = (column if numeric else column.astype(str).str.strip()).value_counts()
    if len(counts) == 1:
        raise BadTable(
            f"column {target!r} of {name} is {_label(counts.index[0])!r} in every row: "
            "there is one class only, and nothing to predict; add rows of another"
        )
    whole = numeric and bool((counts.index == counts.index.to_series().round()).all())
    rare = counts[counts < MIN_ROWS_PER_CLASS]
    if numeric and (len(counts) > MAX_CATEGORIES or not (whole or len(counts) == 2)):
        return "regression", column.to_numpy(), {}, []
    if whole and len(counts) > 5 and len(rare):
        note = f"{target!r} is predicted as a number: as classes, some of its {len(counts)} values would be too rare"
        return "regression", column.to_numpy(), {}, [note]
    if len(rare):
        few = listed([f"{_label(value)} ({count})" for value, count in rare.items()], 3)
        raise BadTable(
            f"column {target!r} of {name} has classes with too few rows, {few}: each needs at least "
            f"{MIN_ROWS_PER_CLASS}, so add rows, merge classes or leave those out"
        )
    if len(counts) > MAX_CLASSES:
        raise BadTable(f"column {target!r} of {name} has {len(counts)} classes: merge them into {MAX_CLASSES} or fewer")
    values, labels = np.unique(column if numeric else column.astype(str).str.strip().to_numpy(str), return_inverse=True)
    return "classification", labels, {_label(value): int(counts[value]) for value in values}, []


def _understand_features(frame: Any) -> tuple[Any, list[str]]:
    """Make every column numbers or text, and drop those that cannot tell anything; say which and why."""
    features, notes = {}, []
    for name in frame:
        values, note = _understand_feature(name, frame[name])
        if values is not None:
            features[name] = values
        if note:
            notes.append(note)
    if len(features) > MAX_COLUMNS:
        fullest = sorted(features, key=lambda name: features[name].isna().sum())[:MAX_COLUMNS]
        notes.append(f"used the {MAX_COLUMNS} most complete of {len(features):,} columns")
        features = {name: features[name] for name in features if name in set(fullest)}
    return pd.DataFrame(features, index=frame.index), notes


def _understand_feature(name: str, values: Any) -> tuple[Any, str]:
    """One column as floats or strings, or none of it; and a note where that needs saying."""
    distinct, present = values.nunique(), int(values.notna().sum())
    if distinct < 2:
        return None, f"dropped {name!r}: it {'is the same in every row' if distinct else 'is empty'}"
    if pd.api.types.is_numeric_dtype(values):
        if distinct == present and _IDENTIFIER.search(name) and (values.dropna() % 1 == 0).all():
            return None, f"dropped {name!r}: it numbers the rows"
        return values.astype(float).replace([np.inf, -np.inf], np.nan), ""
    if pd.api.types.infer_dtype(values, skipna=True) == "boolean":
        return values.astype(float), ""
    text = values.where(values.isna(), values.astype(str).str.strip()).astype(object)
    numbers = pd.to_numeric(text, errors="coerce").replace([np.inf, -np.inf], np.nan)
    if numbers.notna().sum() >= 0.95 * present:
        odd = present - int(numbers.notna().sum())
        return numbers, f"took {count(odd, 'value')} of {name!r} for missing, being no number" if odd else ""
    if text.dropna().str.fullmatch(_ISO_DATE).mean() >= 0.95:
        days = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True) - pd.Timestamp(0, tz="UTC")
        return days / pd.Timedelta(days=1), f"took {name!r} as a date: days since 1970"
    if distinct > MAX_CATEGORIES and distinct > 0.5 * present:
        return None, f"dropped {name!r}: {distinct:,} different texts in {present:,} rows are names, not categories"
    if distinct > MAX_CATEGORIES:
        return text, f"{name!r} has {distinct:,} categories: the {MAX_CATEGORIES - 1} commonest are kept apart"
    return text, ""


def count(number: int, what: str) -> str:
    """So many of something, in the plural unless it is one."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _label(value: object) -> str:
    """A class by the name it has in the file: 1, not 1.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def listed(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(short(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def short(text: str) -> str:
    """A name, cut where it is too long for a sentence."""
    return text if len(text) <= 40 else f"{text[:39]}…"
