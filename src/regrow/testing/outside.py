"""What is outside of a process, and goes on when that dies: the model that was asked, and the faults that have struck.

A played death runs a test's body again from its start, and the body makes its models and faults anew. But a real
service does not forget what it has answered because its caller died. So the state of what a body makes is kept by the
order in which it is made, and whoever is made in the same place in a later life takes it up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar, cast

S = TypeVar("S")


class Outside:
    """The outside world of one process and its successors."""

    def __init__(self) -> None:
        """Be empty, before the first life."""
        self._states: dict[tuple[str, int], Any] = {}
        self._made: dict[str, int] = {}

    @contextmanager
    def one_life(self) -> Iterator[None]:
        """Be the world around what runs in the block: one life of the process."""
        self._made.clear()
        token = _around.set(self)
        try:
            yield
        finally:
            _around.reset(token)

    def take_up(self, kind: str, make: Callable[[], S]) -> S:
        """Give the state of what stands in this place, from an earlier life if there was one."""
        place = self._made[kind] = self._made.get(kind, 0) + 1
        return cast("S", self._states.setdefault((kind, place), make()))


_around: ContextVar[Outside | None] = ContextVar("regrow-testing-outside", default=None)


def take_up(kind: str, make: Callable[[], S]) -> S:
    """Give the state that something of this kind goes on from; a new one where no death is played."""
    world = _around.get()
    return make() if world is None else world.take_up(kind, make)
