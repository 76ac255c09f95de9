"""The recipes of docs/testing.md, run as a user's suite: plainly, and with a death at every step."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ("pytester",)

BLOCKS = re.findall(
    r"```python file=(\S+)\n(.*?)```", (Path(__file__).parents[3] / "docs/testing.md").read_text("utf-8"), re.DOTALL
)


@pytest.fixture
def suite(pytester, monkeypatch):
    monkeypatch.delenv("REGROW_HOME")
    pytester.makeini("[pytest]\nfilterwarnings = error\npythonpath = .")
    for name, source in BLOCKS:
        (pytester.path / name).write_text(source, "utf-8")
    return pytester


def test_every_block_of_python_is_a_file_of_the_suite():
    page = (Path(__file__).parents[3] / "docs/testing.md").read_text("utf-8")
    assert len(BLOCKS) == page.count("```python")


def test_the_recipes_pass(suite):
    result = suite.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=9)


def test_the_recipes_live_through_a_death_at_every_step(suite):
    result = suite.runpytest_subprocess(
        "-p", "no:cacheprovider", "--crash-every-step", "test_order.py", "test_faults.py"
    )
    result.assert_outcomes(passed=4)
    output = result.stdout.str()
    assert re.search(r"regrow: 1 test, \d+ crash points, 0 failed", output)
    assert "run once only: it plays a death of its own" in output
