"""What code inside a run may ask: where it is, what time it is, and to be woken later."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from regrow.codec import rebuild
from regrow.engine import timers
from regrow.engine.branches import Branch, current_branch
from regrow.engine.callee import Callee, Invocation
from regrow.engine.calls import call_sync
from regrow.errors import NotInRun
from regrow.values.durations import Duration, seconds
from regrow.values.options import Options


class Current(msgspec.Struct, frozen=True):
    """Where the running code is.

    Attributes:
        run: id of the run.
        task: name of the innermost task.
        path: path of the innermost call.
        attempt: which attempt at it this is, from 1.
        idempotency_key: the key to hand to the outside world for this call: the same in every attempt.
        failures: what its earlier attempts failed of, oldest first.
    """

    run: str
    task: str
    path: str
    attempt: int
    idempotency_key: str
    failures: tuple[BaseException, ...]


def current() -> Current:
    """Say where the running code is.

    Raises:
        NotInRun: it is not inside a run.
    """
    scope = _branch("regrow.current()").scope
    return Current(
        run=scope.driver.run,
        task=scope.task,
        path=scope.path,
        attempt=scope.attempt,
        idempotency_key=scope.idempotency_key,
        failures=tuple(rebuild(failed.error) for failed in scope.failures),
    )


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
