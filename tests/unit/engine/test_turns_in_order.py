"""Turns: which recorded outcomes are given in order, who has to wait for which, and for how long at the most."""

from __future__ import annotations

import asyncio

import pytest

from regrow.engine import turns as module
from regrow.engine.state import CallState, RunState
from regrow.engine.turns import Turns, _outcomes_to_give
from regrow.journal.records import AttemptFailed, Call, CallCancelled, CallFailed, CallStarted, CallSucceeded


def recorded(**calls):
    """Make a state: for each name of a path its place and its kind of outcome, and what else is known."""
    state = RunState()
    for _, (path, seq, kind, *more) in calls.items():
        call = Call(path, "step", 1, b"")
        outcome = None if kind is None else kind(call, 1, 0.0, b"") if kind is CallSucceeded else kind(call, 1, 0.0)
        state.calls[path] = CallState(call, seq, outcome=outcome, **(more[0] if more else {}))
    return state


def failed(call, attempt, started):
    return CallFailed(call, attempt, started, None)


def done(*seqs, patience=0.0, detour=None):
    state = recorded(
        **{f"c{seq}": (f"agent#1/step#{seq}", seq, CallSucceeded, {"patience": patience + seq}) for seq in seqs}
    )
    state.detour = detour
    return state


def left(turns):
    return list(turns._left)


# -- which -------------------------------------------------------------------------------------------------------------


def test_results_and_failures_are_given_in_the_order_in_which_they_were_recorded():
    state = recorded(
        later=("agent#1/later#1", 9, CallSucceeded),
        failure=("agent#1/failure#1", 5, failed),
        first=("agent#1/first#1", 3, CallSucceeded),
        given_up=("agent#1/given_up#1", 4, CallCancelled),
        begun=("agent#1/begun#1", 6, None),
        agent=("agent#1", 2, None),
    )
    assert [call.seq for call in _outcomes_to_give(state)] == [3, 5, 9]


@pytest.mark.parametrize("kind", [CallSucceeded, failed, CallCancelled])
def test_what_lies_inside_of_a_call_that_has_an_outcome_is_not_asked_for_however_deep(kind):
    state = recorded(
        agent=("agent#1", 2, None),
        over=("agent#1/over#1", 20, kind),
        inside=("agent#1/over#1/inside#1", 4, CallSucceeded),
        deeper=("agent#1/over#1/begun#1/deeper#1", 5, CallSucceeded),
        begun=("agent#1/over#1/begun#1", 3, None),
        beside=("agent#1/beside#1", 6, CallSucceeded),
    )
    seqs = [call.seq for call in _outcomes_to_give(state)]
    assert seqs == [6] if kind is CallCancelled else seqs == [6, 20]


def test_what_an_attempt_was_given_that_failed_is_not_given_in_order_again():
    state = recorded(
        agent=("agent#1", 2, None),
        tried=("agent#1/tried#1", 10, None, {"stumbled": 10}),
        before=("agent#1/tried#1/before#1", 9, CallSucceeded),
        after=("agent#1/tried#1/after#1", 11, CallSucceeded),
        inner=("agent#1/tried#1/inner#1", 8, None, {"stumbled": 5}),
        deep=("agent#1/tried#1/inner#1/deep#1", 7, CallSucceeded),
        deep_after=("agent#1/tried#1/inner#1/deep#2", 12, CallSucceeded),
        strand=("agent#1/tried#1/~work#1/strand#1", 10, CallSucceeded),
    )
    assert [call.seq for call in _outcomes_to_give(state)] == [11, 12]


def test_a_run_without_an_announced_root_has_its_first_outcome_counted_too():
    assert [call.seq for call in _outcomes_to_give(recorded(only=("agent#1/step#1", 1, CallSucceeded)))] == [1]


# -- who ---------------------------------------------------------------------------------------------------------------


def on_strands(state, test):
    """Run a test on a loop, with one strand of the code noted."""

    went_wrong = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: went_wrong.append(context))
        turns = Turns(state)
        turns.note_strand(asyncio.current_task())
        return await test(turns)

    found = asyncio.run(main())
    assert went_wrong == []
    return found


