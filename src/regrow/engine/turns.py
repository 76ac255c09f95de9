"""Turns: giving recorded outcomes to concurrent code in the order in which it got them first.

When a run is resumed, every recorded call could be answered at once. Code that races its calls against each other
(``as_completed``, ``wait(FIRST_COMPLETED)``, a task group that cancels the rest at the first failure) would then see
another winner than it did. So an outcome waits until every earlier one has been given, and until the code has had a few
turns of the event loop to act on it.

The outcome of a call that is executed now comes after all that were recorded: however quick it is this time, what was
recorded had been first.

If an earlier one is not asked for in as much time as the code once took to get there, the code has been edited, and the
outcome is given all the same. That time is counted in small pieces, so that a process which stands still for a while
(a stopped machine, a closed lid, a slow disk) has lost one of them and not its patience. Code that runs on a single
strand asks in the recorded order, and never waits.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections import deque
from typing import Any

from regrow.engine.state import CallState, RunState, enclosing
from regrow.journal.records import CallFailed, CallSucceeded

_TURNS_TO_ACT = 8
"""Turns of the loop between two outcomes: as many as it takes asyncio's own helpers to pass one on."""

_LONGEST_WAIT = 60.0
"""Seconds after which edited code is recognised at the latest."""

_PIECES = 16
"""Into how many pieces a wait is cut; a process that stands still loses no more than one of them."""


class Turns:
    """The outcomes that were recorded before this life of a run began, in order, and which of them were given."""

    def __init__(self, state: RunState) -> None:
        """Set out from what is known when the run is taken up."""
        left = _outcomes_to_give(state)
        self._left = deque(call.seq for call in left)
        self._patience = max((call.patience for call in left), default=0.0)
        # What was recorded after a failure that is taken back may never be asked for again.
        self._now: float = math.inf if state.detour is None else state.detour
        self._executed = itertools.count(1)
        self._given: set[int] = set()
        self._strands: set[asyncio.Task[Any]] = set()
        self._waiting: dict[float, asyncio.Future[None]] = {}
        self._moving_on = False

    def note_strand(self, task: asyncio.Task[Any]) -> None:
        """Note that the code runs on one more strand, until that ends."""
        if self._left:
            self._strands.add(task)
            task.add_done_callback(self._strands.discard)

    def is_out_of_turn(self, seq: int) -> bool:
        """Tell whether the outcome recorded at `seq` has to wait for others."""
        if not self._left or seq <= self._left[0]:
            return False
        if self._strands:
            return True
        self._give_up_before(seq)
        return False

    def give(self, seq: int) -> None:
        """Note that the outcome recorded at `seq` is given now. May be called from any thread."""
        if not self._left or seq < self._left[0]:
            return
        self._given.add(seq)
        while self._left and self._left[0] in self._given:
            self._given.remove(self._left.popleft())
        self._let_the_next_go()

    def _let_the_next_go(self) -> None:
        for waiting in list(self._waiting.values())[:1]:
            if not self._moving_on:
                self._moving_on = True
                waiting.get_loop().call_soon_threadsafe(self._move_on, _TURNS_TO_ACT)

    async def wait_for(self, seq: float, seconds: float) -> None:
        """Wait until all outcomes recorded before `seq` have been given; at most so many seconds."""
        turn = self._waiting[seq] = asyncio.get_running_loop().create_future()
        left = min(seconds, _LONGEST_WAIT)
        piece = left / _PIECES
        try:
            while left > 0 and not turn.done():
                await asyncio.wait((turn,), timeout=piece)
                left -= piece
            if not turn.done():
                self._give_up_before(seq)
        finally:
            del self._waiting[seq]

    def is_ahead(self) -> bool:
        """Tell whether an outcome that has just come about would overtake recorded ones."""
        return bool(self._left) and self._left[0] < self._now and bool(self._strands)

    async def wait_for_recorded(self, grace: float) -> None:
        """Let all recorded outcomes be given first; at most for as long as the code once took to get there.

        Args:
            grace: seconds to wait beyond that.
        """
        place = min(self._now, _AFTER_ALL) + next(self._executed) * _APART
        try:
            await self.wait_for(place, self._patience + grace)
        finally:
            self._let_the_next_go()  # this outcome is not among those that are given, so nobody else would

    def _give_up_before(self, seq: float) -> None:
        """Wait no more for outcomes that nobody asks for."""
        while self._left and self._left[0] < seq:
            self._given.discard(self._left.popleft())

    def _move_on(self, turns: int) -> None:
        """Wake whoever is next, some turns of the loop from now."""
        if turns:
            asyncio.get_running_loop().call_soon(self._move_on, turns - 1)
            return
        self._moving_on = False
        earliest = min(self._waiting, default=None)
        if earliest is not None and (not self._left or earliest <= self._left[0]):
            waiting = self._waiting[earliest]
            if not waiting.done():
                waiting.set_result(None)


_AFTER_ALL = float(2**40)
"""A place after any that a run can have."""
_APART = 2.0**-12
"""What keeps outcomes of one place apart, while they wait for it."""


def _outcomes_to_give(state: RunState) -> list[CallState]:
    """Give the calls, in order, with the outcomes that the code will ask for, and of which it may make something.

    Those inside of a call that has an outcome itself are not asked for. Those of an attempt that failed were given in
    that attempt; the next one asks for them whenever it begins.
    """
    asked_from: dict[str, float] = {"": 0}
    """For each scope, from which place on its outcomes count."""

    def counts_from(path: str) -> float:
        chain = []
        while path not in asked_from:
            chain.append(path)
            path = enclosing(path)
        bound = asked_from[path]
        for one in reversed(chain):
            call = state.calls.get(one)
            if call is not None:
                bound = math.inf if call.outcome is not None else max(bound, call.stumbled)
            asked_from[one] = bound
        return bound

    asked = [
        call
        for path, call in state.calls.items()
        if isinstance(call.outcome, CallSucceeded | CallFailed) and call.seq > counts_from(enclosing(path))
    ]
    return sorted(asked, key=lambda call: call.seq)
