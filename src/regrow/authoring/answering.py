"""Answering from outside: what waits, what somebody says to it, and signals. From any process that has the store."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

import msgspec

from regrow.authoring.home import StoreLike, host_of
from regrow.codec.json_schema import check
from regrow.codec.json_types import to_json
from regrow.engine.webhook import SECRET_VARIABLE
from regrow.errors import AskClosed, BadSignature, UnfitAnswer, UnknownAsk, UnknownRun, UsageError
from regrow.journal.asks import Answer, AskRow, Question
from regrow.journal.presence import actor
from regrow.journal.store import Store
from regrow.values.signature import HEADER, verify

SHORTEST = 4
"""Characters of a question's id that a person must type at least."""
LONGEST_BODY = 1_000_000
"""Bytes of a callback. Whoever sends more is not answering a question."""


class OpenAsk(msgspec.Struct, frozen=True):
    """A question that waits, or waited, for an answer.

    Attributes:
        id: what it is answered by.
        run: which run asks.
        project: of that run.
        question: all that people are to be shown.
        asked: when, in seconds since the epoch.
        due: until when it can be answered; None for ever.
        digest: the hash of what is shown, in hex.
        decided: what decided it; None while it is open.
        answers: what was said so far, refused answers too.
    """

    id: str
    run: str
    project: str
    question: Question
    asked: float
    due: float | None
    digest: str
    decided: str | None
    answers: tuple[Answer, ...]


def inbox(*, store: StoreLike = None, everything: bool = False) -> list[OpenAsk]:
    """List the questions that wait for people, the oldest first.

    Args:
        store: where the runs are.
        everything: those that were decided too, and those of runs that have ended.
    """
    place = host_of(store).store
    return [opened(place, row) for row in place.asks.listed(everything=everything) if everything or _waits(place, row)]


def answer(
    ask: str, value: object, *, why: str = "", who: str | None = None, store: StoreLike = None, how: str | None = None
) -> OpenAsk:
    """Answer a question.

    Args:
        ask: its id, or the beginning or end of it.
        value: the answer: what its type says, or the same as JSON would have it.
        why: the reason; recorded.
        who: who answers; this machine's user if left out.
        store: where the run is.
        how: how it is known who that is; said by those who have checked it.

    Raises:
        UnknownAsk: there is no such question.
        AskClosed: it is decided already, its time is over, or it is not for this person to answer.
        UnfitAnswer: the answer is not what was asked for; names the field.
    """
    place = host_of(store).store
    row = find_ask(place, ask)
    return answer_row(place, row, to_json(value), why=why, who=who or actor(), how=how or authenticated(who))


def answer_row(
    store: Store, row: AskRow, told: bytes, *, why: str, who: str, how: str, nonce: str | None = None
) -> OpenAsk:
    """Give an answer that is JSON to a question that was found. See `answer`."""
    question = row.question
    try:
        value = msgspec.json.decode(told)
    except msgspec.DecodeError as problem:
        raise UnfitAnswer(row.id, "answer", f"it is no JSON ({problem})") from None
    check(value, question.schema, ask=row.id)
    if not is_for(question.to, who):
        raise AskClosed(row.id, f"question {row.id} is for {', '.join(question.to)} to answer, and not for {who}")
    if row.decided is None and not _waits(store, row):
        raise AskClosed(row.id, f"run {row.run}, which asked this, has ended")
    verdict = ("yes" if value else "no") if question.yes_or_no else "value"
    given = Answer(who, how, time.time(), told, verdict, why, nonce=nonce)  # type: ignore[arg-type]  # one of the three
    return opened(store, store.asks.answer(row.id, given))


def is_for(to: tuple[str, ...], who: str) -> bool:
    """Tell whether somebody is among those who may answer. Names are given as ``alice`` or ``alice@host``."""
    return not to or who in to or who.partition("@")[0] in to


