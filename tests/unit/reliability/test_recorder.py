"""What the report learns of each test: how it ended, what it holds, what it measured."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from reliability.outcomes import Outcome

pytest_plugins = ("pytester",)

SUITE = """
import pytest

pytestmark = pytest.mark.promise("P2")

@pytest.mark.promise("P1")
def test_that_measures(record_property):
    record_property("figures", {"kills": 7})

@pytest.mark.control
def test_that_fails():
    assert 1 == 2, "what was seen"

def test_that_is_skipped():
    pytest.skip("no strace here")

@pytest.mark.xfail(reason="a bug that is known")
def test_that_is_known_to_fail():
    raise ValueError

@pytest.fixture
def broken():
    yield
    raise OSError("at the end")

def test_whose_end_fails(broken):
    pass
"""


@pytest.fixture
def recorded(pytester, monkeypatch):
    """Run the suite in a process of its own, as the report does, and give what was recorded, by test."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    pytester.makeini("[pytest]\nmarkers =\n    promise\n    control")
    pytester.makepyfile(SUITE)
    pytester.runpytest_subprocess("-p", "reliability.recorder", "--record-to", "record", "-p", "no:cacheprovider")
    lines = (pytester.path / "record").read_bytes().splitlines()
    return {one.name: one for one in (msgspec.json.decode(line, type=Outcome) for line in lines)}


def test_each_test_is_recorded_as_it_ended(recorded):
    assert {name: (one.ended, one.reason) for name, one in recorded.items()} == {
        "test_that_measures": ("passed", ""),
        "test_that_fails": ("failed", recorded["test_that_fails"].reason),
        "test_that_is_skipped": ("skipped", "no strace here"),
        "test_that_is_known_to_fail": ("skipped", "expected to fail: a bug that is known"),
        "test_whose_end_fails": ("failed", recorded["test_whose_end_fails"].reason),
    }
    assert "what was seen" in recorded["test_that_fails"].reason
    assert "at the end" in recorded["test_whose_end_fails"].reason


def test_with_what_it_holds_and_what_it_has_measured(recorded):
    measures, fails = recorded["test_that_measures"], recorded["test_that_fails"]
    assert (measures.promises, measures.figures, measures.is_control) == (("P1", "P2"), ({"kills": 7},), False)
    assert (fails.promises, fails.figures, fails.is_control) == (("P2",), (), True)
