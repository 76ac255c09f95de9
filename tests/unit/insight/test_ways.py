"""Remedies as what to write into the code."""

from __future__ import annotations

import pytest

from regrow.codec import capture
from regrow.errors import (
    Crashed,
    DiskFull,
    OutOfMemory,
    OutputLimit,
    Preempted,
    ProcessLimit,
    RateLimited,
    TimedOut,
    Unavailable,
)
from regrow.insight.established import established
from regrow.insight.ways import remedies_in_code

from .writing import MIB

pytestmark = pytest.mark.unit
ON = "a#1/train#2"


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (
            OutOfMemory(ON, peak=256 * MIB, limit=256 * MIB),
            ["give it more: memory='512Mi' or on_oom=regrow.grow(2, max='2Gi'), on train"],
        ),
        (
            OutOfMemory(ON, peak=300 * MIB + 5, limit=256 * MIB),
            ["give it more: memory='601Mi' or on_oom=regrow.grow(2, max='4Gi'), on train"],
        ),
        (
            OutOfMemory(ON, peak=2**30, limit=2**30, ceiling=2**30),
            ["it had all the memory that this host can give: let it need less, or run it on a larger machine"],
        ),
        (DiskFull(ON, used=None, limit=2**30), ["give it more: disk='2Gi', on train"]),
        (OutputLimit(ON, limit=64 * MIB), ["give it more: output='128Mi', on train"]),
        (ProcessLimit(ON, limit=128), ["give it more: processes=256, on train"]),
        (
            TimedOut(ON, 5.0, "timeout"),
            ["give it more time: timeout='10s', on train", "let it try again by itself: retries=3, on train"],
        ),
        (TimedOut(ON, 5.0, "deadline"), []),
        (Preempted(ON, grace=5.0), ["let it begin again more often: on_preempted=regrow.resume(times), on train"]),
        (
            RateLimited("slow down", retry_after=2.0),
            ["let it wait and try again by itself: retries=3, backoff=regrow.Backoff(base='2s')"],
        ),
        (
            Unavailable("no"),
            ["let it wait and try again by itself: retries=3, backoff=regrow.Backoff(base='5s')"],
        ),
        (Crashed(ON, signal="SIGSEGV"), ["let it try again by itself: retries=3, on train"]),
        (Crashed(ON, code=3), []),
    ],
)
def test_a_remedy_is_told_as_the_option_that_takes_it(failure, words):
    known = established(capture(failure))
    assert list(remedies_in_code(known)) == words
