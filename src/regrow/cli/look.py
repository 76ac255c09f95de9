"""`regrow ls`, `show`, `why` and `logs`: looking at runs without touching them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from regrow.cli.documents import call_document, error_document, frame_document, run_document
from regrow.cli.loading import loading_options
from regrow.cli.session import Session, in_session, say, shared_options
from regrow.cli.terminal import STYLES, TIMES, console, error_lines, mark, plain
from regrow.cli.terminal import show as show_lines
from regrow.insight.runs import find_run, short
from regrow.insight.tree import Attempt, CallNode, RunTree, tree_of
from regrow.insight.why import Explanation, explain
from regrow.journal.records import Record, RunCreated, unseal_all
from regrow.journal.store import LogLine, RunRow, Store
from regrow.values.durations import readable

_POLL_SECONDS = 0.25
_LAST_LINES_SECONDS = 1.5
"""A driver writes what was logged last just after the run's end."""
_SUMMARY_AND_PLACE = 2
"""Lines of an error without cause, notes or more text."""
_MANY = 6
"""So many calls of one name and status, side by side and without calls of their own, are shown as one line."""


@click.command(epilog="Example: regrow ls --status interrupted")
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, the newest first."
)
@click.option("-a", "--all", "everything", is_flag=True, help="All of them.")
@click.option(
    "--status",
    type=click.Choice(["running", "interrupted", "succeeded", "failed", "cancelled"]),
    help="Only these.",
)
@shared_options
@in_session
def ls(session: Session, *, limit: int, everything: bool, status: str | None) -> None:
    """List runs, newest first.

    A run whose process died is shown as interrupted, never as running.
    """
    exists = (session.folder / "journal.db").exists()
    bound = None if everything else limit
    rows = session.store().runs(limit=None if status else bound) if exists else []
    rows = [row for row in rows if status is None or row.status == status][:bound]
    if session.json:
        session.document(runs=[run_document(row) for row in rows])
        return
    if not rows:
        what = f"{status} " if status else ""
        say(
            f"no {what}runs in {session.folder}"
            + ("" if exists else "; a first `regrow run` or `regrow demo` makes a store")
        )
        return
    console().print(_listing(rows, time.time(), console().is_terminal))


def _listing(rows: list[RunRow], now: float, is_terminal: bool) -> Table:  # noqa: FBT001 - private
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=True)
    for title, options in (
        ("RUN", {"style": "bold"}),
        ("STATUS", {}),
        ("TASK", {"overflow": "ellipsis"}),
        ("KEY", {"style": "dim", "overflow": "ellipsis"}),
        ("BEGUN", {"style": "dim"}),
        ("TIME", {"justify": "right"}),
    ):
        table.add_column(title, no_wrap=True, **options)  # type: ignore[arg-type]
    for row in rows:
        status = Text.assemble(mark(row.status, encoding=sys.stdout.encoding), " ", (row.status, STYLES[row.status]))
        span = (row.ended if row.ended is not None else now) - row.created
        time_ = readable(max(0.0, span)) if row.ended is not None or row.held else ""
        when = _ago(now - row.created) if is_terminal else _moment(row.created)
        table.add_row(short(row.id), status, plain(row.task.rpartition(":")[2]), plain(row.key or ""), when, time_)
    return table


@click.command(epilog="Example: regrow show @last --full")
@click.argument("run", metavar="RUN")
@click.option("--full", is_flag=True, help="Every call on a line of its own, with its inputs.")
@shared_options
@in_session
def show(session: Session, *, run: str, full: bool) -> None:
    """Show a run as the tree of its calls: status, attempts, time."""
    store = session.store()
    row = find_run(store, run)
    tree = tree_of(_records(store, row))
    if session.json:
        session.document(
            run=run_document(row),
            calls=[call_document(call) for call in tree.calls],
            drives=tree.drives,
            divergences=[{"path": one.path, "reason": one.reason} for one in tree.divergences],
            retries=tree.retries,
        )
        return
    show_lines(_shown(row, tree, full=full))


