"""A process that is killed on entering any system call by which its store changes the disk loses nothing.

REGROW_CUT_EVERY=1 cuts at every single one. Without it, of the writes of the loop's thread, and of what a process that
was resumed does, each sixteenth will do.
"""

from __future__ import annotations

import os
import sys

import pytest

from .cut_at_syscalls import COMMITTER, SERIES, Series, campaign, can_strike, judge_order
from .random_kills import Effect


@pytest.fixture
def place(tmp_path):
    """Give an empty folder in which strace can do what it is there for."""
    probe, place = tmp_path / "probe", tmp_path / "campaign"
    probe.mkdir()
    place.mkdir()
    if sys.platform != "linux" or not can_strike(probe):
        pytest.skip("there is no strace here that may attach to a thread")
    return place


@pytest.mark.promise("P1", "P2", "P8")
def test_a_run_that_is_killed_at_any_system_call_of_its_store_comes_out_as_if_undisturbed(place, request, figures):
    stride = int(os.environ.get("REGROW_CUT_EVERY") or 16)
    print(f"\nto repeat: REGROW_CUT_EVERY={stride} python -m pytest -s '{request.node.nodeid}'")
    found = campaign(place, stride)
    print(found.describe())
    figures(found)
    assert found.violations == []
    assert {label for label, count in found.cuts.items() if count} == {series.label for series in SERIES}
    assert found.recorded > 0  # some cuts come late enough that there is something to lose
    assert found.repeated > 0  # and some between an effect and its record


# -- controls: what the campaign must see ------------------------------------------------------------------------------


@pytest.mark.control
def test_a_store_that_acknowledges_before_it_appends_is_caught(place):
    found = campaign(place, series=(Series("pwrite64", COMMITTER),), store="hasty")
    assert any("was executed after its result was given to the code" in text for text in found.violations)


@pytest.mark.control
def test_a_blob_that_is_written_after_the_record_that_names_it_is_caught(place):
    found = campaign(place, series=(Series("/^rename"),), store="late")
    assert [text for text in found.violations if "is missing from" in text] == found.violations != []


def executed(label):
    return Effect(1.0, "run", f"agent#1/{label}#1", "key", label)


@pytest.mark.control
def test_an_execution_after_the_result_was_given_is_seen():
    assert list(judge_order([executed("one"), executed("one"), "one", executed("two"), "two", "one"])) == []
    assert list(judge_order([executed("one"), "one", executed("one")])) == [
        "'one' was executed after its result was given to the code"
    ]
