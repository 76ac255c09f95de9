"""Durations, back-off, options and ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.errors import UsageError
from regrow.values.backoff import Backoff, asked_wait
from regrow.values.durations import readable, seconds
from regrow.values.ids import idempotency_key, new_run_id, shard_of_key, shard_of_run
from regrow.values.options import Options, merge


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (3, 3.0),
        (0.5, 0.5),
        ("250ms", 0.25),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("1.5 h", 5400.0),
        ("2d", 172_800.0),
        ("1w", 604_800.0),
        (timedelta(minutes=2), 120.0),
        (0, 0.0),
    ],
)
def test_a_duration_is_read_as_it_is_written(written: object, meant: float) -> None:
    assert seconds(written) == meant  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", ["", "ten", "10", "10x", "5m oops", -1, float("inf"), float("nan"), True, None, [1], "-3s"]
)
def test_what_is_no_duration_is_refused_with_its_name(wrong: object) -> None:
    with pytest.raises(UsageError, match="timeout"):
        seconds(wrong, what="timeout")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("span", "shown"),
    [
        (0.0000074, "7 µs"),
        (0.012, "12 ms"),
        (3.14, "3.1 s"),
        (250, "4 min 10 s"),
        (7500, "2 h 5 min"),
        (190_000, "2 d 4 h"),
    ],
)
def test_a_duration_is_shown_at_the_precision_a_person_wants(span: float, shown: str) -> None:
    assert readable(span) == shown


def test_waits_grow_to_their_cap_and_never_shrink_below_what_was_asked() -> None:
    backoff = Backoff(base="1s", factor=2, cap="10s", jitter=0)
    assert [backoff.wait(attempt, "x") for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert backoff.wait(1, "x", asked=30) == 30
    assert backoff.wait(10_000, "x") == 10


@given(st.integers(1, 10_000), st.text(), st.floats(0, 1))
def test_jitter_only_adds_its_share_and_is_the_same_every_time(attempt: int, identity: str, jitter: float) -> None:
    backoff, plain = Backoff(base=1, jitter=jitter), Backoff(base=1, jitter=0)
    wait = backoff.wait(attempt, identity)
    assert plain.wait(attempt, identity) <= wait <= plain.wait(attempt, identity) * (1 + jitter)
    assert backoff.wait(attempt, identity) == wait


def test_jitter_spreads_calls_that_failed_together() -> None:
    assert len({Backoff(base=1, jitter=0.5).wait(1, f"call#{number}") for number in range(100)}) > 90


@pytest.mark.parametrize("wrong", [{"factor": 0.5}, {"jitter": 2}, {"base": "soon"}, {"cap": -1}])
def test_a_backoff_that_cannot_be_meant_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="Backoff"):
        Backoff(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "heard"),
    [(2, 2.0), ("3.5", 3.5), (timedelta(seconds=4), 4.0), ("tomorrow", None), (-1, None), (True, None), (None, None)],
)
def test_retry_after_is_heard_only_where_it_is_clear(said: object, heard: float | None) -> None:
    error = RuntimeError()
    error.retry_after = said  # type: ignore[attr-defined]
    assert asked_wait(error) == heard


def test_an_unknown_option_names_the_nearest_right_one() -> None:
    with pytest.raises(UsageError, match="unknown option 'retry'; did you mean 'retries'"):
        merge(Options(), {"retry": 3}, owner="@regrow.step on f")


@pytest.mark.parametrize(
    "wrong",
    [
        {"retries": -1},
        {"retries": True},
        {"retries": "3"},
        {"name": ""},
        {"name": "a/b"},
        {"name": "a b"},
        {"backoff": 3},
        {"timeout": "soon"},
        {"deadline": datetime(2030, 1, 1)},  # noqa: DTZ001 - that it has no zone is the point
        {"once": "yes"},
        {"reconcile": 3, "once": True},
        {"once": True, "retries": 1},
        {"reconcile": print},
    ],
)
def test_options_that_cannot_be_meant_are_refused_with_their_owner(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"@regrow.step on f"):
        merge(Options(), wrong, owner="@regrow.step on f")


def test_a_deadline_is_a_span_or_a_moment() -> None:
    assert merge(Options(), {"deadline": "2m"}, owner="x").deadline == 120
    moment = merge(Options(), {"deadline": datetime(2030, 1, 1, tzinfo=UTC)}, owner="x")
    assert moment.deadline_is_moment
    assert moment.deadline == datetime(2030, 1, 1, tzinfo=UTC).timestamp()


@given(st.floats(0, 2**47 / 1000), st.floats(1, 1e6))
def test_later_runs_sort_later(now: float, later: float) -> None:
    assert new_run_id(now) < new_run_id(now + later)


@given(st.text(min_size=1))
def test_a_keyed_run_carries_the_shard_of_its_key(key: str) -> None:
    assert shard_of_run(new_run_id(1e9, key=key)) == shard_of_key(key)


def test_run_ids_are_26_characters_without_look_alikes_and_never_the_same() -> None:
    ids = {new_run_id(1e9) for _ in range(10_000)}
    assert len(ids) == 10_000
    assert all(len(run) == 26 and not set(run) & set("ilou") for run in ids)


def test_idempotency_keys_are_stable_and_differ_between_runs_and_calls() -> None:
    assert idempotency_key("r", "a#1") == idempotency_key("r", "a#1")
    assert len({idempotency_key("r", "a#1"), idempotency_key("r", "a#2"), idempotency_key("q", "a#1")}) == 3
