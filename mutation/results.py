"""What became of each mutant, kept between calls: only what may have changed is tried again.

That is a mutant of a function that was edited, or one that has survived. What another edit has to do with it is left to
`--anew`, as is what a test does that was edited: a campaign takes an hour, and most edits make no such difference.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from mutation.laboratory import Result
from mutation.mutants import REPOSITORY, Mutant

FOLDER = REPOSITORY / "build" / "mutation"
_FILE = FOLDER / "results.json"


class Results:
    """Results by mutant, of those functions whose source is still the same."""

    def __init__(self, *, anew: bool, file: Path = _FILE) -> None:
        """Take up what is kept, unless everything is to be tried `anew`."""
        self._file = file
        self._kept: dict[str, dict[str, object]] = {}
        if not anew:
            self.take_up()

    def take_up(self) -> None:
        """Read what is kept, perhaps by another process meanwhile."""
        if self._file.exists():
            self._kept = json.loads(self._file.read_text("utf-8"))

    def of(self, mutant: Mutant) -> Result | None:
        """Give what became of a mutant, if that is known."""
        kept = self._kept.get(mutant.name)
        if kept is None or kept["source"] != mutant.source:
            return None
        return Result(kept["fate"], kept["test"])  # type: ignore[arg-type]

    def is_settled(self, mutant: Mutant) -> bool:
        """Tell whether a mutant is dead. One that has survived may fall to a test that was added since."""
        result = self.of(mutant)
        return result is not None and result.fate in {"killed", "timed out"}

    def note(self, mutant: Mutant, result: Result) -> None:
        """Keep a result."""
        self._kept[mutant.name] = {"source": mutant.source, "fate": result.fate, "test": result.test}

    def save(self, mutants: Iterable[Mutant] | None = None) -> None:
        """Write down what is known; where all mutants are given, what is none any more is dropped."""
        if mutants is not None:
            names = {mutant.name for mutant in mutants}
            self._kept = {name: one for name, one in self._kept.items() if name in names}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._kept, indent=1, ensure_ascii=False), "utf-8")
