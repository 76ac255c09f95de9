"""Amounts of money, in US dollars: kept as whole billionths of one, so that sums are exact.

The price of one token is some ten-millionths of a dollar, and floats would not add up.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from regrow.errors import UsageError

Dollars = Decimal | float | int | str
"""US dollars; text is a plain number such as ``"0.0042"``."""

_BILLION = 10**9
_MOST = 2**63 - 1
"""Billionths in all, which is nine billion dollars: what fits into 64 bits."""
_CENT = 10**7


def nanodollars(given: Dollars, *, what: str = "an amount of money") -> int:
    """Give an amount in billionths of a dollar, rounded to the nearest.

    Args:
        given: see `Dollars`.
        what: how the error names it.

    Raises:
        UsageError: it is no number, less than nothing, or more than nine billion dollars.
    """
    value: object = given
    if not isinstance(value, Decimal | float | int | str) or isinstance(value, bool):
        raise UsageError(f"{what} takes US dollars, as a number or text such as '0.0042'; not {given!r}")
    try:
        amount = Decimal(str(value).strip())  # through text: what a float shows is what was meant
    except InvalidOperation:
        raise UsageError(f"{what} takes US dollars, as a number or text such as '0.0042'; not {given!r}") from None
    if not amount.is_finite() or amount < 0 or amount * _BILLION > _MOST:
        raise UsageError(f"{what} must be between 0 and nine billion US dollars; it is {given!r}")
    return round(amount * _BILLION)


def in_dollars(amount: int) -> float:
    """Give billionths of a dollar as dollars, for programs that read JSON."""
    return amount / _BILLION


def readable_money(amount: int) -> str:
    """Show billionths of a dollar as a person wants them: ``$12.50``, ``$0.0042``, ``$0.00000015``."""
    if amount >= _BILLION or amount == 0:
        return f"${Decimal(amount) / _BILLION:,.2f}"
    exact = f"{Decimal(amount) / _BILLION:.9f}"
    if amount >= _CENT:
        exact = f"{float(exact):.4f}"
    whole, _, digits = exact.partition(".")
    return f"${whole}.{digits.rstrip('0'):0<2}"
