"""Workers in the tree of calls: which attempt each belongs to, and what is known of it."""

from __future__ import annotations

import pytest

from regrow.errors import OutOfMemory, Preempted
from regrow.insight.tree import tree_of
from regrow.journal.records import CheckpointSaved, WorkerEnded, WorkerGrown, WorkerSampled
from regrow.remedies import Grow, Resume

from .writing import MIB, done, driver, healed, started, worker

pytestmark = pytest.mark.unit


def train(write):
    (root,) = tree_of(write.records).calls
    return root


def oom(limit=256):
    return OutOfMemory("train#1", peak=limit * MIB, limit=limit * MIB)


def test_a_call_that_ran_where_its_caller_runs_has_no_worker(write):
    write.begin()(started("train#1"), done("train#1", kind="task"))
    assert train(write).worker is None


def test_a_worker_tells_what_it_was_given_what_it_used_and_how_it_ended(write):
    write.begin()(started("train#1"), worker("train#1", size_from="earlier runs", queued=2.0))
    write(WorkerSampled("train#1", 1, ((1_005.0, 40 * MIB), (1_006.0, 90 * MIB))))
    write(WorkerEnded("train#1", 1, "result", 120 * MIB, 1.5, 256 * MIB), done("train#1", kind="task"))
    seen = train(write).worker
    assert (seen.pid, seen.host, seen.size_from, seen.queued) == (77, "ann", "earlier runs", 2.0)
    assert seen.enforced_by == ("cgroup v1", "RLIMIT_DATA")
    assert (seen.peak, seen.limit, seen.how, seen.cpu_seconds) == (120 * MIB, 256 * MIB, "result", 1.5)
    assert [amount for _, amount in seen.samples] == [40 * MIB, 90 * MIB]


def test_the_peak_of_a_worker_whose_end_says_none_is_its_highest_sample(write):
    write.begin()(started("train#1"), worker("train#1"))
    write(WorkerSampled("train#1", 1, ((1_005.0, 90 * MIB), (1_006.0, 40 * MIB))))
    assert train(write).worker.peak == 90 * MIB
    write(WorkerEnded("train#1", 1, "SIGKILL"))
    assert train(write).worker.peak == 90 * MIB


def test_a_limit_that_was_raised_in_place_holds_from_then_on(write):
    write.begin()(started("train#1"), worker("train#1"))
    write(WorkerGrown("train#1", 1, 256 * MIB, 512 * MIB, 0.004, "cgroup v1"))
    seen = train(write).worker
    assert seen.limit == 512 * MIB
    assert [(one.before, one.after, one.held) for one in seen.grown] == [(256 * MIB, 512 * MIB, 0.004)]
    assert seen.limits == ((1_004.0, 256 * MIB), (1_005.0, 512 * MIB))


def test_each_attempt_has_its_own_worker_and_says_what_was_chosen_after_it(write):
    write.begin()(started("train#1"), worker("train#1"), WorkerEnded("train#1", 1, "SIGKILL", 256 * MIB))
    write(healed("train#1", oom(), Grow(memory=512 * MIB)), started("train#1", 2))
    write(worker("train#1", 2, 512 * MIB), done("train#1", 2, kind="task"))
    first, second = train(write).attempts
    assert (first.worker.how, first.worker.limit, second.worker.limit) == ("SIGKILL", 256 * MIB, 512 * MIB)
    assert (first.remedy, first.chosen_by, first.counts) == (Grow(memory=512 * MIB), "on_oom", True)
    assert (second.remedy, second.chosen_by) == (None, "")


def test_the_end_of_a_worker_that_is_recorded_after_its_result_is_still_its_own(write):
    write.begin()(started("train#1"), worker("train#1"), done("train#1", kind="task"))
    write(WorkerEnded("train#1", 1, "result", 100 * MIB))
    assert train(write).worker.peak == 100 * MIB


def test_an_attempt_that_a_crash_cut_keeps_the_worker_that_it_had(write):
    write.begin()(started("train#1"), worker("train#1"), WorkerSampled("train#1", 1, ((1_004.5, 10 * MIB),)))
    write(driver("bob@host pid 2 (bb)"), started("train#1"), worker("train#1"))
    write(WorkerEnded("train#1", 1, "result", 20 * MIB), done("train#1", kind="task"))
    cut, finished = train(write).attempts
    assert (cut.outcome, cut.worker.peak, cut.worker.ended) == ("unfinished", 10 * MIB, None)
    assert (finished.outcome, finished.worker.peak) == ("succeeded", 20 * MIB)


def test_samples_that_were_recorded_before_the_beginning_are_its_own_and_no_earlier_workers(write):
    write.begin()(started("train#1"), worker("train#1"), WorkerSampled("train#1", 1, ((1_004.5, 10 * MIB),)))
    write(driver("bob@host pid 2 (bb)"), started("train#1"), WorkerSampled("train#1", 1, ((1_008.0, 30 * MIB),)))
    write(worker("train#1"), WorkerEnded("train#1", 1, "SIGSEGV", signal=11))
    cut, again = (one.worker for one in train(write).attempts)
    assert (cut.peak, again.peak) == (10 * MIB, 30 * MIB)
    assert (again.signal, again.code) == (11, None)


def test_a_worker_that_was_gone_before_it_could_begin_is_none(write):
    write.begin()(started("train#1"), WorkerEnded("train#1", 1, "exit code 1", code=1))
    assert train(write).worker is None


def test_checkpoints_are_counted_and_each_attempt_says_which_it_left(write):
    write.begin()(started("train#1"), worker("train#1"))
    write(CheckpointSaved("train#1", 1, 1, b""), CheckpointSaved("train#1", 1, 2, b""))
    write(healed("train#1", Preempted("train#1", grace=5.0), Resume(), chosen_by="on_preempted", counts=False))
    write(started("train#1", 2), CheckpointSaved("train#1", 2, 3, b""), done("train#1", 2, kind="task"))
    root = train(write)
    assert root.checkpoints == 3
    assert [one.checkpoint for one in root.attempts] == [2, 3]
    assert [one.counts for one in root.attempts] == [False, True]


def test_a_worker_of_a_call_that_is_not_recorded_is_passed_over(write):
    write.begin()(worker("gone#1"), WorkerEnded("gone#1", 1, "result"), done("train#1"))
    assert [one.path for one in tree_of(write.records).walk()] == ["train#1"]
