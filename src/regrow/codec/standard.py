"""Builtin and standard-library values that hold nothing of the user's: each to a plain payload, and back.

Payloads are decoded without an Ext hook, so what a `_load` function gets is plain data: no stored object can smuggle a
method of a user's class (`__index__`, `__fspath__`, `__iter__`) into a constructor here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from regrow.codec.codes import Code
from regrow.codec.refusal import Refused
from regrow.errors import Corrupted, UsageError

# ZoneInfo looks a key up as a path and as a package inside `tzdata`; nothing else than a plain key may get there.
_ZONE_KEY: Final = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", re.ASCII)


def dump_int(value: int) -> bytes:
    """Give a big integer's two's complement, least byte first."""
    return value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)


def _load_int(payload: bytes) -> int:
    return int.from_bytes(payload, "little", signed=True)


def dump_text(value: str) -> bytes:
    """Give a string that UTF-8 cannot hold."""
    return value.encode("utf-8", "surrogatepass")


def _dump_zone(zone: tzinfo | None) -> object:
    if zone is None:
        return None
    if type(zone) is ZoneInfo and zone.key is not None:
        return zone.key
    if type(zone) is timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return [offset.days, offset.seconds, offset.microseconds, *name]
    reason = (
        f"its time zone is a {type(zone).__module__}.{type(zone).__qualname__}, which has no durable form; "
        "use zoneinfo.ZoneInfo or datetime.timezone"
    )
    raise Refused(reason)


def _load_zone(payload: Any) -> tzinfo | None:
    if payload is None:
        return None
    if isinstance(payload, str):
        if not _ZONE_KEY.fullmatch(payload):
            msg = f"{payload!r} is no name of a time zone"
            raise Corrupted(msg)
        try:
            return ZoneInfo(payload)
        except ZoneInfoNotFoundError as error:
            msg = f"this machine knows no time zone {payload!r}: install the package tzdata"
            raise UsageError(msg) from error
    days, seconds, microseconds, *name = payload
    return timezone(timedelta(days, seconds, microseconds), *name)


def _dump_datetime(value: datetime) -> list[object]:
    clock = [value.hour, value.minute, value.second, value.microsecond]
    return [value.year, value.month, value.day, *clock, value.fold, _dump_zone(value.tzinfo)]


def _load_datetime(payload: list[Any]) -> datetime:
    year, month, day, hour, minute, second, microsecond, fold, zone = payload
    return datetime(year, month, day, hour, minute, second, microsecond, _load_zone(zone), fold=fold)


def _dump_time(value: time) -> list[object]:
    return [value.hour, value.minute, value.second, value.microsecond, value.fold, _dump_zone(value.tzinfo)]


def _load_time(payload: list[Any]) -> time:
    hour, minute, second, microsecond, fold, zone = payload
    return time(hour, minute, second, microsecond, _load_zone(zone), fold=fold)


# A concrete path is read as the concrete path of the system that reads it; a pure one keeps its flavour.
_PATHS: Final[Mapping[type[PurePath], str]] = {
    PosixPath: "",
    WindowsPath: "",
    PurePosixPath: "posix",
    PureWindowsPath: "windows",
}


def _dump_path(value: PurePath) -> list[object]:
    return [_PATHS[type(value)], dump_text(str(value))]


def _load_path(payload: list[Any]) -> PurePath:
    flavour, raw = payload
    text = raw.decode("utf-8", "surrogatepass")
    kinds: dict[str, type[PurePath]] = {"": Path, "posix": PurePosixPath, "windows": PureWindowsPath}
    return kinds[flavour](text)


def _dump_range(value: range) -> list[bytes]:
    return [dump_int(value.start), dump_int(value.stop), dump_int(value.step)]


DUMP: Final[Mapping[type, tuple[Code, Callable[[Any], object]]]] = {
    bytearray: (Code.BYTEARRAY, bytes),
    complex: (Code.COMPLEX, lambda value: [value.real, value.imag]),
    range: (Code.RANGE, _dump_range),
    datetime: (Code.DATETIME, _dump_datetime),
    date: (Code.DATE, lambda value: [value.year, value.month, value.day]),
    time: (Code.TIME, _dump_time),
    timedelta: (Code.TIMEDELTA, lambda value: [value.days, value.seconds, value.microseconds]),
    Decimal: (Code.DECIMAL, str),
    Fraction: (Code.FRACTION, lambda value: [dump_int(value.numerator), dump_int(value.denominator)]),
    UUID: (Code.UUID, lambda value: value.bytes),
    **dict.fromkeys(_PATHS, (Code.PATH, _dump_path)),
}
"""By exact type: a subclass is something else, and says so."""

LOAD: Final[Mapping[int, Callable[[Any], object]]] = {
    Code.BYTEARRAY: bytearray,
    Code.BIG_INT: _load_int,
    Code.COMPLEX: lambda payload: complex(*payload),
    Code.SURROGATES: lambda payload: payload.decode("utf-8", "surrogatepass"),
    Code.RANGE: lambda payload: range(*map(_load_int, payload)),
    Code.DATETIME: _load_datetime,
    Code.DATE: lambda payload: date(*payload),
    Code.TIME: _load_time,
    Code.TIMEDELTA: lambda payload: timedelta(*payload),
    Code.DECIMAL: Decimal,
    Code.FRACTION: lambda payload: Fraction(*map(_load_int, payload)),
    Code.UUID: lambda payload: UUID(bytes=payload),
    Code.PATH: _load_path,
}
