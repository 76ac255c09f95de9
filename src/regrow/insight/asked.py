"""What a run has asked people, and what was said to it, as a reader of the run is shown it."""

from __future__ import annotations

from typing import Literal

import msgspec

from regrow.journal.records import Answered, Asked, Said


class AskedNode(msgspec.Struct, frozen=True):
    """One question.

    Attributes:
        id: what it is answered by.
        question: the question.
        digest: the hash of what was shown, in hexadecimal.
        due: until when it could be answered.
        how: what decided it; None while it is open.
        said: who said what, and why.
        answered_by: who has answered it in the store, without the run having seen that yet.
    """

    id: str
    question: str
    digest: str
    due: float | None = None
    how: Literal["answered", "timed out"] | None = None
    said: tuple[Said, ...] = ()
    answered_by: tuple[str, ...] = ()

    def describe(self) -> str:
        """Tell in a line what became of it."""
        match self.how:
            case None if self.answered_by:
                return f"has been answered, by {', '.join(self.answered_by)}: {self.question}"
            case None:
                return f"waits for an answer: {self.question} (regrow inbox {self.id})"
            case "timed out":
                return f"nobody answered in time: {self.question}"
            case "answered":
                return f"{self.question} {'; '.join(map(_told, self.said))}"


def asked_node(event: Asked) -> AskedNode:
    """Give a question as it is put up."""
    return AskedNode(event.ask, event.question, event.digest, event.due)


def with_decision(node: AskedNode | None, event: Answered) -> AskedNode | None:
    """Give the same question, with what was decided of it."""
    if node is None or node.id != event.ask:
        return node
    how = None if event.how == "refused" else event.how  # then it is open again
    return msgspec.structs.replace(node, how=how, said=event.said if how else ())


def _told(said: Said) -> str:
    value = said.verdict if said.verdict != "value" else said.value.decode("utf-8", "replace")
    return f"{said.who}: {value}{f' ({said.why})' if said.why else ''} [{said.how}]"
