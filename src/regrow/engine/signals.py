"""Waiting for signals, as calls: each is given to one call, in the order in which they came."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import msgspec

from regrow.codec.json_types import read_json
from regrow.engine.callee import Callee, Invocation
from regrow.engine.committer import Ticket
from regrow.engine.lives import Loop
from regrow.engine.state import CallState
from regrow.engine.waits import Found, wait_async, wait_in_thread
from regrow.errors import NoAnswer
from regrow.journal.records import Call, CallStarted, SignalTaken
from regrow.values.ids import idempotency_key
from regrow.values.options import Options


class WantedSignal(msgspec.Struct, frozen=True):
    """What is waited for.

    Attributes:
        name: of the signal.
        type_: what the code wants to be given.
        timeout: seconds to wait; None for ever.
    """

    name: str
    type_: Any
    timeout: float | None = None


def invocation_of(wanted: WantedSignal, schema: dict[str, Any], branch: Any) -> Invocation:
    """Make the call."""
    return Invocation(_WAIT_FOR, branch, (wanted.name, schema), {})


async def wait_for_async(invocation: Invocation, wanted: WantedSignal) -> Any:
    """Wait for a signal in a coroutine."""
    return await wait_async(invocation, _Listening(invocation, wanted))


def wait_for_in_thread(invocation: Invocation, wanted: WantedSignal) -> Any:
    """Wait for a signal in the caller's own thread."""
    return wait_in_thread(invocation, _Listening(invocation, wanted))


class _Listening:
    """See `regrow.engine.waits.Waiting`."""

    def __init__(self, invocation: Invocation, wanted: WantedSignal) -> None:
        self._driver = invocation.branch.scope.driver
        self._wanted = wanted
        self._path = ""
        self._key = ""
        self._due: float | None = None
        self._is_expected = False

    def begin(self, call: Call, known: CallState | None, attempt: int, loop: Loop) -> Generator[Ticket, None, None]:
        driver, timeout = self._driver, self._wanted.timeout
        self._path = call.path
        self._key = f"{idempotency_key(driver.run, call.path)}-{attempt}"
        if known is not None and known.begun is not None:
            self._due = known.begun.due
            return
        self._due = None if timeout is None else driver.now() + timeout
        yield driver.record(CallStarted(call, attempt, self._due), loop)

    def look(self) -> Found | None:
        driver, wanted = self._driver, self._wanted
        signal = driver.around.signals.take(driver.run, wanted.name, self._key)
        if signal is None:
            if self._due is not None and driver.now() >= self._due:
                self.give_up()
                error = NoAnswer(self._path, wanted.timeout, f"no signal {wanted.name!r} came")
                return Found(None, error=error)
            if not self._is_expected:
                driver.around.signals.expect(driver.run, wanted.name, self._key)
                self._is_expected = True
            return None
        event = SignalTaken(self._path, wanted.name, signal.place, signal.actor, signal.time)
        try:
            value = read_json(signal.value, wanted.type_, ask=wanted.name)
        except ValueError as unfit:  # it is consumed: whoever waits for the next one must not meet it again
            return Found(event, error=unfit)
        return Found(event, value, driver.keep(value, f"signal {wanted.name}"))

    def give_up(self) -> None:
        self._driver.around.signals.give_back(self._driver.run, self._key)


def _wait_for(name: str, schema: dict[str, Any]) -> None:
    """Stand for the signature of a wait; somebody outside does the signalling."""


_WAIT_FOR = Callee(_wait_for, "signal", "async", Options(), "wait_for")