def authenticated(claimed: str | None) -> str:
    """Say how it is known who answers: by the user that the process runs as, or on that user's word."""
    me = f"{actor()}, uid {os.getuid()}"
    return f"local user {me}" if claimed in (None, actor()) else f"claimed by local user {me}"


def find_ask(store: Store, typed: str) -> AskRow:
    """Find the question that somebody means by an id, or by the beginning or end of one.

    Raises:
        UnknownAsk: there is none, or more than one.
    """
    part = typed.strip().lower()
    rows = store.asks.listed(everything=True)
    matches = [row for row in rows if row.id == part]
    if not matches and len(part) >= SHORTEST:
        matches = [row for row in rows if row.id.startswith(part) or row.id.endswith(part)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UnknownAsk(typed, f"{typed!r} fits {len(matches)} questions; type more of the id")
    raise UnknownAsk(typed, f"there is no question {typed!r} in {store.place}; `regrow inbox` lists those that wait")


def opened(store: Store, row: AskRow) -> OpenAsk:
    """Give a question with all that was said to it."""
    answers = tuple(store.asks.answers(row.id))
    return OpenAsk(row.id, row.run, row.project, row.question, row.asked, row.due, row.digest, row.decided, answers)


def _waits(store: Store, row: AskRow) -> bool:
    """Tell whether anybody may still read an answer."""
    try:
        return store.get(row.run).outcome is None
    except UnknownRun:
        return False


class _Callback(msgspec.Struct, forbid_unknown_fields=True):
    ask: str
    shown: str
    value: msgspec.Raw
    who: str
    why: str = ""


def accept_callback(
    headers: Mapping[str, str], body: bytes, *, store: StoreLike = None, secret: str | None = None
) -> OpenAsk:
    """Take an answer that somebody has sent to a web server of yours, in reply to a notice.

    The body is JSON: ``{"ask", "shown", "value", "who", "why"}``, where ``shown`` is the hash that the notice had: an
    answer to something else than what was shown is not taken. The header ``Regrow-Signature`` is made as
    `regrow.engine.webhook` makes ours; each signature is good once.

    Args:
        headers: of the request.
        body: of the request, as it came.
        store: where the runs are.
        secret: what both sides know; otherwise what ``REGROW_ASK_SECRET`` says.

    Raises:
        BadSignature: it is not signed, or not so, or has expired, or is no answer.
        UnknownAsk: there is no such question.
        AskClosed: it is decided already, or this very message was used before.
        UnfitAnswer: the answer is not what was asked for.
    """
    known = secret if secret is not None else os.environ.get(SECRET_VARIABLE)
    if not known:
        raise UsageError(f"callbacks are checked with a secret: set {SECRET_VARIABLE}, or pass secret=")
    if len(body) > LONGEST_BODY:
        raise BadSignature(f"the message has {len(body)} bytes; that is no answer")
    signature = next((text for name, text in headers.items() if name.lower() == HEADER.lower()), "")
    signed = verify(signature, body, now=time.time(), secret=known)
    try:
        told = msgspec.json.decode(body, type=_Callback)
    except msgspec.DecodeError as problem:
        raise BadSignature(f"the message is signed, and is no answer ({problem})") from None
    place = host_of(store).store
    row = place.asks.get(told.ask)
    if told.shown != row.digest:
        raise AskClosed(row.id, "the answer is to something else than what was shown here")
    how = "signed callback"
    return answer_row(place, row, bytes(told.value), why=told.why, who=told.who, how=how, nonce=signed.nonce)


def signal(run: str, name: str, value: object = None, *, store: StoreLike = None) -> int:
    """Send a value to a run, for its `wait_for`.

    Args:
        run: the run's id.
        name: what the run waits for.
        value: anything that has a form in JSON.
        store: where the run is.

    Returns:
        The place of the signal among all that were sent to the run.

    Raises:
        UnknownRun: there is none.
    """
    if not name:
        raise UsageError("a signal has a name, and this one is empty")
    place = host_of(store).store
    place.get(run)
    return place.signals.send(run, name, to_json(value), actor(), time.time())
