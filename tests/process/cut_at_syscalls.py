"""A process that is killed at its n-th system call on the store, for every n, and resumed.

`campaign` is what both the test and the report on reliability call. The cut comes on entering the call, so the n-th
one is not carried out and the one before it is. What a run comes to is judged by `judge_run` of the random kills, and
by what `judge_order` sees in the ledger alone.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

import regrow
from regrow.journal.chain import unseal_all
from regrow.journal.sqlite import SqliteStore

from .random_kills import Effect, judge_run

AGENTS = Path(__file__).with_name("system_call_agents.py")
MAIN, COMMITTER = "MainThread", "regrow-committer"
NOT_ATTACHED = 70
"""The program's exit code if strace could not do what it was asked to; so in `system_call_agents`."""
AT_ONCE = 2
_FIRST_CUT = "fsync:signal=SIGKILL:when=2"
"""What comes before a cut of a resumed process: halfway, at a blob's content."""
_MOST = 1000
"""Cuts in one series, after which the program is taken to never come through."""
_SECONDS = 60


class Series(msgspec.Struct, frozen=True):
    """The calls of one name that one thread makes; `name` is what strace calls them, a slash before a pattern.

    `strided` are those of which there are so many that a test takes only some of them. `resumed` cuts a second time: in
    the process that goes on after a first cut.
    """

    name: str
    thread: str = MAIN
    strided: bool = False
    resumed: bool = False

    @property
    def label(self):
        where = "committer" if self.thread == COMMITTER else "loop"
        return f"{self.name.strip('/^')} in the {where}{', resumed' if self.resumed else ''}"


SERIES = (
    Series("pwrite64", strided=True),
    Series("fdatasync"),
    Series("fsync"),
    Series("/^rename"),
    Series("/^unlink"),
    Series("ftruncate"),
    Series("fdatasync", COMMITTER),
    Series("pwrite64", COMMITTER),
    Series("pwrite64", strided=True, resumed=True),
    Series("fdatasync", strided=True, resumed=True),
)
"""All by which the store changes a disk: SQLite writes and syncs with pwrite64 and fdatasync, first its rollback
journal, then its write-ahead log and, at the end, the database; a blob is synced with fsync and renamed; `mkdir` and
`openat` leave only what is empty."""


class Figures(msgspec.Struct):
    """What a campaign came to. Each cut is a run of its own; `recorded` of them had a journal when they were cut."""

    stride: int
    cuts: Counter[str] = msgspec.field(default_factory=Counter)
    runs: int = 0
    recorded: int = 0
    effects: int = 0
    repeated: int = 0
    records: int = 0
    violations: list[str] = msgspec.field(default_factory=list)

    def describe(self):
        cuts = ", ".join(f"{count} at {label}" for label, count in self.cuts.items())
        every = "every one" if self.stride == 1 else f"of the many every {self.stride}th"
        return (
            f"{self.cuts.total()} cuts at system calls ({cuts}; {every}); {self.runs} runs, {self.recorded} with "
            f"results in their journals when cut; {self.effects} effects, {self.repeated} of them repeated; "
            f"{self.records} records; {len(self.violations)} violations"
        )


# -- one life of the program -------------------------------------------------------------------------------------------


def environment(strike="", thread=MAIN):
    """Give what a process needs to find regrow, and to be struck if it is to be: `strike` is in strace's words."""
    asked = {"STRIKE": strike, "STRIKE_THREAD": thread} if strike else {}
    return os.environ | {"PYTHONPATH": str(Path(regrow.__file__).parents[1])} | asked


