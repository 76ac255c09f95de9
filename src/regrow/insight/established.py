"""What regrow has established of a failure: how sure it is, on what evidence, and which ways out fit.

Only failures of regrow's own classes are made again here. They say all that is asked for in plain fields, and a
viewer must not run a property of somebody's subclass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from regrow.codec import ErrorRecord, rebuild
from regrow.errors import Confidence, Failure, Layer
from regrow.remedies import Remedy

_OWN = ("regrow", "regrow.errors")
"""The module of regrow's own failures, by either name: the public one is put on at the end of `import regrow`."""


class Established(msgspec.Struct, frozen=True):
    """A failure with what is known of it.

    Attributes:
        type: the name of its class, such as ``OutOfMemory``.
        path: the call that failed; empty where it is not about one.
        layer: where it arose.
        confidence: how sure it is that this is what happened.
        evidence: what it was concluded from, one sentence each, the strongest first.
        facts: what was known of the attempt, by name.
        history: the failed attempts before it, one line each, where healing was given up.
        remedies: the ways out that fit it, the most promising first; empty where none is special to it.
        text: all of this in a few lines, as a model is shown it.
    """

    type: str
    path: str
    layer: Layer
    confidence: Confidence
    evidence: tuple[str, ...]
    facts: dict[str, Any]
    history: tuple[str, ...]
    remedies: tuple[Remedy, ...]
    text: str


def established(error: ErrorRecord | None) -> Established | None:
    """Give what regrow has established of an error, or of what it came from; None if it is the code's own affair."""
    failure = failure_in(error)
    if failure is None:
        return None
    return Established(
        type=type(failure).__name__,
        path=failure.path,
        layer=failure.layer,
        confidence=failure.confidence,
        evidence=tuple(failure.evidence),
        facts=dict(failure.facts),
        history=tuple(failure.history),
        remedies=failure.remedies if _is_special(failure) else (),
        text=failure.describe(),
    )


def failure_in(error: ErrorRecord | None) -> Failure | None:
    """Find the failure of regrow's own that an error is, or that it came from."""
    for one in _with_origins(error):
        if one.type.rpartition(":")[0] in _OWN:
            made = rebuild(one)
            if isinstance(made, Failure) and type(made).__module__ in _OWN:
                return made
    return None


def failure_name(error: ErrorRecord | None) -> str:
    """Give the short name of an error's class, such as ``OutOfMemory``; empty for none."""
    return "" if error is None else error.type.rpartition(":")[2].rpartition(".")[2]


def _with_origins(error: ErrorRecord | None) -> Iterator[ErrorRecord]:
    if error is not None:
        yield error
        for origin in (error.cause, None if error.suppress_context else error.context, *error.members):
            yield from _with_origins(origin)


def _is_special(failure: Failure) -> bool:
    """Tell whether its class knows ways out, or only has those that fit anything."""
    return type(failure).remedies is not Failure.remedies
