"""What a driver counts of what it did."""

from __future__ import annotations

import pytest

from regrow.engine.news import Tally

pytestmark = pytest.mark.unit


def test_a_driver_that_has_just_taken_its_run_up_has_done_nothing_yet():
    assert Tally() == Tally(executed=0, replayed=0, seconds_saved=0.0, cached=0, cached_seconds=0.0)
