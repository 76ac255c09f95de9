"""What a driver does about what is ordered of it: a pure decision, taken anew with every look at the orders."""

from __future__ import annotations

from typing import Literal

from regrow.journal.orders import Order

Act = Literal["nothing", "cancel", "end by force", "hold", "let go"]
"""`cancel`: the code gets its ``CancelledError``. `end by force`: the run ends without its code. `hold`: no new call
begins. `let go`: what still runs is cut short, and the run is to be gone on with later."""


def heed(order: Order | None, *, since: float, at_rest: bool) -> Act:
    """Say what follows from an order.

    Args:
        order: what is ordered; None for nothing.
        since: for how many seconds it has been known here.
        at_rest: whether no call is under way that would come to an end by itself.
    """
    if order is None:
        return "nothing"
    in_time = since < order.grace
    match order.what:
        case "cancel":
            return "cancel" if in_time else "end by force"
        case "pause":
            return "hold" if in_time and not at_rest else "let go"