def test_code_on_a_single_strand_never_waits_and_what_it_passes_over_is_given_up():
    turns = Turns(done(3, 5, 9))
    assert [turns.is_out_of_turn(seq) for seq in (3, 9, 5)] == [False, False, False]
    assert left(turns) == [9]


def test_on_several_strands_whoever_is_not_next_waits():
    async def test(turns):
        assert [turns.is_out_of_turn(seq) for seq in (2, 3, 5, 9)] == [False, False, True, True]
        turns.give(3)
        assert [turns.is_out_of_turn(seq) for seq in (3, 5, 9)] == [False, False, True]

    on_strands(done(3, 5, 9), test)


def test_outcomes_may_be_given_in_another_order_and_count_when_it_is_their_turn():
    turns = Turns(done(3, 5, 9))
    turns.give(5)
    assert left(turns) == [3, 5, 9]
    turns.give(3)
    assert left(turns) == [9]
    turns.give(3)
    assert left(turns) == [9]
    turns.give(9)
    turns.give(9)
    assert left(turns) == []
    assert not turns.is_out_of_turn(100)


def test_a_strand_counts_until_it_ends_and_only_while_outcomes_are_left():
    async def test(turns):
        strand = asyncio.create_task(asyncio.sleep(0))
        turns.note_strand(strand)
        assert strand in turns._strands
        await strand
        await asyncio.sleep(0)
        assert strand not in turns._strands
        turns.give(3)
        turns.note_strand(asyncio.create_task(asyncio.sleep(0)))
        assert len(turns._strands) == 1

    on_strands(done(3), test)


def test_what_is_new_is_ahead_while_recorded_outcomes_are_left_that_somebody_may_ask_for():
    async def test(turns):
        return turns.is_ahead()

    assert on_strands(done(3, 5), test)
    assert not on_strands(done(), test)
    assert not Turns(done(3, 5)).is_ahead()


@pytest.mark.parametrize(("detour", "ahead"), [(2, False), (3, False), (4, True)])
def test_what_was_recorded_after_a_failure_that_is_taken_back_holds_nobody_up(detour, ahead):
    async def test(turns):
        return turns.is_ahead()

    assert on_strands(done(3, 5, detour=detour), test) is ahead


# -- how long ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pieces(monkeypatch):
    """Let every wait run out at once, and give how long each was to be."""
    waits = []

    async def wait(futures, timeout=None):
        waits.append(timeout)
        assert len(waits) < 100

    monkeypatch.setattr(module.asyncio, "wait", wait)
    return waits


@pytest.mark.parametrize(("seconds", "in_all"), [(8.0, 8.0), (3600.0, 60.0)])
def test_a_wait_is_cut_into_sixteen_pieces_and_is_a_minute_at_the_most(pieces, seconds, in_all):
    async def test(turns):
        await turns.wait_for(9, seconds)
        assert left(turns) == [9, 12]
        assert turns._waiting == {}

    on_strands(done(3, 5, 9, 12), test)
    assert pieces == [in_all / 16] * 16


def test_who_waits_in_vain_gives_up_on_what_nobody_asked_for_and_not_on_what_comes_after():
    async def test(turns):
        turns.give(5)
        await turns.wait_for(7, 0.01)
        assert left(turns) == [9]
        assert turns._given == set()

    on_strands(done(3, 5, 9), test)


def test_who_does_not_wait_at_all_gives_up_at_once(pieces):
    async def test(turns):
        await turns.wait_for(5, 0.0)
        assert left(turns) == [5]

    on_strands(done(3, 5), test)
    assert pieces == []


def test_a_wait_ends_when_the_earlier_outcomes_are_given_and_gives_up_on_none():
    async def test(turns):
        waiting = asyncio.create_task(turns.wait_for(9, 3600.0))
        await asyncio.sleep(0)
        turns.give(3)
        for _ in range(30):
            await asyncio.sleep(0)
        assert not waiting.done()
        turns.give(5)
        async with asyncio.timeout(20):
            await waiting
        assert left(turns) == [9]
        assert turns._waiting == {}

    on_strands(done(3, 5, 9), test)


