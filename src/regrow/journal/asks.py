"""Questions to people, and their answers: what is asked, who said what, and the one decision that counts.

A question is decided in the store and nowhere else, by one statement that finds it undecided or does nothing. So the
first valid answer wins, from whatever process it comes, and a time-out or a withdrawal can come before an answer but
never beside one. The driver of the run only looks what was decided, and writes that into its journal.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal, Protocol

import msgspec

AskKind = Literal["ask", "approval", "remedy"]
"""Asked by the code itself; by `approve=`, about a call; by `ask_human`, about a failure."""

How = Literal["answered", "timed out", "withdrawn"]
"""`withdrawn`: the code gave up waiting."""

Verdict = Literal["yes", "no", "value"]
"""What an answer says; `value` where the question was not one of yes or no."""


class Exhibit(msgspec.Struct, frozen=True):
    """A piece of evidence, as text for people."""

    title: str
    text: str


class Question(msgspec.Struct, frozen=True):
    """All that people are shown. Its encoded form is hashed, so that an answer says what exactly it answers.

    Attributes:
        text: the question.
        kind: on whose behalf it is asked.
        run: id of the run that asks.
        path: of the call that asks.
        task: the innermost task around it.
        schema: what an answer must be, as JSON Schema.
        evidence: what it is to be judged by.
        inputs: digest of the values behind all this, in hex: of what the text had to shorten, too.
        choices: the answers that are offered, where there is a list of them.
        to: who may answer; empty for anybody.
        approvals: how many different people must say yes.
        due: until when it can be answered, in seconds since the epoch; None for ever.
        default: what is taken for the answer after that, as JSON; None if nothing is.
    """

    text: str
    kind: AskKind
    run: str
    path: str
    task: str
    schema: dict[str, Any]
    evidence: tuple[Exhibit, ...] = ()
    inputs: str = ""
    choices: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    approvals: int = 1
    due: float | None = None
    default: str | None = None

    @property
    def yes_or_no(self) -> bool:
        """Whether it is answered with yes or no."""
        return self.schema.get("type") == "boolean"


def encode_question(question: Question) -> bytes:
    """Give the bytes that are stored, shown and hashed."""
    return msgspec.json.encode(question)


def digest_of(shown: bytes) -> str:
    """Give the hash of what is shown, in hex."""
    return hashlib.sha256(shown).hexdigest()


class NewAsk(msgspec.Struct, frozen=True):
    """A question on its way into a store.

    Attributes:
        id: follows from run, path, inputs and attempt; posting it again changes nothing.
        asked: when, in seconds since the epoch.
        shown: the encoded `Question`.
        remind: seconds between two reminders; None for none.
    """

    id: str
    asked: float
    shown: bytes
    remind: float | None = None


class Answer(msgspec.Struct, frozen=True):
    """What somebody answered.

    Attributes:
        who: the name under which they did.
        how: how that name was established, such as ``local user`` or ``signed callback``.
        time: when, in seconds since the epoch.
        value: the answer, as JSON.
        verdict: what it says.
        why: their reason, in their own words.
        number: the how-manieth answer to its question it is, from 1; the store gives it.
        refused: why it was not taken after all; empty if it was.
        nonce: what makes a signed callback usable once; None for answers that came in another way.
    """

    who: str
    how: str
    time: float
    value: bytes
    verdict: Verdict = "value"
    why: str = ""
    number: int = 0
    refused: str = ""
    nonce: str | None = None


class Decided(msgspec.Struct, frozen=True):
    """What became of a question.

    Attributes:
        how: what decided it.
        time: when, in seconds since the epoch.
        answers: those that count, oldest first; the last one was decisive.
    """

    how: How
    time: float
    answers: tuple[Answer, ...] = ()


class AskRow(msgspec.Struct, frozen=True):
    """A question as a list shows it.

    Attributes:
        id: its id.
        run: the run that asks.
        project: of that run.
        path: of the call that asks.
        asked: when, in seconds since the epoch.
        due: until when it can be answered.
        remind: seconds between two reminders.
        told: how many notices of it have been delivered to a webhook.
        digest: the hash of what is shown, in hex.
        shown: the encoded `Question`.
        decided: what decided it; None while it is open.
        decided_at: when.
    """

    id: str
    run: str
    project: str
    path: str
    asked: float
    due: float | None
    remind: float | None
    told: int
    digest: str
    shown: bytes
    decided: How | None = None
    decided_at: float | None = None

    @property
    def question(self) -> Question:
        """What people are shown."""
        return msgspec.json.decode(self.shown, type=Question)


class Asks(Protocol):
    """Where questions wait. Methods may be called from any thread; each is one transaction."""

    def post(self, run: str, project: str, ask: NewAsk) -> AskRow:
        """Put a question up, or give the one of this id back. One that was withdrawn is open again."""
        ...

    def look(self, run: str, ask: str, now: float) -> Decided | None:
        """Say what became of a run's question; one that is past its time and undecided is decided by that.

        Raises:
            UnknownAsk: the run has asked no such question.
        """
        ...

    def refuse(self, run: str, ask: str, number: int, reason: str) -> None:
        """Take back the decision that an answer made: it does not fit, and the question is open again."""
        ...

    def withdraw(self, run: str, ask: str, now: float) -> None:
        """Close a question that nobody waits for any more, unless it is decided already."""
        ...

    def note_told(self, run: str, ask: str, number: int) -> None:
        """Note that so many notices of a question have been delivered."""
        ...

    def answer(self, ask: str, answer: Answer) -> AskRow:
        """Give an answer, which decides the question unless more people must say yes.

        Raises:
            UnknownAsk: there is no such question.
            AskClosed: it is decided, its time has passed, this person has answered it, or the callback was used.
        """
        ...

    def get(self, ask: str) -> AskRow:
        """Give a question by its whole id.

        Raises:
            UnknownAsk: there is none.
        """
        ...

    def listed(self, *, run: str | None = None, everything: bool = False) -> list[AskRow]:
        """List the questions that are open, or all; of one run, or of all; the oldest first."""
        ...

    def answers(self, ask: str) -> list[Answer]:
        """Give all answers to a question, the refused ones too, oldest first."""
        ...

    def forget(self, run: str) -> None:
        """Forget what a run has asked."""
        ...
