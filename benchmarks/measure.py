"""Timing, and the raw limits that figures are held against."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec


class Figure(msgspec.Struct, frozen=True):
    """One line of the table.

    Attributes:
        name: what was measured.
        value: in `unit`.
        spread: the least and the most of several measurements of which `value` is the median; None where `value` is
            one, or one of a pair.
        raw: the raw limit in the same unit, measured in the same run; None where there is none.
        limit: what the raw limit is.
        aim: what we aim for, in words.
    """

    name: str
    value: float
    unit: str
    raw: float | None = None
    limit: str = ""
    aim: str = ""
    spread: tuple[float, float] | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the raw limit; for rates, the share of it."""
        return None if not self.raw else self.value / self.raw


def figure(
    name: str,
    values: Sequence[float],
    unit: str,
    *,
    raw: Sequence[float] = (),
    limit: str = "",
    aim: str = "",
    scale: float = 1.0,
) -> Figure:
    """Put several measurements of one thing into a line; `scale` takes them, and those of its limit, to `unit`."""
    found = sorted(value * scale for value in values)
    return Figure(
        name,
        statistics.median(found),
        unit,
        statistics.median(raw) * scale if raw else None,
        limit,
        aim,
        (found[0], found[-1]),
    )


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    begun = time.perf_counter()
    function()
    return time.perf_counter() - begun


def best_of_pairs(ours: Callable[[], float], raw: Callable[[], float], pairs: int = 5) -> tuple[float, float]:
    """Measure two things in turn, so that drift is the same for both; give the pair with the median ratio."""
    measured = [(ours(), raw()) for _ in range(pairs)]
    return sorted(measured, key=lambda pair: pair[0] / pair[1])[pairs // 2]


def median(function: Callable[[], float], runs: int = 5) -> float:
    """Give the median of several measurements."""
    return statistics.median(function() for _ in range(runs))


@contextmanager
def raw_database(folder: Path) -> Iterator[apsw.Connection]:
    """Open a database with the store's durability (WAL, FULL), and a table like the one that records are in."""
    folder.mkdir(parents=True, exist_ok=True)
    db = apsw.Connection(str(folder / "raw.db"))
    for pragma in ("journal_mode=WAL", "synchronous=FULL"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    db.execute(
        "CREATE TABLE IF NOT EXISTS records (number INTEGER, seq INTEGER, hash BLOB, body BLOB, "
        "PRIMARY KEY (number, seq)) WITHOUT ROWID"
    )
    try:
        yield db
    finally:
        db.close()


RECORD_BYTES = 190
"""What a step's record with a small result weighs; the raw limits write rows of this size."""


def raw_commits(folder: Path, count: int) -> float:
    """Give the seconds that one durable commit of one row takes, over `count` of them."""
    with raw_database(folder) as db:
        cursor = db.cursor()
        (start,) = cursor.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()
        row, digest = os.urandom(RECORD_BYTES), os.urandom(32)
        begun = time.perf_counter()
        for seq in range(start + 1, start + count + 1):
            cursor.execute("INSERT INTO records VALUES (1, ?, ?, ?)", (seq, digest, row))
        return (time.perf_counter() - begun) / count


def raw_rows_in_one_commit(folder: Path, count: int) -> float:
    """Give the rows a second that one durable commit of `count` rows reaches: the limit of group commit."""
    with raw_database(folder) as db:
        (start,) = db.execute("SELECT coalesce(max(seq), 0) FROM records").fetchone()
        digest = os.urandom(32)
        rows = [(1, seq, digest, os.urandom(RECORD_BYTES)) for seq in range(start + 1, start + count + 1)]
        begun = time.perf_counter()
        with db:
            db.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
        return count / (time.perf_counter() - begun)


REPOSITORY = Path(__file__).parent.parent

PEAKS = Path("/proc/self/status").exists()
"""Whether peak memory can be read here; where it cannot, its figures are left out."""

TELL_PEAK = """
import re
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read()).group(1))
"""
"""Ends a program whose peak memory is asked for. A child's `ru_maxrss` begins with its parent's: no use."""


def process(*arguments: str, folder: Path) -> tuple[float, str]:
    """Run Python in a process of its own; give its wall seconds and the last line that it printed."""
    begun = time.perf_counter()
    child = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=finding_us(), capture_output=True, text=True, check=True
    )
    wall = time.perf_counter() - begun
    return wall, child.stdout.rstrip().rpartition("\n")[2]


def finding_us() -> dict[str, str]:
    """Give the environment of a process that is to import `benchmarks`."""
    before = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": f"{REPOSITORY}{os.pathsep}{before}" if before else str(REPOSITORY)}


def peak_memory(*arguments: str, folder: Path) -> float:
    """Run a program that ends with `TELL_PEAK`; give its peak resident memory in bytes."""
    return int(process(*arguments, folder=folder)[1]) * 1024
