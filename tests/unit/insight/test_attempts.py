"""The timeline of attempts."""

from __future__ import annotations

import pytest

from regrow.errors import OutOfMemory
from regrow.insight.attempts import attempts_of
from regrow.journal.records import RunEnded, WorkerEnded, WorkerGrown, WorkerSampled
from regrow.remedies import Grow

from .writing import MIB, done, driver, failed, healed, started, worker

pytestmark = pytest.mark.unit


def test_each_attempt_is_a_line_with_its_memory_its_failure_and_what_was_done_about_it(write):
    failure = OutOfMemory("a#1/train#1", peak=256 * MIB, limit=256 * MIB).explained(
        confidence="likely", evidence=("it grew by 500 MiB/s",)
    )
    write.begin()(started("a#1"), started("a#1/train#1"), worker("a#1/train#1", size_from="earlier runs"))
    write(WorkerSampled("a#1/train#1", 1, ((1_005.2, 200 * MIB),)), WorkerEnded("a#1/train#1", 1, "SIGKILL", 256 * MIB))
    write(healed("a#1/train#1", failure, Grow(memory=512 * MIB), at=1_004.0), started("a#1/train#1", 2))
    write(worker("a#1/train#1", 2, 512 * MIB), WorkerGrown("a#1/train#1", 2, 512 * MIB, 768 * MIB, 0.004))
    write(done("a#1/train#1", 2, at=1_009.0, kind="task"), done("a#1", kind="task"), RunEnded("succeeded"))
    root, first, second = attempts_of(write.records)
    assert (root.path, root.isolated, root.outcome) == ("a#1", False, "succeeded")
    assert (first.path, first.name, first.attempt, first.outcome) == ("a#1/train#1", "train", 1, "failed")
    assert (first.start, first.end) == (1_004.0, 1_008.0)
    assert first.samples == ((1_005.2, 200 * MIB),)
    assert first.limits == ((1_005.0, 256 * MIB),)
    assert (first.peak, first.enforced_by[0], first.size_from) == (256 * MIB, "cgroup v1", "earlier runs")
    assert (first.failure, first.confidence, first.evidence) == ("OutOfMemory", "likely", ("it grew by 500 MiB/s",))
    assert (first.remedy, first.chosen_by) == ("grown to 512 MiB", "on_oom")
    assert (second.attempt, second.outcome, second.failure, second.remedy) == (2, "succeeded", "", "")
    assert second.limits == ((1_010.0, 512 * MIB), (1_011.0, 768 * MIB))
    assert second.growths == ("512 → 768 MiB in place, held 4 ms, nothing lost",)


def test_lines_stand_in_the_order_in_which_the_attempts_began(write):
    write.begin()(started("a#1"), done("a#1/late#1", at=1_050.0), done("a#1/early#1", at=1_010.0))
    assert [line.name for line in attempts_of(write.records)] == ["a", "early", "late"]


def test_an_exception_of_the_codes_own_has_no_confidence(write):
    write.begin()(failed("s#1", text="theirs"))
    (line,) = attempts_of(write.records)
    assert (line.failure, line.message, line.confidence, line.evidence) == ("ValueError", "theirs", None, ())
    assert (line.remedy, line.chosen_by) == ("", "")


def test_an_attempt_that_a_crash_cut_ends_when_its_worker_did_if_anybody_saw_that(write):
    write.begin()(started("t#1"), worker("t#1"), WorkerEnded("t#1", 1, "SIGTERM"))
    write(driver("bob@host pid 2 (bb)"), started("t#1"), worker("t#1"))
    cut, again = attempts_of(write.records)
    assert (cut.outcome, cut.end) == ("unfinished", 1_005.0)
    assert (again.outcome, again.end) == ("unfinished", None)


def test_a_run_without_records_has_no_attempts():
    assert attempts_of([]) == ()
