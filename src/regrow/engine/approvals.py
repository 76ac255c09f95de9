"""Calls that people must approve before they run: the question is a call of its own, inside the one that waits for it.

So it is recorded like any other. A further attempt of the same call finds it answered; one with other arguments is
another call, and asks anew. It stands on a strand of its own (``~approve``), where the body's calls have no place.
"""

from __future__ import annotations

from typing import Any

from regrow.codec.plain_text import shown_to_people
from regrow.engine.asks import UNDECIDED, Wanted, ask_async, ask_in_thread, invocation_of
from regrow.engine.branches import Branch
from regrow.engine.callee import Callee, Mode
from regrow.engine.replay import ASIDE
from regrow.engine.scope import Scope
from regrow.journal.asks import Exhibit
from regrow.values.approval import Approve
from regrow.values.options import Options

_SCHEMA = {"type": "boolean"}


def approver_of(callee: Callee, scope: Scope, mode: Mode) -> tuple[Callee, Scope]:
    """Give what asks for the approval of an attempt, and the scope to run it in.

    Args:
        callee: what is to be called; its options say who must approve.
        scope: the attempt that waits.
        mode: how the asking is to be run: where the call itself is made, in a coroutine or in a thread.
    """
    aside = Scope(scope.driver, scope.call, scope.outer, attempt=scope.attempt)
    branch = aside.main = Branch(aside, f"{scope.path}{ASIDE}")

    def wanted(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Wanted:
        return _wanted(callee, scope.path, scope.options.approve or Approve(), args, kwargs)

    async def ask(*args: Any, **kwargs: Any) -> None:
        asked = wanted(args, kwargs)
        await ask_async(invocation_of(asked, branch, "approval"), asked)

    def ask_blocking(*args: Any, **kwargs: Any) -> None:
        asked = wanted(args, kwargs)
        ask_in_thread(invocation_of(asked, branch, "approval"), asked)

    return Callee(ask_blocking if mode == "sync" else ask, "step", mode, Options(), "approval"), aside


def _wanted(callee: Callee, path: str, policy: Approve, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Wanted:
    bound = callee.signature.bind(*args, **kwargs)
    bound.apply_defaults()
    given = dict(bound.arguments)
    return Wanted(
        text=policy.question or f"May {callee.name} be called with these arguments?",
        type_=bool,
        schema=_SCHEMA,
        kind="approval",
        exhibits=tuple(Exhibit(name, shown_to_people(value)) for name, value in given.items()),
        evidence={"function": callee.ref, "arguments": given},
        to=tuple(policy.to),
        approvals=policy.approvals,
        timeout=policy.timeout,  # type: ignore[arg-type]  # read when the option was: `regrow.values.approval.approval`
        default=UNDECIDED if policy.timeout is None else policy.default,
        default_json=None if policy.timeout is None else str(policy.default).lower(),
        remind=policy.remind,  # type: ignore[arg-type]  # likewise
        about=path,
    )
