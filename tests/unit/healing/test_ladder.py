"""What the ladder answers: each rung by itself, which goes before which, and that all of them end."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.codec import capture
from regrow.engine.decide import mark
from regrow.engine.healer import GiveUp, Situation, TryAgain
from regrow.errors import (
    DiskFull,
    NotStorable,
    OutOfMemory,
    Preempted,
    ProcessLimit,
    RateLimited,
    TimedOut,
    Unavailable,
    UsageError,
    WorkerLost,
)
from regrow.healing.ladder import MOST_ASKED_WAITS, MOST_BY_POLICY, Ladder
from regrow.journal.records import AttemptFailed, Call, CallFailed, RecordedFallback
from regrow.remedies import Extend, Fallback, Grow, Resume, RetryAfter
from regrow.remedies import GiveUp as HandOver
from regrow.values.backoff import Backoff
from regrow.values.options import Options
from regrow.values.policies import Bounds, Budget, grow, resume

pytestmark = pytest.mark.promise("P6")

CALL = Call("agent#1/train#1", "task", 1, b"digest")
MIB = 2**20
NOW = 1000.0
ladder = Ladder()
PLAIN = Backoff(base=10, factor=2, cap=1000, jitter=0)


def failed(attempt, error=None, **how):
    return AttemptFailed(CALL, attempt, NOW, capture(error or ValueError("no")), NOW, **how)


def situation(options=None, history=(), *, memory=None, **facts):
    options = options if options is not None else Options()
    resources = msgspec.structs.replace(ladder.resources(options, history), memory=memory or options.memory)
    known = {"identity": "key", "attempt": len(history) + 1, "forgiven": 0, "first_begun": NOW, "now": NOW}
    known |= {"resources": resources, "ceiling": 64 * 1024 * MIB, "run_began": NOW}
    return Situation(options=options, history=tuple(history), **(known | facts))


def after(error, options=None, history=(), **facts):
    return ladder.after_failure(situation(options, history, **facts), error)


def notes(error):
    return "\n".join(getattr(error, "__notes__", ()))


def out_of_memory(limit, peak=None, path=CALL.path):
    return OutOfMemory(path, peak=peak, limit=limit)


def reference(name="app:cheap"):
    def task():
        raise AssertionError("a fallback is named, not called, by the ladder")

    task.__regrow_ref__ = name
    return task


# -- never -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [UsageError("no"), NotStorable("result", "a socket")])
def test_what_the_code_got_wrong_is_never_tried_again_whatever_the_policies_say(error):
    options = Options(retries=5, on_failure=lambda _: RetryAfter(0))
    assert after(error, options) == GiveUp("not retryable")


@pytest.mark.parametrize("error", [Preempted("a", grace=1), out_of_memory(MIB), RateLimited("no", retry_after=1)])
def test_a_once_only_call_is_never_repeated_whatever_it_died_of(error):
    options = Options(once=True, memory=MIB, on_oom=grow(2), on_failure=lambda _: Resume())
    assert after(error, options) == GiveUp("not retryable")


# -- on_oom ------------------------------------------------------------------------------------------------------------


def test_out_of_memory_grows_at_once_and_takes_nothing_off_the_retries():
    options = Options(memory=256 * MIB, on_oom=grow(2))
    expected = TryAgain(NOW, Grow(memory=512 * MIB), "on_oom", counts=False)
    assert after(out_of_memory(256 * MIB), options) == expected


def test_rungs_that_are_below_the_peak_are_left_out():
    options = Options(memory=100 * MIB, on_oom=grow(2))
    assert after(out_of_memory(100 * MIB, peak=500 * MIB), options).remedy == Grow(memory=800 * MIB)


def test_growth_goes_on_from_what_the_worker_had_in_the_end_and_not_from_what_it_began_with():
    options = Options(memory=100 * MIB, on_oom=grow(2))
    assert after(out_of_memory(400 * MIB), options).remedy == Grow(memory=800 * MIB)


@pytest.mark.parametrize(
    ("facts", "most"),
    [
        ({"ceiling": 300 * MIB}, 300),
        ({"bounds": Bounds(memory=310 * MIB)}, 310),
        ({"options": Options(memory=256 * MIB, on_oom=grow(2), budget=Budget(memory="320Mi"))}, 320),
        ({"options": Options(memory=256 * MIB, on_oom=grow(2, max="330Mi"))}, 330),
    ],
    ids=["host", "run", "budget", "max"],
)
def test_growth_stops_at_the_smallest_of_its_bounds_and_is_used_up_to_it(facts, most):
    facts = {"options": Options(memory=256 * MIB, on_oom=grow(2))} | facts
    assert after(out_of_memory(256 * MIB), **facts).remedy == Grow(memory=most * MIB)
    assert isinstance(after(out_of_memory(most * MIB), memory=most * MIB, **facts), GiveUp)


def test_at_the_end_of_its_ladder_an_out_of_memory_falls_to_the_rungs_below():
    options = Options(memory=MIB, on_oom=grow(2, max=MIB), retries=1, backoff=PLAIN)
    assert after(out_of_memory(MIB), options) == TryAgain(NOW + 10)
    asked = msgspec.structs.replace(options, on_failure=lambda _: RetryAfter(3))
    assert after(out_of_memory(MIB), asked).chosen_by == "on_failure"


def test_growth_that_only_a_budget_forbids_is_given_up_for_the_budget():
    options = Options(memory=256 * MIB, on_oom=grow(2), budget=Budget(memory=256 * MIB))
    assert after(out_of_memory(256 * MIB), options) == GiveUp("budget")
    assert after(out_of_memory(256 * MIB), Options(memory=256 * MIB, on_oom=grow(2, max=256 * MIB))) == GiveUp(
        "no retries left"
    )


def test_without_on_oom_or_without_a_limit_nothing_grows():
    assert after(out_of_memory(MIB), Options(memory=MIB)) == GiveUp("no retries left")
    assert after(out_of_memory(None), Options(on_oom=grow(2))) == GiveUp("no retries left")


INNER = "agent#1/train#1/inner#1"


def test_a_callee_that_ran_out_of_memory_does_not_make_its_caller_grow():
    options = Options(memory=256 * MIB, on_oom=grow(2))
    error = mark(out_of_memory(256 * MIB, path=INNER), "run", INNER)
    assert after(error, options) == GiveUp("no retries left")


def test_a_step_that_is_refused_memory_makes_the_worker_grow_in_which_it_runs():
    options = Options(memory=256 * MIB, on_oom=grow(2))
    assert after(mark(out_of_memory(256 * MIB), "run", INNER), options).chosen_by == "on_oom"


def test_a_task_that_kept_within_its_limit_when_the_host_ran_out_of_memory_begins_again_a_little_later():
    verdict = after(out_of_memory(None), Options(memory=256 * MIB, on_oom=grow(2)))
    assert (verdict.chosen_by, verdict.remedy, verdict.counts) == ("on_preempted", Resume(), False)
    assert verdict.moment > NOW
    assert after(out_of_memory(None), Options()) == GiveUp("no retries left")  # it had no limit to keep within


# -- on_preempted ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Preempted("a", grace=5), WorkerLost("a", signal="SIGKILL")])
def test_what_was_taken_away_is_resumed_without_being_asked_for(error):
    assert after(error) == TryAgain(NOW, Resume(), "on_preempted", counts=False)


def test_preemptions_do_not_count_against_the_retries():
    history = [failed(n, chosen_by="on_preempted", remedy=Resume(), counts=False) for n in (1, 2, 3)]
    assert after(ValueError("no"), Options(retries=1, backoff=PLAIN), history) == TryAgain(NOW + 10)


def test_resuming_ends_after_so_many_times_and_then_the_rungs_below_answer():
    history = [failed(n, chosen_by="on_preempted", remedy=Resume(), counts=False) for n in (1, 2)]
    error = Preempted("a", grace=5)
    assert after(error, Options(on_preempted=resume(3)), history).chosen_by == "on_preempted"
    assert after(error, Options(on_preempted=resume(2)), history) == GiveUp("no retries left")
    assert after(error, Options(on_preempted=resume(2), retries=1), history).chosen_by == "retries"
    assert after(error, Options(on_preempted=resume(0), on_failure=lambda _: Resume())).chosen_by == "on_failure"


def test_resumes_that_were_forgiven_do_not_use_up_the_number():
    history = [failed(n, chosen_by="on_preempted", remedy=Resume(), counts=False) for n in (1, 2)]
    assert after(Preempted("a", grace=5), Options(on_preempted=resume(2)), history, forgiven=1).remedy == Resume()


def test_a_callee_that_was_preempted_too_often_does_not_make_its_caller_resume():
    assert after(mark(WorkerLost(INNER), "run", INNER)) == GiveUp("no retries left")


# -- on_failure --------------------------------------------------------------------------------------------------------


def test_the_policies_for_one_kind_of_failure_go_before_the_one_for_all():
    options = Options(memory=MIB, on_oom=grow(2), on_failure=lambda _: HandOver())
    assert after(out_of_memory(MIB), options).chosen_by == "on_oom"
    assert after(Preempted("a", grace=1), options).chosen_by == "on_preempted"


def test_the_policy_goes_before_rate_limits_and_retries():
    options = Options(retries=3, on_failure=lambda _: HandOver())
    assert after(RateLimited("no", retry_after=1), options) == GiveUp("policy")
    assert after(ValueError("no"), options) == GiveUp("policy")


def test_a_policy_without_an_opinion_leaves_it_to_the_rungs_below():
    options = Options(retries=1, backoff=PLAIN, on_failure=lambda _: None)
    assert after(ValueError("no"), options) == TryAgain(NOW + 10)


def test_a_policy_is_shown_the_typed_failure_and_which_attempt_it_was():
    seen = []
    error = ValueError("no")
    after(error, Options(on_failure=seen.append), [failed(1)])
    assert seen[0].error is error
    assert seen[0].context["attempt"] == 2


def test_what_a_callee_told_of_its_own_attempts_is_left_as_it_is():
    error = mark(TimedOut(INNER, 5, "timeout").explained(facts={"attempt": 7}), "run", INNER)
    after(error, Options(on_failure=lambda _: None))
    assert error.facts == {"attempt": 7}


@pytest.mark.parametrize(
    ("answer", "error", "expected"),
    [
        (Resume(), ValueError("no"), TryAgain(NOW, Resume(), "on_failure", counts=False)),
        (RetryAfter(7), ValueError("no"), TryAgain(NOW + 7, RetryAfter(7.0), "on_failure", counts=False)),
        (Extend(20), TimedOut("a", 10, "timeout"), TryAgain(NOW, Extend(20.0), "on_failure", counts=False)),
        (Grow(disk=9), DiskFull("a", used=4, limit=4), TryAgain(NOW, Grow(disk=9), "on_failure", counts=False)),
        (
            Grow(processes=200),
            ProcessLimit("a", limit=128),
            TryAgain(NOW, Grow(processes=200), "on_failure", counts=False),
        ),
        (Grow(memory="4Mi"), out_of_memory(MIB), TryAgain(NOW, Grow(memory=4 * MIB), "on_failure", counts=False)),
        (HandOver(), ValueError("no"), GiveUp("policy")),
    ],
)
def test_what_a_policy_answers_is_what_happens(answer, error, expected):
    options = Options(memory=MIB, disk=4, timeout=10, on_failure=lambda _: answer)
    assert after(error, options) == expected
    assert not notes(error)


def test_a_fallback_is_recorded_by_the_name_of_its_task():
    expected = TryAgain(NOW, RecordedFallback("app:cheap"), "on_failure", counts=False)
    assert after(ValueError("no"), Options(on_failure=lambda _: Fallback(reference()))) == expected


def test_a_fallback_that_failed_is_not_tried_again_and_another_one_is():
    history = [failed(1, chosen_by="on_failure", remedy=RecordedFallback("app:cheap"), counts=False)]
    error = ValueError("no")
    assert after(error, Options(on_failure=lambda _: Fallback(reference())), history) == GiveUp("policy")
    assert "was the fallback already" in notes(error)
    other = Options(on_failure=lambda _: Fallback(reference("app:other")))
    assert after(ValueError("no"), other, history).remedy == RecordedFallback("app:other")


def test_only_what_a_grow_gives_more_of_is_recorded():
    options = Options(memory=4 * MIB, disk=100, on_failure=lambda _: Grow(memory=8 * MIB, disk=50))
    assert after(out_of_memory(4 * MIB), options).remedy == Grow(memory=8 * MIB)


def raising(_failure):
    raise KeyError("half of a policy")


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (raising, "on_failure raised KeyError: 'half of a policy'"),
        (lambda _: Fallback(len), "Fallback takes what @regrow.task or @regrow.step made; not builtin_function_or"),
        (lambda _: "again", "returns a remedy, such as regrow.RetryAfter(2), or None; not str"),
        (lambda _: Grow, "not StructMeta"),
        (lambda _: RetryAfter(-1), "must be a finite span of time and not negative"),
        (lambda _: RetryAfter(float("inf")), "must be a finite span of time"),
        (lambda _: Extend(10), "Extend(10) gives no more time than the failed attempt had (10 s)"),
        (lambda _: Grow(memory=MIB), "Grow gives no more than the failed attempt had (1 MiB of memory"),
        (lambda _: Grow(), "Grow gives no more"),
        (lambda _: Grow(memory="lots"), "takes bytes, or text such as"),
        (lambda _: Grow(memory=1.5), "takes a whole number"),
        (lambda _: Grow(disk=100), "Grow(disk=…) raises a limit, and there is none to raise"),
        (lambda _: Grow(memory=11 * MIB), "Grow(memory=11 MiB) is more than this host and the budgets allow: 10 MiB"),
    ],
)
def test_a_policy_that_cannot_be_followed_ends_it_and_the_error_says_why(policy, said):
    error = ValueError("no")
    options = Options(memory=MIB, timeout=10, retries=5, on_failure=policy)
    assert after(error, options, ceiling=10 * MIB) == GiveUp("policy")
    assert said in notes(error)


def test_extend_is_refused_where_no_timeout_bounds_the_call():
    error = ValueError("no")
    assert after(error, Options(on_failure=lambda _: Extend(10))) == GiveUp("policy")
    assert "no timeout bounds it" in notes(error)


def test_an_asynchronous_policy_is_refused_without_a_warning_about_it():
    async def policy(_failure):
        return RetryAfter(0)

    error = ValueError("no")
    assert after(error, Options(on_failure=policy)) == GiveUp("policy")
    assert "not coroutine" in notes(error)


@dataclass(frozen=True)
class Frozen(Exception):
    code: int


def test_an_error_that_refuses_attributes_gets_its_note_all_the_same():
    error = Frozen(1)
    assert after(error, Options(on_failure=raising)) == GiveUp("policy")
    assert "on_failure raised" in notes(error)


@pytest.mark.parametrize("bounds", [{"memory": 5 * MIB}, {}])
def test_a_policy_may_not_grow_beyond_either_budget(bounds):
    own = Budget(memory=5 * MIB) if not bounds else None
    options = Options(memory=4 * MIB, budget=own, on_failure=lambda _: Grow(memory=6 * MIB))
    error = out_of_memory(4 * MIB)
    assert after(error, options, bounds=Bounds(**bounds)) == GiveUp("policy")
    assert "the budgets allow: 5 MiB" in notes(error)


def test_a_policy_that_always_says_the_same_ends():
    options = Options(on_failure=lambda _: RetryAfter(0))
    history = [failed(n, chosen_by="on_failure", remedy=RetryAfter(0), counts=False) for n in range(1, MOST_BY_POLICY)]
    assert after(ValueError("no"), options, history[:-1]).chosen_by == "on_failure"
    assert after(ValueError("no"), options, history) == GiveUp("budget")
    assert after(ValueError("no"), options, history, forgiven=1).chosen_by == "on_failure"


def test_the_cap_on_policies_does_not_bound_plain_retries():
    options = Options(retries=500, on_failure=lambda _: None)
    assert after(ValueError("no"), options, [failed(n) for n in range(1, 200)]).chosen_by == "retries"


# -- rate limits and retries -------------------------------------------------------------------------------------------


def test_a_rate_limit_that_says_when_is_waited_for_and_is_no_failed_attempt():
    options = Options(retries=1, backoff=Backoff(base=60, jitter=0))
    assert after(RateLimited("no", retry_after=2), options) == TryAgain(NOW + 2, RetryAfter(2.0), counts=False)


def test_calls_that_were_turned_away_together_do_not_come_back_together():
    options = Options(retries=1)
    moments = {after(RateLimited("no", retry_after=10), options, identity=one).moment for one in ("a", "b", "c")}
    assert len(moments) == 3
    assert all(NOW + 10 <= moment <= NOW + 11 for moment in moments)


def test_a_rate_limit_that_does_not_say_when_is_a_failed_attempt():
    options = Options(retries=1, backoff=PLAIN)
    assert after(RateLimited("no"), options) == TryAgain(NOW + 10)
    assert after(RateLimited("no"), options, [failed(1)]) == GiveUp("no retries left")


def test_without_retries_a_rate_limit_is_handed_to_the_code():
    assert after(RateLimited("no", retry_after=2)) == GiveUp("no retries left")


def waited(number):
    return failed(number, RateLimited("no", retry_after=0), remedy=RetryAfter(0.0), counts=False)


def test_so_many_rate_limits_in_a_row_take_one_off_the_retries():
    options, error = Options(retries=1, backoff=PLAIN), RateLimited("no", retry_after=0)
    row = [waited(n) for n in range(1, MOST_ASKED_WAITS + 1)]
    assert after(error, options, row[:-1]).counts is False
    assert after(error, options, row) == TryAgain(NOW + 10)
    assert after(error, options, [*row, failed(MOST_ASKED_WAITS + 1)]).counts is False  # a new row
    other_half = [waited(n) for n in range(MOST_ASKED_WAITS + 2, 2 * MOST_ASKED_WAITS + 2)]
    ended = [*row, failed(MOST_ASKED_WAITS + 1), *other_half]
    assert after(error, options, ended) == GiveUp("no retries left")


def test_waits_that_a_policy_chose_are_not_part_of_the_row():
    options, error = Options(retries=1), RateLimited("no", retry_after=0)
    row = [waited(n) for n in range(1, MOST_ASKED_WAITS)]
    chosen = failed(MOST_ASKED_WAITS, chosen_by="on_failure", remedy=RetryAfter(0), counts=False)
    assert after(error, options, [*row, chosen]).counts is False


def test_three_rate_limits_and_two_failures_fit_into_two_retries():
    history = [waited(1), failed(2), waited(3), failed(4), waited(5)]
    assert after(RateLimited("no", retry_after=2), Options(retries=2), history).counts is False
    assert after(ValueError("no"), Options(retries=2), history) == GiveUp("no retries left")


def test_waits_grow_with_the_attempts_that_count_alone():
    history = [failed(1), failed(2, chosen_by="on_oom", remedy=Grow(memory=MIB), counts=False), failed(3)]
    assert after(ValueError("no"), Options(retries=3, backoff=PLAIN), history) == TryAgain(NOW + 40)


def test_what_was_forgiven_neither_counts_nor_lengthens_the_wait():
    history = [failed(1), CallFailed(CALL, 2, NOW, capture(ValueError("no"))), failed(3)]
    options = Options(retries=2, backoff=PLAIN)
    assert after(ValueError("no"), options, history) == GiveUp("no retries left")
    assert after(ValueError("no"), options, history, forgiven=2) == TryAgain(NOW + 20)


def test_a_retry_waits_as_long_as_the_error_asks_for():
    assert after(Unavailable("no", retry_after=500), Options(retries=1, backoff=PLAIN)) == TryAgain(NOW + 500)


def test_a_users_own_error_that_says_when_to_come_back_is_a_rate_limit():
    class Busy(Exception):
        retry_after = 500

    assert after(Busy(), Options(retries=1, backoff=Backoff(jitter=0))).remedy == RetryAfter(500.0)


def test_jitter_is_drawn_from_the_identity_so_that_a_resumed_run_waits_for_the_same_moment():
    options = Options(retries=1)
    moment = after(ValueError("no"), options, identity="a").moment
    assert moment == after(ValueError("no"), options, identity="a").moment
    assert moment != after(ValueError("no"), options, identity="b").moment


# -- deadlines and budgets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (ValueError("no"), Options(retries=1, backoff=PLAIN)),
        (RateLimited("no", retry_after=10), Options(retries=1, backoff=Backoff(jitter=0))),
        (ValueError("no"), Options(on_failure=lambda _: RetryAfter(10))),
    ],
    ids=["retries", "rate limit", "policy"],
)
def test_a_wait_that_would_reach_the_deadline_or_the_wall_time_ends_it(error, options):
    late = msgspec.structs.replace(options, deadline=10.0)
    assert after(error, late) == GiveUp("deadline")
    assert isinstance(after(error, msgspec.structs.replace(options, deadline=10.1)), TryAgain)
    assert after(error, msgspec.structs.replace(late, deadline=NOW + 10, deadline_is_moment=True)) == GiveUp("deadline")
    assert after(error, msgspec.structs.replace(options, budget=Budget(wall_time=10))) == GiveUp("budget")
    assert isinstance(after(error, msgspec.structs.replace(options, budget=Budget(wall_time=10.1))), TryAgain)
    assert after(error, options, bounds=Bounds(wall_time=20.0), run_began=NOW - 10) == GiveUp("budget")
    assert isinstance(after(error, options, bounds=Bounds(wall_time=20.1), run_began=NOW - 10), TryAgain)


@pytest.mark.parametrize(
    ("error", "options"),
    [
        (out_of_memory(MIB), Options(memory=MIB, on_oom=grow(2))),
        (WorkerLost("a"), Options()),
        (ValueError("no"), Options(retries=9)),
    ],
    ids=["on_oom", "on_preempted", "retries"],
)
def test_every_rung_is_bounded_by_the_budgets_of_attempts(error, options):
    own = msgspec.structs.replace(options, budget=Budget(attempts=3))
    assert isinstance(after(error, own, [failed(1)]), TryAgain)
    assert after(error, own, [failed(1), failed(2)]) == GiveUp("budget")
    assert isinstance(after(error, own, [failed(1), failed(2)], forgiven=1), TryAgain)
    assert isinstance(after(error, options, bounds=Bounds(attempts=3), spent=2), TryAgain)
    assert after(error, options, bounds=Bounds(attempts=3), spent=3) == GiveUp("budget")


@pytest.mark.parametrize("late", [{"now": NOW + 10}, {"spent": 1}], ids=["deadline", "budget"])
def test_a_policy_is_not_asked_for_a_remedy_that_cannot_be_had(late):
    asked = []
    after(ValueError("no"), Options(deadline=10.0, on_failure=asked.append), bounds=Bounds(attempts=1), **late)
    assert asked == []


# -- what the next attempt gets ----------------------------------------------------------------------------------------


def grown(number, **amounts):
    return failed(number, remedy=Grow(**amounts), chosen_by="on_oom", counts=False)


def test_the_next_attempt_gets_all_that_earlier_ones_grew_to():
    history = (grown(1, memory=200), grown(2, disk=90), failed(3), grown(4, processes=300, output=10**9))
    given = ladder.resources(Options(memory=100, disk=50), history)
    assert (given.memory, given.disk, given.processes, given.output) == (200, 90, 300, 10**9)


def test_the_largest_memory_is_kept_and_nothing_falls_below_what_is_declared():
    history = (grown(1, memory=400), grown(2, memory=300))
    assert ladder.resources(Options(memory=100), history).memory == 400
    assert ladder.resources(Options(memory=500), history).memory == 500  # the author has since asked for more


def test_a_limit_that_the_author_took_away_does_not_come_back():
    assert ladder.resources(Options(), (grown(1, memory=400),)).memory is None
    assert ladder.timeout(Options(), (failed(1, remedy=Extend(5)),)) is None


def test_the_last_extension_is_the_timeout():
    history = (failed(1, remedy=Extend(20)), failed(2), failed(3, remedy=Extend(40)))
    assert ladder.timeout(Options(timeout=10), history) == 40
    assert ladder.timeout(Options(timeout=10), ()) == 10


# -- whatever happens --------------------------------------------------------------------------------------------------

POLICIES = {
    "none": None,
    "no opinion": lambda _: None,
    "more memory": lambda failure: Grow(memory=(getattr(failure, "limit", None) or MIB) + 50 * MIB),
    "again": lambda _: RetryAfter(0),
    "fallback": lambda _: Fallback(reference()),
}
ERRORS = ("oom", "preempted", "lost", "rate", "value")


def make(kind, memory):
    match kind:
        case "oom":
            return out_of_memory(memory, peak=memory + 3 * MIB)
        case "preempted":
            return Preempted("a", grace=1)
        case "lost":
            return WorkerLost("a")
        case "rate":
            return RateLimited("no", retry_after=0.5)
        case _:
            return ValueError("no")


class Bound(msgspec.Struct):
    """What one ladder is given; amounts in MiB."""

    retries: int
    factor: float
    top: int | None
    ceiling: int
    budget: int | None
    run: int | None


BOUNDS = st.builds(
    Bound,
    retries=st.integers(0, 4),
    factor=st.floats(1.1, 3),
    top=st.none() | st.integers(100, 900),
    ceiling=st.integers(100, 1000),
    budget=st.none() | st.integers(64, 1000),
    run=st.none() | st.integers(64, 1000),
)


@settings(max_examples=100, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(ERRORS), min_size=1, max_size=12),
    policy=st.sampled_from(sorted(POLICIES)),
    bound=BOUNDS,
)
def test_every_ladder_ends_and_memory_only_rises_and_never_beyond_its_bounds(kinds, policy, bound):
    options = Options(
        memory=64 * MIB,
        retries=bound.retries,
        on_oom=grow(bound.factor, max=None if bound.top is None else bound.top * MIB),
        on_failure=POLICIES[policy],
        budget=None if bound.budget is None else Budget(memory=bound.budget * MIB),
    )
    of_run = Bounds(memory=None if bound.run is None else bound.run * MIB)
    top = bound.top if policy != "more memory" else None  # the author's own word may go beyond that of on_oom
    allowed = min(one for one in (bound.ceiling, bound.budget, bound.run, top) if one is not None) * MIB
    # The growth to 1000 MiB by a tenth, all resumes, the cap on policies, and a row of asked waits before each retry.
    most = 30 + options.on_preempted.times + MOST_BY_POLICY + (bound.retries + 1) * (MOST_ASKED_WAITS + 1)
    history, memory, now = [], options.memory, NOW
    while True:
        assert len(history) < most
        error = make(kinds[len(history) % len(kinds)], memory)
        facts = {"memory": memory, "now": now, "ceiling": bound.ceiling * MIB, "bounds": of_run}
        verdict = after(error, options, history, **facts)
        if isinstance(verdict, GiveUp):
            break
        assert verdict.moment >= now
        now = verdict.moment
        how = {"remedy": verdict.remedy, "chosen_by": verdict.chosen_by, "counts": verdict.counts}
        history.append(failed(len(history) + 1, error, **how))
        given_next = ladder.resources(options, tuple(history)).memory
        assert memory <= given_next <= max(options.memory, allowed)
        memory = given_next
    assert sum(one.counts for one in history) <= bound.retries