def test_the_code_has_eight_turns_of_the_loop_to_act_on_an_outcome_before_the_next_is_given():
    async def test(turns):
        waiting = asyncio.create_task(turns.wait_for(5, 3600.0))
        await asyncio.sleep(0)
        turns.give(3)
        taken = 0
        while not turns._waiting[5].done():
            await asyncio.sleep(0)
            taken += 1
            assert taken < 100
        await waiting
        return taken

    assert on_strands(done(3, 5), test) == 9  # the call that counts them comes in between


def test_the_code_has_as_many_turns_to_act_on_each_outcome_also_where_several_were_given_meanwhile():
    gave = {}

    async def strand(turns, seq, clock):
        await turns.wait_for(seq, 3600.0)
        gave[seq] = clock["turns"]
        turns.give(seq)

    async def test(turns):
        clock = {"turns": 0}
        strands = [asyncio.create_task(strand(turns, seq, clock)) for seq in (7, 9)]
        await asyncio.sleep(0)
        for turn in range(100):
            if turn in (0, 4):  # the second outcome is given while the code still acts on the first
                turns.give(3 if turn == 0 else 5)
            await asyncio.sleep(0)
            clock["turns"] += 1
        await asyncio.gather(*strands)

    on_strands(done(3, 5, 7, 9), test)
    assert gave[9] - gave[7] >= module._TURNS_TO_ACT


def test_of_those_that_wait_the_earliest_goes_on_first():
    order = []

    async def strand(turns, seq):
        await turns.wait_for(seq, 3600.0)
        order.append(seq)
        turns.give(seq)

    async def test(turns):
        strands = [asyncio.create_task(strand(turns, seq)) for seq in (12, 5, 9)]
        await asyncio.sleep(0)
        turns.give(3)
        async with asyncio.timeout(20):
            await asyncio.gather(*strands)

    on_strands(done(3, 5, 9, 12), test)
    assert order == [5, 9, 12]


def test_an_outcome_that_is_given_when_nobody_waits_any_more_wakes_nobody():
    async def test(turns):
        waiting = asyncio.create_task(turns.wait_for(9, 3600.0))
        await asyncio.sleep(0)
        waiting.cancel()
        turns.give(3)
        for _ in range(30):
            await asyncio.sleep(0)
        assert waiting.cancelled()
        again = asyncio.create_task(turns.wait_for(9, 3600.0))
        await asyncio.sleep(0)
        turns.give(5)
        async with asyncio.timeout(20):
            await again

    on_strands(done(3, 5, 9), test)


def test_what_is_executed_now_waits_its_patience_and_a_grace_and_comes_after_all_that_is_recorded():
    async def test(turns):
        places = []

        async def wait_for(place, seconds):
            places.append((place, seconds))

        turns.wait_for = wait_for
        await turns.wait_for_recorded(1.0)
        await turns.wait_for_recorded(2.0)
        return places

    (first, seconds), (second, more) = on_strands(done(3, 5, patience=10.0), test)
    assert 5 < first < second
    assert (seconds, more) == (16.0, 17.0)
    (first, _), (second, _) = on_strands(done(3, 5, 9, detour=4), test)
    assert 4 < first < second < 5
    (_, seconds), _ = on_strands(done(), test)
    assert seconds == 1.0
    (first, _), _ = on_strands(done(3, 10**9), test)
    assert first > 10**9


def test_records_that_are_no_outcomes_hold_nobody_up():
    state = done(3)
    call = Call("agent#1/step#9", "step", 9, b"")
    state.calls[call.path] = CallState(call, 9, begun=CallStarted(call, 1))
    state.calls[call.path].attempts = (AttemptFailed(call, 1, 0.0, None, 0.0),)
    assert left(Turns(state)) == [3]
