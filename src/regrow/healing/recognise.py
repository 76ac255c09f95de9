"""What regrow's own name for an exception is: the typed view that a policy, a model or a person is shown.

Users' exceptions keep their types wherever they are caught. But a remedy is chosen by what happened: a rate limit has a
class of its own in each library, and running out of memory or disk is told by Python's own classes. How a failure of
the network is recognised, and how that outlives a worker, is in `regrow.codec.network`.
"""

from __future__ import annotations

import errno
from typing import Any, Final

from msgspec import Struct

from regrow.codec.error_record import NetworkView, record_of
from regrow.codec.naming import type_name
from regrow.codec.network import network_view
from regrow.errors import (
    Confidence,
    ConnectionLost,
    DiskFull,
    Failure,
    ForeignError,
    OutOfMemory,
    Raised,
    RateLimited,
    Unavailable,
)

_FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class _Seen(Struct, frozen=True):
    """What an exception was recognised as, and why."""

    failure: Failure
    because: str
    confidence: Confidence = "certain"


def failure_of(error: BaseException, *, path: str = "", now: float | None = None) -> Failure:
    """Give the typed view of any exception.

    Does not raise. The view's ``__cause__`` is the exception, and its facts hold the exception's class and text. Of an
    exception that came from a worker or out of the journal it is the view that was taken where it was raised.

    Args:
        error: any exception. A `Failure` is its own view; one that stands for an exception of an unknown class is so
            only where nothing more was recorded.
        path: the call that it ended, where that is to be said.
        now: seconds since the epoch, for a server that names the moment of its return and not its own time.
    """
    if isinstance(error, Failure) and not isinstance(error, ForeignError):
        return error
    seen = _recognised(error, path, now)
    if seen is None and isinstance(error, Failure):
        return error
    if seen is None:
        seen = _Seen(_raised(error), "nothing about it is known to regrow")
    failure = seen.failure
    failure.explained(
        confidence=seen.confidence,
        evidence=(f"{_class_of(error)} was raised: {seen.because}",),
        facts={"class": _class_of(error), "error": _text(error)} | _said(failure),
    )
    if path:
        failure.path = path
    failure.__cause__ = error
    return failure


def _recognised(error: BaseException, path: str, now: float | None) -> _Seen | None:
    view = network_view(error, now=now)
    if view is not None:
        return _Seen(_of_the_network(view, error), view.because, view.confidence)
    if isinstance(error, MemoryError):
        none_left = "memory was refused, or code said so; whose limit it was is not known"
        return _Seen(OutOfMemory(path, peak=None, limit=None), none_left, "likely")
    number = _errno(error)
    if number in _FULL_ERRNOS:
        refused = f"the operating system refused a write ({errno.errorcode[number]})"
        return _Seen(DiskFull(path, used=None, limit=None), refused)
    return None


def _of_the_network(view: NetworkView, error: BaseException) -> Failure:
    status, wait = view.status, view.retry_after
    code = "" if status is None else f" (HTTP {status})"
    match view.kind:
        case "rate-limited":
            when = "later" if wait is None else f"in {wait:g} s"
            text = f"a service asked to come back {when}{code}: {_text(error)}"
            return RateLimited(text, retry_after=wait, status=status)
        case "unavailable":
            text = f"a service could not answer now{code}: {_text(error)}"
            return Unavailable(text, status=status, retry_after=wait)
        case "connection-lost":
            name = _class_of(error).rpartition(":")[2].rpartition(".")[2]
            return ConnectionLost(f"the network failed: {name}: {_text(error)}")


def _errno(error: BaseException) -> int:
    """Give the number of an operating system's error; 0 for none."""
    # Read past any property of the same name in somebody's class.
    number = OSError.__dict__["errno"].__get__(error) if isinstance(error, OSError) else 0
    return number if isinstance(number, int) else 0


def _class_of(error: BaseException) -> str:
    """Name the class that was raised, which need not be known here."""
    record = record_of(error)
    return type_name(type(error)) if record is None else record.type


def _said(failure: Failure) -> dict[str, Any]:
    return {name: value for name in ("status", "retry_after") if (value := getattr(failure, name, None)) is not None}


def _raised(error: BaseException) -> Raised:
    try:
        return Raised(error)
    except Exception:  # noqa: BLE001 - its ``__str__`` raises
        failure = Raised.__new__(Raised, f"{type(error).__name__}: {_text(error)}")
        failure.error = error
        return failure


def _text(error: BaseException) -> str:
    record = record_of(error)
    if record is not None:
        return record.message
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - somebody else's ``__str__``
        return "its text cannot be read"
