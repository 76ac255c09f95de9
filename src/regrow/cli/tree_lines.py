"""A run's tree of calls as lines: what `regrow show` prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.text import Text

from regrow.amounts import counted
from regrow.cli.terminal import STYLES, TIMES, mark, plain
from regrow.insight.established import established
from regrow.insight.healed import growth_words, what_followed
from regrow.insight.runs import short
from regrow.insight.tree import Attempt, CallNode, RunTree
from regrow.insight.ways import WayOn, resolving
from regrow.insight.workers import Worker
from regrow.journal.records import CacheHit, RunForked
from regrow.journal.store import RunRow
from regrow.values.durations import readable
from regrow.values.money import readable_money
from regrow.values.sizes import readable_size

_MANY = 6
"""So many calls of one name and status, side by side and without calls of their own, are shown as one line."""
_WORTH_A_WORD_SECONDS = 0.1
"""A shorter wait for a place among the workers is not told."""


def tree_lines(row: RunRow, tree: RunTree, *, full: bool, options: str = "") -> Iterator[Text]:
    """Give a run: its facts, and each call with what lies inside it.

    Args:
        row: as the store lists it.
        tree: of its records.
        full: every call on a line of its own, with its inputs, and all that is known of its workers and failures.
        options: what every command must be given.
    """
    yield from _head(row, tree)
    yield Text()
    if not tree.calls:
        yield Text("nothing has been recorded of its calls yet", style="dim")
    for call in tree.calls:
        yield from _call_lines(call, row, Text(), "   ", full=full)
        yield from _inside(call, row, "", full=full)
    if not row.held and (ways := list(_ways_on(row, tree, options))):
        yield Text()
        for way in ways:
            yield plain(way.what, "yellow")
            yield Text.assemble("  ", plain(way.command, "bold cyan"))
    if tree.divergences:
        yield Text()
        for one in tree.divergences:
            yield Text.assemble(("code and journal parted  ", "yellow"), plain(f"{one.path}: {one.reason}"))


def _ways_on(row: RunRow, tree: RunTree, options: str) -> Iterator[WayOn]:
    """Give what a run waits for that whoever looks at it can do; `regrow why` has all the ways."""
    for call in tree.walk():
        if call.status == "unknown":
            yield from resolving(row.id, call.path, options)
    if row.outcome is None and any(call.asked is not None and call.asked.answered_by for call in tree.walk()):
        yield WayOn("go on with the answer", f"regrow resume {short(row.id)}{options}")


def status_word(status: str) -> str:
    """Say a call's status in words."""
    return {
        "begun": "under way",
        "unfinished": "not finished",
        "unknown": "outcome unknown",
        "waiting": "to be tried again",
    }.get(status, status)


