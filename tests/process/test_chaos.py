"""The demo's own mischief: it hits the workers that it means, and knows when to stop."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from regrow.cli import chaos
from regrow.cli.chaos import Chaos, SpotNotice, Workers
from regrow.journal.records import CheckpointSaved, Record, WorkerEnded, WorkerStarted
from regrow.values.resources import Resources

pytestmark = pytest.mark.process


@pytest.fixture
def start():
    processes = []

    def start():
        processes.append(subprocess.Popen(["sleep", "60"]))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def tell(observer, *events):
    for event in events:
        observer(Record(1, 1_000.0, "driver", 1, b"", event))


def started(path, process, attempt=1):
    return WorkerStarted(path, attempt, process.pid, "ann", Resources())


def test_the_worker_of_the_second_checkpoint_is_preempted_and_no_other(start):
    first, second, said = start(), start(), []
    workers = Workers()
    tell(workers, started("a#1/train#1", first), started("a#1/other#1", second))
    notice = SpotNotice(workers, "train", said.append)
    tell(notice, CheckpointSaved("a#1/train#1", 1, 1, b""), CheckpointSaved("a#1/other#1", 1, 2, b""))
    assert first.poll() is None
    tell(notice, CheckpointSaved("a#1/train#1", 1, 2, b""))
    assert first.wait(10) == -signal.SIGTERM
    assert second.poll() is None
    assert len(said) == 1
    assert str(first.pid) in said[0]


def test_chaos_kills_only_workers_that_are_alive_and_says_so(start, monkeypatch):
    monkeypatch.setattr(chaos, "_SECONDS", 0.01)
    gone, alive, said = start(), start(), []
    workers = Workers()
    tell(workers, started("a#1", gone), started("a#2", alive), WorkerEnded("a#1", 1, "result"))
    with Chaos(workers, 0, said.append) as kills:
        assert alive.wait(10) == -signal.SIGKILL
        while not said:
            time.sleep(0.01)
    assert gone.poll() is None
    assert kills.killed == len(said)
    assert said[0].startswith("chaos 1 of at most 10: SIGKILL to process")


def test_chaos_leaves_a_call_alone_after_three_kills(start, monkeypatch):
    monkeypatch.setattr(chaos, "_SECONDS", 0.01)
    workers, said = Workers(), []
    with Chaos(workers, 0, said.append) as kills:
        for attempt in range(1, 4):
            process = start()
            tell(workers, started("a#1", process, attempt))
            assert process.wait(10) == -signal.SIGKILL
            tell(workers, WorkerEnded("a#1", attempt, "SIGKILL"))
        fourth, other = start(), start()
        tell(workers, started("a#1", fourth, 4), started("a#2", other))
        assert other.wait(10) == -signal.SIGKILL
        assert fourth.poll() is None
    assert kills.killed == 4
