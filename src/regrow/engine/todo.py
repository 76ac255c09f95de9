"""What the life of a call may ask for: a body to be run, and waits; `regrow.engine.lives` does it."""

from __future__ import annotations

import msgspec

from regrow.engine.callee import Callee
from regrow.engine.scope import Scope
from regrow.engine.state import CallState


class RunBody(msgspec.Struct, frozen=True):
    """Run a function in `scope`, with the arguments of the call, and send its result back."""

    callee: Callee
    scope: Scope


class WaitUntil(msgspec.Struct, frozen=True):
    """Wait for a moment, in seconds since the epoch."""

    moment: float


class AwaitCancellation(msgspec.Struct, frozen=True):
    """Wait for a moment likewise: until then the code will have given up on the call once more, as is recorded."""

    moment: float


class Pause(msgspec.Struct, frozen=True):
    """Wait for so many seconds."""

    seconds: float


class Hold(msgspec.Struct, frozen=True):
    """Wait until the run is let go of: no new call may begin. `path` is that of the call around it."""

    path: str


class AwaitTurn(msgspec.Struct, frozen=True):
    """Wait until the code has been given all outcomes that were recorded before this call's."""

    known: CallState


class AwaitRecorded(msgspec.Struct, frozen=True):
    """Wait until the code has been given all recorded outcomes: this call's, which is new, comes after them."""
