"""Failures of the network, recognised from an exception: the part of the typed view that travels with its record.

A rate limit is one and the same thing in six libraries with six classes. None of them is imported here. An exception is
recognised by the names of the classes that it descends from, which its own library has loaded by then, and read by
their documented attributes. Messages are shown and never searched: their wording is nobody's promise. What code raises
in place of such an exception is that code's own word, and is left at that.

This is done when an exception is captured, and not when a remedy is sought: by then it may have come from a worker or
out of the journal, without the answer that said when to come back.

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

import msgspec

from regrow.codec.error_record import NetworkKind, NetworkView, record_of
from regrow.codec.naming import lineage
from regrow.errors import ConnectionLost, Failure, RateLimited, Unavailable
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
_NETWORK_MODULES: Final = frozenset({"socket", "ssl", "http.client", "aiohttp.helpers"})
"""Whose timeouts are bare TimeoutErrors; the last one is where aiohttp keeps a request's ``total``."""

_DEEP: Final = 16
_SECONDS: Final = re.compile(r"\d{1,9}(\.\d{0,9})?", re.ASCII)


def network_view(error: BaseException, *, now: float | None = None) -> NetworkView | None:
    """Give what an exception says of the network; None if it says nothing of it.

    Does not raise. An exception that was made again out of a record is what it was taken for then: its answer, its
    traceback and even its class may be missing here. A group is what all of its members are, with the longest wait that
    any of them asks for; if they differ, it is none of it.

    Args:
        error: any exception.
        now: seconds since the epoch, for a server that names the moment of its return and not its own time.
    """
    try:
        record = record_of(error)
        if record is not None and record.network is not None:
            return record.network
        if isinstance(error, Failure):
            return _established(error)
        if (view := _recognised(error, now)) is not None:
            return view
        return _of_all_members(error, now) if isinstance(error, BaseExceptionGroup) else None
    except Exception:  # noqa: BLE001 - an exception's attributes may run anything; then nothing is recognised
        return None


def retry_after_of(error: BaseException, *, now: float | None = None) -> float | None:
    """Give the wait in seconds that whoever failed asked for; None if it did not say, or not legibly.

    An attribute ``retry_after`` of the exception is believed first, then the headers of its answer: ``retry-after-ms``
    (OpenAI and Azure), and ``Retry-After`` in both forms of RFC 9110. A date is taken relative to the answer's own
    ``Date``, because the two clocks may differ. The ``x-ratelimit-reset-…`` headers are not read: their meaning and
    units are each provider's own.

    Args:
        error: any exception.
        now: seconds since the epoch. Without it, a date that comes without a ``Date`` is not understood.
    """
    try:
        asked = asked_wait(error)
        return asked if asked is not None else _asked_in_headers(_headers(error), now)
    except Exception:  # noqa: BLE001 - as in `network_view`: a wait must never come out of something misread
        return None


def _established(failure: Failure) -> NetworkView | None:
    match failure:
        case RateLimited():
            kind: NetworkKind = "rate-limited"
        case Unavailable():
            kind = "unavailable"
        case ConnectionLost():
            return NetworkView("connection-lost", because="regrow has recognised it")
        case _:
            return None  # a TimedOut, say, is a TimeoutError as well, and no socket's
    return NetworkView(kind, _http(failure.status), asked_wait(failure), "regrow has recognised it")


def _of_all_members(group: BaseExceptionGroup[BaseException], now: float | None) -> NetworkView | None:
    views: list[NetworkView] = []
    for leaf in _leaves(group):
        view = network_view(leaf, now=now)
        if view is None or (views and view.kind != views[0].kind):
            return None
        views.append(view)
    longest = max(views, key=lambda view: -1.0 if view.retry_after is None else view.retry_after)
    doubt = next((view.confidence for view in views if view.confidence != "certain"), longest.confidence)
    because = f"all of its {len(views)} errors are {longest.kind}; of the one with the longest wait, {longest.because}"
    return msgspec.structs.replace(longest, confidence=doubt, because=because)


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Give what is in a group and in the groups inside it, each once, however often it is in there."""
    waiting: list[BaseException] = [group]
    known = {id(group)}
    while waiting:
        each = waiting.pop()
        if not isinstance(each, BaseExceptionGroup):
            yield each
            continue
        for member in reversed(each.exceptions):
            if id(member) not in known:
                known.add(id(member))
                waiting.append(member)


def _recognised(error: BaseException, now: float | None) -> NetworkView | None:
    names = _names(error)
    status, because = _status(error, names)
    if status is not None:
        wait = retry_after_of(error, now=now)
        if (kind := _kind(status, wait)) is not None:
            return NetworkView(kind, status, wait, because)
    if (asked := asked_wait(error)) is not None:
        return NetworkView("rate-limited", status, asked, "its attribute retry_after asks for a wait")
    if names & _GIVEN_UP:
        return NetworkView("unavailable", because="the client's own retries ran out")
    if names & _WRAPPERS and isinstance(reason := getattr(error, "reason", None), Exception):
        return _recognised(reason, now)
    return _lost(error, names)


def _kind(status: int, wait: float | None) -> NetworkKind | None:
    if status in RATE_LIMITED or (status == _UNAVAILABLE and wait is not None):
        return "rate-limited"
    if status in _TRANSIENT or (500 <= status < 600 and status not in _FOR_GOOD):  # noqa: PLR2004 - RFC 9110 calls it 5xx
        return "unavailable"
    return None


def _lost(error: BaseException, names: frozenset[str]) -> NetworkView | None:
    view = _any_lost(error, names)
    return None if view is None or any(_names(each) & _IN_VAIN for each in _made_of(error)) else view


def _any_lost(error: BaseException, names: frozenset[str]) -> NetworkView | None:
    if names & _LOST:
        called = min(names & _LOST).partition(":")[2]
        return NetworkView("connection-lost", because=f"its library calls it a {called}")
    if isinstance(error, _LOST_ERRORS):
        return NetworkView("connection-lost", because="a connection failed")
    if isinstance(error, OSError) and error.errno in _LOST_ERRNOS:
        return NetworkView("connection-lost", because=f"the operating system said {errno.errorcode[error.errno]}")
    if isinstance(error, TimeoutError) and _comes_from_a_socket(error):
        because = "it arose where a socket was waited for"
        return NetworkView("connection-lost", because=because, confidence="likely")
    return None


def _names(error: BaseException) -> frozenset[str]:
    """Name the classes that it descends from, as ``package:Class``."""
    return frozenset(f"{cls.__module__.partition('.')[0]}:{cls.__name__}" for cls in lineage(type(error)))


def _status(error: BaseException, names: frozenset[str]) -> tuple[int | None, str]:
    status = next((_read(error, _STATUS_OF[name]) for name in _STATUS_OF if name in names), None)
    if names & _PROVIDERS and (not isinstance(status, int) or status < 300):  # noqa: PLR2004 - no error, so it came in a stream
        for said in (_read(error, "type"), _read(error, "code")):
            if isinstance(said, str) and said in _IN_A_STREAM:
                return _IN_A_STREAM[said], f"it says {said!r} within a stream"
    code = _http(status)
    return code, "" if code is None else f"it carries HTTP status {code}"


def _http(status: object) -> int | None:
    """Give a status if it can be one (RFC 9110: three digits), as the plain number that a record can hold."""
    return int(status) if isinstance(status, int) and 100 <= status <= 999 else None  # noqa: PLR2004


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
