"""What all failures have in common: where one arose, how that is known, and the ways out of it."""

from __future__ import annotations

from typing import Any, Literal, Self

from regrow.amounts import readable_size
from regrow.errors.root import RegrowError
from regrow.remedies import GiveUp, Remedy, RetryAfter, described

Confidence = Literal["certain", "likely", "unknown"]
"""How sure it is what a failure was."""

Layer = Literal["infrastructure", "network", "logical", "semantic"]
"""Where a failure arose (design: agents fail in layers)."""


class Failure(RegrowError):
    """A task or step did not succeed for a reason that regrow itself has established.

    Attributes:
        layer: where it arose.
        path: the call that failed; empty where it is not about one.
        confidence: how sure it is that this is what happened.
        evidence: what it was concluded from, one sentence each, the strongest first.
        facts: what was known of the attempt: numbers and texts by name, such as ``attempt``, ``limits``, ``samples``.
        history: the failed attempts that came before it, one line each, where healing was given up.
    """

    layer: Layer = "infrastructure"
    path: str = ""
    confidence: Confidence = "certain"
    evidence: tuple[str, ...] = ()
    facts: dict[str, Any] = {}  # noqa: RUF012 - a default that nobody writes to: `explained` sets a new one
    history: tuple[str, ...] = ()

    def explained(
        self,
        *,
        confidence: Confidence = "certain",
        evidence: tuple[str, ...] = (),
        facts: dict[str, Any] | None = None,
    ) -> Self:
        """Say how it is known, and give it back."""
        self.confidence = confidence
        self.evidence = evidence
        self.facts = facts if facts is not None else {}
        return self

    @property
    def context(self) -> dict[str, Any]:
        """All that is known of the failure, as plain data: for a policy, a log, or a model."""
        own = {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "facts"}
        told = {"failure": type(self).__name__, "message": str(self), "layer": self.layer}
        return told | {"confidence": self.confidence, "evidence": self.evidence} | self.facts | own

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """The ways out that fit this very failure, the most promising first."""
        return (RetryAfter(0.0), GiveUp())

    def describe(self) -> str:
        """Tell it in a few lines that a model, or a person, can act on."""
        lines = [f"{type(self).__name__} ({self.layer}, {self.confidence}): {self}"]
        lines += [f"- {sentence}" for sentence in self.evidence]
        lines += [f"- {name}: {told}" for name, value in self.facts.items() if (told := _told(name, value))]
        lines += [f"- before: {line}" for line in self.history]
        lines.append("Ways out:")
        lines += [f"- {described(remedy)}" for remedy in self.remedies]
        return "\n".join(lines)


def _told(name: str, value: object) -> str:
    """Give a fact as a reader wants it; nothing for one that is no single figure or text."""
    match name, value:
        case "peak", int():
            return readable_size(value)
        case "ran", int() | float():
            return f"{value:.2f} s"
        case _, str() | int():
            return str(value)
        case _, float():
            return f"{value:.6g}"
        case _:
            return ""
