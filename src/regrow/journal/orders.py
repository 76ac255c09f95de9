"""What people order of drivers from outside: to cancel a run, to pause it, to stop everything.

An order is a mark in the store. Whoever drives a run looks for it with every beat of its heart, and whoever wants to
drive one looks before it begins, so it reaches every process of every machine that shares the store, and also those
that are started later.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

GRACE_SECONDS = 10.0
"""How long the code of a run has to end, or its calls to finish, unless somebody says otherwise. Container runtimes
commonly give 10 (Docker) or 30 (Kubernetes)."""

EVERYWHERE = ""
"""Stands for all projects of a store, where a stop names one."""


class Order(msgspec.Struct, frozen=True):
    """What is wanted of one run's driver.

    Attributes:
        what: to cancel it, or to pause it. Who wants both wants it cancelled.
        actor: who has ordered it.
        grace: how many seconds the code has; then it is ended by force.
    """

    what: Literal["cancel", "pause"]
    actor: str
    grace: float = GRACE_SECONDS


class Stop(msgspec.Struct, frozen=True):
    """Nothing of a project, or of the whole store, may go on.

    Attributes:
        project: of which one; `EVERYWHERE` for all.
        actor: who has ordered it.
        time: when, in seconds since the epoch, by the store's clock.
        reason: why, in the words of whoever ordered it; may be empty.
    """

    project: str
    actor: str
    time: float
    reason: str = ""


def in_force(stops: Sequence[Stop], project: str) -> Stop | None:
    """Give the stop that holds for a project, that of the whole store coming first."""
    return next((one for scope in (EVERYWHERE, project) for one in stops if one.project == scope), None)
