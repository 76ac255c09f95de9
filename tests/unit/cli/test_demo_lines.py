"""What the demo writes while it goes."""

from __future__ import annotations

import pytest

from regrow.cli.demo_lines import DemoLines
from regrow.codec import capture
from regrow.engine.news import Replayed
from regrow.errors import WorkerLost
from regrow.journal.records import (
    AttemptFailed,
    Call,
    CallFailed,
    CallSucceeded,
    CheckpointSaved,
    Record,
    WorkerGrown,
    WorkerStarted,
)
from regrow.remedies import Resume
from regrow.values.resources import Resources

pytestmark = pytest.mark.unit
MIB = 2**20
EIGHTH = Call("find_best_model#1/evaluate#8", "task", 1, b"")
STARTED = WorkerStarted(EIGHTH.path, 1, 77, "ann", Resources(memory=64 * MIB), ("cgroup v2", "RLIMIT_DATA"))


class Tried:
    round, number, spec, score, spread, seconds = 2, 8, "svm (strength 1)", 0.95, 0.011, 1.24


def written(*news):
    lines = []
    observer = DemoLines(lambda value: Tried if value == b"trial" else None, lines.append)
    for one in news:
        observer(one if isinstance(one, Replayed) else Record(1, 1_000.0, "driver", 1, b"", one))
    return lines


def test_a_line_for_each_experiment():
    (line,) = written(CallSucceeded(EIGHTH, 1, 999.0, b"trial"))
    assert line.split() == ["round", "2", "#8", "svm", "(strength", "1)", "0.950", "±", "0.011", "1.2", "s"]
    assert written(CallFailed(EIGHTH, 1, 999.0, capture(ValueError("no")))) == [
        "#8 failed, for the chooser to learn from: ValueError: no"
    ]


def test_which_limits_are_in_force_is_said_once():
    assert written(STARTED, STARTED) == [
        "each experiment begins with 64 MiB of memory, kept by cgroup v2 and RLIMIT_DATA"
    ]


def test_whatever_happens_to_a_worker_is_said():
    lost = AttemptFailed(
        EIGHTH, 1, 1.0, capture(WorkerLost(EIGHTH.path, signal="SIGKILL")), 1.0, (), Resume(), "on_preempted"
    )
    assert written(
        WorkerGrown(EIGHTH.path, 1, 64 * MIB, 128 * MIB, 0.002, "cgroup v2"),
        lost,
        CheckpointSaved("find_best_model#1/train_winner#1", 2, 3, b""),
    ) == [
        "#8 reached its limit and was held: 64 → 128 MiB in place, held 2 ms, nothing lost",
        "#8: attempt 1 ended in WorkerLost: resumed after its worker was lost",
        "the winner's training: epoch 3 saved, in attempt 2",
    ]


def test_what_is_only_replayed_or_no_experiment_is_not_said_again():
    inspected = Call("find_best_model#1/inspect#1", "task", 1, b"")
    assert written(Replayed(EIGHTH, 1.0), CallSucceeded(inspected, 1, 999.0, b"trial")) == []
