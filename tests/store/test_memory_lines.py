"""What lies on the line of a memory's version, read a part at a time: pages, keys, histories, and what is not there."""

from __future__ import annotations

import pytest

from regrow.codec import encode
from regrow.errors import Corrupted, UsageError
from regrow.journal.memories import Change, Guard, Pin

from .remembering import document, message, texts, value, write

pytestmark = pytest.mark.store


@pytest.fixture
def line(store):
    """A memory whose line goes through a revert and two forks; give what lies on it, oldest first."""
    write(store, message("one"), message("two"), message("taken back"))
    second = store.memories.pin("default", "m", 2)
    back = write(store, Change("revert", base=second), document("k", 1), message("three"))
    write(store, Change("fork", base=back), message("four"), message("five"), memory="f")
    write(store, message("of m alone"))
    at = write(store, Change("fork", base=store.memories.pin("default", "f", 2)), message("six"), memory="g")
    return at, [
        ("m", 1, "one"),
        ("m", 2, "two"),
        ("m", 4, None),
        ("m", 5, None),
        ("m", 6, "three"),
        ("f", 1, None),
        ("f", 2, "four"),
        ("g", 1, None),
        ("g", 2, "six"),
    ]


def test_a_page_is_the_part_of_all_messages_that_was_asked_for(store, line):
    at, on_it = line
    every = [text for *_, text in on_it if text]
    assert texts(store, at) == every
    for after in range(len(every) + 2):
        assert texts(store, at, after=after) == every[after:]
        assert texts(store, at, after=after, newest_first=True) == every[::-1][after:]
        for limit in range(len(every) + 2):
            assert texts(store, at, after=after, limit=limit) == every[after:][:limit]
            assert texts(store, at, after=after, limit=limit, newest_first=True) == every[::-1][after:][:limit]


def test_a_page_begins_after_any_version_on_the_line_that_was_read_last(store, line):
    at, on_it = line
    for place, (memory, version, _) in enumerate(on_it):
        since = [text for *_, text in on_it[place + 1 :] if text]
        beyond = Pin(memory, version)
        assert texts(store, at, beyond=beyond) == since
        assert texts(store, at, beyond=beyond, limit=1) == since[:1]


def test_a_history_is_given_in_parts_too(store):
    at = write(store, *(message(str(number)) for number in range(5)))
    for after in range(6):
        for limit in range(7):
            found = store.memories.history("default", at, after=after, limit=limit)
            assert [one.version for one in found] == [1, 2, 3, 4, 5][after:][:limit]
        found = store.memories.history("default", at, after=after)
        assert [one.version for one in found] == [1, 2, 3, 4, 5][after:]


def test_a_document_and_a_file_of_one_name_are_two(store):
    at = write(
        store,
        document("notes", 1),
        Change("file", "notes", encode(b"2")),
        Change("file", "other", encode(b"3")),
        document("gone", 1),
        Change("document", "gone"),
        Change("file", "gone", encode(b"4")),
    )
    assert store.memories.keys("default", at, "document") == ["notes"]
    assert store.memories.keys("default", at, "file") == ["gone", "notes", "other"]
    assert value(store, at, "notes") == 1
    assert [(place.kind, place.key, place.version) for place in store.memories.places("default", at)] == [
        ("document", "notes", 1),
        ("file", "gone", 6),
        ("file", "notes", 2),
        ("file", "other", 3),
    ]


def test_to_write_nothing_leaves_a_memory_as_it_is(store):
    for _ in range(2):
        assert write(store) == store.memories.head("default", "m") == Pin("m", 0)
    assert write(store, guard=Guard(version=0, entry=Pin("m", 0))) == Pin("m", 0)
    assert (store.memories.rows(), store.memories.check()) == ([], [])
    at = write(store, message("one"))
    assert write(store) == at
    assert texts(store, at) == ["one"]


def test_a_version_that_was_lost_is_said_to_be_missing_wherever_it_was(store):
    at = write(store, message("one"), message("two"), message("three"))
    with store.memories._db.writing() as db:
        db.execute("DELETE FROM memory_versions WHERE version = 2")
    assert store.memories.check() == [
        "memory m: version 2 is missing; it was damaged, or the memory was removed since it was read"
    ]
    for which in ({}, {"after": 1}, {"limit": 2}, {"after": 1, "limit": 1}):
        with pytest.raises(Corrupted, match="memory m: version 2 is missing"):
            store.memories.history("default", at, **which)
    assert [one.version for one in store.memories.history("default", at, limit=1)] == [1]


def test_beyond_a_version_that_is_not_on_the_line_there_is_nothing(store, line):
    at, _ = line
    assert texts(store, at, beyond=Pin("m", 3)) == []
    assert texts(store, at, beyond=Pin("nobody", 1)) == []


def test_what_is_not_there_is_said_not_to_be(store):
    write(store, message("one"))
    with pytest.raises(Corrupted, match="memory m: version 2 is missing"):
        store.memories.stored("default", "m", 2)
    with pytest.raises(UsageError, match="there is no memory nobody to go on from"):
        write(store, Change("fork", base=Pin("nobody", 1)), memory="f")
    with pytest.raises(UsageError, match="there is no memory nobody in project default"):
        store.memories.remove("default", "nobody")
    assert [row.name for row in store.memories.rows()] == ["m"]
