"""What the demo writes while it goes: a line for each experiment, and for everything that happens to a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from regrow.engine.news import Replayed
from regrow.insight.established import failure_name
from regrow.insight.healed import growth_words, remedy_words
from regrow.journal.records import (
    AttemptFailed,
    CallFailed,
    CallSucceeded,
    CheckpointSaved,
    Record,
    Value,
    WorkerGrown,
    WorkerStarted,
)
from regrow.values.sizes import readable_size


class DemoLines:
    """Writes them. This is an observer of the run's driver."""

    def __init__(self, load: Callable[[Value], Any], write: Callable[[str], None]) -> None:
        """Know how to read what experiments resulted in, and where to write."""
        self._load = load
        self._write = write
        self._lock = threading.Lock()
        self._told_limits = False

    def __call__(self, news: Record | Replayed) -> None:
        """Write what happened, if it is worth a line."""
        if isinstance(news, Replayed):
            return
        line = self._line(news)
        if line is not None:
            with self._lock:
                self._write(line)

    def _line(self, news: Record) -> str | None:
        event = news.event
        match event:
            case WorkerStarted():
                return self._limits(event)
            case WorkerGrown():
                return f"{_who(event.path)} reached its limit and was held: {growth_words(event)}"
            case CheckpointSaved():
                return f"{_who(event.path)}: epoch {event.number} saved, in attempt {event.attempt}"
            case AttemptFailed():
                name = failure_name(event.error)
                done = remedy_words(event.remedy, name)
                return f"{_who(event.call.path)}: attempt {event.attempt} ended in {name}: {done}"
            case CallSucceeded() if _called(event.call.path) == "evaluate":
                trial = self._load(event.value)
                score = f"{trial.score:.3f} ± {trial.spread:.3f}"
                return f"round {trial.round}  #{trial.number:<3} {trial.spec!s:<50} {score}  {trial.seconds:5.1f} s"
            case CallFailed() if _called(event.call.path) == "evaluate":
                return f"{_who(event.call.path)} failed, for the chooser to learn from: {event.error.summary()}"
            case _:
                return None

    def _limits(self, event: WorkerStarted) -> str | None:
        """Say once what holds workers to their limits on this host."""
        if self._told_limits or event.resources.memory is None:
            return None
        self._told_limits = True
        by = " and ".join(event.enforced_by) or "nothing"
        return f"each experiment begins with {readable_size(event.resources.memory)} of memory, kept by {by}"


def _called(path: str) -> str:
    return path.rpartition("/")[2].partition("#")[0]


def _who(path: str) -> str:
    """Give the number of an experiment as the report has it; the winner's training is called that."""
    return f"#{path.rpartition('#')[2]}" if _called(path) == "evaluate" else "the winner's training"
