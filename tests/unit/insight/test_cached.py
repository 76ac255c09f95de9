"""Which artifacts go, and which one is meant by the beginning of a key."""

import pytest

from regrow.errors import UsageError
from regrow.insight.cached import find_artifact, outdated, size_of
from regrow.journal.cache import ArtifactRow

SIZES = {"big": 100, "small": 10}


def row(key, used=0.0, blobs=(), size=1):
    return ArtifactRow(
        key, "default", "agent:f", "r", "a#1/f#1", 0.0, 1.0, 0, failed=False, hits=0, used=used, size=size, blobs=blobs
    )


def keys(rows):
    return [one.key for one in rows]


def test_an_artifact_takes_up_itself_and_its_blobs():
    assert size_of(row("a", blobs=("big", "small", "missing")), SIZES) == 111


def test_what_was_not_used_for_long_goes():
    rows = [row("old", used=10.0), row("new", used=90.0)]
    assert keys(outdated(rows, SIZES, now=100.0, older_than=50.0)) == ["old"]


def test_what_was_used_longest_ago_goes_until_the_rest_fits():
    rows = [row("oldest", 1.0, ("small",)), row("middle", 2.0, ("big",)), row("newest", 3.0, ("small",))]
    assert keys(outdated(rows, SIZES, now=9.0, max_bytes=1000)) == []
    assert keys(outdated(rows, SIZES, now=9.0, max_bytes=50)) == ["middle"]
    assert keys(outdated(rows, SIZES, now=9.0, max_bytes=0)) == ["newest", "middle", "oldest"]


def test_a_blob_that_two_need_counts_once():
    rows = [row("a", 1.0, ("big",)), row("b", 2.0, ("big",))]
    assert keys(outdated(rows, SIZES, now=9.0, max_bytes=102)) == []
    assert keys(outdated(rows, SIZES, now=9.0, max_bytes=101)) == ["a"]


def test_nothing_goes_that_nobody_asked_for():
    assert outdated([row("a")], SIZES, now=1e9) == []


def test_the_beginning_of_a_key_names_it_if_it_is_the_only_one():
    rows = [row("abcd1"), row("abcd2"), row("beef0")]
    assert find_artifact(rows, "BEEF").key == "beef0"
    assert find_artifact(rows, "abcd2").key == "abcd2"
    for typed, said in (("abcd", "2 artifacts have keys"), ("abc", "type 4 characters"), ("ffff", "no artifact has")):
        with pytest.raises(UsageError, match=said):
            find_artifact(rows, typed)
