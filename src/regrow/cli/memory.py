"""`regrow memory`: agents' memories, looked at, compared, set back, and cleaned of what should not be in them."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from regrow.authoring.memories.handle import Memory, MemoryView
from regrow.authoring.memories.handle import memory as memory_of
from regrow.authoring.memories.reading import MemoryEntry
from regrow.cli.session import F, Mistake, Session, as_json, in_session, out, say, shared_options
from regrow.cli.terminal import console, plain
from regrow.cli.terminal import show as show_lines
from regrow.cli.tree_lines import ago, moment
from regrow.errors import UsageError
from regrow.insight.memory_users import unfinished_users
from regrow.insight.preview import preview
from regrow.insight.runs import short
from regrow.journal.memories import Suspect
from regrow.journal.records import BlobRef
from regrow.values.sizes import readable_size

_LAST = 20
_WIDTH = 100


@click.group(epilog="Example: regrow memory show customers/42 --history")
@in_session
@click.pass_context
def memory(context: click.Context, session: Session) -> None:
    """Look at agents' memories, compare their versions, set them back, and hide what should not be in them."""
    session.command = f"memory {context.invoked_subcommand}"


@memory.command(epilog="Example: regrow memory ls --json")
@shared_options
@in_session
def ls(session: Session) -> None:
    """List memories by name."""
    exists = (session.folder / "journal.db").exists()
    rows = session.store().memories.rows(session.project) if exists else []
    if session.json:
        session.document(memories=rows)
        return
    if not rows:
        say(f"there are no memories in {session.folder}{session.of_project}; regrow.memory(NAME) in an agent makes one")
        return
    table = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("memory", "version", "messages", "size", "written", "forked from"):
        table.add_column(title, no_wrap=True, justify="right" if title in ("version", "messages", "size") else "left")
    for row in rows:
        table.add_row(
            plain(row.name, "bold"),
            str(row.version),
            str(row.messages),
            readable_size(row.bytes),
            ago(time.time() - row.written),
            plain(row.forked_from or ""),
        )
    console().print(table)


def _one_version(command: F) -> F:
    return click.option("--at", type=click.IntRange(0), metavar="VERSION", help="As it was then; otherwise now.")(
        command
    )


@memory.command(epilog="Example: regrow memory show customers/42 --last 5")
@click.argument("name", metavar="MEMORY")
@_one_version
@click.option("-n", "--last", type=click.IntRange(0), default=_LAST, show_default=True, help="How many messages.")
@click.option("--history", "with_history", is_flag=True, help="Every version, with who wrote it, instead.")
@shared_options
@in_session
def show(session: Session, *, name: str, at: int | None, last: int, with_history: bool) -> None:
    """Show what a memory holds, and who wrote each part of it."""
    seen = _found(session, name).at(at)
    history = seen.history() if with_history else []
    messages = [] if with_history else seen.messages.entries(last=last)
    keyed = [] if with_history else _keyed(seen)
    if session.json:
        session.document(
            memory=seen.name,
            at=seen.version,
            messages=[_entry(one) for one in messages],
            documents=[_entry(one) for one in keyed if one.kind == "document"],
            files=[_entry(one) for one in keyed if one.kind == "file"],
            quarantined=seen.quarantined(),
            history=[_entry(one) for one in history],
        )
        return
    lines = [Text.assemble((seen.name, "bold"), (f"  version {seen.version}", "dim"))]
    lines += [_line(one) for one in (history or [*messages, *keyed])]
    lines += [plain(f"in quarantine: {_whom(one)}", "yellow") for one in seen.quarantined()]
    show_lines(lines)


