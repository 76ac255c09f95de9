"""A driver's progress on a terminal, redrawn in place, and line by line in a pipe."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Self

from rich.live import Live
from rich.text import Text

from regrow.cli.progress import Group, Progress, Working
from regrow.cli.session import printable
from regrow.cli.terminal import TIMES, console, mark, plain
from regrow.engine.news import Replayed
from regrow.insight.asked import asked_node
from regrow.insight.established import failure_name
from regrow.insight.healed import growth_words, remedy_words, two_sizes
from regrow.insight.runs import short
from regrow.journal.records import (
    Asked,
    AttemptFailed,
    CacheHit,
    CallFailed,
    CallStarted,
    CallSucceeded,
    Diverged,
    Record,
    WorkerGrown,
)
from regrow.values.durations import readable
from regrow.values.sizes import readable_size

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

_FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PER_SECOND: Final = 8
_KEPT_FREE: Final = 3
"""Lines of the terminal that the tree leaves alone."""
_FEWEST_LINES: Final = 4
_NEAR_ITS_LIMIT: Final = 0.9
"""The share of its memory limit from which on what a worker uses stands out."""


class LiveTree:
    """The tree of what is under way, redrawn on stderr meanwhile. What user code prints appears above it."""

    def __init__(self, progress: Progress, task: str, run: str) -> None:
        """Show `progress` of a run."""
        self._progress = progress
        self._task = task
        self._run = run
        self._began = time.monotonic()
        self.console = console(err=True)
        self._live = Live(
            get_renderable=lambda: self,
            console=self.console,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # else the output is somebody's file, and must go there
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Clear what was drawn."""
        self._live.__exit__(None, None, None)

    def __rich_console__(self, target: Console, options: ConsoleOptions) -> RenderResult:
        """Draw, no higher than the terminal."""
        room = max(_FEWEST_LINES, (options.height or target.height) - _KEPT_FREE)
        now = time.time()
        with self._progress.lock:
            top = _outermost(self._progress.root)
            lines = list(_tree(top, now, "", room))
            foot = totals_line(self._progress, time.monotonic() - self._began)
        frame = _FRAMES[int(now * _PER_SECOND) % len(_FRAMES)]
        head = Text.assemble((f"{frame} ", "cyan"), (self._task, "bold"), (f"  {short(self._run)}", "dim"))
        if top.attempt > 1:
            head.append(f"  attempt {top.attempt}", style="yellow")
        if top.inputs:
            head.append_text(plain(f"  {top.inputs}", "dim"))
        for line in (head, *_cut(lines, room - 2), foot):
            line.truncate(options.max_width, overflow="ellipsis")
            yield line


def _outermost(root: Working) -> Working:
    """Give the run's outermost call, whose name is the run's: it needs no line of its own."""
    under_way = [call for group in root.groups.values() for call in group.working.values()]
    return under_way[0] if len(under_way) == 1 else root


def _cut(lines: list[Text], room: int) -> Iterator[Text]:
    if len(lines) <= room:
        yield from lines
        return
    yield from lines[: max(0, room - 1)]
    yield Text(f"   … {len(lines) - room + 1} more lines", style="dim")


def _tree(working: Working, now: float, indent: str, room: int) -> Iterator[Text]:
    items: list[Group | Working] = []
    for group in working.groups.values():
        if group.done or group.failed or group.replayed or group.cached or group.cancelled:
            items.append(group)
        items.extend(group.working.values())
    for item in items[: room + 1]:
        last = item is items[-1]
        branch = Text(f"{indent}{'╰─' if last else '├─'} ", style="dim")
        if isinstance(item, Group):
            yield branch + _counted(item)
        else:
            yield branch + _under_way(item, now)
            yield from _tree(item, now, f"{indent}{'   ' if last else '│  '}", room)


def _counted(group: Group) -> Text:
    finished = group.done + group.failed + group.replayed + group.cached
    text = Text.assemble(mark("failed" if group.failed and not group.done else "succeeded"), " ", plain(group.name))
    if finished > 1:
        text.append(f" {TIMES}{finished}", style="bold")
    parts = []
    if group.replayed:
        parts.append((f"{group.replayed} from the journal", "blue"))
    if group.cached:
        parts.append((f"{group.cached} from the cache", "blue"))
    if group.failed:
        parts.append((f"{group.failed} failed", "red"))
    if group.cancelled:
        parts.append((f"{group.cancelled} cancelled", "magenta"))
    if group.retried:
        parts.append((f"{group.retried} retried", "yellow"))
    if group.done:
        mean = " each" if group.done > 1 else ""
        parts.append((f"{readable(group.seconds / group.done)}{mean}", "dim"))
    for words, style in parts:
        text.append("  ")
        text.append(words, style=style)
    if group.last_error is not None:
        text.append_text(plain(f"  {group.last_error.summary()}", "dim red"))
    return text


