"""What an author may ask of a task or a step."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from regrow.errors import UsageError
from regrow.values.backoff import Backoff
from regrow.values.durations import Duration, seconds


class Options(msgspec.Struct, frozen=True):
    """How one call is to be carried out.

    Attributes:
        name: what the call is called in paths; the function's own name when empty.
        retries: how many further attempts follow a failed one.
        backoff: how long to wait before each of them.
        timeout: seconds that one attempt may take.
        deadline: seconds that all attempts together may take, counted from the first one's start; or the moment
            (seconds since the epoch) by which they must be done, when `deadline_is_moment`.
        deadline_is_moment: which of the two `deadline` is.
        once: at most one execution, even if a crash hides its outcome.
        reconcile: asked what became of a once-only call whose outcome a crash has hidden.
    """

    name: str = ""
    retries: int = 0
    backoff: Backoff = Backoff()
    timeout: float | None = None
    deadline: float | None = None
    deadline_is_moment: bool = False
    once: bool = False
    reconcile: Callable[..., object] | None = None


NAMES = ("name", "retries", "backoff", "timeout", "deadline", "once", "reconcile")
_FORBIDDEN_IN_NAMES = frozenset("/#~!@ \t\n")


def merge(base: Options, given: Mapping[str, object], *, owner: str) -> Options:
    """Lay options over others.

    Args:
        base: what holds where nothing is given.
        given: options by name, as a user wrote them.
        owner: how errors name the place, such as ``@regrow.task on train``.

    Raises:
        UsageError: an option is unknown (the nearest right one is named), misread or contradicts another.
    """
    changes: dict[str, object] = {}
    for name, value in given.items():
        if name not in NAMES:
            raise UsageError(f"{owner}: {unknown('option', name, NAMES)}")
        changes |= _read(name, value, owner)
    merged = msgspec.structs.replace(base, **changes)
    if merged.once and merged.retries:
        raise UsageError(f"{owner}: once=True means at most one execution, so it cannot be combined with retries")
    if merged.reconcile is not None and not merged.once:
        raise UsageError(f"{owner}: reconcile= answers for a once-only call; write once=True with it")
    return merged


def unknown(what: str, name: str, right: tuple[str, ...] | list[str]) -> str:
    """Say that a name is unknown, with the nearest right one."""
    near = difflib.get_close_matches(name, right, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(right)}" if right else "it takes none"
    return f"unknown {what} {name!r}; {hint}"


def _read(name: str, value: object, owner: str) -> dict[str, object]:
    match name, value:
        case "name", str():
            if not value or _FORBIDDEN_IN_NAMES & set(value):
                raise UsageError(
                    f"{owner}: a name must not be empty or hold blanks or any of / # ~ ! @; it is {value!r}"
                )
        case "retries", int() if not isinstance(value, bool) and value >= 0:
            pass
        case "backoff", Backoff():
            pass
        case "timeout" | "deadline", None:
            pass
        case "deadline", datetime():
            if value.tzinfo is None:
                raise UsageError(f"{owner}: a deadline given as a moment needs a time zone; {value!r} has none")
            return {"deadline": value.timestamp(), "deadline_is_moment": True}
        case "timeout" | "deadline", _:
            return {name: seconds(_duration(value), what=f"{owner}: {name}")} | (
                {"deadline_is_moment": False} if name == "deadline" else {}
            )
        case "once", bool():
            pass
        case "reconcile", _ if value is None or callable(value):
            pass
        case _:
            raise UsageError(f"{owner}: {name}={value!r} cannot be; {_EXPECTED[name]}")
    return {name: value}


def _duration(value: object) -> Duration:
    return value  # type: ignore[return-value]  # `seconds` refuses, with a sentence, whatever is none


_EXPECTED = {
    "name": "it takes text",
    "retries": "it takes a whole number, 0 or more",
    "backoff": "it takes regrow.Backoff(base, factor, cap, jitter)",
    "once": "it takes True or False",
    "reconcile": "it takes a function that is called with the inputs of the call in doubt",
}
