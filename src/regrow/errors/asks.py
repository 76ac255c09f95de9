"""What is wrong with a question to people, with an answer, or with the message that brings one."""

from __future__ import annotations

from regrow.errors.root import RegrowError


class AskError(RegrowError):
    """Something about a question to people.

    Attributes:
        ask: the question's id (or what the user typed for it).
    """

    def __init__(self, ask: str, message: str) -> None:
        super().__init__(message)
        self.ask = ask


class UnknownAsk(AskError, LookupError):
    """The store has no such question."""


class AskClosed(AskError):
    """The question can't be answered any more, or not by this person."""


class UnfitAnswer(AskError, ValueError):
    """The answer is not what was asked for.

    Attributes:
        where: the field that does not fit, such as ``answer.items[3].price``.
        reason: what is wrong with it.
    """

    def __init__(self, ask: str, where: str, reason: str) -> None:
        super().__init__(ask, f"{where}: {reason}")
        self.where = where
        self.reason = reason


class BadSignature(RegrowError):
    """A signed message that is forged, was changed on its way, is too old, or was used before."""
