"""What `make mutate` left behind: how many faults put into the code the tests have noticed. Here it is only read."""

from __future__ import annotations

from pathlib import Path

import msgspec

from reliability.measured import REPOSITORY

LAST = REPOSITORY / "mutation" / "last.json"


class Mutation(msgspec.Struct, frozen=True):
    """The figures of a run of mutants, as `mutation/report.py` writes them.

    Attributes:
        commit: that was measured.
        python: its version.
        mutants: copies of the code with one fault each, all that there are.
        tried: how many of them, a random sample if not all.
        killed: noticed by a failing test.
        timed_out: noticed because the tests did not end.
        survived: not noticed.
        equivalent: of these, nobody could tell them from the original.
        accepted: of these, no test was worth its price.
    """

    commit: str
    python: str
    mutants: int
    tried: int
    killed: int
    timed_out: int
    survived: int
    equivalent: int
    accepted: int

    def tried_in_words(self) -> str:
        """Say in a line what was tried."""
        share = 100 * (self.killed + self.timed_out) / max(self.tried, 1)
        return f"{self.tried:,} of {self.mutants:,} mutants of engine and journal: {share:.1f} % noticed by the tests"

    def unexplained(self) -> str:
        """Say how many have survived without a reason."""
        left = self.survived - self.equivalent - self.accepted
        return f"{left:,} of {self.survived:,} survivors without a reason"

    def rows(self) -> list[tuple[str, str]]:
        """Give the figures one by one."""
        return [
            ("mutants", f"{self.mutants:,}, of which {self.tried:,} tried"),
            ("killed by a test", f"{self.killed:,}"),
            ("noticed because the tests did not end", f"{self.timed_out:,}"),
            ("survived", f"{self.survived:,}"),
            ("… and nobody could tell them from the original", f"{self.equivalent:,}"),
            ("… and no test is worth its price", f"{self.accepted:,}"),
        ]


def load(file: Path = LAST) -> Mutation | None:
    """Read the last figures, if there are any."""
    return msgspec.json.decode(file.read_bytes(), type=Mutation) if file.exists() else None
