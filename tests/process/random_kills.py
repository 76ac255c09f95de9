"""A campaign of kills: drivers, their fork servers and their workers, at moments that nobody has chosen.

`campaign` is what both the test and the report on reliability call. What it finds is judged by `judge_run` and
`judge_service`, which see records and lines and nothing else, so that they can be tried out on made-up ones.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec

import regrow
from regrow.engine.invariants import check_run
from regrow.executors.limits import cgroups
from regrow.journal.chain import unseal_all
from regrow.journal.records import AttemptFailed, CallSucceeded, DriverOpened
from regrow.journal.sqlite import SqliteStore
from regrow.values.ids import idempotency_key

from . import random_kill_agents as agents

DRIVERS = 3
AT_ONCE = 5
"""How many unfinished runs there are: more than drivers, so that each always finds one."""
VICTIMS = ("driver", "worker", "server")
_WEIGHTS = (3, 9, 1)
"""A driver that imports has no worker to be killed, so these are asked for more often than they are hit."""
_PAUSE = (0.02, 0.4)
"""Between two kills, in seconds: from before a driver has imported anything until it has finished a run or two."""
_FINISH_SECONDS = 120.0
_IDLE_SECONDS = 60.0
"""Nothing left to kill for so long: what was to be killed is stuck."""


class Effect(msgspec.Struct, frozen=True, array_like=True):
    """One line of the ledger: a step's body was executed."""

    at: float
    run: str
    path: str
    key: str
    label: str


class Kill(msgspec.Struct, frozen=True):
    """One kill, and the run or the call (by its idempotency key) that it cut, as far as that could be seen."""

    at: float
    victim: str
    run: str = ""
    call: str = ""

    def cuts(self, effect):
        """Tell whether an effect belongs to what was cut."""
        if not self.call:
            return effect.run == self.run
        return idempotency_key(effect.run, effect.path.rpartition("/")[0]) == self.call


class Figures(msgspec.Struct):
    """What a campaign came to.

    Seconds of recovery are from a kill to the next effect of what was killed, by what that was.
    """

    seed: int
    kills: Counter[str] = msgspec.field(default_factory=Counter)
    runs: int = 0
    takeovers: int = 0
    effects: int = 0
    repeated: int = 0
    records: int = 0
    recoveries: dict[str, list[float]] = msgspec.field(default_factory=dict)
    violations: list[str] = msgspec.field(default_factory=list)

    def recovery(self, share):
        """Give the recovery time that this share of all kills does not pass; None if nothing was seen to recover."""
        ordered = sorted(seconds for found in self.recoveries.values() for seconds in found)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    def describe(self):
        kills = ", ".join(f"{self.kills[victim]} of {victim}s" for victim in VICTIMS)
        seen = sum(map(len, self.recoveries.values()))
        times = ", ".join(f"p{share * 100:.0f} {self.recovery(share) or 0:.2f} s" for share in (0.5, 0.99))
        return (
            f"{self.kills.total()} kills ({kills}); {self.runs} runs, taken over {self.takeovers} times; "
            f"{self.effects} effects, {self.repeated} of them repeated; {self.records} records; "
            f"from kill to first new step: {times} (of {seen}); {len(self.violations)} violations"
        )


# -- what must hold ----------------------------------------------------------------------------------------------------


def judge_run(records, effects, labels):
    """Say what is wrong with one run: its records, and the effects that its code really had.

    A step may be repeated once for each death that could have come between its effect and its record: of a driver, or
    of the worker that it was in.
    """
    wrong = [f"record {one.seq}: {one.rule}: {one.text}" for one in check_run(records)]
    events = [record.event for record in records]
    recorded = {record.event.call.path: record.time for record in records if isinstance(record.event, CallSucceeded)}
    reopened = sum(isinstance(event, DriverOpened) for event in events) - 1
    failed = [event.call.path for event in events if isinstance(event, AttemptFailed)]
    counts, keys = Counter(one.path for one in effects), {}
    for label in sorted(labels ^ {one.label for one in effects}):
        wrong.append(f"{label!r} was {'never done' if label in labels else 'done unasked'}")
    for one in effects:
        if one.at > recorded.get(one.path, 0.0):
            wrong.append(f"{one.path} was executed after its result was recorded, or was never recorded")
        if keys.setdefault(one.path, one.key) != one.key or keys[one.path] in {
            key for path, key in keys.items() if path != one.path
        }:
            wrong.append(f"{one.path} has not one idempotency key of its own")
    for path, count in counts.items():
        most = 1 + reopened + sum(path == call or path.startswith(f"{call}/") for call in failed)
        if count > most:
            wrong.append(f"{path} was executed {count} times; its journal allows {most}")
    return wrong


