"""A pytest session that runs its tests again and again: once each to see what they reach, then against mutants."""

from __future__ import annotations

import dataclasses
import gc
import json
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from mutation.mutants import Mutant
from mutation.trials import Outcome, Say, Trial, begins, hold

Fate = Literal["killed", "timed out", "survived"]

_TIMES_AS_LONG, _AND_SECONDS = 10, 6.0
"""What a test may take under a mutant: so many times as long as without, and some seconds more."""
_BEGINS_ANEW = "begins anew"
"""Said by a child that could not put its mutant into functions that exist already."""


@dataclasses.dataclass(frozen=True, eq=False)
class KnownTest:
    """A test as it is without a mutant: how long it takes, and the lines that it reaches, by file."""

    name: str
    seconds: float
    lines: Mapping[str, frozenset[int]]

    def may_notice(self, mutant: Mutant, *, imported: bool) -> bool:
        """Tell whether it runs the place of a mutant; or, for what happens at import, anything of its module."""
        lines = self.lines.get(str(mutant.file), frozenset())
        if imported:
            return bool(lines) or self.is_named_after(mutant)
        return mutant.function is not None and not lines.isdisjoint(range(mutant.lines[0], mutant.lines[1] + 1))

    def is_named_after(self, mutant: Mutant) -> bool:
        """Tell whether it is in a file of tests for a mutant's module."""
        return f"test_{mutant.file.stem}" in self.name.partition("::")[0]


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of a mutant, and the test that killed it."""

    fate: Fate
    test: str | None = None


Body = Callable[[Mutant, list[KnownTest], Say], bool]
"""Runs tests against a mutant, in the child that it is called in."""


def examine(
    mutants: Iterable[Mutant],
    tests: list[KnownTest],
    body: Body,
    *,
    at_once: int,
    budget: float,
    imported: bool = False,
) -> Iterator[tuple[Mutant, Result | None]]:
    """Try mutants against the tests that reach them; no result where a mutant must be tried in a fresh process.

    A test that fails is run once more against its mutant: a kill counts if it fails twice.

    Args:
        mutants: to be tried.
        tests: as they are without a mutant; the quickest come first.
        body: runs some of them against one.
        at_once: how many are tried at once.
        budget: seconds for each mutant of tests that are not named after its module.
        imported: the mutants' places run when their modules are imported, so that any test may notice.
    """
    limits = {test.name: test.seconds * _TIMES_AS_LONG + _AND_SECONDS for test in tests}
    queue: deque[tuple[tuple[Mutant, list[KnownTest], KnownTest | None], Callable[[], Trial]]] = deque()

    def put(mutant: Mutant, chosen: list[KnownTest], again: KnownTest | None = None) -> None:
        tried = chosen if again is None else [again]
        queue.appendleft(((mutant, chosen, again), lambda: Trial(partial(body, mutant, tried), limits)))

    for mutant in mutants:
        reaching = [test for test in tests if test.may_notice(mutant, imported=imported)]
        if reaching or imported:
            put(mutant, _chosen(mutant, reaching or tests, budget))
        else:
            yield mutant, None
    for (mutant, chosen, again), outcome in hold(queue, at_once):
        if _BEGINS_ANEW in outcome.said:
            yield mutant, None
        elif outcome.verdict == "timed out" or (outcome.verdict == "failed" and again is not None):
            yield mutant, Result("timed out" if outcome.verdict == "timed out" else "killed", outcome.test)
        elif outcome.verdict == "failed":
            # Where none had begun, it is the import that has failed, or the collection after it: any test shows that.
            put(mutant, chosen, next((test for test in chosen if test.name == outcome.test), chosen[0]))
        elif again is not None and chosen[-1] is not again:  # it failed by chance: go on with the tests after it
            put(mutant, chosen[chosen.index(again) + 1 :])
        else:
            yield mutant, Result("survived")


def _chosen(mutant: Mutant, tests: list[KnownTest], budget: float) -> list[KnownTest]:
    """Choose the tests named after a mutant's module, and others within the budget; the quickest come first."""
    own = [test for test in tests if test.is_named_after(mutant)]
    others = []
    for test in sorted((test for test in tests if test not in own), key=lambda test: test.seconds):
        budget -= test.seconds
        if budget < 0:
            break
        others.append(test)
    return [*sorted(own, key=lambda test: test.seconds), *others]


