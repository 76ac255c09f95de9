"""`regrow check`: whether changed code still fits the runs that wait to go on with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec
from rich.text import Text

from regrow.amounts import counted
from regrow.authoring.rehearsal import Rehearsal, Rehearsed
from regrow.cli.loading import load_file, recall, tasks_in
from regrow.cli.session import Leave, Mistake, Session, in_session, say, shared_options
from regrow.cli.terminal import console, mark, plain
from regrow.codec import capture
from regrow.engine.rehearsing import tasks_that_failed, unfinished, with_calls, without_outcomes
from regrow.engine.state import fold
from regrow.insight.runs import find_run, short
from regrow.journal.chain import unseal_all
from regrow.journal.store import RunRow


class Checked(msgspec.Struct, frozen=True):
    """What a check says of one run.

    Attributes:
        run: its id.
        fits: whether the code can go on with it as it is.
        replayed: how many recorded calls the code has made again.
        goes_on_at: the calls that would be carried out next.
        parted: where code and journal do not agree, and how, one sentence each.
    """

    run: str
    fits: bool
    replayed: int
    goes_on_at: tuple[str, ...]
    parted: tuple[str, ...]


@click.command(epilog="Example: regrow check agent.py --unfinished")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.py")
@click.option("--against", multiple=True, metavar="RUN", help="Check against this run; may be given several times.")
@click.option("--unfinished", "all_unfinished", is_flag=True, help="Check against every run of it that has not ended.")
@shared_options
@in_session
def check(session: Session, *, file: Path, against: Sequence[str], all_unfinished: bool) -> None:
    """Say whether the code of a file still fits runs that began with an earlier one, and where it does not.

    The code is run against a copy of each journal, as far as that goes: whatever it calls is answered from the record,
    and what is not recorded is not carried out. Code between recorded calls does run, and
    so do ``finally`` blocks. A failed run is checked for
    being retried. The exit code is 1 if a run does not fit.
    """
    if bool(against) == all_unfinished:
        raise Mistake("say against which runs, with either --against RUN or --unfinished")
    module = load_file(file)
    refs = {task.ref for task in tasks_in(module).values()}
    store = session.store()
    if all_unfinished:
        rows = [row for row in store.runs(project=session.project) if row.outcome is None and row.task in refs]
    else:
        rows = [find_run(store, typed, session.project) for typed in against]
    checked = [_check(session, row, file) for row in rows]
    if session.json:
        session.document(runs=checked)
    else:
        _report(checked, rows)
        if not checked:
            say(f"no run of {', '.join(sorted(refs)) or file} waits to go on")
    if not all(one.fits for one in checked):
        raise Leave


def _check(session: Session, row: RunRow, file: Path) -> Checked:
    store = session.store()
    recalled = recall(session, session.host(), row, file)
    records = unseal_all(row.id, store.read(row.id))
    retry = row.outcome in ("failed", "cancelled")
    if retry:
        entered = with_calls(records, tasks_that_failed(records))
    elif row.outcome is None:
        entered = unfinished(fold(records))
    else:
        entered = with_calls(records, _tasks(records))
        records = without_outcomes(records, entered)
    rehearsal = Rehearsal(store, row, records, entered=entered, waits=True, retry=retry)
    seen = rehearsal.play(recalled.task, recalled.args, recalled.kwargs)
    return Checked(row.id, seen.fits, seen.replayed, seen.frontier, tuple(_parted(seen)))


def _tasks(records: Sequence[object]) -> set[str]:
    calls = (getattr(getattr(record, "event", None), "call", None) for record in records)
    return {call.path for call in calls if call is not None and call.kind == "task"}


def _parted(seen: Rehearsed) -> Iterator[str]:
    for one in seen.divergences:
        yield f"{one.path}: {one.reason}"
    for path in seen.left_out:
        yield f"{path}: it is recorded, and the code has gone past it without making it"
    for path in seen.not_reached[:1]:
        yield f"{path}: it is recorded, and the code did not come to it: it waits for something that is not recorded"
    if seen.outcome in ("failed", "stopped") and seen.error is not None:
        yield f"the code {seen.outcome} on what is recorded: {capture(seen.error).summary()}"


def _report(checked: Sequence[Checked], rows: Sequence[RunRow]) -> None:
    target = console()
    for one, row in zip(checked, rows, strict=True):
        sign = mark("succeeded" if one.fits else "failed", encoding=target.encoding)
        head = Text.assemble(sign, " ", (short(one.run), "bold"), "  ", plain(row.task.rpartition(":")[2]))
        head.append(
            f"  {'fits' if one.fits else 'does not fit'}, {counted(one.replayed, 'call')} replayed", style="dim"
        )
        target.print(head, soft_wrap=True)
        for sentence in one.parted:
            target.print(Text.assemble("    ", plain(sentence, "yellow")), soft_wrap=True)
        for path in one.goes_on_at:
            target.print(Text.assemble(("    would go on at ", "dim"), plain(path)), soft_wrap=True)
