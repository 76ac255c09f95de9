"""What a campaign came to when it was last run, and where that is kept: `last/NAME.json`.

Each keeps its own date and commit, so that one can be run again without the others, and the page says of each figure
how old it is. They are committed: the page can be made of them again, and a test does.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from reliability.campaigns import CAMPAIGNS, OTHER_TESTS
from reliability.figures import Figures
from reliability.measured import REPOSITORY, Measured
from reliability.outcomes import Control, File

LAST = REPOSITORY / "reliability" / "last"


class Result(msgspec.Struct, frozen=True):
    """One run of a campaign.

    Attributes:
        campaign: its name.
        measured: when, at which commit, on what.
        tests: how many ran, those that hold no promise among them.
        figures: what it came to; None where there are none.
        why_none: then the reason, such as what the host lacks.
        files: its tests that hold a promise.
        controls: the tests that plant a bug for it to find.
        failed: names of all tests that failed.
    """

    campaign: str
    measured: Measured
    tests: int = 0
    figures: Figures | None = None
    why_none: str = ""
    files: tuple[File, ...] = ()
    controls: tuple[Control, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing went wrong; a campaign that the host cannot run is none that did."""
        return not self.failed


def load(folder: Path = LAST) -> dict[str, Result]:
    """Read what was last seen, by campaign, in the order of the campaigns."""
    places = ((one.name, folder / f"{one.name}.json") for one in (*CAMPAIGNS, OTHER_TESTS))
    return {name: msgspec.json.decode(file.read_bytes(), type=Result) for name, file in places if file.exists()}


def save(results: Mapping[str, Result], folder: Path = LAST) -> None:
    """Keep these; those of other campaigns stay as they are."""
    for name, result in results.items():
        (folder / f"{name}.json").write_bytes(to_json(result) + b"\n")


def to_json(what: Result | list[Result]) -> bytes:
    """Write it so that a person can read what has changed."""
    return msgspec.json.format(msgspec.json.encode(what), indent=2)
