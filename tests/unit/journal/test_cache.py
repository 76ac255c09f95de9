"""What passes between the cache and those who use it."""

from __future__ import annotations

import pytest

from regrow.journal.cache import RETAINED_SECONDS, Granted

pytestmark = pytest.mark.unit


def test_whoever_may_compute_is_told_of_damage_only_if_there_was_some():
    assert not Granted(1).damaged


def test_blobs_of_a_dropped_artifact_are_kept_for_the_hour_that_users_are_promised():
    assert RETAINED_SECONDS == 60.0 * 60.0