@memory.command(epilog="Example: regrow memory diff customers/42 17 23")
@click.argument("name", metavar="MEMORY")
@click.argument("a", type=click.IntRange(0), metavar="VERSION")
@click.argument("b", type=click.IntRange(0), metavar="[VERSION]", required=False)
@click.option("--with", "other", metavar="MEMORY", help="Compare with a version of this other memory, such as a fork.")
@shared_options
@in_session
def diff(session: Session, *, name: str, a: int, b: int | None, other: str | None) -> None:
    """Show what differs between two versions; the second is the latest, if it is not given."""
    before = _found(session, name).at(a)
    after = _found(session, other or name).at(b)
    found = before.diff(after)
    if session.json:
        session.document(
            memory=before.name,
            a=before.version,
            other=after.name,
            b=after.version,
            added=[_entry(one) for one in found.added],
            removed=[_entry(one) for one in found.removed],
            changed=[{"before": _entry(one), "after": _entry(two)} for one, two in found.changed],
        )
        return
    lines = [Text.assemble(("- ", "red"), _line(one)) for one in found.removed]
    for one, two in found.changed:
        lines += [Text.assemble(("- ", "red"), _line(one)), Text.assemble(("+ ", "green"), _line(two))]
    lines += [Text.assemble(("+ ", "green"), _line(one)) for one in found.added]
    show_lines(lines)
    if not lines:
        say("they hold the same")


@memory.command(epilog="Example: regrow memory revert customers/42 --to 17")
@click.argument("name", metavar="MEMORY")
@click.option("--to", type=click.IntRange(0), required=True, metavar="VERSION", help="As it was then.")
@shared_options
@in_session
def revert(session: Session, *, name: str, to: int) -> None:
    """Let a memory be as it was at a version. What was written since stays in its history."""
    version = _found(session, name).revert(to=to)
    if session.json:
        session.document(memory=name, to=to, at=version)
    else:
        say(f"{name} is as it was at version {to}; that is version {version} now")


def _of_whom(command: F) -> F:
    for option, text in (
        ("--reason", "Why, for whoever reads the history."),
        ("--source", "What is said to come from this source."),
        ("--actor", "What this actor wrote: a task's name, or user@host."),
        ("--step", "What was written inside a step or task of this name, or in the call that has this path."),
        ("--run", "What was written in this run; its whole id."),
    ):
        command = click.option(option, default="", help=text)(command)
    return command


@memory.command(epilog="Example: regrow memory quarantine customers/42 --source https://evil.example --reason injected")
@click.argument("name", metavar="MEMORY")
@_of_whom
@shared_options
@in_session
def quarantine(session: Session, /, *, name: str, **whom: str) -> None:
    """Hide from all later reads what somebody has written, or yet will. Nothing is deleted."""
    version = _found(session, name).quarantine(**whom)
    _tell_judged(session, name, whom, version, "in quarantine")


@memory.command(epilog="Example: regrow memory release customers/42 --source https://evil.example")
@click.argument("name", metavar="MEMORY")
@_of_whom
@shared_options
@in_session
def release(session: Session, /, *, name: str, **whom: str) -> None:
    """Take a quarantine back that was put by the very same options."""
    version = _found(session, name).release(**whom)
    _tell_judged(session, name, whom, version, "in quarantine no more")


def _tell_judged(session: Session, name: str, whom: dict[str, str], version: int, how: str) -> None:
    suspect = Suspect(**{field: text for field, text in whom.items() if field != "reason"})
    if session.json:
        session.document(memory=name, at=version, suspect=suspect, reason=whom["reason"])
    else:
        say(f"{name}: what was written by {_whom(suspect)} is {how}, from version {version} on")


@memory.command(epilog="Example: regrow memory export customers/42 > customer.json")
@click.argument("name", metavar="MEMORY")
@_one_version
@shared_options
@in_session
def export(session: Session, *, name: str, at: int | None) -> None:
    """Write a memory as one JSON document: messages, documents, files and history, with who wrote what."""
    seen = _found(session, name).at(at)
    keyed = _keyed(seen)
    content = {
        "memory": seen.name,
        "at": seen.version,
        "messages": [_entry(one) for one in seen.messages.entries()],
        "documents": {one.key: _entry(one) for one in keyed if one.kind == "document"},
        "files": {one.key: _entry(one) for one in keyed if one.kind == "file"},
        "quarantined": seen.quarantined(),
        "history": [_entry(one) for one in seen.history()],
    }
    if session.json:
        session.document(**content)
    else:
        out(as_json({"version": 1, **content}))


