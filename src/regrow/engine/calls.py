"""The life of a call: from the moment the code makes it to its recorded outcome.

It is written once, as a generator (`_life`) that says what is to be done next (run the body, wait until then, wait
until that is durable) and does none of it itself. `call_async` does what it says in a coroutine, `call_sync` in a
thread. What to do is decided in `regrow.engine.decide`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import msgspec

from regrow.codec import capture
from regrow.engine import decide
from regrow.engine.callee import Callee, Invocation
from regrow.engine.committer import Ticket
from regrow.engine.driver import GRACE_SECONDS, Driver
from regrow.engine.failing import allowed_to, body_of, given_to, judge
from regrow.engine.healer import GiveUp
from regrow.engine.scope import Scope
from regrow.engine.state import CallState
from regrow.engine.vault import Kept
from regrow.errors import Failure, OutcomeUnknown, TimedOut, UsageError
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


class RunBody(msgspec.Struct, frozen=True):
    """Run a function in `scope`, with the arguments of the call, and send its result back."""

    callee: Callee
    scope: Scope


class WaitUntil(msgspec.Struct, frozen=True):
    """Wait for a moment, in seconds since the epoch."""

    moment: float


class AwaitTurn(msgspec.Struct, frozen=True):
    """Wait until the code has been given all outcomes that were recorded before this call's."""

    known: CallState


class AwaitRecorded(msgspec.Struct, frozen=True):
    """Wait until the code has been given all recorded outcomes: this call's, which is new, comes after them."""


class _Result(msgspec.Struct, frozen=True):
    """What an attempt gave, whatever that is."""

    value: Any


Todo = RunBody | WaitUntil | AwaitTurn | AwaitRecorded | Ticket
"""What a life asks for. A ticket is something that must become durable before the call goes on."""

_Life = Generator[Todo, Any, Any]
_Loop = asyncio.AbstractEventLoop | None


async def call_async(invocation: Invocation) -> Any:
    """Carry a call out in a coroutine."""
    driver = invocation.branch.scope.driver
    life = _life(driver, invocation, asyncio.get_running_loop())
    try:
        todo = next(life)
        while True:
            result = None
            try:
                if isinstance(todo, RunBody):
                    result = await _run_body(driver, todo, invocation)
                elif isinstance(todo, WaitUntil):
                    await driver.wait_until(todo.moment)
                elif isinstance(todo, AwaitTurn):
                    await driver.take_turn(todo.known)
                elif isinstance(todo, AwaitRecorded):
                    await driver.let_recorded_go_first()
                else:
                    await driver.durable(todo)
            except BaseException as error:  # noqa: BLE001 - the life decides what it means
                todo = life.throw(error)
            else:
                todo = life.send(result)
    except StopIteration as end:
        return end.value


def call_sync(invocation: Invocation) -> Any:
    """Carry a call out in the caller's own thread."""
    driver = invocation.branch.scope.driver
    driver.heed_interruption()
    life = _life(driver, invocation, None)
    try:
        todo = next(life)
        while True:
            result = None
            try:
                if isinstance(todo, RunBody):
                    result = driver.executor.run_blocking(todo.callee, todo.scope, invocation.args, invocation.kwargs)
                elif isinstance(todo, WaitUntil):
                    driver.wait_in_thread_until(todo.moment)
                elif not isinstance(todo, AwaitTurn | AwaitRecorded):  # only coroutines take turns
                    driver.durable_in_thread(todo)
            except BaseException as error:  # noqa: BLE001 - the life decides what it means
                todo = life.throw(error)
            else:
                todo = life.send(result)
    except StopIteration as end:
        return end.value


async def _run_body(driver: Driver, todo: RunBody, invocation: Invocation) -> Any:
    allowed = todo.scope.allowed
    if allowed is None or todo.callee.isolated:  # a worker is held to its time by whoever can end it
        return await driver.executor.run(todo.callee, todo.scope, invocation.args, invocation.kwargs)
    async with asyncio.timeout(allowed[0]) as todo.scope.bound:
        return await driver.executor.run(todo.callee, todo.scope, invocation.args, invocation.kwargs)


