"""What a provider announces, and who reads it."""

from __future__ import annotations

from typing import Protocol

import msgspec

from regrow.errors import RegrowError

_LEAST = {"aws": 120.0, "gcp": 30.0, "azure": 30.0}
"""Seconds between notice and interruption, where the provider names no moment.

Two minutes: *Spot Instance interruption notices*, Amazon EC2 User Guide. 30 seconds: *Spot VMs*, Compute Engine
documentation, and *Scheduled Events for Linux VMs*, Azure documentation, for a `Preempt`. All three say "best effort".
"""
_LEAST_OF_ANY = 30.0


class NotHere(RegrowError):
    """This machine is not one of the provider's, or its metadata server cannot be reached from here."""


class BadAnswer(RegrowError):
    """A metadata server gave none of its documented answers. Nothing is announced by that."""


class Notice(msgspec.Struct, frozen=True):
    """An interruption that a provider has announced for this machine.

    Attributes:
        source: which provider: ``aws``, ``gcp``, ``azure``, or what a watcher of somebody else's calls itself.
        action: what will happen: ``terminate``, ``stop``, ``hibernate``, ``preempt``, ``reboot`` or ``redeploy``.
        at: when, in seconds since the epoch; None if the provider did not say.
        text: what was announced, in words. Two notices of one source with the same action and text are the same one.
    """

    source: str
    action: str
    at: float | None
    text: str

    def grace(self, now: float) -> float:
        """Give how many seconds are left, at least 0: until its moment, or the least that the provider documents.

        A machine that hibernates gets no warning at all: EC2 begins as soon as it has said so.

        Args:
            now: seconds since the epoch. Without a moment, what is left is counted from here: pass the time at which
                the notice was read.
        """
        if self.at is not None:
            return max(0.0, self.at - now)
        return 0.0 if self.action == "hibernate" else _LEAST.get(self.source, _LEAST_OF_ANY)


class Watcher(Protocol):
    """Reads the notices of one provider."""

    @property
    def source(self) -> str:
        """The provider's name, as its notices carry it."""
        ...

    def look(self) -> Notice | None:
        """Look once, for about a second at most, and give the most urgent notice that stands.

        Raises:
            NotHere: this machine is not one of the provider's.
            BadAnswer: it may be, but what came back means nothing.
        """
        ...
