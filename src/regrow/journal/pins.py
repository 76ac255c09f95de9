"""Which versions of which memories a run has used, as its records tell it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from regrow.codec import decode
from regrow.errors import RegrowError
from regrow.journal.memories import Pin
from regrow.journal.records import CallSucceeded, Event


def pins_of(events: Iterable[Event]) -> dict[str, Pin]:
    """Give the last version of each memory that some records have used, by its name."""
    used: dict[str, Pin] = {}
    for event in events:
        if isinstance(event, CallSucceeded) and event.call.kind == "memory" and isinstance(event.value, bytes):
            pin = _pin(event.value)
            if pin is not None and (pin.memory not in used or pin.version > used[pin.memory].version):
                used[pin.memory] = pin
    return used


def _pin(value: bytes) -> Pin | None:
    """Give the version of a memory that a recorded call has used. Searches record what they have found instead."""
    try:
        pin = msgspec.convert(decode(value), Pin)
    except (msgspec.ValidationError, RegrowError):
        return None
    return pin if pin.version else None
