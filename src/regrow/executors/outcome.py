"""What came of an attempt, for the run: a result, the code's own exception, or the failure that explains the end."""

from __future__ import annotations

import contextlib
import os

from regrow.codec import rebuild
from regrow.engine.decide import mark, note
from regrow.engine.driver import Driver
from regrow.engine.vault import Kept
from regrow.errors import RegrowError, StoreError, WorkerLost
from regrow.executors.briefing import class_of
from regrow.executors.diagnosis import diagnose
from regrow.executors.evidence import ErrorFrame, Evidence, ending
from regrow.executors.messages import Gave, Job, Threw
from regrow.executors.tracebacks import give_traceback
from regrow.journal.records import WorkerEnded
from regrow.journal.store import SizeSeen


def note_end(driver: Driver, evidence: Evidence, cpu_seconds: float) -> None:
    """Record that a worker is gone, and what it had used."""
    how = "result" if evidence.result else ending(evidence)
    ended = WorkerEnded(
        evidence.path, evidence.attempt, how, evidence.peak, cpu_seconds, evidence.resources.memory,
        evidence.death_signal, evidence.exit_code,
    )  # fmt: skip
    driver.hand_in(ended)


def conclude(
    driver: Driver, job: Job, evidence: Evidence, outcome: Gave | Threw | None, broken: BaseException | None
) -> Kept:
    """Give the result of an attempt, or raise what it failed of.

    Args:
        driver: of the run.
        job: what was run.
        evidence: all that is left of it.
        outcome: what the worker said of it at last; None if it said nothing.
        broken: what went wrong with looking after it, if something did.

    Raises:
        Failure: what the worker died of.
        Exception: what the task raised.
        RegrowError: what stops the whole run.
    """
    if outcome is not None:
        driver.tally.executed += outcome.counted.executed
        driver.tally.replayed += outcome.counted.replayed
        driver.tally.seconds_saved += outcome.counted.seconds_saved
        driver.tally.cached += outcome.counted.cached
        driver.tally.cached_seconds += outcome.counted.cached_seconds
    error = _rebuilt(driver, job, outcome) if isinstance(outcome, Threw) else None
    if isinstance(outcome, Threw) and outcome.kind == "halted" and isinstance(error, RegrowError):
        raise driver.halt(error)
    if broken is not None:
        lost = WorkerLost(job.call.path)
        raise lost.explained(confidence="certain", evidence=(f"regrow ended it: {broken}",)) from broken
    failure = diagnose(evidence)
    if failure is not None:
        if isinstance(outcome, Threw):
            for path in outcome.again:
                mark(failure, driver.run, path)
        raise failure from error
    if error is not None:
        raise error
    assert isinstance(outcome, Gave)  # noqa: S101 - without an outcome there is a failure
    _remember(driver, job, evidence)
    return Kept(outcome.value, outcome.blobs)


def frame_of(threw: Threw) -> ErrorFrame:
    """Give the part of what a worker said that is evidence."""
    match threw.kind:
        case "raised" | "memory" | "no-space" | "file-size" | "processes":
            return ErrorFrame(threw.kind, threw.error.summary())
        case "preempted" | "cancelled" | "halted":
            return ErrorFrame("raised", threw.error.summary())


def _rebuilt(driver: Driver, job: Job, threw: Threw) -> BaseException:
    error = rebuild(threw.error)
    give_traceback(error, threw.error)
    for path in threw.again:
        mark(error, driver.run, path)
    wanted = error.args[0] if isinstance(error, KeyError) and error.args else None
    if isinstance(wanted, str) and wanted in os.environ and wanted not in job.secrets:
        note(
            error,
            f"regrow: {wanted} is in the driver's environment, but not in that of its workers; if {job.name} is to "
            f"have it, write secrets=[{wanted!r}], or env= if it is no secret",
        )
    return error


def _remember(driver: Driver, job: Job, evidence: Evidence) -> None:
    limit = evidence.resources.memory
    if limit is None:
        return
    seen = SizeSeen(job.code.ref, class_of(job.input_size), limit, evidence.peak, driver.run, driver.now())
    with contextlib.suppress(StoreError):
        driver.around.remember_size(seen, driver.project)
