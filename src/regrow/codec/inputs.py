"""The inputs of a step or task: a digest that tells whether they are the same, and bytes to run it again with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from regrow.codec.blobs import Blobs
from regrow.codec.refusal import Refused
from regrow.codec.writer import ENVELOPE, Writer, pack, pack_sorted
from regrow.codec.writing import SCALARS, is_plain
from regrow.values.secret import contains_secret

DIGEST_SIZE: Final = 16
"""Bytes of a digest. It tells apart the inputs within one run or cache key, not all the world's contents."""


class Inputs(msgspec.Struct, frozen=True):
    """What a call was given.

    Attributes:
        digest: equal for equal inputs, in any process and for any order of a dict.
        data: the inputs as `decode` reads them (a list, or a dict for a mapping); None if they held something that is
            not stored, such as a client, a function or a secret's value.
    """

    digest: bytes
    data: bytes | None


def digest_inputs(
    values: Sequence[object] | Mapping[str, object],
    *,
    allow_opaque: bool,
    where: str = "argument",
    blobs: Blobs | None = None,
) -> Inputs:
    """Digest the inputs of a call.

    Args:
        values: the arguments, in order or by name.
        allow_opaque: what has no durable form (a client, ``self``) counts by the name of its type only, rather than
            being refused. A dataclass or model counts by its content even if it is not on the allow-list.
        where: what to call the inputs in an error.
        blobs: where the contents of files go. Without it, inputs that hold a file have no data.

    Raises:
        NotStorable: something has no durable form, and `allow_opaque` is not set.
    """
    # A tuple of arguments is written as a list: msgspec does so by itself, without a copy.
    if type(values) is tuple and SCALARS.issuperset(map(type, values)):
        return _plain_inputs(values, nested=False) or _inputs(list(values), allow_opaque, where, blobs)
    # Arguments by name come in the parameters' order; there the canonical form will do for showing them, too.
    if type(values) is dict and SCALARS.issuperset(map(type, values.values())):
        return _flat_inputs(values) or _inputs(values, allow_opaque, where, blobs)
    top = dict(values) if isinstance(values, Mapping) else list(values)
    return (is_plain(top) and _plain_inputs(top, nested=True)) or _inputs(top, allow_opaque, where, blobs)


def _flat_inputs(values: Mapping[str, object]) -> Inputs | None:
    try:
        data = ENVELOPE + pack_sorted(values)
    except (OverflowError, UnicodeEncodeError):
        return None
    return Inputs(_digest(data), None if contains_secret(data) else data)


def _plain_inputs(values: object, *, nested: bool) -> Inputs | None:
    try:
        data = ENVELOPE + pack(values)
        canonical = ENVELOPE + pack_sorted(values) if nested else data
    except (OverflowError, UnicodeEncodeError):
        return None
    return Inputs(_digest(canonical), None if contains_secret(data) else data)


def _inputs(values: object, allow_opaque: bool, where: str, blobs: Blobs | None) -> Inputs:  # noqa: FBT001 - private
    try:
        # Twice, because a run must get its dicts back in the order they had, and a digest must not depend on it.
        writer = Writer(canonical=True, allow_opaque=allow_opaque, blobs=blobs)
        digest = _digest(writer.envelope(values))
        data = Writer(blobs=blobs).envelope(values) if writer.portable else None
    except Refused as refused:
        raise refused.at(where) from refused.__cause__
    return Inputs(digest, None if data is None or contains_secret(data) else data)


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=DIGEST_SIZE).digest()
