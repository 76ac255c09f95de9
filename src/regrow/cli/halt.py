"""`regrow pause` and `regrow stop`: holding back one run, or all of them."""

from __future__ import annotations

import time

import click

from regrow.cli.documents import run_document, stop_document
from regrow.cli.session import Mistake, Session, in_session, out, say, shared_options
from regrow.errors import UsageError
from regrow.insight.runs import find_run, short
from regrow.insight.stops import lift_command, stop_scope, stop_words
from regrow.journal.orders import EVERYWHERE, GRACE_SECONDS
from regrow.journal.presence import actor
from regrow.journal.store import RunRow, Store
from regrow.values.durations import seconds

_POLL_SECONDS = 0.1
_AT_REST_SECONDS = 12.0
"""How long a stop waits for the drivers to let go, before it names those that have not: their grace, and a little."""


def grace_of(text: str) -> float:
    """Read the value of ``--grace``.

    Raises:
        Mistake: it is no span of time.
    """
    try:
        return seconds(text, what="--grace")
    except UsageError as problem:
        raise Mistake(str(problem)) from None


@click.command(epilog="Example: regrow pause @last --grace 1m")
@click.argument("run", metavar="RUN")
@click.option(
    "--grace", default=f"{GRACE_SECONDS:g}s", show_default=True, metavar="TIME", help="What runs has so long to finish."
)
@click.option("--no-wait", is_flag=True, help="Leave word for the driver, and do not wait until it has let go.")
@shared_options
@in_session
def pause(session: Session, *, run: str, grace: str, no_wait: bool) -> None:
    """Pause a run, until `regrow resume RUN`.

    No new call of it begins. What runs is let finish and is recorded; then the process that drives it lets go of it,
    and may end. What has not finished in time is cut short, and executed again when the run is resumed.
    """
    allowed = grace_of(grace)
    store = session.store()
    row = find_run(store, run, session.project)
    name = short(row.id)
    if row.outcome is not None:
        raise Mistake(f"run {name} has {row.outcome} already; there is nothing to pause")
    asked = row.held
    store.request_pause(row.id, actor(), grace=allowed)
    if asked and not no_wait:
        say(f"{row.holder} is asked to pause run {name}; waiting for its calls")
        while (row := store.get(row.id)).held:
            time.sleep(_POLL_SECONDS)
    row = store.get(row.id)
    if row.outcome is not None:
        say(f"run {name} has {row.outcome} before it could be paused")
    elif row.held:
        say(f"{row.holder} is asked to pause run {name}")
    else:
        say(f"run {name} is paused; to go on with it: regrow resume {name}{session.options}")
    if session.json:
        session.document(run=run_document(row), asked=asked)


@click.command(epilog='Example: regrow stop --all --reason "the model deletes files"')
@click.option("--all", "everywhere", is_flag=True, help="All runs of the store, in every project.")
@click.option("--reason", default="", metavar="TEXT", help="Why; everybody who is refused is told.")
@click.option("--lift", is_flag=True, help="Take the stop back.")
@click.option("--no-wait", is_flag=True, help="Do not wait until the drivers have let go of their runs.")
@shared_options
@in_session
def stop(session: Session, *, everywhere: bool, reason: str, lift: bool, no_wait: bool) -> None:
    """Stop all runs at once, and let none begin or go on until the stop is lifted.

    Say which: --all, or --project NAME. Within two seconds no step of theirs begins, in whatever process. What runs is
    interrupted as by SIGTERM. Without either of the two, the stops that are in force are listed.
    """
    store = session.store()
    if everywhere and session.project_given is not None:
        raise Mistake("say one thing: --all for every run of this store, or --project NAME")
    if not everywhere and session.project_given is None:
        if lift or reason:
            raise Mistake("say what is meant: --all for every run of this store, or --project NAME")
        _listed(session, store, [])
        return
    scope = EVERYWHERE if everywhere else session.project
    if lift:
        _lift(session, store, scope)
        return
    store.stop(scope, actor(), reason)
    say(f"{stop_scope(scope)} is stopped; to lift that: {lift_command(scope, session.store_option)}")
    left = _running(store, scope)
    if left and not no_wait:
        say(f"waiting for the drivers of {len(left)} run{'s' if len(left) > 1 else ''} to let go")
        limit = time.monotonic() + _AT_REST_SECONDS
        while (left := _running(store, scope)) and time.monotonic() < limit:
            time.sleep(_POLL_SECONDS)
    for row in left:
        say(f"run {short(row.id)}: {row.holder} has not let go of it; nothing new begins in it, but what runs goes on")
    _listed(session, store, left)


def _lift(session: Session, store: Store, scope: str) -> None:
    if store.lift_stop(scope):
        say(f"{stop_scope(scope)} may run again; interrupted runs: regrow ls --status interrupted{session.options}")
    else:
        say(f"{stop_scope(scope)} was not stopped")
    _listed(session, store, [])


def _running(store: Store, scope: str) -> list[RunRow]:
    return [row for row in store.runs(project=scope or None) if row.held]


def _listed(session: Session, store: Store, running: list[RunRow]) -> None:
    stops = store.stops()
    if session.json:
        session.document(stops=[stop_document(one) for one in stops], running=[run_document(row) for row in running])
        return
    for one in stops:
        out(stop_words(one))
