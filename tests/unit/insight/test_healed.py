"""Remedies and growth in words."""

from __future__ import annotations

import pytest

from regrow.errors import OutOfMemory, Preempted
from regrow.insight.healed import growth_words, history, is_healed, remedy_words, two_sizes
from regrow.insight.tree import tree_of
from regrow.journal.records import AttemptFailed, CheckpointSaved, RecordedFallback, WorkerGrown
from regrow.remedies import Extend, Grow, Resume, RetryAfter

from .writing import MIB, call, done, error, healed, started, worker

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("remedy", "failure", "words"),
    [
        (None, "ValueError", "tried again"),
        (Grow(memory=512 * MIB), "OutOfMemory", "grown to 512 MiB"),
        (Grow(disk=2**30, processes=64), "", "grown to 1 GiB of scratch disk and 64 processes"),
        (Grow(output=MIB), "OutputLimit", "grown to 1 MiB of output"),
        (Grow(), "", "tried again"),
        (Extend(20.0), "TimedOut", "given 20.0 s an attempt"),
        (Resume(), "Preempted", "resumed after preemption"),
        (Resume(), "WorkerLost", "resumed after its worker was lost"),
        (Resume(), "Crashed", "resumed"),
        (RetryAfter(2.0), "RateLimited", "tried again after 2.0 s"),
        (RetryAfter(), "Crashed", "tried again"),
        (RecordedFallback("agent:small"), "OutOfMemory", "answered by agent:small instead"),
    ],
)
def test_a_remedy_is_told_by_what_it_did(remedy, failure, words):
    assert remedy_words(remedy, failure) == words


def test_growth_in_place_is_told_with_what_it_cost():
    grown = WorkerGrown("t#1", 1, 256 * MIB, 512 * MIB, 0.004)
    assert growth_words(grown) == "256 → 512 MiB in place, held 4 ms, nothing lost"


def test_two_amounts_share_a_unit_only_where_it_is_the_same():
    assert two_sizes(240 * MIB, "of", 256 * MIB) == "240 of 256 MiB"
    assert two_sizes(512 * MIB, "→", 2**30) == "512 MiB → 1 GiB"


def test_the_history_of_a_call_tells_each_growth_and_each_remedy_in_order(write):
    write.begin()(started("t#1"), worker("t#1"), WorkerGrown("t#1", 1, 256 * MIB, 384 * MIB, 0.01))
    write(healed("t#1", OutOfMemory("t#1", peak=None, limit=384 * MIB), Grow(memory=512 * MIB)))
    write(started("t#1", 2), CheckpointSaved("t#1", 2, 4, b""))
    write(healed("t#1", Preempted("t#1", grace=5.0), Resume(), 2, chosen_by="on_preempted", counts=False))
    write(started("t#1", 3), done("t#1", 3, kind="task"))
    (root,) = tree_of(write.records).calls
    resumed = "resumed after preemption from checkpoint 4 (on_preempted, takes nothing off its retries)"
    assert is_healed(root)
    assert list(history(root)) == [
        "t#1: attempt 1 reached its limit: 256 → 384 MiB in place, held 10 ms, nothing lost",
        "t#1: attempt 1 ended in OutOfMemory: grown to 512 MiB and begun again (on_oom)",
        f"t#1: attempt 2 ended in Preempted: {resumed}",
    ]


def test_a_plain_retry_is_no_healing(write):
    write.begin()(AttemptFailed(call("s#1"), 1, 1_001.0, error(), 1_005.0), done("s#1", 2))
    (root,) = tree_of(write.records).calls
    assert not is_healed(root)
    assert list(history(root)) == ["s#1: attempt 1 ended in ValueError: tried again (retries)"]
