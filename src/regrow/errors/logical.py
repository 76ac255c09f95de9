"""Logical failures: the code's own exceptions, and what people said or did not say."""

from __future__ import annotations

from regrow.errors.failure import Failure, Layer
from regrow.remedies import GiveUp, Remedy, RetryAfter


class Raised(Failure):
    """Stands for an exception of the code's own where a policy is asked for a remedy; `error` is that exception."""

    layer: Layer = "logical"

    def __init__(self, error: BaseException) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.error = error


class NoAnswer(Failure, TimeoutError):
    """Nobody answered a question, or no signal came, within the time that was given for it.

    Attributes:
        path: the call that waited.
        limit: how long that was, in seconds; None if the code does not say so any more.
    """

    layer: Layer = "logical"

    def __init__(self, path: str, limit: float | None, what: str = "nobody answered") -> None:
        super().__init__(f"{path}: {what} in time" if limit is None else f"{path}: {what} within {limit:g} s")
        self.path = path
        self.limit = limit

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """To wait again, or to do without."""
        return (RetryAfter(0.0), GiveUp())


class Denied(Failure):
    """A call was not approved, and was not executed.

    Attributes:
        path: the call.
        who: who said no; empty if nobody said anything in time.
        why: the reason that they gave.
    """

    layer: Layer = "logical"

    def __init__(self, path: str, who: str, why: str = "") -> None:
        by = f"was denied by {who}" if who else "was not approved in time"
        super().__init__(f"{path} {by}{f': {why}' if why else ''}; it was not executed")
        self.path = path
        self.who = who
        self.why = why

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """None: a person has decided."""
        return (GiveUp(),)


class ForeignError(Failure):
    """Stands for a recorded exception whose class is not loaded in this process.

    Attributes:
        type_name: the class that was recorded, as ``module:qualname``.
        text: what ``str()`` of the exception gave.
    """

    layer: Layer = "logical"

    def __init__(self, type_name: str, text: str) -> None:
        super().__init__(f"{type_name}: {text}")
        self.type_name = type_name
        self.text = text
