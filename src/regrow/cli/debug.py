"""`regrow debug`: a run's own code under the debugger, with every effect answered from the journal."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from regrow.amounts import counted
from regrow.authoring.forking import full_path
from regrow.authoring.rehearsal import Rehearsal, Rehearsed
from regrow.cli.debuggers import Debugger, Debugpy, Pdb, own_frame, own_part
from regrow.cli.loading import recall
from regrow.cli.session import Leave, Session, in_session, say, store_options
from regrow.codec import capture
from regrow.engine.forking import paths_of
from regrow.engine.news import Replayed
from regrow.engine.rehearsing import tasks_around, tasks_that_failed, unfinished, without_outcomes
from regrow.engine.state import fold
from regrow.errors import Failure
from regrow.insight.runs import find_run, short
from regrow.journal.chain import unseal_all
from regrow.journal.records import Record
from regrow.journal.store import RunRow


@click.command(epilog="Example: regrow debug @failed")
@click.argument("run", metavar="RUN")
@click.option("--at", default="", metavar="STEP", help="Stop where this call was made: its path, or the end of it.")
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE.py", help="Where the task is.")
@click.option("--debugger", type=click.Choice(["pdb", "debugpy"]), default="pdb", show_default=True,
              help="pdb here, or debugpy for an editor to attach to.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=5678, show_default=True,
              help="For debugpy: where to listen, on loopback.")  # fmt: skip
@store_options
@in_session
def debug(session: Session, *, run: str, at: str, file: Path | None, debugger: str, port: int) -> None:
    """Run a task's code in this process under a debugger, with everything that it called answered from the journal.

    It stops where the failure arose, with the real frames and their variables; where STEP was made; or where the record
    ends. Nothing is carried out and nothing is written. The code may be edited, and debugged again. What a step raised
    is raised again where the step was called: its body is not run.

    Besides pdb's own commands there is `live`: leave the debugger, and go on with the run for real.
    """
    store = session.store()
    row = find_run(store, run, session.project)
    recalled = recall(session, session.host(), row, file)
    records = unseal_all(row.id, store.read(row.id))
    target = full_path(list(paths_of(records)), at) if at else ""
    entered = _entered(row, records, target)
    shown: Debugger = Debugpy(port) if debugger == "debugpy" else Pdb()
    stops = _Stops(shown, target)
    rehearsal = Rehearsal(
        store,
        row,
        without_outcomes(records, entered, from_the_start=bool(target)),
        entered=entered,
        on_frontier=stops.at_frontier,
        observers=(stops.heed,),
    )
    say(f"debugging run {short(row.id)}: calls are answered from its journal, and nothing is carried out")
    seen = rehearsal.play(recalled.task, recalled.args, recalled.kwargs)
    if seen.error is not None and not shown.is_left:
        say(f"{capture(seen.error).summary()}; {_answered(seen)}")
        _show(shown, seen.error, row)
    else:
        _say_how_it_went(seen, shown, stops.target)
    if shown.live:
        _go_live(session, row, file)


def _entered(row: RunRow, records: Sequence[Record], target: str) -> set[str]:
    """Give the tasks whose code is to run: those around where it is to stop."""
    if target:
        return tasks_around(records, target) | ({target} if paths_of(records)[target].kind == "task" else set())
    if row.outcome is None:
        return unfinished(fold(records))
    return tasks_that_failed(records)


def _answered(seen: Rehearsed) -> str:
    return f"{counted(seen.replayed, 'call was', 'calls were')} answered from the journal"


def _say_how_it_went(seen: Rehearsed, shown: Debugger, missed: str) -> None:
    if missed:
        say(f"{missed} was not made; nothing stops there")
    if shown.stopped:
        say("left the debugger; nothing was carried out")
    elif seen.outcome == "finished":
        say(f"the code came to its end without failing; {_answered(seen)}")
    else:
        where = f" at {', '.join(seen.frontier)}" if seen.frontier else ""
        say(f"the record ends here{where}, after {seen.replayed} calls; nothing was carried out")


def _show(shown: Debugger, error: BaseException, row: RunRow) -> None:
    """Show where an error arose; of a group, where its first member did."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
        say(f"the first of these is {capture(error).summary()}")
    if own_part(error.__traceback__) is None and isinstance(error, Failure):
        say(f"no code of yours has raised it; what is known of it: regrow why {short(row.id)}")
        return
    shown.post_mortem(error)


def _go_live(session: Session, row: RunRow, file: Path | None) -> None:
    """Go on in a process of its own, which loads the code as it is by now."""
    word = "retry" if row.outcome in ("failed", "cancelled") else "resume"
    command = [sys.executable, "-m", "regrow", word, row.id, *session.arguments]
    if file is not None:
        command += ["--file", str(file)]
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - this very command, on this very run
    if code:
        raise Leave(code)


def _how_it_stands(kind: str) -> str:
    return "has had no answer" if kind == "ask" else "has got none" if kind == "signal" else "is not recorded"


class _Stops:
    """Where the rehearsal is to be stopped: at the call `target`, which is empty once it has been."""

    def __init__(self, debugger: Debugger, target: str) -> None:
        self._debugger = debugger
        self.target = target

    def heed(self, news: Record | Replayed) -> None:
        """Stop where the call in question has just been answered."""
        frame = inspect.currentframe()
        if isinstance(news, Replayed) and news.call.path == self.target and (own := own_frame(frame)) is not None:
            self.target = ""
            say(f"{news.call.path} is answered from the journal")
            self._debugger.stop_in(own)

    def at_frontier(self, path: str, kind: str) -> None:
        """Stop where the code makes a call that is not recorded."""
        frame = own_frame(inspect.currentframe())
        if frame is not None and not self._debugger.is_left:
            say(f"{path} ({kind}) {_how_it_stands(kind)}: the journal ends here")
            self._debugger.show(frame)
