"""The campaigns: which tests they are, and how large. A campaign is nothing but tests and their sizes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from reliability.figures import CrashPoints, Damage, Figures, PowerCuts, RandomKills, SystemCalls, Worlds


class Campaign(msgspec.Struct, frozen=True):
    """Tests that measure something.

    Attributes:
        name: as `--only` takes it, and that of its file in `last/`.
        title: its heading on the page.
        about: what it does, for somebody who has never seen the tests.
        tests: what pytest is given.
        sizes: variables that say how much of it, for `make reliability`.
        quick: likewise, for `--quick`.
        quick_tests: what pytest is given there instead.
        figures: makes figures of what the tests have handed over; None where it is only told whether they passed.
    """

    name: str
    title: str
    about: str
    tests: tuple[str, ...]
    sizes: Mapping[str, str]
    quick: Mapping[str, str]
    figures: Callable[[Sequence[Any]], Figures] | None = None
    quick_tests: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What a reader types to repeat it."""
        sizes = "".join(f"{name}={value} " for name, value in self.sizes.items())
        return f"{sizes}python -m pytest -rP {shlex.join(self.tests)}"


CAMPAIGNS = (
    Campaign(
        "simulated-worlds",
        "Simulated worlds",
        "The engine itself on virtual time, with simulated workers, a store that fails and processes that die, stop "
        "and overtake each other. A seed decides everything; each has a random half of the faults. After every event "
        "a witness checks records and side effects, and at the end all runs must have come to the result of a quiet "
        "world.",
        ("tests/sim/test_world.py",),
        {"REGROW_SIM_SEEDS": "20000"},
        {"REGROW_SIM_SEEDS": "1000"},
        Worlds.of,
    ),
    Campaign(
        "crash-points",
        "Every crash point",
        "Each shape of workflow is killed before and after each record that it has, and each of these resumed runs is "
        "killed once more at each place after the first. Result and side effects must be those of an undisturbed run.",
        ("tests/sim/test_crash_points.py",),
        {"REGROW_CRASH_PAIRS": "1"},
        {},
        CrashPoints.of,
    ),
    Campaign(
        "random-kills",
        "Random kills",
        "Three drivers with workers on one store; drivers, fork servers and workers get SIGKILL at random moments. "
        "Each step's execution is noted outside of the journal. Recovery is timed from a kill to the next step that "
        "is newly executed of the run, or of the call, that was killed.",
        ("tests/process/test_random_kills.py",),
        {"REGROW_KILLS": "1000"},
        {"REGROW_KILLS": "60"},
        RandomKills.of,
    ),
    Campaign(
        "system-calls",
        "Cuts at system calls",
        "A driver is killed on entering each write, sync, rename and unlink by which its store changes the disk, and "
        "is resumed.",
        ("tests/process/test_cut_at_syscalls.py",),
        {"REGROW_CUT_EVERY": "1"},
        {},
        SystemCalls.of,
    ),
    Campaign(
        "power-cuts",
        "Power cuts",
        "Two drivers at work on ext4, on a disk with a volatile cache. At a random one of its writes the power is "
        "cut: what was flushed is there, and of the rest whatever the cache had written out. Then all is looked for "
        "that the code had been told, and the runs go on.",
        ("tests/process/test_power_cuts.py",),
        {"REGROW_POWER_CUTS": "200"},
        {},
        PowerCuts.of,
    ),
    Campaign(
        "damage",
        "Damaged stores",
        "A store with finished and unfinished runs is damaged anywhere, in database, log or blobs: flipped bits, cuts, "
        "torn sectors, misplaced pages. Then it is read, and its unfinished runs go on. All that is given must be what "
        "was written, or be refused by an error that names it.",
        ("tests/store/test_damage.py",),
        {"REGROW_DAMAGE_ROUNDS": "2000"},
        {},
        Damage.of,
    ),
    Campaign(
        "fuzz",
        "Hostile bytes",
        "Every reader of stored or sent bytes is given encodings that were tampered with, and arbitrary bytes: so many "
        "examples of each, for each reader. It must read them or refuse them by a documented error, run nothing, and "
        "take no more memory and calls than their length allows.",
        ("tests/security/test_fuzz.py",),
        {"REGROW_FUZZ_EXAMPLES": "5000"},
        {},
    ),
)
"""In the order of the page, and of running."""

_TAKEN = tuple(f"--ignore={test}" for campaign in CAMPAIGNS for test in campaign.tests)

OTHER_TESTS = Campaign(
    "other-tests",
    "Other tests behind the promises",
    "Tests that hold a promise and measure nothing.",
    ("tests", "-m", "promise or control", *_TAKEN),
    {},
    {},
    quick_tests=("tests/sim", "tests/store", "tests/security", "-m", "promise or control", *_TAKEN),
)
