"""When, at which commit and on what something was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec

REPOSITORY = Path(__file__).parents[1]


class Measured(msgspec.Struct, frozen=True):
    """The circumstances of a measurement.

    Attributes:
        on: the day in UTC, `2026-11-22`.
        commit: with `-dirty` behind it where the work tree was not that of the commit.
        python: its version.
        system: the kernel, its version, and the kind of machine.
        cores: how many the machine has.
        seconds: how long it took.
    """

    on: str
    commit: str
    python: str
    system: str
    cores: int
    seconds: float

    def describe(self) -> str:
        """Say when and at which commit."""
        return f"{self.on} at {self.commit}"

    @property
    def host(self) -> str:
        """Say on what."""
        return f"Python {self.python}, {self.system}, {self.cores} cores"


def now(seconds: float) -> Measured:
    """Look around, after something has taken so long."""
    return Measured(
        f"{datetime.now(UTC):%Y-%m-%d}",
        _commit(),
        platform.python_version(),
        f"{platform.system()} {platform.release().partition('-')[0]} {platform.machine()}",
        os.cpu_count() or 1,
        round(seconds, 1),
    )


def _commit() -> str:
    found = subprocess.run(  # noqa: S603 - our own words
        ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "an unknown commit"
