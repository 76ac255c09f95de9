"""Faults on purpose: what happens to infrastructure, made to happen to a call that a test names.

The faults stand where bodies are run, between the engine and this process's executor. What they raise goes up the same
ladder as the real thing: it is recorded, answered by `on_oom=`, `retries=` and the like, and in the end handed to the
code. With ``real=True`` they happen to real worker processes, and the executor finds out by itself what they died of.
"""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any, NoReturn, get_args

import msgspec

from regrow.authoring import home
from regrow.engine.callee import Callee
from regrow.engine.executor import Executor
from regrow.engine.host import Host
from regrow.engine.scope import Scope
from regrow.errors import (
    DiskFull,
    Failure,
    OutOfMemory,
    Preempted,
    RateLimited,
    Unavailable,
    UsageError,
    WorkerLost,
)
from regrow.executors.inline import InlineExecutor
from regrow.journal.records import CallFailed, CallSucceeded, Record
from regrow.journal.store import Entry
from regrow.testing import real_faults
from regrow.testing.crash_points import MortalStore
from regrow.testing.fault import Failing, Fault, Kind
from regrow.testing.outside import take_up

_INJECTED = "injected by regrow.testing.faults"


class Faults:
    """The faults of a block; see `faults`."""

    def __init__(self, given: tuple[Fault, ...], seed: int) -> None:
        """Made by `faults`, not by users."""
        self._given = given
        self._seed = seed
        self._struck: Counter[Fault] = take_up("faults", Counter)

    def struck(self, target: str) -> int:
        """Give how often the faults of a target have struck so far.

        Raises:
            UsageError: no fault of this block has that target.
        """
        named = {fault for fault in self._given if fault.target == target}
        if not named:
            raise UsageError(f"no fault here is for {target!r}; there are {', '.join(map(str, self._given))}")
        return sum(self._struck[fault] for fault in named)

    def due(self, scope: Scope, *kinds: Kind) -> list[Fault]:
        """Give the faults of some kinds that strike an attempt."""
        return [fault for fault in self._given if fault.kind in kinds and self._strikes(fault, scope)]

    def note(self, fault: Fault) -> None:
        """Count that one has struck."""
        self._struck[fault] += 1

    def check_all_struck(self) -> None:
        """Fail a test that tests nothing.

        Raises:
            AssertionError: one has never struck.
        """
        idle = [str(fault) for fault in self._given if not self._struck[fault]]
        if idle:
            raise AssertionError(
                f"never struck: {', '.join(idle)}. No such call was executed in this block; a call that is answered "
                f"from the journal is not, and streams and regrow.sleep() are beyond the reach of faults"
            )

    def _strikes(self, fault: Fault, scope: Scope) -> bool:
        if not _names(fault.target, scope.path):
            return False
        if fault.kind == "crash_after":
            return not self._struck[fault]
        if scope.attempt > fault.times:
            return False
        drawn = hashlib.blake2b(f"{self._seed} {fault.kind} {scope.path} {scope.attempt}".encode(), digest_size=8)
        return int.from_bytes(drawn.digest()) < fault.chance * 2**64


@contextmanager
def faults(*given: Fault, seed: int = 0, real: bool = False) -> Iterator[Faults]:
    """Let faults happen to the runs of this process that begin in the block.

    Args:
        given: `oom`, `preempt`, `lost_worker`, `disk_full`, `rate_limit`, `unavailable`, `slow`, `crash_after`.
        seed: draws the attempts of faults that have a ``chance``.
        real: let them happen to worker processes: a real signal, a real allocation into the real limit. A fault of a
            call that runs in this very process is played all the same.

    Raises:
        AssertionError: at the end of the block, if a fault has never struck: such a test would test nothing. Not if the
            block ends in an exception.
        UsageError: a fault cannot happen to what it names.
    """
    block = Faults(given, seed)
    with home.use_executor(FaultyExecutor(home.workers, block, real=real)):
        yield block
    block.check_all_struck()


