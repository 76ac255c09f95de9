"""The life of a call: from the moment the code makes it to its recorded outcome.

It is a generator (`_life`) that says what is to be done next: run the body, wait until then, wait until that is durable
(`regrow.engine.lives`). What to do is decided in `regrow.engine.decide`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any

import msgspec

from regrow.codec import capture, rebuild
from regrow.engine import decide
from regrow.engine.advice import GIVE_UP, STOP, advisers_of, edit, follow, is_advised
from regrow.engine.approvals import approver_of
from regrow.engine.caching import Errand, Hit, ask, share
from regrow.engine.callee import Callee, Invocation, Mode
from regrow.engine.driver import GRACE_SECONDS, Driver
from regrow.engine.failing import allowed_to, body_of, given_to, judge
from regrow.engine.healer import GiveUp
from regrow.engine.lives import Life, Loop, Todo, live_async, live_in_thread
from regrow.engine.scope import Scope
from regrow.engine.state import CallState
from regrow.engine.todo import AwaitCancellation, AwaitRecorded, AwaitTurn, Hold, RunBody, WaitUntil
from regrow.engine.vault import Kept
from regrow.errors import Denied, Failure, OutcomeUnknown, TimedOut, UsageError
from regrow.journal.records import (
    AttemptFailed,
    Call,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    OutcomeDecided,
)
from regrow.values.ids import idempotency_key


class Happened(msgspec.Struct, frozen=True):
    """What ``reconcile=`` returns when the effect did happen: its result."""

    result: object = None


class DidNotHappen(msgspec.Struct, frozen=True):
    """What ``reconcile=`` returns when the effect certainly did not happen: the call is carried out."""


class _Result(msgspec.Struct, frozen=True):
    """What an attempt gave, whatever that is."""

    value: Any


def call_async(invocation: Invocation) -> Coroutine[Any, Any, Any]:
    """Carry a call out in a coroutine."""
    return live_async(invocation, _life)


def call_sync(invocation: Invocation) -> Any:
    """Carry a call out in the caller's own thread."""
    return live_in_thread(invocation, _life)


def _life(invocation: Invocation, loop: Loop) -> Life:
    driver = invocation.branch.scope.driver
    call, known = driver.meet(invocation)
    decision = decide.on_call(known)
    if isinstance(decision, decide.AwaitCancellation):
        # The code gave up on this call once and will again, unless it was edited; then the call is carried out.
        yield AwaitCancellation(driver.now() + decision.after + GRACE_SECONDS)
        decision = decide.on_call(known, waited=True)
    if known is not None and isinstance(decision, decide.Replay):
        if loop is not None and driver.is_out_of_turn(known):
            yield AwaitTurn(known)
        return driver.replay(known, decision.outcome)
    if driver.holds_back:
        yield Hold(invocation.branch.scope.path)
    if isinstance(decision, decide.AskOutcome):
        decision = yield from _reconcile(driver, invocation.callee, call, decision, loop)
    return (yield from _carry_out(driver, invocation, call, known, decision, loop))


def _carry_out(  # noqa: PLR0917 - what a life knows by now
    driver: Driver,
    invocation: Invocation,
    call: Call,
    known: CallState | None,
    decision: decide.Decision,
    loop: Loop,
) -> Life:
    """Bring a call to an outcome that it does not have yet: by executing it, unless an equal call was executed."""
    assert isinstance(decision, decide.Accept | decide.Execute)  # noqa: S101 - all that is left, for the type checker
    outer = invocation.branch.scope
    driver.begin(outer)
    started, attempt = driver.now(), decision.attempt
    errand: Errand | None = None
    try:
        if isinstance(decision, decide.Accept):
            return (yield from _accept(driver, call, decision, loop))
        first_begun, moment = decision.first_begun, decision.not_before
        if (cache := invocation.callee.options.cache) is not None:
            asked = yield from ask(driver, invocation, call, known, cache, in_loop=loop is not None)
            if isinstance(asked, Hit):
                return (yield from _take(driver, call, attempt, started, asked, loop))
            errand = asked
        while True:
            if moment:
                yield WaitUntil(moment)
            options = invocation.callee.options
            if known is not None or options.approve is not None:  # else nobody has anything to say: the common case
                said = yield from _ask_people(driver, invocation, call, known, attempt, loop)
                if isinstance(said, _Result):
                    return said.value
                known = said
            started = driver.now()
            first_begun = started if first_begun is None else first_begun
            scope = Scope(driver, call, outer, attempt=attempt, known=known, options=options, first_begun=first_begun)
            outcome = yield from _attempt(driver, invocation.callee, call, scope, errand, loop)
            if isinstance(outcome, _Result):
                return outcome.value
            known = driver.log.state.calls[call.path]
            moment = outcome
            attempt += 1
    except asyncio.CancelledError:
        # Wherever it strikes, in a body, between attempts or while a record is on its way to the disk: the code has
        # given up without having seen an outcome, and must not see one the next time.
        driver.note_given_up(outer, CallCancelled(call, attempt, started))
        raise
    finally:
        if errand is not None:
            errand.end()
        driver.end(outer)


