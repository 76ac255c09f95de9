"""What holds for the journals of all earlier formats: each is what it is kept for, and is read as it was written.

What only one of them can tell is in `test_format.py` and its neighbours.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import typing

import apsw
import msgspec
import pytest

from regrow.journal import records
from regrow.journal.chain import unseal_all
from regrow.journal.records import (
    Answered,
    Asked,
    AttemptFailed,
    CheckpointSaved,
    RunCreated,
    RunForked,
    SignalTaken,
    Spent,
    WorkerEnded,
    WorkerGrown,
    WorkerSampled,
    WorkerStarted,
)

from . import make_journal_2, make_journal_3
from .kept import journal_of, opened_copy

FORMATS = (1, 2, 3)
WROTE = {2: make_journal_2, 3: make_journal_3}
ADDED = {
    2: (WorkerStarted, WorkerSampled, WorkerGrown, WorkerEnded, CheckpointSaved, AttemptFailed, RunCreated),
    3: (RunCreated, RunForked, Asked, Answered, SignalTaken, Spent),
}
ADDED_BY_ANOTHER = {2: frozenset(("code",)), 3: frozenset(("budget",))}
"""Fields of these that are in the journal of another format."""


@pytest.mark.parametrize("number", FORMATS)
def test_each_kept_journal_is_of_its_format(tmp_path, number):
    shutil.copytree(journal_of(number), tmp_path / "store")
    with contextlib.closing(apsw.Connection(str(tmp_path / "store" / "journal.db"))) as db:
        assert db.execute("SELECT value FROM meta WHERE name = 'format'").fetchall() == [(str(number),)]


@pytest.mark.parametrize("number", FORMATS)
def test_no_kept_journal_names_a_machine(number):
    files = [file for file in journal_of(number).rglob("*") if file.is_file()]
    assert files != []
    for file in files:
        content = file.read_bytes()
        assert not re.search(rb"/(home|root|Users|tmp|usr|work|opt|var|private)/|site-packages", content), file
        assert socket.gethostname().encode() not in content


def test_the_kept_journals_hold_every_kind_of_record(tmp_path):
    found = set()
    for number in FORMATS:
        with opened_copy(number, tmp_path / f"store-{number}") as store:
            for row in store.runs():
                found |= {type(record.event) for record in unseal_all(row.id, store.read(row.id))}
    assert found == set(typing.get_args(records.Event))


@pytest.mark.parametrize(("number", "kind"), [(number, kind) for number, kinds in ADDED.items() for kind in kinds])
def test_a_kept_journal_has_each_field_of_what_its_format_added_with_another_value_than_its_default(number, kind):
    kept = [event for event in WROTE[number].EVENTS if isinstance(event, kind)]
    assert kept != []
    for field in msgspec.structs.fields(kind):
        if field.default is not msgspec.NODEFAULT and field.name not in ADDED_BY_ANOTHER[number]:
            assert any(getattr(event, field.name) != field.default for event in kept), field.name


@pytest.mark.parametrize("number", WROTE)
def test_every_field_of_every_record_is_read_as_it_was_written(tmp_path, number):
    wrote = WROTE[number]
    with opened_copy(number, tmp_path / "store") as store:
        read_back = unseal_all(wrote.RUN, store.read(wrote.RUN))
        for record, event in zip(read_back, wrote.EVENTS, strict=True):
            assert record.event == event
            assert (record.time, record.actor, record.epoch) == (1_735_689_600.0 + record.seq / 4, "driver", 1)
        assert store.check() == []
