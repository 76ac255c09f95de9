"""Matching calls with records: by path and inputs, then by inputs alone, and never by guessing."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from regrow.engine.branches import Branch
from regrow.engine.replay import Match, Replay
from regrow.engine.state import CallState, RunState
from regrow.journal.records import Call, CallCancelled, CallFailed, CallSucceeded

SCOPE = "agent#1"


def recorded(*calls, outcome=CallSucceeded, detour=None):
    """Make a state of calls: each a path below the agent with its digest, position and place."""
    state = RunState()
    known = []
    for seq, (path, digest, position) in enumerate(calls, start=3):
        call = Call(f"{SCOPE}/{path}", "step", position, digest)
        known.append(CallState(call, seq, outcome=outcome(call, 1, 0.0, b"")))
    state.take_over(known, seq=100, detour=detour)
    return state


class Code:
    """Makes calls, as a body does, and asks what is recorded of them."""

    def __init__(self, state):
        self.state = state
        self.replay = Replay(state)
        self.main = Branch(SimpleNamespace(path=SCOPE), f"{SCOPE}/")

    def call(self, name, digest=b"d", branch=None):
        branch = branch or self.main
        path, position = branch.place(name)
        invocation = SimpleNamespace(branch=branch, path=path, position=position)
        return self.replay.match(invocation, digest)

    def passed_over(self):
        return self.replay.passed_over(SCOPE)


def test_where_nothing_is_recorded_every_call_is_new():
    code = Code(recorded())
    assert code.call("a") == Match("agent#1/a#1")
    assert code.call("a") == Match("agent#1/a#2")
    assert code.passed_over() == []


def test_the_same_code_finds_its_calls_and_misses_none():
    state = recorded(("a#1", b"1", 1), ("b#1", b"2", 2), ("~work#1/a#1", b"3", 1))
    code = Code(state)
    for name, digest in (("a", b"1"), ("b", b"2")):
        path = f"agent#1/{name}#1"
        assert code.call(name, digest) == Match(path, state.calls[path])
    assert code.call("a", b"3", code.main.fork("work")) == Match(
        "agent#1/~work#1/a#1", state.calls["agent#1/~work#1/a#1"]
    )
    assert code.passed_over() == []


def test_a_call_with_other_inputs_is_new_and_has_parted():
    code = Code(recorded(("a#1", b"old", 1)))
    match = code.call("a", b"new")
    assert (match.path, match.known) == ("agent#1/a#1!2", None)
    assert "recorded with other inputs" in match.parted


def test_each_call_that_has_parted_gets_a_path_that_nobody_has():
    code = Code(recorded(("a#1", b"old", 1), ("a#1!2", b"older", 1)))
    assert code.call("a", b"new").path == "agent#1/a#1!3"


def test_calls_that_were_moved_are_found_by_their_inputs_each_once():
    state = recorded(("a#1", b"1", 1), ("a#2", b"1", 2), ("a#3", b"2", 3))
    code = Code(state)
    assert code.call("a", b"2").known is state.calls["agent#1/a#3"]
    assert code.call("a", b"1").known is state.calls["agent#1/a#2"]  # it stands there itself
    assert code.call("a", b"1").known is state.calls["agent#1/a#1"]
    assert code.call("a", b"1").known is None


def test_a_moved_call_is_not_looked_for_under_another_name_or_on_another_strand():
    code = Code(recorded(("b#1", b"1", 1), ("~work#1/a#1", b"1", 1)))
    match = code.call("a", b"1")
    assert (match.path, match.known) == ("agent#1/a#1", None)
    assert match.parted == "the journal has agent#1/b#1 in its place"


def test_a_new_call_where_nothing_stood_has_not_parted():
    code = Code(recorded(("a#1", b"1", 1)))
    assert code.call("a", b"1").known is not None
    assert code.call("b", b"1") == Match("agent#1/b#1")


def test_a_new_call_in_the_place_of_one_that_was_made_elsewhere_has_not_parted():
    code = Code(recorded(("a#1", b"1", 1), ("b#1", b"2", 2)))
    code.call("b", b"2")
    code.call("a", b"1")
    assert code.call("c").parted is None


@pytest.mark.parametrize("outcome", [CallFailed, lambda call, *rest: CallCancelled(call, 1, 0.0)])
def test_beside_a_call_that_failed_or_was_given_up_on_what_is_missing_proves_nothing(outcome):
    state = recorded(("a#1", b"1", 1), ("b#1", b"2", 2))
    call = state.calls["agent#1/b#1"].call
    state.calls["agent#1/b#1"].outcome = outcome(call, 1, 0.0, None)
    code = Code(state)
    assert code.call("c").parted is None
    assert code.passed_over() == []
    calm = Code(recorded(("a#1", b"1", 1), ("b#1", b"2", 2)))
    assert calm.call("c").parted is not None
    assert calm.passed_over() == ["agent#1/a#1", "agent#1/b#1"]


def test_a_call_that_the_code_has_not_made_before_a_later_one_is_skipped():
    code = Code(recorded(("a#1", b"1", 1), ("b#1", b"2", 2), ("c#1", b"3", 3)))
    assert code.call("b", b"2").skipped == "agent#1/a#1"
    assert code.call("c", b"3").skipped == "agent#1/a#1"
    assert code.call("a", b"1").skipped is None


def test_a_call_that_was_made_under_another_path_is_not_skipped():
    code = Code(recorded(("a#1", b"1", 1), ("b#1", b"2", 2), ("c#1", b"3", 3)))
    code.call("b", b"2")
    code.call("a", b"1")
    assert code.call("c", b"3").skipped is None


def test_only_calls_of_the_same_strand_are_skipped():
    code = Code(recorded(("~work#1/a#1", b"1", 1), ("a#1", b"2", 1), ("b#1", b"3", 3)))
    code.call("a", b"2")
    assert code.call("b", b"3").skipped is None


def test_a_call_of_a_strand_beside_is_not_skipped_though_their_paths_are_as_long():
    code = Code(recorded(("~x#1/a#1", b"1", 1), ("~w#1/b#1", b"2", 2)))
    assert code.call("b", b"2", code.main.fork("w")).skipped is None


def test_a_call_that_was_taken_for_another_one_is_not_skipped():
    code = Code(recorded(("a#1", b"1", 1), ("a#2", b"2", 2), ("b#1", b"3", 3)))
    assert code.call("a", b"2").path == "agent#1/a#2"
    assert code.call("b", b"3").skipped is None


def test_a_call_that_stands_later_is_not_skipped_though_it_was_recorded_first():
    code = Code(recorded(("c#1", b"3", 3), ("b#1", b"2", 2)))
    assert code.call("b", b"2").skipped is None


def test_a_call_whose_turn_has_come_already_with_other_inputs_is_not_skipped():
    code = Code(recorded(("a#1", b"old", 1), ("b#1", b"2", 3)))
    code.call("a", b"new")
    assert code.call("b", b"2").skipped is None


def test_calls_that_had_parted_themselves_are_not_skipped():
    code = Code(recorded(("a#1!2", b"1", 1), ("b#1", b"2", 2)))
    assert code.call("b", b"2").skipped is None


def test_a_call_that_stands_where_it_stood_or_earlier_skips_nothing():
    code = Code(recorded(("b#1", b"2", 1), ("a#1", b"1", 2)))
    code.call("x")
    assert code.call("b", b"2").skipped is None


def test_where_another_call_was_made_in_its_place_a_call_is_named_once_and_not_again_as_skipped():
    code = Code(recorded(("a#1", b"1", 1), ("b#1", b"2", 2)))
    assert "agent#1/a#1 in its place" in code.call("x").parted
    assert code.call("b", b"2").skipped is None


def test_the_code_has_gone_past_the_calls_that_it_has_not_made_before_later_ones_of_their_strand():
    calls = [("a#1", b"1", 1), ("b#1", b"2", 2), ("c#1", b"3", 3), ("d#1", b"4", 4), ("~work#1/a#1", b"5", 1)]
    code = Code(recorded(*calls))
    assert code.replay.gone_past() == []
    code.call("a", b"1")
    assert code.replay.gone_past() == []
    code.call("c", b"3")
    assert code.replay.gone_past() == ["agent#1/b#1"]
    code.call("b", b"2")
    assert code.replay.gone_past() == []


def test_the_code_has_not_gone_past_a_call_in_whose_place_it_has_made_the_one_that_took_its_place_before():
    code = Code(recorded(("a#1", b"old", 1), ("a#1!2", b"new", 1)))
    assert code.call("a", b"new").path == "agent#1/a#1!2"
    assert code.replay.gone_past() == []


def test_beside_a_call_that_failed_the_code_has_gone_past_nothing():
    code = Code(recorded(("a#1", b"1", 1), ("b#1", b"2", 2), outcome=CallFailed))
    code.call("b", b"2")
    assert code.replay.gone_past() == []


def test_what_regrow_itself_had_asked_about_a_call_is_not_missed_in_its_body():
    code = Code(recorded(("a#1", b"1", 1), ("~approve/ask#1", b"2", 1)))
    code.call("a", b"1")
    assert code.passed_over() == []


def test_calls_recorded_after_a_failure_that_was_taken_back_are_not_missed():
    code = Code(recorded(("a#1", b"1", 1), ("b#1", b"2", 2), ("c#1", b"3", 3), detour=4))
    code.call("x")
    assert code.passed_over() == ["agent#1/a#1", "agent#1/b#1"]


def test_what_was_made_before_a_checkpoint_counts_as_made():
    code = Code(recorded(("a#1", b"1", 1), ("b#1", b"2", 2), ("c#1", b"3", 3)))
    code.replay.claim_until(SCOPE, 4)
    assert code.passed_over() == ["agent#1/c#1"]
    late = Code(recorded(("a#1", b"1", 1), ("b#1", b"2", 2)))
    late.call("a", b"1")
    late.replay.claim_until(SCOPE, 4)
    assert late.passed_over() == []
    ahead = Code(recorded(("a#1", b"1", 1), ("b#1", b"2", 2), ("c#1", b"3", 3)))
    ahead.call("c", b"3")
    ahead.replay.claim_until(SCOPE, 4)
    assert ahead.passed_over() == []


def test_a_new_attempt_meets_everything_again_and_another_scope_is_left_as_it_was():
    state = recorded(("a#1", b"1", 1))
    inner = Call("agent#1/task#1/a#1", "step", 1, b"2")
    beside = Call("agent#10/a#1", "step", 1, b"3")
    state.take_over([CallState(inner, 20), CallState(beside, 21)], seq=100, detour=None)
    code = Code(state)
    scopes = {path: Branch(SimpleNamespace(path=path), f"{path}/") for path in ("agent#1/task#1", "agent#10")}
    assert code.call("a", b"1").known is not None
    for branch, digest in zip(scopes.values(), (b"2", b"3"), strict=True):
        assert code.call("a", digest, branch).known is not None
    code.replay.forget(SCOPE)
    again = Branch(SimpleNamespace(path=SCOPE), f"{SCOPE}/")
    inner_again, beside_again = (Branch(SimpleNamespace(path=path), f"{path}/") for path in scopes)
    assert code.call("a", b"1", again).known is not None
    assert code.call("a", b"2", inner_again).known is not None
    assert code.call("a", b"3", beside_again).known is None
