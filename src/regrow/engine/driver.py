"""The driver: holds one run under one lease, and alone writes its journal.

It is what calls (`regrow.engine.calls`), streams and timers are made of: find out what the journal knows of a call,
give a recorded outcome again, append a record and say when it is durable, stop for good when something is beyond
repair.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from regrow.codec import digest_inputs, rebuild
from regrow.engine.branches import Branch
from regrow.engine.callee import Invocation
from regrow.engine.committer import Committer, Ticket, arrival, arrive
from regrow.engine.decide import mark
from regrow.engine.executor import Executor
from regrow.engine.healer import Healer
from regrow.engine.log import RunLog
from regrow.engine.news import Observer, Replayed, Tally
from regrow.engine.replay import Replay
from regrow.engine.scope import Scope
from regrow.engine.state import CallState
from regrow.engine.strands import Strands
from regrow.engine.surroundings import Surroundings
from regrow.engine.turns import Turns
from regrow.engine.vault import INLINE_BYTES, INPUT_BYTES, Kept, Vault
from regrow.errors import Divergence, RegrowError, StoreError, StoreUnavailable
from regrow.journal.records import (
    Call,
    CallCancelled,
    CallFailed,
    CallSucceeded,
    CheckpointSaved,
    Diverged,
    Event,
    Record,
    RunEnded,
    Value,
)
from regrow.values.policies import Bounds

GRACE_SECONDS = 1.0
"""How much longer than last time to wait for the code before it is taken to have been edited."""


_log = logging.getLogger("regrow")


class Driver(Strands):
    """Executes one run under one lease.

    Attributes:
        run: the run's id.
        log: the end of its journal.
        vault: where its values go.
        executor: where its bodies run.
        healer: says what follows from a failure.
        around: the process that it is in.
        bounds: the run's own budget.
        tally: what was done so far.
        halted: why the driver cannot go on, once it cannot: the lease was lost, the store failed, a divergence in
            strict mode, an unknown outcome. Then nothing more is recorded, and nothing the code does can change that.
        closing: the run is over for this driver, or being let go of to be resumed later: nothing new begins, and what
            is cut short now is not recorded as given up.
        cancelled_by: who cancelled the run. Its ``finally`` blocks may still make recorded calls.
        grace: how many seconds its workers have to clean up when it is cancelled; None for the usual.
        forced: whether the run was ended without its code, which may still run.
        let_go_for: why the run is being let go of, if that is what its caller is to be told.
        interrupt: reaches into the code, where it waits, with a ``CancelledError``.
        strike: interrupts synchronous code in the main thread, whatever that does right now.
        leave: has whoever waits for the code wait no longer.
        is_abandoned: tells whether nobody can ever go on with the code, because its event loop was closed.
    """

    def __init__(  # noqa: PLR0917 - the seams, each once
        self,
        log: RunLog,
        committer: Committer,
        vault: Vault,
        executor: Executor,
        healer: Healer,
        around: Surroundings,
        *,
        strict: bool = False,
        clock: Callable[[], float] = time.time,
        observers: tuple[Observer, ...] = (),
    ) -> None:
        """Take a run up from where its log ends."""
        super().__init__(clock)
        self.run = log.run
        self.log = log
        self.vault = vault
        self.executor = executor
        self.healer = healer
        self.around = around
        self.tally = Tally()
        self.halted: RegrowError | None = None
        self.closing = False
        self.grace: float | None = None
        self.forced = False
        self.let_go_for: RegrowError | None = None
        self.strike: Callable[[], None] = _nothing
        self.leave: Callable[[], None] = _nothing
        self.interrupt: Callable[[], None] = self.interrupt_at_next_call
        self.is_abandoned: Callable[[], bool] = lambda: False
        self._committer = committer
        self._strict = strict
        self._observers = observers
        self._replay = Replay(log.state)
        self._turns = Turns(log.state) if log.state.calls else None
        self._lock = threading.RLock()
        self._root = Scope(self, None, None)
        self._warned: set[str] = set()

    @property
    def bounds(self) -> Bounds | None:
        """The budget of the whole run."""
        created = self.log.state.created
        return None if created is None else created.budget

    @property
    def project(self) -> str:
        """The project that the run belongs to."""
        created = self.log.state.created
        return created.project if created is not None else "default"

    @property
    def strict(self) -> bool:
        """Whether divergences are raised."""
        return self._strict

    def root_branch(self) -> Branch:
        """Give the strand on which the run's outermost call is made."""
        return self._root.main

    # -- a call and what is known of it --------------------------------------------------------------------------------

    def meet(self, invocation: Invocation) -> tuple[Call, CallState | None]:
        """Find out which call the code makes, and what the journal knows of it.

        Raises:
            UsageError: the function cannot be called like this.
            NotStorable: an input of a task has no durable form.
            Divergence: in strict mode, when code and journal have parted here.
        """
        self.check()
        callee = invocation.callee
        inputs = digest_inputs(
            callee.inputs(invocation.args, invocation.kwargs), allow_opaque=callee.kind != "task", where=callee.name
        )
        with self._lock:
            match = self._replay.match(invocation, inputs.digest)
            if match.parted is not None:
                self.part(match.path, match.parted, strict=callee.options.once)
            if match.skipped is not None and self._strict:
                self.part(match.skipped, f"it is recorded before {match.path}, and the code has not made it")
        shown = inputs.data if inputs.data is not None and len(inputs.data) <= INPUT_BYTES else b""
        return Call(match.path, callee.kind, invocation.position, inputs.digest, shown), match.known

    def replay(self, known: CallState, outcome: CallSucceeded | CallFailed) -> Any:
        """Give the code what it was given before: the result, or the exception raised."""
        if self._turns is not None:
            self._turns.give(known.seq)
        self.tally.replayed += 1
        self.tally.seconds_saved += known.seconds
        if self._observers:
            self._tell(Replayed(known.call, known.seconds))
        if isinstance(outcome, CallSucceeded):
            return self.load(outcome.value)
        raise mark(rebuild(outcome.error), self.run, known.call.path)

    def is_out_of_turn(self, known: CallState) -> bool:
        """Tell whether a recorded outcome has to wait for others that the code was given before it."""
        return self._turns is not None and self._turns.is_out_of_turn(known.seq)

    async def take_turn(self, known: CallState) -> None:
        """Wait until the code has been given all outcomes that were recorded before a call's."""
        if self._turns is not None:
            with self.holding_back():
                await self._turns.wait_for(known.seq, known.patience + GRACE_SECONDS)

    def is_ahead(self) -> bool:
        """Tell whether an outcome that has just come about would overtake recorded ones."""
        return self._turns is not None and self._turns.is_ahead()

    async def let_recorded_go_first(self) -> None:
        """Wait until the code has been given all recorded outcomes."""
        if self._turns is not None:
            with self.holding_back():
                await self._turns.wait_for_recorded(GRACE_SECONDS)

    def note_strand(self, task: asyncio.Task[Any]) -> None:
        """Note that the code has begun one more strand."""
        if self._turns is not None:
            self._turns.note_strand(task)

    def look_for_passed_over(self, scope: str) -> None:
        """Name the recorded calls that a body, about to be recorded as done, has not made any more.

        Raises:
            Divergence: in strict mode, if there is one.
        """
        for path in self._replay.passed_over(scope):
            self.part(path, "it is recorded, but the code that had made it has ended without making it")

    def left_out(self) -> list[str]:
        """Give the recorded calls that the code has gone past without making them, so far."""
        with self._lock:
            return self._replay.gone_past()

    def part(self, path: str, reason: str, *, strict: bool = False) -> None:
        """Record that code and journal have parted, and warn of it.

        Args:
            path: the call at which they have.
            reason: how, in words.
            strict: whether this one must not be passed over, whatever the run's mode: an effect that is to happen once
                would happen a second time.

        Raises:
            Divergence: in strict mode, before anything else is done.
        """
        if strict or self._strict:
            raise self.halt(Divergence(path, reason))
        self.hand_in(Diverged(path, reason))
        _log.warning(
            "run %s no longer fits its journal at %s: %s; it goes on afresh from there", self.run, path, reason
        )

    def pass_over_until(self, scope: str, seq: int) -> None:
        """Let code that goes on from a checkpoint leave out the calls that it had made before it."""
        with self._lock:
            self._replay.claim_until(scope, seq)

    def begin_anew(self, path: str) -> None:
        """Let the next attempt at a call meet again what the last one had met."""
        with self._lock:
            self._replay.forget(path)

    # -- writing -------------------------------------------------------------------------------------------------------

    def record(self, event: Event, loop: asyncio.AbstractEventLoop | None, blobs: tuple[str, ...] = ()) -> Ticket:
        """Append an event, and give what to wait for until it is durable (None if it is already).

        Args:
            event: what happened.
            loop: of the coroutine that will wait with `durable`; None for a thread that will with `durable_in_thread`.
            blobs: what the event's values need.

        Raises:
            LeaseLost: the run is another driver's by now.
            StoreUnavailable: the store did not acknowledge it.
        """
        with self._lock:
            self.check_open()
            try:
                record, entry = self.log.append(event, blobs)
                ticket = self._committer.submit(entry, loop)
            except BaseException as problem:
                self._halt_midway(problem)
                raise
        if self._observers:
            self._tell(record)
        return ticket

    async def durable(self, ticket: Ticket) -> None:
        """Wait in a coroutine for what `record` gave. Raises what `record` does."""
        try:
            await arrival(ticket)
        except RegrowError as problem:
            raise self.halt(problem) from None

    def durable_in_thread(self, ticket: Ticket) -> None:
        """Wait in a thread for what `record` gave. Raises what `record` does."""
        try:
            arrive(ticket)
        except RegrowError as problem:
            raise self.halt(problem) from None

    def hand_in(
        self, event: Event, blobs: tuple[str, ...] = (), *, at_last: bool = False, actor: str = "driver"
    ) -> None:
        """Append an event that nobody waits for; durable with, or before, whatever is recorded next.

        Args:
            event: what happened.
            blobs: what its values need.
            at_last: append it even though nothing can be appended any more: it says why.
            actor: who or what caused it.
        """
        with self._lock:
            over = self.halted is not None or (self.closing and self.log.state.ended is not None)
            if over and not at_last:
                return
            try:
                record, entry = self.log.append(event, blobs, actor)
                self._committer.hand_in(entry)
            except BaseException as problem:
                self._halt_midway(problem)
                raise
        if self._observers:
            self._tell(record)

    def keep(self, value: object, where: str, *, inline_bytes: int = INLINE_BYTES) -> Kept:
        """Make a value ready to be recorded.

        Raises:
            NotStorable: it has no durable form.
            StoreUnavailable: there is no room for it; the run cannot go on.
        """
        try:
            return self.vault.keep(value, where, inline_bytes=inline_bytes)
        except StoreError as problem:
            raise self.halt(problem) from problem

    def load(self, value: Value) -> Any:
        """Give a recorded value to the code.

        Raises:
            Corrupted: it is not what was stored; the run cannot go on before that is mended.
        """
        try:
            return self.vault.load(value)
        except StoreError as problem:
            raise self.halt(problem) from problem

    def checkpoint_of(self, path: str) -> CheckpointSaved | None:
        """Give what a call has saved of its work in progress."""
        known = self.log.state.calls.get(path)
        return None if known is None else known.checkpoint

    def drop(self, checkpoint: CheckpointSaved | None) -> None:
        """Let go of what a checkpoint holds, once its successor, or the call's result, is durable."""
        if checkpoint is not None and checkpoint.blobs:
            with contextlib.suppress(StoreError):  # then it stays as long as the run does
                self.around.release_blobs(self.run, checkpoint.blobs)

    def note_given_up(self, scope: Scope, event: CallCancelled) -> None:
        """Record that the code gave up on a call; not when it was we who are cutting it short."""
        if self.is_given_up_in(scope):
            self.hand_in(event)

    def is_given_up_in(self, scope: Scope) -> bool:
        """Tell whether a cancellation inside a scope is the code's own doing, and not ours."""
        return not (self.closing or self.cancelled_by or scope.is_ending)

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

    # -- ending --------------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Let nothing begin in a run that is ending.

        Raises:
            RegrowError: why the driver cannot go on.
            CancelledError: the run is over for this driver.
        """
        if self.closing:
            self.check_open()
            raise asyncio.CancelledError

    def check_open(self) -> None:
        """Let nothing be recorded that would come after the end.

        Raises:
            RegrowError: why the driver cannot go on.
            CancelledError: the run has ended.
        """
        if self.halted is not None:
            raise self.halted
        if self.log.state.ended is not None:
            raise asyncio.CancelledError

    @property
    def is_over(self) -> bool:
        """Whether nothing can be recorded any more."""
        return self.halted is not None or self.log.state.ended is not None

    def halt(self, why: RegrowError) -> RegrowError:
        """Stop for good. Gives the reason back, to be raised."""
        if self.halted is None:
            self.halted = why
            self.let_go()
        return self.halted

    def _halt_midway(self, problem: BaseException) -> None:
        """Stop for good because the log may hold a record that the store does not; the next one would leave a gap.

        A signal handler, too, may raise between the two (``KeyboardInterrupt``); the run is then resumed from the
        store.
        """
        if isinstance(problem, RegrowError):
            self.halt(problem)
        else:
            self.halt(StoreUnavailable(f"recording was cut short by {type(problem).__name__}; resume run {self.run}"))

    def let_go(self, why: RegrowError | None = None) -> None:
        """Begin to end: nothing new begins, and what is cut short from now on is not recorded.

        Args:
            why: what the caller of the run is told; None for what comes out of its code.
        """
        if why is not None and not self.closing:
            self.let_go_for = why
        self.closing = True
        self.interrupt()

    def cancel(self, actor: str, grace: float | None = None) -> None:
        """Cancel the run: the code gets a ``CancelledError``, once; its workers are ended after `grace` seconds."""
        if self.cancelled_by is None and not self.closing:
            self.cancelled_by, self.grace = actor, grace
            self.interrupt()

    def end_by_force(self, actor: str) -> bool:
        """End the run as cancelled, without its code. Tells whether it did; otherwise it was over, or is now.

        Nothing that the code does from then on is recorded, and no call of it begins.
        """
        with self._lock:
            if self.is_over:
                return False
            self.forced = self.closing = True
            self.cancelled_by = self.cancelled_by or actor
            root = tuple(one.call.path for one in self.log.state.children(""))
            self.hand_in(RunEnded("cancelled", again=root, reason=f"cancelled by {actor}, by force"))
        self.interrupt()
        return True

    # -- telling -------------------------------------------------------------------------------------------------------

    def warn_once(self, about: str, text: str) -> None:
        """Warn in the run's log, unless that was done already of the same thing."""
        if about not in self._warned:
            self._warned.add(about)
            _log.warning("run %s: %s", self.run, text)

    def _tell(self, news: Record | Replayed) -> None:
        for observer in self._observers:
            observer(news)


def _nothing() -> None:
    """Stands for what cannot be done here."""
