"""Faults that a test orders for real workers: real signals and real limits, found out by the executor itself."""

from __future__ import annotations

import pytest

import regrow
from regrow.journal.records import AttemptFailed, WorkerEnded, WorkerGrown
from regrow.testing import disk_full, faults, lost_worker, oom, preempt, rate_limit, slow

from . import fault_agents as agents
from .observed import journal

pytestmark = pytest.mark.process


def failures_of(name):
    return [event.error.type.rpartition(":")[2] for event in journal().of(AttemptFailed, name)]


def test_a_preempted_worker_gets_a_real_sigterm_and_its_task_goes_on_from_its_checkpoint():
    with faults(preempt("train", after="200ms"), real=True) as block:
        assert regrow.run(agents.agent, 12) == "trained 12, attempt 2"
    assert block.struck("train") == 1
    assert failures_of("train") == ["Preempted"]
    assert "SIGTERM" in journal().of(AttemptFailed, "train")[0].error.message


def test_a_lost_worker_really_dies_of_sigkill_and_is_not_taken_for_out_of_memory():
    with faults(lost_worker("train", after="100ms"), real=True):
        assert regrow.run(agents.agent, 8) == "trained 8, attempt 2"
    assert failures_of("train") == ["WorkerLost"]
    assert [ended.signal for ended in journal().of(WorkerEnded, "train")] == [9, None]


def test_a_task_started_without_a_loop_is_struck_as_well():
    with faults(lost_worker("train"), real=True):
        assert regrow.run(agents.train, 4) == "trained 4, attempt 2"


def test_an_out_of_memory_is_a_real_allocation_into_the_real_limit():
    with faults(oom("fit"), real=True):
        assert regrow.run(agents.fit, {"a": 1}) == "{'a': 1} in attempt 2"
    (failed,) = journal().of(AttemptFailed, "fit")
    assert failed.error.type.endswith("OutOfMemory")
    assert "regrow.testing" not in failed.error.message
    ended = journal().of(WorkerEnded, "fit")[0]
    assert ended.limit == 64 * 2**20
    assert ended.peak > 48 * 2**20


def test_a_task_that_may_grow_gets_its_memory_and_does_its_own_work():
    with faults(oom("grown"), real=True):
        length, memory = regrow.run(agents.grown, b"x" * 200_000)
    assert length == 200_000
    assert memory >= 128 * 2**20
    seen = journal()
    assert seen.of(WorkerGrown, "grown") or seen.of(AttemptFailed, "grown")


def test_a_disk_is_really_filled_up_to_its_limit():
    with faults(disk_full("fit"), real=True):
        assert regrow.run(agents.fit, {"a": 1}) == "{'a': 1} in attempt 2"
    assert failures_of("fit") == ["DiskFull"]


def test_a_slow_worker_runs_into_its_timeout():
    with faults(slow("hurried", by="30s"), real=True), pytest.raises(regrow.TimedOut):
        regrow.run(agents.in_a_hurry)


def test_a_service_is_played_for_a_worker_too():
    with faults(rate_limit("fit", retry_after=0.01), real=True):
        assert regrow.run(agents.fit, {"a": 1}) == "{'a': 1} in attempt 2"
    assert failures_of("fit") == ["RateLimited"]


def test_a_task_without_the_limit_cannot_run_into_it():
    with pytest.raises(regrow.UsageError, match="declare one with memory="), faults(oom("train"), real=True):
        regrow.run(agents.agent, 1)


def test_a_worker_that_is_done_before_its_signal_was_not_struck():
    with (
        pytest.raises(AssertionError, match="never struck: lost_worker"),
        faults(lost_worker("train", after="60s"), real=True),
    ):
        regrow.run(agents.agent, 1)
