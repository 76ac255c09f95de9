"""A call while it runs: what the code inside it can ask about itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from regrow.engine.branches import Branch
from regrow.values.ids import idempotency_key
from regrow.values.options import Options
from regrow.values.resources import Resources

if TYPE_CHECKING:
    from regrow.engine.decide import Allowance
    from regrow.engine.driver import Driver
    from regrow.engine.state import CallState
    from regrow.journal.records import AttemptFailed, Call, CallFailed


NO_OPTIONS = Options()


class Scope:
    """One attempt at one call.

    Attributes:
        driver: the driver that executes it.
        call: the call; None for the space around a run's outermost one.
        path: the call's path; empty for the space around a run's outermost call.
        task: name of the innermost task.
        attempt: which attempt this is, from 1.
        failures: the failed attempts before it.
        forgiven: how many of these do not count against its retries.
        outer: the scope that made the call.
        depth: how many calls lie around it.
        options: how the call is carried out.
        resources: what it may use, if it runs in a worker of its own.
        allowed: the seconds it may take, and by which bound; None for as long as it likes.
        first_begun: when the first attempt began, in seconds since the epoch.
        begun: when this one did.
        bound: its own timeout, while it runs under one in the driver's process.
        busy: how many calls made in it are being carried out right now.
        main: the branch on which its body starts.
    """

    __slots__ = (
        "allowed", "attempt", "begun", "bound", "busy", "call", "depth", "driver", "failures", "first_begun",
        "forgiven", "main", "options", "outer", "path", "resources", "task",
    )  # fmt: skip

    def __init__(
        self,
        driver: Driver,
        call: Call | None,
        outer: Scope | None,
        *,
        attempt: int = 1,
        known: CallState | None = None,
        options: Options = NO_OPTIONS,
        first_begun: float = 0.0,
    ) -> None:
        """Describe an attempt about to run; without a call, the space in which a run's outermost one is made."""
        self.driver = driver
        self.call = call
        self.path = path = call.path if call is not None else ""
        self.task: str = _name(path) if call is None or call.kind == "task" or outer is None else outer.task
        self.outer = outer
        self.depth: int = 0 if outer is None else outer.depth + 1
        self.attempt = attempt
        self.failures: tuple[AttemptFailed | CallFailed, ...] = known.attempts if known is not None else ()
        self.forgiven = known.forgiven if known is not None else 0
        self.options = options
        self.resources: Resources | None = None
        self.allowed: Allowance | None = None
        self.first_begun = first_begun
        self.begun = 0.0
        self.bound: asyncio.Timeout | None = None
        self.busy = 0
        self.main = Branch(self, f"{path}/" if path else "")

    @property
    def idempotency_key(self) -> str:
        """The key to hand to the outside world: the same in every attempt, different for every other call."""
        return idempotency_key(self.driver.run, self.path)

    @property
    def timed_out(self) -> bool:
        """Whether its own timeout has fired."""
        return self.bound is not None and self.bound.expired()

    @property
    def is_ending(self) -> bool:
        """Whether a timeout of ours is cutting this attempt, or one around it, short."""
        return self.timed_out or (self.outer is not None and self.outer.is_ending)


def _name(path: str) -> str:
    return path.rpartition("/")[2].partition("#")[0]
