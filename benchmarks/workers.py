"""Workers: how soon one runs, and how soon one is back after its memory, or its driver, was gone.

What a worker does is timed by the worker, and what is around it by whoever called; both read the same clock.
"""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import regrow
from benchmarks.forks import raw_forks
from benchmarks.measure import PEAKS, Figure, figure, finding_us, process
from regrow.journal.chain import unseal_all
from regrow.journal.records import Event, Record, WorkerEnded, WorkerGrown, WorkerStarted
from regrow.journal.sqlite import SqliteStore

E = TypeVar("E", bound=Event)

_AGENTS = "benchmarks.worker_agents"
_RATE = 500_000_000
"""Bytes a second that a worker takes while the watchdog looks."""
_SAME_IMPORTS = "Python with the same imports"
_SCRIPT = f"import json, time\nimport regrow\nimport {_AGENTS} as agents\n"


def isolated_tasks(folder: Path) -> Iterator[Figure]:
    """Isolated calls, one after the other and two at a time, beside forks."""
    agents, store = _agents(), folder / "store"
    regrow.run(agents.one_by_one, 2, store=store)  # the fork server is warm from here on
    running: list[float] = []
    back: list[float] = []
    rates: list[float] = []
    forked: list[tuple[float, float]] = []
    forked_at_once: list[float] = []
    count = 20
    for _ in range(3):
        timed = regrow.run(agents.one_by_one, count, store=store)
        running += [one for one, _ in timed]
        back += [one for _, one in timed]
        forked += raw_forks(count)
        rates.append(count / _seconds(lambda: regrow.run(agents.two_at_a_time, count, store=store)))
        forked_at_once.append(2 / statistics.mean(waited for _, waited in raw_forks(count, at_once=2)))
    ran, waited = [one for one, _ in forked], [one for _, one in forked]
    one_by_one = [count / sum(back[at : at + count]) for at in range(0, len(back), count)]
    fork, wait = "fork", "fork and wait"
    yield figure("isolated task until it runs", running, "ms", raw=ran, limit=fork, aim="≤ 30 ms", scale=1e3)
    yield figure("isolated task until its result", back, "ms", raw=waited, limit=wait, scale=1e3)
    alone = [1 / statistics.mean(waited)]
    yield figure("isolated tasks, one by one", one_by_one, "tasks/s", raw=alone, limit=wait)
    yield figure("isolated tasks, two at a time", rates, "tasks/s", raw=forked_at_once, limit="two forks, then wait")


def first_isolated_task(folder: Path) -> Iterator[Figure]:
    """A process that has never had a worker."""
    program = f"{_SCRIPT}begun = time.time()\nregrow.run(agents.stamp)\nprint(time.time() - begun)\n"
    ours: list[float] = []
    raw: list[float] = []
    for _ in range(5):
        ours.append(float(process("-c", program, folder=folder)[1]))
        raw.append(_bare_start(folder))
    yield figure("first isolated task of a process", ours, "s", raw=raw, limit=_SAME_IMPORTS, aim="≤ 0.5 s")


def out_of_memory(folder: Path) -> Iterator[Figure]:
    """A worker that is killed for its memory, until the next attempt runs."""
    agents = _agents()
    whole, noticed, again = [], [], []
    for number in range(7):
        trace, store = agents.new_trace(folder / f"trace-{number}"), folder / f"store-{number}"
        regrow.run(agents.dies_once, trace, store=store)
        moments, records = agents.moments(trace), _records(store)
        last = max(one.time for one in moments if one.attempt == 1)
        next_one = min(one.time for one in moments if one.attempt == 2)
        died = _of(records, WorkerEnded)[0][0]
        whole.append(next_one - last)
        noticed.append(died - last)
        again.append(_of(records, WorkerStarted)[1][0] - died)
    # The first is left out: no fork server may have been warm.
    raw = [ran for ran, _ in raw_forks(7, replaced=agents.LIMIT)]
    name, beside = "out of memory until the next attempt runs", "kill, wait, fork"
    yield figure(name, whole[1:], "ms", raw=raw, limit=beside, aim="≤ 100 ms", scale=1e3)
    yield figure("… until that is known and on record", noticed[1:], "ms", scale=1e3)
    yield figure("… and from there until the next worker is", again[1:], "ms", scale=1e3)