def _life(driver: Driver, invocation: Invocation, loop: _Loop) -> _Life:
    call, known = driver.meet(invocation)
    decision = decide.on_call(known)
    if isinstance(decision, decide.AwaitCancellation):
        # The code gave up on this call once and will again, unless it was edited; then the call is carried out.
        yield WaitUntil(driver.now() + decision.after + GRACE_SECONDS)
        decision = decide.on_call(known, waited=True)
    if known is not None and isinstance(decision, decide.Replay):
        if loop is not None and driver.is_out_of_turn(known):
            yield AwaitTurn(known)
        return driver.replay(known, decision.outcome)
    if isinstance(decision, decide.AskOutcome):
        decision = yield from _reconcile(driver, invocation.callee, call, decision, loop)
    outer = invocation.branch.scope
    driver.begin(outer)
    started = driver.now()
    attempt = 1
    try:
        if isinstance(decision, decide.Accept):
            return (yield from _accept(driver, call, decision, loop))
        assert isinstance(decision, decide.Execute)  # noqa: S101 - the only one left, for the type checker
        attempt, first_begun, moment = decision.attempt, decision.first_begun, decision.not_before
        while True:
            if moment:
                yield WaitUntil(moment)
            started = driver.now()
            if first_begun is None:
                first_begun = started
            options = invocation.callee.options
            scope = Scope(driver, call, outer, attempt=attempt, known=known, options=options, first_begun=first_begun)
            outcome = yield from _attempt(driver, invocation.callee, call, scope, loop)
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
        driver.end(outer)


def _attempt(
    driver: Driver, callee: Callee, call: Call, scope: Scope, loop: _Loop
) -> Generator[Todo, Any, _Result | float]:
    """Make one attempt; give its result or the moment of the next one, or raise the error if there is none."""
    attempt, started = scope.attempt, driver.now()
    scope.begun, scope.allowed = started, allowed_to(driver, scope)
    if scope.options.once:
        yield driver.record(CallStarted(call, attempt, once=True), loop)
    elif call.kind == "task":
        driver.hand_in(CallStarted(call, attempt))
    if callee.isolated:
        scope.resources = given_to(driver, scope)
    try:
        result = yield RunBody(body_of(callee, scope), scope)
        driver.check()
        driver.look_for_passed_over(call.path)
        if isinstance(result, Kept):
            kept, result = result, driver.load(result.value)
        else:
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
        outdated = driver.checkpoint_of(call.path) if call.kind == "task" else None
        ticket = driver.record(CallSucceeded(call, attempt, started, kept.value), loop, kept.blobs)
        if ticket is not None:
            yield ticket
        driver.drop(outdated)
        return _Result(result)
    return (yield from _failed(driver, callee, call, scope, error, loop))


def _failed(  # noqa: PLR0917 - what a life knows by now
    driver: Driver, callee: Callee, call: Call, scope: Scope, error: Exception, loop: _Loop
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
        yield driver.record(CallFailed(call, attempt, started, capture(error), again), loop)
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


def _accept(driver: Driver, call: Call, accepted: decide.Accept, loop: _Loop) -> _Life:
    """Record as a call's result what somebody said had come of it."""
    decided = driver.log.state.calls[call.path].decided
    value = decided.value if decided else b""
    yield driver.record(CallSucceeded(call, accepted.attempt, driver.now(), value), loop)
    return driver.load(value)


def _reconcile(
    driver: Driver, callee: Callee, call: Call, question: decide.AskOutcome, loop: _Loop
) -> Generator[Todo, Any, decide.Decision]:
    """Ask the author's code what became of a once-only call; stop the run if it cannot say."""
    answer = None
    if callee.reconciler is not None:
        scope = Scope(driver, call, None, attempt=question.attempt)
        answer = yield RunBody(callee.reconciler, scope)
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
