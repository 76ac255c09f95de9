"""Where an exception went through: the frames of its traceback, as text."""

from __future__ import annotations

import linecache
import os
import sysconfig
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from regrow.values.secret import redact

FIRST_FRAMES: Final = 20
LAST_FRAMES: Final = 40
_LONGEST_LINE: Final = 200


class Frame(msgspec.Struct, frozen=True, omit_defaults=True):
    """One frame of a traceback.

    Attributes:
        file: the source file.
        line: the line in it, from 1.
        function: the function's qualified name.
        code: the line's text, without secrets; empty if the source is not at hand.
        own: whether it is the user's code, rather than regrow's, the standard library's or an installed package's.
    """

    file: str
    line: int
    function: str
    code: str = ""
    own: bool = False


def frames_of(traceback: TracebackType | None) -> tuple[Frame, ...]:
    """Give the frames of a traceback, outermost first: of a deep recursion, the first and last ones.

    Args:
        traceback: an exception's ``__traceback__``.
    """
    first: list[TracebackType] = []
    last: deque[TracebackType] = deque(maxlen=LAST_FRAMES)
    while traceback is not None:
        (first if len(first) < FIRST_FRAMES else last).append(traceback)
        traceback = traceback.tb_next
    return tuple(_frame(part) for part in (*first, *last))


def _frame(traceback: TracebackType) -> Frame:
    code = traceback.tb_frame.f_code
    line = traceback.tb_lineno or code.co_firstlineno  # None for an instruction that belongs to no line
    # With the frame's globals, so that code from a zip file or a notebook is found as well.
    text = linecache.getline(code.co_filename, line, traceback.tb_frame.f_globals).strip()
    return Frame(
        file=clean(code.co_filename),
        line=line,
        function=clean(code.co_qualname),
        code=clean(text)[:_LONGEST_LINE],
        own=is_own(code.co_filename),
    )


def clean(text: str) -> str:
    """Make text fit to be stored: without secrets, and without what UTF-8 cannot hold."""
    return redact(text).encode("utf-8", "backslashreplace").decode()


_REGROW: Final = str(Path(__file__).resolve().parents[1]) + os.sep
_EXAMPLES: Final = f"{_REGROW}examples{os.sep}"
_STANDARD: Final = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib")})


def is_own(file: str) -> bool:
    """Tell whether a file is the user's own, and not regrow's, the standard library's or an installed package's.

    regrow's examples are written as a user would, and count as that: `regrow why` points into them.
    """
    if file.startswith("<frozen "):
        return False
    if file.startswith(_EXAMPLES):
        return True
    parts = Path(file).parts
    if "site-packages" in parts or "dist-packages" in parts:
        return False
    return not file.startswith((_REGROW, *_STANDARD))