class FaultyExecutor:
    """Runs bodies as another executor does, but for those that a fault strikes.

    Attributes:
        ceiling: that of the other one.
    """

    def __init__(self, inner: Executor, block: Faults, *, real: bool) -> None:
        """Stand in front of `inner`, which runs workers; without `real`, none are started and all bodies run here."""
        self._inner = inner
        self._block = block
        self._real = real
        self._here = InlineExecutor()

    @property
    def ceiling(self) -> int:
        """See the class."""
        return self._inner.ceiling

    async def run(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run`."""
        if _is_about_another(callee):
            return await self._inner.run(callee, scope, args, kwargs)
        fault = self._prepare(callee, scope)
        if self._is_real(callee):
            with self._for_real(fault, callee, scope, args, kwargs) as (body, given, named):
                return await self._inner.run(body, scope, given, named)
        if not callee.isolated or scope.allowed is None:
            return await self._play(fault, callee, scope, args, kwargs)
        async with asyncio.timeout(scope.allowed[0]) as scope.bound:  # a worker's time is its executor's to keep
            return await self._play(fault, callee, scope, args, kwargs)

    def run_blocking(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run_blocking`."""
        if _is_about_another(callee):
            return self._inner.run_blocking(callee, scope, args, kwargs)
        fault = self._prepare(callee, scope)
        if self._is_real(callee):
            with self._for_real(fault, callee, scope, args, kwargs) as (body, given, named):
                return self._inner.run_blocking(body, scope, given, named)
        for one in self._slowing(scope):
            scope.driver.wait_in_thread_until(scope.driver.now() + (one.wait or 0.0))
        if fault is not None:
            self._strike(fault, scope)
        return self._here.run_blocking(callee, scope, args, kwargs)

    def _is_real(self, callee: Callee) -> bool:
        return self._real and callee.isolated

    def _prepare(self, callee: Callee, scope: Scope) -> Fault | None:
        """Arm what strikes when the attempt is over, and give what strikes the attempt itself, if anything does."""
        for fault in self._block.due(scope, "crash_after"):
            _arm(self._block, fault, scope)
        due = self._block.due(scope, *get_args(Failing))
        if not due:
            return None
        fault = due[0]
        if fault.after and callee.mode == "sync" and not self._is_real(callee):
            raise UsageError(
                f"{fault}: a synchronous body cannot be cut short inside its own process; leave after= away, or let it "
                f"happen to a worker with faults(…, real=True)"
            )
        return fault

    async def _play(
        self, fault: Fault | None, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Run a body in this process, or let the fault strike in its place or in its midst."""
        for one in self._slowing(scope):
            await scope.driver.wait_until(scope.driver.now() + (one.wait or 0.0))
        if fault is None:
            return await self._here.run(callee, scope, args, kwargs)
        if fault.after:
            return await self._cut_short(self._here.run(callee, scope, args, kwargs), fault, scope)
        return self._strike(fault, scope)

    def _slowing(self, scope: Scope) -> list[Fault]:
        due = self._block.due(scope, "slow")
        for fault in due:
            self._block.note(fault)
        return due

    def _strike(self, fault: Fault, scope: Scope) -> NoReturn:
        self._block.note(fault)
        raise _failure(fault, scope, self.ceiling)

    async def _cut_short(self, work: Coroutine[Any, Any, Any], fault: Fault, scope: Scope) -> Any:
        outer = scope.bound
        ours = asyncio.timeout(fault.after)
        try:
            async with ours:
                scope.bound = ours  # what is cut short now has not been given up by the code
                return await work
        except TimeoutError:
            if not ours.expired():
                raise
        finally:
            scope.bound = outer
        return self._strike(fault, scope)

    @contextmanager
    def _for_real(
        self, fault: Fault | None, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Iterator[tuple[Callee, tuple[Any, ...], Mapping[str, Any]]]:
        """Let faults happen to the worker of an attempt that runs in the block; give the body that it is to run."""
        burdens: list[real_faults.Burden] = [("slow", one.wait or 0.0) for one in self._slowing(scope)]
        signals: AbstractContextManager[None] = nullcontext()
        match fault:
            case None:
                pass
            case Fault(kind="preempt" | "lost_worker"):
                number = signal.SIGTERM if fault.kind == "preempt" else signal.SIGKILL
                note = partial(self._block.note, fault)
                signals = real_faults.signalled(scope, number, fault.after, note)
            case Fault(kind="oom" | "disk_full" as kind):
                burdens.append(real_faults.burden(kind, scope))
                self._block.note(fault)
            case _:
                self._strike(fault, scope)
        with signals:
            if burdens:
                yield (*real_faults.loaded_down(burdens, callee, scope, args, kwargs), {})
            else:
                yield callee, args, kwargs


def _arm(block: Faults, fault: Fault, scope: Scope) -> None:
    around, run, path = scope.driver.around, scope.driver.run, scope.path
    store = around.store if isinstance(around, Host) else None
    if not isinstance(store, MortalStore):
        raise UsageError(
            f"{fault} plays the death of the process; run the task with store=regrow_store, or a MortalStore"
        )

    def is_its_record(_number: int, entry: Entry) -> bool:
        event = _record.decode(entry.record.body).event
        found = entry.run == run and isinstance(event, CallSucceeded | CallFailed) and event.call.path == path
        if found:
            block.note(fault)
        return found

    store.die_when(is_its_record)


_record = msgspec.msgpack.Decoder(Record)


def _failure(fault: Fault, scope: Scope, ceiling: int) -> Failure:
    path, has = scope.path, scope.resources
    failure: Failure
    memory, disk = (has.memory, has.disk) if has is not None else (None, None)
    match fault.kind:
        case "oom":
            failure = OutOfMemory(path, peak=memory, limit=memory, enforced_by=_INJECTED, ceiling=ceiling)
        case "preempt":
            failure = Preempted(path, grace=fault.wait or 0.0, source="regrow.testing")
        case "lost_worker":
            failure = WorkerLost(path, signal="SIGKILL")
        case "disk_full":
            failure = DiskFull(path, used=disk, limit=disk, enforced_by=_INJECTED)
        case "rate_limit":
            failure = RateLimited(f"{path} was told to come back later", retry_after=fault.wait, status=fault.status)
        case "unavailable":
            failure = Unavailable(f"{path} got no answer", retry_after=fault.wait, status=fault.status)
        case "slow" | "crash_after":
            raise AssertionError(f"{fault} fails nothing")
    failure.path = path
    return failure.explained(evidence=(f"{fault}, {_INJECTED}",), facts={"attempt": scope.attempt})


def _is_about_another(callee: Callee) -> bool:
    """Tell whether a body is asked about a call, as ``reconcile=`` is, and is not the call's own."""
    return callee.kind in ("task", "step", "stream") and not callee.ref


def _names(target: str, path: str) -> bool:
    """Tell whether a target names a call: the end of its path, with or without the last ordinal."""
    whole = f"/{path}"
    return whole.endswith(f"/{target}") or whole.rpartition("#")[0].endswith(f"/{target}")
