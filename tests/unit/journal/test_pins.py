"""Which versions of memories a run has used: its records of memory tell, and nothing that only looks like them."""

from __future__ import annotations

import msgspec

from regrow.codec import encode
from regrow.journal.memories import Pin
from regrow.journal.pins import pins_of
from regrow.journal.records import BlobRef, Call, CallSucceeded, DriverClosed


def gave(value, kind="memory"):
    return CallSucceeded(Call("agent#1/memory.read#1", kind, 1, b""), 1, 1.0, value)


def pin(memory, version):
    return encode((memory, version, b"hash"))


def used(*events):
    return {(one.memory, one.version) for one in pins_of(events).values()}


def test_the_last_version_of_each_memory_counts_in_whichever_order_they_were_used():
    events = [gave(pin("m", 2)), gave(pin("other", 1)), gave(pin("m", 5)), gave(pin("m", 3)), DriverClosed("done")]
    assert used(*events) == {("m", 5), ("other", 1)}
    assert pins_of(events)["m"] == Pin("m", 5, b"hash")


def test_an_empty_memory_that_was_looked_at_was_not_used():
    assert used(gave(pin("m", 0))) == set()


def test_what_a_search_has_found_says_nothing_of_a_version():
    found = encode([["document", "k", "m", 1, 0.5, "text"]])
    assert used(gave(found), gave(pin("m", 1)), gave(found), gave(encode(None))) == {("m", 1)}


def test_a_result_that_is_too_large_for_a_record_is_no_version():
    assert used(gave(BlobRef("00" * 32, 10**6))) == set()


def test_a_step_that_happens_to_give_what_looks_like_a_version_has_used_no_memory():
    looks_like_it = gave(pin("m", 7), kind="step")
    assert isinstance(msgspec.convert(["m", 7, b"hash"], Pin), Pin)
    assert used(looks_like_it) == set()
