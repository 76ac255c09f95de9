"""Questions to people, as calls: recorded, put up, waited for, and answered once.

What is put up is what the record of it says, so a crash between the two puts up the very same again. What was decided
is the store's to say (`regrow.journal.asks`); here it is read as the type that the code wants. An answer that does not
fit is refused, and the question stays open.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any

import msgspec

from regrow.codec.json_types import read_json
from regrow.engine.branches import Branch
from regrow.engine.callee import Callee, Invocation
from regrow.engine.committer import Ticket
from regrow.engine.driver import Driver
from regrow.engine.lives import Loop
from regrow.engine.state import CallState
from regrow.engine.vault import Kept
from regrow.engine.waits import Found, wait_async, wait_in_thread
from regrow.engine.webhook import Hook
from regrow.errors import Denied, NoAnswer, NotStorable, UnfitAnswer
from regrow.journal.asks import (
    Answer,
    AskKind,
    Decided,
    Exhibit,
    NewAsk,
    Question,
    digest_of,
    encode_question,
)
from regrow.journal.records import Answered, Asked, BlobRef, Call, Said
from regrow.values.ids import ask_id
from regrow.values.options import Options

_VALUE_BYTES = 4 * 1024
"""An answer that is longer stands in the call's result alone, and not beside it as well."""
_TITLE_CHARACTERS = 200
UNDECIDED = msgspec.UNSET
"""There is no default: it is an error if nobody answers in time."""


class Wanted(msgspec.Struct, frozen=True):
    """What is asked, and how its answer is used.

    Attributes:
        text: the question.
        type_: what the code wants to be given.
        schema: the same for people and programs outside.
        kind: on whose behalf it is asked.
        exhibits: the evidence, as text.
        evidence: the evidence itself.
        choices: the answers that are offered.
        to: who may answer.
        approvals: how many must say yes.
        timeout: seconds to wait; None for ever.
        default: what holds after that; `UNDECIDED` for an error.
        default_json: the same as JSON.
        remind: seconds between two reminders.
        hook: where notices go.
        about: path of the call that is to be approved; empty for others.
        read: reads an answer, where its type does not say all; raises `UnfitAnswer`.
    """

    text: str
    type_: Any
    schema: dict[str, Any]
    kind: AskKind = "ask"
    exhibits: tuple[Exhibit, ...] = ()
    evidence: object = None
    choices: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    approvals: int = 1
    timeout: float | None = None
    default: object = UNDECIDED
    default_json: str | None = None
    remind: float | None = None
    hook: Hook = Hook()
    about: str = ""
    read: Callable[[bytes], Any] | None = None


def invocation_of(wanted: Wanted, branch: Branch, name: str = "ask") -> Invocation:
    """Make the call, under a name. Its inputs are all that makes an answer an answer to this and nothing else."""
    callee = _ASK if name == "ask" else Callee(_question, "ask", "async", Options(), name)
    inputs = (wanted.text, wanted.schema, wanted.choices, wanted.evidence, wanted.to, wanted.approvals)
    return Invocation(callee, branch, inputs, {})


async def ask_async(invocation: Invocation, wanted: Wanted) -> Any:
    """Ask in a coroutine."""
    return await wait_async(invocation, _Asking(invocation, wanted))


def ask_in_thread(invocation: Invocation, wanted: Wanted) -> Any:
    """Ask in the caller's own thread."""
    return wait_in_thread(invocation, _Asking(invocation, wanted))


