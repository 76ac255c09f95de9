"""A trial: some tests run in a forked child of a process that has everything loaded, within a limit for each."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeVar

Verdict = Literal["passed", "failed", "timed out"]
Say = Callable[[str], None]
Key = TypeVar("Key")

_BEFORE_THE_FIRST = 60.0
"""Seconds until a child must have begun its first test."""
_TEST = "test "
_BROKEN = "broken "


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        verdict: of the tests, up to the first that failed.
        test: the one that failed or hung; None if none had begun.
        said: what else the child had to say, line by line.
    """

    verdict: Verdict
    test: str | None
    said: tuple[str, ...] = ()


class TrialBrokenError(Exception):
    """A child failed for a reason of its own, and not because of a test."""


class Trial:
    """A child that has been forked, and what it has said so far.

    It says which test it begins before it does; so a hang is judged by the limit of the test that hangs.
    """

    def __init__(self, body: Callable[[Say], bool], limits: Mapping[str, float]) -> None:
        """Fork, and run `body` in the child. It is handed a way to speak, and gives whether all went well.

        Args:
            body: runs the tests, and says `begins` of each.
            limits: seconds for each test, by its name.
        """
        self._limits = limits
        self._said = b""
        self._due = time.monotonic() + _BEFORE_THE_FIRST
        self._scratch = tempfile.mkdtemp(prefix="regrow-mutation-")
        self._reading, writing = os.pipe()
        os.set_blocking(self._reading, False)
        self._pid = os.fork()
        if self._pid == 0:
            _be_child(body, writing, self._scratch)
        os.close(writing)

    def fileno(self) -> int:
        """Give what becomes readable when the child has spoken."""
        return self._reading

    def step(self) -> Outcome | None:
        """Take in what the child has said; give how the trial ended, once it has."""
        gone = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        if self._listen():
            self._due = time.monotonic() + self._limits.get(self._begun() or "", _BEFORE_THE_FIRST)
        if not gone and time.monotonic() < self._due:
            return None
        status = self._end()
        lines = self._said.decode().splitlines()
        if broken := [line for line in lines if line.startswith(_BROKEN)]:
            raise TrialBrokenError(broken[0].removeprefix(_BROKEN).replace("\\n", "\n"))
        verdict: Verdict = "timed out" if not gone else "passed" if status == 0 else "failed"
        return Outcome(verdict, self._begun(), tuple(line for line in lines if not line.startswith(_TEST)))

    def _listen(self) -> bool:
        heard = False
        with contextlib.suppress(BlockingIOError):
            while news := os.read(self._reading, 2**16):
                self._said += news
                heard = True
        return heard

    def _begun(self) -> str | None:
        whole = self._said.decode().splitlines()
        return next((line.removeprefix(_TEST) for line in reversed(whole) if line.startswith(_TEST)), None)

    def _end(self) -> int:
        with contextlib.suppress(ProcessLookupError):  # it leads a group of its own: its children end with it
            os.killpg(self._pid, signal.SIGKILL)
        status = os.waitpid(self._pid, 0)[1]
        os.close(self._reading)
        shutil.rmtree(self._scratch, ignore_errors=True)
        return status


def begins(test: str) -> str:
    """Give what a child says before it begins a test."""
    return f"{_TEST}{test}"


def _be_child(body: Callable[[Say], bool], writing: int, scratch: str) -> None:
    """Run the body and leave, past everything that a Python process does at its end."""

    def say(line: str) -> None:
        left = f"{line}\n".encode()
        while left:
            left = left[os.write(writing, left) :]

    status = 1
    try:
        os.setsid()
        os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = tempfile.tempdir = scratch
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        status = 0 if body(say) else 1
    except BaseException:  # noqa: BLE001 - it is the parent that raises it
        say(_BROKEN + traceback.format_exc().replace("\n", "\\n"))
    finally:
        os._exit(status)


def hold(queue: deque[tuple[Key, Callable[[], Trial]]], at_once: int) -> Iterator[tuple[Key, Outcome]]:
    """Hold the trials of a queue, so many at once, and give outcomes as they come; more may be put in meanwhile."""
    running: dict[Trial, Key] = {}
    while queue or running:
        while queue and len(running) < at_once:
            key, begin = queue.popleft()
            running[begin()] = key
        select.select(list(running), [], [], 0.02)
        for trial, key in list(running.items()):
            outcome = trial.step()
            if outcome is not None:
                del running[trial]
                yield key, outcome
