"""Values to bytes.

Most values are plain: what MessagePack knows, in exactly the types it gives back. Those go to msgspec in one call. The
walk that finds this out looks at types only, a whole list at a time; only a value that holds something else is taken
apart in Python, by a `regrow.codec.writer.Writer`.
"""

from __future__ import annotations

from typing import Any, Final

from regrow.codec.blobs import Blobs
from regrow.codec.codes import MAX_DEPTH
from regrow.codec.refusal import Refused
from regrow.codec.writer import ENVELOPE, Writer, pack
from regrow.errors import NotStorable
from regrow.values.secret import contains_secret

SCALARS: Final = frozenset({type(None), bool, int, float, str, bytes})
_PLAIN: Final = SCALARS | {list, dict}
_TEXT: Final = frozenset({str})


def encode(value: object, *, where: str = "result", blobs: Blobs | None = None) -> bytes:
    """Write a value as bytes that `decode` reads in any process that has the same code.

    Args:
        value: the value. Two places that share one object get two equal ones.
        where: what to call the value in an error.
        blobs: where the contents of a `File` or `Dir` go.

    Raises:
        NotStorable: the value, or something in it, has no durable form.
    """
    try:
        data = _encode(value, blobs)
    except Refused as refused:
        raise refused.at(where) from refused.__cause__
    if contains_secret(data):
        reason = "holds the value of a Secret; keep it out, or hand on Secret.from_env(name): only its name is stored"
        raise NotStorable(where, reason)
    return data


def _encode(value: object, blobs: Blobs | None) -> bytes:
    if is_plain(value):
        try:
            return ENVELOPE + pack(value)
        except (OverflowError, UnicodeEncodeError):
            pass  # a big integer or a lone surrogate: rare enough not to look for first
    return Writer(blobs=blobs).envelope(value)


def is_plain(value: object, depth: int = 0) -> bool:
    """Tell whether msgspec writes a value, and reads it back, as exactly what it is.

    Also false for what is nested too deeply, so that the slow path can name the place.
    """
    kind = type(value)
    if kind in SCALARS:
        return True
    if kind is list:
        parts: Any = value
    elif kind is dict:
        if not _TEXT.issuperset(map(type, value)):  # type: ignore[call-overload]
            return False
        parts = value.values()  # type: ignore[attr-defined]
    else:
        return False
    if SCALARS.issuperset(map(type, parts)):
        return True
    if depth == MAX_DEPTH - 1 or not _PLAIN.issuperset(map(type, parts)):
        return False
    return all(is_plain(part, depth + 1) for part in parts if type(part) not in SCALARS)
