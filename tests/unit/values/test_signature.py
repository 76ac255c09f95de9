"""Signed messages: what is covered, how long they hold, and what is refused."""

from __future__ import annotations

import pytest

from regrow.errors import BadSignature
from regrow.values.signature import LONGEST_LIFETIME, SKEW, sign, verify

NOW, NONCE, SECRET, BODY = 1_700_000_000.0, "n" * 24, "s3cret", b'{"yes": true}'


def signed(**changes):
    return sign(changes.pop("body", BODY), **{"secret": SECRET, "now": NOW, "nonce": NONCE} | changes)


def test_a_message_of_ours_is_good_until_it_expires():
    assert verify(signed(), BODY, now=NOW + 299, secret=SECRET).nonce == NONCE
    with pytest.raises(BadSignature, match="expired"):
        verify(signed(), BODY, now=NOW + 300, secret=SECRET)


def test_nothing_is_good_for_longer_than_a_day_whatever_it_says():
    forever = signed(lifetime=10 * LONGEST_LIFETIME)
    assert verify(forever, BODY, now=NOW + LONGEST_LIFETIME - 1, secret=SECRET)
    with pytest.raises(BadSignature, match="expired"):
        verify(forever, BODY, now=NOW + LONGEST_LIFETIME, secret=SECRET)


def test_a_clock_that_is_a_little_ahead_does_no_harm_and_one_far_ahead_is_refused():
    assert verify(signed(now=NOW + SKEW - 1), BODY, now=NOW, secret=SECRET)
    with pytest.raises(BadSignature, match="future"):
        verify(signed(now=NOW + SKEW + 1), BODY, now=NOW, secret=SECRET)


@pytest.mark.parametrize(
    "forged",
    [
        signed(secret="other"),
        signed(body=b'{"yes": false}'),
        signed().replace(NONCE, "m" * 24),
        signed().replace("e=1700000300", "e=1700009999"),
        signed().replace("t=1700000000", "t=1700000001"),
    ],
    ids=["another secret", "another body", "another nonce", "another end", "another beginning"],
)
def test_whatever_is_changed_is_noticed(forged):
    with pytest.raises(BadSignature, match="does not fit"):
        verify(forged, BODY, now=NOW, secret=SECRET)


@pytest.mark.parametrize("nothing", ["", "t=1", "v1=00", signed() + "x", signed().upper()])
def test_what_is_no_signature_is_refused(nothing):
    with pytest.raises(BadSignature, match="no signature"):
        verify(nothing, BODY, now=NOW, secret=SECRET)
