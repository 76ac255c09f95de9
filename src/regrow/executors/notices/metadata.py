"""One question to a metadata server.

All three providers answer on the link-local address 169.254.169.254, over plain HTTP, from the machine's own host. So a
question must never go to a proxy, which would ask about *its* machine (all three say so), and must never follow a
redirect, which no such server gives. The opener below has neither in it: what it lacks cannot be switched on by an
environment variable.

The address is used and not a name such as ``metadata.google.internal``: looking up a name has no time limit.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping

import msgspec

from regrow.errors import UsageError
from regrow.executors.notices.notice import BadAnswer, NotHere

LINK_LOCAL = "http://169.254.169.254"
"""Where AWS, GCP and Azure answer, by the documentation of each."""

TIMEOUT = 1.0
"""Seconds to wait for a server that stands in the same rack. The shortest notice is 30 seconds long."""

_MOST = 1 << 16  # bytes; documented answers have a few hundred

_opener = urllib.request.OpenerDirector()
_opener.add_handler(urllib.request.HTTPHandler())


class Answer(msgspec.Struct, frozen=True):
    """What a server said, whatever its status.

    Attributes:
        status: of HTTP.
        headers: by name, in any case.
        body: all of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def text(self) -> str:
        """Give the body as one piece of text, without white space around it.

        Raises:
            BadAnswer: it is none.
        """
        try:
            return self.body.decode().strip()
        except UnicodeDecodeError:
            raise BadAnswer(f"expected text, got {excerpt(self.body)}") from None


def ask(
    base_url: str,
    path: str,
    headers: Mapping[str, str],
    *,
    method: str = "GET",
    timeout: float = TIMEOUT,
) -> Answer:
    """Ask once. No status is an error here; the caller knows what each means.

    Args:
        base_url: of the server, beginning with ``http://`` and without a slash at its end.
        path: beginning with a slash, with its query.
        headers: of the request.
        method: of the request.
        timeout: how many seconds to wait, for the connection and for each piece of the answer.

    Raises:
        NotHere: no connection.
        BadAnswer: a connection, but nothing like an answer within the time, or far too much of it.
        UsageError: `base_url` is not one of plain HTTP.
    """
    if not base_url.startswith("http://"):
        raise UsageError(f"a metadata server is asked over plain HTTP, and {base_url!r} does not begin with http://")
    url = base_url + path
    request = urllib.request.Request(url, headers=dict(headers), method=method)  # noqa: S310 - only http passes above
    try:
        with _opener.open(request, timeout=timeout) as response:
            answer = Answer(response.status, response.headers, response.read(_MOST + 1))
    except urllib.error.URLError as problem:  # of the way to the server only; urllib does not wrap what comes after
        raise NotHere(f"no metadata server at {base_url}: {problem.reason}") from problem
    except (OSError, http.client.HTTPException) as problem:
        raise BadAnswer(f"{method} {url}: {problem!r}") from problem
    if len(answer.body) > _MOST:
        raise BadAnswer(f"{method} {url}: the answer is longer than {_MOST} bytes")
    return answer


def refusal(answer: Answer, what: str) -> BadAnswer:
    """Say of an answer that it is none of those documented for `what`."""
    return BadAnswer(f"{what}: status {answer.status}, {excerpt(answer.body)}")


def excerpt(body: bytes) -> str:
    """Show the beginning of a body in a message."""
    return repr(body[:80]) + ("…" if len(body) > 80 else "")  # noqa: PLR2004 - said in the same line
