"""Arrow tables, batches and arrays, as Arrow's own stream format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.ipc

from regrow.codec.codes import Code
from regrow.codec.refusal import Refused
from regrow.errors import Corrupted

if TYPE_CHECKING:
    from regrow.codec.reading import Reader
    from regrow.codec.writer import Writer

# Older ones unpickle a PyExtensionType found in a stream (CVE-2023-47248).
if int(pa.__version__.partition(".")[0]) < 15:  # noqa: PLR2004
    msg = f"pyarrow {pa.__version__} can be made to run code by the data it reads; 15 or later is needed"
    raise ImportError(msg)

_COLUMN = "values"


def dump(value: Any, writer: Writer) -> tuple[Code, object] | None:
    """Give the code and payload of a table or of something that fits into one; None for other things of Arrow's."""
    if isinstance(value, pa.Table):
        return Code.ARROW_TABLE, pack_table(value, writer)
    if isinstance(value, pa.RecordBatch):
        return Code.ARROW_BATCH, pack_table(pa.Table.from_batches([value]), writer)
    if isinstance(value, pa.ChunkedArray):
        return Code.ARROW_CHUNKED, pack_table(pa.table({_COLUMN: value}), writer)
    if isinstance(value, pa.Array):
        return Code.ARROW_ARRAY, pack_table(pa.table({_COLUMN: value}), writer)
    return None


def load(code: Code, payload: Any, _: Reader) -> object:
    """Give it back."""
    table = unpack_table(payload)
    if code is Code.ARROW_TABLE:
        return table
    if code is Code.ARROW_BATCH:
        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
    column = table.column(_COLUMN)
    if code is Code.ARROW_CHUNKED:
        return column
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], type=column.type)


def pack_table(table: Any, writer: Writer) -> bytes:
    """Write a table; how it is cut into chunks is dropped where only its content counts."""
    sink = pa.BufferOutputStream()
    try:
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table.combine_chunks() if writer.canonical else table)
    except pa.ArrowException as error:
        reason = f"Arrow cannot write it: {error}"
        raise Refused(reason) from error
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def unpack_table(payload: Any) -> Any:
    """Read a table, and check that its offsets and lengths lie within its buffers before anything follows them."""
    if type(payload) is not bytes:
        msg = "a stored table is not bytes"
        raise Corrupted(msg)
    with pa.ipc.open_stream(payload) as stream:
        table = stream.read_all()
    table.validate(full=True)
    return table
