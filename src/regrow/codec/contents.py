"""Which stored contents an encoded value needs: those of its files, found without making any object of it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from regrow.codec.codes import Code

_DIGEST_LETTERS = 64


def contents_of(data: bytes) -> frozenset[str]:
    """Give the digests of the contents that an encoded value refers to, as far as it can be read.

    No class is loaded, so this works where the user's code is not at hand.

    Args:
        data: what `regrow.codec.encode` gave.
    """
    found: set[str] = set()
    _look_into(data[1:], found)
    return frozenset(found)


def _look_into(data: bytes | memoryview, found: set[str]) -> Any:
    """Decode MessagePack to what can be seen of it. What is none, as in some extensions, is passed over."""

    def look(code: int, content: memoryview) -> None:
        inside = _look_into(content, found)
        if code == Code.FILE and isinstance(inside, list):
            _note(inside[-1:], found)
        elif code == Code.DIR and isinstance(inside, list):
            _note([entry[1] for entry in inside if isinstance(entry, list) and len(entry) > 1], found)

    with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
        return msgspec.msgpack.decode(data, ext_hook=look)
    return None


def _note(digests: list[Any], found: set[str]) -> None:
    found.update(one for one in digests if isinstance(one, str) and len(one) == _DIGEST_LETTERS)
