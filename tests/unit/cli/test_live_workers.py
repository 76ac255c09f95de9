"""What a terminal and a pipe are told of workers while a run goes on."""

from __future__ import annotations

import time

import pytest

from regrow.cli.live import LiveTree, PlainLines
from regrow.cli.progress import Progress
from regrow.codec import capture
from regrow.errors import OutOfMemory, Preempted
from regrow.journal.records import (
    AttemptFailed,
    Call,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    Record,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
    WorkerStarted,
)
from regrow.remedies import Grow, Resume
from regrow.values.resources import Resources

pytestmark = pytest.mark.unit
MIB = 2**20
ROOT, FIT = Call("train#1", "task", 1, b""), Call("train#1/fit#1", "task", 1, b"")
STARTED = (
    CallStarted(ROOT, 1),
    CallStarted(FIT, 1),
    WorkerStarted(FIT.path, 1, 77, "ann", Resources(memory=256 * MIB)),
)
OOM = AttemptFailed(
    FIT,
    1,
    1_000.0,
    capture(OutOfMemory(FIT.path, peak=256 * MIB, limit=256 * MIB)),
    1_000.0,
    (),
    Grow(memory=512 * MIB),
    "on_oom",
)


def tell(observer, *events):
    for event in events:
        observer(Record(1, time.time(), "driver", 1, b"", event))


@pytest.fixture
def drawn():
    progress = Progress()

    def draw(*events):
        tell(progress, *events)
        live = LiveTree(progress, "train", "r" * 26)
        live.console.width = 200
        with live.console.capture() as written:
            live.console.print(live)
        return written.get()

    return draw


def test_a_running_call_shows_its_memory_against_its_limit(drawn):
    assert "240 of 256 MiB" in drawn(*STARTED, WorkerSampled(FIT.path, 1, ((1.0, 100 * MIB), (2.0, 240 * MIB))))
    assert "240 of 512 MiB" in drawn(WorkerGrown(FIT.path, 1, 256 * MIB, 512 * MIB, 0.004))


def test_a_worker_without_a_limit_shows_what_it_uses(drawn):
    unlimited = WorkerStarted(FIT.path, 1, 77, "ann", Resources())
    written = drawn(*STARTED[:2], unlimited, WorkerSampled(FIT.path, 1, ((1.0, 100 * MIB),)))
    assert "  100 MiB" in written


def test_a_call_whose_worker_is_gone_shows_no_memory(drawn):
    sampled = WorkerSampled(FIT.path, 1, ((1.0, 240 * MIB),))
    assert "MiB" not in drawn(*STARTED, sampled, WorkerEnded(FIT.path, 1, "SIGTERM"))


def test_healing_and_checkpoints_stand_beside_the_call(drawn):
    assert "256 → 512 MiB in place" in drawn(*STARTED, WorkerGrown(FIT.path, 1, 256 * MIB, 512 * MIB, 0.004))
    assert "grown to 512 MiB" in drawn(OOM)
    assert "checkpoint 3" in drawn(CheckpointSaved(FIT.path, 2, 3, b""))


def test_a_worker_that_is_seen_off_after_its_call_has_ended_disturbs_nothing(drawn):
    written = drawn(*STARTED, CallSucceeded(FIT, 1, 1_000.0, b""), WorkerEnded(FIT.path, 1, "result"))
    assert "✓ fit" in written


def test_a_pipe_gets_one_line_for_each_healing(capsys):
    preempted = capture(Preempted(FIT.path, grace=5.0))
    tell(
        PlainLines(),
        WorkerGrown(FIT.path, 1, 256 * MIB, 512 * MIB, 0.004),
        OOM,
        AttemptFailed(FIT, 2, 1_000.0, preempted, 1_000.0, (), Resume(), "on_preempted", counts=False),
        WorkerSampled(FIT.path, 1, ((1.0, 240 * MIB),)),
    )
    grown, began_again, resumed = capsys.readouterr().err.splitlines()
    assert grown.endswith("attempt 1 reached its limit: 256 → 512 MiB in place, held 4 ms, nothing lost")
    assert began_again.endswith("grown to 512 MiB, again at once")
    assert resumed.endswith("resumed after preemption, again at once")
