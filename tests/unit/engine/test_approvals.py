"""What is asked before a call that must be approved: by whom, with what to judge it by, and where it stands."""

from __future__ import annotations

import types

import pytest

from regrow.engine import approvals
from regrow.engine.approvals import approver_of
from regrow.engine.asks import UNDECIDED
from regrow.engine.callee import Callee
from regrow.engine.scope import Scope
from regrow.journal.asks import Exhibit
from regrow.journal.records import Call
from regrow.values.approval import Approve
from regrow.values.options import Options

pytestmark = pytest.mark.unit

CALL = Call("task#1/pay#1", "step", 1, b"")


def pay(amount: int, to: str = "ann") -> None: ...


@pytest.fixture
def asked(monkeypatch):
    """The questions that were asked, each with its call."""
    found = []

    async def ask_async(invocation, wanted):
        found.append((invocation, wanted, "async"))

    def ask_in_thread(invocation, wanted):
        found.append((invocation, wanted, "sync"))

    monkeypatch.setattr(approvals, "ask_async", ask_async)
    monkeypatch.setattr(approvals, "ask_in_thread", ask_in_thread)
    return found


def approved(policy, *args, mode="sync", **kwargs):
    """Ask for the approval of a call; gives what asks, and its scope."""
    callee = Callee(pay, "step", "sync", Options(), "pay", "module:pay")
    outer = Scope(types.SimpleNamespace(), None, None)
    scope = Scope(outer.driver, CALL, outer, attempt=2, options=Options(approve=policy))
    asker, aside = approver_of(callee, scope, mode)
    assert (aside.call, aside.outer, aside.attempt, aside.driver) == (CALL, outer, 2, outer.driver)
    waiting = asker.function(*args, **kwargs)
    if mode == "async":
        with pytest.raises(StopIteration):
            waiting.send(None)
    return asker, aside


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_it_is_asked_as_the_call_is_made_in_a_call_of_its_own_on_a_strand_aside(asked, mode):
    asker, aside = approved(Approve(), 3, mode=mode)
    ((invocation, _, how),) = asked
    assert how == mode
    assert (asker.name, asker.kind, asker.mode) == ("approval", "step", mode)
    assert (invocation.callee.name, invocation.branch) == ("approval", aside.main)
    assert (aside.main.prefix, aside.main.scope) == ("task#1/pay#1/~approve/", aside)


def test_people_see_each_argument_and_the_record_has_them_and_the_function(asked):
    approved(Approve(), 3)
    ((_, wanted, _),) = asked
    assert wanted.exhibits == (Exhibit("amount", "3"), Exhibit("to", "ann"))
    assert wanted.evidence == {"function": "module:pay", "arguments": {"amount": 3, "to": "ann"}}
    assert (wanted.about, wanted.kind, wanted.type_, wanted.schema) == (
        "task#1/pay#1", "approval", bool, {"type": "boolean"},
    )  # fmt: skip


def test_without_a_question_of_the_authors_it_is_whether_the_call_may_be_made(asked):
    approved(Approve(), 3)
    approved(Approve(question="Pay?"), 3)
    assert [wanted.text for _, wanted, _ in asked] == ["May pay be called with these arguments?", "Pay?"]


def test_who_must_approve_and_in_what_time_is_what_the_author_says(asked):
    approved(Approve(to=("ann", "bob"), approvals=2, timeout=60.0, default=True, remind=10.0), 3, to="bob")
    ((_, wanted, _),) = asked
    assert (wanted.to, wanted.approvals, wanted.timeout, wanted.remind) == (("ann", "bob"), 2, 60.0, 10.0)
    assert (wanted.default, wanted.default_json) == (True, "true")


def test_what_is_not_approved_in_time_is_not_unless_the_author_says_so(asked):
    approved(Approve(timeout=60.0), 3)
    ((_, wanted, _),) = asked
    assert (wanted.default, wanted.default_json) == (False, "false")


@pytest.mark.parametrize("policy", [Approve(), Approve(default=True), None])
def test_without_a_time_there_is_no_default_and_anybody_may_answer_for_ever(asked, policy):
    approved(policy, 3)
    ((_, wanted, _),) = asked
    assert (wanted.to, wanted.approvals, wanted.timeout, wanted.remind) == ((), 1, None, None)
    assert (wanted.default, wanted.default_json) == (UNDECIDED, None)
