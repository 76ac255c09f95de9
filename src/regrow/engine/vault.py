"""Values on their way into records and out of them: small ones in place, large ones as blobs."""

from __future__ import annotations

from pathlib import Path

import msgspec

from regrow import codec
from regrow.journal.blobs import BlobStore
from regrow.journal.records import BlobRef, Value

INLINE_BYTES = 64 * 1024
"""Above this an encoded value becomes a blob: records stay small enough to be read whole at every resume."""

INPUT_BYTES = 4 * 1024
"""Inputs above this are kept as their digest alone; a dialogue that is handed on from step to step would otherwise be
stored again with each of them."""

NOTHING = codec.encode(None)
"""Where a record needs a value and there is none to keep."""


class Kept(msgspec.Struct, frozen=True):
    """A value that is safe to refer to, and the blobs that it needs."""

    value: Value
    blobs: tuple[str, ...] = ()


class Vault:
    """Encodes and decodes the values of one store's runs.

    Attributes:
        blobs: where large values and files go.
    """

    def __init__(self, blobs: BlobStore) -> None:
        """Put large values and files into `blobs`."""
        self.blobs = blobs

    def keep(self, value: object, where: str, *, inline_bytes: int = INLINE_BYTES) -> Kept:
        """Encode a value, and make whatever it needs durable.

        Args:
            value: the value.
            where: how errors name it.
            inline_bytes: above this the encoded value becomes a blob.

        Raises:
            NotStorable: some part of it has no durable form; names it, beginning with `where`.
            StoreUnavailable: there is no room for its blobs.
        """
        noting = _Noting(self.blobs)
        data = codec.encode(value, where=where, blobs=noting)
        if len(data) <= inline_bytes:
            return Kept(data, tuple(noting.digests))
        digest = self.blobs.put(data)
        return Kept(BlobRef(digest, len(data)), (*noting.digests, digest))

    def load(self, value: Value) -> object:
        """Give back a value, a new one each time, so that code cannot change what was recorded.

        Raises:
            Corrupted: it is not what was stored.
        """
        data = self.blobs.get(value.digest) if isinstance(value, BlobRef) else value
        return codec.decode(data, blobs=self.blobs)


class _Noting:
    """A blob store that remembers which blobs went through it."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.digests: list[str] = []

    def put_file(self, path: Path) -> str:
        digest = self._blobs.put_file(path)
        self.digests.append(digest)
        return digest

    def path_of(self, digest: str) -> Path:
        return self._blobs.path_of(digest)
