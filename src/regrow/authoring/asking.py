"""Asking people, and waiting for machines, from inside a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar, overload

import msgspec

from regrow.authoring.context import _branch
from regrow.codec.json_schema import check
from regrow.codec.json_types import allow_answers_of, read_json, schema_of, to_json
from regrow.codec.plain_text import exhibits_of
from regrow.engine import asks, signals
from regrow.engine.asks import UNDECIDED, Wanted
from regrow.engine.branches import Branch, loop_is_running
from regrow.engine.signals import WantedSignal
from regrow.engine.webhook import Hook, check_hook
from regrow.errors import UnfitAnswer, UsageError
from regrow.journal.asks import Exhibit
from regrow.values.approval import count, names, span
from regrow.values.durations import Duration
from regrow.values.options import unknown
from regrow.values.secret import Secret, redact

T = TypeVar("T")
_NO_DEFAULT: Any = UNDECIDED


@overload
async def ask(
    question: str,
    *,
    choices: Sequence[str],
    evidence: object = ...,
    to: str | Sequence[str] = ...,
    timeout: Duration | None = ...,
    default: str = ...,
    remind: Duration | None = ...,
    webhook: str | Secret | None = ...,
) -> str: ...
@overload
async def ask(
    question: str,
    *,
    evidence: object = ...,
    to: str | Sequence[str] = ...,
    timeout: Duration | None = ...,
    default: bool = ...,
    remind: Duration | None = ...,
    approvals: int = ...,
    webhook: str | Secret | None = ...,
) -> bool: ...
@overload
async def ask(question: str, answer_type: type[T], **options: Any) -> T: ...
@overload
async def ask(question: str, answer_type: Any, **options: Any) -> Any: ...
async def ask(question: str, answer_type: Any = None, **options: Any) -> Any:
    """Ask people a question, and wait for the answer: durably, for weeks if need be. The process may end meanwhile.

    It stands in `regrow inbox` until somebody answers it: with `regrow answer`, `regrow.answer`, or a signed callback
    to its webhook. The first valid answer counts, and is recorded with who gave it, when, why, and a hash of exactly
    what was shown. The same call with other inputs is another question.

    Args:
        question: what to ask.
        answer_type: what the answer is to be: bool unless said otherwise, a number, str, a Literal, an enum, a
            dataclass, a pydantic model, or a list of these.
        options: any of

            * ``evidence``: what to judge by: a value, or several by name; tables, files, exceptions and text are shown
              as such. A diff is text.
            * ``choices``: texts, of which the answer is one.
            * ``to``: who may answer, by name. Held against the name under which somebody answers.
            * ``timeout``: how long to wait: seconds, ``"2d"``, or a timedelta.
            * ``default``: the answer after that. Recorded as what it is.
            * ``remind``: how often to remind them.
            * ``approvals``: how many different people must say yes. One who says no decides.
            * ``webhook``: where notices are posted; otherwise what ``REGROW_ASK_WEBHOOK`` says.

    Raises:
        NotInRun: there is no run around it.
        NoAnswer: nobody answered in time, and there is no default.
        UsageError: an option cannot be.
    """
    branch = _branch("regrow.ask()")
    wanted = _wanted(question, answer_type, options)
    return await asks.ask_async(asks.invocation_of(wanted, branch), wanted)


def ask_blocking(question: str, answer_type: Any = None, **options: Any) -> Any:
    """Do what `ask` does in a synchronous task: the thread waits.

    Raises:
        UsageError: it would block an event loop; there `await regrow.ask(…)` is what you want.
    """
    branch = _blocking_branch("regrow.ask")
    wanted = _wanted(question, answer_type, options)
    return asks.ask_in_thread(asks.invocation_of(wanted, branch), wanted)


@overload
async def wait_for(name: str, value_type: type[T], *, timeout: Duration | None = ...) -> T: ...
@overload
async def wait_for(name: str, value_type: Any = ..., *, timeout: Duration | None = ...) -> Any: ...
async def wait_for(name: str, value_type: Any = Any, *, timeout: Duration | None = None) -> Any:
    """Wait for a signal that `regrow.signal` sends to this run: durably, as `ask` does.

    Signals of a name are given out in the order of their arrival, each to one call, also if they came before it.

    Args:
        name: of the signal.
        value_type: what its value is to be; anything unless said otherwise.
        timeout: how long to wait.

    Raises:
        NotInRun: there is no run around it.
        NoAnswer: none came in time.
        UnfitAnswer: the one that came has another type. It is consumed.
    """
    branch = _branch("regrow.wait_for()")
    wanted, schema = _signal(name, value_type, timeout)
    return await signals.wait_for_async(signals.invocation_of(wanted, schema, branch), wanted)


def wait_for_blocking(name: str, value_type: Any = Any, *, timeout: Duration | None = None) -> Any:
    """Do what `wait_for` does in a synchronous task: the thread waits."""
    branch = _blocking_branch("regrow.wait_for")
    wanted, schema = _signal(name, value_type, timeout)
    return signals.wait_for_in_thread(signals.invocation_of(wanted, schema, branch), wanted)


def _blocking_branch(what: str) -> Branch:
    if loop_is_running():
        raise UsageError(f"{what}_blocking would block the event loop that runs here; write `await {what}(…)`")
    return _branch(f"{what}_blocking()")


def _signal(name: object, value_type: Any, timeout: Duration | None) -> tuple[WantedSignal, dict[str, Any]]:
    if not isinstance(name, str) or not name:
        raise UsageError(f"regrow.wait_for takes the name of a signal; it is {name!r}")
    allow_answers_of(value_type)
    return WantedSignal(name, value_type, span(timeout, what="regrow.wait_for: timeout")), schema_of(value_type)


def _wanted(question: object, answer_type: Any, options: dict[str, Any]) -> Wanted:
    if not isinstance(question, str) or not question.strip():
        raise UsageError(f"regrow.ask takes a question, as text; it is {question!r}")
    given = _Options(**_known(options))
    choices = _choices(given.choices, answer_type)
    if answer_type is None:
        answer_type = str if choices else bool
    approvals = count(given.approvals, owner="regrow.ask")
    if approvals > 1 and answer_type is not bool:
        raise UsageError("regrow.ask: approvals= counts people who say yes, so the answer must be a bool")
    timeout = span(given.timeout, what="regrow.ask: timeout")
    if given.default is not UNDECIDED and timeout is None:
        raise UsageError("regrow.ask: default= is what holds when the time is over; write timeout= with it")
    schema = schema_of(Literal[choices] if choices else answer_type)
    hook = _hook(given.webhook)
    allow_answers_of(answer_type)
    return Wanted(
        text=redact(question),
        type_=answer_type,
        schema=schema,
        exhibits=tuple(Exhibit(title, text) for title, text in exhibits_of(given.evidence)),
        evidence=given.evidence,
        choices=choices,
        to=names(given.to, owner="regrow.ask"),
        approvals=approvals,
        timeout=timeout,
        default=given.default,
        default_json=_default(given.default, schema, answer_type),
        remind=span(given.remind, what="regrow.ask: remind", positive=True),
        hook=hook,
    )


class _Options(msgspec.Struct):
    evidence: Any = None
    choices: Any = ()
    to: Any = ()
    timeout: Any = None
    default: Any = _NO_DEFAULT
    remind: Any = None
    approvals: Any = 1
    webhook: Any = None


def _known(options: dict[str, Any]) -> dict[str, Any]:
    strange = [name for name in options if name not in _Options.__struct_fields__]
    if strange:
        raise UsageError(f"regrow.ask: {unknown('option', strange[0], list(_Options.__struct_fields__))}")
    return options


def _choices(given: object, answer_type: object) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not all(isinstance(one, str) for one in given):
        raise UsageError(f"regrow.ask: choices= takes a list of texts; it is {given!r}")
    if given and answer_type not in (None, str):
        raise UsageError("regrow.ask: with choices= the answer is one of them, so it has no other type than str")
    return tuple(given)


def _hook(given: object) -> Hook:
    match given:
        case None:
            hook = Hook()
        case str():
            hook = Hook(url=given)
        case Secret() if given.variable:
            hook = Hook(variable=given.variable)
        case Secret():
            hook = Hook(url=given.reveal())
        case _:
            raise UsageError(f"regrow.ask: webhook= takes an address, or regrow.Secret.from_env(name); not {given!r}")
    if given is not None:
        check_hook(hook)
    return hook


def _default(default: object, schema: dict[str, Any], answer_type: Any) -> str | None:
    if default is UNDECIDED:
        return None
    told = to_json(default)
    try:
        check(msgspec.json.decode(told), schema, where="default")
        read_json(told, answer_type)
    except UnfitAnswer as unfit:
        raise UsageError(f"regrow.ask: default= must be an answer that fits; {unfit}") from None
    return told.decode()