def live(folder, store="sound", *, strike="", thread=MAIN):
    """Start the program in its folder, with a fault or without, and give what became of it."""
    return subprocess.run(
        [sys.executable, AGENTS, store],
        cwd=folder,
        env=environment(strike, thread),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def ledger(folder):
    """Give its lines in their order: what was executed, and the labels of the results that the code was given."""
    file = folder / "ledger"
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [msgspec.json.decode(line, type=Effect | str) for line in lines]


def journal(folder):
    """Give the records of the one run in the folder's store, with the chain; none if it was not made yet."""
    if not (folder / "home" / "journal.db").exists():
        return []
    store = SqliteStore(folder / "home")
    try:
        return [record for row in store.runs() for record in unseal_all(row.id, store.read(row.id))]
    finally:
        store.close()


def can_strike(folder):
    """Tell whether strace is here and may attach to a thread."""
    if shutil.which("strace") is None:
        return False
    return live(folder, strike="getppid:delay_enter=1").returncode != NOT_ATTACHED


# -- what must hold ----------------------------------------------------------------------------------------------------


def judge_order(lines):
    """Say which bodies were executed though the code had been given their results."""
    given = set()
    for line in lines:
        if isinstance(line, str):
            given.add(line)
        elif line.label in given:
            yield f"{line.label!r} was executed after its result was given to the code"


def judge_life(folder, undisturbed, ended):
    """Say what is wrong with a run that has been cut and resumed, beside one that has not been."""
    if ended.returncode:
        yield f"the resumed program ended with {ended.returncode}: {ended.stderr.strip()[-500:]}"
        return
    if ended.stdout != undisturbed.result:
        yield f"its result is {ended.stdout!r}"
    lines = ledger(folder)
    yield from judge_order(lines)
    try:
        records = journal(folder)
    except regrow.RegrowError as broken:
        yield f"{type(broken).__name__}: {broken}"
        return
    yield from judge_run(records, executions(lines), undisturbed.labels)


def executions(lines):
    return [line for line in lines if isinstance(line, Effect)]


class Undisturbed(msgspec.Struct, frozen=True):
    """What every run must come to: its result, the labels of what it executes, and how many executions those are."""

    result: str
    labels: frozenset[str]
    effects: int


def undisturbed_life(folder):
    folder.mkdir()
    ended = live(folder)
    assert ended.returncode == 0, ended.stderr
    done = executions(ledger(folder))
    return Undisturbed(ended.stdout, frozenset(one.label for one in done), len(done))


# -- the campaign ------------------------------------------------------------------------------------------------------


def campaign(folder, stride=1, *, series=SERIES, store="sound"):
    """Cut each series at its first call, its second one and so on, until the program comes through; resume and judge.

    Args:
        folder: is empty, and stays as the evidence: one folder for each cut.
        stride: how many calls lie between two cuts in a series of many; 1 cuts at every one.
        series: which calls are cut.
        store: what the program uses; see `system_call_agents.STORES`.
    """
    figures = Figures(stride)
    undisturbed = undisturbed_life(folder / "undisturbed")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for one, found in zip(
            series, pool.map(lambda one: _cut_all(folder, one, stride, store, undisturbed), series), strict=True
        ):
            figures.cuts[one.label] = found.cuts[one.label]
            for name in ("runs", "recorded", "effects", "repeated", "records", "violations"):
                setattr(figures, name, getattr(figures, name) + getattr(found, name))
    return figures


def _cut_all(folder, series, stride, store, undisturbed):
    figures = Figures(stride)
    for number in range(1, _MOST, stride if series.strided else 1):
        place = folder / f"{series.label} {number}"
        place.mkdir()
        lives = [live(place, store, strike=_FIRST_CUT)] if series.resumed else []
        lives.append(live(place, store, strike=f"{series.name}:signal=SIGKILL:when={number}", thread=series.thread))
        if lives[-1].returncode == 0:
            return figures
        if strange := [one for one in lives if one.returncode != -signal.SIGKILL]:
            problem = f"it ended with {strange[0].returncode}: {strange[0].stderr.strip()[-500:]}"
            figures.violations.append(f"{place.name}: {problem}")
            return figures
        figures.cuts[series.label] += 1
        figures.violations += [f"{place.name}: {text}" for text in _judge_cut(place, store, undisturbed, figures)]
    figures.violations.append(f"{series.label}: the program does not come through")
    return figures


def _judge_cut(place, store, undisturbed, figures):
    """Resume a run that was cut, count what there is to it, and say what is wrong."""
    figures.runs += 1
    before = ledger(place)
    ended = live(place, store)
    found = list(judge_life(place, undisturbed, ended))
    done = executions(ledger(place))
    figures.effects += len(done)
    figures.repeated += max(0, len(done) - undisturbed.effects)
    figures.recorded += any(isinstance(line, str) for line in before)
    figures.records += 0 if found else len(journal(place))
    return found
