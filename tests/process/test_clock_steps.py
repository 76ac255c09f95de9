"""The machine's clock is set, or runs fast or slow, under runs that sleep, wait, and hold leases.

Only the wall clock is changed (by libfaketime, told to leave the monotonic ones alone), as a person or `ntpd` does. A
rate is many small steps; libfaketime's own rates would change timeouts too.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import apsw
import pytest

import regrow
from regrow.engine.invariants import check_run
from regrow.journal.chain import unseal_all
from regrow.journal.records import DriverOpened
from regrow.journal.sqlite import SqliteStore

from . import clock_agents as agents
from .observed import wait_until

HOUR = 3600.0
CLOCKS = """
import apsw, json, time
(at,), = apsw.Connection(":memory:").execute("SELECT unixepoch('subsec')").fetchall()
print(json.dumps([time.time(), at, time.monotonic()]))
"""


class Machine:
    """A folder, the processes that are started in it, and their clock."""

    def __init__(self, folder, library):
        self._folder = folder
        self._library = library
        self._processes = []
        self._stores = []
        self.set_clock(0)

    def set_clock(self, ahead):
        """Set the clock to so many seconds ahead of what it was at first."""
        (self._folder / ".clock").write_text(f"{ahead:+f}\n")
        (self._folder / ".clock").rename(self._folder / "clock")

    def start(self, task, name="holder"):
        process = self._start(agents.__file__, task.name, name)
        self._processes.append(process)
        return process

    def clocks(self, ahead):
        """Give what the clocks of a process show: Python's, SQLite's, and the one that cannot be set."""
        self.set_clock(ahead)
        out, err = self._start("-c", CLOCKS).communicate(timeout=30)
        assert not err
        return json.loads(out)

    def _start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self._folder,
            env=os.environ
            | {
                "PYTHONPATH": str(Path(regrow.__file__).parents[1]),
                "LD_PRELOAD": self._library,
                "FAKETIME_TIMESTAMP_FILE": str(self._folder / "clock"),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def said(self, what, name="holder"):
        """Give when a process said something, by the clock that is not changed."""
        file = self._folder / "ledger"
        lines = map(json.loads, file.read_text().splitlines() if file.exists() else ())
        return [moment for who, said, moment in lines if (who, said) == (name, what)]

    def wait_until(self, condition, seconds=30.0):
        """Wait for what the processes do, as long as none of them has failed."""

        def found():
            for process in self._processes:
                assert not process.poll(), process.communicate()
            return condition()

        return wait_until(found, seconds)

    def touch(self, name):
        (self._folder / name).touch()

    def records(self):
        if not (self._folder / "home" / "journal.db").exists():
            return []
        if not self._stores:
            self._stores.append(SqliteStore(self._folder / "home"))
        (store,) = self._stores
        return [record for row in store.runs() for record in unseal_all(row.id, store.read(row.id))]

    def events(self, kind):
        return [record.event for record in self.records() if isinstance(record.event, kind)]

    def lease(self):
        """Give until when the run's lease lasts."""
        with contextlib.closing(apsw.Connection(str(self._folder / "home" / "journal.db"))) as db:
            return db.execute("SELECT until FROM leases").fetchall()

    def close(self):
        for process in self._processes:
            process.kill()
            process.communicate()
        for store in self._stores:
            store.close()