def _under_way(call: Working, now: float) -> Text:
    frame = _FRAMES[int(now * _PER_SECOND) % len(_FRAMES)]
    waits = call.retry_at is not None and call.retry_at > now
    sign = mark("waiting") if waits else Text(frame, style="cyan")
    text = Text.assemble(sign, " ", plain(call.path.rpartition("/")[2].removesuffix("#1")))
    if call.announced:
        text.append(f"  {readable(max(0.0, now - call.began))}", style="dim")
    if call.attempt > 1:
        text.append(f"  attempt {call.attempt}", style="yellow")
    if waits and call.retry_at is not None:
        text.append(f" in {readable(call.retry_at - now)}", style="yellow")
    if call.due is not None and call.due > now:
        text.append(f"  wakes in {readable(call.due - now)}", style="dim")
    if call.chunks:
        text.append(f"  {call.chunks} chunks", style="dim")
    if call.memory is not None:
        text.append("  ").append_text(_used(call.memory, call.limit))
    if call.checkpoint:
        text.append(f"  checkpoint {call.checkpoint}", style="dim")
    if call.healed:
        text.append_text(plain(f"  {call.healed}", "green"))
    if call.error is not None:
        text.append_text(plain(f"  {call.error.summary()}", "dim red"))
    elif call.inputs and not call.healed:
        text.append_text(plain(f"  {call.inputs}", "dim"))
    return text


def _used(memory: int, limit: int | None) -> Text:
    if limit is None:
        return Text(readable_size(memory), style="dim")
    style = "yellow" if memory >= _NEAR_ITS_LIMIT * limit else "dim"
    return Text(two_sizes(memory, "of", limit), style=style)


def totals_line(progress: Progress, elapsed: float) -> Text:
    """Give the numbers over all calls in one line."""
    totals = progress.totals
    text = Text("  ")
    text.append(readable(elapsed), style="bold")
    for number, words, style in (
        (totals.done, "done", "green"),
        (totals.replayed, "from the journal", "blue"),
        (totals.cached, "from the cache", "blue"),
        (totals.failed, "failed", "red"),
        (totals.retried, "retried", "yellow"),
        (totals.cancelled, "cancelled", "magenta"),
        (len(progress.diverged), "diverged", "yellow"),
    ):
        if number:
            text.append(" · ", style="dim")
            text.append(f"{number} {words}", style=style)
    if totals.saved >= 0.1:  # noqa: PLR2004 - below that it is not worth a word
        text.append(" · ", style="dim")
        text.append(f"{readable(totals.saved)} saved", style="blue")
    return text


class PlainLines:
    """One line on stderr for each task that begins, ends or fails; for each step too when asked for more."""

    def __init__(self, *, verbose: bool = False) -> None:
        """Be an observer that writes."""
        self._verbose = verbose
        self._lock = threading.Lock()
        self._replayed = 0

    def __call__(self, news: Record | Replayed) -> None:
        """Say what happened, if it is worth a line."""
        line = self._line(news)
        if line is not None:
            with self._lock:
                sys.stderr.write(f"regrow: {printable(line)}\n")
                sys.stderr.flush()

    def _line(self, news: Record | Replayed) -> str | None:
        if isinstance(news, Replayed):
            worth = self._verbose or news.call.kind == "task"
            return f"{news.call.path}: taken from the journal" if worth else None
        event = news.event
        match event:
            case CallStarted() if event.call.kind == "task" or self._verbose:
                again = f", attempt {event.attempt}" if event.attempt > 1 else ""
                return f"{event.call.path}: started{again}"
            case CallSucceeded(hit=CacheHit()) if event.call.kind == "task" or self._verbose:
                return f"{event.call.path}: found in the cache"
            case CallSucceeded() if event.call.kind == "task" or self._verbose:
                return f"{event.call.path}: done in {readable(max(0.0, news.time - event.started))}"
            case Asked():
                return f"{event.call.path}: {asked_node(event).describe()}"
            case AttemptFailed():
                failed = f"attempt {event.attempt} failed: {event.error.summary()}"
                return f"{event.call.path}: {failed}; {_next(news, event)}"
            case WorkerGrown():
                return f"{event.path}: attempt {event.attempt} reached its limit: {growth_words(event)}"
            case CallFailed():
                return f"{event.call.path}: failed: {event.error.summary()}"
            case Diverged():
                return f"{event.path}: code and journal have parted: {event.reason}"
            case _:
                return None


def _next(news: Record, event: AttemptFailed) -> str:
    seconds = event.retry_at - news.time
    wait = f"again in {readable(seconds)}" if seconds > 0 else "again at once"
    return wait if event.remedy is None else f"{remedy_words(event.remedy, failure_name(event.error))}, {wait}"
