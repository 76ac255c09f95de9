"""What format 3 added, as its first version wrote it, is read by this one and all later ones.

`data/journal-3` was written by `make_journal_3.py` and is kept; see `test_format.py`. What holds for each
kept journal is in `test_kept_journals.py`.
"""

from __future__ import annotations

import pytest

from regrow.codec import decode
from regrow.journal.cache import Found
from regrow.journal.chain import unseal_all
from regrow.journal.records import Answered, CacheHit, CallFailed, CallSucceeded, Said

from . import make_journal_3 as wrote
from .kept import opened_copy


@pytest.fixture
def store(tmp_path):
    """A copy of the journal."""
    with opened_copy(3, tmp_path / "store") as opened:
        yield opened


def test_where_a_shared_outcome_came_from_is_still_said(store):
    events = [record.event for record in unseal_all(wrote.RUN, store.read(wrote.RUN))]
    hits = [event.hit for event in events if isinstance(event, CallSucceeded | CallFailed) and event.hit is not None]
    assert hits == [CacheHit(wrote.PARENT, "agent#1/price#1", wrote.NOW - 60.0, 1.5, 4_200_000)] * 2


def test_the_question_is_open_and_who_has_answered_is_known(store):
    (row,) = store.asks.listed()
    assert (row.id, row.question, row.decided) == (wrote.ASK_ID, wrote.QUESTION, None)
    (answer,) = store.asks.answers(wrote.ASK_ID)
    assert (answer.who, answer.verdict, answer.why) == ("alice", "yes", "called her")
    assert Said(answer.who, answer.how, answer.time, answer.verdict, answer.why, answer.number, answer.value) in [
        said for event in wrote.EVENTS if isinstance(event, Answered) for said in event.said
    ]


def test_a_signal_that_nobody_has_taken_waits(store):
    (waiting,) = store.signals.waiting(wrote.RUN)
    assert (waiting.name, waiting.value, waiting.actor) == ("later", b"5", "somebody@somewhere")


def test_the_signal_that_the_run_waits_for_is_named(store):
    assert store.signals.expected(wrote.RUN) == ["sooner"]
    assert store.get(wrote.RUN).waits_for_signal == "sooner"


def test_what_was_shared_is_found(store):
    found = store.cache.look_up(wrote.ARTIFACT.key, run=wrote.RUN, path="agent#1/price#2", now=wrote.NOW)
    assert found == Found(wrote.ARTIFACT)


def test_a_memory_says_what_it_said(store):
    head = store.memories.head("a project", "customers/42")
    assert head.version == 2
    (message,) = store.memories.messages("a project", head)
    assert decode(message.value) == {"role": "user", "content": "hello"}
    assert message.origin.source == "the customer"
    assert decode(store.memories.fact("a project", head, "document", "name").value) == "Ann"
    (hit,) = store.memories.search("a project", head, ["hello"], 5)
    assert hit.fact.version == 1


def test_what_people_have_ordered_holds(store):
    assert store.get(wrote.RUN).paused_by == "somebody@somewhere"
    (stop,) = store.stops()
    assert (stop.project, stop.actor, stop.reason) == ("another project", "somebody@somewhere", "too hot")
