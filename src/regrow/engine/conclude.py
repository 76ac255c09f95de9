"""How a run ends, or is let go of: what the end of its code means for the journal."""

from __future__ import annotations

import asyncio

from regrow.codec import ErrorRecord, capture
from regrow.engine.driver import Driver
from regrow.engine.host import Host
from regrow.errors import Divergence, OutcomeUnknown, RunCancelled, RunPaused, RunStopped
from regrow.journal.records import DriverClosed, RunEnded, RunOutcome

PAUSED = "paused by"
STOPPED = "stopped by"
"""How the reason begins for which a driver let go of a run that somebody else had paused or stopped."""


def conclude(host: Host, driver: Driver, root: str, error: BaseException | None) -> BaseException | None:
    """Write down how a run's code ended, give the lease back, and say what the caller is to be told.

    Args:
        host: the process that drove it.
        driver: its driver, with no call open any more.
        root: path of the outermost call.
        error: what came out of it; None for a result.

    Returns:
        What to raise; None if the run succeeded.
    """
    try:
        return _write_end(driver, root, error)
    finally:
        host.let_go(driver)


def _write_end(driver: Driver, root: str, error: BaseException | None) -> BaseException | None:
    if driver.forced:  # the run is over since, and whatever its code has come to is no part of it
        by_hand = isinstance(error, KeyboardInterrupt | SystemExit)
        return error if by_hand else _cancelled(driver)
    halted, interrupted = driver.halted, driver.closing
    driver.closing = True  # strands that the code has left behind may run on, but no longer as part of this run
    if halted is not None:
        halted.add_note(f"regrow: this stopped run {driver.run}; `regrow why {driver.run}` says how to go on")
        if isinstance(halted, OutcomeUnknown | Divergence):
            # Somebody must act before this run can go on, and they look for it among the failed.
            _end(driver, "failed", capture(halted), at_last=True)
        return error if isinstance(error, KeyboardInterrupt | SystemExit) else halted
    if interrupted:
        _close(driver, error)
        if driver.let_go_for is not None and not isinstance(error, KeyboardInterrupt | SystemExit):
            return driver.let_go_for
        return error or asyncio.CancelledError()
    if error is None:
        _end(driver, "succeeded")
        return None
    if driver.cancelled_by is not None and isinstance(error, asyncio.CancelledError):
        _end(driver, "cancelled", again=(root,), reason=f"cancelled by {driver.cancelled_by}")
        return _cancelled(driver)
    if isinstance(error, Exception | asyncio.CancelledError):
        _end(driver, "failed", capture(error), again=(root,))
        return error
    _close(driver, error)
    return error


def _end(
    driver: Driver,
    outcome: RunOutcome,
    error: ErrorRecord | None = None,
    *,
    again: tuple[str, ...] = (),
    reason: str = "",
    at_last: bool = False,
) -> None:
    tally = driver.tally
    event = RunEnded(outcome, error, again, reason, tally.replayed, tally.seconds_saved)
    driver.hand_in(event, at_last=at_last)


def _cancelled(driver: Driver) -> RunCancelled:
    return RunCancelled(driver.run, f"run {driver.run} was cancelled by {driver.cancelled_by}")


def _reason(driver: Driver, error: BaseException | None) -> str:
    match driver.let_go_for:
        case RunPaused(by=by):
            return f"{PAUSED} {by}"
        case RunStopped(by=by, reason=reason):
            return f"{STOPPED} {by}{f': {reason}' if reason else ''}"
        case _:
            return type(error).__name__ if error is not None else "let go"


def _close(driver: Driver, error: BaseException | None) -> None:
    reason = _reason(driver, error)
    driver.hand_in(DriverClosed(reason, driver.tally.replayed, driver.tally.seconds_saved))
