"""`regrow demo`: the main job, on real data. Kill it at any moment, and start it again."""

from __future__ import annotations

import importlib
import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import msgspec

from regrow.authoring.opening import open_run
from regrow.authoring.outcome import outcome_of
from regrow.cli.chaos import Chaos, SpotNotice, Workers
from regrow.cli.demo_lines import DemoLines
from regrow.cli.documents import run_document, tally_document
from regrow.cli.driving import Watch, carry_out
from regrow.cli.loading import Recalled
from regrow.cli.session import Leave, Mistake, Session, in_session, out, printable, say, shared_options
from regrow.engine.driver import Driver
from regrow.engine.host import Host
from regrow.engine.news import Tally
from regrow.errors import RunHeld
from regrow.insight.attempts import AttemptLine, attempts_of
from regrow.insight.runs import short
from regrow.journal.chain import unseal_all
from regrow.journal.store import RunRow, Store

_EXTRA = {"sklearn", "pandas", "numpy", "matplotlib", "joblib", "threadpoolctl", "scipy"}
_USUAL = {"rounds": 4, "width": 24, "seed": 0}


@click.command(epilog="Example: regrow demo --csv churn.csv --target churned --report churn.html")
@click.option(
    "--csv", type=click.Path(path_type=Path), metavar="FILE", help="A table of yours, with its columns' names."
)
@click.option("--target", metavar="COLUMN", help="The column to predict. Needed with --csv.")
@click.option(
    "--dataset",
    type=click.Choice(["breast_cancer", "diabetes", "digits"]),
    help="Real data that scikit-learn ships.  [default: digits]",
)
@click.option(
    "--rounds", type=click.IntRange(1, 10), default=4, show_default=True, help="How often to choose what to try."
)
@click.option(
    "--width", type=click.IntRange(2, 200), default=24, show_default=True, help="How many ideas to try first."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Equal seeds give equal results.")
@click.option(
    "--chaos",
    is_flag=True,
    help="Kill workers by chance meanwhile, and compare the result with that of a run in peace.",
)
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
    chaos: bool,
    report: Path | None,
    fresh: bool,
) -> None:
    """Find the best model for a table, with an agent that survives.

    It profiles the table, tries models side by side, learns from each result what to try next, and writes a report.
    Each experiment runs in a process of its own with little memory: what needs more is given more, and what needs too
    much fails alone. One thing is staged: the process that trains the winner is preempted once, and goes on elsewhere.

    Kill it at any moment (Ctrl-C, kill -9, power) and give the same command again: it goes on, and nothing that has
    finished is done again.
    """
    if csv is not None and dataset is not None:
        raise Mistake("--csv is a table of yours and --dataset one of scikit-learn's; give one of them")
    best_model = _example()
    try:
        table = best_model.table_ref(csv=csv, target=target, dataset=dataset or "digits")
    except importlib.import_module("regrow.examples.profile").BadTable as bad:
        raise Mistake(str(bad)) from None
    given = {"csv": csv, "target": target, "dataset": dataset, "rounds": rounds, "width": width, "seed": seed}
    search = _Search(
        session,
        session.host(create=True),
        Recalled(best_model.find_best_model, (table,), {"rounds": rounds, "width": width, "seed": seed}),
        best_model.run_key(table, rounds=rounds, width=width, seed=seed),
        _command(session, given | {"report": report}),
    )
    if not chaos:
        _hand_over(session, search.go(fresh=fresh), again=search.again, report=report)
        return
    search.again += " --chaos"
    hurt = search.go(fresh=fresh, chaos=seed)
    _hand_over(session, hurt, again=search.again, report=report, peaceful=search.in_peace())


class _Found(msgspec.Struct):
    """What a search has found, and how it went. Without a tally it was found by an earlier process.

    Attributes:
        row: the run.
        outcome: an `Outcome` of the example's.
        attempts: at all its calls.
        tally: of this process.
    """

    row: RunRow
    outcome: Any
    attempts: tuple[AttemptLine, ...]
    tally: Tally | None = None

    @property
    def lost(self) -> int:
        """How many of its workers were killed from outside."""
        return sum(attempt.failure == "WorkerLost" for attempt in self.attempts)

    @property
    def best(self) -> Any:
        """What must come out the same, whatever is killed."""
        return self.outcome.winner.spec, self.outcome.winner.score, self.outcome.verdict.metrics


