"""Driving a run from the command line: progress while it goes, its result or its failure at the end."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from regrow.authoring.driving import drive
from regrow.cli.documents import error_document, run_document, tally_document
from regrow.cli.leaving import LastResort
from regrow.cli.live import LiveTree, PlainLines, totals_line
from regrow.cli.loading import Recalled
from regrow.cli.progress import Progress
from regrow.cli.session import Leave, Session, as_json, out, printable, say
from regrow.cli.terminal import STYLES, console, error_lines, mark, plain
from regrow.codec import ErrorRecord, capture
from regrow.engine.driver import Driver
from regrow.engine.host import Host
from regrow.engine.news import Observer
from regrow.errors import RegrowError, RunPaused
from regrow.insight.runs import short
from regrow.insight.why import is_unknown
from regrow.values.secret import redact

_JSON_TYPES: Final = (dict, list, tuple, set, frozenset, int, float)


class Watch:
    """What is shown of a run while this process drives it.

    Attributes:
        observers: to be given to the driver.
        progress: what was seen so far.
    """

    def __init__(
        self, *, verbose: bool = False, lines: bool = True, log_level: int = logging.WARNING, own_process: bool = False
    ) -> None:
        """Show a tree on a terminal, and in a pipe lines, unless what is logged says as much.

        Args:
            verbose: in a pipe, a line for each step too; log lines from INFO on.
            lines: whether there are lines in a pipe.
            log_level: from which one on log lines are shown.
            own_process: whether the process is there for the run alone, and ends when that was ended by force.
        """
        self.progress = Progress()
        self._interactive = sys.stderr.isatty()
        self._log_level = logging.INFO if verbose else log_level
        written: tuple[Observer, ...] = (PlainLines(verbose=verbose),) if lines and not self._interactive else ()
        last: tuple[Observer, ...] = (LastResort(),) if own_process else ()
        self.observers: tuple[Observer, ...] = (self.progress, *written, *last)

    @contextmanager
    def over(self, task: str, run: str) -> Iterator[None]:
        """Show what happens meanwhile."""
        with _logged_to_stderr(self._log_level):
            if not self._interactive:
                yield
                return
            with LiveTree(self.progress, task, run):
                yield


def carry_out(session: Session, watch: Watch, host: Host, driver: Driver, what: Recalled) -> Any:
    """Drive a run that was taken up, to its end, and give its result.

    Raises:
        Leave: it failed, or was cancelled; that has been said.
        RegrowError: it could not be driven to its end.
    """
    began = time.monotonic()
    run = driver.run
    try:
        with watch.over(what.task.name, run):
            result = drive(host, driver, what.task, what.args, what.kwargs)
    except (KeyboardInterrupt, SystemExit):
        if session.options and driver.log.state.ended is None:
            say(f"it is in another store than the usual one: regrow resume {short(run)}{session.options}")
        raise
    except BaseException as error:
        ended = driver.log.state.ended
        if ended is None:
            if isinstance(error, RegrowError):
                if isinstance(error, RunPaused) and session.options:
                    say(f"it is in another store than the usual one: regrow resume {short(run)}{session.options}")
                raise
            say(f"run {short(run)} was let go of: {capture(error).summary()}")
            raise Leave from None
        if ended.outcome == "cancelled":
            session.has_cancelled_run = True
            say(f"run {short(run)} was {ended.reason or 'cancelled'}")
        else:
            target = _say_how_it_ended(watch, "failed", what.task.name, run, time.monotonic() - began)
            _say_failure(session, target, run, ended.error or capture(error))
        _document(session, host, driver, None, ended.error)
        raise Leave from None
    _say_how_it_ended(watch, "succeeded", what.task.name, run, time.monotonic() - began)
    return result


def answer(session: Session, host: Host, driver: Driver, result: Any) -> None:
    """Write what a run resulted in to stdout."""
    if session.json:
        _document(session, host, driver, result, None)
    else:
        show_result(result)


def show_result(result: Any) -> None:
    """Write a result as a person expects it: text as it is, what has a form of its own in that, the rest as JSON."""
    if result is None:
        return
    if isinstance(result, str):
        out(result)
    elif _has_own_form(result):
        out(str(result))
    else:
        try:
            out(as_json(result))
        except (TypeError, ValueError):
            out(repr(result))


def _has_own_form(result: object) -> bool:
    """Tell whether a class says how its instances read: an enum, a path, a report with a ``__str__`` of its own."""
    if isinstance(result, _JSON_TYPES) or hasattr(result, "model_dump"):
        return False
    return any("__str__" in vars(cls) for cls in type(result).__mro__[:-1])


def result_document(result: Any) -> Any:
    """Give a result as something that JSON can hold."""
    try:
        as_json(result)
    except (TypeError, ValueError):
        return repr(result)
    return result


def _document(session: Session, host: Host, driver: Driver, result: Any, error: ErrorRecord | None) -> None:
    if session.json:
        session.document(
            run=run_document(host.store.get(driver.run)),
            result=result_document(result),
            error=error_document(error),
            tally=tally_document(driver.tally),
        )


def _say_how_it_ended(watch: Watch, status: str, task: str, run: str, seconds: float) -> Console:
    target = console(err=True)
    prefix = "" if target.is_terminal else "regrow: "
    head = Text.assemble(prefix, mark(status, encoding=target.encoding), " ", plain(task, "bold"))
    head.append(f" {status}", style=STYLES[status])
    target.print(
        Text.assemble(head, totals_line(watch.progress, seconds), (f"  run {short(run)}", "dim")), soft_wrap=True
    )
    return target


def _say_failure(session: Session, target: Console, run: str, error: ErrorRecord) -> None:
    for line in error_lines(error, indent=2):
        target.print(line, soft_wrap=True)
    commands = [(f"regrow why {short(run)}{session.options}", "what happened, what was tried, and each way on")]
    if not is_unknown(error):
        commands.append((f"regrow retry {short(run)}{session.options}", "try again only what failed"))
    width = max(len(command) for command, _ in commands)
    for command, meaning in commands:
        target.print(Text.assemble("  ", (command.ljust(width), "bold cyan"), (f"   {meaning}", "dim")), soft_wrap=True)


class _ToStderr(logging.Handler):
    """Writes to whatever stderr is by then: the live tree takes its place for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(printable(redact(self.format(record))) + "\n")


@contextmanager
def _logged_to_stderr(level: int) -> Iterator[None]:
    """Let log lines reach the journal from INFO on, and stderr from `level` on, unless the user has set logging up."""
    root = logging.getLogger()
    if root.handlers:
        yield
        return
    handler = _ToStderr(level)
    handler.setFormatter(logging.Formatter("%(message)s"))
    former = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(former)
