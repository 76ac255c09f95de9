"""The inline executor: bodies run in the driver's own process, where their caller runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regrow.engine.branches import here, in_fresh_stack, in_thread, run_on
from regrow.engine.callee import Callee
from regrow.engine.scope import Scope

_DEPTH_OF_A_STACK = 64
"""Each recorded call takes some four frames of Python's thousand; deeper nests go on in a new stack."""


class InlineExecutor:
    """Runs tasks as asyncio tasks, steps in their caller's, and awaited synchronous functions in threads."""

    async def run(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run`."""
        if callee.mode == "sync":
            return await in_thread(scope.main, lambda: _call(callee, args, kwargs))
        # A task has an asyncio task of its own: however deep tasks call tasks, no chain of awaits outgrows Python's
        # limit.
        apart = callee.kind == "task" or scope.depth % _DEPTH_OF_A_STACK == 0
        return await run_on(scope.main, callee.function(*args, **kwargs), apart=apart)

    def run_blocking(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run_blocking`."""
        if scope.depth % _DEPTH_OF_A_STACK == 0:
            return in_fresh_stack(scope.main, lambda: _call(callee, args, kwargs))
        place = here()
        outer, place.branch = place.branch, scope.main
        try:
            return _call(callee, args, kwargs)
        finally:
            place.branch = outer


def _call(callee: Callee, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call a synchronous function.

    A ``StopIteration`` must not leave it: generators, coroutines and futures take that for an end and not for a
    failure. It becomes what Python itself makes of one that leaves a generator (PEP 479).
    """
    try:
        return callee.function(*args, **kwargs)
    except StopIteration as stop:
        raise RuntimeError(f"{callee.name} raised StopIteration") from stop
