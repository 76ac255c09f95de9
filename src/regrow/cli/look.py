"""`regrow ls`, `show`, `why` and `logs`: looking at runs without touching them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import datetime

import click
from rich.table import Table
from rich.text import Text

from regrow.cli.documents import call_document, run_document, why_document
from regrow.cli.loading import loading_options
from regrow.cli.session import Session, in_session, say, shared_options
from regrow.cli.terminal import STYLES, console, mark, plain
from regrow.cli.terminal import show as show_lines
from regrow.cli.tree_lines import ago, moment, tree_lines
from regrow.cli.why_lines import why_lines
from regrow.executors.limits.machine import oom_kills, this_machine
from regrow.insight.answered import answers_of, with_answers
from regrow.insight.last_seen import Here
from regrow.insight.runs import find_run, short
from regrow.insight.stops import lift_command
from regrow.insight.tree import tree_of
from regrow.insight.why import explain
from regrow.journal.chain import unseal_all
from regrow.journal.orders import in_force
from regrow.journal.records import Record, RunCreated
from regrow.journal.store import DamagedRow, LogLine, RunRow, Store
from regrow.values.durations import readable
from regrow.values.money import in_dollars

_POLL_SECONDS = 0.25
_LAST_LINES_SECONDS = 1.5
"""A driver writes what was logged last just after the run's end."""


@click.command(epilog="Example: regrow ls --status interrupted")
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=20, show_default=True, help="How many, the newest first."
)
@click.option("-a", "--all", "everything", is_flag=True, help="All of them.")
@click.option(
    "--status",
    type=click.Choice(["running", "paused", "waiting", "interrupted", "succeeded", "failed", "cancelled"]),
    help="Only these.",
)
@shared_options
@in_session
def ls(session: Session, *, limit: int, everything: bool, status: str | None) -> None:
    """List runs, newest first.

    A run whose process died is shown as interrupted, never as running; as waiting, if a question of its is open, or a
    signal that it waits for has not come.
    """
    exists = (session.folder / "journal.db").exists()
    bound, project = None if everything else limit, session.project
    damaged: list[DamagedRow] = []
    looked_at = None if status else bound
    rows = session.store().runs(limit=looked_at, project=project, damaged=damaged) if exists else []
    rows = [row for row in rows if status is None or row.status == status][:bound]
    if session.json:
        session.document(runs=[run_document(row) for row in rows], problems=damaged)
        return
    for one in damaged:
        say(one.text)
    if not rows:
        what = f"{status} " if status else ""
        say(
            f"no {what}runs in {session.folder}{session.of_project}"
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
        when = ago(now - row.created) if is_terminal else moment(row.created)
        waits_for = f"  {row.waits_for or row.awaited}" if row.awaited else ""
        task = Text.assemble(plain(row.task.rpartition(":")[2]), plain(waits_for, "yellow"))
        table.add_row(short(row.id), status, task, plain(row.key or ""), when, time_)
    return table


@click.command(epilog="Example: regrow show @last --full")
@click.argument("run", metavar="RUN")
@click.option("--full", is_flag=True, help="Every call on a line of its own, with its inputs.")
@shared_options
@in_session
def show(session: Session, *, run: str, full: bool) -> None:
    """Show a run as the tree of its calls: status, attempts, time, and the memory that their workers used."""
    store = session.store()
    row = find_run(store, run, session.project)
    tree = with_answers(tree_of(_records(store, row)), answers_of(store.asks, row.id))
    if session.json:
        session.document(
            run=run_document(row),
            calls=[call_document(call) for call in tree.calls],
            drives=tree.drives,
            divergences=[{"path": one.path, "reason": one.reason} for one in tree.divergences],
            retries=tree.retries,
            forked=tree.forked,
            cost=in_dollars(tree.cost),
            inherited_cost=in_dollars(tree.inherited_cost),
        )
        return
    show_lines(tree_lines(row, tree, full=full, options=session.options))


@click.command(epilog="Example: regrow why @failed")
@click.argument("run", metavar="RUN")
@shared_options
@in_session
def why(session: Session, *, run: str) -> None:
    """Say why a run failed or stopped: what happened and where in your code, what was tried, and each way on."""
    store = session.store()
    row = find_run(store, run, session.project)
    records = _records(store, row)
    created = records[0].event if records else None
    loading = loading_options(created.source) if isinstance(created, RunCreated) else ""
    answers = answers_of(store.asks, row.id)
    stop = in_force(store.stops(), row.project)
    explanation = explain(
        row,
        records,
        options=session.options,
        loading=loading,
        here=_here(),
        answers=answers,
        stop=stop,
        lift=lift_command(stop.project, session.store_option) if stop is not None else "",
    )
    if session.json:
        session.document(**why_document(row, explanation))
        return
    target = console()
    for line in why_lines(explanation):
        target.print(line, soft_wrap=True)


@click.command(epilog="Example: regrow logs @last -f")
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends.")
@shared_options
@in_session
def logs(session: Session, *, run: str, follow: bool) -> None:
    """Show what a run has logged, from INFO on under `regrow run`."""
    store = session.store()
    row = find_run(store, run, session.project)
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
    if follow and after.status == "paused":
        say(f"run {short(row.id)} is paused, by {after.paused_by}")
    elif follow and after.status in ("interrupted", "waiting"):
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
    clock = datetime.fromtimestamp(line.time).astimezone().strftime("%H:%M:%S")
    text = Text.assemble((f"{clock}  ", "dim"), (f"{line.level:<8}", style))
    text.append_text(plain(f"{line.path.rpartition('/')[2]}  ", "dim"))
    text.append_text(plain(line.text))
    return text


def _here() -> Here:
    machine = this_machine()
    return Here(machine.name, machine.boot, oom_kills())


def _records(store: Store, row: RunRow) -> list[Record]:
    return unseal_all(row.id, store.read(row.id))
