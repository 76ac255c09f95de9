"""The driver: carries out one run.

Every recorded call of the user's code comes through here. `Driver._perform` is the whole life of a call, written once
as a generator that says what is to be done next (run the body, wait until then, wait until that is durable) and does
none of it; `call_async` and `call_sync` do it, one in a coroutine, one in a thread. What to do is decided in
`regrow.engine.decide`, from the state in `regrow.engine.state`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

import msgspec

from regrow.codec import capture, digest_inputs, rebuild
from regrow.engine import decide
from regrow.engine.branches import Branch
from regrow.engine.callee import Callee
from regrow.engine.committer import Committer, Ticket, arrival, arrive
from regrow.engine.executor import Executor
from regrow.engine.log import RunLog
from regrow.engine.replay import Replay
from regrow.engine.scope import Scope
from regrow.engine.state import CallState
from regrow.engine.vault import INPUT_BYTES, NOTHING, Kept, Vault
from regrow.errors import Divergence, OutcomeUnknown, RegrowError, StoreError, TimedOut, UsageError
from regrow.journal.records import (
    AttemptFailed,
    Call,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    Diverged,
    Event,
    OutcomeDecided,
    Record,
)
from regrow.values.ids import idempotency_key

_LOOK_AT_THE_CLOCK = 60.0
"""Seconds after which a long wait looks at the wall clock again: that may be set, and a laptop may have slept."""

_GRACE_SECONDS = 1.0
"""How much longer than last time to wait for the code to give up on a call before it is carried out after all."""


class Happened(msgspec.Struct, frozen=True):
    """What ``reconcile=`` returns when the effect did happen: its result."""

    result: object = None


class DidNotHappen(msgspec.Struct, frozen=True):
    """What ``reconcile=`` returns when the effect certainly did not happen: the call is carried out."""


class Replayed(msgspec.Struct, frozen=True):
    """Told to observers: a call was answered from the journal."""

    call: Call
    seconds: float


Observer = Callable[[Record | Replayed], None]
"""Is told what a driver appends and replays, as it does so, in the driver's own threads. Must return at once."""


class Tally(msgspec.Struct):
    """What a driver did since it took its run up.

    Attributes:
        executed: calls whose bodies ran to an outcome.
        replayed: calls answered from the journal.
        seconds_saved: how long these had taken when they ran.
    """

    executed: int = 0
    replayed: int = 0
    seconds_saved: float = 0.0


class RunBody(msgspec.Struct, frozen=True):
    """Run a function in `scope`, with the arguments of the call, and send its result back. `limit` is in seconds."""

    callee: Callee
    scope: Scope
    limit: float | None = None


class WaitUntil(msgspec.Struct, frozen=True):
    """Wait for a moment, in seconds since the epoch."""

    moment: float


Todo = RunBody | WaitUntil | Ticket
"""What `_perform` asks for. A ticket is something that must become durable before the call goes on."""

_Life = Generator[Todo, Any, Any]


