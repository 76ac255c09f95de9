"""Try the mutants of the engine and the journal; ``--write`` puts the result into docs/mutation.md and last.json."""

from __future__ import annotations

import argparse
import os
import pickle
import random
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import TypeVar

import apsw  # noqa: F401 - loaded here once, and not in every child
import msgspec  # noqa: F401 - as above
import pytest

from mutation import afresh, report
from mutation.laboratory import KnownTest, Laboratory, Result, examine
from mutation.mutants import REPOSITORY, Mutant, modules, mutants_of
from mutation.reach import put_down, take_up
from mutation.results import Results

Given = TypeVar("Given")

TESTS = (
    "unit/engine",
    "unit/journal",
    "unit/insight",
    "unit/healing",
    "unit/authoring",
    "unit/testing",
    "sim",
    "store",
)
"""Folders of tests without real processes: those that do start some reach the same lines, for much more time."""

_WORLDS = "60"
"""How many seeded worlds a trial plays. Most mutants have been killed by then."""

_AFRESH = 8.0
"""Seconds of tests for a mutant that needs a session of its own: collecting takes long enough."""


def main() -> int:
    """Do what was asked for; 0 if every survivor has its reason."""
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("only", nargs="*", metavar="MODULE", help="such as engine/state.py (all unless given)")
    parser.add_argument("--anew", action="store_true", help="try again what was tried before in unchanged functions")
    parser.add_argument("--open", action="store_true", help="let survivors be that have a reason in survivors.toml")
    parser.add_argument("--at-once", type=int, default=os.cpu_count() or 1, help="how many mutants are tried at once")
    parser.add_argument("--slowest", type=float, default=6.0, help="leave out tests that take longer, in seconds")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of tests for each mutant")
    parser.add_argument("--sample", type=int, help="try so many mutants only, chosen by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tests", nargs="*", default=TESTS, help="folders or files below tests")
    parser.add_argument("--known", action="store_true", help="try nothing, and report what is known")
    parser.add_argument("--write", action="store_true", help="write docs/mutation.md and mutation/last.json")
    asked = parser.parse_args()
    if wrong := set(asked.only) - set(modules()):
        parser.error(f"there is no {', '.join(sorted(wrong))}; there are {', '.join(modules())}")

    everything = [mutant for module in modules() for mutant in mutants_of(module)]
    chosen = [mutant for mutant in everything if not asked.only or mutant.module in asked.only]
    if asked.sample is not None and asked.sample < len(chosen):
        chosen = random.Random(asked.seed).sample(chosen, asked.sample)  # noqa: S311 - a sample, and no secret
    results = Results(anew=asked.anew)
    _say(f"{len(chosen)} mutants, {sum(map(results.is_settled, chosen))} of them known to be dead")
    left = [mutant for mutant in chosen if not results.is_settled(mutant)]
    if asked.open:
        explained = {name for reason in report.reasons_given() for name in reason.mutants}
        left = [mutant for mutant in left if results.of(mutant) is None or mutant.name not in explained]
    if left and not asked.known:
        os.environ["REGROW_SIM_SEEDS"] = _WORLDS
        _try(left, results, asked)
        results.save(everything)
    found = report.Report.of(everything, results)
    sys.stdout.write(found.table() + "\n")
    for mutant in found.unexplained:
        sys.stdout.write(f"survived: {mutant.file.relative_to(REPOSITORY)}:{mutant.lines[0]} {mutant.name}\n")
    for name in found.outdated:
        sys.stdout.write(f"no longer needs its reason in survivors.toml: {name}\n")
    if asked.write:
        found.write()
    return 1 if found.unexplained else 0


def _try(mutants: list[Mutant], results: Results, asked: argparse.Namespace) -> None:
    """Try mutants: in a session that is forked for each, and those that this is no good for in a session each.

    The session is a child too: this process stays without regrow, which is what the second kind has to be forked from.
    """
    tests, left = _in_a_child(lambda: _try_in_place(mutants, results, asked))
    if not tests:  # a session of its own that is given none would run all that there are
        raise SystemExit("no test passes as it is, so none can notice a mutant; see above why each was left out")
    results.take_up()
    again = [mutant for mutant in mutants if mutant.name in left]
    _note(examine(again, tests, afresh.body, at_once=asked.at_once, budget=_AFRESH, imported=True), len(again), results)


def _try_in_place(
    mutants: list[Mutant], results: Results, asked: argparse.Namespace
) -> tuple[list[KnownTest], set[str]]:
    """Collect the tests and try mutants; give the tests, and the mutants that must be tried in a fresh process."""
    tests: list[KnownTest] = []
    left: set[str] = set()

    def work(laboratory: Laboratory) -> None:
        tests.extend(laboratory.tests({} if asked.anew else take_up(), _say))
        put_down(tests)
        _say(f"{len(tests)} tests, {sum(test.seconds for test in tests):.0f} seconds")
        left.update(
            _note(
                examine(mutants, tests, laboratory.body, at_once=asked.at_once, budget=asked.budget),
                len(mutants),
                results,
            )
        )

    files = [REPOSITORY / "src" / "regrow" / module for module in modules()]
    laboratory = Laboratory(files, work, at_once=asked.at_once, slowest=asked.slowest)
    folders = [str(REPOSITORY / "tests" / one) for one in asked.tests]
    if pytest.main([*afresh.QUIETLY, *folders], plugins=[laboratory]) != pytest.ExitCode.OK:
        raise SystemExit("the tests could not be collected")
    return tests, left


def _in_a_child(work: Callable[[], Given]) -> Given:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the tests of a thousand trials have nothing to say
            with os.fdopen(writing, "wb") as out:
                pickle.dump(work(), out)
            status = 0
        except BaseException:  # noqa: BLE001 - nobody else will show it
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as given:
        said = given.read()
    if os.waitpid(pid, 0)[1] != 0:
        raise SystemExit("the session of tests has failed")
    return pickle.loads(said)  # type: ignore[no-any-return]  # noqa: S301 - a child of our own has written it


def _note(tried: Iterable[tuple[Mutant, Result | None]], count: int, results: Results) -> set[str]:
    """Keep results as they come; give the names of the mutants that have none."""
    left = set()
    for number, (mutant, result) in enumerate(tried, start=1):
        if result is None:
            left.add(mutant.name)
        else:
            results.note(mutant, result)
        if number % 20 == 0 or number == count:
            results.save()
            _say(f"{number} of {count} tried")
    return left


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
