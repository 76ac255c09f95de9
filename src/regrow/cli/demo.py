"""`regrow demo`: the main job, on real data. Kill it at any moment, and start it again."""

from __future__ import annotations

import importlib
import logging
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from regrow.authoring.run import open_run
from regrow.cli.documents import run_document, tally_document
from regrow.cli.driving import Watch, carry_out
from regrow.cli.loading import Recalled
from regrow.cli.session import Mistake, Session, in_session, out, say, shared_options
from regrow.engine.driver import Driver
from regrow.engine.host import Host
from regrow.errors import RunHeld
from regrow.insight.runs import short
from regrow.journal.store import Store

_EXTRA = {"sklearn", "pandas", "numpy", "matplotlib", "threadpoolctl", "scipy"}
_PROJECT = "default"
_USUAL = {"rounds": 4, "width": 24, "seed": 0}


@click.command(epilog="Example: regrow demo --csv churn.csv --target churned --report churn.html")
@click.option(
    "--csv", type=click.Path(path_type=Path), metavar="FILE", help="A table of yours, with its columns' names."
)
@click.option("--target", metavar="COLUMN", help="The column to predict. Needed with --csv.")
@click.option(
    "--dataset",
    type=click.Choice(["breast_cancer", "diabetes", "digits"]),
    help="Real data that scikit-learn ships.  [default: breast_cancer]",
)
@click.option(
    "--rounds", type=click.IntRange(1, 10), default=4, show_default=True, help="How often to choose what to try."
)
@click.option(
    "--width", type=click.IntRange(2, 200), default=24, show_default=True, help="How many ideas to try first."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Equal seeds give equal results.")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Where to write.  [default: regrow-demo-NAME.html]",
)
@click.option("--fresh", is_flag=True, help="Begin a new run, even if one was interrupted.")
@shared_options
@in_session
def demo(
    session: Session,
    *,
    csv: Path | None,
    target: str | None,
    dataset: str | None,
    rounds: int,
    width: int,
    seed: int,
    report: Path | None,
    fresh: bool,
) -> None:
    """Find the best model for a table, with an agent that survives.

    It profiles the table, tries models side by side, learns from each result what to try next, and writes a report.
    Kill it at any moment (Ctrl-C, kill -9, power) and give the same command again: it goes on, and nothing that has
    finished is done again.
    """
    if csv is not None and dataset is not None:
        raise Mistake("--csv is a table of yours and --dataset one of scikit-learn's; give one of them")
    best_model = _example()
    try:
        table = best_model.table_ref(csv=csv, target=target, dataset=dataset or "breast_cancer")
    except importlib.import_module("regrow.examples.table").BadTable as bad:
        raise Mistake(str(bad)) from None
    host = session.host(create=True)
    task = best_model.find_best_model
    watch = Watch(lines=False, log_level=logging.INFO)
    question = best_model.run_key(table, rounds=rounds, width=width, seed=seed)
    kwargs = {"rounds": rounds, "width": width, "seed": seed}
    while True:
        key, interrupted = _free_key(host.store, question, fresh=fresh)
        opened = open_run(host, task, (table,), kwargs, key=key, observers=watch.observers)
        if isinstance(opened, Driver):  # else it has finished since it was looked up
            break
    given = {"csv": csv, "target": target, "dataset": dataset, "rounds": rounds, "width": width, "seed": seed}
    again = _command(session, given | {"report": report})
    if interrupted:
        say(f"going on with run {short(opened.run)}, which was interrupted; what it has finished is not done again")
    else:
        say(f"run {short(opened.run)}; stop it at any moment, and go on with the same command: {again}")
    result = carry_out(session, watch, host, opened, Recalled(task, (table,), kwargs))
    _hand_over(session, host, opened, result, again=again, report=report)


def _example() -> Any:
    """Load the example, which needs what the extra installs.

    Raises:
        Mistake: it is not installed.
    """
    try:
        return importlib.import_module("regrow.examples.best_model")
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise Mistake(f"the demo needs {missing.name}, which is not installed: pip install 'regrow[demo]'") from None


def _free_key(store: Store, question: str, *, fresh: bool) -> tuple[str, bool]:
    """Give the key to run under, and whether it is that of a run which was interrupted.

    Raises:
        RunHeld: another process is at it.
    """
    number = 1
    while True:
        key = question if number == 1 else f"{question}/{number}"
        row = store.by_key(_PROJECT, key)
        if row is None:
            return key, False
        if row.outcome is None and not fresh:
            if row.held:
                raise RunHeld(row.id, row.holder)
            return key, True
        number += 1


def _command(session: Session, given: dict[str, Any]) -> str:
    """Give the command that goes on, or asks the same question again."""
    words = ["regrow", "demo"]
    for name, value in given.items():
        if value is not None and value != _USUAL.get(name):
            words += [f"--{name}", str(value)]
    return shlex.join(words) + session.options


def _hand_over(session: Session, host: Host, driver: Driver, outcome: Any, *, again: str, report: Path | None) -> None:
    pages = importlib.import_module("regrow.examples.report")
    saved = pages.Saved(driver.tally.executed, driver.tally.replayed, driver.tally.seconds_saved)
    name = "".join(one if one.isalnum() else "-" for one in Path(outcome.table.name).stem)
    target = report if report is not None else Path(f"regrow-demo-{name}.html")
    try:
        page = pages.write_report(outcome, target, command=again, saved=saved)
    except OSError as problem:
        page = None
        say(f"the report cannot be written to {target}: {problem.strerror}")
    if session.json:
        session.document(
            run=run_document(host.store.get(driver.run)),
            result=outcome,
            error=None,
            tally=tally_document(driver.tally),
            report=page,
        )
        return
    for line in pages.render_text(outcome):
        out(line)
    out("")
    if page is not None:
        out(f"report: {page}")
    out(str(saved))
    sys.stdout.flush()
