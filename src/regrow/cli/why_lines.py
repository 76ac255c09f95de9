"""An explanation of a run as lines: what `regrow why` prints."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from rich.text import Text

from regrow.amounts import counted
from regrow.cli.terminal import STYLES, error_lines, mark, plain
from regrow.cli.tree_lines import attempt_line, evidence_lines, status_word
from regrow.insight.tree import Attempt
from regrow.insight.why import Explanation

_SUMMARY_AND_PLACE = 2
"""Lines of an error without cause, notes or more text."""


def why_lines(why: Explanation) -> Iterator[Text]:
    """Give an explanation: what happened and how that is known, what was tried, where it stood, and each way on."""
    yield Text.assemble(mark(why.status, encoding=sys.stdout.encoding), " ", plain(why.headline, "bold"))
    yield from _what_happened(why)
    yield from _how_that_is_known(why)
    yield from _sentences("what was tried", why.tried)
    if why.unfinished:
        yield from _section("where it stood")
        yield from _where_it_stood(why)
    yield from _sentences("what its workers were doing", why.last_seen)
    yield from _sentences("where code and journal parted", [f"{one.path}: {one.reason}" for one in why.divergences])
    if why.ways:
        yield from _section("ways on")
        for way in why.ways:
            yield Text.assemble("  ", plain(way.what, "" if way.command else "dim"))
            if way.command:
                yield Text.assemble("    ", plain(way.command, "bold cyan"))


def _what_happened(why: Explanation) -> Iterator[Text]:
    frame, error = why.frame, why.error
    if frame is not None:
        yield Text()
        place = plain(f"{frame.file}:{frame.line}", "bold")
        yield Text.assemble(("  your code  ", "dim"), place, plain(f" in {frame.function}"))
        if frame.code:
            yield Text.assemble("             ", plain(frame.code, "cyan"))
    if error is not None:
        lines = list(error_lines(error, indent=2))
        if frame is None or len(lines) > _SUMMARY_AND_PLACE:  # else the headline and the place have said it all
            yield from _section("what ended it")
            yield from lines
    for call in why.culprits:
        failed = [one for one in call.attempts if one.error is not None]
        if len(failed) > 1:
            yield from _section(f"each attempt at {call.path}")
            for one in failed:
                yield Text("  ") + attempt_line(one)
                yield from _attempt_place(one)
                yield from (Text("    ") + line for line in evidence_lines(one))


def _how_that_is_known(why: Explanation) -> Iterator[Text]:
    known = why.known
    if known is not None and known.evidence:
        yield from _section(f"how that is known ({known.confidence})")
        yield from (plain(f"  {sentence}") for sentence in known.evidence)


def _where_it_stood(why: Explanation) -> Iterator[Text]:
    for call in why.unfinished:
        status = "unfinished" if call.status == "begun" else call.status
        sign = mark(status, encoding=sys.stdout.encoding)
        yield Text.assemble("  ", sign, " ", plain(call.path), (f"  {status_word(status)}", STYLES[status]))
    done = f"  {counted(why.finished, 'call has', 'calls have')} an outcome; none of them will be executed again"
    yield Text(f"{done} (a step that was under way leaves no mark)", style="dim")


def _sentences(title: str, sentences: Iterable[str]) -> Iterator[Text]:
    lines = [plain(f"  {sentence}") for sentence in sentences]
    if lines:
        yield from _section(title)
        yield from lines


def _section(title: str) -> Iterator[Text]:
    yield Text()
    yield plain(f"{title}", "dim")


def _attempt_place(attempt: Attempt) -> Iterator[Text]:
    error = attempt.error
    own = [frame for frame in error.frames if frame.own] if error is not None else []
    if own:
        yield plain(f"      at {own[-1].function} in {own[-1].file}:{own[-1].line}", "dim")
