"""Memories on their way from store to store: what grows, what was forged, and what is not whole."""

from __future__ import annotations

import msgspec
import pytest

from regrow.errors import Corrupted
from regrow.journal.memories import Change, Pin
from regrow.journal.memory import MemoryStore
from regrow.journal.memory_chain import hash_of

from .remembering import document, message, texts, write

pytestmark = pytest.mark.store


@pytest.fixture
def there():
    return MemoryStore()


def lose(store, version):
    with store.memories._db.writing() as db:
        db.execute("DELETE FROM memory_versions WHERE version = ?", (version,))


def test_a_memory_that_has_grown_is_taken_in_as_far_as_it_lacks_and_holds_its_new_blobs(store, there):
    first = write(store, message("one"), message("two"))
    there.memories.adopt("default", store.memories.carried("default", first), ["early"])
    grown = write(store, message("three"), document("k", 4))
    for _ in range(2):
        there.memories.adopt("default", store.memories.carried("default", grown), ["early", "late"])
    assert there.memories.head("default", "m") == grown
    assert texts(there, grown) == ["one", "two", "three"]
    assert there.memories.blobs() == {"early", "late"}


def test_what_is_here_already_holds_nothing_more(store, there):
    carried = store.memories.carried("default", write(store, message("one")))
    there.memories.adopt("default", carried)
    there.memories.adopt("default", carried, ["of somebody else"])
    assert there.memories.blobs() == frozenset()


def test_a_version_is_only_taken_in_after_the_one_before_it_whatever_its_hash_says(store, there):
    (one,) = store.memories.carried("default", write(store, message("one")))
    skipped = msgspec.structs.replace(one.version, version=2)
    forged = msgspec.structs.replace(one, version=msgspec.structs.replace(skipped, hash=hash_of(skipped, "", b"")))
    with pytest.raises(Corrupted, match="memory m: version 2 is not what was exported"):
        there.memories.adopt("default", [forged])
    assert there.memories.rows() == []


def test_a_memory_is_not_carried_without_the_end_of_what_it_was_forked_from(store):
    write(store, message("one"), message("two"))
    at = write(store, Change("fork", base=store.memories.head("default", "m")), memory="f")
    lose(store, 2)
    with pytest.raises(Corrupted, match="memory m: version 2 is missing"):
        store.memories.carried("default", at)


def test_a_memory_that_has_lost_a_version_takes_in_none_for_it(store, there):
    carried = store.memories.carried("default", write(store, message("one"), message("two"), message("three")))
    there.memories.adopt("default", carried)
    lose(there, 2)
    with pytest.raises(Corrupted, match="memory m: version 2 is missing"):
        there.memories.adopt("default", carried)


def test_another_memory_of_the_name_is_not_carried_in_the_place_of_the_one_that_was_read(store):
    at = write(store, message("old"))
    store.memories.remove("default", "m")
    write(store, message("new"))
    with pytest.raises(Corrupted, match="memory m: version 1 is not the one that was read"):
        store.memories.carried("default", at)


def test_of_an_empty_memory_there_is_nothing_to_carry(store):
    assert store.memories.carried("default", Pin("m", 0)) == []
