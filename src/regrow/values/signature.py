"""Signed messages: what tells a webhook that a message is ours, and us that an answer is its owner's.

The signature covers the body, the moment of signing, the moment of its expiry, and a nonce, which whoever accepts the
message remembers, so that it cannot be used again. HMAC-SHA256 with one secret on both sides: whoever can check a
message can also write one.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

import msgspec

from regrow.errors import BadSignature

LIFETIME: Final = 300.0
"""Seconds that a message of ours is good for."""
LONGEST_LIFETIME: Final = 86_400.0
"""Seconds that any message is good for, whatever it says of itself."""
SKEW: Final = 60.0
"""Seconds by which another machine's clock may be ahead of ours."""
HEADER: Final = "Regrow-Signature"

_FORM = re.compile(r"t=(\d{1,12}),e=(\d{1,12}),n=([A-Za-z0-9_-]{16,128}),v1=([0-9a-f]{64})")


class Signed(msgspec.Struct, frozen=True):
    """What a good signature says.

    Attributes:
        at: when the message was signed, in seconds since the epoch.
        until: when it expires.
        nonce: what must not be seen twice.
    """

    at: float
    until: float
    nonce: str


def sign(body: bytes, *, secret: str, now: float, nonce: str, lifetime: float = LIFETIME) -> str:
    """Give the header's value for a message: ``t=…,e=…,n=…,v1=…``.

    Args:
        body: the message.
        secret: what both sides know.
        now: seconds since the epoch.
        nonce: 16 characters or more of letters, digits, ``-`` and ``_`` that were never used before.
        lifetime: for how many seconds the message is good.
    """
    at, until = int(now), int(now + lifetime)
    return f"t={at},e={until},n={nonce},v1={_mac(body, secret, at, until, nonce)}"


def verify(signature: str, body: bytes, *, now: float, secret: str) -> Signed:
    """Check a message's signature. That its nonce is new is for the caller to see to.

    Args:
        signature: the header's value.
        body: the message, as it came.
        now: seconds since the epoch.
        secret: what both sides know.

    Raises:
        BadSignature: it is none, or not of this message, or not of this time.
    """
    found = _FORM.fullmatch(signature.strip())
    if found is None:
        raise BadSignature(f"there is no signature of the form {HEADER}: t=…,e=…,n=…,v1=…")
    at, until, nonce, mac = int(found[1]), int(found[2]), found[3], found[4]
    if not hmac.compare_digest(mac, _mac(body, secret, at, until, nonce)):
        raise BadSignature("the signature does not fit the message: another secret, or the message was changed")
    if at > now + SKEW:
        raise BadSignature("the message was signed in the future; is a clock wrong?")
    if now >= min(until, at + LONGEST_LIFETIME):
        raise BadSignature("the message has expired; sign it anew")
    return Signed(at, until, nonce)


def _mac(body: bytes, secret: str, at: int, until: int, nonce: str) -> str:
    covered = f"{at}.{until}.{nonce}.".encode() + body
    return hmac.new(secret.encode(), covered, hashlib.sha256).hexdigest()
