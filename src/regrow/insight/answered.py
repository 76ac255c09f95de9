"""Answers that were given to a run's questions, and that the run has not seen: nobody drives it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from regrow.insight.tree import CallNode, RunTree
from regrow.journal.asks import Asks

Answers = Mapping[str, tuple[str, ...]]
"""By a question's id, who has answered it; only of questions that are decided by that."""


def answers_of(asks: Asks, run: str) -> Answers:
    """Give who has answered the questions of a run."""
    decided = [row.id for row in asks.listed(run=run, everything=True) if row.decided == "answered"]
    return {ask: tuple(one.who for one in asks.answers(ask) if not one.refused) for ask in decided}


def with_answers(tree: RunTree, answers: Answers) -> RunTree:
    """Give the same tree, in which the questions that were answered since are no open ones."""
    if not answers:
        return tree
    return msgspec.structs.replace(tree, calls=tuple(_seen(call, answers) for call in tree.calls))


def _seen(call: CallNode, answers: Answers) -> CallNode:
    asked = call.asked
    if asked is not None and asked.how is None:
        asked = msgspec.structs.replace(asked, answered_by=answers.get(asked.id, ()))
    return msgspec.structs.replace(call, asked=asked, children=tuple(_seen(one, answers) for one in call.children))
