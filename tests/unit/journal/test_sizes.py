"""What sizes that worked say about the next one: a table of what was seen and what follows."""

from __future__ import annotations

import pytest

from regrow.journal.sizes import suggested_memory
from regrow.journal.store import SIZES_KEPT, SizeSeen

MI = 2**20


def seen(memory: int, peak: int | None = None, run: str = "run-1") -> SizeSeen:
    return SizeSeen("module:task", 10, memory * MI, None if peak is None else peak * MI, run, 1.0)


def suggested(*sizes: SizeSeen, declared: int = 256) -> int | None:
    found = suggested_memory(sizes, declared * MI)
    return None if found is None else found.memory // MI


def test_what_nobody_has_seen_suggests_nothing() -> None:
    assert suggested() is None


@pytest.mark.parametrize("enough", [seen(256), seen(256, 250), seen(128), seen(4096, 200), seen(4096, 10)])
def test_what_was_declared_is_never_lowered(enough: SizeSeen) -> None:
    assert suggested(enough) is None


def test_a_limit_under_which_it_worked_is_taken_where_the_peak_is_not_known() -> None:
    assert suggested(seen(512)) == 512


@pytest.mark.parametrize(
    ("peak", "need"),
    [
        (320, 368),  # 320 with 15 % more, which is a whole number of steps already
        (321, 384),
        (400, 464),
        (600, 704),
    ],
)
def test_a_known_peak_is_given_headroom_and_rounded_up_to_a_whole_step(peak: int, need: int) -> None:
    assert suggested(seen(1024, peak)) == need


def test_a_need_never_passes_the_limit_that_was_seen_to_be_enough() -> None:
    assert suggested(seen(512, 510)) == 512
    assert suggested(seen(500, 499)) == 500
    assert suggested(seen(500, 500)) == 500


def test_a_peak_above_the_limit_that_only_a_watchdog_kept_is_given_its_headroom() -> None:
    assert suggested(seen(512, 600)) == 704


def test_an_amount_that_is_no_whole_number_of_mebibytes_is_rounded_up_too() -> None:
    found = suggested_memory([SizeSeen("module:task", 10, 2**40, 400 * MI + 1, "run-1", 1.0)], 1)
    assert found is not None
    assert found.memory == 464 * MI


def test_a_need_of_exactly_what_was_declared_suggests_nothing() -> None:
    assert suggested(seen(1024, 400), declared=464) is None
    assert suggested(seen(1024, 400), declared=463) == 464


def test_the_largest_need_counts_and_not_the_largest_limit() -> None:
    assert suggested(seen(4096, 300), seen(512), seen(1024, 400)) == 512


def test_the_suggestion_says_where_it_comes_from() -> None:
    largest = seen(2048, 600, "run-7")
    found = suggested_memory([seen(512, 300), largest, seen(1024, 500)], 256 * MI)
    assert found == SizeSeen("module:task", 10, 704 * MI, 600 * MI, "run-7", 1.0)
    assert largest.memory == 2048 * MI


def test_of_equal_needs_the_latest_is_named() -> None:
    found = suggested_memory([seen(512, run="later"), seen(512, run="earlier")], 256 * MI)
    assert found is not None
    assert found.run == "later"


def test_a_size_that_lies_too_far_back_does_not_count() -> None:
    later = [seen(300, 10)] * (SIZES_KEPT - 1)
    assert suggested(*later, seen(1024)) == 1024
    assert suggested(*later, seen(300, 10), seen(1024)) is None


def test_what_was_suggested_and_worked_suggests_the_same_again() -> None:
    first = suggested_memory([seen(2048, 600)], 256 * MI)
    assert first is not None
    again = SizeSeen("module:task", 10, first.memory, 600 * MI, "run-2", 2.0)
    assert suggested(again) == first.memory // MI
