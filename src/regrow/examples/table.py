"""Reading a table: a CSV file of yours, or a data set that scikit-learn ships.

Everything that can be wrong with a table is found here, before an experiment is paid for, and said in one sentence:
what is wrong, where, and what to do (`BadTable`). What can be put right is put right, and said in `Profile.notes`.

A `TableRef` names a table by its place and its digest; it is what travels between tasks. The rows themselves never do:
whoever needs them reads them here, and each process keeps what it has read.
"""

from __future__ import annotations

import csv
import difflib
import functools
import hashlib
import re
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.impute import SimpleImputer
from sklearn.model_selection import RepeatedKFold, RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PowerTransformer, StandardScaler

DATASETS = {"breast_cancer": load_breast_cancer, "diabetes": load_diabetes, "digits": load_digits}

MIN_ROWS = 20  # fewer cannot be held out and cross-validated as well
MIN_ROWS_PER_CLASS = 5  # one to hold out, four to cross-validate with
MAX_CLASSES = 50
MAX_ROWS = 100_000  # more are sampled down to this: the demo is bounded in time and memory
MAX_COLUMNS = 500
MAX_CATEGORIES = 20  # of one text column; the rarer values share a category
HELD_OUT = 0.2  # of the rows: no experiment ever sees them

_IDENTIFIER = re.compile(r"(^|[\s_.-])(id|index|key|uuid|guid|row)$|[a-z](Id|ID)$|^unnamed: \d+$", re.IGNORECASE)
_ISO_DATE = r"\d{4}-\d\d-\d\d([T ].*)?"


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

    source: str = "breast_cancer"
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


def table_ref(csv: Path | str | None = None, target: str | None = None, dataset: str = "breast_cancer") -> TableRef:
    """Name a table, and read it once so that what is wrong with it is said now.

    Args:
        csv: the file; without one, a data set is used.
        target: the column to predict; a data set has one of its own.
        dataset: one of `DATASETS`.

    Raises:
        BadTable: it cannot be learnt from.
    """
    if csv is None and dataset not in DATASETS:
        raise BadTable(f"there is no data set {dataset!r}: choose one of {_listed(list(DATASETS))}, or give a CSV file")
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
    frame, target, digest, notes = _read_dataset(ref) if source in DATASETS else _read_csv(ref)
    return _understand(frame, target, ref.name, digest, notes)


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


# ----------------------------------------------------------------------------------------------- from a file to a frame


def _read_dataset(ref: TableRef) -> tuple[Any, str, str, list[str]]:
    bunch = DATASETS[ref.source](as_frame=True)
    frame = bunch.frame
    if ref.source == "breast_cancer":
        frame["target"] = bunch.target_names[frame["target"]]
    digest = hashlib.sha256(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()).hexdigest()
    return frame, ref.target or "target", digest, []


def _read_csv(ref: TableRef) -> tuple[Any, str, str, list[str]]:
    path = Path(ref.source)
    _check_file(path)
    encoding, notes = _encoding(path)
    separator, header = _header(path, encoding)
    target = _find_target(ref.target, header, path.name)
    frame, rows = _parse(path, encoding, separator)
    if rows == 0:
        raise BadTable(f"{path.name} has a header but no rows: add rows of data, at least {MIN_ROWS}")
    if rows > len(frame):
        notes.append(f"used {len(frame):,} of {rows:,} rows, chosen by chance")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return frame.set_axis(header, axis="columns"), target, digest, notes


def _check_file(path: Path) -> None:
    """Refuse what is plainly no CSV file, by name if it is something well known."""
    try:
        if path.is_dir():
            raise BadTable(f"{path.name} is a directory: name one CSV file in it")
        if not path.exists():
            known = difflib.get_close_matches(path.name, DATASETS, n=1)
            raise BadTable(
                f"there is no data set and no file {path.name!r}: did you mean the data set {known[0]!r}?"
                if known
                else f"there is no file {path}: check the path given with --csv"
            )
        if not path.is_file():
            raise BadTable(f"{path.name} is not a regular file: copy what it gives into a CSV file first")
        with path.open("rb") as file:
            head = file.read(65_536)
    except OSError as error:
        raise BadTable(f"{path.name} cannot be read ({error.strerror}): check the path and its permissions") from error
    if not head.strip():
        raise BadTable(f"{path.name} is empty: a CSV file has a header line and rows")
    kinds = {
        b"PK\x03\x04": "an Excel workbook or a zip archive",
        b"\xd0\xcf\x11\xe0": "an old Excel workbook",
        b"\x1f\x8b": "a gzip archive",
        b"%PDF": "a PDF",
        b"PAR1": "a Parquet file",
        b"\xff\xfe": "text in UTF-16",
        b"\xfe\xff": "text in UTF-16",
        b"<": "a web page (HTML) or XML",
        b"{": "JSON",
        b"[{": "JSON",
        b"[[": "JSON",
    }
    for start, kind in kinds.items():
        if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(start):
            raise BadTable(f"{path.name} is no CSV file but looks like {kind}: save the table itself as CSV in UTF-8")
    if any(byte < 9 for byte in head):
        raise BadTable(f"{path.name} is no CSV file: it holds binary data; save the table as CSV in UTF-8")


