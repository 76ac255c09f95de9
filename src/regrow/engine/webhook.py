"""Telling somebody outside that a question waits: a signed POST, at least once, whose failure harms nobody.

What is sent is what people are shown, with the id under which it is answered. It goes out in a thread of its own, and
is tried a few times; the inbox has the question in any case. The address may be a secret (that of a chat's webhook is
one), so it is never stored and never logged: it comes from the code, or from this process's environment.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from regrow.engine.branches import start_apart
from regrow.errors import RegrowError, UsageError
from regrow.journal.asks import AskRow
from regrow.values.signature import HEADER, sign

URL_VARIABLE: Final = "REGROW_ASK_WEBHOOK"
SECRET_VARIABLE: Final = "REGROW_ASK_SECRET"  # noqa: S105 - the name of a variable
CALLBACK_VARIABLE: Final = "REGROW_ASK_CALLBACK"
_WAITS: Final = (1.0, 4.0, 16.0, 60.0)
"""Seconds between two tries of one notice."""
_TIMEOUT: Final = 10.0

_log = logging.getLogger("regrow")


class Hook(msgspec.Struct, frozen=True):
    """Where notices of a question go: an address, or the environment variable that has it; else the host's own."""

    url: str = ""
    variable: str = ""

    def address(self) -> str:
        """Give the address; empty for none."""
        return self.url or os.environ.get(self.variable or URL_VARIABLE, "")


def check_hook(hook: Hook) -> None:
    """Refuse an address that nothing can be posted to, before anybody relies on it.

    Raises:
        UsageError: it is not one of http or https, or what is sent there could not be signed.
    """
    address = hook.address()
    if not address:
        if hook.variable:
            raise UsageError(f"the webhook's address is to be in {hook.variable}, and that is not set")
        return
    if not address.lower().startswith(("http://", "https://")):
        raise UsageError("a webhook's address begins with https:// or http://; this one does not")
    if not os.environ.get(SECRET_VARIABLE):
        raise UsageError(f"what goes to a webhook is signed; set {SECRET_VARIABLE} to the secret that it knows")


def notice_of(row: AskRow, number: int) -> bytes:
    """Give what is posted about a question: the first notice has number 1, reminders follow."""
    content: dict[str, Any] = {
        "version": 1,
        "event": "asked" if number == 1 else "reminder",
        "number": number,
        "ask": row.id,
        "run": row.run,
        "project": row.project,
        "asked": row.asked,
        "due": row.due,
        "shown": row.digest,
        "question": msgspec.Raw(row.shown),
        "callback": os.environ.get(CALLBACK_VARIABLE),
    }
    return msgspec.json.encode(content)


def send_apart(hook: Hook, row: AskRow, number: int, delivered: Callable[[], None]) -> None:
    """Post a notice in a thread of its own, and say when it has arrived. Raises nothing."""
    if hook.address():
        name = f"regrow-notice-{row.id}-{number}"
        start_apart(threading.Thread(target=_send, args=(hook, row, number, delivered), name=name, daemon=True))


def _send(
    hook: Hook,
    row: AskRow,
    number: int,
    delivered: Callable[[], None],
    pause: Callable[[float], None] = time.sleep,
) -> None:
    body = notice_of(row, number)
    problem = ""
    for wait in (0.0, *_WAITS):
        pause(wait)
        try:
            check_hook(hook)
            _post(hook.address(), body, f"{row.id}-{number}")
            delivered()
        except (OSError, ValueError, RegrowError) as failed:
            problem = type(failed).__name__  # its text may hold the address
        else:
            return
    _log.warning(
        "run %s: a notice of question %s could not be delivered (%s); it waits in the inbox", row.run, row.id, problem
    )


def _post(address: str, body: bytes, key: str) -> None:
    import urllib.request  # noqa: PLC0415 - a tenth of a second that few runs need

    class NoRedirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: Any, **__: Any) -> None:
            """What was signed for one address is not handed on to another."""

    signature = sign(body, secret=os.environ[SECRET_VARIABLE], now=time.time(), nonce=secrets.token_urlsafe(18))
    headers = {"Content-Type": "application/json", "Idempotency-Key": key, HEADER: signature}
    request = urllib.request.Request(address, data=body, headers=headers, method="POST")  # noqa: S310 - checked above
    with urllib.request.build_opener(NoRedirects).open(request, timeout=_TIMEOUT):
        pass
