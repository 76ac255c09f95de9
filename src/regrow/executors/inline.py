"""The inline executor: bodies run in the driver's own process, where their caller runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from regrow.engine.branches import BranchTask, here, in_fresh_stack, in_thread
from regrow.engine.callee import Callee
from regrow.engine.scope import Scope

_DEPTH_OF_A_STACK = 64
"""Each recorded call takes some four frames of Python's thousand; deeper nests go on in a new stack."""


class InlineExecutor:
    """Runs tasks as asyncio tasks, steps in their caller's, and awaited synchronous functions in threads."""

    async def run(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run`."""
        if callee.mode == "sync":
            return await in_thread(scope.main, lambda: callee.function(*args, **kwargs))
        if callee.kind == "task":
            # An asyncio task of its own: however deep tasks call tasks, no chain of awaits grows over Python's limit.
            loop = asyncio.get_running_loop()
            return await BranchTask(callee.function(*args, **kwargs), branch=scope.main, loop=loop)
        place = here()
        outer, place.branch = place.branch, scope.main
        try:
            return await callee.function(*args, **kwargs)
        finally:
            place.branch = outer

    def run_blocking(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """See `Executor.run_blocking`."""
        if scope.depth % _DEPTH_OF_A_STACK == 0:
            return in_fresh_stack(scope.main, lambda: callee.function(*args, **kwargs))
        place = here()
        outer, place.branch = place.branch, scope.main
        try:
            return callee.function(*args, **kwargs)
        finally:
            place.branch = outer