def _encoding(path: Path) -> tuple[str, list[str]]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "latin-1", ["read the file as Latin-1: it is not UTF-8"]
    return "utf-8-sig", []


def _header(path: Path, encoding: str) -> tuple[str, list[str]]:
    """Find the separator, the one that splits the first line best, and the names of the columns."""
    with path.open(encoding=encoding, newline="") as file:
        first = next(line for line in file if line.strip())
    fields = {separator: next(csv.reader([first], delimiter=separator)) for separator in ",;\t|"}
    separator = max(fields, key=lambda separator: len(fields[separator]))
    header = [name.strip() or f"unnamed: {index}" for index, name in enumerate(fields[separator])]
    if len(header) < 2:
        raise BadTable(
            f"{path.name} has one column only, {_short(header[0])!r}: a table needs a target and something to "
            "predict it from, separated by commas, semicolons, tabs or bars"
        )
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise BadTable(f"{path.name} has more than one column named {_listed(twice)}: rename or remove the copies")
    if all(_is_number(name) for name in header):
        raise BadTable(f"{path.name} begins with a row of numbers ({_listed(header)}): add a header line with names")
    return separator, header


def _reason(error: str) -> str:
    """What a parser's complaint means for whoever made the file."""
    if long := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", error):
        return f"line {long[2]} has {long[3]} fields where others have {long[1]}, so mend it or quote its values"
    if quote := re.search(r"EOF inside string starting at row (\d+)", error):
        return f"a quote that is opened about line {int(quote[1]) + 1} is never closed, so close it"
    return "its lines have more fields than its header, so name them all in the header"


def _parse(path: Path, encoding: str, separator: str) -> tuple[Any, int]:
    """Read the rows, and count them; of more than `MAX_ROWS`, keep a sample that is the same each time."""
    with path.open(encoding=encoding) as file:
        sample = file.read(65_536)
    decimal = "," if separator == ";" and re.search(r"(^|;)-?\d+,\d+(;|$)", sample, re.MULTILINE) else "."
    rng = np.random.default_rng(0)
    kept, lots, rows = None, np.empty(0), 0  # each row draws a lot; the lowest stay
    try:
        # A row that is longer than the header is only warned of, and cut; that would shift a table without a word.
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            chunks = pd.read_csv(
                path, sep=separator, encoding=encoding, decimal=decimal, index_col=False, skipinitialspace=True,
                na_values=["?", "-"], chunksize=MAX_ROWS,
            )  # fmt: skip
            for chunk in chunks:
                rows += len(chunk)
                lots = np.concatenate([lots, rng.random(len(chunk))])
                low = np.sort(np.argsort(lots)[:MAX_ROWS])
                kept, lots = (chunk if kept is None else pd.concat([kept, chunk])).iloc[low], lots[low]
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise BadTable(f"{path.name} cannot be split into columns: {_reason(str(error))}") from error
    return kept, rows


# ----------------------------------------------------------------------------------- from a frame to what can be learnt


def _understand(frame: Any, target: str, name: str, digest: str, notes: list[str]) -> Table:
    target = _find_target(target, list(frame.columns), name)
    known = frame[target].notna()
    if not known.any():
        raise BadTable(f"column {target!r} of {name} is empty in every row: fill it, or predict another column")
    if dropped := int((~known).sum()):
        notes = [*notes, f"left out {_count(dropped, 'row')} without a {target!r}"]
    frame = frame[known].reset_index(drop=True)
    if len(frame) < MIN_ROWS:
        raise BadTable(
            f"{name} has {_count(len(frame), 'row')} with a known {target!r}: add rows, for at least {MIN_ROWS} are "
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
    return Table(profile, features.fillna(dict.fromkeys(profile.names("text"), "(missing)")), labels)


def _find_target(target: str | None, header: Sequence[str], name: str) -> str:
    if target in header:
        return str(target)
    columns = f"the columns of {name} are {_listed(header, 12)}"
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
        few = _listed([f"{_label(value)} ({count})" for value, count in rare.items()], 3)
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
        return numbers, f"took {_count(odd, 'value')} of {name!r} for missing, being no number" if odd else ""
    if text.dropna().str.fullmatch(_ISO_DATE).mean() >= 0.95:
        days = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True) - pd.Timestamp(0, tz="UTC")
        return days / pd.Timedelta(days=1), f"took {name!r} as a date: days since 1970"
    if distinct > MAX_CATEGORIES and distinct > 0.5 * present:
        return None, f"dropped {name!r}: {distinct:,} different texts in {present:,} rows are names, not categories"
    if distinct > MAX_CATEGORIES:
        return text, f"{name!r} has {distinct:,} categories: the {MAX_CATEGORIES - 1} commonest are kept apart"
    return text, ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _label(value: object) -> str:
    """A class by the name it has in the file: 1, not 1.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _listed(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(_short(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:39]}…"
