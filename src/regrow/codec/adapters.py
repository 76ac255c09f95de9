"""Kinds whose code is loaded only when such a value or code turns up.

Importing NumPy, pandas or Arrow costs up to a second, and most processes hold none of their values. The modules are
named here, in a table of constants: nothing is ever imported by a name out of data.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol

from regrow.codec.codes import Code
from regrow.codec.refusal import Refused
from regrow.errors import UsageError

if TYPE_CHECKING:
    from regrow.codec.reading import Reader
    from regrow.codec.writer import Writer


class Adapter(Protocol):
    """What such a module offers."""

    def dump(self, value: Any, writer: Writer) -> tuple[Code, object] | None:
        """Give a value's code and payload, None if it is of no kind that the module knows."""

    def load(self, code: Code, payload: Any, reader: Reader) -> object:
        """Give the value back."""


_OF_PACKAGE: Final[Mapping[str, str]] = {
    "numpy": "regrow.codec.arrays",
    "pyarrow": "regrow.codec.tables",
    "pandas": "regrow.codec.pandas_frames",
    "polars": "regrow.codec.polars_frames",
}
_EXCEPTIONS: Final = "regrow.codec.failures"
_OF_CODE: Final[Mapping[Code, str]] = {
    Code.EXCEPTION: _EXCEPTIONS,
    **dict.fromkeys((Code.NUMPY_ARRAY, Code.NUMPY_SCALAR), _OF_PACKAGE["numpy"]),
    **dict.fromkeys(
        (Code.ARROW_TABLE, Code.ARROW_BATCH, Code.ARROW_ARRAY, Code.ARROW_CHUNKED),
        _OF_PACKAGE["pyarrow"],
    ),
    **dict.fromkeys((Code.PANDAS_FRAME, Code.PANDAS_SERIES, Code.PANDAS_INDEX), _OF_PACKAGE["pandas"]),
    **dict.fromkeys((Code.POLARS_FRAME, Code.POLARS_SERIES), _OF_PACKAGE["polars"]),
}


def adapter_for(value: object) -> Adapter | None:
    """Give the module that may know a value, None if there is none.

    Raises:
        Refused: the value needs a package that is not installed.
    """
    if isinstance(value, BaseException):
        return _loaded(_EXCEPTIONS)
    package = type(value).__module__.partition(".")[0]
    module = _OF_PACKAGE.get(package)
    if module is None:
        return None
    try:
        return _loaded(module)
    except ImportError as error:
        name = f"{package} {type(value).__name__}"
        reason = f"a {name} is stored as an Arrow table: pip install 'regrow[arrow]' ({error})"
        raise Refused(reason) from error


def adapter_of(code: Code) -> Adapter | None:
    """Give the module that reads a code, None if it is read elsewhere.

    Raises:
        UsageError: it needs a package that is not installed.
    """
    module = _OF_CODE.get(code)
    if module is None:
        return None
    try:
        return _loaded(module)
    except ImportError as error:
        msg = f"a stored {code.name.lower()} cannot be read here: {error}; pip install 'regrow[arrow]'"
        raise UsageError(msg) from error


@functools.cache
def _loaded(module: str) -> Adapter:
    return import_module(module)  # a module is an Adapter by its two functions
