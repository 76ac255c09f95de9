"""What format 3 added, as its first version wrote it, is read by this one and all later ones.

`data/journal-3` was written by `make_journal_3.py` and is kept; see `test_format.py`.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import socket
from pathlib import Path

import apsw
import msgspec
import pytest

from regrow.codec import decode
from regrow.journal.cache import Found
from regrow.journal.records import (
    Answered,
    Asked,
    CacheHit,
    CallFailed,
    CallSucceeded,
    RunCreated,
    RunForked,
    Said,
    SignalTaken,
    unseal_all,
)
from regrow.journal.sqlite import SqliteStore

DATA = Path(__file__).with_name("data") / "journal-3"
ADDED = (RunCreated, RunForked, Asked, Answered, SignalTaken)
EARLIER = frozenset(("budget",))
"""Fields of these that format 2 added; `test_format_2.py` has them."""


@pytest.fixture(scope="module")
def wrote():
    """The module that wrote the journal."""
    spec = importlib.util.spec_from_file_location("make_journal_3", Path(__file__).with_name("make_journal_3.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def store(tmp_path):
    """A copy of it."""
    shutil.copytree(DATA, tmp_path / "store")
    opened = SqliteStore(tmp_path / "store")
    yield opened
    opened.close()


def test_the_kept_journal_is_of_the_third_format(tmp_path):
    shutil.copytree(DATA, tmp_path / "store")
    db = apsw.Connection(str(tmp_path / "store" / "journal.db"))
    assert db.execute("SELECT value FROM meta WHERE name = 'format'").fetchall() == [("3",)]
    db.close()


def test_the_kept_journal_names_no_machine():
    for file in DATA.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            assert not re.search(rb"/(home|root|Users|tmp|usr|work|opt|var|private)/|site-packages", content), file
            assert socket.gethostname().encode() not in content


@pytest.mark.parametrize("kind", ADDED)
def test_the_kept_journal_has_each_field_of_what_was_added_with_another_value_than_its_default(wrote, kind):
    kept = [event for event in wrote.EVENTS if isinstance(event, kind)]
    for field in msgspec.structs.fields(kind):
        if field.default is not msgspec.NODEFAULT and field.name not in EARLIER:
            assert any(getattr(event, field.name) != field.default for event in kept), field.name


def test_every_field_of_every_record_is_read_as_it_was_written(store, wrote):
    read_back = unseal_all(wrote.RUN, store.read(wrote.RUN))
    for record, event in zip(read_back, wrote.EVENTS, strict=True):
        assert record.event == event
        assert (record.time, record.actor, record.epoch) == (wrote.NOW + record.seq / 4, "driver", 1)
    assert store.check() == []


def test_where_a_shared_outcome_came_from_is_still_said(store, wrote):
    events = [record.event for record in unseal_all(wrote.RUN, store.read(wrote.RUN))]
    hits = [event.hit for event in events if isinstance(event, CallSucceeded | CallFailed) and event.hit is not None]
    assert hits == [CacheHit(wrote.PARENT, "agent#1/price#1", wrote.NOW - 60.0, 1.5)] * 2


def test_the_question_is_open_and_who_has_answered_is_known(store, wrote):
    (row,) = store.asks.listed()
    assert (row.id, row.question, row.decided) == (wrote.ASK_ID, wrote.QUESTION, None)
    (answer,) = store.asks.answers(wrote.ASK_ID)
    assert (answer.who, answer.verdict, answer.why) == ("alice", "yes", "called her")
    assert Said(answer.who, answer.how, answer.time, answer.verdict, answer.why, answer.number, answer.value) in [
        said for event in wrote.EVENTS if isinstance(event, Answered) for said in event.said
    ]


def test_a_signal_that_nobody_has_taken_waits(store, wrote):
    (waiting,) = store.signals.waiting(wrote.RUN)
    assert (waiting.name, waiting.value, waiting.actor) == ("later", b"5", "somebody@somewhere")


def test_what_was_shared_is_found(store, wrote):
    found = store.cache.look_up(wrote.ARTIFACT.key, run=wrote.RUN, path="agent#1/price#2", now=wrote.NOW)
    assert found == Found(wrote.ARTIFACT)


def test_a_memory_says_what_it_said(store, wrote):
    head = store.memories.head("a project", "customers/42")
    assert head.version == 2
    (message,) = store.memories.messages("a project", head)
    assert decode(message.value) == {"role": "user", "content": "hello"}
    assert message.origin.source == "the customer"
    assert decode(store.memories.fact("a project", head, "document", "name").value) == "Ann"
    (hit,) = store.memories.search("a project", head, ["hello"], 5)
    assert hit.fact.version == 1


def test_what_people_have_ordered_holds(store, wrote):
    assert store.get(wrote.RUN).paused_by == "somebody@somewhere"
    (stop,) = store.stops()
    assert (stop.project, stop.actor, stop.reason) == ("another project", "somebody@somewhere", "too hot")
