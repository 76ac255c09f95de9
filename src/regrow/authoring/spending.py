"""Code says what it has cost in money: a model's answer, a search, a machine's hours."""

from __future__ import annotations

from regrow.engine.branches import current_branch
from regrow.engine.callee import Callee, Invocation
from regrow.engine.calls import call_sync
from regrow.engine.scope import Scope
from regrow.errors import UsageError
from regrow.journal.records import Spent
from regrow.values.money import Dollars, nanodollars
from regrow.values.options import Options
from regrow.values.secret import redact

_LONGEST = 200
"""Characters of what it was for: a few words, and not the prompt."""
_EXECUTED = frozenset({"step", "stream"})
"""Kinds of calls whose bodies run only to do what is not recorded yet. Those of tasks run again in every replay."""


def spent(dollars: Dollars, on: str = "") -> None:
    """Note that the running call has spent money; `regrow show`, `regrow diff` and the cache reckon with it.

    In a step each note counts, for each attempt is paid for, whatever becomes of it; it is durable before the step's
    outcome is. In a task's own body, which replays run again, a note is a recorded call and counts once. Outside of a
    run, where nothing is recorded, nothing is kept.

    Args:
        dollars: how much, in US dollars; text is a plain number such as ``"0.0042"``. Decimal and text are exact.
        on: what for, in a few words, such as ``"gpt-5, 1,204 tokens"``.

    Raises:
        UsageError: that is no amount of money, or `on` is longer than 200 characters.
    """
    amount = nanodollars(dollars, what="regrow.spent()")
    if len(on) > _LONGEST:
        raise UsageError(f"regrow.spent(on=…) takes up to {_LONGEST} characters; these are {len(on)}")
    branch = current_branch()
    if branch is None or amount == 0:
        return
    scope = branch.scope
    if scope.call is not None and scope.call.kind in _EXECUTED:
        _note(scope, amount, on)
    else:
        call_sync(Invocation(_SPENT, branch, (amount, on), {}))


def _note(scope: Scope, amount: int, on: str) -> None:
    scope.driver.check()
    scope.driver.hand_in(Spent(scope.path, scope.attempt, amount, redact(on)))


def _spent(nanodollars: int, on: str) -> None:
    branch = current_branch()
    assert branch is not None  # noqa: S101 - it is called as a step
    _note(branch.scope, nanodollars, on)


_SPENT = Callee(_spent, "step", "sync", Options(), "spent")
