"""A campaign of power cuts: drivers at work on a disk that forgets, and what is left at moments that nobody has chosen.

`campaign` is what both the test and the report on reliability call. It lets two drivers finish some runs on a
`VolatileDisk`, then makes of its log what a power cut would have left, at any of its entries, as often as asked: mounts
that, looks for everything that the code had been told, and lets each run go on to its result.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import msgspec

import regrow
from regrow.engine.invariants import check_run
from regrow.journal.chain import unseal_all
from regrow.journal.records import CallStarted, CallSucceeded
from regrow.journal.sqlite import SqliteStore

from . import power_cut_agents as agents
from .volatile_disk import FLUSH, TOLD, WRITE, Unmountable, VolatileDisk, cut, mount, unmount

DRIVERS = 2
RUNS = 9
"""Of each driver."""
_PATIENCE = 120


class Figures(msgspec.Struct):
    """What a campaign came to.

    Attributes:
        cuts: how many of them there were.
        writes: by how many of the disk's writes and flushes they could be placed.
        told: what the code had been told before a cut, summed over all cuts.
        lost: what of that was not in the journal after it, in words.
        records: those found after cuts, summed over all cuts.
        blobs: likewise, each of which was read.
        resumed: runs that a cut had interrupted, and that went on.
        violations: whatever else was wrong, in words.
    """

    seed: int
    cuts: int = 0
    writes: int = 0
    flushes: int = 0
    told: int = 0
    lost: list[str] = msgspec.field(default_factory=list)
    records: int = 0
    blobs: int = 0
    resumed: int = 0
    violations: list[str] = msgspec.field(default_factory=list)

    def describe(self):
        return (
            f"{self.cuts} power cuts among {self.writes} writes and {self.flushes} flushes; {self.told} "
            f"acknowledgements, {len(self.lost)} of them lost; {self.records} records and {self.blobs} blobs read; "
            f"{self.resumed} runs resumed; {len(self.violations)} violations"
        )


class Left(msgspec.Struct):
    """What a store has of its runs: the paths that are recorded as begun and as done, and which runs have ended."""

    begun: set[tuple[str, str]] = msgspec.field(default_factory=set)
    done: set[tuple[str, str]] = msgspec.field(default_factory=set)
    ended: set[str] = msgspec.field(default_factory=set)


# -- what must hold ----------------------------------------------------------------------------------------------------


def judge_lost(told, left):
    """Say what the code had been told, and is not there.

    Args:
        told: lines as (kind, run, path); see power_cut_agents.py.
        left: what the cut has left.
    """
    there = {"acknowledged": left.done, "begun": left.begun | left.done, "ended": {(run, "") for run in left.ended}}
    return [f"{kind}: {run} {path}" for kind, run, path in told if kind in there and (run, path) not in there[kind]]


def judge_repeated(executed, left):
    """Say what was executed after the cut though it had been recorded, or begun and must not be done twice."""
    return [
        f"{run} {path} was {kind} again"
        for kind, run, path in executed
        if (run, path) in (left.begun | left.done if kind == "begun" else left.done) and kind in {"begun", "executed"}
    ]


# -- the campaign ------------------------------------------------------------------------------------------------------


def campaign(folder, cuts, seed, *, store=agents.Store, heeds_flushes=True):
    """Cut the power of a disk that drivers work on, and judge what is left. `folder` is empty.

    The seed chooses the moments and what was in the disk's cache; what the drivers were at then is up to the machine.

    Args:
        store: what the drivers use; one of `power_cut_agents.STORES`, of which some leave out something.
        heeds_flushes: without, the disk takes no notice when it is asked to make something durable.

    Raises:
        Unmountable: not by this user, or not on this host.
    """
    figures, dice = Figures(seed), random.Random(seed)
    with VolatileDisk(folder) as disk:
        _work(disk, store)
        entries, blank = disk.log(), disk.blank
    figures.writes = sum(kind == WRITE for kind, _, _ in entries)
    figures.flushes = sum(kind == FLUSH for kind, _, _ in entries)
    first = next(number for number, (kind, _, _) in enumerate(entries) if kind == TOLD)
    for number in range(cuts):
        while_it_is_made = number % 6 == 5
        count = dice.randint(*((disk.mounted, first) if while_it_is_made else (first, len(entries))))
        place = folder / f"cut-{number}"
        place.mkdir()
        _judge(place, cut(blank, entries, count, dice, heeds_flushes=heeds_flushes), figures)
        figures.cuts += 1
    return figures


def _work(disk, store):
    drivers = [
        _start(disk.told, store, disk.root / "home", *range(first, DRIVERS * RUNS, DRIVERS)) for first in range(DRIVERS)
    ]
    try:
        for driver in drivers:
            _, problem = driver.communicate(timeout=_PATIENCE)
            assert driver.returncode == 0, problem
    finally:
        for driver in drivers:
            driver.kill()
            driver.communicate()


def _start(told, store, *arguments):
    return subprocess.Popen(
        [sys.executable, agents.__file__, store.__name__, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(Path(regrow.__file__).parents[1]), "TOLD": str(told)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _judge(place, cut, figures):
    told = _lines(cut.told.decode())
    figures.told += sum(kind != "executed" for kind, _, _ in told)
    image, root = place / "disk.img", place / "root"
    image.write_bytes(cut.image)
    root.mkdir()
    try:
        mount(image, root, "loop")
    except Unmountable as problem:
        figures.violations.append(f"after entry {cut.entries} the disk cannot be mounted: {problem}")
        return
    try:
        for text in _look(root / "home", place / "told", told, figures):
            figures.violations.append(f"after entry {cut.entries}: {text}")
    finally:
        unmount(root)
        image.unlink()


def _look(home, again, told, figures):
    """Say what is wrong with a store after a power cut, and after its runs have gone on from there."""
    left = Left()
    try:
        with contextlib.closing(SqliteStore(home)) as store:
            yield from _read(store, left, figures)
    except (regrow.RegrowError, OSError) as broken:
        yield f"the store cannot be read: {broken!r}"
    figures.lost += judge_lost(told, left)
    driver = _start(again, agents.Store, home)
    output, problem = driver.communicate(timeout=_PATIENCE)
    if driver.returncode:
        yield f"its runs did not go on: {problem}"
        return
    results = {run: result for run, result in _lines(output)}  # noqa: C416 - `dict` would hide what the lines hold
    with contextlib.closing(SqliteStore(home)) as store:
        for row in store.runs():
            if row.outcome != "succeeded" or results[row.id] != agents.expected(int(row.key)):
                yield f"run {row.key} {row.outcome} with {results[row.id]}"
            yield from (f"run {row.key}: {one.text}" for one in check_run(unseal_all(row.id, store.read(row.id))))
            figures.resumed += row.id not in left.ended
        yield from store.check()
    yield from judge_repeated(_lines(again.read_text() if again.exists() else ""), left)


def _read(store, left, figures):
    yield from store.check()
    for row in store.runs():
        records = unseal_all(row.id, store.read(row.id))  # with the chain
        figures.records += len(records)
        yield from (f"run {row.key}: record {one.seq}: {one.text}" for one in check_run(records))
        for event in (record.event for record in records):
            if isinstance(event, CallStarted):
                left.begun.add((row.id, event.call.path))
            elif isinstance(event, CallSucceeded):
                left.done.add((row.id, event.call.path))
        if row.outcome == "succeeded":
            left.ended.add(row.id)
    for digest in sorted(store.referenced_blobs()):
        store.blobs.get(digest)
        figures.blobs += 1


def _lines(text):
    return [json.loads(line) for line in text.splitlines()]
