"""Records as a tree of calls."""

from __future__ import annotations

import pytest

from regrow.insight.tree import tree_of
from regrow.journal.records import AttemptFailed, CallCancelled, ChunkYielded, OutcomeDecided, RunEnded, RunRetried

from .writing import call, done, driver, error, failed, started

pytestmark = pytest.mark.unit


def by_path(write):
    return {node.path: node for node in tree_of(write.records).walk()}


def test_calls_hang_below_the_call_that_made_them_whatever_their_branch(write):
    write.begin()(started("a#1"), started("a#1/~b#1/t#1"), done("a#1/~b#1/t#1/s#1"), done("a#1/~b#1/t#1"), done("a#1"))
    (root,) = tree_of(write.records).calls
    (task,) = root.children
    assert (root.path, task.place, task.name) == ("a#1", "~b#1/t#1", "t")
    assert [child.path for child in task.children] == ["a#1/~b#1/t#1/s#1"]


def test_what_lies_inside_a_call_that_succeeded_is_still_shown(write):
    write.begin()(started("a#1"), done("a#1/s#1"), done("a#1"), RunEnded("succeeded"))
    assert {path: node.status for path, node in by_path(write).items()} == {"a#1": "succeeded", "a#1/s#1": "succeeded"}


def test_each_attempt_has_its_own_error_and_duration(write):
    write.begin()(AttemptFailed(call("s#1"), 1, 1_001.0, error("one"), 1_005.0), done("s#1", 2, at=1_003.5))
    node = by_path(write)["s#1"]
    assert [(one.number, one.outcome, one.seconds) for one in node.attempts] == [
        (1, "failed", 2.0),
        (2, "succeeded", 0.5),
    ]
    assert node.attempts[0].error is not None
    assert node.attempts[0].error.message == "one"
    assert (node.status, node.error) == ("succeeded", None)


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([started("x#1")], "begun"),
        ([started("x#1", once=True)], "unknown"),
        ([started("x#1", once=True), OutcomeDecided("x#1", happened=False)], "begun"),
        ([AttemptFailed(call("x#1"), 1, 1_000.0, error(), 2_000.0)], "waiting"),
        ([failed("x#1")], "failed"),
        ([failed("x#1"), RunEnded("failed", error(), ("x#1",)), RunRetried(("x#1",))], "waiting"),
        ([CallCancelled(call("x#1"), 1, 1_000.0)], "cancelled"),
        ([done("x#1/inner#1")], "begun"),
    ],
)
def test_a_call_stands_as_its_last_record_left_it(write, events, status):
    write.begin()(*events)
    assert by_path(write)["x#1"].status == status


def test_an_attempt_that_a_crash_cut_is_kept_beside_the_one_that_followed(write):
    write.begin()(started("t#1"), driver(), started("t#1"), done("t#1", kind="task"))
    assert [one.outcome for one in by_path(write)["t#1"].attempts] == ["unfinished", "succeeded"]


def test_inputs_are_shown_as_they_were_written(write):
    write.begin()(started("a#1"))
    write(type(done("s#1"))(call("s#1", q="what", n=3, names=("a", "b")), 1, 1_000.0, b""))
    assert by_path(write)["s#1"].inputs == "q='what', n=3, names=('a', 'b')"


def test_chunks_and_drives_are_counted(write):
    write.begin()(
        *(ChunkYielded(call("t#1", "stream"), index, b"") for index in range(3)), driver("bob@host pid 2 (bb)")
    )
    tree = tree_of(write.records)
    assert tree.calls[0].chunks == 3
    assert [one.holder for one in tree.drives] == ["ann@host pid 1 (aa)", "bob@host pid 2 (bb)"]


def test_a_run_without_records_is_an_empty_tree():
    assert tree_of([]).calls == ()