def _take(  # noqa: PLR0917 - what a life knows by now
    driver: Driver, call: Call, attempt: int, started: float, hit: Hit, loop: Loop
) -> Life:
    """Record the outcome of an equal call as this one's, and give it to the code."""
    if loop is not None and driver.is_ahead():
        yield AwaitRecorded()
    driver.check()
    artifact, origin = hit.artifact, hit.artifact.origin
    driver.tally.cached += 1
    driver.tally.cached_seconds += origin.seconds
    if artifact.error is not None:
        yield driver.record(CallFailed(call, attempt, started, artifact.error, hit=origin), loop)
        raise decide.mark(rebuild(artifact.error), driver.run, call.path)
    assert artifact.value is not None  # noqa: S101 - one of the two is always there
    outdated = driver.checkpoint_of(call.path)
    yield driver.record(CallSucceeded(call, attempt, started, artifact.value, hit=origin), loop, artifact.blobs)
    driver.drop(outdated)
    return hit.result


def _ask_people(  # noqa: PLR0917 - what a life knows by now
    driver: Driver, invocation: Invocation, call: Call, known: CallState | None, attempt: int, loop: Loop
) -> Generator[Todo, Any, CallState | _Result | None]:
    """Have people say what is theirs to say before an attempt begins; give what is known then, or the call's result."""
    if known is not None and is_advised(known):
        advised = yield from _advised(driver, invocation, call, known, attempt, loop)
        if isinstance(advised, _Result):
            return advised
        known = advised
    options = invocation.callee.options
    if options.approve is not None:
        waiting = Scope(driver, call, invocation.branch.scope, attempt=attempt, options=options)
        yield from _approved(driver, invocation.callee, call, waiting, loop)
    return known


def _advised(  # noqa: PLR0917 - what a life knows by now
    driver: Driver, invocation: Invocation, call: Call, known: CallState, attempt: int, loop: Loop
) -> Generator[Todo, Any, CallState | _Result]:
    """Do what people have said about failed attempts: give the call as if that had been their remedy, or its result."""
    started = driver.now()
    attempts = list(known.attempts)
    mode: Mode = "sync" if loop is None else "async"
    for place, adviser, scope in advisers_of(invocation, known, invocation.branch.scope, mode):
        failed = attempts[place]
        assert isinstance(failed, AttemptFailed)  # noqa: S101 - only such are put to people
        said = follow(invocation, failed, (yield RunBody(adviser, scope)))
        driver.check()
        if said.result is not None:
            kept = driver.keep(said.result[0], "result")
            yield driver.record(CallSucceeded(call, attempt, started, kept.value), loop, kept.blobs)
            return _Result(said.result[0])
        if said.word == STOP:
            driver.cancel(f"whoever was asked about {call.path}")
            raise asyncio.CancelledError
        if said.word == GIVE_UP:
            yield driver.record(CallFailed(call, attempt, started, failed.error, failed.again), loop)
            raise decide.mark(rebuild(failed.error), driver.run, call.path)
        if said.inputs is not None:
            edit(invocation, said.inputs)
        attempts[place] = msgspec.structs.replace(failed, remedy=said.remedy)
    return msgspec.structs.replace(known, attempts=tuple(attempts))


def _approved(driver: Driver, callee: Callee, call: Call, scope: Scope, loop: Loop) -> Generator[Todo, Any, None]:
    """Let nothing run before somebody has approved it; raise `Denied` if they say no. No retry follows that."""
    started = driver.now()
    try:
        yield RunBody(*approver_of(callee, scope, "sync" if loop is None else "async"))
    except Denied as denied:
        driver.check()
        again = decide.blame(denied, driver.run, call.path)
        yield driver.record(CallFailed(call, scope.attempt, started, capture(denied), again), loop)
        raise decide.mark(denied, driver.run, call.path) from None


