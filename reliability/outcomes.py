"""What became of single tests, and what of the files that they stand in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

import msgspec


class Outcome(msgspec.Struct, frozen=True):
    """What became of one test.

    Attributes:
        test: its id, such as `tests/sim/test_world.py::test_a_lost_log_entry_is_found`.
        ended: how.
        reason: why it was skipped, or is expected to fail; the error if it failed.
        promises: those it holds regrow to.
        is_control: whether it plants a bug, or takes a safeguard away, and passes if that is found.
        figures: what it handed to the fixture `figures`, untyped.
    """

    test: str
    ended: Literal["passed", "failed", "skipped"]
    reason: str = ""
    promises: tuple[str, ...] = ()
    is_control: bool = False
    figures: tuple[Any, ...] = ()

    @property
    def file(self) -> str:
        """Where it stands."""
        return self.test.partition("::")[0]

    @property
    def name(self) -> str:
        """Its function, whatever its parameters."""
        return self.test.rpartition("::")[2].partition("[")[0]


class File(msgspec.Struct, frozen=True):
    """The tests of one file that hold one promise.

    Attributes:
        promise: which.
        path: of the file.
        passed: how many did.
        failed: how many did.
        skipped: how many were, by reason; a test that is expected to fail is among them.
    """

    promise: str
    path: str
    passed: int
    failed: int
    skipped: dict[str, int]

    @property
    def tests(self) -> int:
        """How many there are."""
        return self.passed + self.failed + sum(self.skipped.values())


class Control(msgspec.Struct, frozen=True):
    """A negative control: by its name, and whether it found what it planted; None where it was skipped."""

    name: str
    has_found: bool | None


def by_file(outcomes: Iterable[Outcome]) -> tuple[File, ...]:
    """Count tests by promise and file, in that order."""
    found: dict[tuple[str, str], list[Outcome]] = {}
    for one in outcomes:
        for promise in one.promises:
            found.setdefault((promise, one.file), []).append(one)
    return tuple(
        File(
            promise,
            path,
            passed=sum(one.ended == "passed" for one in tests),
            failed=sum(one.ended == "failed" for one in tests),
            skipped=dict(sorted(Counter(one.reason for one in tests if one.ended == "skipped").items())),
        )
        for (promise, path), tests in sorted(found.items())
    )


def controls(outcomes: Iterable[Outcome]) -> tuple[Control, ...]:
    """Pick the negative controls; one with several parameters has found its bug if it did with each."""
    found: dict[str, list[Outcome]] = {}
    for one in outcomes:
        if one.is_control:
            found.setdefault(one.name, []).append(one)
    return tuple(Control(name, _has_found(tests)) for name, tests in found.items())


def _has_found(tests: list[Outcome]) -> bool | None:
    ran = [one for one in tests if one.ended != "skipped"]
    return all(one.ended == "passed" for one in ran) if ran else None
