"""What regrow's own name for an exception is: the typed view that a policy, a model or a person is shown.

Users' exceptions keep their types wherever they are caught. But a remedy is chosen by what happened, and a rate limit
is one and the same thing in six libraries with six classes. None of them is imported here. An exception is recognised
by the names of the classes that it descends from, which its own library has loaded by then, and read by their
documented attributes. Messages are shown and never searched: their wording is nobody's promise. What code raises in
place of such an exception is that code's own word, and is left at that.

Looked up in the sources of httpx 0.28, httpx2 2.16 (on which the next two are built since late), openai 3.54,
anthropic 2.12, aiohttp 3.14, requests 2.34, urllib3 2.8 and CPython 3.11.
"""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC
from email.utils import parsedate_to_datetime
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct

from regrow.codec.naming import type_name
from regrow.errors import (
    Confidence,
    ConnectionLost,
    DiskFull,
    Failure,
    OutOfMemory,
    Raised,
    RateLimited,
    Unavailable,
)
from regrow.values.backoff import asked_wait

RATE_LIMITED: Final = frozenset({429, 529})
"""429 Too Many Requests (RFC 6585); 529 is Anthropic's ``overloaded_error``."""
_UNAVAILABLE: Final = 503
"""RFC 9110. With a Retry-After it is a request to come back, and taken for one."""
_TRANSIENT: Final = frozenset({408, 425})
"""Request Timeout (RFC 9110) and Too Early (RFC 8470): refused at that moment, not for what they ask."""
_FOR_GOOD: Final = frozenset({501, 505, 506, 510, 511})
"""Server errors that the same request meets again: not implemented, misconfigured, a login that the network wants."""

_STATUS_OF: Final = {
    "httpx:HTTPStatusError": "response.status_code",
    "httpx2:HTTPStatusError": "response.status_code",
    "aiohttp:ClientResponseError": "status",
    "requests:RequestException": "response.status_code",
    "urllib:HTTPError": "code",
    "openai:APIStatusError": "status_code",
    "anthropic:APIStatusError": "status_code",
}
"""Where a class keeps its HTTP status. Classes are named by the root of their package, as modules in it may move."""

_IN_A_STREAM: Final = {
    "rate_limit_error": 429,
    "overloaded_error": 529,
    "api_error": 500,
    "timeout_error": 504,
    "rate_limit_exceeded": 429,
    "server_error": 500,
}
"""Errors that the model providers send after the 200 of a streamed answer, by ``error.type`` or ``error.code``, with
the status that each has where it comes at once. The first four are Anthropic's, the others OpenAI's."""
_PROVIDERS: Final = frozenset({"openai:APIError", "anthropic:APIError"})

_HTTPX: Final = ("httpx", "httpx2", "httpcore", "httpcore2")
_LOST: Final = frozenset(
    {
        *(f"{one}:{name}" for one in _HTTPX for name in ("TimeoutException", "NetworkError", "RemoteProtocolError")),
        *(f"{one}:ProxyError" for one in _HTTPX),
        *(f"aiohttp:{name}" for name in ("ClientConnectionError", "ClientPayloadError", "UploadAbortedError")),
        *(f"requests:{name}" for name in ("ConnectionError", "Timeout", "ChunkedEncodingError")),
        *(f"urllib3:{name}" for name in ("TimeoutError", "ProtocolError", "ProxyError", "SSLError")),
        *("openai:APIConnectionError", "anthropic:APIConnectionError"),
        *("urllib:ContentTooShortError", "http:IncompleteRead"),
    }
)
_IN_VAIN: Final = frozenset(
    {
        *(f"{one}:{name}" for one in _HTTPX for name in ("LocalProtocolError", "UnsupportedProtocol")),
        "aiohttp:ServerFingerprintMismatch",
        "ssl:SSLCertVerificationError",
    }
)
"""What is called a failed connection by its library, and will fail in the same way in a second, too: a request that is
none (an API key with a line break in it, say), or another party's certificate."""
_GIVEN_UP: Final = frozenset({"requests:RetryError", "urllib3:ResponseError"})
"""The library's own retries met nothing but answers that were to be retried; which status it was is not kept."""
_WRAPPERS: Final = frozenset({"urllib:URLError", "urllib3:MaxRetryError"})
"""What they are about is their ``reason``."""

