"""What is said of the workers of a run whose driver disappeared."""

from __future__ import annotations

import pytest

from regrow.insight.last_seen import Here, last_seen
from regrow.insight.tree import tree_of
from regrow.journal.records import Diverged, WorkerEnded, WorkerGrown, WorkerSampled

from .writing import MIB, done, driver, started, worker

pytestmark = pytest.mark.unit


def said(write, here=None):
    tree = tree_of(write.records)
    return last_seen(tree, tree.drives[-1], here)


@pytest.fixture
def cut(write):
    """A run whose driver disappeared while train was at 240 of 256 MiB."""
    write.begin()(started("train#2"), worker("train#2", kills=3, boot="monday"))
    return write(WorkerSampled("train#2", 1, ((1_003.9, 100 * MIB), (1_004.6, 240 * MIB))))


def test_it_says_how_much_memory_a_worker_had_used_and_when(cut):
    assert said(cut) == ("train#2 had used 240 of 256 MiB 400 ms before its driver was last heard of",)


def test_a_limit_that_was_raised_is_the_one_that_counts(cut):
    cut(WorkerGrown("train#2", 1, 256 * MIB, 512 * MIB, 0.004))
    assert "240 of 512 MiB" in said(cut)[0]


def test_a_worker_without_samples_is_named_and_nothing_is_made_up(write):
    write.begin()(started("train#2"), worker("train#2"))
    assert said(write) == ("train#2 was running in process 77; how much memory it used is not recorded",)


def test_a_worker_that_was_gone_before_its_driver_says_how_it_went(cut):
    cut(WorkerEnded("train#2", 1, "SIGKILL"))
    assert said(cut) == ("the worker of train#2 was gone (SIGKILL), and what became of the call was not recorded",)


@pytest.mark.parametrize(
    ("here", "sentence"),
    [
        (Here("ann", "monday", 3), "the machine's OOM killer has not struck since train#2 began"),
        (Here("ann", "monday", 4), "the machine's OOM killer has struck once since train#2 began"),
        (Here("ann", "monday", 6), "the machine's OOM killer has struck 3 times since train#2 began"),
        (Here("ann", "tuesday", 0), "ann has been started anew since"),
        (Here("bob", "monday", 9), "that was on ann; what has happened there since cannot be seen from here"),
    ],
)
def test_the_machine_of_now_is_compared_with_that_of_then(cut, here, sentence):
    assert said(cut, here)[-1].startswith(sentence)


def test_a_counter_that_the_machine_does_not_have_says_nothing(cut):
    assert len(said(cut, Here("ann", "monday", None))) == 1


def test_what_an_earlier_driver_left_behind_is_not_told_of_the_last_one(cut):
    cut(driver("bob@host pid 2 (bb)"), Diverged("x#1", "why"))
    assert said(cut, Here("ann", "monday", 9)) == ()


def test_a_call_that_has_its_outcome_is_not_told(cut):
    cut(done("train#2", kind="task"))
    assert said(cut, Here("ann", "monday", 9)) == ()
