"""Campaigns are run as pytest would run them, at the size that the report says and no other."""

from __future__ import annotations

import pytest
from reliability.campaigns import Campaign
from reliability.figures import Worlds
from reliability.running import CampaignBroke, run

SUITE = """
import os

def test_that_measures(record_property):
    worlds = int(os.environ["REGROW_SIM_SEEDS"])
    violations = ["a bug"] * ("REGROW_SIM_HARDSHIP" in os.environ)
    zero = {"events": 0, "virtual_hours": 0.0, "faults": {}, "situations": {}}
    record_property("figures", zero | {"worlds": worlds, "violations": violations})
"""


def campaign(name, file):
    sizes = {"REGROW_SIM_SEEDS": "7"}
    return Campaign(name, "A title", "What it does.", (str(file),), sizes, {"REGROW_SIM_SEEDS": "3"}, Worlds.of)


@pytest.fixture
def suite(tmp_path):
    file = tmp_path / "test_suite.py"
    file.write_text(SUITE, "utf-8")
    return file


@pytest.mark.parametrize(("quick", "worlds"), [(False, 7), (True, 3)], ids=["full", "quick"])
def test_a_campaign_has_its_own_size_and_nothing_else_that_somebody_has_set(suite, monkeypatch, quick, worlds):
    monkeypatch.setenv("REGROW_SIM_SEEDS", "1")
    monkeypatch.setenv("REGROW_SIM_HARDSHIP", "4")
    (result,) = run([campaign("one", suite)], quick=quick, tell=lambda line: None)
    assert result.is_good
    assert (result.figures.worlds, result.figures.violations) == (worlds, 0)


def test_a_campaign_that_comes_to_no_end_does_not_take_the_others_with_it(suite, tmp_path):
    broken = tmp_path / "test_broken.py"
    broken.write_text("import nothing_of_that_name\n", "utf-8")
    chosen = [campaign("broken", broken), campaign("after", suite)]
    found = []
    with pytest.raises(CampaignBroke, match=r"broken: pytest ended with \d(?s:.*)nothing_of_that_name"):
        for result in run(chosen, quick=True, tell=lambda line: None):
            found.append(result.campaign)
    assert found == ["after"]


def test_a_test_that_fails_is_told_with_what_it_said(suite):
    suite.write_text(f"{SUITE}\n\ndef test_that_fails():\n    assert not 'what was seen'\n", "utf-8")
    told = []
    (result,) = run([campaign("one", suite)], quick=True, tell=told.append)
    assert [name.partition("::")[2] for name in result.failed] == ["test_that_fails"]
    assert not result.is_good
    assert result.figures.worlds == 3
    assert "what was seen" in "".join(told)
