"""`regrow debug`: a run's own code under the debugger, with every effect answered from the journal."""

from __future__ import annotations

import inspect
import pdb  # noqa: T100 - this is where a user asks for it
import subprocess
import sys
import traceback
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from regrow.authoring.forking import full_path
from regrow.authoring.rehearsal import Rehearsal, Rehearsed
from regrow.cli.loading import recall
from regrow.cli.session import Leave, Session, in_session, say, shared_options
from regrow.codec import capture
from regrow.codec.frames import is_own
from regrow.engine.callee import Callee
from regrow.engine.driver import Replayed
from regrow.engine.forking import paths_of
from regrow.engine.rehearsing import tasks_around, tasks_that_failed, unfinished, without_outcomes
from regrow.engine.scope import Scope
from regrow.engine.state import fold
from regrow.insight.runs import find_run, short
from regrow.journal.records import Record, unseal_all
from regrow.journal.store import RunRow


@click.command(epilog="Example: regrow debug @failed")
@click.argument("run", metavar="RUN")
@click.option("--at", default="", metavar="STEP", help="Stop where this call was made: its path, or the end of it.")
@click.option("--file", type=click.Path(path_type=Path), metavar="FILE.py", help="Where the task is.")
@shared_options
@in_session
def debug(session: Session, *, run: str, at: str, file: Path | None) -> None:
    """Run a task's code in this process under pdb, with everything that it called answered from the journal.

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
    prompt = _Prompt(target)
    rehearsal = Rehearsal(
        store,
        row,
        without_outcomes(records, entered),
        entered=entered,
        on_frontier=prompt.at_frontier,
        observers=(prompt.heed,),
    )
    say(f"debugging run {short(row.id)}: calls are answered from its journal, and nothing is carried out")
    seen = rehearsal.play(recalled.task, recalled.args, recalled.kwargs)
    if seen.error is not None and not prompt.is_left:
        say(f"{capture(seen.error).summary()}; {seen.replayed} calls were answered from the journal")
        prompt.post_mortem(seen.error)
    else:
        _say_how_it_went(seen, prompt)
    if prompt.live:
        _go_live(session, row, file)


def _entered(row: RunRow, records: Sequence[Record], target: str) -> set[str]:
    """Give the tasks whose code is to run: those around where it is to stop."""
    if target:
        return tasks_around(records, target) | ({target} if paths_of(records)[target].kind == "task" else set())
    if row.outcome is None:
        return unfinished(fold(records))
    return tasks_that_failed(records)


def _say_how_it_went(seen: Rehearsed, prompt: _Prompt) -> None:
    if prompt.stopped:
        say("left the debugger; nothing was carried out")
    elif seen.outcome == "finished":
        say(f"the code came to its end without failing; {seen.replayed} calls were answered from the journal")
    else:
        say(f"the record ends here, after {seen.replayed} calls; nothing was carried out")


def _go_live(session: Session, row: RunRow, file: Path | None) -> None:
    """Go on in a process of its own, which loads the code as it is by now."""
    word = "retry" if row.outcome in ("failed", "cancelled") else "resume"
    command = [sys.executable, "-m", "regrow", word, row.id, *session.arguments]
    if file is not None:
        command += ["--file", str(file)]
    code = subprocess.run(command, check=False).returncode  # noqa: S603 - this very command, on this very run
    if code:
        raise Leave(code)


class _Prompt:
    """When the debugger is shown, and where.

    Attributes:
        live: whether the person wants to go on for real.
        stopped: whether it was shown at all.
        is_left: whether the person has had enough.
    """

    def __init__(self, target: str) -> None:
        self.live = False
        self.stopped = False
        self.is_left = False
        self._target = target

    def heed(self, news: Record | Replayed) -> None:
        """Stop where the call in question has just been answered."""
        if isinstance(news, Replayed) and news.call.path == self._target:
            self._target = ""
            self._stop_in(_own_frame(inspect.currentframe()), f"{news.call.path} is answered from the journal")

    def at_frontier(self, callee: Callee, scope: Scope) -> None:
        """Stop where the code makes a call that is not recorded."""
        if not self.is_left:
            frame = _own_frame(inspect.currentframe())
            self._show(frame, None, f"{scope.path} ({callee.kind}) is not recorded: the journal ends here")

    def post_mortem(self, error: BaseException) -> None:
        """Stop where an exception arose, in the author's own code."""
        trace = _without_engine(error.__traceback__)
        if trace is None:
            traceback.print_exception(error)
            return
        self._show(None, trace, "")

    def _stop_in(self, frame: types.FrameType | None, why: str) -> None:
        if frame is None:
            return
        say(why)
        self.stopped = True
        _Debugger(self).set_trace(frame)

    def _show(self, frame: types.FrameType | None, trace: types.TracebackType | None, why: str) -> None:
        if why:
            say(why)
        self.stopped = True
        debugger = _Debugger(self)
        debugger.reset()
        debugger.interaction(frame, trace)


class _Debugger(pdb.Pdb):
    """pdb, with one command more, that passes regrow's own frames by."""

    def __init__(self, shown: _Prompt) -> None:
        super().__init__(skip=["regrow.*", "asyncio.*", "concurrent.futures.*"], nosigint=True)
        self.prompt = "(regrow) "
        self._shown = shown

    def do_live(self, _argument: str) -> Any:
        """Go on for real.

        Leave the debugger, and go on with the run for real, with the code as it is now.
        """
        self._shown.live = True
        return self.do_quit(_argument)

    def set_quit(self) -> None:
        self._shown.is_left = True
        super().set_quit()


def _own_frame(frame: types.FrameType | None) -> types.FrameType | None:
    """Give the nearest frame of the author's own code."""
    while frame is not None and not is_own(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def _without_engine(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Give a traceback that has the author's own frames alone, as far as there are any."""
    own = []
    while trace is not None:
        if is_own(trace.tb_frame.f_code.co_filename):
            own.append(trace)
        trace = trace.tb_next
    result: types.TracebackType | None = None
    for one in reversed(own):
        result = types.TracebackType(result, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return result