class Laboratory:
    """The plugin: takes the place of pytest's own loop over the collected tests."""

    def __init__(
        self, files: Iterable[Path], work: Callable[[Laboratory], None], *, at_once: int, slowest: float
    ) -> None:
        """Do `work` once the tests are collected.

        Args:
            files: whose lines count.
            work: what to do then.
            at_once: how many trials are held at once.
            slowest: seconds; tests that take longer are left out.
        """
        self._files = frozenset(str(file) for file in files)
        self._work = work
        self._at_once = at_once
        self._slowest = slowest
        self._items: dict[str, pytest.Item] = {}
        self._functions: dict[tuple[str, str, int], list[types.FunctionType]] = {}
        self._failed = False

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Work with the collected tests instead of running them."""
        if session.testsfailed:
            raise session.Interrupted
        self._items = {item.nodeid: item for item in session.items}
        for one in gc.get_objects():
            if isinstance(one, types.FunctionType) and one.__code__.co_filename in self._files:
                code = one.__code__
                self._functions.setdefault((code.co_filename, code.co_qualname, code.co_firstlineno), []).append(one)
        gc.collect()
        gc.freeze()  # or each child would copy all memory as soon as it collects garbage
        self._work(self)
        return True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Say what could not be collected."""
        if report.failed:
            sys.stderr.write(f"{report.longrepr}\n")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note that something has failed."""
        self._failed = self._failed or report.failed

    # -- the tests as they are -----------------------------------------------------------------------------------------

    def tests(self, known: Mapping[str, KnownTest], tell: Callable[[str], None]) -> list[KnownTest]:
        """Run each test that is not known twice without a mutant, the second time to see what it reaches."""
        seconds = {}
        new = [name for name in self._items if name not in known]
        for name, outcome in self._baseline(new, self._timed, self._slowest):
            if outcome.verdict == "passed":
                seconds[name] = float(outcome.said[0])
            else:
                tell(f"left out, {'slow' if outcome.verdict == 'timed out' else outcome.verdict} as it is: {name}")
        found = [known[name] for name in self._items if name in known]
        for name, outcome in self._baseline(list(seconds), self._traced, 30 * self._slowest):
            if outcome.verdict == "passed":
                lines = {file: frozenset(numbers) for file, numbers in json.loads(outcome.said[0]).items()}
                found.append(KnownTest(name, seconds[name], lines))
            else:
                tell(f"left out, {outcome.verdict} when traced: {name}")
        return found

    def _baseline(
        self, names: list[str], body: Callable[[str, Say], bool], limit: float
    ) -> Iterator[tuple[str, Outcome]]:
        limits = dict.fromkeys(names, limit)
        return hold(deque((name, partial(Trial, partial(body, name), limits)) for name in names), self._at_once)

    def _timed(self, name: str, say: Say) -> bool:
        begun = time.perf_counter()
        passed = self._pass([name], say)
        say(str(time.perf_counter() - begun))
        return passed

    def _traced(self, name: str, say: Say) -> bool:
        lines: dict[str, set[int]] = {}

        def inside(frame: types.FrameType, _event: str, _arg: Any) -> Any:
            lines.setdefault(frame.f_code.co_filename, set()).add(frame.f_lineno)
            return inside

        def tracer(frame: types.FrameType, event: str, arg: Any) -> Any:
            return inside(frame, event, arg) if frame.f_code.co_filename in self._files else None

        threading.settrace(tracer)
        sys.settrace(tracer)
        passed = self._pass([name], say)
        sys.settrace(None)
        threading.settrace(None)
        say(json.dumps({file: sorted(numbers) for file, numbers in lines.items()}))
        return passed

    # -- the tests against a mutant ------------------------------------------------------------------------------------

    def body(self, mutant: Mutant, tests: list[KnownTest], say: Say) -> bool:
        """Give the functions of a mutant their mutated code, and run tests."""
        if not self._infect(mutant):
            say(_BEGINS_ANEW)
            return True
        return self._pass([test.name for test in tests], say)

    def _infect(self, mutant: Mutant) -> bool:
        if mutant.function is None:
            return False
        functions = self._functions.get((str(mutant.file), *mutant.function), [])
        for code in _inside(mutant.code()):
            if (code.co_qualname, code.co_firstlineno) == mutant.function:
                try:
                    for function in functions:
                        function.__code__ = code
                except ValueError:  # it closes over something else than before
                    return False
                return bool(functions)
        return False

    def _pass(self, names: list[str], say: Say) -> bool:
        items = [self._items[name] for name in names]
        for item, following in zip(items, [*items[1:], None], strict=True):
            say(begins(item.nodeid))
            try:
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            except BaseException:  # noqa: BLE001 - whatever comes out of a test has not passed
                return False
            if self._failed:
                return False
        return True


def _inside(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for one in code.co_consts:
        if isinstance(one, types.CodeType):
            yield from _inside(one)
