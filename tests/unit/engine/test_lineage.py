"""Which memories the code of a run means: in a fork its own, whatever that is a fork of."""

from __future__ import annotations

import pytest

from regrow.engine.lineage import bases_of, own_memory
from regrow.journal.records import RunForked

pytestmark = pytest.mark.unit


def forked(*lineage):
    return RunForked(lineage[0][0], "", 1, (), (), lineage, {})


def test_a_run_that_is_no_fork_means_the_memory_itself():
    assert own_memory(None, "20260101-aaaaaaaa", "customers/42") == "customers/42"
    assert bases_of(None, "customers/42") == []


def test_a_fork_means_a_memory_that_bears_the_end_of_its_own_id():
    assert own_memory(forked(("20260101-aaaaaaaa", 5.0)), "20260102-bbbbbbbb", "m") == "m~bbbbbbbb"


def test_a_forks_memory_begins_as_the_memory_was_when_the_fork_was_made():
    assert bases_of(forked(("20260101-aaaaaaaa", 5.0)), "m") == [("m", 5.0)]


def test_a_fork_of_a_fork_looks_at_the_memory_of_that_one_first():
    fork = forked(("20260102-bbbbbbbb", 9.0), ("20260103-cccccccc", 7.0), ("20260101-aaaaaaaa", 5.0))
    assert bases_of(fork, "m") == [("m~bbbbbbbb", 9.0), ("m~cccccccc", 7.0), ("m", 5.0)]
