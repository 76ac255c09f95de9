"""What is known of a mutant is known until its function is edited."""

from __future__ import annotations
import __future__

import pytest
from mutation import mutants
from mutation.laboratory import Result
from mutation.results import Results

pytestmark = pytest.mark.unit

MODULE = """
LIMIT = 5


class Box:
    size: int = 3

    def holds(self, count: int) -> bool:
        return count < self.size

    def is_empty(self, count: int) -> bool:
        return count == 0
"""


@pytest.fixture
def edited(tmp_path, monkeypatch):
    """Gives the mutants of the module after an edit, by what they are in."""
    (tmp_path / "engine").mkdir()
    monkeypatch.setattr(mutants, "_SOURCES", tmp_path)

    def edit(old="", new=""):
        assert old in MODULE
        (tmp_path / "engine" / "box.py").write_text(MODULE.replace(old, new, 1) if old else MODULE, "utf-8")
        return mutants.mutants_of("engine/box.py")

    return edit


@pytest.fixture
def results(tmp_path):
    return Results(anew=True, file=tmp_path / "results.json")


def known(results, found):
    return {mutant.where for mutant in found if results.of(mutant) is not None}


def test_every_mutant_keeps_its_result_while_nothing_is_edited(edited, results):
    for mutant in edited():
        results.note(mutant, Result("killed", "a test"))
    assert all(results.is_settled(mutant) for mutant in edited())
    assert known(results, edited()) == {"", "Box", "Box.holds", "Box.is_empty"}


@pytest.mark.parametrize(
    ("old", "new", "forgotten"),
    [
        ("        return count < self.size", "        # it may be full\n\n        return count < self.size", set()),
        ("count == 0", "count == 1", {"Box.is_empty"}),
        ("count < self.size", "count < self.size - 1", {"Box.holds"}),
        ("LIMIT = 5", "LIMIT = 6", {""}),
        ("size: int = 3", "size: int = 4", {"Box"}),
    ],
)
def test_an_edit_forgets_what_is_known_of_the_function_or_statement_that_it_is_in(edited, results, old, new, forgotten):
    for mutant in edited():
        results.note(mutant, Result("killed", "a test"))
    after = edited(old, new)
    assert {mutant.where for mutant in after} - known(results, after) == forgotten


def test_one_that_has_survived_is_tried_again(edited, results):
    first, *_ = edited()
    results.note(first, Result("survived"))
    assert not results.is_settled(first)
    assert results.of(first) == Result("survived")


def test_results_outlive_the_process(edited, results, tmp_path):
    first, *_ = edited()
    results.note(first, Result("timed out", "a test"))
    results.save()
    assert Results(anew=False, file=tmp_path / "results.json").of(first) == Result("timed out", "a test")


def test_a_mutant_is_compiled_as_its_module_is_and_not_as_the_tool(edited):
    assert all(mutant.code().co_flags & __future__.annotations.compiler_flag == 0 for mutant in edited())