def judge_service(asked, book):
    """Say what is wrong with a service's book of keys, given the keys that it was to be asked with."""
    times = Counter(book)
    wrong = [f"the service did {key} {times[key]} times" for key in asked if times[key] != 1]
    return wrong + [f"the service did {key}, which no step has" for key in times if key not in asked]


# -- the campaign ------------------------------------------------------------------------------------------------------


def campaign(folder, seconds, seed, kills=0):
    """Kill for a while and until there were so many kills, let all finish undisturbed, and judge.

    `folder` is empty and stays as the evidence.

    The seed chooses victims and pauses. What these meet is up to the machine, so the same seed is the same hardship and
    not the same history.
    """
    return _Campaign(folder, seed).run(seconds, kills)


class _Campaign:
    def __init__(self, folder, seed):
        self._folder = folder
        self._dice = random.Random(seed)
        self._drivers = []
        self._began = time.time()
        self._seen = set()  # of every process below a driver: its id, and when it began
        self._owners = set()
        self._kills = []
        self.figures = Figures(seed)
        (folder / "results").mkdir()
        (folder / "workers").mkdir()
        self._want(AT_ONCE)
        self._store = SqliteStore(folder / "home")

    def run(self, seconds, kills):
        limit = time.monotonic() + seconds
        try:
            self._drivers = [self._start() for _ in range(DRIVERS)]
            while time.monotonic() < limit or self._is_short_of(kills):
                time.sleep(self._dice.uniform(*_PAUSE))
                self._strike(self._dice.choices(VICTIMS, _WEIGHTS)[0])
                self._want(sum(row.outcome is not None for row in self._store.runs()) + AT_ONCE)
            self._finish()
            self._judge()
        finally:
            for driver in self._drivers:
                driver.kill()
                driver.wait()
            self._store.close()
        return self.figures

    def _is_short_of(self, kills):
        if self.figures.kills.total() >= kills:
            return False
        idle = time.time() - max((kill.at for kill in self._kills), default=self._began)
        if idle > _IDLE_SECONDS:
            self._complain(f"after {self.figures.kills.total()} kills there was nothing to kill for {idle:.0f} s")
        return idle <= _IDLE_SECONDS

    def _want(self, number):
        (self._folder / ".wanted").write_text(str(number))
        (self._folder / ".wanted").rename(self._folder / "wanted")

    def _start(self):
        with (self._folder / "stderr").open("ab") as log:
            driver = subprocess.Popen(
                [sys.executable, agents.__file__, str(self._dice.getrandbits(32))],
                cwd=self._folder,
                env=os.environ
                | {"PYTHONPATH": str(Path(regrow.__file__).parents[1]), "REGROW_HOME": str(self._folder / "home")},
                stdout=log,
                stderr=log,
            )
        self._owners.add((driver.pid, agents.born(driver.pid)))
        return driver

    def _strike(self, victim):
        place = self._dice.randrange(DRIVERS)
        driver = self._drivers[place]
        servers, workers = _below(driver.pid)
        self._seen.update((*servers, *workers))
        now = time.time()
        if victim == "driver":
            kill = Kill(now, victim, run=self._driven_by(driver.pid))
            if driver.poll() is None:
                driver.kill()
                self._count(kill)
            self._revive(place)
        elif victim == "server" and servers:
            kill = Kill(now, victim, run=self._driven_by(driver.pid))
            if _kill(*self._dice.choice(servers)):
                self._count(kill)
        elif victim == "worker" and workers:
            pid, start = self._dice.choice(workers)
            kill = Kill(now, victim, call=self._call_of(pid, start))
            if _kill(pid, start):
                self._count(kill)

    def _driven_by(self, driver):
        return next((row.id for row in self._store.runs() if row.held and f" pid {driver} " in row.holder), "")

    def _count(self, kill):
        self._kills.append(kill)
        self.figures.kills[kill.victim] += 1

    def _revive(self, place):
        driver = self._drivers[place]
        if driver.wait() != -signal.SIGKILL:
            self._complain(f"a driver ended by itself with {driver.returncode}; see {self._folder / 'stderr'}")
        self._drivers[place] = self._start()

    def _call_of(self, pid, start):
        return next((file.parent.name for file in self._folder.glob(f"workers/*/{pid}-{start}")), "")

    def _finish(self):
        (self._folder / "finish").touch()
        limit = time.monotonic() + _FINISH_SECONDS
        while (going := [driver for driver in self._drivers if driver.poll() is None]) and time.monotonic() < limit:
            for driver in going:
                self._seen.update(one for level in _below(driver.pid) for one in level)
            time.sleep(0.1)
        if going:
            self._complain(f"{len(going)} drivers had not finished {_FINISH_SECONDS:.0f} s after the last kill")
        if ended := [driver.returncode for driver in self._drivers if driver.poll()]:
            self._complain(f"undisturbed drivers ended with {ended}; see {self._folder / 'stderr'}")

    def _complain(self, text):
        self.figures.violations.append(text)

    # -- afterwards

    def _judge(self):
        effects = [msgspec.json.decode(line, type=Effect) for line in _lines(self._folder / "ledger")]
        book = [msgspec.json.decode(line) for line in _lines(self._folder / "book")]
        by_run = {}
        for one in effects:
            by_run.setdefault(one.run, []).append(one)
        rows = self._store.runs()
        self.figures.runs, self.figures.effects = len(rows), len(effects)
        self.figures.repeated = len(effects) - len({(one.run, one.path) for one in effects})
        for row in rows:
            for text in self._of_run(row, by_run.pop(row.id, []), dict(book)):
                self._complain(f"run {row.key}: {text}")
        if by_run:
            self._complain(f"effects of runs that the store has lost: {sorted(by_run)}")
        if len(rows) != len({row.key for row in rows}) or len(rows) != int((self._folder / "wanted").read_text()):
            self._complain(f"{len(rows)} runs are not those that were wanted")
        asked = {one.key for one in effects if one.label.endswith("charge")}
        self.figures.violations += judge_service(asked, [key for key, _ in book])
        for line in _lines(self._folder / "overlaps"):
            self._complain("two workers in one call, {}: {} and {}".format(*json.loads(line)))
        self._look_for_leftovers()
        self._measure_recoveries(effects)

    def _of_run(self, row, effects, receipts):
        try:
            records = unseal_all(row.id, self._store.read(row.id))  # with the chain
        except regrow.RegrowError as broken:
            yield f"{type(broken).__name__}: {broken}"
            return
        self.figures.records += len(records)
        self.figures.takeovers += sum(isinstance(record.event, DriverOpened) for record in records) - 1
        number = int(row.key.removeprefix("run-"))
        yield from judge_run(records, effects, agents.expected_labels(number))
        if row.outcome != "succeeded":
            yield f"it is {row.status}"
        receipt = next((receipts.get(one.key) for one in effects if one.label == f"{number} charge"), None)
        result = self._folder / "results" / str(number)
        if not result.exists() or json.loads(result.read_text()) != agents.expected_result(number, receipt):
            yield f"its result is {result.read_text() if result.exists() else 'missing'}"

    def _look_for_leftovers(self):
        begun = [file.name.partition("-") for file in self._folder.glob("workers/*/*")]
        self._seen.update((int(pid), int(start)) for pid, _, start in begun)
        limit = time.monotonic() + 10.0
        while (left := [pid for pid, start in self._seen if agents.born(pid) == start]) and (time.monotonic() < limit):
            time.sleep(0.05)
        if left:
            self._complain(f"processes {left} are left over")
        groups = cgroups.detect()
        if groups is not None:
            groups.sweep()
        ours = tuple(f"regrow-{pid}-{start}-" for pid, start in self._owners)
        names = {name for _, below, _ in os.walk("/sys/fs/cgroup") for name in below if name.startswith(ours)}
        if names:
            self._complain(f"groups {sorted(names)} are left over")

    def _measure_recoveries(self, effects):
        """Find the first effect after each kill, of the run or the call that was cut, whatever was killed meanwhile.

        A kill has none where nothing was left to do, or where it struck what was not at work yet.
        """
        for kill in self._kills:
            later = [one.at for one in effects if one.at > kill.at and kill.cuts(one)]
            if later:
                self.figures.recoveries.setdefault(kill.victim, []).append(min(later) - kill.at)


def _below(driver):
    """Give a driver's children, which are fork servers, and theirs, which are workers: ids, and when they began."""
    children = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] not in "ZX":
            children.setdefault(int(fields[1]), []).append((int(stat.parent.name), int(fields[19])))
    servers = children.get(driver, [])
    return sorted(servers), sorted(worker for pid, _ in servers for worker in children.get(pid, []))


def _kill(pid, start):
    """Kill this process and no other that was given its id since; tell whether it was still there."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if agents.born(pid) != start:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _lines(file):
    return file.read_bytes().splitlines() if file.exists() else []
