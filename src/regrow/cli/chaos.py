"""What the demo does to its own workers, from outside: one staged preemption, and with ``--chaos`` kills by chance.

It uses nothing but what the journal says of the workers and the signals that anybody may send. So what follows is what
would follow if a spot instance were taken away, or the kernel or an operator killed them.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final, Self

from regrow.engine.news import Replayed
from regrow.journal.records import CheckpointSaved, Record, WorkerEnded, WorkerStarted

Say = Callable[[str], None]

_SECONDS: Final = 2.0
"""Between two kills, on average."""
_MOST: Final = 10
"""Kills in one run."""
_MOST_OF_ONE: Final = 3
"""Kills of one call's workers. It may lose twenty before regrow gives it up; but what takes longer than the time
between two kills would be all that is ever killed."""
_CHECKPOINTS: Final = 2
"""After so many the winner's worker is preempted: there is something to go on from, and something left to do."""


class Workers:
    """The workers that are alive, from a run's records. This is an observer of its driver."""

    def __init__(self) -> None:
        """Know of none."""
        self._lock = threading.Lock()
        self._handles: dict[tuple[str, int], _Handle] = {}

    def __call__(self, news: Record | Replayed) -> None:
        """Take a record into account."""
        if isinstance(news, Replayed):
            return
        match news.event:
            case WorkerStarted(path=path, attempt=attempt, pid=pid):
                with contextlib.suppress(OSError), self._lock:  # it may be gone already
                    self._handles[path, attempt] = _Handle(pid)
            case WorkerEnded(path=path, attempt=attempt):
                with self._lock:
                    handle = self._handles.pop((path, attempt), None)
                if handle is not None:
                    handle.close()
            case _:
                pass

    @property
    def alive(self) -> list[tuple[str, int]]:
        """The calls and attempts that they run, in order."""
        with self._lock:
            return sorted(self._handles)

    def send(self, path: str, attempt: int, number: signal.Signals) -> int | None:
        """Send a signal to the worker of an attempt, and give its pid; None if it is gone."""
        with self._lock:
            handle = self._handles.get((path, attempt))
            if handle is None or not handle.send(number):
                return None
            if number is signal.SIGKILL:  # it is as good as gone, and must not be counted twice
                del self._handles[path, attempt]
                handle.close()
            return handle.pid


class _Handle:
    """A process, and no other one that has its number later."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None

    def send(self, number: signal.Signals) -> bool:
        try:
            if self._fd is not None:
                signal.pidfd_send_signal(self._fd, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)


class SpotNotice:
    """Preempts the worker that trains the winner, once in a run. This is an observer of its driver."""

    def __init__(self, workers: Workers, task: str, say: Say) -> None:
        """Wait for the second checkpoint of `task`."""
        self._workers = workers
        self._task = task
        self._say = say

    def __call__(self, news: Record | Replayed) -> None:
        """Take a record into account."""
        if isinstance(news, Replayed) or not isinstance(news.event, CheckpointSaved):
            return
        event = news.event
        if event.path.rpartition("/")[2] != f"{self._task}#1" or event.number != _CHECKPOINTS:
            return
        pid = self._workers.send(event.path, event.attempt, signal.SIGTERM)
        if pid is not None:
            self._say(
                f"staged: SIGTERM to process {pid}, which trains the winner, as a spot instance would get it; "
                f"it has saved {event.number} epochs"
            )


class Chaos:
    """Kills workers by chance while it is entered."""

    def __init__(self, workers: Workers, seed: int, say: Say) -> None:
        """Choose among `workers`, by a seed."""
        self.killed = 0
        self._workers = workers
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._say = say
        self._of: Counter[str] = Counter()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill_some, name="regrow-chaos", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the workers alone from now on."""
        self._over.set()
        self._thread.join()

    def _kill_some(self) -> None:
        while self.killed < _MOST and not self._over.wait(self._random.uniform(0.5, 1.5) * _SECONDS):
            alive = [(path, attempt) for path, attempt in self._workers.alive if self._of[path] < _MOST_OF_ONE]
            if not alive:
                continue
            path, attempt = self._random.choice(alive)
            pid = self._workers.send(path, attempt, signal.SIGKILL)
            if pid is not None:
                self.killed += 1
                self._of[path] += 1
                self._say(f"chaos {self.killed} of at most {_MOST}: SIGKILL to process {pid}, which ran {path}")
