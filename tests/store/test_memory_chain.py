"""The chain of a memory's versions: what its hashes cover, and what a check of them says and does not say."""

from __future__ import annotations

import pytest

from regrow.errors import Corrupted
from regrow.journal.memories import Change, Suspect
from regrow.journal.records import BlobRef

from .remembering import message, write

pytestmark = pytest.mark.store


def damage(store, statement):
    with store.memories._db.writing() as db:
        db.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE memory_versions SET base_version = 1 WHERE kind = 'fork'",
        "UPDATE memory_versions SET base_memory = memory WHERE kind = 'fork'",
        "UPDATE memory_versions SET base_memory = NULL WHERE kind = 'fork'",
    ],
)
def test_a_fork_cannot_be_hung_elsewhere(store, statement):
    write(store, message("one"), message("two"))
    at = write(store, Change("fork", base=store.memories.head("default", "m")), memory="f")
    assert store.memories.check() == []
    damage(store, statement)
    with pytest.raises(Corrupted, match="memory f: version 1 is damaged"):
        store.memories.history("default", at)


def test_a_version_of_a_kind_that_is_none_is_not_served_though_its_hash_fits(store):
    write(store, Change("poem", "of spring"))
    with pytest.raises(Corrupted, match="memory m: version 1 is damaged"):
        store.memories.stored("default", "m", 1)


def test_a_check_finds_nothing_wrong_with_quarantines_that_were_lifted_and_laid_again(store):
    ann, bob = Suspect(actor="ann"), Suspect(actor="bob")
    for kind, whom in [
        ("quarantine", ann),
        ("quarantine", bob),
        ("release", ann),
        ("quarantine", ann),
        ("release", bob),
        ("release", ann),
        ("quarantine", bob),
    ]:
        at = write(store, Change(kind, "why", suspect=whom))
        assert store.memories.check() == []
    assert store.memories.suspects("default", at) == [bob]


def test_a_check_names_every_memory_that_is_damaged(store):
    for name in ("a", "b", "c"):
        write(store, message("one"), memory=name)
    damage(store, "UPDATE memory_versions SET actor = 'somebody' WHERE memory <> 2")
    assert [sentence[:9] for sentence in store.check()] == ["memory a:", "memory c:"]


def test_a_memory_of_which_nothing_is_left_does_not_end_a_check(store):
    write(store, message("one"), memory="a")
    write(store, message("one"), memory="b")
    damage(store, "DELETE FROM memory_versions WHERE memory = 1; UPDATE memory_versions SET actor = 'somebody'")
    assert [sentence[:9] for sentence in store.check()] == ["memory b:"]


def test_a_check_says_how_many_blobs_a_memory_has_lost_hold_of(store):
    first, second = (BlobRef(letter * 64, 10) for letter in "ab")
    write(store, Change("document", "k", first, (first.digest,)), Change("document", "k", second, (second.digest,)))
    assert store.memories.check() == []
    damage(store, f"DELETE FROM memory_blobs WHERE digest = '{second.digest}'")
    assert store.memories.check() == ["memory m: it does not hold 1 of its blobs, which gc may remove"]
