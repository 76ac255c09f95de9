"""Amounts of money: read exactly, added up exactly, and shown as people want them."""

from __future__ import annotations

from decimal import Decimal

import pytest

import regrow
from regrow.values.money import in_dollars, nanodollars, readable_money

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1, 10**9),
        (0, 0),
        (0.1, 10**8),
        ("0.0042", 4_200_000),
        (" 12.5 ", 12_500_000_000),
        (Decimal("0.00000015"), 150),
        ("1e-9", 1),
        ("0.0000000004", 0),
        (9_000_000_000, 9 * 10**18),
    ],
)
def test_an_amount_is_read_in_billionths(given, expected):
    assert nanodollars(given) == expected


def test_a_tenth_ten_times_is_one():
    assert sum(nanodollars(0.1) for _ in range(10)) == nanodollars(1)


@pytest.mark.parametrize("given", [-1, -0.01, "-3", float("nan"), float("inf"), "Infinity", 10**10, "1e400"])
def test_what_nobody_can_have_spent_is_refused(given):
    with pytest.raises(regrow.UsageError, match=r"^cost must be between 0 and nine billion US dollars; it is "):
        nanodollars(given, what="cost")


@pytest.mark.parametrize("given", ["five", "$5", "", True, None, b"1", 1j])
def test_what_is_no_number_is_refused(given):
    with pytest.raises(regrow.UsageError, match=r"^cost takes US dollars, as a number or text such as '0.0042'; not "):
        nanodollars(given, what="cost")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ("0", "$0.00"),
        ("12.5", "$12.50"),
        ("1234.5", "$1,234.50"),
        ("1", "$1.00"),
        ("0.5", "$0.50"),
        ("0.12345", "$0.1235"),
        ("0.01", "$0.01"),
        ("0.0042", "$0.0042"),
        ("0.00000015", "$0.00000015"),
        ("0.000000001", "$0.000000001"),
    ],
)
def test_an_amount_is_shown_with_the_digits_that_tell_something(amount, shown):
    assert readable_money(nanodollars(amount)) == shown


def test_programs_are_given_dollars():
    assert in_dollars(nanodollars("0.0042")) == 0.0042
