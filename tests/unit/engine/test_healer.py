"""What the ladder is asked and answers, where nothing else is said."""

from __future__ import annotations

from regrow.engine.healer import Situation, TryAgain
from regrow.values.options import Options
from regrow.values.resources import Resources


def test_another_attempt_is_a_plain_retry_that_counts_unless_a_rung_says_otherwise():
    plain = TryAgain(5.0)
    assert (plain.moment, plain.remedy, plain.chosen_by, plain.counts) == (5.0, None, "retries", True)


def test_a_run_of_which_nothing_is_said_has_no_budget_and_has_spent_none():
    situation = Situation(Options(), "key", 1, (), 0, 1.0, 2.0, Resources(), 2**30)
    assert (situation.bounds, situation.spent, situation.run_began) == (None, 0, 0.0)
