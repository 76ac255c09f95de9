"""Programs that are started, killed, stopped and started again, as a user's would be."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from pathlib import Path

import pytest

import regrow
from regrow.engine.invariants import check_run
from regrow.journal.chain import unseal_all
from regrow.journal.sqlite import SqliteStore

from .commands import commands

# A ledger is a file outside of the journal to which each executed body appends a line: what really happened.
_PRELUDE = """
import asyncio, os, signal, sys, time
import regrow
from regrow.engine.invariants import check_run

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit it ignored

def effect(line):
    handle = os.open("ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(handle, f"{line}\\n".encode())
    os.close(handle)

def kill_nine():
    os.kill(os.getpid(), signal.SIGKILL)

def kill_nine_once(label):
    try:
        os.close(os.open(f"died-{label}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    kill_nine()

def wait_for_file(name):
    while not os.path.exists(name):
        time.sleep(0.01)

class ShortLeases:
    '''The SQLite store with leases so short that a test can wait for them.'''

    def __new__(cls, place, seconds):
        from regrow.journal.sqlite import SqliteStore

        class Store(SqliteStore):
            def claim(self, run, holder, **_):
                return super().claim(run, holder, seconds=seconds)

            def renew(self, holder, **_):
                return super().renew(holder, seconds=seconds)

        return Store(place)
"""


class Program:
    """A Python file, in a folder of its own, that is started as often as need be."""

    def __init__(self, folder, source):
        self.folder = folder
        self.home = folder / "home"
        self._file = folder / "program.py"
        self._file.write_text(_PRELUDE + textwrap.dedent(source), "utf-8")
        self._started = []
        self._stores = []

    def start(self, *arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, self._file, *map(str, arguments)],
            cwd=self.folder,
            env=os.environ
            | {"PYTHONPATH": str(Path(regrow.__file__).parents[1]), "REGROW_HOME": str(self.home)}
            | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def run(self, *arguments, **environment):
        """Start it, wait for its end, and give it with its output."""
        process = self.start(*arguments, **environment)
        process.out, process.err = process.communicate(timeout=60)
        return process

    def run_until_it_survives(self, *arguments, starts, **environment):
        """Start it again and again while it is killed; give the last one, which must be the `starts`-th."""
        for _ in range(starts - 1):
            process = self.run(*arguments, **environment)
            assert process.returncode == -signal.SIGKILL, process.err
        process = self.run(*arguments, **environment)
        assert process.returncode == 0, process.err
        return process

    def finish(self, process):
        process.out, process.err = process.communicate(timeout=60)
        return process

    def ledger(self):
        """Count the effects."""
        file = self.folder / "ledger"
        return Counter(file.read_text("utf-8").splitlines()) if file.exists() else Counter()

    def wait_for(self, line):
        self.wait_until(lambda: self.ledger()[line])

    def wait_until(self, condition, seconds=30.0):
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, "it did not come to be in time"
            for process in self._started:
                assert process.poll() in (None, 0, -signal.SIGKILL) or process.stderr.closed, process.stderr.read()
            time.sleep(0.01)

    def touch(self, name):
        (self.folder / name).touch()

    def store(self):
        store = SqliteStore(self.home)
        self._stores.append(store)
        return store

    def records(self):
        """Give the records of its one run, with the chain and the invariants checked from end to end."""
        store = self.store()
        (row,) = store.runs()
        records = unseal_all(row.id, store.read(row.id))
        assert check_run(records) == []
        return records

    def close(self):
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()
        for store in self._stores:
            store.close()


@pytest.fixture
def program(tmp_path):
    """Give a function that makes a `Program` of source text."""
    made = []

    def make(source):
        folder = tmp_path / f"program-{len(made)}"
        folder.mkdir()
        made.append(Program(folder, source))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def store():
    """The store in the working directory that `command` works on."""
    with contextlib.closing(SqliteStore("home")) as opened:
        yield opened


@pytest.fixture
def command(store):  # the store comes first, so that there is one to look at
    with commands() as start:
        yield start
