"""What a driver does about an order, as a table."""

from __future__ import annotations

import pytest

from regrow.engine.heed import heed
from regrow.journal.orders import EVERYWHERE, Order, Stop, in_force

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("order", "since", "at_rest", "act"),
    [
        (None, 100.0, True, "nothing"),
        (Order("cancel", "a", 10.0), 0.0, False, "cancel"),
        (Order("cancel", "a", 10.0), 9.9, True, "cancel"),
        (Order("cancel", "a", 10.0), 10.0, False, "end by force"),
        (Order("cancel", "a", 0.0), 0.0, False, "end by force"),
        (Order("pause", "a", 10.0), 0.0, False, "hold"),
        (Order("pause", "a", 10.0), 9.9, False, "hold"),
        (Order("pause", "a", 10.0), 0.1, True, "let go"),
        (Order("pause", "a", 10.0), 10.0, False, "let go"),
        (Order("pause", "a", 0.0), 0.0, False, "let go"),
    ],
)
def test_an_order_is_carried_out_gently_first_and_by_force_when_its_grace_is_over(order, since, at_rest, act):
    assert heed(order, since=since, at_rest=at_rest) == act


def test_a_stop_holds_for_its_own_project_and_that_of_the_store_for_every_one():
    north, everywhere = Stop("north", "a", 1.0), Stop(EVERYWHERE, "b", 2.0)
    assert in_force([north], "north") == north
    assert in_force([north], "south") is None
    assert in_force([], "north") is None
    assert in_force([north, everywhere], "north") == everywhere
    assert in_force([north, everywhere], "south") == everywhere
