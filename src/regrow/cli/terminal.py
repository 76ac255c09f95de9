"""How regrow looks on a terminal: colours, marks, and the two consoles. Loaded only by commands that draw."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from regrow.cli.session import printable
from regrow.codec import ErrorRecord

TIMES: Final = "\N{MULTIPLICATION SIGN}"
STYLES: Final = {
    "succeeded": "green",
    "running": "cyan",
    "interrupted": "yellow",
    "waiting": "yellow",
    "paused": "yellow",
    "failed": "red",
    "unknown": "bold red",
    "cancelled": "magenta",
    "begun": "cyan",
    "unfinished": "yellow",
}
MARKS: Final = {
    "succeeded": "✓",
    "running": "●",
    "interrupted": "◌",
    "waiting": "↻",
    "paused": "‖",
    "failed": "✗",
    "unknown": "?",
    "cancelled": "⊘",
    "begun": "●",
    "unfinished": "◌",
}
_PLAIN_MARKS: Final = {
    "✓": "+",
    "●": "*",
    "◌": "o",
    "↻": "~",
    "‖": "=",
    "✗": "x",
    "⊘": "-",
}
_PIPE_WIDTH: Final = 100_000
"""What is piped into another program is not cut to the width of a terminal that is not there."""


def console(*, err: bool = False) -> Console:
    """Give a console for stdout or stderr. In a pipe it writes neither colours nor any other escape code."""
    stream = sys.stderr if err else sys.stdout
    return Console(
        stderr=err,
        highlight=False,
        markup=False,
        emoji=False,
        width=None if stream.isatty() else _PIPE_WIDTH,
        no_color=True if os.environ.get("NO_COLOR") else None,
        force_terminal=None if stream.isatty() else False,
        soft_wrap=False,
    )


def show(lines: Iterable[Text]) -> None:
    """Print lines to stdout: each cut to the terminal's width, and whole in a pipe."""
    target = console()
    for line in lines:
        target.print(
            line, no_wrap=True, overflow="ellipsis" if target.is_terminal else "ignore", crop=target.is_terminal
        )


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show on stderr, if that is a terminal, how much of a long work is done; gives what to call after each part."""
    target = console(err=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=target, transient=True, disable=not target.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda: bar.advance(task)


def mark(status: str, *, encoding: str | None = None) -> Text:
    """Give the mark of a status, in its colour, in whatever alphabet the stream has."""
    sign = MARKS.get(status, "·")
    try:
        sign.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        sign = _PLAIN_MARKS.get(sign, ".")
    return Text(sign, style=STYLES.get(status, ""))


def plain(text: str, style: str = "") -> Text:
    """Give text that was recorded or written by a user, with nothing in it that steers a terminal."""
    return Text(printable(text), style=style)


def error_lines(error: ErrorRecord, indent: int = 0) -> Iterator[Text]:
    """Give an error as `ErrorRecord.render` does, its first line standing out."""
    first, *rest = error.render(indent).splitlines() or [""]
    yield plain(first, "red")
    for line in rest:
        yield plain(line, "bold" if line.lstrip().startswith("at ") and " in " in line else "dim")
