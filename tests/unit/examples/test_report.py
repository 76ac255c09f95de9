"""The page and the lines: complete, self-contained, and safe whatever a table or an error is called."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from regrow.examples import healed
from regrow.examples.experiments import Effort, Epoch, Outcome, Spec, Trial, Verdict
from regrow.examples.healed import answer
from regrow.examples.profile import Column, Profile, TableRef
from regrow.examples.report import Saved, leaderboard, lineage, page, render_text, write_report
from regrow.examples.timeline import cut_pauses
from regrow.examples.wording import duration
from regrow.insight.attempts import AttemptLine

pytestmark = pytest.mark.unit

EVIL = "<b onclick=x>&$x^2$ \"'"
START = 1_700_000_000.0


MIB = 2**20


def trial(number, round_, spec, score=None, *, failure=None):
    spread, seconds = (None, None) if failure else (0.02, 1.0)
    return Trial(number, round_, spec, Effort(200, 3, 1), score, spread, seconds, failure)


def attempt(name, number, start, end, **more):
    """One in a worker of 64 MiB, kept by a cgroup."""
    known = {
        "attempt": 1,
        "outcome": "failed" if "failure" in more else "succeeded",
        "isolated": True,
        "samples": ((START + start + 0.1, 20 * MIB), (START + end - 0.1, 40 * MIB)),
        "limits": ((START + start, 64 * MIB),),
        "peak": 41 * MIB,
        "enforced_by": ("cgroup v1", "RLIMIT_DATA"),
    }
    path = f"find_best_model#1/{name}#{number}"
    return AttemptLine(path, name, "task", "", start=START + start, end=START + end, **(known | more))


@pytest.fixture
def attempts():
    grown = ((START + 1, 64 * MIB), (START + 1.5, 128 * MIB))
    resumed = {"confidence": "certain", "remedy": "resumed", "chosen_by": "on_preempted"}
    return (
        AttemptLine("find_best_model#1", "find_best_model", "task", "", 1, START, START + 712, "succeeded"),
        attempt("evaluate", 1, 0, 1),
        attempt("evaluate", 3, 1, 3, limits=grown, growths=("64 → 128 MiB in place, held 2 ms, nothing lost",)),
        attempt("evaluate", 2, 1, 2, failure="ValueError", message=EVIL),
        attempt(
            "evaluate", 4, 2, 3, failure="OutOfMemory", confidence="certain", evidence=("its cgroup counted it", EVIL),
            message="find_best_model#1/evaluate#4 ran out of memory", samples=(), peak=None,
        ),
        attempt("evaluate", 5, 700, 701, failure="WorkerLost", message="gone", **resumed),
        attempt("evaluate", 5, 701, 702, attempt=2),
        attempt("train_winner", 1, 703, 704, failure="Preempted", message="taken", **resumed),
        attempt("train_winner", 1, 704, 706, attempt=2),
    )  # fmt: skip


@pytest.fixture
def outcome():
    box_cox = Spec("linear", scaling="box-cox", why="3 columns are skewed")
    mended = Spec("linear", scaling="yeo-johnson", why="instead of #2, which failed", parent=2)
    trials = [
        trial(1, 1, Spec("forest", why="steps"), 0.8),
        trial(2, 1, box_cox, failure=f"ValueError: {EVIL} " + "x" * 500),
        trial(3, 1, Spec("svm", why="curves"), -40.0),
        trial(4, 2, replace(Spec("forest"), why="among the best of round 1", parent=1), 0.85),
        trial(5, 2, mended, 0.9),
    ]
    columns = [Column(EVIL, "number", 1, 50), Column("colour", "text", 0, 3)]
    profile = Profile(
        "t.csv", "ab" * 32, "sold", "classification", {"no": 40, EVIL: 60}, 100, columns, 1, [f"dropped {EVIL}"]
    )
    metrics = {"balanced_accuracy": (0.91, 0.5), "accuracy": (0.9, 0.6)}
    epochs = [Epoch(number, 1 if number < 3 else 2, 0.25, 0.8 + number / 100) for number in range(1, 9)]
    verdict = Verdict(20, metrics, {EVIL: 0.3, "colour": -0.01}, epochs)
    started = datetime(2025, 3, 4, 5, 6, tzinfo=UTC)
    table = TableRef("/data/t.csv", "sold", "ab" * 32)
    return Outcome("run-1", started, table, profile, 2, 3, 0, trials, trials[4], verdict)


class Strict(HTMLParser):
    """Counts ids, and fails where tags do not match."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.text = [], Counter(), ""

    def handle_starttag(self, tag, attrs):
        self.ids.update(value for name, value in attrs if name == "id")
        assert not [name for name, _ in attrs if name.startswith("on")]
        assert tag not in ("script", "link", "img", "iframe", "b onclick=x")
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.ids.update(value for name, value in attrs if name == "id")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_needs_nothing_else(outcome, attempts):
    text = page(outcome, command="regrow demo --csv t.csv --target sold", saved=Saved(3, 7, 61), attempts=attempts)
    parser = Strict()
    parser.feed(text)
    assert not parser.open
    assert {name: count for name, count in parser.ids.items() if count > 1} == {}
    assert not re.search(r"https?:|@import|url\((?!#)|#0101", text)
    assert set(re.findall(r"var\(--([\w-]+)\)", text)) <= set(re.findall(r"--([\w-]+):", text))
    for said in (
        "The best model for t.csv",
        "0.910",
        "guessing: 0.500",
        "#5 tried instead: linear (strength 1) · yeo-johnson, 0.900 ± 0.020",
        "7 of 10 calls were taken from the journal instead of being made again, which saved 1 min 1 s.",
        "pause: 11 min 37 s",
        "kept by cgroup v1 and RLIMIT_DATA",
        "One thing was staged",
        "1 worker was killed from outside",
        "OutOfMemory: ran out of memory",
        "certain; its cgroup counted it",
        "#3: 41 MiB of 128 MiB",
        "winner, attempt 2: 41 MiB of 64 MiB",
        "0.880",
        "regrow demo --csv t.csv --target sold",
        "refit(TableRef('/data/t.csv', 'sold'), Spec(family='linear', scaling='yeo-johnson'), seed=0)",
        "run-1",
        "2025-03-04 05:06 UTC",
        "dropped <b onclick=x>",
    ):
        assert said.lower() in parser.text.lower(), said


