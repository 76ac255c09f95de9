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


class Words(msgspec.Struct, frozen=True):
    """Figures in words.

    Attributes:
        tried: what was tried, in a line.
        violations: how often something happened that must not, of how many times that it could have.
        rows: the figures one by one, each with what it is of.
    """

    tried: str
    violations: str
    rows: Sequence[tuple[str, str]]


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


class _OfOneTest(msgspec.Struct, frozen=True):
    """What a campaign came to that is one test."""

    @classmethod
    def of(cls, handed: Sequence[Any]) -> Self:
        """Take what the test has handed over, under the names of the fields here. Of a list only its length counts."""
        (one,) = handed
        counted = {name: len(value) if isinstance(value, list) else value for name, value in one.items()}
        return msgspec.convert(counted, cls, from_attributes=True)


class Worlds(_OfOneTest, frozen=True, tag="worlds"):
    """Simulated worlds."""

    worlds: int
    events: int
    virtual_hours: float
    faults: dict[str, int]
    situations: dict[str, int]
    violations: int

    def in_words(self) -> Words:
        """Say it."""
        return Words(
            tried=(
                f"{self.worlds:,} seeds: {self.events:,} events, {self.virtual_hours:,.0f} virtual hours, "
                f"{sum(self.faults.values()):,} faults"
            ),
            violations=_violations(self.violations, self.worlds, "worlds"),
            rows=[
                ("seeds", f"{self.worlds:,}"),
                ("events", f"{self.events:,}"),
                ("virtual hours", f"{self.virtual_hours:,.1f}"),
                ("faults", f"{sum(self.faults.values()):,}"),
                *((f"… {kind}", f"{count:,}") for kind, count in Counter(self.faults).most_common()),
                ("situations that must be reached, and were", f"{len(self.situations)}"),
                ("… of these the rarest", _counts(dict(Counter(self.situations).most_common()[:-4:-1]))),
            ],
        )


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

    def in_words(self) -> Words:
        """Say it."""
        return Words(
            tried=f"{self.shapes} shapes of workflow: {self.singles:,} single crashes, {self.pairs:,} pairs",
            violations=_violations(self.violations, self.singles + self.pairs, "crashes and pairs"),
            rows=[
                ("shapes of workflow", f"{self.shapes}"),
                ("crash points, one by one", f"{self.singles:,}"),
                ("pairs of crashes", f"{self.pairs:,}"),
            ],
        )


class RandomKills(_OfOneTest, frozen=True, tag="random_kills"):
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
        """Take what the test has handed over; of times of recovery their spread, by what was killed and in all."""
        (one,) = handed
        times: dict[str, list[float]] = one["recoveries"]
        together = [seconds for found in times.values() for seconds in found]
        spreads = {
            "recovery": Spread.of(together) if together else None,
            "recovery_of": {victim: Spread.of(found) for victim, found in times.items()},
        }
        return super().of([one | spreads])

    def in_words(self) -> Words:
        """Say it."""
        recovery = f"; from kill to first new step: {self.recovery.describe()}" if self.recovery else ""
        by_victim = [(f"… a {victim} killed", spread.describe()) for victim, spread in sorted(self.recovery_of.items())]
        return Words(
            tried=f"{sum(self.kills.values()):,} kills under {self.runs:,} runs{recovery}",
            violations=_violations(self.violations, self.runs, "runs"),
            rows=[
                ("kills", _counts({f"of {victim}s": count for victim, count in self.kills.items()})),
                ("runs", f"{self.runs:,}, taken over {self.takeovers:,} times"),
                *_side_effects(self),
                ("from kill to first new step", self.recovery.describe() if self.recovery else "none seen"),
                *by_victim,
            ],
        )


class SystemCalls(_OfOneTest, frozen=True, tag="system_calls"):
    """Processes killed on entering a system call of their store."""

    stride: int
    cuts: dict[str, int]
    runs: int
    recorded: int
    effects: int
    repeated: int
    records: int
    violations: int

    def in_words(self) -> Words:
        """Say it."""
        every = "at every call" if self.stride == 1 else f"of the loop's writes each {self.stride}th"
        return Words(
            tried=f"{sum(self.cuts.values()):,} cuts at system calls, each in a run of its own",
            violations=_violations(self.violations, self.runs, "runs"),
            rows=[
                (f"cuts, {every}", _counts(self.cuts)),
                ("runs that had results on record when cut", f"{self.recorded:,} of {self.runs:,}"),
                *_side_effects(self),
            ],
        )


class PowerCuts(_OfOneTest, frozen=True, tag="power_cuts"):
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

    def in_words(self) -> Words:
        """Say it."""
        return Words(
            tried=f"{self.cuts:,} power cuts; {self.lost:,} of {self.told:,} acknowledgements lost",
            violations=_violations(self.lost + self.violations, self.cuts, "power cuts"),
            rows=[
                ("cuts", f"{self.cuts:,}, among {self.writes:,} writes and {self.flushes:,} flushes"),
                ("acknowledged before a cut", f"{self.told:,}"),
                ("… and lost", f"{self.lost:,}"),
                ("read after a cut", f"{self.records:,} records, {self.blobs:,} blobs"),
                ("runs resumed", f"{self.resumed:,}"),
            ],
        )


class Damage(_OfOneTest, frozen=True, tag="damage"):
    """Stores with flipped bits, cut files, torn sectors and misplaced pages."""

    kinds: dict[str, int]
    detected: int
    harmless: int
    tail_lost: int
    unseen: dict[str, int]
    noticed: int
    resumed: int
    violations: int

    def in_words(self) -> Words:
        """Say it."""
        unseen = f" ({_counts(self.unseen)}; `regrow doctor` names {self.noticed:,} of them)" if self.unseen else ""
        return Words(
            tried=(
                f"{sum(self.kinds.values()):,} damaged stores: {self.detected:,} detected, {self.harmless:,} harmless, "
                f"{self.violations:,} harmful"
            ),
            violations=_violations(self.violations, sum(self.kinds.values()), "damaged stores"),
            rows=[
                ("damaged stores, by kind", _counts(self.kinds)),
                ("detected and refused by name", f"{self.detected:,}"),
                ("harmless: it hit nothing in use", f"{self.harmless:,}"),
                ("the log's end lost, as in a power cut before that commit", f"{self.tail_lost:,}"),
                ("outside of the chains, and taken for true", f"{sum(self.unseen.values()):,}{unseen}"),
                ("harmful", f"{self.violations:,}"),
                ("unfinished runs that went on in damaged stores", f"{self.resumed:,}"),
            ],
        )


Figures = Worlds | CrashPoints | RandomKills | SystemCalls | PowerCuts | Damage


def _violations(found: int, of: int, what: str) -> str:
    return f"{found:,} of {of:,} {what}"


def _side_effects(found: RandomKills | SystemCalls) -> list[tuple[str, str]]:
    return [
        ("side effects", f"{found.effects:,}, of which {found.repeated:,} a second time: their record was lost"),
        ("records checked", f"{found.records:,}"),
    ]


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in Counter(found).most_common())
