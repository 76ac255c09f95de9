"""A person as the last rung of the ladder: what a failed attempt leads to is asked before the next one begins.

The failure is recorded first, with `AskHuman` as its remedy. So a crash while somebody thinks executes nothing again,
and every later life asks the same question, and finds it answered. What they say takes the place of that remedy.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Generator
from typing import Any

import msgspec

from regrow.codec import rebuild
from regrow.codec.json_schema import check
from regrow.codec.json_types import read_json, schema_of, to_json
from regrow.codec.plain_text import exhibits_of
from regrow.engine.asks import UNDECIDED, Wanted, ask_async, ask_in_thread, invocation_of
from regrow.engine.branches import Branch
from regrow.engine.callee import Callee, Invocation, Mode
from regrow.engine.failing import told
from regrow.engine.replay import ASIDE
from regrow.engine.scope import Scope
from regrow.engine.state import CallState
from regrow.errors import Failure, UnfitAnswer, UsageError
from regrow.journal.asks import Exhibit
from regrow.journal.records import AttemptFailed, CallFailed, RecordedRemedy
from regrow.remedies import AskHuman, Extend, Fallback, GiveUp, Grow, Resume, RetryAfter, described
from regrow.values.options import Options

_Way = Grow | Extend | Resume | RetryAfter
GIVE_UP = "give up"
STOP = "stop"


class Advice(msgspec.Struct, frozen=True):
    """What somebody said.

    Attributes:
        remedy: what the next attempt is to be made with; None for none.
        result: the result that they have supplied, in a tuple of one; None if they have not.
        inputs: the arguments that are to be others, by name.
        word: `GIVE_UP` or `STOP`, if that is what they said.
    """

    remedy: RecordedRemedy | None = None
    result: tuple[Any] | None = None
    inputs: dict[str, Any] | None = None
    word: str = ""


def is_advised(known: CallState | None) -> bool:
    """Tell whether a person is to say, or has said, what a failed attempt of a call leads to."""
    return known is not None and any(_asks(failed) for failed in known.attempts[known.forgiven :])


def advisers_of(
    invocation: Invocation, known: CallState, outer: Scope, mode: Mode
) -> Generator[tuple[int, Callee, Scope], None, None]:
    """Give, for each failed attempt that was put to a person, its place, and what asks them."""
    for place, failed in enumerate(known.attempts):
        if place >= known.forgiven and isinstance(failed, AttemptFailed) and _asks(failed):
            scope = Scope(outer.driver, known.call, outer, attempt=failed.attempt)
            branch = scope.main = Branch(scope, f"{scope.path}{ASIDE}")
            wanted = _wanted(invocation, failed, known)
            yield place, _asking(wanted, branch, failed.attempt, mode), scope


def follow(invocation: Invocation, failed: AttemptFailed | CallFailed, answer: Any) -> Advice:
    """Read what somebody has said of a failed attempt.

    Raises:
        UnfitAnswer: it says nothing that can be done.
    """
    if isinstance(answer, str):
        if answer in {GIVE_UP, STOP}:
            return Advice(word=answer)
        ways = _ways(failed)
        if answer not in ways:
            raise UnfitAnswer("", "answer", f"it must be one of {', '.join(ways)}")
        return Advice(remedy=ways[answer])
    if "result" in answer:
        return Advice(result=(read_json(to_json(answer["result"]), _hints(invocation).get("return", Any)),))
    hints = _hints(invocation)
    return Advice(
        remedy=RetryAfter(0.0),
        inputs={name: read_json(to_json(value), hints.get(name, Any)) for name, value in answer["inputs"].items()},
    )


def edit(invocation: Invocation, inputs: dict[str, Any]) -> None:
    """Let the call's further attempts have other arguments. It stays the call that it was made as."""
    bound = invocation.callee.signature.bind(*invocation.args, **invocation.kwargs)
    bound.arguments.update(inputs)
    invocation.args, invocation.kwargs = bound.args, bound.kwargs


def _asks(failed: AttemptFailed | CallFailed) -> bool:
    return isinstance(failed, AttemptFailed) and isinstance(failed.remedy, AskHuman)


