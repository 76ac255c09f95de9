"""The desk of a process that has the store: who is told of a question, how often, and what is noted of that."""

from __future__ import annotations

import logging

import msgspec
import pytest

from regrow.engine import desk as desks
from regrow.engine.desk import StoreDesk
from regrow.engine.webhook import Hook
from regrow.errors import StoreUnavailable
from regrow.journal.asks import Answer, NewAsk, Question, encode_question
from regrow.journal.store import NewRun
from regrow.testing import MemoryStore

pytestmark = pytest.mark.unit

HOOK = Hook(url="http://here")
SHOWN = encode_question(Question("May I?", "ask", "r", "task#1/ask#1", "task", {"type": "boolean"}))
ASK = NewAsk("ask-1", 1.0, SHOWN)


@pytest.fixture
def store():
    store = MemoryStore()
    for run in ("r", "s"):
        store.create(NewRun(run, "task", 1.0, project="ours"))
    return store


@pytest.fixture
def desk(store):
    return StoreDesk(store)


@pytest.fixture
def sent(monkeypatch):
    """What goes out to webhooks; the test says when it arrives."""
    sent = []
    monkeypatch.setattr(desks, "send_apart", lambda *what: sent.append(what))
    return sent


def answer(store):
    store.asks.answer(ASK.id, Answer("ann", "test", 2.0, b"true", "yes"))


def test_a_question_is_put_up_in_its_runs_project_and_its_hook_is_told_first(desk, store, sent):
    row = desk.post("r", ASK, HOOK)
    assert (row.id, row.run, row.project, row.told) == ("ask-1", "r", "ours", 0)
    assert row == store.asks.get("ask-1")
    ((hook, told, number, _),) = sent
    assert (hook, told, number) == (HOOK, row, 1)


def test_what_was_not_delivered_before_a_crash_is_told_again_and_what_was_is_not(desk, store, sent):
    desk.post("r", ASK, HOOK)
    desk.post("r", ASK, HOOK)
    assert [number for _, _, number, _ in sent] == [1, 1]
    *_, delivered = sent[0]
    delivered()
    assert store.asks.get("ask-1").told == 1
    desk.post("r", ASK, HOOK)
    assert len(sent) == 2


def test_nobody_is_told_of_a_question_that_is_decided(desk, store, sent):
    desk.post("r", ASK, HOOK)
    answer(store)
    sent.clear()
    assert desk.post("r", ASK, HOOK).decided == "answered"
    desk.remind("r", "ask-1", 2, HOOK)
    assert sent == []


def test_a_reminder_is_logged_and_sent_under_its_number(desk, store, sent, caplog):
    row = desk.post("r", ASK, HOOK)
    sent.clear()
    desk.remind("r", "ask-1", 3, HOOK)
    said = "run r still waits for an answer: regrow inbox ask-1"
    assert caplog.record_tuples == [("regrow", logging.WARNING, said)]
    ((hook, told, number, delivered),) = sent
    assert (hook, told, number) == (HOOK, row, 3)
    delivered()
    assert store.asks.get("ask-1").told == 3


def test_a_run_reminds_nobody_of_a_question_of_another(desk, sent, caplog):
    desk.post("r", ASK, HOOK)
    sent.clear()
    desk.remind("s", "ask-1", 2, HOOK)
    assert (sent, caplog.messages) == ([], [])


def test_a_store_that_cannot_note_a_delivery_harms_nobody(desk, store, sent, monkeypatch):
    def broken(*_):
        raise StoreUnavailable("no room")

    desk.post("r", ASK, HOOK)
    monkeypatch.setattr(type(store.asks), "note_told", broken)
    *_, delivered = sent[0]
    delivered()
    assert store.asks.get("ask-1").told == 0


def test_what_becomes_of_a_question_is_the_stores_to_say(desk, store, sent):
    desk.post("r", msgspec.structs.replace(ASK, id="ask-2"), HOOK)
    desk.post("r", ASK, HOOK)
    assert desk.look("r", "ask-1", 2.0) is None
    answer(store)
    assert desk.look("r", "ask-1", 2.0).answers[0].who == "ann"
    desk.refuse("r", "ask-1", 1, "it is too late")
    assert desk.look("r", "ask-1", 2.0) is None
    assert store.asks.answers("ask-1")[0].refused == "it is too late"
    desk.withdraw("r", "ask-1", 3.0)
    assert desk.look("r", "ask-1", 3.0).how == "withdrawn"
    assert desk.look("r", "ask-2", 3.0) is None
