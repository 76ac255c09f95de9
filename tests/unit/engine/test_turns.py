"""Who waits for the outcomes that were recorded, and who is let go once they are given."""

from __future__ import annotations

import asyncio

import pytest

from regrow.engine.state import CallState, RunState
from regrow.engine.turns import Turns
from regrow.journal.records import Call, CallSucceeded


def with_one_recorded(seq):
    call = Call("agent#1/~strand#1/do#1", "step", 1, b"")
    state = RunState()
    state.calls[call.path] = CallState(call, seq, outcome=CallSucceeded(call, 1, 0.0, b""))
    return state


@pytest.mark.promise("P4")
def test_all_that_came_about_while_an_older_outcome_was_missing_go_on_once_it_is_given():
    async def resume():
        turns = Turns(with_one_recorded(4))
        turns.note_strand(asyncio.current_task())
        waiting = [asyncio.create_task(turns.wait_for_recorded(3600.0)) for _ in range(3)]
        await asyncio.sleep(0)
        turns.give(4)
        async with asyncio.timeout(2.0):
            await asyncio.gather(*waiting)

    asyncio.run(resume())
