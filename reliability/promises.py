"""What is promised, in the words of the design. Which tests hold which promise they say themselves, by a marker."""

from __future__ import annotations

import msgspec


class Promise(msgspec.Struct, frozen=True):
    """One promise.

    Attributes:
        name: as in the marker, `P1`.
        words: what is promised.
        not_yet: what of it nothing is here for today; the tests say nothing about it.
    """

    name: str
    words: str
    not_yet: str = ""


PROMISES = (
    Promise(
        "P1",
        "An acknowledged record survives a killed process and a power cut (SQLite `synchronous=FULL`, Postgres "
        "`fsync=on`).",
        not_yet="Postgres",
    ),
    Promise(
        "P2",
        "A recorded step or task is never executed again in its run; an unrecorded one may be (at least once). Each "
        "has a stable idempotency key to hand to the outside world. `once=True` means at most once: when a crash "
        "leaves the outcome unknown, the run stops with `OutcomeUnknown` until code (`reconcile=`) or a human "
        "decides.",
    ),
    Promise(
        "P3",
        "One writer per run: a driver that lost its lease cannot append (fencing by epoch, in the same transaction).",
    ),
    Promise(
        "P4",
        "`asyncio.gather`, `TaskGroup`, `as_completed`, `wait`, `timeout`, threads: a branch never gets another "
        "branch's result, in whatever order things finish, run after run.",
    ),
    Promise(
        "P5",
        "Where code no longer fits its journal, that is seen and named before any effect (`Divergence`), never "
        "guessed.",
    ),
    Promise(
        "P6",
        "Limits hold: memory, time, money, depth, fan-out. The neighbour and the driver are unharmed.",
        not_yet="limits on money, depth and fan-out",
    ),
    Promise(
        "P7",
        "Corruption is detected, never served (hash chain over each run's records; content-addressed blobs).",
    ),
    Promise(
        "P8",
        "No run is lost or silently stuck: each one that is not finished is running under a lease, waiting for a "
        "named thing, or reported. A run whose process died is shown as *interrupted*, not *running*.",
    ),
    Promise("P9", "Nothing stored is ever executed on load: no pickle, no constructor names out of data."),
)
