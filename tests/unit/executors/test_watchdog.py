"""When a worker is looked at, what is kept of it, and who goes when the host runs short."""

from __future__ import annotations

import pytest

from regrow.executors.limits.watchdog import CALM, CALM_GUARD, QUICK, TOP_SPEED, HostGuard, Watch, free_memory

pytestmark = pytest.mark.promise("P6")

MIB = 2**20
GIB = 2**30


def watch_of(*samples, limit=None):
    watch = Watch(limit)
    for now, memory in samples:
        watch.see(now, memory)
    return watch


# ------------------------------------------------------------------------------------------------ when to look next


@pytest.mark.parametrize(
    ("what", "samples", "interval"),
    [
        ("not looked at yet", [], CALM),
        ("holds still far below", [(0.0, 100 * MIB), (0.25, 100 * MIB)], CALM),
        ("shrinks", [(0.0, 600 * MIB), (0.25, 100 * MIB)], CALM),
        ("would take two seconds", [(0.0, 0), (0.25, 50 * MIB)], CALM),
        ("would take 0.6 seconds", [(0.0, 0), (0.25, 300 * MIB)], CALM),
        ("would take 0.4 seconds", [(0.0, 0), (0.25, 400 * MIB)], QUICK),
        ("holds still at 70 %", [(0.0, 700 * MIB), (0.25, 700 * MIB)], 0.146),
        ("holds still above 70 %", [(0.0, 701 * MIB), (0.25, 701 * MIB)], QUICK),
        ("shrinks, above 70 %", [(0.0, 900 * MIB), (0.25, 800 * MIB)], QUICK),
        ("is over", [(0.0, 1001 * MIB)], QUICK),
    ],
)
def test_a_worker_is_looked_at_quickly_only_when_its_limit_is_near_or_comes_near(what, samples, interval):
    assert watch_of(*samples, limit=1000 * MIB).interval() == pytest.approx(interval, rel=0.01), what


@pytest.mark.parametrize("limit", [16 * MIB, 64 * MIB, 256 * MIB, GIB, 16 * GIB])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.69])
def test_a_calm_worker_cannot_pass_its_limit_before_the_next_look_but_by_a_quick_look_s_worth(limit, share):
    held = int(limit * share)
    watch = watch_of((0.0, held), (1.0, held), limit=limit)
    assert held + TOP_SPEED * watch.interval() <= max(limit, held + TOP_SPEED * QUICK)


def test_a_worker_that_takes_500_megabytes_a_second_overshoots_by_at_most_ten():
    speed, limit = 500_000_000, 256 * MIB
    for begins in (0.0, 0.01, 0.1, 0.3, 1.0):
        watch = Watch(limit)
        now = 0.0
        while not watch.is_over():
            watch.see(now, int(speed * max(0.0, now - begins)))
            now += watch.interval()
        assert watch.peak - limit <= 10_000_000


def test_without_a_limit_there_is_nothing_to_hurry_for():
    watch = watch_of((0.0, 0), (0.25, 8 * GIB))
    assert watch.interval() == CALM
    assert not watch.is_over()


@pytest.mark.parametrize(("memory", "is_over"), [(0, False), (99, False), (100, False), (101, True)])
def test_a_worker_is_over_when_it_has_more_than_its_limit(memory, is_over):
    assert watch_of((0.0, memory), limit=100).is_over() is is_over


def test_a_worker_that_came_back_below_its_limit_is_not_over_but_its_peak_stays():
    watch = watch_of((0.0, 150), (0.1, 50), limit=100)
    assert not watch.is_over()
    assert watch.peak == 150


def test_a_raised_limit_counts_at_once():
    watch = watch_of((0.0, 300 * MIB), (0.25, 300 * MIB), limit=256 * MIB)
    assert watch.is_over()
    watch.limit = 4 * GIB
    assert not watch.is_over()
    assert watch.interval() == CALM


# --------------------------------------------------------------------------------------------- what is known of it


@pytest.mark.parametrize(
    ("what", "samples", "growth"),
    [
        ("nothing is known", [], None),
        ("one look has no rate", [(0.0, 100)], None),
        ("two at one moment have none", [(1.0, 100), (1.0, 200)], None),
        ("the last two, however far apart", [(0.0, 100), (10.0, 200)], 10.0),
        ("an old burst is past", [(0.0, 0), (0.1, 1000), (1.0, 1000), (1.2, 1000)], 0.0),
        ("over a quarter of a second", [(1.0, 0), (1.05, 0), (1.1, 0), (1.15, 0), (1.2, 100)], 500.0),
        ("a second look at the same moment replaces the first", [(0.0, 0), (1.0, 50), (1.0, 100)], 100.0),
        ("shrinking is negative", [(0.0, 100), (0.2, 0)], -500.0),
    ],
)
def test_growth_is_that_of_the_last_looks(what, samples, growth):
    found = watch_of(*samples).growth
    assert found == (None if growth is None else pytest.approx(growth)), what


def test_only_the_last_samples_are_kept_in_order():
    watch = watch_of(*((float(n), n) for n in range(1000)))
    assert watch.samples == tuple((float(n), n) for n in range(936, 1000))
    assert watch.peak == 999


# ---------------------------------------------------------------------------------------------------- the journal


