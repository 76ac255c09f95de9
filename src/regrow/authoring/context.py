"""What code inside a run may ask: where it is, what time it is, and to be woken later."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from regrow.codec import rebuild
from regrow.engine import timers
from regrow.engine.branches import Branch, current_branch
from regrow.engine.callee import Callee, Invocation
from regrow.engine.calls import call_sync
from regrow.engine.scope import Scope
from regrow.errors import Failure, NotInRun
from regrow.executors import own
from regrow.executors.limits.usage import Usage
from regrow.journal.records import AttemptFailed
from regrow.remedies import Grow
from regrow.values.durations import Duration, readable, seconds
from regrow.values.options import Options
from regrow.values.policies import Bounds
from regrow.values.resources import Resources
from regrow.values.sizes import readable_size


class Remaining(msgspec.Struct, frozen=True):
    """What is left of what an attempt, and the healing of its call, may cost. None where there is no bound.

    Attributes:
        seconds: until this attempt is ended.
        retries: how many more failures of its own fault would be followed by another attempt.
        attempts: how many more attempts its budget, or its run's, allows for whatever reason.
        memory: the largest memory limit that it may grow to, in bytes.
        wall_time: seconds within which another attempt may still begin.
    """

    seconds: float | None
    retries: int
    attempts: int | None
    memory: int | None
    wall_time: float | None


class Current(msgspec.Struct, frozen=True):
    """Where the running code is, and what it has to live on: infrastructure as context.

    Attributes:
        run: id of the run.
        task: name of the innermost task.
        path: path of the innermost call.
        attempt: which attempt at it this is, from 1.
        idempotency_key: the key to hand to the outside world for this call: the same in every attempt.
        failures: what its earlier attempts failed of, oldest first.
        isolated: whether the code runs in a worker process of its task's own.
        resources: what this attempt was given; None in the driver's own process, where nothing is limited.
        limits: what it may use now: as `resources`, with what it has grown to meanwhile.
        enforced_by: what holds it to that, such as ``cgroup v2``.
        usage: what it used when this was asked: memory in bytes, processes, threads, processor seconds. Outside of a
            worker these are the whole driver's.
        remaining: what is left of its time, its retries and its budget.
        scratch: a folder of its own, gone when the attempt is; None outside of a worker.
    """

    run: str
    task: str
    path: str
    attempt: int
    idempotency_key: str
    failures: tuple[BaseException, ...]
    isolated: bool
    resources: Resources | None
    limits: Resources | None
    enforced_by: tuple[str, ...]
    usage: Usage
    remaining: Remaining
    scratch: Path | None

    def describe(self) -> str:
        """Tell it in a few lines, for a model or a log."""
        left = self.remaining
        lines = [f"Task {self.task}, attempt {self.attempt}, in run {self.run}."]
        if self.limits is not None:
            held = f", enforced by {', '.join(self.enforced_by)}" if self.enforced_by else ""
            lines.append(f"It may use {self.limits.describe()}{held}.")
        else:
            lines.append("It runs in its driver's own process, without limits.")
        of = f" of {readable_size(self.limits.memory)}" if self.limits is not None and self.limits.memory else ""
        lines.append(
            f"It uses {readable_size(self.usage.memory)}{of} of memory, {self.usage.processes} process"
            f"{'' if self.usage.processes == 1 else 'es'}, {self.usage.cpu_seconds:.1f} s of processor time."
        )
        if left.seconds is not None:
            lines.append(f"It is ended in {readable(left.seconds)}.")
        spare = [f"{left.retries} retries"]
        spare += [f"{left.attempts} attempts in all"] if left.attempts is not None else []
        spare += [f"memory up to {readable_size(left.memory)}"] if left.memory is not None else []
        spare += [f"{readable(left.wall_time)} for new attempts"] if left.wall_time is not None else []
        lines.append(f"Left for healing: {', '.join(spare)}.")
        for number, failure in enumerate(self.failures, start=1):
            told = failure.describe() if isinstance(failure, Failure) else f"{type(failure).__name__}: {failure}"
            lines.append(f"Attempt {number} failed: {told}")
        return "\n".join(lines)


def current() -> Current:
    """Say where the running code is, and what it has to live on.

    Raises:
        NotInRun: it is not inside a run.
    """
    scope = _branch("regrow.current()").scope
    task = scope
    while task.outer is not None and task.resources is None:
        task = task.outer
    me = own.own()
    resources = task.resources if me is not None else None
    memory = me.memory() if me is not None else None
    limits = resources.grown(Grow(memory=memory)) if resources is not None else None
    return Current(
        run=scope.driver.run,
        task=scope.task,
        path=scope.path,
        attempt=scope.attempt,
        idempotency_key=scope.idempotency_key,
        failures=tuple(rebuild(failed.error) for failed in scope.failures),
        isolated=me is not None,
        resources=resources,
        limits=limits,
        enforced_by=me.enforced_by if me is not None else (),
        usage=own.usage(),
        remaining=_remaining(scope),
        scratch=me.scratch if me is not None else None,
    )


def _remaining(scope: Scope) -> Remaining:
    driver, now = scope.driver, scope.driver.now()
    budget = scope.options.budget.bounds if scope.options.budget is not None else Bounds()
    run = driver.bounds or Bounds()
    state = driver.log.state
    counted = sum(not isinstance(failed, AttemptFailed) or failed.counts for failed in scope.failures[scope.forgiven :])
    return Remaining(
        seconds=None if scope.allowed is None else max(0.0, scope.begun + scope.allowed[0] - now),
        retries=max(0, scope.options.retries - counted),
        attempts=_least(
            None if budget.attempts is None else budget.attempts - scope.attempt,
            None if run.attempts is None else run.attempts - state.spent,
        ),
        memory=_least(budget.memory, run.memory),
        wall_time=_least(
            None if budget.wall_time is None else scope.first_begun + budget.wall_time - now,
            None if run.wall_time is None else state.began + run.wall_time - now,
        ),
    )


N = TypeVar("N", int, float)


def _least(one: N | None, other: N | None) -> N | None:
    found = [max(value, type(value)(0)) for value in (one, other) if value is not None]
    return min(found, default=None)


async def sleep(duration: Duration) -> None:
    """Sleep durably: the moment of waking is recorded, and a resumed run waits only for what is left until then.

    Args:
        duration: seconds, text such as ``"2d"``, or a timedelta.

    Raises:
        NotInRun: the code is not inside a run; there `asyncio.sleep` is what you want.
    """
    branch = _branch("regrow.sleep()")
    span = seconds(duration, what="regrow.sleep")
    await timers.sleep(Invocation(_SLEEP, branch, (span,), {}))


def now() -> datetime:
    """Give the time, in UTC: recorded, so that a replay sees the very same.

    Raises:
        NotInRun: the code is not inside a run; there `datetime.now` is what you want.
    """
    branch = _branch("regrow.now()")
    return datetime.fromtimestamp(call_sync(Invocation(_NOW, branch, (), {})), UTC)


def _branch(what: str) -> Branch:
    branch = current_branch()
    if branch is None:
        raise NotInRun(f"{what} needs a run around it: call it inside a task that was started with regrow.run")
    return branch


def _now() -> float:
    return _branch("regrow.now()").scope.driver.now()


def _sleep(span: float) -> None:
    """Stand for the signature of a sleep; the driver does the sleeping."""


_NOW = Callee(_now, "now", "sync", Options(), "now")
_SLEEP = Callee(_sleep, "sleep", "async", Options(), "sleep")
