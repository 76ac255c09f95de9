"""The traceback of an exception that was raised in a worker: told there, and made again here.

So an exception that nobody catches ends a program with the lines of the task that raised it, as if the task had run
where it was called; debuggers and error trackers find them where they look.

Nothing of what a worker has said is executed for that. Each frame is one of a function of ours, under the name of a
function of the task's. Rejected: the lines as a note, or as the text of a further cause, as `concurrent.futures` does
it; a user's exception would have notes and causes that its code never gave it.
"""

from __future__ import annotations

import sys
from types import FrameType, FunctionType, TracebackType
from typing import Any, Final

from regrow.codec import ErrorRecord
from regrow.codec.frames import Frame

_NO_INSTRUCTION: Final = -1
"""Then nobody looks for columns, which are not known."""


def give_traceback(error: BaseException, record: ErrorRecord) -> None:
    """Give an exception, what caused it and what is in it, the tracebacks that they had where they were raised.

    Args:
        error: what was rebuilt.
        record: from this.
    """
    error.__traceback__ = _traceback(record.frames)
    for inner, of in ((error.__cause__, record.cause), (error.__context__, record.context)):
        if inner is not None and of is not None:
            give_traceback(inner, of)
    if isinstance(error, BaseExceptionGroup):
        for member, of_member in zip(error.exceptions, record.members, strict=False):
            give_traceback(member, of_member)


def _traceback(frames: tuple[Frame, ...]) -> TracebackType | None:
    first = next((place for place, frame in enumerate(frames) if frame.own), 0)  # above it is how the task was called
    made: TracebackType | None = None
    for frame in reversed(frames[first:]):
        made = TracebackType(made, _frame(frame), _NO_INSTRUCTION, frame.line)
    return made


def _own_frame() -> FrameType:
    return sys._getframe()  # noqa: SLF001 - documented, and there is no other way to a frame


def _frame(told: Frame) -> FrameType:
    name = told.function.rpartition(".")[2] or told.function
    code = _own_frame.__code__.replace(
        co_filename=told.file, co_name=name, co_qualname=told.function, co_firstlineno=told.line
    )
    made: Any = FunctionType(code, {"sys": sys, "__name__": name})()
    frame: FrameType = made
    return frame
