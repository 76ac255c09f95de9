"""The seam between the driver, which knows what is to run, and executors, which know where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from regrow.engine.callee import Callee
from regrow.engine.scope import Scope


class Executor(Protocol):
    """Runs the body of a call once, in `scope`, and gives back what it gives or raises what it raises.

    A body that ran in another process comes back as `Kept`: encoded, and with its blobs where they belong.
    """

    @property
    def ceiling(self) -> int:
        """The most memory that it could ever give to one task, in bytes."""
        ...

    async def run(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run a body for a caller that awaits it."""
        ...

    def run_blocking(self, callee: Callee, scope: Scope, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Run a synchronous body for a caller that waits in its thread."""
        ...
