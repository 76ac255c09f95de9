"""What is done about a failed attempt, for every kind of call: the ladder is asked, and the answer made ready."""

from __future__ import annotations

from typing import Any

from regrow.codec import registry
from regrow.engine import decide
from regrow.engine.callee import Callee
from regrow.engine.driver import Driver
from regrow.engine.healer import GiveUp, Situation, TryAgain
from regrow.engine.scope import Scope
from regrow.errors import Failure, UsageError
from regrow.journal.records import AttemptFailed, CallFailed, RecordedFallback
from regrow.remedies import Grow, described
from regrow.values.options import Options
from regrow.values.resources import Resources


def allowed_to(driver: Driver, scope: Scope) -> decide.Allowance | None:
    """Give the seconds that an attempt beginning now may take, after all that was decided of earlier ones."""
    timeout = driver.healer.timeout(scope.options, scope.failures)
    return decide.allowance(scope.options, timeout, scope.first_begun, driver.now())


def judge(driver: Driver, scope: Scope, error: Exception) -> TryAgain | GiveUp:
    """Ask the ladder what follows from a failed attempt."""
    state = driver.log.state
    healer, options = driver.healer, scope.options
    situation = Situation(
        options=options,
        identity=scope.idempotency_key,
        attempt=scope.attempt,
        history=scope.failures,
        forgiven=scope.forgiven,
        first_begun=scope.first_begun,
        now=driver.now(),
        resources=scope.resources or healer.resources(options, scope.failures),
        ceiling=driver.executor.ceiling,
        bounds=driver.bounds,
        spent=state.spent,
        run_began=state.began,
    )
    verdict = healer.after_failure(situation, error)
    if isinstance(verdict, GiveUp) and scope.failures:
        _tell_history(error, scope, at_length=verdict.because == "budget")
    return verdict


def _tell_history(error: Exception, scope: Scope, *, at_length: bool) -> None:
    lines = tuple(told(one) for one in scope.failures)
    if isinstance(error, Failure) and error.path in ("", scope.path):  # not one that came through from another call
        error.history = lines
    elif at_length:
        text = "regrow: the budget of this call is spent; before, it had failed of\n  " + "\n  ".join(lines)
        decide.note(error, text)


def told(failed: AttemptFailed | CallFailed) -> str:
    """Tell a failed attempt, and what was done about it, in a line."""
    line = f"attempt {failed.attempt}: {failed.error.summary()}"
    if isinstance(failed, AttemptFailed) and failed.remedy is not None:
        remedy = failed.remedy
        what = f"Fallback: let {remedy.task} answer" if isinstance(remedy, RecordedFallback) else described(remedy)
        line += f" → {what} ({failed.chosen_by})"
    return line


def given_to(driver: Driver, scope: Scope) -> Resources:
    """Give what an attempt in a worker may use: no less memory than a worker of this call has grown to already."""
    resources = driver.healer.resources(scope.options, scope.failures)
    known = driver.log.state.calls.get(scope.path)
    reached = known.reached if known is not None else None
    if resources.memory is None or reached is None or reached <= resources.memory:
        return resources
    return resources.grown(Grow(memory=reached))


def body_of(callee: Callee, scope: Scope) -> Callee:
    """Give what an attempt is to run: the call's own function, or the one that was chosen to answer in its place.

    Whoever stands in does so until the call has an outcome, also when it is preempted or tried again.

    Raises:
        UsageError: what was chosen is not known here, or cannot stand in for this function.
    """
    chosen_refs = [
        failed.remedy.task
        for failed in scope.failures[scope.forgiven :]
        if isinstance(failed, AttemptFailed) and isinstance(failed.remedy, RecordedFallback)
    ]
    if not chosen_refs:
        return callee
    ref = chosen_refs[-1]
    other: Any = registry.references.get(ref)
    chosen: Callee | None = getattr(other, "callee", None)
    if chosen is None:
        raise UsageError(f"{callee.name}: its fallback {ref} is not loaded here; was it renamed?")
    if chosen.mode == "stream" or (chosen.mode == "async" and callee.mode == "sync"):
        raise UsageError(f"{callee.name} is {callee.mode}, so {chosen.name}, which is {chosen.mode}, cannot stand in")

    async def stand_in(*args: Any, **kwargs: Any) -> Any:
        return await other.aio(*args, **kwargs)

    # Its call is recorded as a call of its own inside this one, with its own limits and retries.
    function = other if callee.mode == "sync" else stand_in
    return Callee(function, callee.kind, callee.mode, Options(), callee.name)
