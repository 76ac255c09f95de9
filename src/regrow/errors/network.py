"""Failures of the network, and of the services at its other end."""

from __future__ import annotations

from regrow.errors.failure import Failure, Layer
from regrow.remedies import GiveUp, Remedy, RetryAfter


class RateLimited(Failure):
    """A service asked the code to come back later.

    Attributes:
        retry_after: when, in seconds from then; None if it did not say.
        status: the HTTP status, if there was one.
    """

    layer: Layer = "network"

    def __init__(self, message: str, *, retry_after: float | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """Do as it asked."""
        return (RetryAfter(self.retry_after if self.retry_after is not None else 30.0), GiveUp())


class Unavailable(Failure):
    """A service was not there, or said that it could not answer now.

    Attributes:
        status: the HTTP status, if there was one.
        retry_after: when it asked to be tried again, in seconds; None if it did not say.
    """

    layer: Layer = "network"

    def __init__(self, message: str, *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """It may be there again in a while."""
        return (RetryAfter(self.retry_after if self.retry_after is not None else 5.0), GiveUp())


class ConnectionLost(Failure):
    """The network failed under a call: refused, reset, unresolved, or silent for too long."""

    layer: Layer = "network"

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """The next connection may hold."""
        return (RetryAfter(1.0), GiveUp())


class StreamCut(Failure):
    """A stream was cut by a crash, and running it again gave other chunks than those already handed out.

    Attributes:
        path: the streaming step.
        received: how many chunks had been handed out and recorded before the cut.
    """

    layer: Layer = "network"

    def __init__(self, path: str, received: int) -> None:
        super().__init__(
            f"{path} was cut after {received} recorded chunks, and did not give the same chunks when it was run again"
        )
        self.path = path
        self.received = received
