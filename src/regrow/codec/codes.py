"""The numbers that stand for kinds of values in stored bytes.

**Codes are forever.** A number that has been released is never given another meaning and never reused, and the payload
of a kind only ever grows at its end; a kind that must change gets a new number. Otherwise yesterday's journal would be
read as something else, silently.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

FORMAT: Final = 1
"""The envelope's version: the first byte of everything that is encoded."""

MAX_DEPTH: Final = 100
"""How deeply values may be nested.

Both directions recurse, so this keeps them within Python's own limit of 1,000 frames even when user code is already
deep. JSON from models stays under 20; whoever needs more has a linked list, which should be a list.
"""


class Code(IntEnum):
    """What an Ext of MessagePack holds (0 to 127; negative ones belong to MessagePack itself)."""

    # Containers and builtins
    TUPLE = 1
    SET = 2
    FROZENSET = 3
    PAIRS = 4  # a dict with keys other than str
    BYTEARRAY = 5
    BIG_INT = 6
    COMPLEX = 7
    SURROGATES = 8  # a str that UTF-8 cannot hold, such as an undecodable file name
    RANGE = 9

    # The standard library
    DATETIME = 20
    DATE = 21
    TIME = 22
    TIMEDELTA = 23
    DECIMAL = 24
    FRACTION = 25
    UUID = 26
    PATH = 27

    # By name, from the allow-list: [name, state]
    ENUM = 40
    DATACLASS = 41
    MODEL = 42  # pydantic
    STRUCT = 43  # msgspec
    NAMEDTUPLE = 44
    SCALAR = 45  # a subclass of str, int, float or bytes
    EXCEPTION = 46

    # regrow's own
    FILE = 60
    DIR = 61
    SECRET = 62  # a reference to an environment variable
    REFERENCE = 63  # one of regrow's tasks or steps

    # Arrays and tables
    NUMPY_ARRAY = 80
    NUMPY_SCALAR = 81
    ARROW_TABLE = 84
    ARROW_BATCH = 85
    ARROW_ARRAY = 86
    ARROW_CHUNKED = 87
    PANDAS_FRAME = 90
    PANDAS_SERIES = 91
    PANDAS_INDEX = 92
    POLARS_FRAME = 95
    POLARS_SERIES = 96

    # Only ever hashed, never stored
    OPAQUE = 120
    HIDDEN = 121


NAMED: Final = frozenset({Code.ENUM, Code.DATACLASS, Code.MODEL, Code.STRUCT, Code.NAMEDTUPLE, Code.SCALAR})
"""Kinds that are an instance of one of the user's classes, found by name."""
