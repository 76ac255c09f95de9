"""Python's own exceptions: what they hold outside of ``args`` and ``__dict__``, and how a bare one is made."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from regrow.codec.naming import lineage, own_names

_UNICODE: Final = ("encoding", "object", "start", "end", "reason")
_FIELDS: Final[Mapping[type[BaseException], tuple[str, ...]]] = {
    OSError: ("errno", "strerror", "filename", "filename2"),
    UnicodeDecodeError: _UNICODE,
    UnicodeEncodeError: _UNICODE,
    UnicodeTranslateError: ("object", "start", "end", "reason"),
    SyntaxError: ("msg", "filename", "lineno", "offset", "text", "end_lineno", "end_offset", "print_file_and_line"),
    ImportError: ("msg", "name", "path"),
    NameError: ("name",),
    AttributeError: ("name",),  # not obj: it is the live object that lacked the attribute
    StopIteration: ("value",),
    SystemExit: ("code",),
    BaseExceptionGroup: ("message",),  # read only: it is given to __new__
}


def is_builtin(cls: type) -> bool:
    """Tell whether a class is one of Python's own."""
    return cls in _BUILTIN


_BUILTIN: Final = frozenset(c for c in vars(builtins).values() if isinstance(c, type) and issubclass(c, BaseException))


def native_fields(exc: BaseException) -> dict[str, object]:
    """Give what an exception holds in fields of Python's own, where they are set."""
    found = {}
    for base, names in _FIELDS.items():
        if isinstance(exc, base):
            for name in names:
                value = _descriptor(base, name).__get__(exc)
                if value is not None:
                    found[name] = value
    return found


def set_native_fields(exc: BaseException, fields: Mapping[str, object]) -> None:
    """Set them again, past any property of the same name in the user's class."""
    for base, names in _FIELDS.items():
        if isinstance(exc, base):
            for name in names:
                if name in fields:
                    # Some are read only, and not every one takes the repr of what could not be stored.
                    with suppress(TypeError, OverflowError, AttributeError):
                        _descriptor(base, name).__set__(exc, fields[name])


def _descriptor(base: type, name: str) -> Any:
    return own_names(base)[name]


def bare(cls: type[BaseException], message: str, members: list[BaseException]) -> BaseException:
    """Make an exception of a class without calling any ``__new__`` or ``__init__`` but Python's own.

    Args:
        cls: its class.
        message: the message of a group.
        members: the exceptions in a group.

    Raises:
        TypeError: the class has a layout of its own (it was written in C), or a group has no fitting members.
    """
    # The first builtin class on the path of layouts (`__base__`), which is not always the first one in the MRO: of
    # `class E(ValueError, OSError)` it is OSError.
    base: Any = cls
    while base not in _BUILTIN:
        base = type.__dict__["__base__"].__get__(base)
    if BaseExceptionGroup in lineage(cls):
        return base.__new__(cls, message, members)  # type: ignore[no-any-return]
    return base.__new__(cls)  # type: ignore[no-any-return]