def moment(seconds: float) -> str:
    """Show a moment in the viewer's own time zone."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(span: float) -> str:
    """Show how long ago something was."""
    return f"{readable(max(0.0, span))} ago" if span >= 1 else "just now"


def _head(row: RunRow, tree: RunTree) -> Iterator[Text]:
    head = Text.assemble(
        mark(row.status, encoding=sys.stdout.encoding), " ", plain(row.task.rpartition(":")[2], "bold")
    )
    head.append(f"  {row.status}", style=STYLES[row.status])
    end = row.ended if row.ended is not None else (time.time() if row.held else tree.last)
    if end:
        head.append(f"  {readable(max(0.0, end - row.created))}", style="bold")
    yield head
    facts = [
        ("run", row.id),
        ("task", row.task),
        ("begun", f"{moment(row.created)} ({ago(time.time() - row.created)})"),
    ]
    if row.key is not None:
        facts.insert(1, ("key", row.key))
    if tree.forked is not None:
        facts.append(("fork of", _forked_from(tree.forked)))
    if row.held:
        facts.append(("driven by", row.holder))
    if row.awaited:
        facts.append(("waits for", row.waits_for or row.awaited))
    if len(tree.drives) > 1:
        facts.append(("taken up", f"{len(tree.drives)} times" + (f", retried {tree.retries}" if tree.retries else "")))
    replayed = sum(drive.replayed or 0 for drive in tree.drives)
    if replayed:
        saved = readable(sum(drive.seconds_saved for drive in tree.drives))
        facts.append(
            (
                "replayed",
                f"{counted(replayed, 'call was', 'calls were')} answered from the journal, which saved {saved}",
            )
        )
    hits = [call.hit for call in tree.walk() if call.hit is not None]
    if hits:
        saved = _saved(hits)
        calls = counted(len(hits), "call was", "calls were")
        facts.append(("cache", f"{calls} answered from the cache, which saved {saved}"))
    if tree.cost:
        before = f", {readable_money(tree.inherited_cost)} of it before the fork" if tree.inherited_cost else ""
        facts.append(("cost", f"{readable_money(tree.cost)}{before}"))
    for name, value in facts:
        yield Text.assemble((f"  {name:<10}", "dim"), plain(value))


def _forked_from(forked: RunForked) -> str:
    where = f" at {forked.at}" if forked.at else ""
    changed = (*forked.replaced, *(f"the input {name}" for name in forked.inputs))
    return f"run {forked.run}{where}" + (f", with another {', '.join(changed)}" if changed else "")


def _inside(call: CallNode, row: RunRow, indent: str, *, full: bool) -> Iterator[Text]:
    groups = list(_grouped(call.children, full=full))
    for index, group in enumerate(groups):
        last = index == len(groups) - 1
        lead = Text(f"{indent}{'╰─' if last else '├─'} ", style="dim")
        deeper = f"{indent}{'   ' if last else '│  '}"
        if len(group) > 1:
            yield lead + _group_line(group)
            continue
        (one,) = group
        yield from _call_lines(one, row, lead, deeper, full=full)
        yield from _inside(one, row, deeper, full=full)


def _grouped(calls: tuple[CallNode, ...], *, full: bool) -> Iterator[list[CallNode]]:
    """Put calls together that differ in nothing that a tree shows, when there are many."""
    alike: dict[tuple[str, str, bool], list[CallNode]] = {}
    for call in calls:
        if _is_plain(call):
            alike.setdefault((call.name, call.status, call.hit is not None), []).append(call)
    seen: set[tuple[str, str, bool]] = set()
    for call in calls:
        kind = (call.name, call.status, call.hit is not None)
        if full or call.status != "succeeded" or not _is_plain(call) or len(alike[kind]) < _MANY:
            yield [call]
        elif kind not in seen:
            seen.add(kind)
            yield alike[kind]


def _is_plain(call: CallNode) -> bool:
    """Tell whether nothing happened to a call, or inside it, that a line of its own would tell."""
    grown = call.worker is not None and call.worker.grown
    return not call.children and len(call.attempts) == 1 and not grown


def _group_line(group: list[CallNode]) -> Text:
    seconds = [call.seconds for call in group if call.seconds is not None]
    text = Text.assemble(mark(group[0].status, encoding=sys.stdout.encoding), " ", plain(group[0].name))
    text.append(f" {TIMES}{len(group)}", style="bold")
    text.append(f"  {group[0].kind}", style="dim")
    if seconds:
        text.append(f"  {readable(sum(seconds) / len(seconds))} each, {readable(sum(seconds))} in all", style="dim")
    hits = [call.hit for call in group if call.hit is not None]
    if hits:
        text.append(f"  cache hits, which saved {_saved(hits)}", style="blue")
    peaks = [call.worker.peak for call in group if call.worker is not None and call.worker.peak is not None]
    cost = sum(call.cost for call in group)
    if cost:
        text.append(f"  {readable_money(cost)} in all", style="dim")
    if peaks:
        text.append(f"  peaks up to {readable_size(max(peaks))}", style="dim")
    return text


def _call_lines(call: CallNode, row: RunRow, lead: Text, indent: str, *, full: bool) -> Iterator[Text]:
    yield lead + _call_line(call, row, full=full)
    begin = Text(f"{indent}  ", style="dim")
    if call.asked is not None:
        is_open = call.asked.how is None and row.outcome is None
        yield begin + plain(call.asked.describe(), "yellow" if is_open else "dim")
    for one in call.attempts:
        is_last = one is call.attempts[-1]
        if one.error is not None and len(call.attempts) > 1:  # else its error stands on the call's own line
            yield begin + attempt_line(one)
        if full and one.error is not None:
            yield from (begin + line for line in evidence_lines(one))
        if one.worker is not None and (full or is_last):
            running = row.status == "running" and one.outcome == "unfinished"
            checkpoints = call.checkpoints if is_last else 0
            yield begin + _worker_line(one.worker, running=running, checkpoints=checkpoints, full=full)


def _call_line(call: CallNode, row: RunRow, *, full: bool) -> Text:
    status = _status(call, row)
    text = Text.assemble(mark(status, encoding=sys.stdout.encoding), " ", plain(call.place.removesuffix("#1")))
    text.append(f"  {call.kind}", style="dim")
    if status != "succeeded":
        text.append(f"  {status_word(status)}", style=STYLES.get(status, ""))
    if call.seconds is not None and call.status != "begun":
        text.append(f"  {readable(call.seconds)}", style="bold" if call.seconds >= 1 else "")
    if call.chunks:
        text.append(f"  {call.chunks} chunks", style="dim")
    if call.cost:
        text.append(f"  {readable_money(call.cost)}", style="magenta")
    tries = len({one.number for one in call.attempts})
    if tries > 1:
        text.append(f"  {tries} attempts", style="yellow")
    cut = sum(one.outcome == "unfinished" for one in call.attempts[:-1])
    if cut:
        text.append(f"  cut short {'once' if cut == 1 else f'{cut} times'}", style="yellow")
    if len(call.attempts) == 1 and call.attempts[0].error is not None:
        text.append_text(plain(f"  {call.attempts[0].error.summary()}", "red"))
    if call.hit is not None:
        text.append_text(plain(f"  {_hit_words(call.hit, row)}", "blue"))
    if full and call.inputs:
        text.append_text(plain(f"  {call.inputs}", "dim"))
    return text


def _hit_words(hit: CacheHit, row: RunRow) -> str:
    whose = "this run" if hit.run == row.id else f"run {short(hit.run)}"
    return f"cache hit: computed by {hit.path} of {whose}, {ago(time.time() - hit.time)}, saved {_saved([hit])}"


def _saved(hits: Sequence[CacheHit]) -> str:
    """Say what cache hits have saved: time, and money where that was reported."""
    cost = sum(hit.cost for hit in hits)
    return readable(sum(hit.seconds for hit in hits)) + (f" and {readable_money(cost)}" if cost else "")


def _status(call: CallNode, row: RunRow) -> str:
    if row.status != "running" and call.status == "begun":
        return "unfinished"
    return "begun" if row.status == "running" and call.status == "unknown" else call.status


def attempt_line(attempt: Attempt) -> Text:
    """Give a failed attempt: how long it took, what it failed of, and what was done about that."""
    text = Text()
    text.append(f"attempt {attempt.number}", style="dim")
    if attempt.seconds is not None:
        text.append(f"  {readable(attempt.seconds)}", style="dim")
    if attempt.error is not None:
        text.append_text(plain(f"  {attempt.error.summary()}", "red"))
    if attempt.remedy is not None or not attempt.counts:  # that a failure is retried needs no words
        text.append_text(plain(f"  → {what_followed(attempt)}", "green"))
    return text


def evidence_lines(attempt: Attempt) -> Iterator[Text]:
    """Give what regrow has established of an attempt's failure, and on what evidence."""
    known = established(attempt.error)
    if known is not None:
        for sentence in known.evidence:
            yield plain(f"  {known.confidence}: {sentence}", "dim")


