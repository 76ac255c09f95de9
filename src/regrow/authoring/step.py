"""Steps: recorded calls that run where their caller runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

from regrow.authoring.recorded import P, R, Recorded, make
from regrow.values.options import Options


class Step(Recorded[P, R]):
    """A function made a step by `regrow.step`."""

    kind = "step"


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...
@overload
def step(**options: Any) -> Callable[[Callable[P, R]], Step[P, R]]: ...
def step(function: Any = None, /, **options: Any) -> Any:
    """Make a function a step: inside a run each call is recorded once, and never executed again.

    Use it for whatever should not happen twice or would be slow to repeat: asking a model, calling a service, writing
    something outside. It may be ``def``, ``async def``, or an async generator, whose values are recorded one by one.
    Arguments that have no durable form (clients, connections) are allowed: only their type counts when inputs are
    compared.

    Args:
        function: what is decorated, when written without options.
        options: ``name, retries, backoff, timeout, deadline, once, reconcile, cache, approve``; see `regrow.task`.

    Raises:
        UsageError: an option is unknown or cannot hold here.
    """
    if function is None:
        return lambda decorated: make(Step, decorated, Options(), options)
    return make(Step, function, Options(), options)
