"""What an author says about a call that a person must approve before it runs."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from regrow.errors import UsageError
from regrow.remedies import AskHuman
from regrow.values.durations import Duration, seconds


class Approve(msgspec.Struct, frozen=True):
    """Who must approve a call before it runs, and what holds if nobody does.

    Attributes:
        to: who may approve: a name, or several; anybody if left out.
        approvals: how many different people must say yes. One who says no decides.
        timeout: how long to wait: seconds, ``"2d"``, or a timedelta; for ever if left out.
        default: what holds after that: False for not approved.
        remind: how often to remind them.
        question: what to ask; otherwise whether the call may be made.
    """

    to: str | Sequence[str] = ()
    approvals: int = 1
    timeout: Duration | None = None
    default: bool = False
    remind: Duration | None = None
    question: str = ""


def approval(given: object, *, owner: str) -> Approve | None:
    """Read what ``approve=`` was given.

    Args:
        given: True, False, None, or an `Approve`.
        owner: how errors name the place.

    Raises:
        UsageError: it is something else, or a part of it cannot be.
    """
    match given:
        case None | False:
            return None
        case True:
            return Approve()
        case Approve():
            return msgspec.structs.replace(
                given,
                to=names(given.to, owner=owner),
                approvals=count(given.approvals, owner=owner),
                timeout=span(given.timeout, what=f"{owner}: timeout"),
                remind=span(given.remind, what=f"{owner}: remind", positive=True),
            )
        case _:
            raise UsageError(f"{owner}: approve={given!r} cannot be; it takes True, or regrow.Approve(to=…, …)")


def advice(given: AskHuman, *, owner: str) -> AskHuman:
    """Read what was written as an `AskHuman`.

    Raises:
        UsageError: a part of it cannot be.
    """
    return AskHuman(
        names(given.to, owner=owner),
        span(given.timeout, what=f"{owner}: timeout"),
        span(given.remind, what=f"{owner}: remind", positive=True),
    )


def names(given: object, *, owner: str) -> tuple[str, ...]:
    """Read one name, or several."""
    found = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, list | tuple) else (None,)
    if not all(isinstance(one, str) and one.strip() for one in found):
        raise UsageError(f"{owner}: to= takes a name, or a list of names; it is {given!r}")
    return tuple(str(one).strip() for one in found)


def count(given: object, *, owner: str) -> int:
    """Read how many people must say yes."""
    if isinstance(given, int) and not isinstance(given, bool) and given >= 1:
        return given
    raise UsageError(f"{owner}: approvals= takes a whole number, 1 or more; it is {given!r}")


def span(given: Duration | None, *, what: str, positive: bool = False) -> float | None:
    """Read a span of time, if there is one."""
    if given is None:
        return None
    found = seconds(given, what=what)
    if positive and not found:
        raise UsageError(f"{what} must be more than nothing")
    return found
