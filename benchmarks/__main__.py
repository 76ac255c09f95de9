"""Measure everything, and print the table; ``--write`` puts it into docs/performance.md as well."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import apsw

import regrow
from benchmarks import agents, workers
from benchmarks.measure import (
    PEAKS,
    REPOSITORY,
    TELL_PEAK,
    Figure,
    best_of_pairs,
    median,
    peak_memory,
    process,
    raw_commits,
    raw_rows_in_one_commit,
    seconds,
)


def sequential(folder: Path) -> Iterator[Figure]:
    """A durable step beside a durable commit."""
    count = 2000
    ours, raw = best_of_pairs(
        lambda: seconds(lambda: regrow.run(agents.sequential, count, store=folder / "store")) / count,
        lambda: raw_commits(folder, count),
    )
    yield Figure("sequential durable step", ours * 1e6, "µs", raw * 1e6, "one raw WAL+FULL commit", "≤ 1.15")


def many_runs(folder: Path) -> Iterator[Figure]:
    """200 runs at once, each on 10 branches."""
    runs, branches, steps = 200, 10, 20
    total = runs * branches * steps

    async def all_at_once() -> float:
        handles = [await regrow.start(agents.concurrent, branches, steps, store=folder / "store") for _ in range(runs)]
        begun = time.perf_counter()
        for handle in handles:
            await handle.result()
        return time.perf_counter() - begun

    ours, raw = best_of_pairs(
        lambda: total / asyncio.run(all_at_once()), lambda: raw_rows_in_one_commit(folder, total), pairs=3
    )
    yield Figure("200 runs x 10 branches at once", ours, "steps/s", raw, "one commit of as many rows", "≥ 30,000")


def fan_out(folder: Path) -> Iterator[Figure]:
    """One run that makes 1,000 calls at once."""
    width = 1000
    ours, raw = best_of_pairs(
        lambda: width / seconds(lambda: regrow.run(agents.fan_out, width, store=folder / "store")),
        lambda: raw_rows_in_one_commit(folder, width),
    )
    yield Figure("fan-out of 1,000", ours, "steps/s", raw, "one commit of as many rows")


def replay(folder: Path) -> Iterator[Figure]:
    """A run of 5,000 steps taken up again."""
    steps = 5000

    def resume(attempt: int) -> float:
        agents.survive.clear()
        key = f"replay-{attempt}"
        with contextlib.suppress(KeyboardInterrupt), _quiet():
            regrow.run(agents.then_dies, steps, 0, 0, key=key, store=folder / "store")
        agents.survive.append(True)
        return seconds(lambda: regrow.run(agents.then_dies, steps, 0, 0, key=key, store=folder / "store"))

    figures = sorted(resume(attempt) for attempt in range(3))
    yield Figure("replay of 5,000 steps, per step", figures[1] / steps * 1e6, "µs", aim="≤ 10 µs")


def history(folder: Path) -> Iterator[Figure]:
    """A run with 1,000 records and 10 MB in blobs, reopened."""
    agents.survive.clear()
    with contextlib.suppress(KeyboardInterrupt), _quiet():
        regrow.run(agents.then_dies, 1000, 10, 1_000_000, key="history", store=folder / "store")
    agents.survive.append(True)
    ours = seconds(lambda: regrow.run(agents.then_dies, 1000, 10, 1_000_000, key="history", store=folder / "store"))
    raw = seconds(lambda: [path.read_bytes() for path in (folder / "store" / "blobs").glob("??/*")])
    yield Figure("1,000 records and 10 MB in blobs, resumed", ours * 1e3, "ms", raw * 1e3, "reading the blobs' files")


def large_results(folder: Path) -> Iterator[Figure]:
    """100 results of 1 MB."""
    count, size = 100, 1_000_000

    def raw() -> float:
        begun = time.perf_counter()
        for index in range(count):
            with (folder / f"raw-{time.time_ns()}-{index}").open("wb") as file:
                file.write(os.urandom(8) * (size // 8))
                file.flush()
                os.fsync(file.fileno())
        return (time.perf_counter() - begun) / count

    def ours() -> float:
        home = folder / f"large-{time.time_ns()}"
        return seconds(lambda: regrow.run(agents.large_results, count, size, store=home)) / count

    mine, limit = best_of_pairs(ours, raw, pairs=3)
    yield Figure("result of 1 MB", mine * 1e3, "ms", limit * 1e3, "write and fsync of 1 MB")


def cold_start(folder: Path) -> Iterator[Figure]:
    """A process from nothing to a result, beside a process that does nothing."""
    program = folder / "hello.py"
    program.write_text(
        "import regrow\n\n\n@regrow.task\ndef hello(name: str) -> str:\n    return f'hello {name}'\n\n\n"
        "print(regrow.run(hello, 'world'))\n",
        "utf-8",
    )
    bare = median(lambda: process("-c", "pass", folder=folder)[0], 9)
    asyncio_alone = median(lambda: process("-c", "import asyncio", folder=folder)[0], 9)
    importing = median(lambda: process("-c", "import regrow", folder=folder)[0], 9)
    yield Figure(
        "import regrow", (importing - bare) * 1e3, "ms", (asyncio_alone - bare) * 1e3, "import asyncio", "≤ 80 ms"
    )
    wall = median(lambda: process("hello.py", folder=folder)[0], 9)
    yield Figure("hello world, wall", wall * 1e3, "ms", bare * 1e3, "an empty Python process", "≤ 150 ms")
    if not PEAKS:
        return
    program.write_text(program.read_text("utf-8") + TELL_PEAK, "utf-8")
    memory = median(lambda: peak_memory("hello.py", folder=folder))
    empty = peak_memory("-c", TELL_PEAK, folder=folder)
    yield Figure("hello world, peak memory", memory / 1e6, "MB", empty / 1e6, "an empty Python process", "≤ 35 MB")


def growth(folder: Path) -> Iterator[Figure]:
    """What a step leaves in memory while its run goes on."""
    if not PEAKS:
        return
    program = folder / "grow.py"
    program.write_text(
        "import sys\nfrom benchmarks import agents\nimport regrow\n"
        "regrow.run(agents.sequential, int(sys.argv[1]))\n" + TELL_PEAK,
        "utf-8",
    )
    few, many = 2_000, 22_000
    small = peak_memory("grow.py", str(few), folder=folder)
    large = peak_memory("grow.py", str(many), folder=folder)
    yield Figure("memory per recorded step of a live run", (large - small) / (many - few), "bytes")


HOW_TO_READ = """\
Each figure stands beside the raw limit measured in the same run, in turn with it: machines differ and drift, ratios
less so. For times the ratio says how many times the limit is needed, for rates what share of it is reached. Where a
figure is the median of several measurements, the least and the most of them are in brackets.
"""

ALL = (cold_start, sequential, many_runs, fan_out, replay, history, large_results, growth, *workers.ALL)
"""Those of workers last: they load NumPy and pandas into this process, and leave a fork server running."""


def table(figures: list[Figure]) -> str:
    """Give the figures as a Markdown table."""
    lines = ["| what | measured | raw limit in the same run | ratio | aim |", "|---|---:|---:|---:|---|"]
    for one in figures:
        raw = f"{_number(one.raw)} {one.unit} ({one.limit})" if one.raw is not None else ""
        ratio = f"{one.ratio:.2f}" if one.ratio is not None else ""
        spread = f" ({_number(one.spread[0])} to {_number(one.spread[1])})" if one.spread is not None else ""
        lines.append(f"| {one.name} | {_number(one.value)} {one.unit}{spread} | {raw} | {ratio} | {one.aim} |")
    return "\n".join(lines)


def machine() -> str:
    """Say on what this was measured."""
    return (
        f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


def commit() -> str:
    """Name the commit that was measured."""
    found = subprocess.run(
        ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "an unknown commit"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def main() -> None:
    """Run what was asked for."""
    names = [one.__name__ for one in ALL]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("only", nargs="*", help=f"what to measure: {', '.join(names)} (all unless given)")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    chosen = parser.parse_args()
    if wrong := set(chosen.only) - set(names):
        parser.error(f"there is no {', '.join(sorted(wrong))}; there are {', '.join(names)}")
    figures: list[Figure] = []
    for one in ALL:
        if chosen.only and one.__name__ not in chosen.only:
            continue
        sys.stderr.write(f"measuring {one.__name__.replace('_', ' ')} …\n")
        with tempfile.TemporaryDirectory(prefix="regrow-bench-", dir=os.environ.get("REGROW_BENCH_DIR")) as folder:
            figures.extend(one(Path(folder)))
    sys.stdout.write(f"{machine()}\n\n{table(figures)}\n")
    if chosen.write:
        target = REPOSITORY / "docs" / "performance.md"
        when = f"on {datetime.now(UTC):%Y-%m-%d} at {commit()}: {machine()}"
        target.write_text(
            f"# Performance\n\nMeasured {when}, with `make bench`.\n{HOW_TO_READ}\n{table(figures)}\n", "utf-8"
        )


if __name__ == "__main__":
    main()