@pytest.mark.parametrize(
    ("what", "limit", "memories", "recorded"),
    [
        ("a small worker writes nothing", 1000 * MIB, [1, 20, 50, 30], []),
        ("more than 5 % of the limit is news", 1000 * MIB, [1, 51, 60, 101, 102], [51, 102]),
        ("less is as well", 1000 * MIB, [200, 190, 149, 10], [200, 149, 10]),
        ("without a limit, more than 16 MiB is", None, [16, 17, 33, 34, 17], [17, 34, 17]),
    ],
)
def test_a_sample_is_recorded_when_it_is_news(what, limit, memories, recorded):
    watch = watch_of(*((float(n), memory * MIB) for n, memory in enumerate(memories)), limit=limit)
    assert [memory // MIB for _, memory in watch.new_samples()] == recorded, what


def test_each_sample_is_given_once_and_the_next_is_compared_with_the_last_that_was_recorded():
    watch = watch_of((0.0, 200 * MIB), limit=1000 * MIB)
    assert watch.new_samples() == ((0.0, 200 * MIB),)
    assert watch.new_samples() == ()
    watch.see(1.0, 210 * MIB)
    assert watch.new_samples() == ()
    watch.see(2.0, 251 * MIB)
    assert watch.new_samples() == ((2.0, 251 * MIB),)


@pytest.mark.parametrize("count", [9, 20, 64, 65, 200, 5000])
def test_at_most_eight_are_given_at_a_time_with_the_first_the_last_and_the_highest(count):
    watch = Watch(100 * MIB)
    highest = count // 3
    for n in range(count):
        watch.see(float(n), 95 * MIB if n == highest else (10 if n % 2 else 30) * MIB)
    given = watch.new_samples()
    assert 3 <= len(given) <= 8
    assert list(given) == sorted(given)
    assert given[0][0] == 0.0
    assert given[-1][0] == count - 1
    assert max(memory for _, memory in given) == 95 * MIB


def test_a_worker_whose_samples_nobody_asks_for_does_not_fill_the_memory_of_the_driver():
    watch = Watch(100 * MIB)
    for n in range(10_000):
        watch.see(float(n), (10 if n % 2 else 30) * MIB)
    assert len(watch._pending) <= 64


# --------------------------------------------------------------------------------------------------- the host


@pytest.mark.parametrize(
    ("free", "total", "is_low"),
    [
        (64 * MIB, GIB, False),
        (64 * MIB - 1, GIB, True),
        (1, GIB, True),
        (100 * MIB, 64 * GIB, True),  # 3 % of that are nearly 2 GiB
        (2 * GIB, 64 * GIB, False),
    ],
)
def test_a_worker_goes_when_less_than_64_mib_or_3_percent_is_left(free, total, is_low):
    victim = HostGuard().victim(free, total, {"only": (8 * GIB, None)})
    assert victim == ("only" if is_low else None)


@pytest.mark.parametrize(
    ("what", "usage", "victim"),
    [
        ("nobody is there", {}, None),
        ("nobody has taken anything", {"a": (0, None), "b": (0, 100 * MIB)}, None),
        ("the one without a limit", {"a": (900 * MIB, GIB), "b": (200 * MIB, None)}, "b"),
        ("the largest without a limit", {"a": (200 * MIB, None), "b": (300 * MIB, None), "c": (GIB, GIB)}, "b"),
        ("the nearest to its limit, not the largest", {"a": (700 * MIB, GIB), "b": (190 * MIB, 200 * MIB)}, "b"),
        ("a small one without a limit would not help", {"a": (900 * MIB, GIB), "b": (1 * MIB, None)}, "a"),
        ("nor would a small one at its limit", {"a": (300 * MIB, GIB), "b": (16 * MIB, 16 * MIB)}, "a"),
        ("the largest, if none would help alone", {"a": (30 * MIB, GIB), "b": (1 * MIB, None)}, "a"),
    ],
)
def test_the_worker_that_goes_is(what, usage, victim):
    assert HostGuard().victim(MIB, GIB, usage) == victim, what


@pytest.mark.parametrize(("free", "interval"), [(GIB, CALM_GUARD), (200 * MIB, QUICK), (1, QUICK)])
def test_the_host_is_looked_at_quickly_when_a_worker_could_take_what_is_left_before_the_next_calm_look(free, interval):
    assert HostGuard().interval(free, GIB) == interval
    assert interval == QUICK or (free - 64 * MIB) > interval * TOP_SPEED


def test_no_second_worker_is_named_while_the_first_is_still_leaving():
    guard = HostGuard()
    usage = {"a": (300 * MIB, None), "b": (200 * MIB, None)}
    assert guard.victim(MIB, GIB, usage) == "a"
    assert guard.victim(MIB, GIB, usage | {"b": (400 * MIB, None)}) == "a"
    assert guard.victim(MIB, GIB, {"b": (400 * MIB, None)}) == "b"


def test_a_worker_that_was_named_and_got_away_may_be_passed_over_the_next_time():
    guard = HostGuard()
    assert guard.victim(MIB, GIB, {"a": (300 * MIB, None)}) == "a"
    assert guard.victim(GIB, GIB, {"b": (100 * MIB, None)}) is None
    assert guard.victim(MIB, GIB, {"a": (100 * MIB, None), "b": (300 * MIB, None)}) == "b"


@pytest.mark.parametrize(
    ("available", "limit", "used", "free"),
    [(500, None, 900, 500), (500, 1000, 900, 100), (500, 5000, 900, 500), (500, 1000, 1100, 0)],
)
def test_what_is_free_is_the_least_of_machine_and_container(available, limit, used, free):
    assert free_memory(available, limit, used) == free


def test_a_look_at_a_worker_whose_memory_is_being_taken_back_does_not_turn_its_growth():
    watch = Watch(100)
    for moment, memory in enumerate((20, 60, 100, 5)):
        watch.see(float(moment) / 1000, memory)
    assert watch.growth < 0
    assert watch.growth_to_peak > 0