def _shown(row: RunRow, tree: RunTree, *, full: bool) -> Iterator[Text]:
    yield from _head(row, tree)
    yield Text()
    if not tree.calls:
        yield Text("nothing has been recorded of its calls yet", style="dim")
    for call in tree.calls:
        yield _call_line(call, row, full=full)
        yield from _attempt_lines(call, "   ")
        yield from _inside(call, row, "", full=full)
    if tree.divergences:
        yield Text()
        for one in tree.divergences:
            yield Text.assemble(("code and journal parted  ", "yellow"), plain(f"{one.path}: {one.reason}"))


def _head(row: RunRow, tree: RunTree) -> Iterator[Text]:
    head = Text.assemble(
        mark(row.status, encoding=sys.stdout.encoding), " ", plain(row.task.rpartition(":")[2], "bold")
    )
    head.append(f"  {row.status}", style=STYLES[row.status])
    end = row.ended if row.ended is not None else (time.time() if row.held else tree.last)
    if end:
        head.append(f"  {readable(max(0.0, end - row.created))}", style="bold")
    yield head
    facts = [
        ("run", row.id),
        ("task", row.task),
        ("begun", f"{_moment(row.created)} ({_ago(time.time() - row.created)})"),
    ]
    if row.key is not None:
        facts.insert(1, ("key", row.key))
    if row.held:
        facts.append(("driven by", row.holder))
    if len(tree.drives) > 1:
        facts.append(("taken up", f"{len(tree.drives)} times" + (f", retried {tree.retries}" if tree.retries else "")))
    replayed = sum(drive.replayed or 0 for drive in tree.drives)
    if replayed:
        saved = readable(sum(drive.seconds_saved for drive in tree.drives))
        facts.append(("replayed", f"{replayed} calls were answered from the journal, which saved {saved}"))
    for name, value in facts:
        yield Text.assemble((f"  {name:<10}", "dim"), plain(value))


def _inside(call: CallNode, row: RunRow, indent: str, *, full: bool) -> Iterator[Text]:
    groups = list(_grouped(call.children, full=full))
    for index, group in enumerate(groups):
        last = index == len(groups) - 1
        lead = Text(f"{indent}{'╰─' if last else '├─'} ", style="dim")
        deeper = f"{indent}{'   ' if last else '│  '}"
        if len(group) > 1:
            yield lead + _group_line(group)
            continue
        (one,) = group
        yield lead + _call_line(one, row, full=full)
        yield from _attempt_lines(one, deeper)
        yield from _inside(one, row, deeper, full=full)


def _grouped(calls: tuple[CallNode, ...], *, full: bool) -> Iterator[list[CallNode]]:
    """Put calls together that differ in nothing that a tree shows, when there are many."""
    alike: dict[tuple[str, str], list[CallNode]] = {}
    for call in calls:
        alike.setdefault((call.name, call.status), []).append(call)
    seen: set[tuple[str, str]] = set()
    for call in calls:
        kind = (call.name, call.status)
        plain_ones = [one for one in alike[kind] if not one.children and len(one.attempts) == 1]
        if full or call.status != "succeeded" or len(plain_ones) < _MANY or call.children or len(call.attempts) != 1:
            yield [call]
        elif kind not in seen:
            seen.add(kind)
            yield plain_ones


def _group_line(group: list[CallNode]) -> Text:
    seconds = [call.seconds for call in group if call.seconds is not None]
    text = Text.assemble(mark(group[0].status, encoding=sys.stdout.encoding), " ", plain(group[0].name))
    text.append(f" {TIMES}{len(group)}", style="bold")
    text.append(f"  {group[0].kind}", style="dim")
    if seconds:
        text.append(f"  {readable(sum(seconds) / len(seconds))} each, {readable(sum(seconds))} in all", style="dim")
    return text