_LOST_ERRORS: Final = (
    *(ConnectionError, socket.gaierror, socket.herror),
    *(ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError),
)
_LOST_ERRNOS: Final = frozenset(
    {errno.ETIMEDOUT, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH}
)
"""Those for which Python has no class of their own, or, as for ETIMEDOUT, one that means much else besides."""
_FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NETWORK_MODULES: Final = frozenset({"socket", "ssl", "http.client", "aiohttp.helpers"})
"""Whose timeouts are bare TimeoutErrors; the last one is where aiohttp keeps a request's ``total``."""

_DEEP: Final = 16
_SECONDS: Final = re.compile(r"\d{1,9}(\.\d{0,9})?", re.ASCII)


class _Seen(Struct, frozen=True):
    """What an exception was recognised as, and why."""

    failure: Failure
    because: str
    confidence: Confidence = "certain"


def failure_of(error: BaseException, *, path: str = "", now: float | None = None) -> Failure:
    """Give the typed view of any exception.

    Does not raise. The view's ``__cause__`` is the exception, and its facts hold the exception's class and text.

    Args:
        error: any exception. A `Failure` is its own view.
        path: the call that it ended, where that is to be said.
        now: seconds since the epoch, for a server that names the moment of its return and not its own time.
    """
    if isinstance(error, Failure):
        return error
    try:
        seen = _recognised(error, path, now)
    except Exception:  # noqa: BLE001 - an exception's attributes may run anything; then nothing is recognised
        seen = None
    if seen is None:
        seen = _Seen(_raised(error), "nothing about it is known to regrow")
    failure = seen.failure
    failure.explained(
        confidence=seen.confidence,
        evidence=(f"{type_name(type(error))} was raised: {seen.because}",),
        facts={"class": type_name(type(error)), "error": _text(error)} | _said(failure),
    )
    if path:
        failure.path = path
    failure.__cause__ = error
    return failure


def retry_after_of(error: BaseException, *, now: float | None = None) -> float | None:
    """Give the wait in seconds that whoever failed asked for; None if it did not say, or not legibly.

    An attribute ``retry_after`` of the exception is believed first, then the headers of its answer: ``retry-after-ms``
    (OpenAI and Azure), and ``Retry-After`` in both forms of RFC 9110. A date is taken relative to the answer's own
    ``Date``, because the two clocks may differ. The ``x-ratelimit-reset-…`` headers are not read: their meaning and
    units are each provider's own.

    Args:
        error: any exception.
        now: as for `failure_of`. Without it, a date that comes without a ``Date`` is not understood.
    """
    try:
        asked = asked_wait(error)
        return asked if asked is not None else _asked_in_headers(_headers(error), now)
    except Exception:  # noqa: BLE001 - as in `failure_of`: a wait must never come out of something misread
        return None


def _recognised(error: BaseException, path: str, now: float | None) -> _Seen | None:
    names = _names(error)
    wait = retry_after_of(error, now=now)
    status, because = _status(error, names)
    if status is not None and (failure := _by_status(error, status, wait)) is not None:
        return _Seen(failure, because)
    if asked_wait(error) is not None:
        return _Seen(_rate_limited(error, status, wait), "its attribute retry_after asks for a wait")
    if names & _GIVEN_UP:
        return _Seen(Unavailable(f"a service could not answer: {_text(error)}"), "the client's own retries ran out")
    if names & _WRAPPERS and isinstance(reason := getattr(error, "reason", None), Exception):
        return _recognised(reason, path, now)
    if (lost := _by_network(error, names)) is not None:
        return lost
    if isinstance(error, MemoryError):
        none_left = "memory was refused, or code said so; whose limit it was is not known"
        return _Seen(OutOfMemory(path, peak=None, limit=None), none_left, "likely")
    if isinstance(error, OSError) and error.errno in _FULL_ERRNOS:
        refused = f"the operating system refused a write ({errno.errorcode[error.errno]})"
        return _Seen(DiskFull(path, used=None, limit=None), refused)
    return None


def _by_status(error: BaseException, status: int, wait: float | None) -> Failure | None:
    if status in RATE_LIMITED or (status == _UNAVAILABLE and wait is not None):
        return _rate_limited(error, status, wait)
    if status in _TRANSIENT or (500 <= status < 600 and status not in _FOR_GOOD):  # noqa: PLR2004 - RFC 9110 calls it 5xx
        text = f"a service could not answer now (HTTP {status}): {_text(error)}"
        return Unavailable(text, status=status, retry_after=wait)
    return None


