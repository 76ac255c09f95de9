"""Explanations of runs."""

from __future__ import annotations

import pytest

from regrow.codec import capture
from regrow.errors import Divergence, OutcomeUnknown, OutOfMemory
from regrow.insight.last_seen import Here
from regrow.insight.stops import lift_command
from regrow.insight.why import explain
from regrow.journal.orders import Stop
from regrow.journal.records import AttemptFailed, CallFailed, DriverClosed, RunEnded, WorkerGrown, WorkerSampled
from regrow.journal.store import RunRow
from regrow.remedies import Grow
from regrow.values.ids import idempotency_key

from .writing import MIB, call, done, driver, error, failed, healed, started, worker

pytestmark = pytest.mark.unit
RUN = "r" * 26


def row(outcome=None, *, held=False, key=None):
    ended = 1_100.0 if outcome else None
    return RunRow(RUN, "agent:agent", 1_000.0, key, "default", outcome, 1, "ann@host pid 1 (aa)", held, ended)


def commands(explanation):
    return [way.command for way in explanation.ways if way.command]


def test_a_failed_run_is_blamed_on_the_innermost_call_with_each_attempts_own_error(write):
    write.begin()(started("a#1"), AttemptFailed(call("a#1/s#1"), 1, 1_001.0, error("first"), 1_004.0))
    write(failed("a#1/s#1", 2, text="last"), failed("a#1", again=("a#1/s#1",), text="last", kind="task"))
    write(RunEnded("failed", error("last"), ("a#1",)))
    why = explain(row("failed"), write.records)
    assert [one.path for one in why.culprits] == ["a#1", "a#1/s#1"]
    assert [one.error.message for one in why.culprits[-1].attempts if one.error] == ["first", "last"]
    assert why.frame is not None
    assert why.frame.function.endswith("in_user_code")
    assert "ValueError: last" in why.headline
    assert any("has failed 2 times" in sentence for sentence in why.tried)
    assert commands(why) == [f"regrow retry {'r' * 8}"]


def test_a_failure_that_the_code_handled_is_not_blamed(write):
    write.begin()(started("a#1"), failed("a#1/s#1", text="handled"), failed("a#1", text="other", kind="task"))
    write(RunEnded("failed", error("other"), ("a#1",)))
    assert [one.path for one in explain(row("failed"), write.records).culprits] == ["a#1"]


def test_a_killed_run_shows_what_had_begun_and_how_to_resume(write):
    write.begin()(started("a#1"), done("a#1/s#1"), started("a#1/t#1"))
    why = explain(row(key="monday"), write.records, options=" --store x", loading=" --file f.py")
    assert [one.path for one in why.unfinished] == ["a#1", "a#1/t#1"]
    assert why.finished == 1
    assert "disappeared without a word" in why.headline
    assert commands(why) == [
        f"regrow resume {'r' * 8} --file f.py --store x",
        f"regrow cancel {'r' * 8} --store x",
    ]
    assert any("'monday'" in way.what for way in why.ways)


def test_a_run_that_was_stopped_in_good_order_is_told_apart_from_one_that_was_killed(write):
    write.begin()(started("a#1"), DriverClosed("KeyboardInterrupt"))
    assert "Ctrl-C" in explain(row(), write.records).headline


def test_an_unknown_outcome_gives_the_command_for_each_answer(write):
    unknown = capture(OutcomeUnknown("a#1/pay#1", "key"))
    write.begin()(started("a#1"), started("a#1/pay#1", once=True, kind="step"), RunEnded("failed", unknown))
    ways = commands(explain(row("failed"), write.records))
    assert ways == [
        f"regrow resolve {'r' * 8} 'a#1/pay#1' --happened JSON --retry",
        f"regrow resolve {'r' * 8} 'a#1/pay#1' --did-not-happen --retry",
    ]


def test_each_call_whose_outcome_is_unknown_has_its_key_and_its_two_commands(write):
    unknown = capture(OutcomeUnknown("a#1/pay#1", "key"))
    write.begin()(started("a#1"), started("a#1/pay#1", once=True, kind="step"))
    (happened, not_happened) = explain(row(), write.records).ways
    assert idempotency_key(RUN, "a#1/pay#1") in happened.what
    assert happened.command.endswith("--happened JSON --retry")
    assert not_happened.command.endswith("--did-not-happen --retry")
    write(started("a#1/pay#2", once=True, kind="step"))
    for ending, then in ((None, "resume"), ("failed", "retry")):
        if ending:
            write(RunEnded("failed", unknown))
        ways = explain(row(ending), write.records, options=" --store x").ways
        assert [way.command for way in ways] == [
            *(
                f"regrow resolve {'r' * 8} 'a#1/pay#{number}' {word} --store x"
                for number in (1, 2)
                for word in ("--happened JSON", "--did-not-happen")
            ),
            f"regrow {then} {'r' * 8} --store x",
        ]
        assert idempotency_key(RUN, "a#1/pay#2") in ways[2].what