def growth_in_place(folder: Path) -> Iterator[Figure]:
    """A worker that reaches its limit where the host can hold it, and is given more."""
    agents = _agents()
    gaps, held, usual = [], [], []
    for number in range(7):
        trace, store = agents.new_trace(folder / f"trace-{number}"), folder / f"store-{number}"
        regrow.run(agents.grows, trace, store=store)
        grown = _of(_records(store), WorkerGrown)
        if not grown:
            sys.stderr.write("this host does not hold workers at their limit: no figure for growth in place\n")
            return
        recorded, event = grown[0]
        stood_still = recorded - event.held
        steps = list(pairwise(one.time for one in agents.moments(trace)))
        gaps += [later - one for one, later in steps if one <= stood_still < later]
        usual.append(statistics.median(later - one for one, later in steps))
        held.append(event.held)
    name, beside = "growth in place, as the worker sees it", "the same megabyte elsewhere"
    yield figure(name, gaps, "ms", raw=usual, limit=beside, aim="≤ 20 ms", scale=1e3)
    yield figure("… as its driver sees it", held, "ms", scale=1e3)


def watchdog(folder: Path) -> Iterator[Figure]:
    """Workers whose memory is watched from outside, on a host without cgroups."""
    if not PEAKS:
        return
    agents = _agents()
    traces = [agents.new_trace(folder / f"trace-{number}") for number in range(6)]
    ends = _without_cgroups(f"agents.overshooting, {traces}, {_RATE}", folder)
    if ends != ["OutOfMemory"] * len(traces):
        raise RuntimeError(f"workers that went past their limit ended by {ends}")
    over: list[float] = []
    for trace in traces:
        first, *_, last = agents.moments(trace)
        over.append(last.peak - first.peak - 4 * agents.LIMIT)
    two = tuple(agents.new_trace(folder / name) for name in ("calm", "creeping"))
    busy, idle = _without_cgroups(f"agents.watching, {two}, 3", folder)
    yield figure("watchdog's overshoot at 500 MB/s", over, "MB", aim="≤ 10 MB", scale=1e-6)
    yield figure("driver that watches two workers", busy, "% of a core", raw=idle, limit="with none", scale=100)


def killed_driver(folder: Path) -> Iterator[Figure]:
    """A driver that is killed with SIGKILL and begun again."""
    step, worker, raw = [], [], []
    for number in range(3):
        place = folder / f"killed-{number}"
        place.mkdir()
        program = f"{_SCRIPT}print(json.dumps(regrow.run(agents.killed, {str(place)!r}, key='killed')))\n"
        with subprocess.Popen([sys.executable, "-c", program], cwd=place, env=finding_us()) as driver:
            while not (place / "ready").exists():
                if driver.poll() is not None:
                    raise RuntimeError(f"the driver that was to be killed has ended by itself: {driver.returncode}")
                time.sleep(0.01)
            died = time.time()
            driver.kill()
        first_step, first_worker = json.loads(process("-c", program, folder=place)[1])
        step.append(first_step - died)
        worker.append(first_worker - died)
        raw.append(_bare_start(folder))
    yield figure("kill -9 of a driver until the first new step", step, "s", raw=raw, limit=_SAME_IMPORTS)
    yield figure("… until the first new worker runs", worker, "s", raw=raw, limit=_SAME_IMPORTS)


ALL = (isolated_tasks, first_isolated_task, out_of_memory, growth_in_place, watchdog, killed_driver)


def _agents() -> Any:
    """Load them only now: NumPy and pandas are not to be in the process whose other figures are taken before."""
    return importlib.import_module(_AGENTS)


def _seconds(function: Callable[[], object]) -> float:
    begun = time.time()
    function()
    return time.time() - begun


def _bare_start(folder: Path) -> float:
    """Give the seconds until a process has loaded what the agents load."""
    begun = time.time()
    return float(process("-c", f"{_SCRIPT}print(time.time())", folder=folder)[1]) - begun


def _records(store: Path) -> list[Record]:
    """Read the latest run of a store."""
    opened = SqliteStore(store)
    try:
        (run,) = opened.runs(limit=1)
        return unseal_all(run.id, opened.read(run.id))
    finally:
        opened.close()


def _of(records: list[Record], kind: type[E]) -> list[tuple[float, E]]:
    return [(record.time, record.event) for record in records if isinstance(record.event, kind)]


def _without_cgroups(call: str, folder: Path) -> Any:
    """Run a task in a process that finds no cgroups, so that only the watchdog keeps its workers' limits."""
    program = f"""{_SCRIPT}
from regrow.authoring import home
from regrow.executors.process import ProcessExecutor
with home.use_executor(ProcessExecutor("regrow.authoring.outpost", detect=lambda: None)):
    print(json.dumps(regrow.run({call}, store="store")))
"""
    found = json.loads(process("-c", program, folder=folder)[1])
    for _, started in _of(_records(folder / "store"), WorkerStarted):
        if "watchdog" not in started.enforced_by:
            raise RuntimeError(f"what was measured is not the watchdog, but {started.enforced_by[0]}")
    return found