@pytest.fixture
def machine(tmp_path):
    faketime = shutil.which("faketime")
    if sys.platform != "linux" or faketime is None:
        pytest.skip("there is no faketime here (Debian's package `faketime`)")
    # The library lies elsewhere on each machine; the command knows where.
    told = subprocess.run([faketime, "-m", "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
    library = next(line.partition("=")[2] for line in told.splitlines() if line.startswith("LD_PRELOAD="))
    place = tmp_path / "machine"
    place.mkdir()
    machine = Machine(place, library)
    yield machine
    machine.close()


@contextlib.contextmanager
def running_at(machine, rate):
    """Let the machine's clock run at a rate until the end of the block."""
    began, stop = time.monotonic(), threading.Event()

    def turn():
        while not stop.wait(0.01):
            machine.set_clock((time.monotonic() - began) * (rate - 1))

    thread = threading.Thread(target=turn)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def set_once(machine, ahead):
    machine.set_clock(ahead)
    yield


CHANGES = {
    "an hour on": lambda machine: set_once(machine, HOUR),
    "an hour back": lambda machine: set_once(machine, -HOUR),
    "three times as fast": lambda machine: running_at(machine, 3.0),
    "half as fast": lambda machine: running_at(machine, 0.5),
}

WAITS = (agents.sleeper, agents.impatient, agents.giving_up, agents.walker)


@pytest.mark.parametrize("task", WAITS, ids=lambda task: task.name)
@pytest.mark.parametrize("change", CHANGES)
def test_what_waits_does_so_to_its_end_and_no_longer_whatever_the_clock_does(machine, task, change):
    process = machine.start(task)
    machine.wait_until(lambda: machine.said("waits"))
    with CHANGES[change](machine):
        machine.wait_until(lambda: machine.said("ended"), seconds=5.0 if change == "an hour back" else 30.0)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out
    assert machine.said("ended")[0] - machine.said("began")[0] >= agents.PATIENCE
    assert check_run(machine.records()) == []


@pytest.mark.promise("P3", "P8")
@pytest.mark.parametrize("change", CHANGES)
def test_no_lease_is_taken_from_a_holder_that_lives_whatever_the_clock_does(machine, change):
    holder, rival = contest(machine, change)
    assert holder == rival == "[0, 1, 2]\n"
    assert machine.said("lost") == machine.said("lost", "rival") == []
    assert len(machine.events(DriverOpened)) == 1


@pytest.mark.promise("P2", "P3")
def test_a_run_that_is_taken_over_when_the_clock_is_set_still_has_one_writer_and_one_result(machine):
    holder, rival = contest(machine, "an hour on")
    assert holder == rival == "[0, 1, 2]\n"
    assert check_run(machine.records()) == []
    for number in (0, 2):
        assert len(machine.said(f"work {number}") + machine.said(f"work {number}", "rival")) == 1
    # What was under way when its driver lost the lease has no record, and is executed again.
    assert len(machine.said("work 1") + machine.said("work 1", "rival")) == len(machine.events(DriverOpened))


def contest(machine, change):
    """Change the clock while one process drives the run and another one wants it, and give what both print."""
    holder = machine.start(agents.worker)
    machine.wait_until(lambda: machine.said("work 1"))
    rival = machine.start(agents.worker, "rival")
    machine.wait_until(lambda: machine.said("refused", "rival"))
    # Just renewed: until the next heartbeat there is all the time in the world for the rival.
    renewed(machine)
    with CHANGES[change](machine):
        renewed(machine)
        before = len(machine.said("refused", "rival"))
        machine.wait_until(
            lambda: len(machine.said("refused", "rival")) > before + 2 or machine.said("work 1", "rival")
        )
        machine.touch("go")
        ended = [process.communicate(timeout=30) for process in (holder, rival)]
    assert [process.returncode for process in (holder, rival)] == [0, 0], ended
    return [out for out, _ in ended]


def renewed(machine):
    """Wait for the next heartbeat of the run's holder."""
    lease = machine.lease()
    machine.wait_until(lambda: machine.lease() != lease)


# -- control: that the clock is changed at all -------------------------------------------------------------------------


@pytest.mark.control
def test_python_and_sqlite_see_the_changed_clock_and_the_monotonic_one_is_left_alone(machine):
    wall, of_sqlite, monotonic = zip(*(machine.clocks(ahead) for ahead in (0, HOUR, -HOUR)), strict=True)
    for first, later, back in (wall, of_sqlite):
        assert HOUR <= later - first < 2 * HOUR
        assert -HOUR <= back - first < 0
    assert 0 < monotonic[1] - monotonic[0] < HOUR / 2
    assert 0 < monotonic[2] - monotonic[1] < HOUR / 2
