"""Stopping in good order: what signals do to a run, and what the person who sent them is told."""

from __future__ import annotations

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
        wanted = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
        asked.append(wanted)
        driver.let_go()
        if not loop_is_running():
            raise wanted

    former = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


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
        raise