def _attempt(  # noqa: PLR0917 - what a life knows by now
    driver: Driver, callee: Callee, call: Call, scope: Scope, errand: Errand | None, loop: Loop
) -> Generator[Todo, Any, _Result | float]:
    """Make one attempt; give its result or the moment of the next one, or raise the error if there is none."""
    if driver.holds_back:
        yield Hold(call.path)
    driver.check()  # a long wait may lie behind it
    attempt, started = scope.attempt, driver.now()
    scope.begun, scope.allowed = started, allowed_to(driver, scope)
    if scope.options.once:
        yield driver.record(CallStarted(call, attempt, once=True), loop)
    elif call.kind == "task":
        driver.hand_in(CallStarted(call, attempt))
    if callee.isolated:
        scope.resources = given_to(driver, scope)
    try:
        body = body_of(callee, scope)
        # What a fallback gives answers this call and no other: the next time the function itself may succeed.
        errand = errand if body is callee else None
        with driver.at_work(call.path, isolated=body.isolated):
            result = yield RunBody(body, scope)
        driver.check()
        if isinstance(result, Kept):  # a worker has looked itself for calls that were passed over
            kept, result = result, driver.load(result.value)
        else:
            driver.look_for_passed_over(call.path)
            kept = driver.keep(result, "result")
        if loop is not None and driver.is_ahead():
            yield AwaitRecorded()
    except Exception as problem:  # noqa: BLE001 - a failure is a result: it is recorded, then handed on
        driver.check()
        error = problem
        if scope.timed_out and scope.allowed is not None:
            error = TimedOut(call.path, *scope.allowed).with_traceback(problem.__traceback__)
        if loop is not None and driver.is_ahead():
            yield AwaitRecorded()
    else:
        driver.tally.executed += 1
        share(errand, kept, driver.now() - started)
        outdated = driver.checkpoint_of(call.path)
        ticket = driver.record(CallSucceeded(call, attempt, started, kept.value), loop, kept.blobs)
        if ticket is not None:
            yield ticket
        driver.drop(outdated)
        return _Result(result)
    return (yield from _failed(driver, callee, call, scope, error, errand, loop))


def _failed(  # noqa: PLR0917 - what a life knows by now
    driver: Driver, callee: Callee, call: Call, scope: Scope, error: Exception, errand: Errand | None, loop: Loop
) -> Generator[Todo, Any, _Result | float]:
    """Say what follows from a failed attempt, and record it; gives and raises what `_attempt` does."""
    attempt, started = scope.attempt, scope.begun
    if scope.options.once and callee.isolated and _hides_outcome(error, call):
        decision = yield from _reconcile(driver, callee, call, decide.AskOutcome(attempt), loop)
        if isinstance(decision, decide.Accept):
            return _Result((yield from _accept(driver, call, decision, loop)))
    again = decide.blame(error, driver.run, call.path)
    verdict = judge(driver, scope, error)
    if isinstance(verdict, GiveUp):
        driver.tally.executed += 1
        captured = capture(error)
        if errand is not None:
            errand.leave_failure(captured, driver.now() - started)
        yield driver.record(CallFailed(call, attempt, started, captured, again), loop)
        raise decide.mark(error, driver.run, call.path)
    failed = AttemptFailed(
        call, attempt, started, capture(error), verdict.moment, again, verdict.remedy, verdict.chosen_by, verdict.counts
    )
    yield driver.record(failed, loop)
    driver.begin_anew(call.path)
    return verdict.moment


def _hides_outcome(error: Exception, call: Call) -> bool:
    """Tell whether a call's worker was gone before it could say what its task had done."""
    if not isinstance(error, Failure) or error.layer != "infrastructure" or error.path != call.path:
        return False
    return error.__cause__ is None and bool(error.facts.get("begun", True))


def _accept(driver: Driver, call: Call, accepted: decide.Accept, loop: Loop) -> Life:
    """Record as a call's result what somebody said had come of it."""
    decided = driver.log.state.calls[call.path].decided
    value = decided.value if decided else b""
    yield driver.record(CallSucceeded(call, accepted.attempt, driver.now(), value), loop)
    return driver.load(value)


def _reconcile(
    driver: Driver, callee: Callee, call: Call, question: decide.AskOutcome, loop: Loop
) -> Generator[Todo, Any, decide.Decision]:
    """Ask the author's code what became of a once-only call; stop the run if it cannot say."""
    answer = None
    if callee.reconciler is not None:
        scope = Scope(driver, call, None, attempt=question.attempt)
        try:
            answer = yield RunBody(callee.reconciler, scope)
        except Exception as problem:
            decide.mark(problem, driver.run, call.path)  # else it would seem to be a failure of the task around it
            raise
    match answer:
        case Happened():
            kept = driver.keep(answer.result, "reconciled result")
            decided = OutcomeDecided(call.path, happened=True, value=kept.value, reason="reconcile")
            yield driver.record(decided, loop, kept.blobs)
        case DidNotHappen():
            yield driver.record(OutcomeDecided(call.path, happened=False, reason="reconcile"), loop)
        case None:
            raise driver.halt(OutcomeUnknown(call.path, idempotency_key(driver.run, call.path)))
        case _:
            raise UsageError(
                f"reconcile= of {callee.name} must return regrow.Happened(result), regrow.DidNotHappen() or None "
                f"(still unknown); it returned {type(answer).__name__}"
            )
    return decide.on_call(driver.log.state.calls[call.path], waited=True)
