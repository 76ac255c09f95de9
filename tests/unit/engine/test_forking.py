"""What a fork takes over of a run, record by record, and what it is not made of."""

from __future__ import annotations

import msgspec
import pytest

from regrow.codec import capture, encode
from regrow.engine.forking import NewInputs, paths_of, plan_fork
from regrow.errors import UsageError
from regrow.journal.records import (
    Answered,
    Asked,
    AttemptFailed,
    Call,
    CallCancelled,
    CallFailed,
    CallStarted,
    CallSucceeded,
    CheckpointSaved,
    ChunkYielded,
    Diverged,
    DriverClosed,
    DriverOpened,
    OutcomeDecided,
    Record,
    RunCreated,
    RunEnded,
    RunForked,
    RunRetried,
    SignalTaken,
    Spent,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
    WorkerStarted,
)
from regrow.values.resources import Resources

pytestmark = pytest.mark.unit

CREATED = RunCreated("run-1", "module:task", "agent.py", encode((1,)), b"inputs", "key", "p")
OPENED = DriverOpened("host", "0.1", "3.11")
ERROR = capture(ValueError("no"))


def call(path, kind="step", position=1):
    return Call(path, kind, position, b"digest")


def begun(path, kind="step", *, once=False):
    return CallStarted(call(path, kind), 1, once=once)


def done(path, kind="step", value=1):
    return CallSucceeded(call(path, kind), 1, 1.0, encode(value))


def failed(path, kind="step"):
    return CallFailed(call(path, kind), 1, 1.0, ERROR)


def journal(*events):
    return [Record(seq, 100.0 + seq, f"actor-{seq}", 1, b"", event) for seq, event in enumerate(events, 1)]


def planned(*events, **how):
    return plan_fork(journal(*events), "run-2", **({"key": "other"} | how))


def kept(*events, **how):
    """The events that a fork of a run with these takes over."""
    return [one.event for one in planned(*events, **how).copied]


WORKERS = (
    WorkerStarted("task#1/a#1", 1, 17, "host", Resources()),
    WorkerSampled("task#1/a#1", 1, ()),
    WorkerGrown("task#1/a#1", 1, 1, 2, 0.5),
    WorkerEnded("task#1/a#1", 1, "exited"),
)
BEGIN = (CREATED, OPENED, begun("task#1", "task"))


def test_a_fork_is_a_run_of_the_same_task_under_its_own_id_and_key_with_the_other_as_its_parent():
    assert planned(*BEGIN).created == msgspec.structs.replace(CREATED, run="run-2", key="other", parent="run-1")


def test_a_copied_record_keeps_its_time_and_its_actor():
    (copied, *_) = planned(*BEGIN).copied
    assert (copied.time, copied.actor, copied.event) == (103.0, "actor-3", BEGIN[2])


def test_who_drove_the_other_run_and_how_it_came_to_be_is_not_copied():
    parent = RunForked("run-0", "", 1, (), (), (("run-0", 5.0),), {})
    events = (CREATED, parent, OPENED, begun("task#1", "task"), done("task#1/a#1"), DriverClosed("released"))
    assert kept(*events) == [events[3], events[4]]


def test_how_a_run_ended_is_not_copied():
    assert kept(*BEGIN, done("task#1/a#1"), failed("task#1", "task"), RunEnded("failed")) == [
        BEGIN[2],
        done("task#1/a#1"),
    ]


def test_an_end_that_was_taken_back_is_copied_with_what_took_it_back():
    first = (failed("task#1", "task"), RunEnded("failed"), RunRetried(("task#1",)))
    assert kept(*BEGIN, *first, failed("task#1", "task"), RunEnded("failed")) == [BEGIN[2], *first]


def test_only_the_outermost_calls_outcome_is_an_end_of_the_run():
    inner = done("task#1/inner#1", "task")
    assert kept(*BEGIN, inner, done("task#1", "task")) == [BEGIN[2], inner]


def test_the_outermost_call_is_found_even_if_another_one_was_recorded_before_it():
    inner, outer = done("task#1/a#1"), begun("task#1", "task")
    assert kept(CREATED, inner, outer, done("task#1", "task")) == [inner, outer]


def test_a_fork_at_a_call_ends_before_the_first_record_of_it_or_of_anything_in_it():
    a, b, inside = done("task#1/a#1"), done("task#1/b#1"), done("task#1/b#1/c#1")
    fork = planned(*BEGIN, a, inside, b, done("task#1/d#1"), at="task#1/b#1")
    assert [one.event for one in fork.copied] == [BEGIN[2], a]
    assert (fork.forked.run, fork.forked.at, fork.forked.upto) == ("run-1", "task#1/b#1", 4)


def test_a_call_whose_path_only_begins_alike_is_another_one():
    tenth, first = done("task#1/a#10"), done("task#1/a#1")
    assert kept(*BEGIN, tenth, first, at="task#1/a#1") == [BEGIN[2], tenth]


def test_a_fork_of_all_says_where_it_has_looked_last():
    fork = planned(*BEGIN, done("task#1/a#1"))
    assert (fork.forked.at, fork.forked.upto, fork.forked.replaced, fork.forked.inputs) == ("", 4, (), ())


