"""Amounts as people read them."""

import pytest

from regrow.amounts import counted, readable_size

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("call",), "0 calls"),
        (1, ("call",), "1 call"),
        (2, ("call",), "2 calls"),
        (12_345, ("call",), "12,345 calls"),
        (1, ("call was", "calls were"), "1 call was"),
        (3, ("call was", "calls were"), "3 calls were"),
    ],
)
def test_a_number_agrees_with_its_word(number, words, said):
    assert counted(number, *words) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0, "0 B"),
        (900, "900 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        (256 * 2**20, "256 MiB"),
        (100.4 * 2**20, "100 MiB"),
        (1.5 * 2**30, "1.5 GiB"),
        (3 * 2**40, "3.0 TiB"),
    ],
)
def test_a_size_is_told_in_the_largest_unit_that_it_reaches(amount, said):
    assert readable_size(amount) == said
