"""Questions and answers as they are stored: what is left out has always meant the same."""

from __future__ import annotations

import pytest

from regrow.journal.asks import Answer, Question

pytestmark = pytest.mark.unit


def test_an_answer_of_which_no_more_is_said_is_a_value_and_was_taken():
    answer = Answer("me", "terminal", 1.0, b"true")
    assert (answer.verdict, answer.why, answer.number, answer.refused, answer.nonce) == ("value", "", 0, "", None)


def test_a_question_of_which_no_more_is_said_may_be_answered_by_anybody_at_any_time():
    question = Question(text="May I?", kind="ask", run="r", path="a#1", task="a", schema={})
    assert (question.evidence, question.inputs, question.choices, question.to) == ((), "", (), ())
    assert (question.approvals, question.due, question.default) == (1, None, None)