@memory.command(epilog="Example: regrow memory rm customers/42")
@click.argument("name", metavar="MEMORY")
@click.option("--force", is_flag=True, help="Even if unfinished runs have read it, which can't be resumed then.")
@shared_options
@in_session
def rm(session: Session, *, name: str, force: bool) -> None:
    """Remove a memory with all its history."""
    store = session.store()
    _found(session, name)
    users = unfinished_users(store, session.project, name)
    if users and not force:
        ids = ", ".join(short(row.id) for row in users)
        raise Mistake(f"unfinished runs have used {name} and would look for it when they are resumed: {ids}; --force")
    store.memories.remove(session.project, name)
    if session.json:
        session.document(memory=name, removed=True, users=[row.id for row in users])
    else:
        say(f"{name} is gone; `regrow gc` frees its blobs")


def _found(session: Session, name: str) -> Memory:
    store = session.store()
    if not store.memories.head(session.project, name).version:
        names = [row.name for row in store.memories.rows(session.project)]
        near = get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`regrow memory ls` lists them"
        raise Mistake(f"there is no memory {name!r} in {session.folder}{session.of_project}; {hint}")
    return memory_of(name, store=store, project=session.project)


def _keyed(seen: MemoryView) -> list[MemoryEntry]:
    found: Iterable[tuple[Callable[[str], MemoryEntry | None], str]] = [
        *((seen.kv.entry, key) for key in seen.kv.keys()),  # noqa: SIM118 - not a dict
        *((seen.files.entry, path) for path in seen.files.list()),
    ]
    return [entry for read, key in found if (entry := read(key)) is not None]


def _entry(entry: MemoryEntry) -> dict[str, Any]:
    """Give an entry for JSON. Values whose classes are not loaded here are shown as text."""
    origin = entry.origin
    return {
        "version": entry.version,
        "memory": entry.memory,
        "kind": entry.kind,
        "key": entry.key,
        **_value(entry),
        "deleted": entry.deleted,
        "run": origin.run,
        "path": origin.path,
        "step": origin.step,
        "actor": origin.actor,
        "source": origin.source,
        "time": origin.time,
        "base": entry.base,
        "suspect": entry.suspect,
    }


def _value(entry: MemoryEntry) -> dict[str, Any]:
    try:
        value = entry.value
    except UsageError:
        return {"value": None, "shown": _shown(entry)}
    if not isinstance(value, bytes):
        return {"value": value}
    try:
        return {"value": value.decode("utf-8")}
    except UnicodeDecodeError:
        return {"value": None, "base64": base64.b64encode(value).decode("ascii")}


def _shown(entry: MemoryEntry) -> str:
    raw = entry.raw
    if isinstance(raw, BlobRef):
        return f"({readable_size(raw.size)})"
    return "" if raw is None else preview(raw, width=_WIDTH)


def _line(entry: MemoryEntry) -> Text:
    origin = entry.origin
    what = entry.kind if entry.kind != "message" else ""
    says = "deleted" if entry.deleted else _shown(entry)
    if entry.base is not None:
        says = f"to version {entry.base[1]} of {entry.base[0]}"
    if entry.suspect is not None:
        says = _whom(entry.suspect)
    by = origin.actor + (f" in {short(origin.run)}" if origin.run else "")
    by += f" from {origin.source}" if origin.source else ""
    return Text.assemble(
        (f"{entry.version:>6}  ", "dim"),
        plain(f"{what} " if what else "", "cyan"),
        plain(f"{entry.key}  " if entry.key else "", "bold"),
        plain(says),
        plain(f"  {by}, {moment(origin.time)}", "dim"),
    )


def _whom(suspect: Suspect) -> str:
    told = {"run": suspect.run, "step": suspect.step, "actor": suspect.actor, "source": suspect.source}
    return ", ".join(f"{name} {text}" for name, text in told.items() if text)
