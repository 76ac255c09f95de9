"""`regrow inbox`, `answer` and `signal`: what runs wait for from outside, and giving it to them."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.text import Text

from regrow.authoring.answering import OpenAsk, answer_row, authenticated, find_ask, opened
from regrow.cli.documents import Document, run_document
from regrow.cli.run import take_up
from regrow.cli.session import Mistake, Session, in_session, say, shared_options
from regrow.cli.terminal import plain, show
from regrow.cli.tree_lines import ago, moment
from regrow.errors import UnknownRun
from regrow.insight.runs import find_run, short
from regrow.journal.presence import actor
from regrow.values.durations import readable

_SHORT_TEXT = 400
"""Characters of a piece of evidence that the list of questions shows; `regrow inbox ID` shows all of it."""


@click.command(epilog="Example: regrow inbox 7k2m")
@click.argument("ask", metavar="[ASK]", required=False)
@click.option("-a", "--all", "everything", is_flag=True, help="Those that were decided, too.")
@shared_options
@in_session
def inbox(session: Session, *, ask: str | None, everything: bool) -> None:
    """List the questions that a project's runs have put to people.

    With ASK, show the whole of one: what it asks, and its evidence.
    """
    if not (session.folder / "journal.db").exists():
        found: list[OpenAsk] = []
    elif ask is not None:
        found = [opened(session.store(), find_ask(session.store(), ask))]
    else:
        found = [opened(session.store(), row) for row in session.store().asks.listed(everything=everything)]
        found = [one for one in found if one.project == session.project]
        found = [one for one in found if everything or _is_of_open_run(session, one)]
    if session.json:
        session.document(asks=[ask_document(one) for one in found])
        return
    if not found:
        say(f"no question waits in {session.folder}{session.of_project}")
        return
    show(line for one in found for line in _lines(one, session.options, whole=ask is not None))


def _is_of_open_run(session: Session, ask: OpenAsk) -> bool:
    try:
        return session.store().get(ask.run).outcome is None
    except UnknownRun:
        return False


def ask_document(ask: OpenAsk) -> Document:
    """Give a question: its answers' values as text, since they are JSON already."""
    plain_: Document = msgspec.to_builtins(ask, builtin_types=(bytes,))
    for one in plain_["answers"]:
        one["value"] = one["value"].decode("utf-8", "replace")
    return plain_


def _lines(ask: OpenAsk, options: str, *, whole: bool) -> Iterator[Text]:
    question, now = ask.question, time.time()
    yield Text.assemble(("? ", "yellow"), plain(ask.id, "bold"), "  ", plain(question.text))
    facts = [("from", f"run {short(ask.run)}, {question.path}, {ago(now - ask.asked)}")]
    if question.to:
        facts.append(("for", ", ".join(question.to)))
    if question.approvals > 1:
        facts.append(("needs", f"{question.approvals} different people who say yes"))
    if ask.due is not None:
        left = f"in {readable(ask.due - now)}" if ask.due > now else "now over"
        default = "" if question.default is None else f"; then it is answered with {question.default}"
        facts.append(("until", f"{moment(ask.due)}, {left}{default}"))
    facts += [("said", f"{one.who}: {_value(one.value)} {one.why} [{one.how}] {one.refused}") for one in ask.answers]
    if ask.decided is not None:
        facts.append(("now", ask.decided))
    if whole:
        facts.append(("hash", ask.digest))
    for name, value in facts:
        yield Text.assemble((f"    {name:<6}", "dim"), plain(" ".join(value.split())))
    for exhibit in question.evidence:
        text = exhibit.text if whole or len(exhibit.text) <= _SHORT_TEXT else f"{exhibit.text[:_SHORT_TEXT]}…"
        first, *rest = text.splitlines() or [""]
        yield Text.assemble("    ", plain(f"{exhibit.title}: " if exhibit.title else "", "bold"), plain(first))
        for line in rest:
            yield Text.assemble("      ", plain(line))
    if ask.decided is None:
        for how in _ways_to_answer(ask):
            yield Text.assemble("    ", plain(f"regrow answer {ask.id} {how}{options}", "green"))


