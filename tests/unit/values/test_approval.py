"""What approve= takes, and what it refuses with a sentence."""

from __future__ import annotations

import pytest

from regrow.errors import UsageError
from regrow.values.approval import Approve, approval


def test_true_is_an_approval_by_anybody_and_false_is_none():
    assert approval(given=True, owner="f") == Approve()
    assert approval(given=False, owner="f") is None
    assert approval(given=None, owner="f") is None


def test_names_and_spans_are_read_once():
    read = approval(Approve(to="alice", timeout="2d", remind="1h"), owner="f")
    assert (read.to, read.timeout, read.remind) == (("alice",), 172800.0, 3600.0)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("alice", "it takes True, or regrow.Approve"),
        (Approve(to=[1]), "takes a name"),
        (Approve(approvals=0), "1 or more"),
        (Approve(timeout="soon"), "cannot be read"),
        (Approve(remind=0), "more than nothing"),
    ],
)
def test_what_cannot_be_is_refused(given, what):
    with pytest.raises(UsageError, match=what):
        approval(given, owner="f")
