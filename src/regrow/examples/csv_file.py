"""From a CSV file to a frame: whatever separator, decimal sign and encoding it has, and however long it is."""

from __future__ import annotations

import csv
import difflib
import hashlib
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from regrow.examples.columns import find_target, listed, short
from regrow.examples.profile import DATASETS, MAX_ROWS, MAX_VALUES, MIN_ROWS, BadTable, TableRef


def read_csv(ref: TableRef) -> tuple[Any, str, str, list[str]]:
    """Give the rows, the column to predict, the file's digest, and what was done to it, one sentence each.

    Raises:
        BadTable: it cannot be read, or has no such column.
    """
    path = Path(ref.source)
    _check_file(path)
    encoding, notes = _encoding(path)
    separator, header = _header(path, encoding)
    target = find_target(ref.target, header, path.name)
    frame, rows = _parse(path, encoding, separator, most=min(MAX_ROWS, MAX_VALUES // len(header)))
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
            f"{path.name} has one column only, {short(header[0])!r}: a table needs a target and something to "
            "predict it from, separated by commas, semicolons, tabs or bars"
        )
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise BadTable(f"{path.name} has more than one column named {listed(twice)}: rename or remove the copies")
    if all(_is_number(name) for name in header):
        raise BadTable(f"{path.name} begins with a row of numbers ({listed(header)}): add a header line with names")
    return separator, header


def _reason(error: str) -> str:
    """What a parser's complaint means for whoever made the file."""
    if long := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", error):
        return f"line {long[2]} has {long[3]} fields where others have {long[1]}, so mend it or quote its values"
    if quote := re.search(r"EOF inside string starting at row (\d+)", error):
        return f"a quote that is opened about line {int(quote[1]) + 1} is never closed, so close it"
    return "its lines have more fields than its header, so name them all in the header"


def _parse(path: Path, encoding: str, separator: str, most: int) -> tuple[Any, int]:
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
                na_values=["?", "-"], chunksize=most,
            )  # fmt: skip
            for chunk in chunks:
                rows += len(chunk)
                lots = np.concatenate([lots, rng.random(len(chunk))])
                low = np.sort(np.argsort(lots)[:most])
                kept, lots = (chunk if kept is None else pd.concat([kept, chunk])).iloc[low], lots[low]
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise BadTable(f"{path.name} cannot be split into columns: {_reason(str(error))}") from error
    return kept, rows


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
