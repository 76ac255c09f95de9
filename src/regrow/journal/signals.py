"""Signals: values that are sent to a run from outside, and wait there until its code asks for them."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Signal(msgspec.Struct, frozen=True):
    """A value that was sent to a run.

    Attributes:
        place: the how-manieth signal to its run it is, from 1.
        name: what it is called.
        value: as JSON.
        actor: who sent it.
        time: when, in seconds since the epoch.
    """

    place: int
    name: str
    value: bytes
    actor: str
    time: float


class Signals(Protocol):
    """Where signals wait. Methods may be called from any thread; each is one transaction."""

    def send(self, run: str, name: str, value: bytes, actor: str, now: float) -> int:
        """Leave a signal for a run, and give its place in the order of arrival."""
        ...

    def take(self, run: str, name: str, key: str) -> Signal | None:
        """Take the first signal of a name that nobody has taken; whoever asks again under a key gets the same one."""
        ...

    def give_back(self, run: str, key: str) -> None:
        """Let the next one have what was taken under a key, or was expected: the code gave up before it saw it."""
        ...

    def expect(self, run: str, name: str, key: str) -> None:
        """Take note that somebody waits for a signal of a name under a key, until it is taken or the run is claimed.

        It is there for people, who look at a run that nobody drives. What is lost of it in a crash, the next driver's
        wait notes again.
        """
        ...

    def expected(self, run: str) -> list[str]:
        """Give the names of the signals that a run waits for, in alphabetical order; they may have come meanwhile."""
        ...

    def waiting(self, run: str) -> list[Signal]:
        """Give the signals that nobody has taken, in the order of their arrival."""
        ...

    def forget(self, run: str) -> None:
        """Forget what was sent to a run."""
        ...