def _worker_line(worker: Worker, *, running: bool, checkpoints: int, full: bool) -> Text:
    parts = [_memory(worker, running=running, full=full)]
    if worker.size_from:
        parts.append(f"limit: {worker.size_from}")
    if len(worker.grown) > 1 and not full:
        first, last = worker.grown[0], worker.grown[-1]
        held = readable(sum(one.held for one in worker.grown))
        amounts = f"{readable_size(first.before)} → {readable_size(last.after)}"
        parts.append(f"{amounts} in place in {len(worker.grown)} steps, held {held}, nothing lost")
    else:
        parts.extend(map(growth_words, worker.grown))
    if checkpoints:
        parts.append(counted(checkpoints, "checkpoint"))
    if worker.queued >= _WORTH_A_WORD_SECONDS:
        parts.append(f"waited {readable(worker.queued)} for a place")
    if full:
        parts.append(f"process {worker.pid} on {worker.host}, {readable(worker.cpu_seconds)} of processor time")
        if worker.how:
            parts.append(f"ended with {worker.how}")
    return plain("; ".join(parts), "dim")


def _memory(worker: Worker, *, running: bool, full: bool) -> str:
    limit = "no memory limit" if worker.limit is None else readable_size(worker.limit)
    by = " + ".join(worker.enforced_by if full else worker.enforced_by[:1])
    held = f", {by}" if by else ""
    used = worker.samples[-1][1] if running and worker.samples else worker.peak
    if used is None:
        return f"{limit}{held}" if worker.limit is None else f"memory limit {limit}{held}"
    word = "now" if running else "peak"
    joint = " of " if worker.limit is not None else ", "
    return f"{word} {readable_size(used)}{joint}{limit}{held}"