def _rate_limited(error: BaseException, status: int | None, wait: float | None) -> RateLimited:
    when = "later" if wait is None else f"in {wait:g} s"
    code = "" if status is None else f" (HTTP {status})"
    return RateLimited(f"a service asked to come back {when}{code}: {_text(error)}", retry_after=wait, status=status)


def _by_network(error: BaseException, names: frozenset[str]) -> _Seen | None:
    if any(_names(each) & _IN_VAIN for each in _made_of(error)):
        return None
    failure = ConnectionLost(f"the network failed: {type(error).__name__}: {_text(error)}")
    if names & _LOST:
        return _Seen(failure, f"its library calls it a {min(names & _LOST).partition(':')[2]}")
    if isinstance(error, _LOST_ERRORS):
        return _Seen(failure, "a connection failed")
    if isinstance(error, OSError) and error.errno in _LOST_ERRNOS:
        return _Seen(failure, f"the operating system said {errno.errorcode[error.errno]}")
    if isinstance(error, TimeoutError) and _comes_from_a_socket(error):
        return _Seen(failure, "it arose where a socket was waited for", "likely")
    return None


def _names(error: BaseException) -> frozenset[str]:
    """Name the classes that it descends from, as ``package:Class``."""
    return frozenset(f"{cls.__module__.partition('.')[0]}:{cls.__name__}" for cls in type(error).__mro__)


def _status(error: BaseException, names: frozenset[str]) -> tuple[int | None, str]:
    status = next((_read(error, _STATUS_OF[name]) for name in _STATUS_OF if name in names), None)
    if names & _PROVIDERS and (status is None or status < 300):  # noqa: PLR2004 - no error, so it came in a stream
        for said in (_read(error, "type"), _read(error, "code")):
            if isinstance(said, str) and said in _IN_A_STREAM:
                return _IN_A_STREAM[said], f"it says {said!r} within a stream"
    return (status, f"it carries HTTP status {status}") if isinstance(status, int) else (None, "")


def _headers(error: BaseException) -> dict[str, str]:
    for where in ("headers", "response.headers"):
        found = _read(error, where)
        if found is not None:
            return {str(name).lower(): str(value) for name, value in found.items()}
    return {}


def _asked_in_headers(headers: dict[str, str], now: float | None) -> float | None:
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        given = headers.get(name, "").strip()
        if _SECONDS.fullmatch(given):
            return float(given) / unit
    moment = _moment(headers.get("retry-after"))
    at = _moment(headers.get("date"))
    since = at if at is not None else now
    return max(0.0, moment - since) if moment is not None and since is not None else None


def _moment(date: str | None) -> float | None:
    if not date:
        return None
    try:
        read = parsedate_to_datetime(date)
    except ValueError:
        return None
    return (read if read.tzinfo is not None else read.replace(tzinfo=UTC)).timestamp()


def _made_of(error: BaseException) -> Iterator[BaseException]:
    """Give an exception and those out of which its library made it.

    ``__context__`` is left out: what was being handled when another error arose need not be why it arose.
    """
    waiting, known = [error], {id(error)}
    while waiting and len(known) <= _DEEP:
        each = waiting.pop()
        yield each
        for other in (each.__cause__, getattr(each, "reason", None), *each.args):
            if isinstance(other, BaseException) and id(other) not in known:
                known.add(id(other))
                waiting.append(other)


def _comes_from_a_socket(error: TimeoutError) -> bool:
    """Tell the network's timeout from any other: it was raised, or passed on, by a module that reads sockets."""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_globals.get("__name__") in _NETWORK_MODULES:
            return True
        traceback = traceback.tb_next
    return False


def _read(error: BaseException, where: str) -> Any:
    try:
        return attrgetter(where)(error)
    except Exception:  # noqa: BLE001 - a property of somebody else's
        return None


def _said(failure: Failure) -> dict[str, Any]:
    return {name: value for name in ("status", "retry_after") if (value := getattr(failure, name, None)) is not None}


def _raised(error: BaseException) -> Raised:
    try:
        return Raised(error)
    except Exception:  # noqa: BLE001 - its ``__str__`` raises
        failure = Raised.__new__(Raised, _text(error))
        failure.error = error
        return failure


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - somebody else's ``__str__``
        return f"{type(error).__name__}, whose text cannot be read"