class _Asking:
    """See `regrow.engine.waits.Waiting`."""

    def __init__(self, invocation: Invocation, wanted: Wanted) -> None:
        self._scope = invocation.branch.scope
        self._driver: Driver = self._scope.driver
        self._wanted = wanted
        self._asked: Asked | None = None
        self._since = 0.0
        self._told = 0

    def begin(self, call: Call, known: CallState | None, attempt: int, loop: Loop) -> Generator[Ticket, None, None]:
        driver = self._driver
        asked = known.asked if known is not None else None
        if asked is None or asked.ask != ask_id(driver.run, call.path, call.digest, attempt):
            # New; or asked in the run that this one is a fork of, where the answer to it goes.
            self._since = driver.now()
            asked, blobs = self._record_of(call, attempt)
            yield driver.record(asked, loop, blobs)
        elif known is not None and known.begun_at is not None:
            self._since = known.begun_at
        shown = driver.vault.blobs.get(asked.shown.digest) if isinstance(asked.shown, BlobRef) else asked.shown
        new = NewAsk(asked.ask, self._since, shown, asked.remind)
        self._told = max(1, driver.around.asks.post(driver.run, new, self._wanted.hook).told)
        self._asked = asked

    def look(self) -> Found | None:
        asked, driver = self._asked, self._driver
        if asked is None:
            return None
        now = driver.now()
        decided = driver.around.asks.look(driver.run, asked.ask, now)
        if decided is None:
            self._remind(asked, now)
            return None
        return self._conclude(asked, decided)

    def give_up(self) -> None:
        if self._asked is not None:
            self._driver.around.asks.withdraw(self._driver.run, self._asked.ask, self._driver.now())

    def _record_of(self, call: Call, attempt: int) -> tuple[Asked, tuple[str, ...]]:
        driver, wanted = self._driver, self._wanted
        due = None if wanted.timeout is None else self._since + wanted.timeout
        question = Question(
            text=wanted.text,
            kind=wanted.kind,
            run=driver.run,
            path=call.path,
            task=self._scope.task,
            schema=wanted.schema,
            evidence=wanted.exhibits,
            inputs=call.digest.hex(),
            choices=wanted.choices,
            to=wanted.to,
            approvals=wanted.approvals,
            due=due,
            default=wanted.default_json,
        )
        shown = encode_question(question)
        place, blobs = _kept_bytes(driver, shown)
        evidence = self._evidence()
        asked = Asked(
            call,
            attempt,
            ask_id(driver.run, call.path, call.digest, attempt),
            place,
            digest_of(shown),
            due,
            wanted.remind,
            evidence.value,
            wanted.text[:_TITLE_CHARACTERS],
        )
        return asked, (*blobs, *evidence.blobs)

    def _evidence(self) -> Kept:
        if self._wanted.evidence is None:
            return Kept(b"")
        try:
            return self._driver.keep(self._wanted.evidence, "evidence")
        except NotStorable:
            # What is to be approved may have arguments without a durable form (a client); they are shown as text.
            if self._wanted.kind == "ask":
                raise
            return Kept(b"")

    def _remind(self, asked: Asked, now: float) -> None:
        if asked.remind is None:
            return
        number = 1 + math.floor((now - self._since) / asked.remind)
        if number > self._told:
            self._told = number
            self._driver.around.asks.remind(self._driver.run, asked.ask, number, self._wanted.hook)

    def _conclude(self, asked: Asked, decided: Decided) -> Found | None:
        path, wanted = asked.call.path, self._wanted
        event = Answered(
            path,
            asked.ask,
            asked.digest,
            "timed out" if decided.how != "answered" else "answered",
            tuple(_said(one) for one in decided.answers),
        )
        if decided.how != "answered":
            if wanted.kind == "approval" and wanted.default is not True:
                return Found(event, error=Denied(wanted.about, ""))
            if wanted.default is UNDECIDED:
                return Found(event, error=NoAnswer(path, wanted.timeout))
            return Found(event, wanted.default, self._driver.keep(wanted.default, "default"))
        last = decided.answers[-1]
        try:
            value = self._read(last, asked.ask)
        except UnfitAnswer as unfit:
            self._driver.hand_in(msgspec.structs.replace(event, how="refused", said=(_said(last),), reason=str(unfit)))
            self._driver.around.asks.refuse(self._driver.run, asked.ask, last.number, str(unfit))
            return self.look()
        if wanted.kind == "approval" and value is not True:
            return Found(event, error=Denied(wanted.about, last.who, last.why))
        return Found(event, value, self._driver.keep(value, "answer"))

    def _read(self, answer: Answer, ask: str) -> Any:
        if self._wanted.read is not None:
            return self._wanted.read(answer.value)
        value = read_json(answer.value, self._wanted.type_, ask=ask)
        choices = self._wanted.choices
        if choices and value not in choices:
            raise UnfitAnswer(ask, "answer", f"it must be one of {', '.join(choices)}; it is {value!r}")
        return value


def _kept_bytes(driver: Driver, shown: bytes) -> tuple[bytes | BlobRef, tuple[str, ...]]:
    """Put what is shown into its record, or beside it if it is long."""
    if len(shown) <= _VALUE_BYTES * 4:
        return shown, ()
    digest = driver.vault.blobs.put(shown)
    return BlobRef(digest, len(shown)), (digest,)


def _said(answer: Answer) -> Said:
    value = answer.value if len(answer.value) <= _VALUE_BYTES else b""
    return Said(answer.who, answer.how, answer.time, answer.verdict, answer.why, answer.number, value)


def _question(  # noqa: PLR0917 - the parts of a question
    question: str,
    schema: dict[str, Any],
    choices: tuple[str, ...],
    evidence: object,
    to: tuple[str, ...],
    approvals: int,
) -> None:
    """Stand for the signature of a question; people do the answering."""


_ASK = Callee(_question, "ask", "async", Options(), "ask")