@pytest.mark.parametrize("project", ["", "default"])
def test_under_a_stop_the_first_way_on_is_to_lift_it(write, project):
    write.begin()(started("a#1"), DriverClosed("KeyboardInterrupt"))
    stop = Stop(project, "ann@host", 1_000.0, "too hot")
    lift = lift_command(project, " --store x")
    assert commands(explain(row(), write.records, stop=stop, lift=lift))[0] == lift
    first = explain(row(), write.records, stop=stop, lift=lift).ways[0].what
    assert all(word in first for word in ("ann@host", "too hot", "project 'default'" if project else "this store"))
    assert explain(row("succeeded"), write.records, stop=stop, lift=lift).ways == ()
    driven = explain(row(held=True), write.records, stop=stop, lift=lift)
    assert "too hot" in driven.headline
    assert lift not in commands(driven)


def test_a_divergence_in_strict_mode_gives_both_ways_on(write):
    write.begin()(started("a#1"), RunEnded("failed", capture(Divergence("a#1/s#1", "other inputs"))))
    assert commands(explain(row("failed"), write.records)) == [
        f"regrow retry {'r' * 8} --strict",
        f"regrow retry {'r' * 8}",
    ]


def test_a_run_that_is_being_driven_has_nothing_unfinished_to_explain(write):
    write.begin()(started("a#1"))
    why = explain(row(held=True), write.records)
    assert why.unfinished == ()
    assert "is being driven by ann@host pid 1" in why.headline


def test_a_success_tells_what_it_overcame(write):
    write.begin()(AttemptFailed(call("s#1"), 1, 1_001.0, error(), 1_004.0), done("s#1", 2), RunEnded("succeeded"))
    why = explain(row("succeeded"), write.records)
    assert [one.path for one in why.overcome] == ["s#1"]
    assert why.tried == ("s#1 succeeded at attempt 2, after one failure",)
    assert why.ways == ()


def test_being_resumed_is_told(write):
    write.begin()(started("a#1"), driver(), driver())
    assert any("3 drivers" in sentence for sentence in explain(row(), write.records).tried)


def test_a_failure_that_regrow_established_is_told_with_its_evidence_and_as_code_to_write(write):
    oom = OutOfMemory("a#1/train#1", peak=500 * MIB, limit=512 * MIB).explained(
        confidence="certain", evidence=("the cgroup counted one kill",)
    )
    write.begin()(started("a#1"), started("a#1/train#1"), worker("a#1/train#1"))
    write(healed("a#1/train#1", oom, Grow(memory=512 * MIB)), started("a#1/train#1", 2))
    write(CallFailed(call("a#1/train#1", "task"), 2, 1_006.0, capture(oom)))
    write(CallFailed(call("a#1", "task"), 1, 1_003.0, capture(oom), ("a#1/train#1",)))
    write(RunEnded("failed", capture(oom), ("a#1",)))
    why = explain(row("failed"), write.records)
    assert (why.known.type, why.known.confidence) == ("OutOfMemory", "certain")
    assert why.known.evidence == ("the cgroup counted one kill",)
    assert "a#1/train#1: attempt 1 ended in OutOfMemory: grown to 512 MiB and begun again (on_oom)" in why.tried
    assert [way.what for way in why.ways] == [
        "give it more: memory='1Gi' or on_oom=regrow.grow(2, max='4Gi'), on train",
        "then try again only what failed",
    ]
    assert commands(why) == [f"regrow retry {'r' * 8}"]


def test_growth_in_place_is_told_though_no_attempt_failed(write):
    write.begin()(started("t#1"), worker("t#1"), WorkerGrown("t#1", 1, 256 * MIB, 512 * MIB, 0.004))
    write(done("t#1", kind="task"), RunEnded("succeeded"))
    assert explain(row("succeeded"), write.records).tried == (
        "t#1: attempt 1 reached its limit: 256 → 512 MiB in place, held 4 ms, nothing lost",
    )


def test_an_interrupted_run_tells_what_its_workers_were_doing_last(write):
    write.begin()(started("t#1"), worker("t#1"), WorkerSampled("t#1", 1, ((1_004.6, 240 * MIB),)))
    here = Here("ann", "monday", 4)
    assert [sentence.partition(" ")[0] for sentence in explain(row(), write.records, here=here).last_seen] == [
        "t#1",
        "the",
    ]
    assert explain(row(held=True), write.records, here=here).last_seen == ()
    write(DriverClosed("KeyboardInterrupt"))
    assert explain(row(), write.records, here=here).last_seen == ()
