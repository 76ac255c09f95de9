"""Amounts of memory and disk, as people write and read them."""

from __future__ import annotations

import re

from regrow.amounts import readable_size
from regrow.errors import UsageError

__all__ = ["Size", "readable_size", "size"]

Size = int | str
"""Bytes, or text such as ``"256Mi"``, ``"1.5Gi"``, ``"500MB"``."""

_UNITS = {
    "": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
    "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40,
}  # fmt: skip
_FORM = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?", re.IGNORECASE)


def size(given: Size, *, what: str = "size") -> int:
    """Give an amount in bytes. The units are those of Kubernetes: ``Mi`` is 2**20, ``M`` is 10**6.

    Args:
        given: see `Size`.
        what: how the error names it, such as ``memory``.

    Raises:
        UsageError: it cannot be read, or is nothing.
    """
    value: object = given
    if isinstance(value, int) and not isinstance(value, bool):
        amount = value
    elif isinstance(value, str) and (found := _FORM.fullmatch(value.strip())):
        amount = int(float(found[1]) * _UNITS[(found[2] or "").lower()])
    else:
        raise UsageError(f"{what} takes bytes, or text such as '256Mi' or '1.5Gi'; not {given!r}")
    if amount <= 0:
        raise UsageError(f"{what} must be more than nothing; it is {given!r}")
    return amount
