"""Polars frames and series, in Arrow's stream format, which Polars writes by itself."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import polars as pl

from regrow.codec.codes import Code
from regrow.codec.refusal import Refused
from regrow.errors import Corrupted

if TYPE_CHECKING:
    from regrow.codec.reading import Reader
    from regrow.codec.writer import Writer


def dump(value: Any, writer: Writer) -> tuple[Code, object] | None:
    """Give the code and payload of a frame or series; None for other things of Polars' (collect a LazyFrame first)."""
    if type(value) is pl.DataFrame:
        return Code.POLARS_FRAME, _pack(value, writer)
    if type(value) is pl.Series:
        return Code.POLARS_SERIES, _pack(value.to_frame(), writer)
    return None


def load(code: Code, payload: Any, _: Reader) -> object:
    """Give it back."""
    if type(payload) is not bytes:
        msg = "a stored table is not bytes"
        raise Corrupted(msg)
    try:
        frame = pl.read_ipc_stream(io.BytesIO(payload))
    except pl.exceptions.PanicException as error:  # a BaseException: it would pass every handler above
        msg = f"a stored Polars table cannot be read: {error}"
        raise Corrupted(msg) from error
    return frame if code is Code.POLARS_FRAME else frame.to_series()


def _pack(frame: pl.DataFrame, writer: Writer) -> bytes:
    opaque = [name for name, dtype in frame.schema.items() if dtype == pl.Object]
    if opaque:
        reason = f"its column {opaque[0]!r} holds Python objects; give it a Polars type"
        raise Refused(reason)
    sink = io.BytesIO()
    (frame.rechunk() if writer.canonical else frame).write_ipc_stream(sink)
    return sink.getvalue()