class Driver:
    """Executes one run under one lease.

    Attributes:
        run: the run's id.
        log: the end of its journal.
        vault: where its values go.
        tally: what was done so far.
        halted: why the driver cannot go on, once it cannot: the lease was lost, the store failed, a divergence in strict
            mode, an unknown outcome. Then nothing more is recorded, and nothing the code does can change that.
        closing: the run is being let go of, to be resumed later: nothing new begins, and what is cut short now is not
            recorded as given up.
        cancelled_by: who cancelled the run. Its ``finally`` blocks may still make recorded calls.
    """

    def __init__(
        self,
        log: RunLog,
        committer: Committer,
        vault: Vault,
        executor: Executor,
        *,
        strict: bool = False,
        clock: Callable[[], float] = time.time,
        observers: tuple[Observer, ...] = (),
    ) -> None:
        """Take a run up from where its log ends."""
        self.run = log.run
        self.log = log
        self.vault = vault
        self.tally = Tally()
        self.halted: RegrowError | None = None
        self.closing = False
        self.cancelled_by: str | None = None
        self._cancellation_due = False
        self.closed = threading.Event()
        self.interrupt: Callable[[], None] = lambda: None
        self._committer = committer
        self._executor = executor
        self._strict = strict
        self._clock = clock
        self._observers = observers
        self._replay = Replay(log.state)
        self._lock = threading.RLock()
        self._root = Scope(self, None, None)

    # -- the two ways in -----------------------------------------------------------------------------------------------

    async def call_async(
        self, callee: Callee, branch: Branch, site: tuple[str, int], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Carry a call out in a coroutine.

        Args:
            callee: what is called.
            branch: which strand calls.
            site: the path and position that `branch` gave the call when it was made.
            args: as the caller wrote them.
            kwargs: likewise.
        """
        loop = asyncio.get_running_loop()
        life = self._perform(callee, branch.scope, site, args, kwargs, loop)
        try:
            todo = next(life)
            while True:
                if todo is None:
                    todo = life.send(None)
                    continue
                try:
                    if isinstance(todo, RunBody):
                        result = await self._run_body(todo, args, kwargs)
                    else:
                        result = await self.wait_until(todo.moment) if isinstance(todo, WaitUntil) else await arrival(todo)
                except BaseException as error:  # noqa: BLE001 - the generator decides what it means
                    todo = life.throw(error)
                else:
                    todo = life.send(result)
        except StopIteration as end:
            return end.value

    def call_sync(
        self, callee: Callee, branch: Branch, site: tuple[str, int], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Carry a call out in the caller's own thread. The arguments are those of `call_async`."""
        if self._cancellation_due:  # nothing can reach into a thread; the run's next call is where it learns of it
            self._cancellation_due = False
            raise asyncio.CancelledError
        life = self._perform(callee, branch.scope, site, args, kwargs, None)
        try:
            todo = next(life)
            while True:
                if todo is None:
                    todo = life.send(None)
                    continue
                try:
                    if isinstance(todo, RunBody):
                        result = self._executor.run_blocking(todo.callee, todo.scope, args, kwargs)
                    else:
                        result = self._sleep_until(todo.moment) if isinstance(todo, WaitUntil) else arrive(todo)
                except BaseException as error:  # noqa: BLE001 - the generator decides what it means
                    todo = life.throw(error)
                else:
                    todo = life.send(result)
        except StopIteration as end:
            return end.value

    async def _run_body(self, todo: RunBody, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        if todo.limit is None:
            return await self._executor.run(todo.callee, todo.scope, args, kwargs)
        async with asyncio.timeout(todo.limit) as todo.scope.bound:
            return await self._executor.run(todo.callee, todo.scope, args, kwargs)

    async def sleep(self, callee: Callee, branch: Branch, site: tuple[str, int], span: float) -> None:
        """Carry a durable sleep out. It ends at the moment that was recorded when it began, however often it is resumed."""
        call, known = self.meet(callee, site, (span,), {})
        if known is not None and known.outcome is not None:
            if isinstance(known.outcome, CallSucceeded):
                self.replay(call, known.outcome)
                return
            await self.wait_until(self._clock() + known.seconds + _GRACE_SECONDS)  # the code gave up on it, and will again
        begun = known.begun if known is not None else None
        started = self._clock()
        due = begun.due if begun is not None and begun.due is not None else started + span
        if begun is None:
            await arrival(self.record_on_loop(CallStarted(call, 1, due)))
        try:
            await self.wait_until(due)
        except asyncio.CancelledError:
            self.note_cancelled(branch.scope, CallCancelled(call, 1, started))
            raise
        self.tally.executed += 1
        await arrival(self.record_on_loop(CallSucceeded(call, 1, started, NOTHING)))

    def root_branch(self) -> Branch:
        """Give the strand on which the run's outermost call is made."""
        return self._root.main

    # -- the life of a call --------------------------------------------------------------------------------------------

    def _perform(
        self,
        callee: Callee,
        outer: Scope,
        site: tuple[str, int],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        loop: asyncio.AbstractEventLoop | None,
    ) -> _Life:
        call, known = self.meet(callee, site, args, kwargs)
        decision = decide.on_call(known)
        if isinstance(decision, decide.Replay):
            return self.replay(call, decision.outcome)
        if isinstance(decision, decide.AwaitCancellation):
            # The code gave up on this call once and will again, unless it was edited; then the call is carried out.
            yield WaitUntil(self._clock() + decision.after + _GRACE_SECONDS)
            decision = decide.on_call(known, waited=True)
        if isinstance(decision, decide.AskOutcome):
            decision = yield from self._reconcile(callee, call, decision, loop)
        self.begin(outer)
        try:
            if isinstance(decision, decide.Accept):
                return (yield from self._accept(call, decision, loop))
            assert isinstance(decision, decide.Execute)  # noqa: S101 - the only one left, for the type checker
            return (yield from self._attempts(callee, outer, call, known, decision, loop))
        finally:
            self.end(outer)

    def _attempts(
        self,
        callee: Callee,
        outer: Scope,
        call: Call,
        known: CallState | None,
        begin: decide.Execute,
        loop: asyncio.AbstractEventLoop | None,
    ) -> _Life:
        options = callee.options
        attempt, first_begun, moment = begin.attempt, begin.first_begun, begin.not_before
        while True:
            if moment:
                yield WaitUntil(moment)
            started = self._clock()
            if first_begun is None:
                first_begun = started
            allowed = decide.allowance(options, first_begun, started)
            if options.once:
                yield self.record(CallStarted(call, attempt, once=True), loop)
            elif call.kind == "task":
                self.hand_in(CallStarted(call, attempt))
            scope = Scope(self, call, outer, attempt=attempt, failures=known.attempts if known else ())
            try:
                result = yield RunBody(callee, scope, allowed[0] if allowed else None)
                self.check()
                self.look_for_passed_over(call.path)
                kept = self.keep(result)
            except Exception as problem:  # noqa: BLE001 - a failure is a result: it is recorded, then handed on
                self.check()
                error = problem
                if scope.timed_out and allowed is not None:
                    error = TimedOut(call.path, *allowed).with_traceback(problem.__traceback__)
            except asyncio.CancelledError:
                self.note_cancelled(scope, CallCancelled(call, attempt, started))
                raise
            else:
                self.tally.executed += 1
                yield self.record(CallSucceeded(call, attempt, started, kept.value), loop, kept.blobs)
                return result
            verdict = decide.after_failure(
                options,
                call.path,
                attempt,
                error,
                forgiven=known.forgiven if known else 0,
                first_begun=first_begun,
                now=self._clock(),
            )
            again = decide.blame(error, call.path)
            if isinstance(verdict, decide.GiveUp):
                self.tally.executed += 1
                yield self.record(CallFailed(call, attempt, started, capture(error), again), loop)
                raise decide.mark(error, call.path)
            moment = verdict.moment
            yield self.record(AttemptFailed(call, attempt, started, capture(error), moment, again), loop)
            self.forget_inside(call.path)
            known = self.log.state.calls[call.path]
            attempt += 1

    def _accept(self, call: Call, accepted: decide.Accept, loop: asyncio.AbstractEventLoop | None) -> _Life:
        """Record as a call's result what somebody said had come of it."""
        decided = self.log.state.calls[call.path].decided
        value = decided.value if decided else b""
        yield self.record(CallSucceeded(call, accepted.attempt, self._clock(), value), loop)
        return self.vault.load(value)

    def _reconcile(
        self, callee: Callee, call: Call, question: decide.AskOutcome, loop: asyncio.AbstractEventLoop | None
    ) -> Generator[Todo, Any, decide.Decision]:
        """Ask the author's code what became of a once-only call; stop the run if it cannot say."""
        answer = None
        if callee.reconciler is not None:
            scope = Scope(self, call, None, attempt=question.attempt)
            answer = yield RunBody(callee.reconciler, scope)
        match answer:
            case Happened():
                kept = self.keep(answer.result)
                decided = OutcomeDecided(call.path, happened=True, value=kept.value, reason="reconcile")
                yield self.record(decided, loop, kept.blobs)
            case DidNotHappen():
                yield self.record(OutcomeDecided(call.path, happened=False, reason="reconcile"), loop)
            case None:
                raise self.halt(OutcomeUnknown(call.path, idempotency_key(self.run, call.path)))
            case _:
                raise UsageError(
                    f"reconcile= of {callee.name} must return regrow.Happened(result), regrow.DidNotHappen() or None "
                    f"(still unknown); it returned {type(answer).__name__}"
                )
        return decide.on_call(self.log.state.calls[call.path], waited=True)

    # -- what it consists of -------------------------------------------------------------------------------------------

    def meet(
        self, callee: Callee, site: tuple[str, int], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> tuple[Call, CallState | None]:
        """Find out which call this is, and what the journal knows of it.

        Raises:
            UsageError: the function cannot be called like this.
            NotStorable: an input of a task has no durable form.
            Divergence: in strict mode, when code and journal have parted here.
        """
        self.check()
        path, position = site
        inputs = digest_inputs(callee.inputs(args, kwargs), allow_opaque=callee.kind != "task", where=callee.name)
        with self._lock:
            match = self._replay.match(path, position, inputs.digest)
            if match.parted is not None:
                self.parted(Diverged(match.path, match.parted))
        shown = inputs.data if inputs.data is not None and len(inputs.data) <= INPUT_BYTES else b""
        return Call(match.path, callee.kind, position, inputs.digest, shown), match.known

    def replay(self, call: Call, outcome: CallSucceeded | CallFailed) -> Any:
        """Give the code what it was given before."""
        seconds = self.log.state.calls[call.path].seconds
        self.tally.replayed += 1
        self.tally.seconds_saved += seconds
        if self._observers:
            self._tell(Replayed(call, seconds))
        if isinstance(outcome, CallSucceeded):
            return self.vault.load(outcome.value)
        raise decide.mark(rebuild(outcome.error), call.path)

    def record(self, event: Event, loop: asyncio.AbstractEventLoop | None, blobs: tuple[str, ...] = ()) -> Ticket:
        """Append an event, and give what to wait for until it is durable.

        Raises:
            LeaseLost: the run is another driver's by now.
            StoreUnavailable: the store did not acknowledge it.
        """
        with self._lock:
            self.check_halted()
            record, entry = self.log.append(event, blobs)
            try:
                ticket = self._committer.submit(entry, loop)
            except RegrowError as problem:
                raise self.halt(problem) from None
        if self._observers:
            self._tell(record)
        return ticket

    def hand_in(self, event: Event, blobs: tuple[str, ...] = ()) -> None:
        """Append an event that nobody waits for."""
        with self._lock:
            if self.halted is not None:
                return
            record, entry = self.log.append(event, blobs)
            self._committer.hand_in(entry)
        if self._observers:
            self._tell(record)

    def hand_in_last(self, event: Event) -> None:
        """Append the event that says why nothing more can be appended."""
        with self._lock:
            _record, entry = self.log.append(event)
            self._committer.hand_in(entry)

    def parted(self, event: Diverged) -> None:
        """Record that code and journal have parted.

        Raises:
            Divergence: in strict mode, before anything else is done.
        """
        if self._strict:
            raise self.halt(Divergence(event.path, event.reason))
        self.hand_in(event)

    def record_on_loop(self, event: Event, blobs: tuple[str, ...] = ()) -> Ticket:
        """Do what `record` does, for the coroutine that is running."""
        return self.record(event, asyncio.get_running_loop(), blobs)

    def keep(self, value: object, where: str = "result") -> Kept:
        """Make a result ready to be recorded.

        Raises:
            NotStorable: it has no durable form.
            StoreUnavailable: there is no room for it; the run cannot go on.
        """
        try:
            return self.vault.keep(value, where)
        except StoreError as problem:
            raise self.halt(problem) from problem

    def note_cancelled(self, scope: Scope, event: CallCancelled) -> None:
        """Record that the code gave up on a call; not when it was we who are cutting it short."""
        if not (self.closing or self.cancelled_by or self.halted or scope.is_ending):
            self.hand_in(event)

    def begin(self, outer: Scope) -> None:
        """Count one more strand at work, unless it is the caller's own that goes on inside the call."""
        outer.busy += 1
        if outer.busy > 1:
            self._committer.busy += 1

    def end(self, outer: Scope) -> None:
        """Take back what `begin` counted."""
        if outer.busy > 1:
            self._committer.busy -= 1
        outer.busy -= 1

    def look_for_passed_over(self, scope: str) -> None:
        """Name the recorded calls that a body, about to be recorded as done, has not made any more.

        Raises:
            Divergence: in strict mode, if there is one.
        """
        for path in self._replay.passed_over(scope):
            self.parted(Diverged(path, "it is recorded, but the code that had made it has ended without making it"))

    # -- when it cannot go on ------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Let nothing begin or be recorded in a run that is being let go of.

        Raises:
            RegrowError: why the driver cannot go on.
            CancelledError: the run is being cancelled or interrupted.
        """
        self.check_halted()
        if self.closing:
            raise asyncio.CancelledError

    def check_halted(self) -> None:
        """Raise why the driver cannot go on, if it cannot."""
        if self.halted is not None:
            raise self.halted

    def halt(self, why: RegrowError) -> RegrowError:
        """Stop for good: nothing more is recorded. Gives the reason back, to be raised."""
        if self.halted is None:
            self.halted = why
            self.let_go()
        return self.halted

    def let_go(self) -> None:
        """Begin to end: what is cut short from now on is not recorded, and nothing new begins."""
        self.closing = True
        self.closed.set()
        self.interrupt()

    def cancel(self, actor: str) -> None:
        """Cancel the run: the code gets a ``CancelledError``, once, where it waits or at its next call."""
        if self.cancelled_by is None and not self.closing:
            self.cancelled_by = actor
            self._cancellation_due = True
            self.closed.set()
            self.interrupt()

    def forget_inside(self, path: str) -> None:
        """Let the next attempt of a call meet again what the last one had met."""
        with self._lock:
            self._replay.forget(path)

    def now(self) -> float:
        """Give the wall clock's time, in seconds since the epoch."""
        return self._clock()

    # -- waiting -------------------------------------------------------------------------------------------------------

    async def wait_until(self, moment: float) -> None:
        while (left := moment - self._clock()) > 0:
            await asyncio.sleep(min(left, _LOOK_AT_THE_CLOCK))

    def _sleep_until(self, moment: float) -> None:
        while (left := moment - self._clock()) > 0:
            if self.closed.wait(min(left, _LOOK_AT_THE_CLOCK)) and (self.closing or self._cancellation_due):
                self._cancellation_due = False
                raise asyncio.CancelledError

    def _tell(self, news: Record | Replayed) -> None:
        for observer in self._observers:
            observer(news)
