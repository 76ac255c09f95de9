"""The seam between the life of a call, which fails, and the ladder of remedies, which says what then."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from regrow.journal.records import AttemptFailed, CallFailed, RecordedRemedy
from regrow.values.options import Options
from regrow.values.policies import Bounds
from regrow.values.resources import Resources


class Situation(msgspec.Struct, frozen=True):
    """What is known when an attempt has failed.

    Attributes:
        options: of the call.
        identity: what no other call of any run has; the jitter of the back-off is drawn from it.
        attempt: which one failed, from 1.
        history: the failed attempts before it, oldest first.
        forgiven: how many of these no longer count, because the run was retried since.
        first_begun: when the first attempt began, in seconds since the epoch.
        now: likewise.
        resources: what the attempt was given.
        ceiling: the most memory that the host could ever give to one task, in bytes.
        bounds: the run's own budget.
        spent: how many failed attempts of this run were followed by another one so far.
        run_began: when the run began, in seconds since the epoch.
    """

    options: Options
    identity: str
    attempt: int
    history: tuple[AttemptFailed | CallFailed, ...]
    forgiven: int
    first_begun: float
    now: float
    resources: Resources
    ceiling: int
    bounds: Bounds | None = None
    spent: int = 0
    run_began: float = 0.0


class TryAgain(msgspec.Struct, frozen=True):
    """Make another attempt.

    Attributes:
        moment: not before then, in seconds since the epoch.
        remedy: what to change for it; None for nothing.
        chosen_by: which rung of the ladder said so: ``on_oom``, ``on_preempted``, ``on_failure`` or ``retries``.
        counts: whether it takes one off the call's retries.
    """

    moment: float
    remedy: RecordedRemedy | None = None
    chosen_by: str = "retries"
    counts: bool = True


class GiveUp(msgspec.Struct, frozen=True):
    """Hand the error to the code."""

    because: Literal["no retries left", "not retryable", "deadline", "budget", "policy"]


Verdict = TryAgain | GiveUp


class Healer(Protocol):
    """Says what follows from a failure. It decides only; the life of the call does."""

    def after_failure(self, situation: Situation, error: Exception) -> Verdict:
        """Say what to do after a failed attempt."""
        ...

    def resources(self, options: Options, history: tuple[AttemptFailed | CallFailed, ...]) -> Resources:
        """Give what the next attempt is to be given, after these failed ones and what was decided of them."""
        ...

    def timeout(self, options: Options, history: tuple[AttemptFailed | CallFailed, ...]) -> float | None:
        """Give the seconds that the next attempt may take; None for no bound."""
        ...
