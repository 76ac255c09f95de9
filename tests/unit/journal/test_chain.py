"""The chain: a record is served as it was written, in its place, or not at all."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from regrow.errors import Corrupted, UnreadableFormat, UsageError
from regrow.journal import chain as module
from regrow.journal.chain import StoredRecord, seal, unseal, unseal_all
from regrow.journal.records import DriverClosed, Record, RunCreated


def stored_as(body, seq=1):
    return StoredRecord(seq, body, hashlib.sha256(body).digest())


def chain(length=3, run="r"):
    links, previous = [], b""
    for seq in range(1, length + 1):
        event = RunCreated(run, "agent", "", b"", b"") if seq == 1 else DriverClosed(f"life {seq}")
        link = seal(Record(seq, 1.0, "driver", 1, previous, event))
        previous = link.hash
        links.append(link)
    return links


def test_a_chain_is_read_in_order_and_whole():
    links = chain()
    assert [record.seq for record in unseal_all("r", links)] == [1, 2, 3]
    assert [record.previous for record in unseal_all("r", links)] == [b"", links[0].hash, links[1].hash]


def test_a_record_of_a_kind_that_a_later_version_has_added_is_intact_and_unreadable():
    unknown = msgspec.msgpack.encode([1, 1.0, "driver", 1, b"", ["kind of the future", 5]])
    with pytest.raises(UnreadableFormat, match="run r: record 1 is intact"):
        unseal("r", stored_as(unknown), seq=1, previous=b"")


def test_bytes_that_are_no_record_are_damage_though_their_hash_fits():
    with pytest.raises(Corrupted, match="run r: record 1 cannot be decoded"):
        unseal("r", stored_as(b"\xc1"), seq=1, previous=b"")


def test_a_record_that_says_another_place_than_it_stands_at_breaks_the_chain():
    first, second, _ = chain()
    misplaced = stored_as(second.body, seq=3)
    with pytest.raises(Corrupted, match="chain breaks at record 3"):
        unseal("r", misplaced, seq=3, previous=first.hash)


def test_a_record_that_follows_another_one_breaks_the_chain():
    _, second, third = chain()
    with pytest.raises(Corrupted, match="chain breaks at record 2"):
        unseal("r", second, seq=2, previous=third.hash)


def test_the_first_record_of_another_run_is_refused_by_name():
    with pytest.raises(Corrupted, match="run r: record 1 belongs to run other"):
        unseal_all("r", chain(run="other"))


def test_a_record_that_was_dropped_is_said_to_be_missing():
    first, _, third = chain()
    with pytest.raises(Corrupted, match="run r: record 2 is missing; the next one found is 3"):
        unseal_all("r", [first, third])


def test_a_record_whose_bytes_were_changed_is_damaged():
    first, second, _ = chain()
    changed = msgspec.structs.replace(second, body=second.body.replace(b"life", b"lift"))
    with pytest.raises(Corrupted, match="run r: record 2 is damaged"):
        unseal_all("r", [first, changed])


def test_a_record_for_which_the_stack_is_too_short_is_not_called_damaged(monkeypatch):
    class Shallow:
        def decode(self, _):
            raise RecursionError

    monkeypatch.setattr(module, "_decoder", Shallow())
    with pytest.raises(UsageError, match="run r: record 1 is nested too deeply"):
        unseal_all("r", chain(1))


def test_a_record_is_handed_on_with_its_fields_by_their_places():
    (link,) = chain(1)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(link)) == [1, link.body, link.hash]
    assert msgspec.convert([1, link.body, link.hash], StoredRecord) == link
