"""`regrow fork` and `diff`: other ways that a run could have gone, and what came out differently."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import click
from rich.text import Text

from regrow.amounts import counted
from regrow.authoring.forking import changed_inputs, full_path, make_fork
from regrow.cli.arguments import from_json
from regrow.cli.documents import difference_document, run_document
from regrow.cli.loading import recall, result_type
from regrow.cli.run import take_up
from regrow.cli.session import Mistake, Session, in_session, say, shared_options
from regrow.cli.terminal import console, plain
from regrow.engine.forking import paths_of
from regrow.insight.diff import CallDifference, RunDifference, difference
from regrow.insight.runs import find_run, short
from regrow.journal.chain import unseal_all
from regrow.values.durations import readable
from regrow.values.money import readable_money


@click.command(epilog="Example: regrow fork @last --at 'rank#3' --replace 'fetch#2={\"rows\": 10}'")
@click.argument("run", metavar="RUN")
@click.option("--at", default="", metavar="STEP", help="The first call to be made afresh: its path, or the end of it.")
@click.option("--replace", multiple=True, metavar="STEP=JSON", help="A call is to have had this result.")
@click.option("--set", "changes", multiple=True, metavar="NAME=JSON", help="The run is to have had this input.")
@click.option("--key", help="Names the fork.")
@click.option("--no-run", is_flag=True, help="Only make the fork; `regrow resume` goes on with it.")
@click.option("--strict", is_flag=True, help="Stop where the code no longer fits the journal, before any effect.")
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE.py", help="Where the task is.")
@click.option("-v", "--verbose", is_flag=True, help="In a pipe, a line for each step too; log lines from INFO on.")
@shared_options
@in_session
def fork(
    session: Session,
    *,
    run: str,
    at: str,
    replace: Sequence[str],
    changes: Sequence[str],
    key: str | None,
    no_run: bool,
    strict: bool,
    file: Path | None,
    verbose: bool,
) -> None:
    """Make a new run of what a run had recorded, and go on with it from there.

    All that was recorded before STEP is kept: results, checkpoints, handled failures. STEP is the first call that is
    made afresh; if it is given another result, the first one after it. The code may have been changed since. The
    original stays as it is.

    A result that is given with --replace is checked against the type that the code says the call gives. Where it says
    none, or the code is not loaded because of --no-run, it is taken as plain JSON, and you are told so.
    """
    if not (at or replace or changes):
        raise Mistake("say what is to be otherwise, with --at STEP, --replace STEP=JSON or --set NAME=JSON")
    host = session.host()
    row = find_run(session.store(), run, session.project)
    recalled = None if no_run and not changes else recall(session, host, row, file)
    calls = paths_of(unseal_all(row.id, session.store().read(row.id)))
    assigned = _assignments(replace, "--replace", result_type)
    given = {full_path(list(calls), path): value for path, value in assigned}
    unchecked = [full_path(list(calls), path) for path, _ in assigned if result_type(path) is Any]
    for path, value in given.items():
        if calls[path].kind in ("ask", "signal") and isinstance(value, dict | list):
            raise Mistake(
                f"{path} has an answer of a type that only the code knows: fork --at {path}, and answer it anew"
            )
    why_not = "the code was not loaded" if recalled is None else "the code does not say of what type it is"
    for path in unchecked:
        say(f"the new result of {path} is taken as plain JSON and was not checked, since {why_not}")
    replaced = {path: host.vault.keep(value, path) for path, value in given.items()}
    inputs = None
    if changes and recalled is not None:
        hints = get_type_hints(recalled.task.callee.function)
        new = dict(_assignments(changes, "--set", lambda name: hints.get(name, Any)))
        inputs = changed_inputs(host, recalled.task, recalled.args, recalled.kwargs, new)
    made = make_fork(host, row, at=at, replaced=replaced, inputs=inputs, key=key)
    new_row = session.store().get(made)
    say(f"run {short(made)} is a fork of run {short(row.id)}{f' at {at}' if at else ''}")
    if not no_run:
        take_up(session, new_row, file, strict=strict, verbose=verbose, retry=False)
        return
    say(f"go on with: regrow resume {short(made)}{session.options}")
    if session.json:
        session.document(run=run_document(new_row), parent=row.id, unchecked=unchecked)


def _assignments(texts: Sequence[str], option: str, type_of: Callable[[str], Any]) -> list[tuple[str, Any]]:
    return [_assignment(text, option, type_of) for text in texts]


def _assignment(text: str, option: str, type_of: Callable[[str], Any]) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise Mistake(f"{option} {text!r}: it takes NAME=JSON, such as {option} 'score#2=0.5'")
    try:
        return name, from_json(value, type_of(name), optional=False)
    except ValueError as problem:
        raise Mistake(f"{option} {text!r}: {problem}") from None


@click.command(epilog="Example: regrow diff @failed @last")
@click.argument("left", metavar="RUN_A")
@click.argument("right", metavar="RUN_B")
@shared_options
@in_session
def diff(session: Session, *, left: str, right: str) -> None:
    """Show where two runs part, and which calls differ in inputs, results, failures, attempts or costs.

    Calls are aligned by their paths: by their place in the structure of the code.
    """
    store = session.store()
    rows = [find_run(store, typed, session.project) for typed in (left, right)]
    first, second = (unseal_all(row.id, store.read(row.id)) for row in rows)
    found = difference(first, second)
    if session.json:
        session.document(left=run_document(rows[0]), right=run_document(rows[1]), **difference_document(found))
        return
    target = console()
    for line in _difference_lines(found, *(short(row.id) for row in rows)):
        target.print(line, soft_wrap=True)


def _difference_lines(found: RunDifference, left: str, right: str) -> list[Text]:
    lines = []
    for name, total in ((left, found.left), (right, found.right)):
        failed = f", {counted(total.failed_attempts, 'failed attempt')}" if total.failed_attempts else ""
        took = readable(total.seconds)
        cost = f", cost {readable_money(total.cost)}" if total.cost else ""
        lines.append(
            Text.assemble((name, "bold"), f"  {counted(total.calls, 'call')}{failed}, steps took {took}{cost}")
        )
    if not found.calls:
        lines.append(Text(f"all {found.same} calls are the same", style="green"))
        return lines
    parting = ("they part at ", plain(found.part_at, "bold")) if found.part_at else ("the others differ in cost alone",)
    lines.append(Text.assemble(f"{counted(found.same, 'call is', 'calls are')} the same; ", *parting))
    for call in found.calls:
        lines.append(Text.assemble("\n", plain(call.path, "bold"), _took(call)))
        for one in call.differences:
            lines.append(Text.assemble("  ", (f"{one.aspect:<9}", "dim"), ("- ", "red"), plain(one.left)))
            lines.append(Text.assemble("  ", " " * 9, ("+ ", "green"), plain(one.right)))
    return lines


def _took(call: CallDifference) -> tuple[str, str]:
    if call.left_seconds is None or call.right_seconds is None:
        return "", ""
    return f"  {readable(call.left_seconds)} / {readable(call.right_seconds)}", "dim"
