"""The page on reliability: made of results and of nothing else, and the committed one of the committed results."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from reliability import mutation, results
from reliability.__main__ import PAGE
from reliability.campaigns import CAMPAIGNS, OTHER_TESTS
from reliability.figures import RandomKills, Spread, Worlds
from reliability.measured import Measured
from reliability.outcomes import Outcome
from reliability.page import page
from reliability.promises import PROMISES
from reliability.results import Result
from reliability.running import conclude

TESTS = Path(__file__).parents[2]
WORLDS, *_ = CAMPAIGNS
MONDAY = Measured("2026-11-23", "abc1234", "3.11.7", "Linux 6.1 x86_64", 2, 90.0)
TUESDAY = msgspec.structs.replace(MONDAY, on="2026-11-24", commit="def5678")
QUIET = {"worlds": 3, "events": 7, "virtual_hours": 0.5, "faults": {"let go": 2}, "situations": {}, "violations": []}


def outcome(name, ended="passed", **more):
    return Outcome(f"tests/sim/test_world.py::{name}", ended, **more)


def row(text, beginning):
    return next(line for line in text.splitlines() if line.startswith(f"| {beginning}"))


# -- what is committed -------------------------------------------------------------------------------------------------


def test_the_committed_page_is_that_of_the_committed_results():
    assert PAGE.read_text("utf-8") == page(results.load(), mutation.load()), (
        "run `make reliability RELIABILITY_ARGS=--page`"
    )


def test_each_promise_has_tests_and_no_test_holds_one_that_there_is_not():
    marked = {
        name
        for file in TESTS.rglob("test_*.py")
        for names in re.findall(r"mark\.promise\(([^)]*)\)", file.read_text("utf-8"))
        for name in re.findall(r'"(\w+)"', names)
    }
    assert marked == {promise.name for promise in PROMISES}


def test_the_tests_of_each_campaign_are_there_and_hand_their_figures_over():
    for campaign in CAMPAIGNS:
        text = "".join((TESTS.parent / test).read_text("utf-8") for test in campaign.tests)
        assert campaign.figures is None or re.search(r"^    figures\(", text, re.MULTILINE), campaign.name
        assert all(variable in text for variable in campaign.sizes), campaign.name


# -- what it says ------------------------------------------------------------------------------------------------------


def test_violations_are_told_of_as_many_as_there_could_have_been():
    found = Worlds.of([QUIET | {"violations": ["world 2 broke", "so did 3"]}])
    told = page({WORLDS.name: Result(WORLDS.name, MONDAY, figures=found)})
    assert "| 2 of 3 worlds | 2026-11-23 at abc1234 |" in row(told, "[Simulated worlds]")


def test_a_campaign_that_the_host_cannot_run_is_named_with_the_reason():
    ended = [
        outcome("test_a_control"),
        outcome("test_it", "skipped", reason="no disk to mount", promises=("P1",)),
    ]
    told = page({WORLDS.name: conclude(WORLDS, ended, MONDAY)})
    assert "no figures: no disk to mount" in row(told, "[Simulated worlds]")


def test_a_campaign_that_failed_before_it_had_figures_says_so():
    result = conclude(WORLDS, [outcome("test_it", "failed", reason="ValueError: x", promises=("P2",))], MONDAY)
    assert (result.figures, result.why_none, result.is_good) == (None, "ValueError: x", False)


def test_a_campaign_that_was_never_run_is_named():
    assert "not run yet" in row(page({}), "[Simulated worlds]")


def test_each_row_says_when_it_was_measured():
    ended = [outcome("test_it", promises=("P2",))]
    other = [Outcome("tests/sim/test_replay.py::test_it", "passed", promises=("P2",))]
    told = page({WORLDS.name: conclude(WORLDS, ended, MONDAY), OTHER_TESTS.name: conclude(OTHER_TESTS, other, TUESDAY)})
    assert "| 2026-11-23 at abc1234 |" in row(told, "[sim/test_world.py]")
    assert "| 2026-11-24 at def5678 |" in row(told, "[sim/test_replay.py]")


def test_tests_are_counted_by_promise_and_skipped_ones_with_their_reasons():
    ended = [
        outcome("test_a", promises=("P2", "P4")),
        outcome("test_b", "failed", promises=("P2",)),
        outcome("test_c", "skipped", reason="no strace", promises=("P2",)),
        outcome("test_d"),
    ]
    told = page({WORLDS.name: conclude(WORLDS, ended, MONDAY)})
    assert "| 3 | 1 | 1 | 1: no strace |" in row(told.partition("### P2")[2], "[sim")
    assert "| 1 | 1 | 0 | 0 |" in row(told.partition("### P4")[2], "[sim")


def test_a_control_has_found_its_bug_only_if_it_did_with_each_parameter():
    ended = [
        outcome("test_one[a]", is_control=True),
        outcome("test_one[b]", "failed", is_control=True),
        outcome("test_two", is_control=True),
        outcome("test_three", "skipped", is_control=True),
    ]
    told = page({WORLDS.name: conclude(WORLDS, ended, MONDAY)})
    assert "- `test_one`: **not found**\n- `test_two`: found\n- `test_three`: not tried here\n" in told


@pytest.mark.parametrize("times", [[3.0], [1.0, 2.0, 3.0], [*range(1, 101)]], ids=len)
def test_a_spread_is_of_times_that_were_seen(times):
    spread = Spread.of(reversed(times))
    assert spread.seen == len(times)
    assert sum(one <= spread.p50 for one in times) >= len(times) / 2
    assert sum(one > spread.p99 for one in times) <= len(times) / 100


def test_recovery_is_told_of_all_kills_and_by_what_was_killed():
    counts = dict.fromkeys(("runs", "takeovers", "effects", "repeated", "records"), 9)
    found = RandomKills.of(
        [counts | {"kills": {"driver": 2}, "recoveries": {"driver": [1.0], "worker": [0.5]}, "violations": []}]
    )
    assert found.recovery == Spread(2, 0.5, 1.0)
    assert found.recovery_of["driver"] == Spread(1, 1.0, 1.0)


def test_mutants_that_survive_are_told_with_those_that_nobody_has_explained(tmp_path):
    counts = {"mutants": 100, "tried": 80, "killed": 70, "timed_out": 2, "survived": 8, "equivalent": 5, "accepted": 1}
    (tmp_path / "last.json").write_bytes(msgspec.json.encode(counts | {"commit": "abc", "python": "3", "modules": {}}))
    told = row(page({}, mutation.load(tmp_path / "last.json")), "[Mutants]")
    assert "80 of 100 mutants of engine and journal: 90.0 % noticed" in told
    assert "2 of 8 survivors without a reason" in told
    assert "[Mutants]" not in page({}, mutation.load(tmp_path / "missing.json"))


def test_a_test_of_a_campaign_that_failed_is_named_though_nothing_was_violated():
    ended = [outcome("test_it", figures=(QUIET,)), outcome("test_that_fails", "failed")]
    told = page({WORLDS.name: conclude(WORLDS, ended, MONDAY)})
    assert "| 0 of 3 worlds; tests failed: 1 |" in row(told, "[Simulated worlds]")
    assert "- **failed:** `tests/sim/test_world.py::test_that_fails`" in told


def test_a_campaign_without_figures_tells_how_many_of_its_tests_have_failed():
    fuzz = next(one for one in CAMPAIGNS if one.figures is None)
    ended = [outcome("test_it"), outcome("test_too", "failed"), outcome("test_not", "skipped", reason="r")]
    told = row(page({fuzz.name: conclude(fuzz, ended, MONDAY)}), f"[{fuzz.title}]")
    assert "| 1 of 2 tests | 2026-11-23 at abc1234 |" in told


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_running_one_campaign_again_keeps_what_the_others_had_come_to(tmp_path):
    both = {
        WORLDS.name: conclude(WORLDS, [outcome("test_it", promises=("P2",), figures=(QUIET,))], MONDAY),
        OTHER_TESTS.name: conclude(OTHER_TESTS, [outcome("test_it", promises=("P2",))], MONDAY),
    }
    results.save(both, tmp_path)
    again = conclude(WORLDS, [outcome("test_it", figures=(QUIET,))], TUESDAY)
    results.save({WORLDS.name: again}, tmp_path)
    assert results.load(tmp_path) == both | {WORLDS.name: again}
