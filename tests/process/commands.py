"""`regrow` as a user starts it, several processes at a time, on one store in the working directory."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import regrow

from . import stopping_agents as agents
from .observed import Journal, effects, wait_until

AGENTS = str(Path(agents.__file__))


class Command:
    """One command under way; what it says goes into a file, where it can be read meanwhile."""

    def __init__(self, number, arguments):
        self._said = Path(f"said-{number}")
        with self._said.open("w") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "regrow", *arguments, "--store", "home"],
                env=os.environ | {"PYTHONPATH": str(Path(regrow.__file__).parents[1])},
                stdout=said,
                stderr=said,
            )
        self.poll, self.kill, self.wait = self._process.poll, self._process.kill, self._process.wait

    @property
    def said(self):
        return self._said.read_text("utf-8")


def ended(command):
    """Wait for a command, and give its exit code and what it said."""
    code = command.wait(timeout=60)
    return code, command.said


def heard(command, text):
    """Wait until a command has said something."""
    wait_until(lambda: text in command.said)


def begun(what="begun", times=1):
    """Wait until so many effects begin like this."""
    wait_until(lambda: sum(line.startswith(what) for line in effects()) >= times)


def only(store):
    (row,) = store.runs()
    return Journal(store, row)


@contextlib.contextmanager
def commands():
    """Give a function that starts `regrow` on the store ``home``; what is left of that at the end is killed."""
    started = []

    def start(*arguments):
        started.append(Command(len(started), arguments))
        return started[-1]

    try:
        yield start
    finally:
        for one in started:
            one.kill()
            one.wait()