def _call_line(call: CallNode, row: RunRow, *, full: bool) -> Text:
    status = _status(call, row)
    text = Text.assemble(mark(status, encoding=sys.stdout.encoding), " ", plain(call.place.removesuffix("#1")))
    text.append(f"  {call.kind}", style="dim")
    if status != "succeeded":
        text.append(f"  {_word(status)}", style=STYLES.get(status, ""))
    if call.seconds is not None and call.status != "begun":
        text.append(f"  {readable(call.seconds)}", style="bold" if call.seconds >= 1 else "")
    if call.chunks:
        text.append(f"  {call.chunks} chunks", style="dim")
    tries = len({one.number for one in call.attempts})
    if tries > 1:
        text.append(f"  {tries} attempts", style="yellow")
    cut = sum(one.outcome == "unfinished" for one in call.attempts[:-1])
    if cut:
        text.append(f"  cut short {'once' if cut == 1 else f'{cut} times'}", style="yellow")
    if len(call.attempts) == 1 and call.attempts[0].error is not None:
        text.append_text(plain(f"  {call.attempts[0].error.summary()}", "red"))
    if full and call.inputs:
        text.append_text(plain(f"  {call.inputs}", "dim"))
    return text


def _status(call: CallNode, row: RunRow) -> str:
    if row.status != "running" and call.status == "begun":
        return "unfinished"
    return "begun" if row.status == "running" and call.status == "unknown" else call.status


def _word(status: str) -> str:
    return {
        "begun": "under way",
        "unfinished": "not finished",
        "unknown": "outcome unknown",
        "waiting": "to be tried again",
    }.get(status, status)


def _attempt_lines(call: CallNode, indent: str) -> Iterator[Text]:
    if len(call.attempts) == 1:  # its error stands on the call's own line
        return
    for one in call.attempts:
        if one.error is not None:
            yield Text(f"{indent}", style="dim") + _attempt_line(one)


def _attempt_line(attempt: Attempt) -> Text:
    text = Text("  ")
    text.append(f"attempt {attempt.number}", style="dim")
    if attempt.seconds is not None:
        text.append(f"  {readable(attempt.seconds)}", style="dim")
    if attempt.error is not None:
        text.append_text(plain(f"  {attempt.error.summary()}", "red"))
    return text


@click.command(epilog="Example: regrow why @failed")
@click.argument("run", metavar="RUN")
@shared_options
@in_session
def why(session: Session, *, run: str) -> None:
    """Say why a run failed or stopped: what happened and where in your code, what was tried, and each way on."""
    store = session.store()
    row = find_run(store, run)
    records = _records(store, row)
    created = records[0].event if records else None
    loading = loading_options(created.source) if isinstance(created, RunCreated) else ""
    explanation = explain(row, records, options=session.options, loading=loading)
    if session.json:
        session.document(**_why_document(row, explanation))
        return
    target = console()
    for line in _explained(explanation):
        target.print(line, soft_wrap=True)


def _why_document(row: RunRow, why_: Explanation) -> dict[str, Any]:
    return {
        "run": run_document(row),
        "headline": why_.headline,
        "error": error_document(why_.error),
        "frame": frame_document(why_.frame),
        "culprits": [call_document(one, deep=False) for one in why_.culprits],
        "unfinished": [call_document(one, deep=False) for one in why_.unfinished],
        "overcome": [call_document(one, deep=False) for one in why_.overcome],
        "tried": why_.tried,
        "divergences": [{"path": one.path, "reason": one.reason} for one in why_.divergences],
        "finished": why_.finished,
        "ways": why_.ways,
    }


def _explained(why_: Explanation) -> Iterator[Text]:
    yield Text.assemble(mark(why_.status, encoding=sys.stdout.encoding), " ", plain(why_.headline, "bold"))
    yield from _what_happened(why_)
    if why_.tried:
        yield from _section("what was tried")
        yield from (plain(f"  {sentence}") for sentence in why_.tried)
    if why_.unfinished:
        yield from _section("where it stood")
        yield from _where_it_stood(why_)
    if why_.divergences:
        yield from _section("where code and journal parted")
        yield from (plain(f"  {one.path}: {one.reason}") for one in why_.divergences)
    if why_.ways:
        yield from _section("ways on")
        for way in why_.ways:
            yield Text.assemble("  ", plain(way.what, "" if way.command else "dim"))
            if way.command:
                yield Text.assemble("    ", plain(way.command, "bold cyan"))


