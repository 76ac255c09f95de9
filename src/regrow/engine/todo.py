"""What the life of a call may ask for, whatever sort of call it is: waits that somebody else must carry out."""

from __future__ import annotations

import msgspec

from regrow.engine.state import CallState


class WaitUntil(msgspec.Struct, frozen=True):
    """Wait for a moment, in seconds since the epoch."""

    moment: float


class Hold(msgspec.Struct, frozen=True):
    """Wait until the run is let go of: no new call may begin. `path` is that of the call around it."""

    path: str


class AwaitTurn(msgspec.Struct, frozen=True):
    """Wait until the code has been given all outcomes that were recorded before this call's."""

    known: CallState


class AwaitRecorded(msgspec.Struct, frozen=True):
    """Wait until the code has been given all recorded outcomes: this call's, which is new, comes after them."""
