"""pandas frames, series and indexes, through Arrow."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa

from regrow.codec.codes import Code
from regrow.codec.refusal import Refused
from regrow.codec.tables import pack_table, unpack_table
from regrow.errors import Corrupted

if TYPE_CHECKING:
    from regrow.codec.reading import Reader
    from regrow.codec.writer import Writer

# Contents of an object column that Arrow gives back as they were (None stands for what is missing). Mixed ones, and
# lists or dicts, would come back as something else.
_FAITHFUL: Final = frozenset({"string", "bytes", "boolean", "date", "decimal", "empty"})
_VERSIONED: Final = ("creator", "pandas_version")


def dump(value: Any, writer: Writer) -> tuple[Code, object] | None:
    """Give the code and payload of a frame, series or index; None for other things of pandas'."""
    if type(value) is pd.DataFrame:
        return Code.PANDAS_FRAME, _pack(value, writer)
    if type(value) is pd.Series:
        return Code.PANDAS_SERIES, [writer.lower(value.name), _pack(value.to_frame("values"), writer)]
    if isinstance(value, pd.Index) and type(value).__module__.partition(".")[0] == "pandas":
        return Code.PANDAS_INDEX, _pack(pd.DataFrame(index=value), writer)
    return None


def load(code: Code, payload: Any, _: Reader) -> object:
    """Give it back."""
    if code is Code.PANDAS_SERIES:
        if type(payload) is not list:  # a stored object would be asked to iterate
            msg = "a stored pandas series is not as it was written"
            raise Corrupted(msg)
        name, packed = payload
        series = unpack_table(packed).to_pandas()["values"]
        series.name = name
        return series
    frame = unpack_table(payload).to_pandas()
    if type(frame) is not pd.DataFrame:
        msg = "a stored pandas frame is none"
        raise Corrupted(msg)
    return frame.index if code is Code.PANDAS_INDEX else frame


def _pack(frame: pd.DataFrame, writer: Writer) -> bytes:
    if frame.columns.nlevels == 1 and "mixed" in pd.api.types.infer_dtype(frame.columns):
        reason = "its column names are of several types, which Arrow turns into strings; make them all strings"
        raise Refused(reason)
    levels = [frame.index.get_level_values(level) for level in range(frame.index.nlevels)]
    for name, column in (*frame.items(), *(("index", pd.Series(level)) for level in levels)):
        if column.dtype == object:
            content = pd.api.types.infer_dtype(column, skipna=True)
            if content not in _FAITHFUL:
                reason = f"its column {name!r} has dtype object and holds {content} values; give it one plain type"
                raise Refused(reason)
    try:
        table = pa.Table.from_pandas(frame)
    except (pa.ArrowException, ValueError, TypeError) as error:
        reason = f"a pandas {type(frame).__name__} is stored as an Arrow table, and Arrow cannot hold it: {error}"
        raise Refused(reason) from error
    if writer.canonical and table.schema.metadata and b"pandas" in table.schema.metadata:
        # Otherwise an upgrade of pandas would change every digest.
        described = {k: v for k, v in json.loads(table.schema.metadata[b"pandas"]).items() if k not in _VERSIONED}
        table = table.replace_schema_metadata({"pandas": json.dumps(described, sort_keys=True)})
    return pack_table(table, writer)