def _asking(wanted: Wanted, branch: Branch, attempt: int, mode: Mode) -> Callee:
    name = f"advice-{attempt}"  # of its own for each attempt: each failure is another question

    async def ask(*_: Any, **__: Any) -> Any:
        return await ask_async(invocation_of(wanted, branch, name), wanted)

    def ask_blocking(*_: Any, **__: Any) -> Any:
        return ask_in_thread(invocation_of(wanted, branch, name), wanted)

    return Callee(ask_blocking if mode == "sync" else ask, "step", mode, Options(), "advice")


def _wanted(invocation: Invocation, failed: AttemptFailed, known: CallState) -> Wanted:
    policy = failed.remedy if isinstance(failed.remedy, AskHuman) else AskHuman()
    schema = _schema(invocation, failed)
    bound = invocation.callee.signature.bind(*invocation.args, **invocation.kwargs)
    bound.apply_defaults()
    before = [told(one) for one in known.attempts if one.attempt < failed.attempt]
    evidence = {"failure": _told(failed), "before": "\n".join(before), "ways on": _told_ways(failed)}
    evidence = {title: text for title, text in evidence.items() if text}
    inputs = exhibits_of(dict(bound.arguments))

    def read(data: bytes) -> Any:
        value = json.loads(data)
        check(value, schema)
        follow(invocation, failed, value)
        return value

    return Wanted(
        text=f"{invocation.callee.name} failed: {failed.error.summary()}. What is to be done?",
        type_=Any,
        schema=schema,
        kind="remedy",
        exhibits=tuple(Exhibit(title, text) for title, text in [*evidence.items(), *inputs]),
        evidence=evidence,
        to=tuple(policy.to),
        timeout=policy.timeout,
        default=UNDECIDED if policy.timeout is None else GIVE_UP,
        default_json=None if policy.timeout is None else json.dumps(GIVE_UP),
        remind=policy.remind,
        read=read,
    )


def _told(failed: AttemptFailed) -> str:
    error = rebuild(failed.error)
    return error.describe() if isinstance(error, Failure) else failed.error.render()


def _ways(failed: AttemptFailed | CallFailed) -> dict[str, _Way]:
    error = rebuild(failed.error)
    found: dict[str, _Way] = {}
    for remedy in error.remedies if isinstance(error, Failure) else ():
        match remedy:
            case Grow():
                found["grow"] = remedy
            case Extend():
                found["extend"] = remedy
            case Resume():
                found["resume"] = remedy
            case RetryAfter() | Fallback() | GiveUp() | AskHuman():
                pass
    return found | {"retry": RetryAfter(0.0)}


def _told_ways(failed: AttemptFailed) -> str:
    lines = [f'"{word}": {described(remedy)}' for word, remedy in _ways(failed).items()]
    lines += [
        f'"{GIVE_UP}": hand the failure to the calling code',
        f'"{STOP}": stop the run; it can be tried again later',
        '{"result": …}: take this for the result of the call',
        '{"inputs": {"name": …}}: try again with other arguments',
    ]
    return "\n".join(lines)


def _schema(invocation: Invocation, failed: AttemptFailed) -> dict[str, Any]:
    hints = _hints(invocation)
    names: dict[str, dict[str, Any]] = {name: {} for name in invocation.callee.signature.parameters}
    return {
        "anyOf": [
            {"enum": [*_ways(failed), GIVE_UP, STOP]},
            _object("result", _described(hints.get("return"))),
            _object("inputs", {"type": "object", "properties": names, "additionalProperties": False}),
        ]
    }


def _object(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: schema}, "required": [name], "additionalProperties": False}


def _described(type_: Any) -> dict[str, Any]:
    try:
        schema = schema_of(Any if type_ is None else type_)
    except UsageError:  # the author's type may have no form in JSON; then only a Python program can supply one
        return {}
    return {} if "$defs" in schema else schema


def _hints(invocation: Invocation) -> dict[str, Any]:
    try:
        return typing.get_type_hints(invocation.callee.function)
    except Exception:  # noqa: BLE001 - an annotation may be any expression; one that cannot be resolved says nothing
        return {}
