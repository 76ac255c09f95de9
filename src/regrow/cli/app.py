"""The `regrow` command: loads the module of one subcommand, and turns errors into sentences and exit codes."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import Final

import click

from regrow.cli import exits
from regrow.cli.session import Leave, Mistake, Session, say
from regrow.errors import (
    AskError,
    KeyConflict,
    NotStorable,
    RegrowError,
    RunCancelled,
    RunHeld,
    RunPaused,
    RunStopped,
    StoreError,
    UnknownRun,
    UsageError,
)

_COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "demo": ("demo", "demo", "Find the best model for a table: regrow's main job, on real data."),
    "run": ("run", "run", "Run a task of a Python file so that it survives."),
    "resume": ("run", "resume", "Go on with a run whose process is gone."),
    "retry": ("run", "retry", "Try a failed or cancelled run again: only what failed is repeated."),
    "ls": ("look", "ls", "List runs, newest first."),
    "show": ("look", "show", "Show a run as the tree of its calls."),
    "why": ("look", "why", "Say why a run failed or stopped, and each way on."),
    "logs": ("look", "logs", "Show what a run has logged."),
    "cancel": ("settle", "cancel", "Cancel a run; its finally blocks run."),
    "pause": ("halt", "pause", "Pause a run: what runs finishes, nothing new begins, until it is resumed."),
    "stop": ("halt", "stop", "Stop all runs at once, and let none begin until that is lifted."),
    "resolve": ("settle", "resolve", "Say what became of a once-only call whose outcome is unknown."),
    "fork": ("travel", "fork", "Make a new run of what a run had recorded, and go on with it another way."),
    "export": ("carry", "export", "Write a run into one file, to be looked at or debugged elsewhere."),
    "import": ("carry", "import_", "Add an exported run to this store."),
    "debug": ("debug", "debug", "Run a run's code under the debugger, with every effect answered from its journal."),
    "check": ("check", "check", "Say whether changed code still fits the runs that wait to go on with it."),
    "diff": ("travel", "diff", "Show where two runs part, and what differs."),
    "cache": ("cache", "cache", "Look at the outcomes that runs share, and remove them: ls, show, rm, gc."),
    "inbox": ("answer", "inbox", "List the questions that runs have put to people."),
    "answer": ("answer", "answer", "Answer a question that a run has put to people."),
    "signal": ("answer", "signal", "Send a run a value that its code waits for."),
    "memory": ("memory", "memory", "Look at agents' memories: ls, show, diff, revert, quarantine, export, rm."),
    "doctor": ("upkeep", "doctor", "Report on this machine, and verify every record and blob."),
    "gc": ("upkeep", "gc", "Remove runs that ended long ago, and blobs that nothing needs."),
    "version": ("upkeep", "version", "Say which regrow this is."),
}
"""By name: the module, the command in it, and what `regrow --help` says of it without loading either."""


class _Commands(click.Group):
    """Loads a subcommand when it is asked for: `regrow --help` must not wait for a terminal library."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's own
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's own
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"regrow.cli.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "`regrow --help` lists them"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's own
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])
        with formatter.section("Which run"):
            formatter.write_dl(
                [
                    ("RUN", "its id, the first or last 4 characters of that or more, or its key"),
                    ("@last", "the newest run"),
                    ("@failed", "the newest run that failed"),
                ]
            )
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in exits.MEANING.items()])


@click.group(
    cls=_Commands,
    no_args_is_help=False,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Results go to stdout, everything else to stderr. Every command takes --store and --help, "
    "and all but debug --json.",
)
@click.pass_context
def app(context: click.Context) -> None:
    """Run AI agents that survive. What was done is never done again.

    \b
      regrow demo                                     see it work
      regrow run agent.py --question "What now?"      run a task of your own
      regrow resume @last                             go on after a crash
    """  # noqa: D301 - \b is click's mark for text that is not to be wrapped
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one command, and give its exit code."""
    session = Session()
    session.owns_process = arguments is None
    given = list(sys.argv[1:] if arguments is None else arguments)
    session.command = next((one for one in given if not one.startswith("-")), "help")
    try:
        app.main(given, prog_name="regrow", standalone_mode=False, obj=session)
    except (Leave, click.exceptions.Exit) as left:
        return left.code if isinstance(left, Leave) else left.exit_code
    except (KeyboardInterrupt, click.Abort):
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough (`regrow ls | head`). Nothing more can be written, not even at exit.
        sys.stdout = None
        return exits.OK
    except (RegrowError, Mistake, click.ClickException) as problem:
        # What was wrong may have come before the option was read.
        session.json = session.json or "--json" in given
        return _explain(session, problem)
    finally:
        session.close()
        if session.owns_process and session.has_cancelled_run:
            from regrow.cli.leaving import end_process_if_kept  # noqa: PLC0415 - for few

            end_process_if_kept(exits.FAILED)
    return exits.OK


def _explain(session: Session, problem: RegrowError | Mistake | click.ClickException) -> int:
    message = _message(problem)
    say(message)
    code = _code(problem)
    if session.json:
        session.document(error={"kind": type(problem).__name__, "message": message, "exit_code": code})
    return code


def _message(problem: RegrowError | Mistake | click.ClickException) -> str:
    if not isinstance(problem, click.ClickException):
        return str(problem)
    message = problem.format_message()
    message = message[:1].lower() + message[1:].removesuffix(".")
    if isinstance(problem, click.UsageError) and problem.ctx is not None and "--help" not in message:
        message = f"{message} (`{problem.ctx.command_path} --help` says more)"
    return message


def _code(problem: RegrowError | Mistake | click.ClickException) -> int:
    match problem:
        case Mistake() | click.ClickException() | UsageError() | NotStorable() | KeyConflict() | AskError():
            return exits.MISTAKE
        case RunHeld():
            return exits.HELD
        case UnknownRun():
            return exits.UNKNOWN_RUN
        case RunPaused() | RunStopped():
            return exits.PAUSED
        case RunCancelled():
            return exits.FAILED
        case StoreError():
            return exits.STORE
        case _:
            return exits.FAILED
