"""Who drove a run, one after another, and how each of them let go of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from regrow.journal.records import DriverClosed, DriverOpened, Record, RunEnded


class Drive(msgspec.Struct, frozen=True):
    """The time for which one driver had the run.

    Attributes:
        holder: who.
        opened: when it took the run up.
        last: when it wrote its last record.
        closed: why it let go of the unfinished run, if it did so in good order.
        replayed: how many calls it answered from the journal; None if it died before it could say.
        seconds_saved: how long these had taken when they ran.
    """

    holder: str
    opened: float
    last: float
    closed: str | None = None
    replayed: int | None = None
    seconds_saved: float = 0.0


def drives_of(records: Sequence[Record]) -> tuple[Drive, ...]:
    """Give a run's drivers, in order."""
    drives: list[Drive] = []
    for record in records:
        if isinstance(record.event, DriverOpened):
            drives.append(Drive(record.event.holder, record.time, record.time))
        elif drives:
            event = record.event
            closed = event.reason if isinstance(event, DriverClosed) else None
            drive = msgspec.structs.replace(drives[-1], last=record.time, closed=closed)
            if isinstance(event, DriverClosed | RunEnded):
                drive = msgspec.structs.replace(drive, replayed=event.replayed, seconds_saved=event.seconds_saved)
            drives[-1] = drive
    return tuple(drives)
