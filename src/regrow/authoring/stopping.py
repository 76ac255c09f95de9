"""Stopping in good order: what signals do to a run, and what the person who sent them is told."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from regrow.authoring.home import folder
from regrow.engine.branches import loop_is_running
from regrow.engine.driver import Driver
from regrow.engine.host import Host
from regrow.errors import StoreError


@contextmanager
def stopped_gently(driver: Driver, *numbers: signal.Signals) -> Iterator[list[BaseException]]:
    """Take signals as a request to stop: ``finally`` blocks run, and nothing more is recorded.

    Gives a list that will hold what the signal asks to be raised, once there was one: the code's own ``finally`` blocks
    may end in another exception.
    """
    asked: list[BaseException] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def stop(number: int, _frame: Any) -> None:
        if driver.let_go_for is not None or driver.forced:  # by `strike`: synchronous code is reached in no other way
            if not loop_is_running() and (driver.forced or driver.log.state.ended is None):
                raise asyncio.CancelledError
            return
        wanted = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
        asked.append(wanted)
        driver.let_go()
        if not loop_is_running():
            raise wanted

    main, armed = threading.main_thread().ident or 0, threading.Lock()

    def strike() -> None:
        with armed:
            if driver.strike is strike:
                signal.pthread_kill(main, signal.SIGTERM)

    former = {number: signal.signal(number, stop) for number in numbers}
    if signal.SIGINT in numbers:  # a synchronous run; one on an event loop is reached by its tasks
        driver.strike = strike
    try:
        yield asked
    finally:
        with armed:  # a signal that comes once our handlers are gone would end the process
            driver.strike = _nothing_to_strike
        for number, handler in former.items():
            signal.signal(number, handler)


def _nothing_to_strike() -> None:
    """The code has ended."""


@contextmanager
def said_how_to_resume(host: Host, driver: Driver) -> Iterator[None]:
    """Tell whoever interrupts a run which command goes on with it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if driver.log.state.ended is None:
            elsewhere = "" if host.store.place == str(folder().absolute()) else f" --store {host.store.place}"
            sys.stderr.write(
                f"regrow: run {driver.run} was interrupted; go on with: regrow resume {driver.run}{elsewhere}\n"
            )
            for call in driver.log.state.calls.values():
                if call.asked is not None and call.outcome is None:
                    # What an agent asks may come from a model, and must not steer anybody's terminal.
                    question = "".join(one if one.isprintable() else " " for one in call.asked.question)
                    line = f"it waits for an answer: {question} (regrow inbox {call.asked.ask}{elsewhere})"
                    sys.stderr.write(f"regrow: {line}\n")
            with contextlib.suppress(StoreError):
                for name in host.store.signals.expected(driver.run):
                    send = f"regrow signal {driver.run} {shlex.quote(name)} JSON{elsewhere}"
                    sys.stderr.write(f"regrow: it waits for the signal {name!r} ({send})\n")
        raise
