"""A clock that stands still until it is moved."""

from __future__ import annotations

from regrow.errors import UsageError


class FakeClock:
    """Callable like `time.time`.

    Attributes:
        now: what it shows, in seconds since the epoch.
    """

    def __init__(self, now: float = 1_000_000_000.0) -> None:
        """Show `now`."""
        self.now = now

    def __call__(self) -> float:
        """Give what it shows."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move on.

        Raises:
            UsageError: time would go backwards; set `now` to play a clock that is set back.
        """
        if seconds < 0:
            raise UsageError("a FakeClock advances; set its `now` to play a clock that is set back")
        self.now += seconds