@pytest.mark.parametrize(
    "event",
    [
        Answered("task#1/a#1", "ask-1", "", "answered"),
        SignalTaken("task#1/a#1", "go", 1, "me", 1.0),
        CheckpointSaved("task#1/a#1", 1, 1, encode(1)),
        OutcomeDecided("task#1/a#1", happened=False),
        Diverged("task#1/a#1", "edited"),
        Asked(call("task#1/a#1", "ask"), 1, "ask-1", b"{}", "", None, None),
        CallCancelled(call("task#1/a#1"), 1, 1.0),
        ChunkYielded(call("task#1/a#1"), 1, encode(1)),
        AttemptFailed(call("task#1/a#1"), 1, 1.0, ERROR, 2.0),
        Spent("task#1/a#1", 1, 5),
        *WORKERS,
    ],
    ids=lambda event: type(event).__name__,
)
def test_whatever_is_recorded_of_a_call_is_the_first_that_a_fork_at_it_leaves_out(event):
    before = done("task#1/b#1")
    assert kept(*BEGIN, before, event, done("task#1/a#1"), at="task#1/a#1") == [BEGIN[2], before]


def test_a_replaced_result_stands_where_the_call_was_settled():
    a, b, c = done("task#1/a#1"), done("task#1/b#1"), done("task#1/c#1")
    fork = planned(*BEGIN, a, b, c, replaced={"task#1/b#1": encode("new")})
    given = CallSucceeded(call("task#1/b#1"), 1, 105.0, encode("new"))
    assert [one.event for one in fork.copied] == [BEGIN[2], a, given, c]
    assert fork.copied[2].time == 105.0
    assert fork.forked.replaced == ("task#1/b#1",)


def test_nothing_of_what_a_replaced_call_did_is_kept():
    inside, outer = done("task#1/b#1/c#1"), begun("task#1/b#1")
    events = kept(*BEGIN, outer, inside, failed("task#1/b#1"), replaced={"task#1/b#1": encode(7)})
    assert events == [BEGIN[2], CallSucceeded(call("task#1/b#1"), 1, 106.0, encode(7))]


def test_a_replaced_call_that_was_tried_again_is_settled_where_it_was_settled_last():
    events = kept(
        *BEGIN, failed("task#1/a#1"), RunRetried(("task#1/a#1",)), done("task#1/a#1"), replaced={"task#1/a#1": b"x"}
    )
    assert events == [BEGIN[2], RunRetried(("task#1/a#1",)), CallSucceeded(call("task#1/a#1"), 1, 106.0, b"x")]


def test_a_replaced_call_that_was_under_way_is_settled_where_it_was_last_heard_of():
    other = done("task#1/b#1")
    events = kept(*BEGIN, begun("task#1/a#1"), done("task#1/a#1/c#1"), other, replaced={"task#1/a#1": b"x"})
    assert events == [BEGIN[2], CallSucceeded(call("task#1/a#1"), 1, 105.0, b"x"), other]


def test_the_call_at_which_a_fork_begins_may_be_the_last_that_has_a_result_given():
    fork = planned(*BEGIN, done("task#1/a#1"), done("task#1/b#1"), at="task#1/a#1", replaced={"task#1/a#1": b"x"})
    assert [one.event for one in fork.copied] == [BEGIN[2], CallSucceeded(call("task#1/a#1"), 1, 104.0, b"x")]
    assert (fork.copied[-1].time, fork.copied[-1].actor) == (104.0, "driver")


def test_what_comes_after_the_fork_cannot_be_replaced():
    with pytest.raises(UsageError, match="task#1/b#1 comes after task#1/a#1, and is made afresh"):
        planned(*BEGIN, done("task#1/a#1"), done("task#1/b#1"), at="task#1/a#1", replaced={"task#1/b#1": b"x"})


@pytest.mark.parametrize("how", [{"at": "task#1/no#1"}, {"replaced": {"task#1/no#1": b"x"}}], ids=["at", "replaced"])
def test_a_call_that_is_not_recorded_is_named(how):
    with pytest.raises(UsageError, match="no call 'task#1/no#1' is recorded"):
        planned(*BEGIN, **how)


@pytest.mark.parametrize("kind", ["stream", "sleep"])
def test_what_has_no_single_result_cannot_be_replaced(kind):
    with pytest.raises(UsageError, match=f"task#1/a#1 is a {kind}, and has no single result"):
        planned(*BEGIN, done("task#1/a#1", kind), replaced={"task#1/a#1": b"x"})


def test_what_a_memory_gave_cannot_be_replaced():
    with pytest.raises(UsageError, match="reads or writes a memory"):
        planned(*BEGIN, done("task#1/a#1", "memory"), replaced={"task#1/a#1": b"x"})


def test_a_run_of_which_nothing_is_recorded_cannot_be_forked():
    for records in ([Record(1, 1.0, "x", 1, b"", OPENED)], []):
        with pytest.raises(UsageError, match="nothing is recorded of this run"):
            plan_fork(records, "run-2", key=None)


