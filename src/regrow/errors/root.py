"""The root of regrow's errors, and what is said to whoever wrote the code."""

from __future__ import annotations


class RegrowError(Exception):
    """The root of regrow's own errors."""


class UsageError(RegrowError):
    """The code asks for something that cannot work; the message says what to write instead."""


class NotInRun(UsageError):
    """The call needs a run around it."""


class NotStorable(RegrowError, TypeError):
    """A value that cannot be written to the journal.

    Attributes:
        where: the value's path as a user would write it, such as ``result.items[3].handle``.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class Divergence(RegrowError):
    """The code no longer fits its journal.

    Attributes:
        path: the call at which the two part.
        reason: what differs, in words.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason
