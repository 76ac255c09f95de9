"""The ladder: which remedy answers a failed attempt, and when there is none left.

Its rungs are tried from the top, and the first that has an answer gives it. What an author said about one kind of
failure comes first, then what is said about all of them, then plain retries. Whatever a rung answers is held against
the deadline and the budgets in one place, so that no rung can pass them.

It is a function of the situation and the error, so a ladder can be tried out without a worker. The one exception is
`on_failure=`, which is the author's own code.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import msgspec

from regrow.codec import capture
from regrow.engine.decide import ORIGIN, deadline, note
from regrow.engine.healer import GiveUp, Healer, Situation, TryAgain, Verdict
from regrow.errors import Denied, Failure, NotStorable, OutOfMemory, Preempted, RateLimited, UsageError, WorkerLost
from regrow.healing.recognise import failure_of
from regrow.journal.records import AttemptFailed, CallFailed, RecordedFallback, RecordedRemedy
from regrow.remedies import AskHuman, Extend, Fallback, Grow, Resume, RetryAfter
from regrow.remedies import GiveUp as HandOver
from regrow.values.approval import advice
from regrow.values.backoff import asked_wait
from regrow.values.durations import seconds
from regrow.values.options import Options
from regrow.values.policies import Bounds
from regrow.values.resources import Resources
from regrow.values.sizes import readable_size, size

_HOST_SECONDS = 1.0
"""How long to let a host breathe that ran out of memory, before a task is placed there again."""
MOST_BY_POLICY = 100
"""How many attempts of one call `on_failure=` may lead to: a policy that always says the same must end."""
MOST_ASKED_WAITS = 20
"""How often in a row a call comes back when a service told it to, before that takes one off its retries."""

History = tuple[AttemptFailed | CallFailed, ...]


class Ladder(Healer):
    """What answers failures unless a test puts something else in its place."""

    def after_failure(self, situation: Situation, error: Exception) -> Verdict:
        """Say what to do after a failed attempt.

        Where the author's own policy is what ends it, a note on the error says what was wrong with that policy.
        """
        verdict = _answer(situation, error, failure_of(error, now=situation.now))
        return (_beyond_bounds(situation, verdict) or verdict) if isinstance(verdict, TryAgain) else verdict

    def resources(self, options: Options, history: History) -> Resources:
        """Give what the next attempt is to be given: what its author declares, or the more that it grew to."""
        given = options.resources
        for remedy in _remedies(history):
            if isinstance(remedy, Grow):
                given = given.grown(_gain(given, remedy))
        return given

    def timeout(self, options: Options, history: History) -> float | None:
        """Give the seconds that the next attempt may take; None for no bound."""
        return _timeout(options, history)


def _answer(situation: Situation, error: Exception, failure: Failure) -> Verdict:
    if isinstance(error, UsageError | NotStorable):
        return GiveUp("not retryable")  # the code is wrong; it will be as wrong the next time
    if isinstance(error, Denied):
        return GiveUp("not retryable")  # a person has said no, and must not be asked until they say yes
    if situation.options.once:
        return GiveUp("not retryable")  # not even after a preemption: its effect may have happened
    if over := _over(situation, situation.now):
        return over  # before `on_failure=` is asked for a remedy that could not be had
    return (
        _grow(situation, failure, _most_memory(situation))
        or _resume(situation, failure)
        or _ask_policy(situation, error, failure)
        or _wait_as_asked(situation, failure)
        or _ask_human(situation, _retry(situation, failure))
    )


def _grow(situation: Situation, failure: Failure, ceiling: int) -> TryAgain | None:
    policy, given = situation.options.on_oom, situation.resources.memory
    if policy is None or given is None or not isinstance(failure, OutOfMemory) or _is_of_another(failure):
        return None
    if failure.limit is None:
        return None  # the host ran out, and not the task
    limit = max(given, failure.limit)  # it may have been grown in place since it began
    more = policy.next(limit, needed=max(limit, failure.peak or 0) + 1, ceiling=ceiling)
    return None if more is None else TryAgain(situation.now, Grow(memory=more), "on_oom", counts=False)


def _resume(situation: Situation, failure: Failure) -> TryAgain | None:
    if not (isinstance(failure, Preempted | WorkerLost) or _is_anothers_fault(situation, failure)):
        return None
    if _is_of_another(failure):
        return None
    resumed = sum(isinstance(one, AttemptFailed) and one.chosen_by == "on_preempted" for one in _unforgiven(situation))
    if resumed >= situation.options.on_preempted.times:
        return None
    wait = _HOST_SECONDS if isinstance(failure, OutOfMemory) else 0.0
    return TryAgain(situation.now + wait, Resume(), "on_preempted", counts=False)


def _is_anothers_fault(situation: Situation, failure: Failure) -> bool:
    """Tell whether the host ran out of memory around a task that kept within its own limit."""
    return isinstance(failure, OutOfMemory) and failure.limit is None and situation.options.memory is not None


def _ask_policy(situation: Situation, error: Exception, failure: Failure) -> Verdict | None:
    policy = situation.options.on_failure
    if policy is None or isinstance(policy, AskHuman):
        return None
    if not _is_of_another(failure):
        failure.facts = failure.facts | {"attempt": situation.attempt}
    try:
        answer = policy(failure)
    except Exception as wrong:  # noqa: BLE001 - the author's code; its error must not hide the one it was asked about
        note(error, f"regrow: on_failure raised {capture(wrong).summary()}")
        return GiveUp("policy")
    try:
        return _as_policy_says(situation, answer)
    except UsageError as wrong:
        note(error, f"regrow: on_failure: {wrong}")
        return GiveUp("policy")


def _ask_human(situation: Situation, verdict: Verdict) -> Verdict:
    """Have a person asked where nothing else is left, if the author says so."""
    policy = situation.options.on_failure
    if isinstance(verdict, TryAgain) or not isinstance(policy, AskHuman):
        return verdict
    return TryAgain(situation.now, policy, "ask_human", counts=False)


def _wait_as_asked(situation: Situation, failure: Failure) -> TryAgain | None:
    asked = asked_wait(failure) if isinstance(failure, RateLimited) else None
    if asked is None or situation.options.retries < 1 or _asked_in_a_row(situation) >= MOST_ASKED_WAITS:
        return None
    # Only the jitter of the back-off: calls that were turned away together must not come back together.
    spread = msgspec.structs.replace(situation.options.backoff, base=0.0, factor=1.0)
    wait = spread.wait(situation.attempt, situation.identity, asked)
    return TryAgain(situation.now + wait, RetryAfter(asked), counts=False)


def _retry(situation: Situation, failure: Failure) -> Verdict:
    options = situation.options
    counted = 1 + sum(isinstance(one, CallFailed) or one.counts for one in _unforgiven(situation))
    if counted > options.retries:
        could_have_grown = _grow(situation, failure, situation.ceiling) is not None
        return GiveUp("budget" if could_have_grown else "no retries left")
    return TryAgain(situation.now + options.backoff.wait(counted, situation.identity, asked_wait(failure)))


# -- what a policy may say ---------------------------------------------------------------------------------------------


def _as_policy_says(situation: Situation, answer: object) -> Verdict | None:
    """Read what `on_failure=` returned. Raises UsageError, with a sentence, if that cannot be done."""
    wait = 0.0
    remedy: RecordedRemedy
    match answer:
        case None:
            return None
        case HandOver():
            return GiveUp("policy")
        case Grow():
            remedy = _read_grow(situation, answer)
        case Extend():
            remedy = _read_extend(situation, answer)
        case Resume():
            remedy = answer
        case RetryAfter():
            wait = seconds(answer.seconds, what="RetryAfter(seconds)")
            remedy = RetryAfter(wait)
        case Fallback():
            remedy = _read_fallback(situation, answer)
        case AskHuman():
            remedy = advice(answer, owner="AskHuman")
        case _:
            if inspect.iscoroutine(answer):
                answer.close()  # nobody will await it, and Python would warn of that long after
            raise UsageError(f"it returns a remedy, such as regrow.RetryAfter(2), or None; not {type(answer).__name__}")
    return TryAgain(situation.now + wait, remedy, "on_failure", counts=False)


def _read_grow(situation: Situation, answer: Grow) -> Grow:
    has, most = situation.resources, _most_memory(situation)
    asked = {name: _read_amount(has, name, given) for name, given in _amounts(answer).items()}
    gain = _gain(has, Grow(**asked))
    if gain == Grow():
        raise UsageError(f"Grow gives no more than the failed attempt had ({has.describe()})")
    if gain.memory is not None and gain.memory > most:
        raise UsageError(
            f"Grow(memory={readable_size(gain.memory)}) is more than this host and the budgets allow: "
            f"{readable_size(most)}"
        )
    return gain


def _read_amount(has: Resources, name: str, given: object) -> int:
    if getattr(has, name) is None:
        raise UsageError(f"Grow({name}=…) raises a limit, and there is none to raise; declare one with {name}=")
    if name != "processes" and isinstance(given, str):
        return size(given, what=f"Grow({name}=…)")
    if not isinstance(given, int) or isinstance(given, bool):
        raise UsageError(f"Grow({name}=…) takes a whole number; it is {given!r}")
    return given


def _read_extend(situation: Situation, answer: Extend) -> Extend:
    span = seconds(answer.timeout, what="Extend(timeout)")
    now = _timeout(situation.options, situation.history)
    if now is None:
        raise UsageError("Extend gives an attempt more time, and no timeout bounds it; declare one with timeout=")
    if span <= now:
        raise UsageError(f"Extend({span:g}) gives no more time than the failed attempt had ({now:g} s)")
    return Extend(span)


def _read_fallback(situation: Situation, answer: Fallback) -> RecordedFallback:
    ref = getattr(answer.task, "__regrow_ref__", None)
    if not isinstance(ref, str):
        raise UsageError(f"Fallback takes what @regrow.task or @regrow.step made; not {type(answer.task).__name__}")
    remedy = RecordedFallback(ref)
    if any(isinstance(one, AttemptFailed) and one.remedy == remedy for one in _unforgiven(situation)):
        # A policy that names one fallback for every failure is the usual one. Without this it would be run a hundred
        # times when it fails as well; its own retries are where its failures are answered.
        raise UsageError(f"{ref} was the fallback already, and failed")
    return remedy


# -- bounds ------------------------------------------------------------------------------------------------------------


def _beyond_bounds(situation: Situation, verdict: TryAgain) -> GiveUp | None:
    if verdict.chosen_by in {"on_failure", "ask_human"} and situation.attempt - situation.forgiven >= MOST_BY_POLICY:
        return GiveUp("budget")
    return _over(situation, verdict.moment)


def _over(situation: Situation, moment: float) -> GiveUp | None:
    """Say whether another attempt, beginning at `moment`, would pass the deadline or a budget."""
    due = deadline(situation.options, situation.first_begun)
    if due is not None and moment >= due:
        return GiveUp("deadline")
    own, run = _bounds(situation)
    spent = (
        _reached(situation.attempt - situation.forgiven, own.attempts),
        _reached(situation.spent, run.attempts),
        _reached(moment - situation.first_begun, own.wall_time),
        _reached(moment - situation.run_began, run.wall_time),
    )
    return GiveUp("budget") if any(spent) else None


def _bounds(situation: Situation) -> tuple[Bounds, Bounds]:
    budget = situation.options.budget
    return Bounds() if budget is None else budget.bounds, situation.bounds or Bounds()


def _reached(amount: float, bound: float | None) -> bool:
    return bound is not None and amount >= bound


def _most_memory(situation: Situation) -> int:
    """Give the largest limit that the host and both budgets allow, in bytes."""
    own, run = _bounds(situation)
    return min(amount for amount in (situation.ceiling, own.memory, run.memory) if amount is not None)


# -- what is known of the attempts before ------------------------------------------------------------------------------


def _unforgiven(situation: Situation) -> History:
    return situation.history[situation.forgiven :]


def _remedies(history: History) -> Iterator[RecordedRemedy]:
    return (one.remedy for one in history if isinstance(one, AttemptFailed) and one.remedy is not None)


def _timeout(options: Options, history: History) -> float | None:
    if options.timeout is None:
        return None  # its author has taken the timeout away since, and an `Extend` must not bring it back
    extended = [remedy.timeout for remedy in _remedies(history) if isinstance(remedy, Extend)]
    return extended[-1] if extended else options.timeout


def _asked_in_a_row(situation: Situation) -> int:
    row = 0
    for one in reversed(_unforgiven(situation)):
        if isinstance(one, CallFailed) or one.chosen_by != "retries" or not isinstance(one.remedy, RetryAfter):
            break
        row += 1
    return row


def _gain(has: Resources, asked: Grow) -> Grow:
    """Give the part of a `Grow` that is more than there is. It never lowers a limit, and sets none where there is none.

    The second matters where an author has taken a limit away since.
    """
    more: dict[str, int] = {}
    for name, amount in _amounts(asked).items():
        limit: int | None = getattr(has, name)
        if limit is not None and amount > limit:
            more[name] = amount
    return Grow(**more)


def _amounts(asked: Grow) -> dict[str, Any]:
    return {name: amount for name, amount in msgspec.structs.asdict(asked).items() if amount is not None}


def _is_of_another(failure: Failure) -> bool:
    """Tell whether a failure happened to a call that this one made, and came through it.

    Its remedies were spent there. More memory for the caller does not help a callee that ran out of its own, and
    resuming both would multiply their bounds. That it came out of another call does not say so: a worker whose step is
    refused memory runs out of its own.
    """
    return any(path == failure.path for _, path in getattr(failure, ORIGIN, ()))