def test_an_action_that_was_under_way_and_whose_outcome_is_known_is_the_other_runs_alone():
    once, other = begun("task#1/pay#1", once=True), done("task#1/a#1")
    assert kept(*BEGIN, once, other, done("task#1/pay#1"), done("task#1/b#1"), at="task#1/b#1") == [
        BEGIN[2], once, other, done("task#1/pay#1"),
    ]  # fmt: skip
    assert kept(*BEGIN, once, other, done("task#1/pay#1"), at="task#1/a#1") == [BEGIN[2]]


def test_an_action_whose_outcome_nobody_knows_is_taken_over_so_that_it_is_not_done_twice():
    once = begun("task#1/pay#1", once=True)
    assert kept(*BEGIN, once, done("task#1/a#1"), at="task#1/a#1") == [BEGIN[2], once]


def test_a_step_that_was_under_way_is_taken_over_as_such():
    plain = begun("task#1/a#1")
    assert kept(*BEGIN, plain, done("task#1/b#1"), done("task#1/a#1"), at="task#1/b#1") == [BEGIN[2], plain]


NEW = NewInputs(encode((2,)), b"other inputs", b"shown", ("number",))


def test_other_inputs_are_those_of_the_run_and_of_its_outermost_call():
    step = done("task#1/a#1")
    fork = planned(*BEGIN, step, inputs=NEW)
    assert (fork.created.inputs, fork.created.digest, fork.created.parent) == (NEW.value, NEW.digest, "run-1")
    outer, inner = (one.event for one in fork.copied)
    assert outer.call == msgspec.structs.replace(call("task#1", "task"), digest=NEW.digest, inputs=b"shown")
    assert inner == step
    assert fork.forked.inputs == ("number",)


def test_other_inputs_leave_alone_what_is_no_call():
    saved = CheckpointSaved("task#1", 1, 1, encode(1))
    assert kept(*BEGIN, saved, inputs=NEW)[-1] == saved


def test_every_end_but_that_of_the_last_life_was_taken_back():
    lives = (failed("task#1", "task"), RunEnded("failed"), RunRetried(("task#1",))) * 2
    assert kept(*BEGIN, *lives, failed("task#1", "task"), RunEnded("failed")) == [BEGIN[2], *lives]


def test_a_run_that_was_cancelled_can_be_gone_on_with_in_a_fork():
    assert kept(*BEGIN, CallCancelled(call("task#1", "task"), 1, 1.0), RunEnded("cancelled")) == [BEGIN[2]]


@pytest.mark.parametrize(
    "later", [Diverged("task#1/a#1", "edited"), done("task#1/a#1/late#1")], ids=["about it", "inside of it"]
)
def test_what_is_recorded_of_a_replaced_call_after_its_outcome_does_not_move_it(later):
    b = done("task#1/b#1")
    given = CallSucceeded(call("task#1/a#1"), 1, 104.0, b"x")
    assert kept(*BEGIN, done("task#1/a#1"), b, later, replaced={"task#1/a#1": b"x"}) == [BEGIN[2], given, b]


def test_a_replaced_call_without_outcome_is_settled_at_the_last_of_many_records():
    b, inside = done("task#1/b#1"), [done(f"task#1/a#1/c#{number}") for number in (1, 2, 3)]
    events = kept(*BEGIN, begun("task#1/a#1"), *inside, b, replaced={"task#1/a#1": b"x"})
    assert events == [BEGIN[2], CallSucceeded(call("task#1/a#1"), 1, 107.0, b"x"), b]


def test_what_is_recorded_after_an_action_that_was_under_way_is_taken_over():
    once, other = begun("task#1/pay#1", once=True), done("task#1/a#1")
    events = (*BEGIN, once, other, done("task#1/b#1"), done("task#1/pay#1"))
    assert kept(*events, at="task#1/b#1") == [BEGIN[2], other]


def test_a_fork_goes_back_to_its_parent_and_to_those_before_it_no_later_than_it_was_made():
    parent = RunForked("run-0", "", 1, (), (), (("run-0", 500.0), ("run-00", 50.0)), {})
    assert planned(*BEGIN).forked.lineage == (("run-1", 103.0),)
    assert planned(CREATED, parent, *BEGIN[1:]).forked.lineage == (("run-1", 104.0), ("run-0", 104.0), ("run-00", 50.0))


def test_a_fork_notes_how_far_the_copied_calls_have_read_memories():
    first, second = (done(f"task#1/memory.get#{n}", "memory", ("m", n, b"hash")) for n in (1, 2))
    assert planned(*BEGIN, first, second).forked.memories == {"m": 2}
    assert planned(*BEGIN, first, second, at="task#1/memory.get#2").forked.memories == {"m": 1}


def test_calls_are_listed_in_the_order_in_which_they_were_first_heard_of():
    events = journal(*BEGIN, begun("task#1/b#1"), done("task#1/a#1"), done("task#1/b#1"))
    assert list(paths_of(events)) == ["task#1", "task#1/b#1", "task#1/a#1"]
