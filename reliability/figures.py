"""What each campaign came to, typed: how it is put together from what its tests hand over, and how it is said.

A campaign's tests have a `Figures` of their own with what they need; the names of the fields that are wanted here are
the same there. What went wrong they hand over in words, of which here only the number counts: the words are in the
failed test.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

import msgspec


class Violations(msgspec.Struct, frozen=True):
    """How often something happened that must not, of how many times that it could have."""

    found: int
    of: int
    what: str

    def describe(self) -> str:
        """Say it, as in `0 of 20,000 worlds`."""
        return f"{self.found:,} of {self.of:,} {self.what}"


class Spread(msgspec.Struct, frozen=True):
    """Times in seconds: how many were seen, and what half of them and all but a hundredth do not pass."""

    seen: int
    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self:
        """Take it from single times, of which there is at least one."""
        ordered = sorted(seconds)
        return cls(len(ordered), *(ordered[math.ceil(share * len(ordered)) - 1] for share in (0.5, 0.99)))

    def describe(self) -> str:
        """Say it."""
        return f"p50 {self.p50:.2f} s, p99 {self.p99:.2f} s (of {self.seen:,})"


class Worlds(msgspec.Struct, frozen=True, tag="worlds"):
    """Simulated worlds."""

    worlds: int
    events: int
    virtual_hours: float
    faults: dict[str, int]
    situations: dict[str, int]
    violations: int

    @classmethod
    def of(cls, handed: Sequence[Any]) -> Self:
        """Take what the one test has handed over."""
        (one,) = handed
        return msgspec.convert(_with_violations_counted(one), cls)

    def tried(self) -> str:
        """Say in a line what was tried."""
        return (
            f"{self.worlds:,} seeds: {self.events:,} events, {self.virtual_hours:,.0f} virtual hours, "
            f"{sum(self.faults.values()):,} faults"
        )

    def broken(self) -> Violations:
        """Say what went wrong."""
        return Violations(self.violations, self.worlds, "worlds")

    def rows(self) -> list[tuple[str, str]]:
        """Give the figures one by one."""
        return [
            ("seeds", f"{self.worlds:,}"),
            ("events", f"{self.events:,}"),
            ("virtual hours", f"{self.virtual_hours:,.1f}"),
            ("faults", f"{sum(self.faults.values()):,}"),
            *((f"… {kind}", f"{count:,}") for kind, count in Counter(self.faults).most_common()),
            ("situations that must be reached, and were", f"{len(self.situations)}"),
            ("… of these the rarest", _counts(dict(Counter(self.situations).most_common()[:-4:-1]))),
        ]


class CrashPoints(msgspec.Struct, frozen=True, tag="crash_points"):
    """Deaths before and after each record of each shape of workflow."""

    shapes: int
    singles: int
    pairs: int
    violations: int

    @classmethod
    def of(cls, handed: Sequence[Any]) -> Self:
        """Add up what was handed over, one of each shape."""
        return cls(
            shapes=len(handed),
            singles=sum(one["singles"] for one in handed),
            pairs=sum(one["pairs"] for one in handed),
            violations=sum(len(one["violations"]) for one in handed),
        )

    def tried(self) -> str:
        """Say in a line what was tried."""
        return f"{self.shapes} shapes of workflow: {self.singles:,} single crashes, {self.pairs:,} pairs"

    def broken(self) -> Violations:
        """Say what went wrong."""
        return Violations(self.violations, self.singles + self.pairs, "crashes and pairs")

    def rows(self) -> list[tuple[str, str]]:
        """Give the figures one by one."""
        return [
            ("shapes of workflow", f"{self.shapes}"),
            ("crash points, one by one", f"{self.singles:,}"),
            ("pairs of crashes", f"{self.pairs:,}"),
        ]


class RandomKills(msgspec.Struct, frozen=True, tag="random_kills"):
    """Kills of drivers, fork servers and workers."""

    kills: dict[str, int]
    runs: int
    takeovers: int
    effects: int
    repeated: int
    records: int
    recovery: Spread | None
    recovery_of: dict[str, Spread]
    violations: int

    @classmethod
    def of(cls, handed: Sequence[Any]) -> Self:
        """Take what the one test has handed over."""
        (one,) = handed
        times: dict[str, list[float]] = one["recoveries"]
        together = [seconds for found in times.values() for seconds in found]
        spreads = {
            "recovery": Spread.of(together) if together else None,
            "recovery_of": {victim: Spread.of(found) for victim, found in times.items()},
        }
        return msgspec.convert(_with_violations_counted(one) | spreads, cls, from_attributes=True)

    def tried(self) -> str:
        """Say in a line what was tried."""
        recovery = f"; from kill to first new step: {self.recovery.describe()}" if self.recovery else ""
        return f"{sum(self.kills.values()):,} kills under {self.runs:,} runs{recovery}"

    def broken(self) -> Violations:
        """Say what went wrong."""
        return Violations(self.violations, self.runs, "runs")

    def rows(self) -> list[tuple[str, str]]:
        """Give the figures one by one."""
        by_victim = [(f"… a {victim} killed", spread.describe()) for victim, spread in sorted(self.recovery_of.items())]
        return [
            ("kills", _counts({f"of {victim}s": count for victim, count in self.kills.items()})),
            ("runs", f"{self.runs:,}, taken over {self.takeovers:,} times"),
            ("side effects", f"{self.effects:,}, of which {self.repeated:,} a second time: their record was lost"),
            ("records checked", f"{self.records:,}"),
            ("from kill to first new step", self.recovery.describe() if self.recovery else "none seen"),
            *by_victim,
        ]


class SystemCalls(msgspec.Struct, frozen=True, tag="system_calls"):
    """Processes killed on entering a system call of their store."""

    stride: int
    cuts: dict[str, int]
    runs: int
    recorded: int
    effects: int
    repeated: int
    records: int
    violations: int

    @classmethod
    def of(cls, handed: Sequence[Any]) -> Self:
        """Take what the one test has handed over."""
        (one,) = handed
        return msgspec.convert(_with_violations_counted(one), cls)

    def tried(self) -> str:
        """Say in a line what was tried."""
        return f"{sum(self.cuts.values()):,} cuts at system calls, each in a run of its own"

    def broken(self) -> Violations:
        """Say what went wrong."""
        return Violations(self.violations, self.runs, "runs")

    def rows(self) -> list[tuple[str, str]]:
        """Give the figures one by one."""
        every = "at every call" if self.stride == 1 else f"of the loop's writes each {self.stride}th"
        return [
            (f"cuts, {every}", _counts(self.cuts)),
            ("runs that had results on record when cut", f"{self.recorded:,} of {self.runs:,}"),
            ("side effects", f"{self.effects:,}, of which {self.repeated:,} a second time: their record was lost"),
            ("records checked", f"{self.records:,}"),
        ]


class PowerCuts(msgspec.Struct, frozen=True, tag="power_cuts"):
    """Power cuts under a disk with a volatile cache."""

    cuts: int
    writes: int
    flushes: int
    told: int
    lost: int
    records: int
    blobs: int
    resumed: int
    violations: int

    @classmethod
    def of(cls, handed: Sequence[Any]) -> Self:
        """Take what the one test has handed over."""
        (one,) = handed
        return msgspec.convert(_with_violations_counted(one) | {"lost": len(one["lost"])}, cls)

    def tried(self) -> str:
        """Say in a line what was tried."""
        return f"{self.cuts:,} power cuts; {self.lost:,} of {self.told:,} acknowledgements lost"

    def broken(self) -> Violations:
        """Say what went wrong."""
        return Violations(self.lost + self.violations, self.cuts, "power cuts")

    def rows(self) -> list[tuple[str, str]]:
        """Give the figures one by one."""
        return [
            ("cuts", f"{self.cuts:,}, among {self.writes:,} writes and {self.flushes:,} flushes"),
            ("acknowledged before a cut", f"{self.told:,}"),
            ("… and lost", f"{self.lost:,}"),
            ("read after a cut", f"{self.records:,} records, {self.blobs:,} blobs"),
            ("runs resumed", f"{self.resumed:,}"),
        ]


class Damage(msgspec.Struct, frozen=True, tag="damage"):
    """Stores with flipped bits, cut files, torn sectors and misplaced pages."""

    kinds: dict[str, int]
    detected: int
    harmless: int
    tail_lost: int
    unseen: dict[str, int]
    noticed: int
    resumed: int
    violations: int

    @classmethod
    def of(cls, handed: Sequence[Any]) -> Self:
        """Take what the one test has handed over."""
        (one,) = handed
        return msgspec.convert(_with_violations_counted(one), cls)

    def tried(self) -> str:
        """Say in a line what was tried."""
        return (
            f"{sum(self.kinds.values()):,} damaged stores: {self.detected:,} detected, {self.harmless:,} harmless, "
            f"{self.violations:,} harmful"
        )

    def broken(self) -> Violations:
        """Say what went wrong."""
        return Violations(self.violations, sum(self.kinds.values()), "damaged stores")

    def rows(self) -> list[tuple[str, str]]:
        """Give the figures one by one."""
        unseen = f" ({_counts(self.unseen)}; `regrow doctor` names {self.noticed:,} of them)" if self.unseen else ""
        return [
            ("damaged stores, by kind", _counts(self.kinds)),
            ("detected and refused by name", f"{self.detected:,}"),
            ("harmless: it hit nothing in use", f"{self.harmless:,}"),
            ("the log's end lost, as in a power cut before that commit", f"{self.tail_lost:,}"),
            ("outside of the chains, and taken for true", f"{sum(self.unseen.values()):,}{unseen}"),
            ("harmful", f"{self.violations:,}"),
            ("unfinished runs that went on in damaged stores", f"{self.resumed:,}"),
        ]


Figures = Worlds | CrashPoints | RandomKills | SystemCalls | PowerCuts | Damage


def _with_violations_counted(handed: Mapping[str, Any]) -> dict[str, Any]:
    return {**handed, "violations": len(handed["violations"])}


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in Counter(found).most_common())
