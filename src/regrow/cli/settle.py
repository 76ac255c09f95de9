"""`regrow cancel` and `resolve`: deciding about runs that other processes drive, or that nobody does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from regrow.authoring.runs import end_here
from regrow.cli.arguments import from_json
from regrow.cli.documents import run_document
from regrow.cli.halt import grace_of
from regrow.cli.loading import recall, result_type
from regrow.cli.run import take_up
from regrow.cli.session import Leave, Mistake, Session, in_session, say, shared_options
from regrow.engine.driver import Driver
from regrow.engine.host import Host
from regrow.engine.state import CallState, RunState, fold
from regrow.engine.vault import Kept
from regrow.errors import RunHeld
from regrow.insight.runs import find_run, short
from regrow.insight.why import RESOLVED
from regrow.journal.chain import unseal_all
from regrow.journal.orders import GRACE_SECONDS
from regrow.journal.presence import actor
from regrow.journal.records import DriverClosed, OutcomeDecided
from regrow.journal.store import RunRow

_POLL_SECONDS = 0.1


@click.command(epilog="Example: regrow cancel @last")
@click.argument("run", metavar="RUN")
@click.option(
    "--grace", default=f"{GRACE_SECONDS:g}s", show_default=True, metavar="TIME", help="Its code has so long to end."
)
@click.option("--now", is_flag=True, help="No grace: by force, at once.")
@click.option("--no-wait", is_flag=True, help="Leave word for the driver, and do not wait until the run has ended.")
@shared_options
@in_session
def cancel(session: Session, *, run: str, grace: str, now: bool, no_wait: bool) -> None:
    """Cancel a run, with all that it is doing.

    If a process drives it, that one is asked, and runs the `finally` blocks; if none does, the run is ended here. Code
    that has not ended in time is left behind: its workers are killed, and nothing that it does is recorded any more.
    """
    allowed = 0.0 if now else grace_of(grace)
    store = session.store()
    row = find_run(store, run, session.project)
    name = short(row.id)
    if row.outcome == "cancelled":
        say(f"run {name} is cancelled already")
        _answer(session, row, asked=False)
        return
    if row.outcome is not None:
        raise Mistake(f"run {name} has {row.outcome} already; there is nothing to cancel")
    asked = False
    if row.held:
        store.request_cancel(row.id, actor(), grace=allowed)
        asked = True
        if no_wait:
            say(f"{row.holder} is asked to cancel run {name}")
            _answer(session, store.get(row.id), asked=True)
            return
        say(f"{row.holder} is asked to cancel run {name}; waiting for its finally blocks")
        while (row := store.get(row.id)).status == "running":
            time.sleep(_POLL_SECONDS)
    if row.outcome is None:
        end_here(session.host(), row)
        row = store.get(row.id)
    if row.outcome != "cancelled":
        say(f"run {name} has {row.outcome} before it could be cancelled")
        _answer(session, row, asked=asked)
        raise Leave
    say(f"run {name} is cancelled; to take it up again: regrow retry {name}{session.options}")
    _answer(session, row, asked=asked)


def _answer(session: Session, row: RunRow, *, asked: bool) -> None:
    if session.json:
        session.document(run=run_document(row), asked=asked)


@click.command(epilog="Example: regrow resolve @failed 'agent#1/pay#1' --happened '{\"id\": 7}' --retry")
@click.argument("run", metavar="RUN")
@click.argument("call", metavar="CALL")
@click.option("--happened", metavar="JSON", help="The effect did happen, and this was the call's result.")
@click.option("--did-not-happen", is_flag=True, help="The effect certainly did not happen: it may be executed.")
@click.option("--reason", default="", metavar="TEXT", help="How you know; kept in the journal.")
@click.option("--retry", is_flag=True, help="Go on with the run at once.")
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE.py", help="With --retry: where the task is.")
@shared_options
@in_session
def resolve(
    session: Session,
    *,
    run: str,
    call: str,
    happened: str | None,
    did_not_happen: bool,
    reason: str,
    retry: bool,
    file: Path | None,
) -> None:
    """Say what became of a once-only call whose outcome a crash has hidden.

    CALL is its path, as `regrow why RUN` shows it, or the end of that. Look for the call's idempotency key where its
    effect would be; what you say here is recorded with your name, and taken for true.
    """
    if (happened is None) != did_not_happen:
        raise Mistake("say what happened, with either --happened JSON or --did-not-happen")
    row = find_run(session.store(), run, session.project)
    if row.held:
        raise RunHeld(row.id, row.holder)
    state = fold(unseal_all(row.id, session.store().read(row.id)))
    path = _find_call(row, state, call).call.path
    value = None if happened is None else _parsed(happened, _result_type(session, row, path, file))
    _decide(session.host(), row, path, None if did_not_happen else (value,), reason)
    told = "happened" if happened is not None else "did not happen"
    say(f"recorded that {path} {told}, on the word of {actor()}")
    row = session.store().get(row.id)
    if retry:
        take_up(session, row, file, strict=False, verbose=False, retry=row.outcome is not None)
        return
    if session.json:
        session.document(run=run_document(row), path=path, happened=happened is not None)
    word = "retry" if row.outcome is not None else "resume"
    say(f"go on with: regrow {word} {short(row.id)}{session.options}")


def _parsed(happened: str, annotation: Any) -> Any:
    try:
        return from_json(happened, annotation, optional=False)
    except ValueError as problem:
        raise Mistake(f"--happened {happened!r} cannot be the result of this call: {problem}") from None


def _result_type(session: Session, row: RunRow, path: str, file: Path | None) -> Any:
    """Give the type that the code says the call's result has; anything, if the code is not at hand."""
    try:
        recall(session, session.host(), row, file)
    except Mistake:
        if file is not None:
            raise
        say("the result is taken as plain JSON, since the code was not loaded; --file FILE has it checked")
        return Any
    return result_type(path, once=True)


def _find_call(row: RunRow, state: RunState, typed: str) -> CallState:
    unknown = {
        path: known
        for path, known in state.calls.items()
        if known.begun is not None and known.begun.once and known.outcome is None  # a wrong answer can be corrected
    }
    name = short(row.id)
    if not unknown:
        raise Mistake(f"run {name} has no call whose outcome is unknown")
    matches = [path for path in unknown if path == typed] or [path for path in unknown if path.endswith(typed)]
    if not matches:
        raise Mistake(f"run {name} has no call {typed!r} whose outcome is unknown; there is {', '.join(unknown)}")
    if len(matches) > 1:
        raise Mistake(f"{typed!r} fits {len(matches)} calls: {', '.join(matches)}; type more of the path")
    return unknown[matches[0]]


def _decide(host: Host, row: RunRow, path: str, value: tuple[Any] | None, reason: str) -> None:
    kept = host.vault.keep(value[0], "--happened") if value is not None else Kept(b"")
    driver: Driver = host.take_up(row.id, even_if_over=True)
    try:
        event = OutcomeDecided(path, happened=value is not None, value=kept.value, reason=reason)
        driver.hand_in(event, kept.blobs, actor=actor())
        driver.hand_in(DriverClosed(f"{RESOLVED} by {actor()}"), actor=actor())
    finally:
        host.let_go(driver)
