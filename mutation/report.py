"""The result as a table, as a page and as data; and the reasons why survivors are let live."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import subprocess
import textwrap
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mutation.mutants import REPOSITORY, Mutant
from mutation.operators import LEFT_ALONE
from mutation.results import Results

REASONS = Path(__file__).with_name("survivors.toml")
DATA = Path(__file__).with_name("last.json")
PAGE = REPOSITORY / "docs" / "mutation.md"

_DEAD = ("killed", "timed out")


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why some survivors are let live.

    Attributes:
        kind: ``equivalent`` if nobody could tell them from the original, ``accepted`` if no test is worth its price.
        why: in words.
        mutants: their names.
    """

    kind: str
    why: str
    mutants: tuple[str, ...]


def reasons_given() -> list[Reason]:
    """Read why survivors are let live."""
    given = tomllib.loads(REASONS.read_text("utf-8")).get("reason", [])
    return [Reason(one["kind"], one["why"].strip(), tuple(one["mutants"])) for one in given]


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of the mutants.

    Attributes:
        mutants: all that there are.
        fates: what became of each that was tried, by name.
        reasons: why survivors are let live.
    """

    mutants: Sequence[Mutant]
    fates: dict[str, str]
    reasons: Sequence[Reason]

    @classmethod
    def of(cls, mutants: Sequence[Mutant], results: Results) -> Report:
        """Put together what is known."""
        known = ((mutant.name, results.of(mutant)) for mutant in mutants)
        return cls(mutants, {name: result.fate for name, result in known if result is not None}, reasons_given())

    @property
    def survivors(self) -> list[Mutant]:
        """Those that no test has noticed."""
        return [mutant for mutant in self.mutants if self.fates.get(mutant.name, "killed") not in _DEAD]

    @property
    def unexplained(self) -> list[Mutant]:
        """Survivors that nobody has given a reason for."""
        explained = self._explained()
        return [mutant for mutant in self.survivors if mutant.name not in explained]

    @property
    def outdated(self) -> list[str]:
        """Names that have a reason and do not survive, or are no mutants any more."""
        known = {mutant.name for mutant in self.mutants}
        living = {mutant.name for mutant in self.survivors}
        return [name for name in self._explained() if name not in living and (name in self.fates or name not in known)]

    def _explained(self) -> dict[str, Reason]:
        return {name: reason for reason in self.reasons for name in reason.mutants}

    def figures(self, mutants: Iterable[Mutant]) -> dict[str, Any]:
        """Count what became of some mutants."""
        of_these = list(mutants)
        fates = Counter(self.fates[mutant.name] for mutant in of_these if mutant.name in self.fates)
        living = {mutant.name for mutant in self.survivors}
        living &= {mutant.name for mutant in of_these}
        explained = Counter(reason.kind for name, reason in self._explained().items() if name in living)
        tried, dead = fates.total(), sum(fates[one] for one in _DEAD)
        return {
            "mutants": len(of_these),
            "tried": tried,
            "killed": fates["killed"],
            "timed_out": fates["timed out"],
            "survived": tried - dead,
            "equivalent": explained["equivalent"],
            "accepted": explained["accepted"],
            "killed_percent": round(100 * dead / tried, 1) if tried else None,
            "killed_percent_interval": _interval(dead, tried, len(of_these)),
        }

    def data(self) -> dict[str, Any]:
        """Give all figures, by module and in all."""
        modules = dict.fromkeys(mutant.module for mutant in self.mutants)
        return {
            "commit": commit(),
            "python": platform.python_version(),
            **self.figures(self.mutants),
            "modules": {one: self.figures(m for m in self.mutants if m.module == one) for one in modules},
        }

    def table(self) -> str:
        """Give the figures as a Markdown table."""
        data = self.data()
        lines = [
            "| module | mutants | tried | killed | timed out | survived: equivalent | accepted | killed % |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for name, one in (*data["modules"].items(), ("**in all**", data)):
            lines.append(
                f"| {name} | {one['mutants']} | {one['tried']} | {one['killed']} | {one['timed_out']} | "
                f"{one['equivalent']} | {one['accepted']} | {one['killed_percent']} |"
            )
        return "\n".join(lines)

    def write(self) -> None:
        """Write the page and the data."""
        data = self.data()
        DATA.write_text(json.dumps(data, indent=2) + "\n", "utf-8")
        PAGE.write_text("\n".join(map(_wrapped, self._page(data))) + "\n", "utf-8")

    def _page(self, data: dict[str, Any]) -> Iterable[str]:
        yield "# Mutation testing"
        yield ""
        yield (
            f"Written by `make mutate`, at {data['commit']} with Python {data['python']}. Tests notice "
            f"{data['killed'] + data['timed_out']} of {data['tried']} mutants of the engine and the journal: "
            f"{data['killed_percent']} %."
        )
        if data["tried"] < data["mutants"]:
            low, high = data["killed_percent_interval"]
            yield (
                f"They are a random sample of {data['mutants']}; of all, {low} % to {high} % would be noticed (95 % "
                "confidence)."
            )
        yield (
            "A mutant is the package with one small fault in it. One that no test notices either shows that a test is "
            "missing, or that it makes no difference; each that is left has its reason below. One that was noticed is "
            "tried again when its function has been edited (`--anew` tries all). How it is done, and why with a tool "
            "of our own, says [`mutation/__init__.py`](../mutation/__init__.py)."
        )
        yield f"\n{self.table()}\n"
        yield "Only tests without real processes take part. No faults are put into:\n"
        yield from (f"- {one}" for one in LEFT_ALONE)
        living = {mutant.name for mutant in self.survivors}
        for kind, title in (("equivalent", "Equivalent"), ("accepted", "Accepted")):
            yield f"\n## {title}"
            for reason in self.reasons:
                names = [name for name in reason.mutants if name in living]
                if reason.kind == kind and names:
                    yield f"\n{reason.why}\n"
                    yield from (f"- {_shown(name)}" for name in names)


def _wrapped(line: str) -> str:
    """Break prose into lines as the other pages have them; not tables, and not code, which a break would change."""
    return (
        line
        if line.strip().startswith(("|", "- "))
        else "\n".join(
            textwrap.fill(part, 120, break_long_words=False, break_on_hyphens=False) for part in line.split("\n")
        )
    )


def _shown(name: str) -> str:
    module, where, change = name.split(" | ", 2)
    return f"{module}{f' `{where}`' if where else ''}: {change}"


def commit() -> str:
    """Name the commit that was measured."""
    command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty", "--exclude=*"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - as written above
    return found.stdout.strip() or "an unknown commit"


def _interval(dead: int, tried: int, of: int) -> tuple[float, float] | None:
    """Give Wilson's interval for the percentage of a sample, at 95 %; a point where everything was tried."""
    if not tried:
        return None
    share = dead / tried
    if tried == of:
        return round(100 * share, 1), round(100 * share, 1)
    z = 1.96
    middle = (share + z * z / (2 * tried)) / (1 + z * z / tried)
    half = z * math.sqrt(share * (1 - share) / tried + z * z / (4 * tried * tried)) / (1 + z * z / tried)
    return round(100 * (middle - half), 1), round(100 * (middle + half), 1)
