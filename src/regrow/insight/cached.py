"""What the shared cache holds, how large that is, and what of it may be thrown away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regrow.errors import UsageError
from regrow.journal.cache import ArtifactRow
from regrow.journal.store import Store

SHORTEST = 4
"""Characters of a key that a person must type at least."""


def blob_sizes(store: Store) -> dict[str, int]:
    """Give the size of each blob that a store holds, in bytes."""
    return {digest: size for digest, size, _ in store.blobs.digests()}


def size_of(row: ArtifactRow, sizes: Mapping[str, int]) -> int:
    """Give what an artifact takes up with its blobs, in bytes."""
    return row.size + sum(sizes.get(digest, 0) for digest in row.blobs)


def outdated(
    rows: Sequence[ArtifactRow],
    sizes: Mapping[str, int],
    *,
    now: float,
    older_than: float | None = None,
    max_bytes: int | None = None,
) -> list[ArtifactRow]:
    """Say which artifacts go: those not used for long, and of the rest those used longest ago until it fits.

    Args:
        rows: all there are.
        sizes: of blobs.
        now: the time, in seconds since the epoch.
        older_than: what has not been used for so many seconds goes.
        max_bytes: what may stay, together. A blob that two artifacts need counts once.
    """
    gone: list[ArtifactRow] = []
    taken, held = 0, set[str]()
    for row in sorted(rows, key=lambda row: row.used, reverse=True):
        more = [digest for digest in row.blobs if digest not in held]
        size = row.size + sum(sizes.get(digest, 0) for digest in more)
        too_old = older_than is not None and row.used < now - older_than
        if too_old or (max_bytes is not None and taken + size > max_bytes):
            gone.append(row)
        else:
            taken += size
            held.update(more)
    return gone


def find_artifact(rows: Sequence[ArtifactRow], typed: str) -> ArtifactRow:
    """Find the artifact that somebody means by the beginning of its key.

    Raises:
        UsageError: there is none, or more than one.
    """
    found = [row for row in rows if row.key.startswith(typed.lower())] if len(typed) >= SHORTEST else []
    if len(found) == 1:
        return found[0]
    if len(typed) < SHORTEST:
        raise UsageError(f"{typed!r} is too short; type {SHORTEST} characters of the key or more")
    what = f"{len(found)} artifacts have keys that begin" if found else "no artifact has a key that begins"
    raise UsageError(f"{what} with {typed!r}; `regrow cache ls` lists them")
