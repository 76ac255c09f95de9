"""Forks and diffs, as a user types them."""

import pytest

pytestmark = pytest.mark.e2e

PIPELINE = """
import pathlib
from dataclasses import dataclass

import regrow

HERE = pathlib.Path(__file__).parent


@dataclass
class Score:
    value: float


@regrow.step
async def score(place: int, so_far: float) -> Score:
    with (HERE / "trace").open("a") as file:
        file.write(f"score {place}\\n")
    return Score(so_far + place)


@regrow.task
async def pipeline(places: int = 5) -> float:
    so_far = 0.0
    for place in range(1, places + 1):
        so_far = (await score(place, so_far)).value
    return so_far
"""


@pytest.fixture
def pipeline(desk):
    (desk.folder / "pipeline.py").write_text(PIPELINE, "utf-8")
    assert desk.regrow("run", "pipeline.py", "--key", "first").out == "15.0\n"
    (desk.folder / "trace").unlink()
    return desk


def test_a_fork_with_another_result_executes_what_comes_after_it_and_nothing_else(pipeline):
    ran = pipeline.regrow("fork", "first", "--replace", 'score#2={"value": 100}', "--json")
    assert ran.code == 0, ran.err
    assert ran.json["result"] == 112.0
    assert ran.json["tally"]["executed"] == 4, "three steps and the task"
    assert pipeline.trace() == ["score 3", "score 4", "score 5"]


def test_a_fork_says_of_which_run_it_is_one_and_where_it_begins(pipeline):
    pipeline.regrow("fork", "first", "--at", "score#4", "--key", "second")
    shown = pipeline.regrow("show", "second")
    assert "fork of" in shown.out
    assert "pipeline#1/score#4" in shown.out


def test_a_fork_may_be_made_now_and_run_later(pipeline):
    ran = pipeline.regrow("fork", "first", "--at", "score#4", "--no-run", "--json")
    assert pipeline.trace() == []
    assert ran.json["run"]["status"] == "interrupted"
    assert pipeline.regrow("resume", ran.json["run"]["short"]).out == "15.0\n"
    assert pipeline.trace() == ["score 4", "score 5"]


def test_a_result_whose_type_is_not_known_is_said_to_be_unchecked(pipeline):
    wrong = pipeline.regrow("fork", "first", "--replace", 'score#2={"value": "x"}')
    assert (wrong.code, "not checked" in wrong.err) == (2, False)
    right = pipeline.regrow("fork", "first", "--replace", 'score#2={"value": 100}')
    assert (right.code, "not checked" in right.err) == (0, False)
    unloaded = pipeline.regrow("fork", "first", "--replace", "score#2=100", "--no-run", "--json")
    assert unloaded.json["unchecked"] == ["pipeline#1/score#2"]
    assert "pipeline#1/score#2 is taken as plain JSON and was not checked, since the code was not" in unloaded.err
    (pipeline.folder / "pipeline.py").write_text(PIPELINE.replace(") -> Score:", "):"), "utf-8")
    untyped = pipeline.regrow("fork", "first", "--replace", "score#2=100")
    assert "not checked, since the code does not say of what type it is" in untyped.err


def test_a_fork_with_another_input_keeps_what_still_fits(pipeline):
    ran = pipeline.regrow("fork", "first", "--set", "places=7")
    assert ran.out == "28.0\n"
    assert pipeline.trace() == ["score 6", "score 7"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--at STEP, --replace STEP=JSON or --set NAME=JSON"),
        (("--at", "score#9"), "no call 'score#9' is recorded"),
        (("--replace", "score#2"), "it takes NAME=JSON"),
        (("--replace", 'score#2={"values": 1}'), "missing required field `value`"),
        (("--set", "place=3"), "did you mean 'places'?"),
        (("--at", "score#2", "--key", "first"), "give the fork another one"),
    ],
)
def test_a_fork_that_cannot_be_made_is_explained(pipeline, options, said):
    ran = pipeline.regrow("fork", "first", *options)
    assert ran.code == 2
    assert said in ran.err
    assert len(pipeline.regrow("ls", "--json").json["runs"]) == 1


def test_a_diff_names_the_call_where_two_runs_part_and_what_is_different(pipeline):
    pipeline.regrow("fork", "first", "--replace", 'score#2={"value": 100}', "--key", "second")
    found = pipeline.regrow("diff", "first", "second", "--json").json
    assert found["same"] == 1
    assert found["part_at"] == "pipeline#1/score#2"
    by_path = {call["path"]: [one["aspect"] for one in call["differences"]] for call in found["calls"]}
    assert by_path["pipeline#1/score#2"] == ["result"]
    assert "there" in by_path["pipeline#1/score#3"] or "inputs" in by_path["pipeline#1/score#3"]
    shown = pipeline.regrow("diff", "first", "second").out
    assert "- Score(value=3.0)" in shown
    assert "+ Score(value=100.0)" in shown


def test_a_run_does_not_differ_from_itself(pipeline):
    assert "all 6 calls are the same" in pipeline.regrow("diff", "first", "first").out
