"""Keeping the real world out: clocks, dice, sleeps and threads raise while a simulated world runs.

A seed can only bring a failure back if nothing in it came from outside. A few places in regrow, and in the standard
library on regrow's behalf, read a clock or draw dice without having been handed them; these are listed here, and are
served from the seed. Everybody else is told.

What is written in C and bound to a type cannot be caught (`datetime.now`), nor what a module imported by name before
(``from time import time``).
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

from regrow.engine import branches, checkpoints
from regrow.testing.virtual_time import VirtualTime

_SERVED: Final = frozenset(
    (
        "logging",  # the time of a log record
        "regrow.authoring.opening",  # when a run is created
        "regrow.codec.failures",  # for servers that say when to come back
        "regrow.engine.host",  # for how long an order has been known
        "regrow.values.ids",  # a run's id
    )
)

_DICE: Final = tuple(
    name
    for name in ("random", "randint", "randrange", "choice", "choices", "shuffle", "sample", "uniform", "gauss")
    if hasattr(random, name)
)


class NotSimulated(RuntimeError):
    """Code inside a simulated world has asked for something real."""


@contextmanager
def nothing_real(clock: VirtualTime, chance: random.Random, caught: list[str]) -> Iterator[None]:
    """Let nothing real into this thread.

    Args:
        clock: what the listed places are served from.
        chance: likewise.
        caught: gets a sentence for everything that was asked for by anybody else.
    """
    branches.install()  # before, since it wraps what is guarded here, and once only
    own = threading.get_ident()
    former: list[tuple[Any, str, Any]] = []

    def guard(owner: Any, name: str, serve: Callable[..., Any] | None) -> None:
        real = getattr(owner, name)
        where = f"{getattr(owner, '__name__', owner)}.{name}"

        def guarded(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != own:
                return real(*args, **kwargs)
            asker = sys._getframe(1).f_globals.get("__name__", "")  # noqa: SLF001 - there is no other way to ask
            if serve is not None and asker in _SERVED:
                return serve(*args, **kwargs)
            caught.append(f"{asker} called {where}")
            raise NotSimulated(f"{where} was called by {asker} inside a simulated world; use regrow.now() or a step")

        former.append((owner, name, real))
        setattr(owner, name, guarded)

    try:
        guard(time, "time", clock.wall)
        guard(time, "monotonic", clock.monotonic)
        for name in ("time_ns", "monotonic_ns", "perf_counter", "sleep"):
            guard(time, name, None)
        guard(os, "urandom", chance.randbytes)
        guard(uuid, "uuid1", None)
        guard(uuid, "uuid4", None)
        for name in _DICE:
            guard(random, name, None)
        guard(threading.Thread, "start", None)
        guard(threading.Condition, "wait", None)  # there is no other thread that could end it
        # One lock for all checkpoints of a process: here processes share it, and must not wait for one another.
        former.append((checkpoints, "_saving", checkpoints._saving))  # noqa: SLF001
        checkpoints._saving = nullcontext()  # type: ignore[assignment]  # noqa: SLF001
        yield
    finally:
        for owner, name, real in reversed(former):
            setattr(owner, name, real)
