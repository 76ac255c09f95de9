"""Spans of time, as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

from regrow.errors import UsageError

Duration = float | int | str | timedelta
"""Seconds, ``"250ms"``, ``"1h30m"``, ``"2d"``, or a timedelta."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_MILLISECOND = 0.001
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def seconds(duration: Duration, *, what: str = "duration") -> float:
    """Give a duration in seconds.

    Args:
        duration: see `Duration`.
        what: how the error names it, such as ``timeout``.

    Raises:
        UsageError: it cannot be read, is negative, or is not finite.
    """
    given: object = duration  # whatever a user wrote, not only what the type allows
    if isinstance(given, timedelta):
        value = given.total_seconds()
    elif isinstance(given, str):
        value = _parse(given, what)
    elif isinstance(given, int | float) and not isinstance(given, bool):
        value = float(given)
    else:
        raise UsageError(f"{what} takes seconds, text such as '10m' or '1h30m', or a timedelta; not {duration!r}")
    if not 0 <= value < float("inf"):
        raise UsageError(f"{what} must be a finite span of time and not negative; it is {duration!r}")
    return value


def _parse(text: str, what: str) -> float:
    compact = text.replace(" ", "")
    parts: list[tuple[str, str]] = _PART.findall(compact)
    understood = "".join(number + unit for number, unit in parts)
    if not compact or understood != compact:
        raise UsageError(
            f"{what}={text!r} cannot be read; write a number and a unit (ms, s, m, h, d, w), such as '1h30m'"
        )
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def readable(span: float) -> str:
    """Show seconds at the precision a person wants: ``740 µs``, ``12 ms``, ``3.1 s``, ``4 min 10 s``, ``2 h 5 min``."""
    minute, hour, day = 60, 3600, 86400
    if span < _MILLISECOND:
        return f"{span / _MILLISECOND * 1000:.0f} µs"
    if span < 1:
        return f"{span / _MILLISECOND:.0f} ms"
    if span < minute:
        return f"{span:.1f} s"
    whole = round(span)
    if whole < hour:
        return f"{whole // minute} min {whole % minute} s"
    if whole < 2 * day:
        return f"{whole // hour} h {whole % hour // minute} min"
    return f"{whole // day} d {whole % day // hour} h"
