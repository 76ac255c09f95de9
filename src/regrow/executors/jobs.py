"""From a call to the job that a worker is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regrow.engine.callee import Callee
from regrow.engine.scope import Scope
from regrow.executors.loading import code_of
from regrow.executors.messages import Job
from regrow.journal.records import BlobRef
from regrow.values.files import File
from regrow.values.policies import Bounds


def job_of(callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Job:
    """Describe one attempt at a call.

    Raises:
        UsageError: no other process could find its code.
        NotStorable: an argument has no durable form.
    """
    assert scope.call is not None  # noqa: S101 - only the space around a run's outermost call has none
    options, driver = scope.options, scope.driver
    kept = driver.keep((args, dict(kwargs)), callee.name)
    size = kept.value.size if isinstance(kept.value, BlobRef) else len(kept.value)
    budgets = [one for one in (options.budget.bounds if options.budget else None, driver.bounds) if one is not None]
    return Job(
        call=scope.call,
        name=callee.name,
        attempt=scope.attempt,
        forgiven=scope.forgiven,
        first_begun=scope.first_begun,
        code=code_of(callee),
        inputs=kept.value,
        input_size=size + sum(one.size for one in (*args, *kwargs.values()) if isinstance(one, File)),
        resources=scope.resources or driver.healer.resources(options, scope.failures),
        env=options.env,
        secrets=options.secrets,
        priority=options.priority,
        allowed=scope.allowed,
        on_oom=options.on_oom,
        most=_least(budgets),
        budget=options.budget.bounds if options.budget else None,
        right_size=options.right_size,
        retries=options.retries,
    )


def _least(budgets: list[Bounds]) -> int | None:
    return min((bounds.memory for bounds in budgets if bounds.memory is not None), default=None)
