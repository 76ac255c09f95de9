"""Spans of time, as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

from regrow.errors import UsageError

Duration = float | int | str | timedelta
"""Seconds, ``"250ms"``, ``"1h30m"``, ``"2d"``, or a timedelta."""

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def seconds(duration: Duration, *, what: str = "duration") -> float:
    """Give a duration in seconds.

    Args:
        duration: see `Duration`.
        what: how the error names it, such as ``timeout``.

    Raises:
        UsageError: it cannot be read, is negative, or is not finite.
    """
    if isinstance(duration, timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, str):
        value = _parse(duration, what)
    elif isinstance(duration, int | float) and not isinstance(duration, bool):
        value = float(duration)
    else:
        raise UsageError(f"{what} takes seconds, text such as '10m' or '1h30m', or a timedelta; not {duration!r}")
    if not 0 <= value < float("inf"):
        raise UsageError(f"{what} must be a finite span of time and not negative; it is {duration!r}")
    return value


def _parse(text: str, what: str) -> float:
    compact = text.replace(" ", "")
    parts = _PART.findall(compact)
    if not parts or "".join(number + unit for number, unit in parts) != compact:
        raise UsageError(
            f"{what}={text!r} cannot be read; write a number and a unit (ms, s, m, h, d, w), such as '1h30m'"
        )
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def readable(span: float) -> str:
    """Show seconds at the precision a person wants: ``740 µs``, ``12 ms``, ``3.1 s``, ``4 min 10 s``, ``2 h 5 min``."""
    if span < 0.001:
        return f"{span * 1e6:.0f} µs"
    if span < 1:
        return f"{span * 1000:.0f} ms"
    if span < 60:
        return f"{span:.1f} s"
    whole = round(span)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 172_800:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
