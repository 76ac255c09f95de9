"""What a driver takes from a worker, and what it refuses to have heard."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from regrow.codec.error_record import DEEPEST, ErrorRecord
from regrow.executors.channel import frame
from regrow.executors.conversation import Conversation, ProtocolBroken
from regrow.executors.messages import Append, Counted, Threw
from regrow.journal.records import AttemptFailed, Call, CallFailed

pytestmark = pytest.mark.unit

INSIDE = Call("agent#1/child#1", "step", 1, b"")


def causes(count, link="cause"):
    """Give an error of so many levels."""
    record = ErrorRecord("builtins:ValueError", "the first")
    for _ in range(count - 1):
        record = ErrorRecord("builtins:ValueError", "m", **{link: (record,) if link == "members" else record})
    return record


def thrown(error):
    return Threw(error, "raised", (), Counted())


def attempt_failed(error):
    return Append(AttemptFailed(INSIDE, 1, 1.0, error, 2.0))


def call_failed(error):
    return Append(CallFailed(INSIDE, 1, 1.0, error))


def hear(message):
    """Let a conversation hear one message; give its outcome, and what was handed in to be recorded."""
    recorded = []

    async def listen():
        reader = asyncio.StreamReader()
        reader.feed_data(frame(message))
        reader.feed_eof()
        writer = SimpleNamespace(is_closing=lambda: True)
        driver = SimpleNamespace(
            hand_in=lambda event, blobs: recorded.append(event), log=SimpleNamespace(state=SimpleNamespace(calls={}))
        )
        talk = Conversation(
            driver,
            SimpleNamespace(call=SimpleNamespace(path="agent#1")),
            SimpleNamespace(reader=reader, writer=writer),
            carry_out=None,
            on_ready=None,
            on_signal=None,
        )
        await talk.listen()
        return talk.outcome

    return asyncio.run(listen()), recorded


@pytest.mark.parametrize("link", ["cause", "context", "members"])
@pytest.mark.parametrize("message", [thrown, attempt_failed, call_failed])
def test_an_error_too_deep_to_be_read_again_is_never_recorded(message, link):
    with pytest.raises(ProtocolBroken, match=f"more than {DEEPEST} causes"):
        hear(message(causes(DEEPEST + 1, link)))


@pytest.mark.parametrize("message", [thrown, attempt_failed, call_failed])
def test_an_error_as_deep_as_regrow_writes_them_is_heard(message):
    outcome, recorded = hear(message(causes(DEEPEST)))
    heard = outcome if outcome is not None else recorded[0]
    assert heard.error == causes(DEEPEST)


def test_the_depth_of_an_error_is_found_however_deep_it_is():
    assert causes(5_000).depth() == 5_000
    assert causes(1).depth() == 1
