"""Ids of runs and of the processes that drive them."""

from __future__ import annotations

import hashlib
import os

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base 32 in lower case: no i, l, o, u, so an id survives being read aloud."""

RUN_ID_LENGTH = 26
SHARDS = 4096


def new_run_id(now: float, *, key: str | None = None, entropy: bytes | None = None) -> str:
    """Make a run id: 48 bits of milliseconds, 12 bits of shard, 70 bits of chance, as 26 characters.

    Ids made later sort later. The shard of a run with a key follows from the key alone, so that the day one database
    becomes many, a key can be looked up in one place; the others are spread by chance.

    Args:
        now: seconds since the epoch.
        key: the run's key, if it has one.
        entropy: ten random bytes; drawn from the system when not given.
    """
    chance = int.from_bytes(entropy if entropy is not None else os.urandom(11), "big")
    shard = shard_of_key(key) if key is not None else chance & (SHARDS - 1)
    number = (int(now * 1000) & (1 << 48) - 1) << 82 | shard << 70 | (chance >> 12) & ((1 << 70) - 1)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def shard_of_key(key: str) -> int:
    """Give the shard, below `SHARDS`, to which a key belongs, for ever."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % SHARDS


def shard_of_run(run: str) -> int:
    """Give the shard that a run id carries.

    Raises:
        ValueError: it is no run id.
    """
    number = 0
    for character in run:
        number = number << 5 | _ALPHABET.index(character)
    return number >> 70 & (SHARDS - 1)


def ask_id(run: str, path: str, digest: bytes, attempt: int) -> str:
    """Give the id of a question: the same in every life of its run, and another one for other inputs."""
    chance = hashlib.sha256(f"{run}\0{path}\0{attempt}\0".encode() + digest).digest()
    number = int.from_bytes(chance[:10], "big")
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(75, -1, -5))


def idempotency_key(run: str, path: str) -> str:
    """Give the key under which one call of one run may be known to the outside world, the same in every attempt."""
    return hashlib.sha256(f"{run}\0{path}".encode()).hexdigest()[:32]