class _Search:
    """One question, which any number of runs may answer.

    Attributes:
        again: the command that asks it again, or goes on.
    """

    def __init__(self, session: Session, host: Host, what: Recalled, question: str, again: str) -> None:
        self.again = again
        self._session = session
        self._host = host
        self._what = what
        self._question = question

    def go(self, *, fresh: bool, chaos: int | None = None) -> _Found:
        """Carry out a search, or go on with one that was interrupted; with a seed, while workers are killed."""
        watch = Watch(lines=False)
        workers = Workers()
        notice = SpotNotice(workers, "train_winner", _write)
        lines = DemoLines(self._host.vault.load, _write)
        driver = self._open(
            self._question if chaos is None else f"{self._question}/chaos",
            (*watch.observers, workers, lines, notice),
            fresh=fresh,
        )
        with nullcontext() if chaos is None else Chaos(workers, chaos, _write):
            outcome = carry_out(self._session, watch, self._host, driver, self._what)
        return self._found(self._host.store.get(driver.run), outcome, driver.tally)

    def in_peace(self) -> _Found:
        """Give what this question's run in peace has found; if there is none yet, carry one out."""
        store = self._host.store
        row = _last(store, self._session.project, self._question)
        if row is not None and row.outcome == "succeeded":
            return self._found(row, outcome_of(self._host, row.id), None)
        say("to compare: the same search in peace")
        return self.go(fresh=False)

    def _open(self, question: str, observers: tuple[Any, ...], *, fresh: bool) -> Driver:
        what = self._what
        while True:
            key, interrupted = _free_key(self._host.store, self._session.project, question, fresh=fresh)
            opened = open_run(
                self._host,
                what.task,
                what.args,
                what.kwargs,
                key=key,
                project=self._session.project,
                observers=observers,
            )
            if isinstance(opened, Driver):  # else it has finished since it was looked up
                break
        run = short(opened.run)
        if interrupted:
            say(f"going on with run {run}, which was interrupted; what it has finished is not done again")
        else:
            say(f"run {run}; stop it at any moment, and go on with the same command: {self.again}")
        return opened

    def _found(self, row: RunRow, outcome: Any, tally: Tally | None) -> _Found:
        return _Found(row, outcome, attempts_of(unseal_all(row.id, self._host.store.read(row.id))), tally)


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


def _free_key(store: Store, project: str, question: str, *, fresh: bool) -> tuple[str, bool]:
    """Give the key to run under, and whether it is that of a run which was interrupted.

    Raises:
        RunHeld: another process is at it.
    """
    number = 1
    while True:
        key = _numbered(question, number)
        row = store.by_key(project, key)
        if row is None:
            return key, False
        if row.outcome is None and not fresh:
            if row.held:
                raise RunHeld(row.id, row.holder)
            return key, True
        number += 1


def _last(store: Store, project: str, question: str) -> RunRow | None:
    """Give the latest run of a question that has succeeded, or that is to be gone on with."""
    number, found = 1, None
    while (row := store.by_key(project, _numbered(question, number))) is not None:
        found = row if row.outcome in ("succeeded", None) else found
        number += 1
    return found


def _numbered(question: str, number: int) -> str:
    return question if number == 1 else f"{question}/{number}"


def _command(session: Session, given: dict[str, Any]) -> str:
    """Give the command that goes on, or asks the same question again."""
    words = ["regrow", "demo"]
    for name, value in given.items():
        if value is not None and value != _USUAL.get(name):
            words += [f"--{name}", str(value)]
    return shlex.join(words) + session.options


def _write(line: str) -> None:
    """Write a line while the live tree may be there: it takes the place of `sys.stderr`, and so the line goes above."""
    sys.stderr.write(f"{printable(line)}\n")
    sys.stderr.flush()


def _hand_over(
    session: Session, found: _Found, *, again: str, report: Path | None, peaceful: _Found | None = None
) -> None:
    pages = importlib.import_module("regrow.examples.report")
    outcome, tally = found.outcome, found.tally or Tally()
    saved = pages.Saved(tally.executed, tally.replayed, tally.seconds_saved)
    name = "".join(one if one.isalnum() else "-" for one in Path(outcome.table.name).stem)
    target = report if report is not None else Path(f"regrow-demo-{name}.html")
    try:
        page = pages.write_report(outcome, target, command=again, saved=saved, attempts=found.attempts)
    except OSError as problem:
        page = None
        say(f"the report cannot be written to {target}: {problem.strerror}")
    same = None if peaceful is None else found.best == peaceful.best
    if session.json:
        session.document(
            run=run_document(found.row),
            result=outcome,
            error=None,
            tally=tally_document(tally),
            report=page,
            attempts=[attempt for attempt in found.attempts if attempt.isolated],
            chaos=None if peaceful is None else {"workers_lost": found.lost, "same_winner": same},
        )
    else:
        for line in pages.render_text(outcome, attempts=found.attempts):
            out(line)
        out("")
        if page is not None:
            out(f"report: {page}")
        if peaceful is not None:
            out(_comparison(found, peaceful))
        out(str(saved))
    if same is False:
        raise Leave


def _comparison(found: _Found, peaceful: _Found) -> str:
    lost = f"chaos: {found.lost} {'worker was' if found.lost == 1 else 'workers were'} killed"
    other = f"run {short(peaceful.row.id)}, which ran in peace"
    if found.best == peaceful.best:
        return f"{lost}, and the winner is the same as that of {other}"
    return f"{lost}, and the winner is NOT that of {other}: {peaceful.outcome.winner.spec}"