def test_the_page_is_the_same_each_time(outcome, attempts):
    assert page(outcome, attempts=attempts) == page(outcome, attempts=attempts)


def test_a_page_without_failures_workers_or_times(outcome):
    quiet = [replace(t, seconds=None) for t in outcome.trials if not t.failure]
    text = page(replace(outcome, trials=quiet, winner=quiet[-1]))
    assert "Every experiment gave a score." in text
    assert "how it was healed" not in text
    assert "pause" not in text


def test_a_page_of_workers_to_which_nothing_happened(outcome, attempts):
    text = page(outcome, attempts=attempts[:2])
    assert "No worker died, and none needed more than it was given at first." in text
    assert "staged" not in text


def test_every_worker_has_a_lane_and_what_only_ran_has_a_flat_one(outcome, attempts):
    text = page(outcome, attempts=attempts)
    lanes = re.findall(r'id="timeline-(evaluate|train_winner)-(\d)-(\d)-', text)
    assert sorted(lanes) == sorted((one.name, one.path[-1], str(one.attempt)) for one in attempts[1:])
    assert [one.path[-1] for one in attempts if one.isolated and not healed.is_eventful(one)] == ["1", "2"]


def test_what_died_of_what_on_what_evidence_and_how_it_was_healed(outcome, attempts):
    told = [(story.who, story.what, story.done) for story in healed.stories(attempts, outcome)]
    assert told == [
        ("#3 svm (strength 1)", "needed more memory", "64 → 128 MiB in place, held 2 ms, nothing lost"),
        ("#4 forest (depth 8)", "OutOfMemory: ran out of memory", "left at that"),
        ("#5 linear (strength 1) · yeo-johnson", "WorkerLost: gone", "resumed"),
        ("the winner's training, linear (strength 1) · yeo-johnson", "Preempted: taken", "resumed"),
    ]
    assert healed.stories(attempts, outcome)[1].evidence == f"certain; its cgroup counted it; {EVIL}"


def test_only_what_was_staged_is_called_that(attempts):
    assert healed.staged(attempts[:5]) == ""
    assert healed.staged(attempts[:6]).startswith("1 worker was killed from outside with SIGKILL.")
    assert "SIGTERM that a spot instance would get" in healed.staged(attempts)


def test_one_trial_is_enough(outcome):
    assert "<svg" in page(replace(outcome, trials=[outcome.winner]))


def test_written_where_it_is_wanted(outcome, tmp_path):
    path = write_report(outcome, tmp_path / "deep" / "report.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_lines_for_a_terminal(outcome, attempts):
    lines = render_text(outcome, Saved(3, 7, 61), attempts)
    assert lines[0] == "The best model for t.csv: linear (strength 1) · yeo-johnson"
    assert "balanced accuracy                  0.910     0.500" in lines
    assert any(line.startswith("5 experiments in 2 rounds, 1 failed") for line in lines)
    assert "  #5 linear (strength 1) · yeo-johnson: WorkerLost: gone; resumed" in lines
    assert lines[-1] == "7 of 10 calls were taken from the journal instead of being made again, which saved 1 min 1 s"
    assert [line for line in lines if line != line.rstrip() or "\n" in line or "\x1b" in line] == []


def test_the_best_are_those_that_came_far(outcome):
    assert [t.number for t in leaderboard(outcome)] == [5, 4, 3]


def test_where_the_winner_comes_from(outcome):
    assert [t.number for t in lineage(outcome)] == [2, 5]
    loop = replace(outcome.trials[0], spec=replace(outcome.trials[0].spec, parent=1))
    assert lineage(replace(outcome, trials=[loop], winner=loop)) == [loop]


def test_what_became_of_a_failure(outcome):
    assert answer(outcome.trials[1], outcome).startswith("#5 tried instead")
    assert answer(outcome.trials[2], outcome) == "left at that"


def test_pauses_are_cut_short_and_nothing_else():
    place, pauses = cut_pauses([(0, 10), (5, 20), (100, 110), (110.5, 120)])
    assert [place(0), place(20)] == [0, 20]
    assert pauses == [(20, pytest.approx(21.975), 80)]
    assert place(120) - place(100) == pytest.approx(20)
    assert cut_pauses([(0, 1), (2, 3)])[1] == []


@pytest.mark.parametrize(
    ("time", "said"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (72, "1 min 12 s"), (7_380, "2 h 3 min")]
)
def test_durations(time, said):
    assert duration(time) == said


def test_nothing_saved_is_said_too():
    assert str(Saved(50, 0, 0)) == "the search was not interrupted: its 50 calls were made in one go"
