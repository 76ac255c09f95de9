"""Amounts as people read them; below everything else, because errors and remedies tell them too."""

from __future__ import annotations

_STEP = 1024


def counted(number: int, one: str, many: str = "") -> str:
    """Give a number with its word: ``1 call``, ``3 calls``; or ``1 call was``, ``3 calls were``, if `many` is given."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def readable_size(amount: float) -> str:
    """Show bytes as a person wants them: ``900 B``, ``256 MiB``, ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < _STEP:
            return f"{amount:.0f} {unit}" if amount == round(amount) or amount >= 100 else f"{amount:.1f} {unit}"  # noqa: PLR2004
        amount /= _STEP
    return f"{amount:.1f} TiB"
