"""``pytest --crash-every-step``: a test of an agent, run once more for every point at which its process could die.

Any test that takes the `regrow_store` fixture can be played like this. It is run undisturbed first. Then, for each
record that it appended, it is run with a death before that record and with one after it. Each time its fixtures are set
up afresh, its body is run until the death and then once more, as a script is that somebody starts again, and what is
left is compared with what was left undisturbed.

It does not load by itself. That would import regrow in every pytest session of everybody who has it installed. Write
``pytest_plugins = ["regrow.testing.pytest_plugin"]`` in the topmost ``conftest.py``.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from _pytest.runner import runtestprotocol  # what plugins use that run a test again; pytest itself provides for that

from regrow.authoring import home
from regrow.errors import OutcomeUnknown
from regrow.testing.crash_points import Effects, MortalStore, Seen, describe_point, seen
from regrow.testing.outside import Outside

_LISTED = 10
_COUNTS = "regrow_crash_points"


class Life(msgspec.Struct):
    """One play of a test: where it dies, and what came of it.

    Attributes:
        deaths: the crash points, one for each life but the last. Without any it is run as always.
        store: the test's store, once it has one.
        effects: its book of effects.
        lived: how many of the deaths came; a run may append less than it did undisturbed.
        waits: whether a once-only call waits for somebody to say what became of it.
        last_records: how many records the last life has appended.
    """

    deaths: tuple[int, ...] = ()
    store: MortalStore | None = None
    effects: Effects = msgspec.field(default_factory=Effects)
    lived: int = 0
    waits: bool = False
    last_records: int = 0


_life = pytest.StashKey[Life]()


# -- what tests use ----------------------------------------------------------------------------------------------------


@pytest.fixture
def regrow_store(request: pytest.FixtureRequest) -> Iterator[MortalStore]:
    """A store in memory, for ``regrow.run(…, key=…, store=regrow_store)``; empty in each test."""
    store = MortalStore()
    _life_of(request.node).store = store
    yield store
    home.forget(home.host_of(store))


@pytest.fixture
def regrow_effects(request: pytest.FixtureRequest) -> Effects:
    """The book in which a test's code notes its side effects: ``regrow_effects.note("charged")``."""
    return _life_of(request.node).effects


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("regrow")
    group.addoption(
        "--crash-every-step",
        action="store_true",
        help="run each test that takes regrow_store once more for every point at which its process could die",
    )
    group.addoption(
        "--crash-every-pair",
        action="store_true",
        help="likewise with every two deaths: of the process, and of the one that resumes",
    )
    group.addoption(
        "--crash-at",
        metavar="N[,M]",
        type=_deaths,
        help="only the crash point N; with M, also that one of the second life",
    )


# -- playing deaths ----------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Literal[True] | None:
    """Run a test for all its crash points, and report it as one."""
    option = item.config.option
    wanted = option.crash_every_step or option.crash_every_pair or option.crash_at
    if not wanted or "regrow_store" not in getattr(item, "fixturenames", ()):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _Trial(item, nextitem).reports():
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Literal[True] | None:
    """Run a test's body as often as its process lives."""
    life = _life_of(pyfuncitem)
    if not life.deaths or life.store is None:
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: value for name, value in pyfuncitem.funcargs.items() if name in names}
    _live(life, life.store, lambda: pyfuncitem.obj(**arguments))
    return True


def _live(life: Life, store: MortalStore, body: Callable[[], Any]) -> None:
    world = Outside()
    for point in life.deaths:
        store.die_at(point)
        try:
            with world.one_life():
                body()
        except (KeyboardInterrupt, pytest.exit.Exception):
            raise
        except BaseException:
            if not store.deaths > life.lived:
                raise  # it failed by itself, before the death came
        if not store.deaths > life.lived:
            return
        life.lived += 1
        life.effects.died(store)
        store.revive()
    before = store.appended
    try:
        with world.one_life():
            body()
    except OutcomeUnknown:
        life.waits = True
    finally:
        life.last_records = store.appended - before