def _what_happened(why_: Explanation) -> Iterator[Text]:
    frame, error = why_.frame, why_.error
    if frame is not None:
        yield Text()
        place = plain(f"{frame.file}:{frame.line}", "bold")
        yield Text.assemble(("  your code  ", "dim"), place, plain(f" in {frame.function}"))
        if frame.code:
            yield Text.assemble("             ", plain(frame.code, "cyan"))
    if error is not None:
        lines = list(error_lines(error, indent=2))
        if frame is None or len(lines) > _SUMMARY_AND_PLACE:  # else the headline and the place have said it all
            yield from _section("what ended it")
            yield from lines
    for call in why_.culprits:
        failed = [one for one in call.attempts if one.error is not None]
        if len(failed) > 1:
            yield from _section(f"each attempt at {call.path}")
            for one in failed:
                yield _attempt_line(one)
                yield from _attempt_place(one)


def _where_it_stood(why_: Explanation) -> Iterator[Text]:
    for call in why_.unfinished:
        status = "unfinished" if call.status == "begun" else call.status
        sign = mark(status, encoding=sys.stdout.encoding)
        yield Text.assemble("  ", sign, " ", plain(call.path), (f"  {_word(status)}", STYLES[status]))
    done = f"  {why_.finished} calls have an outcome; none of them will be executed again"
    yield Text(f"{done} (a step that was under way leaves no mark)", style="dim")


def _section(title: str) -> Iterator[Text]:
    yield Text()
    yield plain(f"{title}", "dim")


def _attempt_place(attempt: Attempt) -> Iterator[Text]:
    error = attempt.error
    own = [frame for frame in error.frames if frame.own] if error is not None else []
    if own:
        yield plain(f"      at {own[-1].function} in {own[-1].file}:{own[-1].line}", "dim")


@click.command(epilog="Example: regrow logs @last -f")
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@shared_options
@in_session
def logs(session: Session, *, run: str, follow: bool) -> None:
    """Show what a run has logged, from INFO on under `regrow run`."""
    store = session.store()
    row = find_run(store, run)
    if session.json:
        lines = [(number, line) for number, line in _followed(store, row, follow=follow)]
        session.document(
            run=run_document(store.get(row.id)),
            lines=[
                {"number": n, "time": o.time, "path": o.path, "attempt": o.attempt, "level": o.level, "text": o.text}
                for n, o in lines
            ],
        )
        return
    target = console()
    for _, line in _followed(store, row, follow=follow):
        target.print(_log_line(line), soft_wrap=True)
    after = store.get(row.id)
    if follow and after.status == "interrupted":
        say(f"run {short(row.id)} was interrupted; nobody drives it now")


def _followed(store: Store, row: RunRow, *, follow: bool) -> Iterator[tuple[int, LogLine]]:
    seen = 0
    over_since: float | None = None
    while True:
        for number, line in store.read_logs(row.id, after=seen):
            seen = number
            yield number, line
        if not follow:
            return
        if over_since is None and store.get(row.id).status != "running":
            over_since = time.monotonic()
        if over_since is not None and time.monotonic() - over_since > _LAST_LINES_SECONDS:
            return
        time.sleep(_POLL_SECONDS)


def _log_line(line: LogLine) -> Text:
    style = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red", "DEBUG": "dim"}.get(line.level, "")
    moment = datetime.fromtimestamp(line.time).astimezone().strftime("%H:%M:%S")
    text = Text.assemble((f"{moment}  ", "dim"), (f"{line.level:<8}", style))
    text.append_text(plain(f"{line.path.rpartition('/')[2]}  ", "dim"))
    text.append_text(plain(line.text))
    return text


def _records(store: Store, row: RunRow) -> list[Record]:
    return unseal_all(row.id, store.read(row.id))


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _ago(span: float) -> str:
    return f"{readable(max(0.0, span))} ago" if span >= 1 else "just now"