def _value(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _ways_to_answer(ask: OpenAsk) -> list[str]:
    """Give what may stand behind ``regrow answer ASK``, each fit to be pasted."""
    question = ask.question
    if question.yes_or_no:
        return ["--yes", "--no"]
    if question.choices:
        return [f"--choice {shlex.quote(choice)}" for choice in question.choices]
    example = json.dumps(_example_of(question.schema, question.schema.get("$defs", {})), ensure_ascii=False)
    return [f"--value {shlex.quote(example)}"]


def _example_of(schema: Any, defs: Any) -> Any:
    """Give a value of the form that a schema asks for, with nothing said in it yet."""
    if "$ref" in schema:
        return _example_of(defs.get(schema["$ref"].rpartition("/")[2], {}), {})  # one level: a type may hold itself
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            wanted = schema.get("required", schema.get("properties", {}))
            return {name: _example_of(schema.get("properties", {}).get(name, {}), defs) for name in wanted}
        case "array":
            return [_example_of(schema["items"], defs)] if isinstance(schema.get("items"), dict) else []
        case "integer" | "number":
            return 0
        case "boolean":
            return False
        case "null":
            return None
        case _:
            return "…"


@click.command(epilog='Example: regrow answer 7k2m --yes --why "checked against the invoice"')
@click.argument("ask", metavar="ASK")
@click.option("--yes", is_flag=True, help="The answer is yes.")
@click.option("--no", is_flag=True, help="The answer is no.")
@click.option("--choice", metavar="TEXT", help="The answer is one of the choices, or a text.")
@click.option("--value", "value", metavar="JSON", help="The answer, as JSON.")
@click.option("--why", default="", metavar="TEXT", help="Your reason; kept in the journal.")
@click.option("--as", "who", metavar="NAME", help="Who answers, if not you; recorded as what you claim.")
@click.option("--resume", is_flag=True, help="Go on with the run at once, unless a process drives it.")
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE.py", help="With --resume: where the task is.")
@shared_options
@in_session
def answer(
    session: Session,
    *,
    ask: str,
    yes: bool,
    no: bool,
    choice: str | None,
    value: str | None,
    why: str,
    who: str | None,
    resume: bool,
    file: Path | None,
) -> None:
    """Answer a question that a run has put to people.

    ASK is its id, as `regrow inbox` shows it, or four characters or more of its beginning or end. The first valid
    answer counts. It is recorded with your name, your reason, and a hash of exactly what was asked.
    """
    store = session.store()
    row = find_ask(store, ask)
    told = _told(choice, value, yes=yes, no=no)
    name = who if who is not None else actor()
    done = answer_row(store, row, told, why=why, who=name, how=authenticated(who))
    missing = "" if done.decided is not None else "; more people must say yes"
    say(f"answered {row.id} with {_value(told)}, as {name}{missing}")
    run = store.get(row.run)
    if resume and done.decided is not None and not run.held:
        take_up(session, run, file, strict=False, verbose=False, retry=False)
        return
    if session.json:
        session.document(ask=ask_document(done), run=run_document(run))
    if done.decided is not None and not run.held:
        say(f"go on with: regrow resume {short(run.id)}{session.options}")


def _told(choice: str | None, value: str | None, *, yes: bool, no: bool) -> bytes:
    if yes + no + (choice is not None) + (value is not None) != 1:
        raise Mistake("say one thing: --yes, --no, --choice TEXT or --value JSON")
    if choice is not None:
        return json.dumps(choice).encode()
    if value is not None:
        return _as_json(value, "--value")
    return b"true" if yes else b"false"


def _as_json(text: str, option: str) -> bytes:
    try:
        json.loads(text)
    except json.JSONDecodeError as problem:
        raise Mistake(
            f"{option} takes JSON, and {text!r} is none: {problem.msg} at character {problem.pos + 1}; a text is "
            f"written with quotes of its own, such as '\"so\"'"
        ) from None
    return text.encode()


@click.command(epilog="Example: regrow signal @last deployed '{\"version\": 7}'")
@click.argument("run", metavar="RUN")
@click.argument("name", metavar="NAME")
@click.argument("value", metavar="[JSON]", default="null")
@shared_options
@in_session
def signal(session: Session, *, run: str, name: str, value: str) -> None:
    """Send a run a value that its code waits for with `regrow.wait_for(NAME)`, now or later.

    You are told if nothing waits for that name now, with the names that are waited for: it may be a slip.
    """
    store = session.store()
    row = find_run(store, run, session.project)
    if row.outcome is not None:
        raise Mistake(f"run {short(row.id)} has {row.outcome}, and waits for nothing any more")
    told, waits_for = _as_json(value, "the value"), store.signals.expected(row.id)
    place = store.signals.send(row.id, name, told, actor(), time.time())
    if name not in waits_for:
        others = f"it waits for {', '.join(map(repr, waits_for))}" if waits_for else "it waits for no signal at all"
        say(f"nothing in run {short(row.id)} waits for a signal {name!r} now; {others}. This one stays for later")
    if session.json:
        document = run_document(store.get(row.id))
        session.document(run=document, name=name, place=place, awaited=name in waits_for, waits_for=waits_for)
        return
    say(f"sent {name} = {value} to run {short(row.id)}")
    if not row.held and row.outcome is None:
        say(f"nobody drives it now; go on with: regrow resume {short(row.id)}{session.options}")
