"""`regrow run`, `resume` and `retry`: executing a task so that it survives."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Any

import click

from regrow.authoring.opening import open_run
from regrow.authoring.outcome import outcome_of
from regrow.cli.arguments import parse, task_command
from regrow.cli.documents import error_document, run_document, tally_document
from regrow.cli.driving import Watch, answer, carry_out, result_document, show_result
from regrow.cli.loading import Recalled, choose_task, load_file, recall, tasks_in
from regrow.cli.session import Leave, Mistake, Session, in_session, say, shared_options
from regrow.engine.host import Host
from regrow.engine.news import Tally
from regrow.engine.state import fold
from regrow.errors import StoreError
from regrow.insight.runs import find_run, short
from regrow.journal.chain import unseal_all
from regrow.journal.presence import actor
from regrow.journal.store import RunRow

_POLL_SECONDS = 0.1


@click.command(
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    options_metavar="",
    epilog='Example: regrow run agent.py --question "What now?" --key monday',
)
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE.py")
@click.argument("rest", nargs=-1, type=click.UNPROCESSED, metavar="[TASK] [--argument VALUE]...")
@click.option("--key", help="Names the run. The same key is the same run: finished, its result; interrupted, resumed.")
@click.option("--strict", is_flag=True, help="Stop where the code no longer fits the journal, before any effect.")
@click.option("-v", "--verbose", is_flag=True, help="In a pipe, a line for each step too; log lines from INFO on.")
@shared_options
@click.pass_context
def run(
    context: click.Context, *, file: Path, rest: tuple[str, ...], key: str | None, strict: bool, verbose: bool
) -> None:
    """Run a task of a Python file so that it survives.

    The task may be left out where the file has only one. Each of its parameters is an option, typed as the signature
    says: text, numbers, flags, paths, choices, and JSON for everything else; `regrow run FILE.py TASK --help` lists
    them. The result goes to stdout.
    """
    session = context.find_object(Session)
    assert session is not None  # noqa: S101 - `main` sets it
    module = load_file(file)
    name, arguments = (rest[0], rest[1:]) if rest and not rest[0].startswith("-") else (None, rest)
    if name is None and {"-h", "--help"}.intersection(arguments) and len(tasks_in(module)) != 1:
        click.echo(f"{file} has these tasks: {', '.join(tasks_in(module)) or 'none'}")
        click.echo(f"`regrow run {file} TASK --help` shows the arguments of one.")
        return
    task = choose_task(module, file, name)
    own = [one for one in context.command.params if isinstance(one, click.Option) and one.name != "help"]

    def ran(args: tuple[Any, ...], kwargs: dict[str, Any], options: dict[str, Any]) -> None:
        watch = Watch(verbose=verbose or bool(options.get("verbose")), own_process=session.owns_process)
        host = session.host(create=True)
        opened = open_run(
            host,
            task,
            args,
            kwargs,
            key=options.get("key") or key,
            strict=strict or bool(options.get("strict")),
            project=session.project,
            observers=watch.observers,
        )
        if isinstance(opened, RunRow):
            _already_ended(session, host, opened)
            return
        _announce(opened.run, task.ref)
        answer(session, host, opened, carry_out(session, watch, host, opened, Recalled(task, args, kwargs)))

    where = f"regrow run {file}{f' {name}' if name else ''}"
    parse(task_command(task, where, own, ran), arguments, where, session)


def _run_options(command: Any) -> Any:
    for option in (
        click.option(
            "-v", "--verbose", is_flag=True, help="In a pipe, a line for each step too; log lines from INFO on."
        ),
        click.option(
            "--strict", is_flag=True, help="Stop where the code no longer fits the journal, before any effect."
        ),
        click.option(
            "--file",
            type=click.Path(path_type=Path),
            metavar="FILE.py",
            help="Where the task is. Needed outside of this folder: a journal must not decide what is executed.",
        ),
    ):
        command = option(command)
    return command


@click.command(epilog="Example: regrow resume @last")
@click.argument("run", metavar="RUN")
@_run_options
@shared_options
@in_session
def resume(session: Session, *, run: str, file: Path | None, strict: bool, verbose: bool) -> None:
    """Go on with a run whose process is gone, or that was paused.

    What is recorded is not executed again. A run that has succeeded gives its result.
    """
    row = find_run(session.store(), run, session.project)
    if row.outcome is not None:
        host = session.host()
        _already_ended(session, host, row, file)
        return
    if row.held and row.paused_by is not None:
        say(f"waiting until {row.holder} has let go of it")
        while (row := session.store().get(row.id)).held:
            time.sleep(_POLL_SECONDS)
        if row.outcome is not None:
            _already_ended(session, session.host(), row, file)
            return
    take_up(session, row, file, strict=strict, verbose=verbose, retry=False, even_if_paused=True)


@click.command(epilog="Example: regrow retry @failed")
@click.argument("run", metavar="RUN")
@_run_options
@shared_options
@in_session
def retry(session: Session, *, run: str, file: Path | None, strict: bool, verbose: bool) -> None:
    """Try a failed or cancelled run again, as the same run.

    Exactly the calls whose failure ended it are executed again. What succeeded is not, nor what failed and was handled.
    """
    row = find_run(session.store(), run, session.project)
    _check_retriable(session, row)
    take_up(session, row, file, strict=strict, verbose=verbose, retry=True)


def _check_retriable(session: Session, row: RunRow) -> None:
    name = short(row.id)
    if row.outcome == "succeeded":
        raise Mistake(f"run {name} has succeeded; there is nothing to try again")
    if row.outcome is None:
        what = (
            f"is being driven by {row.holder}"
            if row.held
            else f"was interrupted: regrow resume {name}{session.options}"
        )
        raise Mistake(f"run {name} has not failed; it {what}")


def take_up(
    session: Session,
    row: RunRow,
    file: Path | None,
    *,
    strict: bool,
    verbose: bool,
    retry: bool,
    even_if_paused: bool = False,
) -> None:
    """Go on with a run in this process, and answer with its result."""
    host = session.host()
    recalled = recall(session, host, row, file)
    watch = Watch(verbose=verbose, own_process=session.owns_process)
    retry_as = actor() if retry else None
    driver = host.take_up(
        row.id, retry_as=retry_as, even_if_paused=even_if_paused, strict=strict, observers=watch.observers
    )
    if driver.log.state.ended is not None:  # it has ended since it was looked up
        host.let_go(driver)
        _already_ended(session, host, host.store.get(row.id), file)
        return
    _announce(row.id, row.task, again="trying again" if retry else "going on with")
    for ask in session.store().asks.listed(run=row.id):
        say(f"it waits for an answer: {ask.question.text} (regrow inbox {ask.id}{session.options})")
    if row.waits_for_signal is not None:
        send = f"regrow signal {short(row.id)} {shlex.quote(row.waits_for_signal)} JSON{session.options}"
        say(f"it waits for the signal {row.waits_for_signal!r} ({send})")
    answer(session, host, driver, carry_out(session, watch, host, driver, recalled))


def _announce(run: str, task: str, again: str = "") -> None:
    if not sys.stderr.isatty():
        say(f"{again + ' ' if again else ''}run {run} of {task}")


def _already_ended(session: Session, host: Host, row: RunRow, file: Path | None = None) -> None:
    """Answer for a run that needs no driving any more."""
    name = short(row.id)
    if row.outcome == "succeeded":
        result = _result(session, host, row, file)
        say(f"run {name} has already succeeded; this is its result, nothing was executed")
        if session.json:
            session.document(
                run=run_document(row), result=result_document(result), error=None, tally=tally_document(Tally())
            )
        else:
            show_result(result)
        return
    ended = fold(unseal_all(row.id, host.store.read(row.id))).ended
    error = ended.error if ended is not None else None
    if row.outcome == "failed" and error is not None:
        say(f"run {name} has failed; to try it again: regrow retry {name}{session.options}\n{error.render(indent=2)}")
    else:
        say(f"run {name} was cancelled; to take it up again: regrow retry {name}{session.options}")
    if session.json:
        session.document(run=run_document(row), result=None, error=error_document(error), tally=tally_document(Tally()))
    raise Leave


def _result(session: Session, host: Host, row: RunRow, file: Path | None) -> Any:
    """Give the result of a finished run; its code is loaded only if the result cannot be read without."""
    try:
        return outcome_of(host, row.id)
    except StoreError:
        raise
    except Exception:  # noqa: BLE001 - its classes are not loaded
        recall(session, host, row, file)
        return outcome_of(host, row.id)