class _Trial:
    """All plays of one test."""

    def __init__(self, item: pytest.Item, nextitem: pytest.Item | None) -> None:
        self._item = item
        self._nextitem = nextitem
        self._calm_store = MortalStore()
        self._calm = Seen({}, {}, {})
        self._counts = {"points": 0, "waits": 0, "unreached": 0}
        self._found: list[tuple[tuple[int, ...], list[str]]] = []
        self._compare_results = True

    def reports(self) -> list[pytest.TestReport]:
        """Play them, and give the reports of the undisturbed one, with what the others have shown in it."""
        life, reports = self._play(())
        call = next((report for report in reports if report.when == "call"), None)
        if call is None or not call.passed or any(report.failed for report in reports):
            return reports
        if why := _why_not(self._item, life):
            call.user_properties.append(("regrow_no_crash_points", why))
            return reports
        assert life.store is not None  # noqa: S101 - it takes the fixture, and has passed
        self._calm_store, self._calm = life.store, seen(life.store, life.effects)
        if not life.store.appended:
            call.outcome, call.longrepr = "failed", "the test hands regrow_store to no run: there is no crash point"
            return reports
        self._play_all(2 * life.store.appended)
        call.user_properties.append((_COUNTS, dict(self._counts)))
        if self._found:
            call.outcome, call.longrepr = "failed", self._told()
        return reports

    def _play_all(self, points: int) -> None:
        option = self._item.config.option
        if option.crash_at:
            self._try(option.crash_at)
            return
        for point in range(1, points + 1):
            life = self._try((point,))
            if option.crash_every_pair:
                for second in range(1, 2 * life.last_records + 1):
                    self._try((point, second))

    def _try(self, deaths: tuple[int, ...]) -> Life:
        life, reports = self._play(deaths)
        self._counts["points"] += 1
        self._counts["waits"] += life.waits
        self._counts["unreached"] += life.lived < len(deaths)
        wrong = [f"{report.when} failed:\n{_indented(report.longreprtext)}" for report in reports if report.failed]
        if not wrong and life.store is not None and not life.waits:
            now = seen(life.store, life.effects)
            wrong = now.differences(self._calm, results=self._compare_results)
            if wrong and self._compare_results and now.runs != self._calm.runs and not self._is_repeatable():
                self._compare_results = False
                wrong = now.differences(self._calm, results=False)
        if wrong:
            self._found.append((deaths, wrong))
        return life

    def _is_repeatable(self) -> bool:
        """Tell whether the undisturbed test leaves the same each time: a result with a clock's time in it is not."""
        life, _ = self._play(())
        return life.store is not None and seen(life.store, life.effects).runs == self._calm.runs

    def _play(self, deaths: tuple[int, ...]) -> tuple[Life, list[pytest.TestReport]]:
        life = self._item.stash[_life] = Life(deaths)
        return life, runtestprotocol(self._item, log=False, nextitem=self._nextitem)

    def _told(self) -> str:
        found = self._found
        places = self._counts["points"]
        lines = [f"{len(found)} of {places} crash points changed what the test leaves behind:", ""]
        for deaths, wrong in found[:_LISTED]:
            first, *more = deaths
            place = f"crash point {first} ({describe_point(first, self._calm_store)})"
            place += "".join(f", then {point} of the second life" for point in more)
            lines += [f"{place}:", *(_indented(one) for one in wrong)]
            numbers = ",".join(str(point) for point in deaths)
            lines += [f"  only this one: {_program()} {self._item.nodeid!r} --crash-at={numbers}", ""]
        if len(found) > _LISTED:
            lines.append(f"… and {len(found) - _LISTED} more")
        return "\n".join(lines).rstrip()


def _why_not(item: pytest.Item, life: Life) -> str:
    if inspect.iscoroutinefunction(getattr(item, "obj", None)):
        return "is asynchronous; write it as a plain function that calls regrow.run"
    if life.store is not None and life.store.deaths:
        return "plays a death of its own"
    return ""


# -- telling -----------------------------------------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how much was tried."""
    reports = [
        one
        for outcome in ("passed", "failed")
        for one in terminalreporter.stats.get(outcome, ())
        if getattr(one, "when", "") == "call"
    ]
    properties = [(one.nodeid, *pair) for one in reports for pair in one.user_properties]
    counts = [counted for _, name, counted in properties if name == _COUNTS]
    if counts:
        total = {name: sum(one[name] for one in counts) for name in counts[0]}
        failed = sum(one.failed for one in reports if any(name == _COUNTS for name, _ in one.user_properties))
        line = f"regrow: {len(counts)} test{'s' * (len(counts) != 1)}, {total['points']} crash points, {failed} failed"
        if total["waits"]:
            line += f"; at {total['waits']} a once=True call waits to be told its outcome (reconcile= would tell)"
        if total["unreached"]:
            line += f"; {total['unreached']} did not come, as the run recorded less than it did undisturbed"
        terminalreporter.write_line(line)
    for nodeid, name, why in properties:
        if name == "regrow_no_crash_points":
            terminalreporter.write_line(f"regrow: {nodeid} was run once only: it {why}")


def _life_of(node: Any) -> Life:
    life: Life = node.stash.setdefault(_life, Life())
    return life


def _deaths(text: str) -> tuple[int, ...]:
    points = tuple(int(one) for one in text.split(","))
    if not all(point > 0 for point in points):
        raise ValueError(text)
    return points


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _program() -> str:
    return "pytest" if Path(sys.argv[0]).stem == "pytest" else "python -m pytest"
