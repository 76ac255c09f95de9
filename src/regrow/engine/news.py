"""What a driver tells while it works: to observers each thing as it happens, to whoever asks the sums."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from regrow.journal.records import Call, Record


class Replayed(msgspec.Struct, frozen=True):
    """Told to observers: a call was answered from the journal. `seconds` is what it had taken."""

    call: Call
    seconds: float


Observer = Callable[[Record | Replayed], None]
"""Is told what a driver appends and replays, as it does so, in the driver's own threads. Must return at once."""


class Tally(msgspec.Struct):
    """What a driver did since it took its run up.

    Attributes:
        executed: calls whose bodies ran to an outcome.
        replayed: calls answered from the journal.
        seconds_saved: how long these had taken when they ran.
        cached: calls answered from the shared cache, which are neither.
        cached_seconds: how long these had taken when they ran, in whichever run.
    """

    executed: int = 0
    replayed: int = 0
    seconds_saved: float = 0.0
    cached: int = 0
    cached_seconds: float = 0.0
