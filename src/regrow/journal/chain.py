"""The chain: records as stores keep them, each with the hash of the one before it.

No record can be changed, dropped or moved without the next one noticing. What a record holds is in
`regrow.journal.records`.
"""

from __future__ import annotations

import hashlib

import msgspec

from regrow.errors import Corrupted, UnreadableFormat, UsageError
from regrow.journal.records import Record, RunCreated


class StoredRecord(msgspec.Struct, frozen=True, array_like=True):
    """A record as a store keeps it: the encoded bytes, and their hash."""

    seq: int
    body: bytes
    hash: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def seal(record: Record) -> StoredRecord:
    """Encode a record, and hash it together with the predecessor's hash that it carries."""
    body = _encoder.encode(record)
    return StoredRecord(record.seq, body, hashlib.sha256(body).digest())


def unseal(run: str, stored: StoredRecord, *, seq: int, previous: bytes) -> Record:
    """Check one link of a run's chain and decode it.

    Args:
        run: the run's id, for errors.
        stored: what the store holds.
        seq: the place at which it must stand.
        previous: the hash of the record before it.

    Raises:
        Corrupted: it is not what was written there; the message names run and record.
        UnreadableFormat: it is intact, but of a kind that this version does not know.
        UsageError: reading it needs more of the stack than is left.
    """
    if stored.seq != seq:
        raise Corrupted(f"run {run}: record {seq} is missing; the next one found is {stored.seq}")
    if hashlib.sha256(stored.body).digest() != stored.hash:
        raise Corrupted(f"run {run}: record {seq} is damaged: its bytes do not match its hash")
    try:
        record = _decoder.decode(stored.body)
    except msgspec.ValidationError as unknown:
        raise UnreadableFormat(
            f"run {run}: record {seq} is intact but not of this version's format ({unknown}); a newer regrow wrote it"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Corrupted(f"run {run}: record {seq} cannot be decoded") from None
    except RecursionError:
        # As with values: sound, perhaps, for a caller with more of the stack left.
        raise UsageError(
            f"run {run}: record {seq} is nested too deeply to be read this far down the call stack; read it in a "
            f"shallower place"
        ) from None
    if record.seq != seq or record.previous != previous:
        raise Corrupted(f"run {run}: the chain breaks at record {seq}: it does not follow the record before it")
    if isinstance(record.event, RunCreated) and record.event.run != run:
        raise Corrupted(f"run {run}: record {seq} belongs to run {record.event.run}")
    return record


def unseal_all(run: str, stored: list[StoredRecord]) -> list[Record]:
    """Check and decode a whole run, from its first record.

    Raises:
        Corrupted: a link is missing, damaged or out of place.
        UnreadableFormat: a newer version wrote it.
        UsageError: reading it needs more of the stack than is left.
    """
    records: list[Record] = []
    previous = b""
    for place, link in enumerate(stored, start=1):
        records.append(unseal(run, link, seq=place, previous=previous))
        previous = link.hash
    return records
