"""Every shape of workflow, killed before and after every record that it has: nothing that can be seen may differ.

`REGROW_CRASH_PAIRS=1` kills the resumed run a second time, at every place after the first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import msgspec
import pytest

import regrow
from regrow.engine.invariants import check_run
from regrow.testing import Crash, Effects, MortalStore, SimulatedWorld, WorldFailed
from regrow.testing.crash_points import Seen, describe_point, seen

from . import worker_shapes
from .crash_shapes import SHAPES, Book
from .lives import live, outcome

_PAIRS = bool(os.environ.get("REGROW_CRASH_PAIRS"))


class Figures(msgspec.Struct):
    """What one shape came to: in how many ways it died once, and twice, and in how many of them something differed."""

    shape: str
    singles: int = 0
    pairs: int = 0
    violations: list[str] = msgspec.field(default_factory=list)

    def count(self, points, deaths):
        """Count a plan if all of its deaths came; a second one may lie beyond the end."""
        self.singles += len(points) == deaths == 1
        self.pairs += len(points) == deaths == 2


def one_life(shape, store, effects) -> bool:
    """Run a shape until it ends or its process dies; tell whether it died."""
    Book.effects = effects
    deaths = store.deaths
    with contextlib.suppress(Crash):
        outcome(lambda: live(shape, store=store))
    return store.deaths > deaths


def after_deaths(shape, points) -> tuple[Seen, MortalStore]:
    """Run a shape to its end, through a death at each of these points."""
    store, effects = MortalStore(), Effects()
    for point in points:
        store.die_at(point)
        if not one_life(shape, store, effects):
            break
        store.revive()
        effects.died(store)
    one_life(shape, store, effects)
    return seen(store, effects), store


def problems(shape, calm, points, count=lambda points, deaths: None) -> list[str]:
    left, store = after_deaths(shape, points)
    count(points, store.deaths)
    run = store.runs()[0].id
    records = store.records(run)
    found = [*left.differences(calm), *(f"{one.rule}: {one.text}" for one in check_run(records))]
    found += [f"it diverged: {record.event}" for record in records if type(record.event).__name__ == "Diverged"]
    where = ", then ".join(
        describe_point(point, store) if at == 0 else f"at point {point}" for at, point in enumerate(points)
    )
    return [f"killed {where}: {problem}" for problem in found]


def plans(appended: int) -> Iterator[tuple[int, ...]]:
    for point in range(1, 2 * appended + 1):
        yield (point,)
        if _PAIRS:
            # Of the resumed run: it appends no more than all of it once more, and a record for being opened.
            yield from ((point, second) for second in range(1, 2 * appended + 3))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # a thread of a dead process
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
@pytest.mark.promise("P2", "P4", "P8")
def test_a_death_at_any_point_changes_nothing(shape, figures):
    calm, store = after_deaths(shape, ())
    assert store.appended > 3
    tried = Figures(shape.name)
    for points in plans(store.appended):
        tried.violations += problems(shape, calm, points, tried.count)
    figures(tried)
    assert tried.violations == []


def test_there_are_more_than_thirty_shapes():
    assert len({shape.name for shape in SHAPES}) + len(worker_shapes.SHAPES) >= 30


@pytest.mark.control
def test_an_effect_outside_of_steps_is_found():
    @regrow.task
    async def careless() -> None:
        Book.effects.note("mail")
        await regrow.sleep(0)
        await regrow.sleep(0)

    calm, store = after_deaths(careless, ())
    assert any("'mail'" in problem for points in plans(store.appended) for problem in problems(careless, calm, points))


# -- with workers, in a simulated world --------------------------------------------------------------------------------


def world_of(shape, deaths=()) -> SimulatedWorld:
    world = SimulatedWorld(1, faults=())
    world.deaths += deaths
    world.run(shape, key=shape.name, expected=worker_shapes.SHAPES[shape])
    world.play()
    return world


@pytest.mark.parametrize("shape", worker_shapes.SHAPES, ids=lambda shape: shape.name)
@pytest.mark.promise("P2", "P8")
def test_a_death_of_a_driver_with_workers_changes_nothing(shape, figures):
    calm = world_of(shape)
    usual = Counted(calm)
    tried = Figures(shape.name)
    for points in plans(calm.appended):
        point, *more = points
        try:
            world = world_of(shape, [point, *(point + one for one in more)])
        except WorldFailed as failure:
            tried.violations.append(f"killed at point {point}: {failure}")
            continue
        deaths = sum(times for what, times in world.reached.items() if what.startswith("a crash "))
        tried.count(points, deaths)
        # What was lost in the crash is done again; what was not is there, once.
        if Counted(world).names != usual.names or deaths < 1:
            tried.violations.append(f"killed at point {point}: {Counted(world).names ^ usual.names} differ")
    figures(tried)
    assert tried.violations == []


class Counted:
    """The effects of a world, by what they are."""

    def __init__(self, world):
        self.names = {(path, label) for _, path, label in world.witness.effects}
