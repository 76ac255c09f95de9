"""NumPy arrays and scalars: their dtype, shape and bytes in C order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.lib.format import descr_to_dtype, dtype_to_descr

from regrow.codec.codes import Code
from regrow.codec.refusal import Refused
from regrow.errors import Corrupted

if TYPE_CHECKING:
    from regrow.codec.reading import Reader
    from regrow.codec.writer import Writer


def dump(value: Any, writer: Writer) -> tuple[Code, object] | None:
    """Give an array's or scalar's code and payload; None for a subclass, whose further state would be lost."""
    if type(value) is not np.ndarray and (not isinstance(value, np.generic) or type(value) is not value.dtype.type):
        return None
    descr = writer.lower(_described(value.dtype))
    if isinstance(value, np.generic):
        return Code.NUMPY_SCALAR, [descr, value.tobytes()]
    return Code.NUMPY_ARRAY, [descr, list(value.shape), value.tobytes()]


def load(code: Code, payload: Any, _: Reader) -> object:
    """Give the array or scalar back; an array is writable and owns its memory."""
    if type(payload) is not list:  # a stored object would be asked to iterate
        msg = "a stored array is not as it was written"
        raise Corrupted(msg)
    descr, *shape, raw = payload
    if not _is_plain(descr):
        msg = "a stored array's dtype is not described as one"
        raise Corrupted(msg)
    dtype = np.dtype(descr_to_dtype(descr))
    if dtype.hasobject:
        msg = "a stored array holds Python objects"  # pointers out of data
        raise Corrupted(msg)
    dimensions = shape[0] if code is Code.NUMPY_ARRAY else []
    if type(dimensions) is not list or any(type(n) is not int for n in dimensions):
        msg = "a stored array's shape is not one"
        raise Corrupted(msg)
    # Before numpy allocates: a few damaged bytes must not ask for all of memory.
    if type(raw) is not bytes or min(dimensions, default=0) < 0 or math.prod(dimensions) * dtype.itemsize != len(raw):
        msg = "a stored array's bytes do not fit its shape"
        raise Corrupted(msg)
    array: Any = np.ndarray(dimensions, dtype, raw).copy()
    return array if code is Code.NUMPY_ARRAY else array[()]


def _is_plain(descr: object) -> bool:
    """Tell whether a description holds nothing of the user's, which NumPy would ask for its length and its items."""
    if type(descr) in {list, tuple}:
        return all(map(_is_plain, cast("list[object]", descr)))
    return type(descr) in {str, int}


def _described(dtype: np.dtype[Any]) -> object:
    if dtype.hasobject:
        reason = f"a NumPy array of dtype {dtype} holds Python objects; give it a plain dtype, or use .tolist()"
        raise Refused(reason)
    descr = dtype_to_descr(dtype)
    if descr_to_dtype(descr) != dtype:
        reason = f"the NumPy dtype {dtype} cannot be described, as another package defines it; use .astype() first"
        raise Refused(reason)
    return descr
